//! `drave -i tail -p path=… -o stdout`: a pipeline without a file, in Fluent Bit's options. One table says what each means;
//! what they make is read and checked as a file is (`config/arguments.rs`).

use crate::config::Meaning::{
    NoEffect, NoSection, Property, PropertyOf, Refused, Section, Service, ServiceIs, ServicePath,
};
use crate::config::{Argument, Meaning, SectionKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, ValueHint};

/// The options in the order in which they were typed.
#[derive(Debug, Clone, Default)]
pub(super) struct Quick(pub(super) Vec<Argument>);

/// An option: how it is typed, what it says, and the line of help.
struct Flag(&'static str, Meaning, &'static str);

const PIPELINE: &[Flag] = &[
    Flag("-i --input NAME", Section(SectionKind::Input), "Add an input: tail, stdin, …"),
    Flag("-F --filter NAME", Section(SectionKind::Filter), "Add a filter: kubernetes, …"),
    Flag("-o --output NAME", Section(SectionKind::Output), "Add an output: stdout, http, …"),
    Flag("-p --prop KEY=VALUE", Property, "Set an option of the plugin before it"),
    Flag("-t --tag TAG", PropertyOf("tag"), "The same as -p tag=TAG"),
    Flag("-m --match PATTERN", PropertyOf("match"), "The same as -p match=PATTERN [default: *]"),
];

const SERVICE: &[Flag] = &[
    Flag("-f --flush SECONDS", Service("flush"), "How long records wait for company [default: 1]"),
    Flag("-R --parser FILE", ServicePath("parsers_file"), "Add a file with parsers"),
    Flag("-l --log_file FILE", ServicePath("log_file"), "Write drave's own messages to a file"),
    Flag(
        "-b --storage_path PATH",
        Service("storage.path"),
        "Where outputs keep what inputs with storage.type=filesystem gave",
    ),
    Flag("-v --verbose", MORE, "Say more: -v debug, -vv trace"),
    Flag("-q --quiet", ServiceIs("log_level", "off"), "Say nothing"),
    Flag("-H --http --http_server", ServiceIs("http_server", "on"), "Serve health and metrics"),
    Flag(
        "-L --listen --http_listen ADDRESS",
        Service("http_listen"),
        "Where that server listens [default: everywhere]",
    ),
    Flag("-P --port --http_port PORT", Service("http_port"), "Its port [default: 2020]"),
];

const IDLE: &[Flag] = &[
    Flag("-d --daemon", ServiceIs("daemon", "on"), "No effect: drave stays in the foreground"),
    Flag("--supervisor", NoEffect("let the service manager watch drave"), "No effect"),
    Flag("-e --plugin FILE", NoEffect("plugins cannot be loaded"), "No effect: plugins cannot be loaded"),
    Flag("-C --custom NAME", NoSection("there are no custom plugins"), "No effect: there are none"),
    Flag("-r --processor NAME", NoSection("processors are written into a file"), "No effect: only in a file"),
    Flag("-s --coro_stack_size BYTES", Service("coro_stack_size"), "No effect: there are no coroutines"),
    Flag("-Y --enable-hot-reload", ServiceIs("hot_reload", "on"), "No effect: it needs no switch"),
    Flag("-W --disable-thread-safety-on-hot-reload", ServiceIs("hot_reload.ensure_thread_safety", "off"), "No effect"),
    Flag("-Z --enable-chunk-trace", ServiceIs("enable_chunk_trace", "on"), "No effect: there are no chunks"),
    Flag("--trace PIPELINE", NO_CHUNKS, "No effect: there are no chunks"),
    Flag("--trace-input NAME", NO_CHUNKS, "No effect: there are no chunks"),
    Flag("--trace-output NAME", NO_CHUNKS, "No effect: there are no chunks"),
    Flag("--trace-output-property KEY=VALUE", NO_CHUNKS, "No effect: there are no chunks"),
    Flag("-T --sp-task SQL", Refused(NO_QUERIES), "Refused: there is no stream processor"),
    Flag("-S --sosreport", Refused("/metrics says what a running drave does"), "Refused: see /metrics"),
    Flag("-J --help-json", Refused("drave --help shows the options"), "Refused: see --help"),
];

/// By the heading under which help shows them.
const GROUPS: [(&str, &[Flag]); 3] = [("Pipeline", PIPELINE), ("Service", SERVICE), (IDLE_HEADING, IDLE)];

const IDLE_HEADING: &str = "Known to Fluent Bit";
const MORE: Meaning = ServiceIs("log_level", "debug");
const MUCH_MORE: Meaning = ServiceIs("log_level", "trace");
const NO_QUERIES: &str = "leave it out: there is no stream processor, the destination can query the records";
const NO_CHUNKS: Meaning = NoEffect("there are no chunks");

impl Flag {
    fn short(&self) -> Option<char> {
        self.0.strip_prefix('-')?.chars().next().filter(|c| *c != '-')
    }

    /// The first is its identifier, the others are aliases.
    fn longs(&self) -> impl Iterator<Item = &'static str> {
        self.0.split(' ').filter_map(|word| word.strip_prefix("--"))
    }

    fn id(&self) -> &'static str {
        self.longs().next().unwrap_or_default()
    }

    /// What help calls the value, if it takes one.
    fn value_name(&self) -> Option<&'static str> {
        self.0.split(' ').find(|word| !word.starts_with('-'))
    }

    fn shown(&self) -> String {
        self.short().map_or_else(|| format!("--{}", self.id()), |short| format!("-{short}"))
    }

    fn arg(&self, heading: &'static str) -> Arg {
        let arg = Arg::new(self.id()).long(self.id()).visible_aliases(self.longs().skip(1)).short(self.short());
        let arg = arg.help(self.2).help_heading(heading).hide_short_help(heading == IDLE_HEADING);
        match self.value_name() {
            Some(name) => arg.action(ArgAction::Append).value_name(name).value_hint(hint(name)),
            None if self.1 == MORE => arg.action(ArgAction::Count),
            None => arg.action(ArgAction::SetTrue).overrides_with(self.id()),
        }
    }

    /// What was given of it, each with its place among all.
    fn given(&self, matches: &ArgMatches) -> Vec<(usize, Argument)> {
        // Flags have a value of their own where nobody gave them.
        let typed = matches.value_source(self.id()) == Some(ValueSource::CommandLine);
        let Some(mut places) = matches.indices_of(self.id()).filter(|_| typed) else { return Vec::new() };
        let argument = |value, meaning| Argument { flag: self.shown(), value, meaning };
        if self.value_name().is_some() {
            let values = matches.get_many::<String>(self.id()).into_iter().flatten();
            return places.zip(values.map(|value| argument(Some(value.clone()), self.1))).collect();
        }
        let meaning = if self.1 == MORE && matches.get_count(self.id()) > 1 { MUCH_MORE } else { self.1 };
        // Of a flag only the last place is known.
        places.next_back().map(|place| (place, argument(None, meaning))).into_iter().collect()
    }
}

/// What a shell completes it with.
fn hint(value_name: &str) -> ValueHint {
    if matches!(value_name, "FILE" | "PATH") { ValueHint::AnyPath } else { ValueHint::Other }
}

impl Args for Quick {
    fn augment_args(command: Command) -> Command {
        let args = |(heading, flags): (&'static str, &'static [Flag])| flags.iter().map(move |flag| flag.arg(heading));
        command.args(GROUPS.into_iter().flat_map(args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Quick {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut given: Vec<(usize, Argument)> =
            GROUPS.into_iter().flat_map(|(_, flags)| flags).flat_map(|flag| flag.given(matches)).collect();
        given.sort_by_key(|(place, _)| *place);
        Ok(Self(given.into_iter().map(|(_, argument)| argument).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, Option<String>, Meaning)> {
        let command = Quick::augment_args(Command::new("drave"));
        let words = std::iter::once("drave").chain(line.split(' '));
        let quick = Quick::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap();
        quick.0.into_iter().map(|a| (a.flag, a.value, a.meaning)).collect()
    }

    #[test]
    fn the_order_is_kept_and_every_spelling_is_the_same() {
        let short = read("-i tail -p a=b -f 1 -o stdout -p c=d -p e=f -m x -R p.conf -H -P 1 -o null -q");
        assert_eq!(short.len(), 12);
        assert_eq!(short[4].1.as_deref(), Some("c=d"));
        for line in [
            "-itail -pa=b -f1 -ostdout -pc=d -pe=f -mx -Rp.conf -HP1 -onull -q",
            "--input tail --prop a=b --flush=1 --output=stdout --prop=c=d --prop e=f --match x --parser p.conf --http --port 1 --output null --quiet",
            "-i=tail -p=a=b -f=1 -o stdout -p c=d -p e=f -m x -R p.conf --http_server --http_port 1 -o null -q",
        ] {
            assert_eq!(read(line), short, "{line}");
        }
    }

    #[test]
    fn more_and_much_more() {
        let level = |line: &str| read(line).into_iter().map(|(_, _, meaning)| meaning).collect::<Vec<_>>();
        assert_eq!(level("-v"), [MORE]);
        assert_eq!(level("-vv"), [MUCH_MORE]);
        assert_eq!(level("-v -v -v"), [MUCH_MORE]);
        assert_eq!(level("-q -v"), [ServiceIs("log_level", "off"), MORE]);
    }
}
