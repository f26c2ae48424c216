//! From sections to things that are ready to run: every section is read by its plugin, and all mistakes are found at once.

use super::route::Match;
use super::steps::Scope;
use crate::config::{
    Config, Entry, Environment, FilterShared, InputShared, Location, OnTerm, Opt, OutputShared, Processor,
    ProcessorShared, Report, RetryLimit, Section, SectionKind, ServiceOptions, StorageType, absent, absent_names,
    is_writable, nearest,
};
use crate::filter::{Condition, Conditional, FILTERS, Filter, FilterConfig, PROCESSORS};
use crate::input::{INPUTS, Input, InputContext};
use crate::output::{OUTPUTS, Start};
use crate::parse;
use std::path::{Path, PathBuf};

/// An output that is configured but not yet made.
pub(super) struct PlannedOutput {
    pub(super) name: String,
    pub(super) at: Location,
    pub(super) matches: Match,
    pub(super) retry_limit: RetryLimit,
    /// `storage.total_limit_size`.
    pub(super) spool_bytes_max: u64,
    pub(super) start: Start,
}

/// What outputs may do with the records of an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct InputRoute {
    /// `routable`: do any get them?
    pub(super) routable: bool,
    /// `storage.type filesystem`: may they go to a spool?
    pub(super) filesystem: bool,
}

impl InputRoute {
    /// Any output, and no spool.
    pub(super) const IN_MEMORY: Self = Self { routable: true, filesystem: false };

    fn new(shared: &InputShared, service: &ServiceOptions) -> Self {
        Self { routable: shared.routable, filesystem: is_filesystem(shared, service) }
    }
}

fn is_filesystem(shared: &InputShared, service: &ServiceOptions) -> bool {
    shared.storage_type.unwrap_or(service.storage_type) == StorageType::Filesystem
}

/// A checked configuration, ready to run.
pub struct Plan {
    pub(super) service: ServiceOptions,
    pub(super) environment: Environment,
    pub(super) inputs: Vec<Box<dyn Input>>,
    /// For metrics and messages, by number.
    pub(super) input_names: Vec<String>,
    /// What outputs may do with their records, by number.
    pub(super) input_routes: Vec<InputRoute>,
    /// Of `filters`, in their order.
    pub(super) filter_names: Vec<String>,
    /// Processors of inputs, filters, processors of outputs.
    pub(super) filters: Vec<(Scope, Box<dyn Filter>)>,
    pub(super) outputs: Vec<PlannedOutput>,
    pub(super) state_folder: Option<PathBuf>,
    /// Are files read on after SIGTERM?
    pub(super) drains: bool,
    /// Where spools are, if there are any.
    pub(super) storage_path: Option<PathBuf>,
    /// `storage.path`, used or not.
    pub(super) storage_folder: Option<PathBuf>,
    /// Where relative paths begin.
    pub(super) folder: PathBuf,
}

impl Plan {
    /// Checks everything; `None` when something is wrong, and then all of it is in the report.
    pub fn new(config: &Config, environment: &Environment, report: &mut Report) -> Option<Self> {
        // A file that could not be read has no input either.
        let unread = report.has_errors() && config.filters.is_empty() && config.outputs.is_empty();
        parse::check_sections(defined(config), report);
        let shared: Vec<_> = config.inputs.iter().map(|s| InputShared::from_section(s, report)).collect();
        let inputs = plan_inputs(config, report);
        let steps = plan_steps(config, report);
        let outputs: Vec<_> = config.outputs.iter().enumerate().map(|(i, s)| plan_output(i, s, report)).collect();
        check_aliases(&config.inputs, report);
        check_aliases(&config.outputs, report);
        if config.inputs.is_empty() && !unread {
            report.error(
                None,
                "the configuration has no input",
                Some("add one, as `name: tail` under `inputs`, or -i tail on the command line".into()),
            );
        }
        if report.has_errors() {
            return None;
        }
        let state_folder = state_folder(config, environment, report);
        if state_folder.is_none() {
            let hint = "set `db` in the input or `state_dir` in the service".to_owned();
            report.note(None, "positions are kept in memory only: after a restart files are read anew", Some(hint));
        }
        let storage_path = storage_path(config, &shared, report);
        let (filter_names, filters) = with_numbers_of_outputs(steps, &outputs).into_iter().unzip();
        let names = |(i, s): (usize, &Section)| section_name(i, s);
        Some(Self {
            service: config.service.clone(),
            environment: environment.clone(),
            inputs,
            input_names: config.inputs.iter().enumerate().map(names).collect(),
            input_routes: shared.iter().flatten().map(|s| InputRoute::new(s, &config.service)).collect(),
            filter_names,
            filters,
            outputs: outputs.into_iter().flatten().collect(),
            state_folder,
            drains: drains(config, environment),
            storage_path,
            storage_folder: config.service.storage_path.as_ref().map(|path| config.folder.join(path)),
            folder: config.folder.clone(),
        })
    }
}

/// Positions, spools and metrics are kept by name.
fn check_aliases(sections: &[Section], report: &mut Report) {
    for (number, section) in sections.iter().enumerate() {
        let Some(alias) = section.get("alias") else { continue };
        let has_it = |(other, s): &(usize, &Section)| *other != number && section_name(*other, s) == alias.value;
        let Some((other, same)) = sections.iter().enumerate().find(has_it) else { continue };
        // Once for each pair; a name that nobody chose cannot be what is wrong.
        if other < number || same.get("alias").is_none() {
            let what = format!("{} has the name `{}`, which another one has", section.title(), alias.value);
            report.error(Some(&alias.value_at), what, Some(format!("rename it; the other is at {}", same.at)));
        }
    }
}

type PlannedStep = (String, (Scope, Box<dyn Filter>));

/// An output that is left out has no number, and its processors go with it.
fn with_numbers_of_outputs(steps: Vec<PlannedStep>, outputs: &[Option<PlannedOutput>]) -> Vec<PlannedStep> {
    let number = |index: usize| {
        let made = outputs.get(index).is_some_and(Option::is_some);
        made.then(|| outputs[..index].iter().flatten().count())
    };
    let renumbered = |(name, (scope, filter)): PlannedStep| match scope {
        Scope::Output(index) => Some((name, (Scope::Output(number(index)?), filter))),
        scope => Some((name, (scope, filter))),
    };
    steps.into_iter().filter_map(renumbered).collect()
}

/// All steps in the order in which records pass them, with their names.
fn plan_steps(config: &Config, report: &mut Report) -> Vec<PlannedStep> {
    let mut steps = plan_processors(SectionKind::Input, config, report);
    for (number, section) in config.filters.iter().enumerate() {
        let filter = plan_filter(section, config, report);
        steps.extend(filter.map(|step| (section_name(number, section), step)));
    }
    steps.extend(plan_processors(SectionKind::Output, config, report));
    steps
}

fn plan_processors(of: SectionKind, config: &Config, report: &mut Report) -> Vec<PlannedStep> {
    let owners = if of == SectionKind::Input { &config.inputs } else { &config.outputs };
    let mut steps = Vec::new();
    for (number, processor) in config.processors.iter().filter(|processor| processor.of == of).enumerate() {
        let owner = owners.get(processor.index).map_or_else(String::new, |s| section_name(processor.index, s));
        let name = format!("{owner}.{}", section_name(number, &processor.section));
        steps.extend(plan_processor(processor, config, report).map(|step| (name, step)));
    }
    steps
}

fn plan_processor(processor: &Processor, config: &Config, report: &mut Report) -> Option<(Scope, Box<dyn Filter>)> {
    let is_input = processor.of == SectionKind::Input;
    let section = &processor.section;
    let plugins = || FILTERS.iter().chain(PROCESSORS);
    let Some(plugin) = plugins().find(|p| p.name == section.name) else {
        unknown(section, plugins().map(|p| p.name), report);
        return None;
    };
    // Some filters have a `condition` of their own, which is no mapping.
    let is_condition = |entry: &&Entry| entry.key == "condition" && entry.value.trim_start().starts_with('{');
    let condition = section.entries.iter().find(is_condition);
    let mut own = section.clone();
    own.entries.retain(|entry| !is_condition(&entry));
    check_keys(&own, ProcessorShared::OPTIONS, plugin.options, report);
    let filter = (plugin.configure)(&own, &FilterConfig::of(config), report)?;
    if filter.holds_back() && (!is_input || condition.is_some()) {
        let what = format!("{} can neither have a condition nor be a processor of an output", section.title());
        report.error(
            Some(&section.at),
            what,
            Some("put it under `filters`, or into the processors of an input".into()),
        );
    }
    if !is_input && filter.reroutes() {
        let what = format!("{} cannot be a processor of an output", section.title());
        let hint = "records have their outputs there already; put it under `filters`, with a `match`".to_owned();
        report.error(Some(&section.at), what, Some(hint));
    }
    let scope = if is_input { Scope::Input(processor.index) } else { Scope::Output(processor.index) };
    let Some(entry) = condition else { return Some((scope, filter)) };
    match Condition::parse(&entry.value) {
        Ok(condition) => Some((scope, Box::new(Conditional { condition: condition.into(), filter }))),
        Err((what, hint)) => {
            report.error(Some(&entry.value_at), format!("condition of {} {what}", section.title()), Some(hint));
            None
        }
    }
}

/// Where a node keeps the logs of its containers.
const NODE_LOGS: [&str; 3] = ["/var/log/containers", "/var/log/pods", "/var/lib/docker/containers"];

/// `on_term`. Of a sidecar nobody reads later what it has not read; of a node the next start does.
fn drains(config: &Config, environment: &Environment) -> bool {
    let is_of_node = |entry: &Entry| NODE_LOGS.iter().any(|folder| entry.value.contains(folder));
    let mut paths = config.inputs.iter().flat_map(|section| section.all("path"));
    match config.service.on_term {
        OnTerm::Drain => true,
        OnTerm::Stop => false,
        OnTerm::Auto => environment.get("KUBERNETES_SERVICE_HOST").is_some() && !paths.any(is_of_node),
    }
}

/// `storage.path`, where an input wants its records kept there.
fn storage_path(config: &Config, inputs: &[Option<InputShared>], report: &mut Report) -> Option<PathBuf> {
    let service = &config.service;
    let filesystem = inputs.iter().flatten().any(|shared| is_filesystem(shared, service));
    match &service.storage_path {
        Some(path) if filesystem => Some(config.folder.join(path)),
        None if filesystem => {
            let hint = "set `storage.path` in the service to a folder on a disk".to_owned();
            report.note(None, "`storage.type filesystem` has no effect without `storage.path`", Some(hint));
            None
        }
        _ => None,
    }
}

/// The alias, else `tail.0`.
fn section_name(number: usize, section: &Section) -> String {
    section.get("alias").map_or_else(|| format!("{}.{number}", section.name), |e| e.value.clone())
}

/// What the service says; else the folder of the first `db`; where that cannot be written to and holds nothing of drave's, the
/// default of the system or of the user.
fn state_folder(config: &Config, environment: &Environment, report: &mut Report) -> Option<PathBuf> {
    if let Some(folder) = &config.service.state_dir {
        return Some(config.folder.join(folder));
    }
    let from_input = |s: &Section| (INPUTS.iter().find(|p| p.name == s.name)?.state_folder)(s);
    let folder = config.inputs.iter().find_map(from_input)?;
    note_other_folders(config, &folder, from_input, report);
    if is_writable(&folder) || folder.join("drave.db").exists() {
        return Some(folder);
    }
    let Some(default) = environment.default_state_folder() else { return Some(folder) };
    let what = format!("{} cannot be written to: positions are kept in {}", folder.display(), default.display());
    report.note(None, what, Some("set `state_dir` in the service to keep them elsewhere".into()));
    Some(default)
}

/// All inputs share one state folder.
fn note_other_folders(
    config: &Config,
    folder: &Path,
    of_input: impl Fn(&Section) -> Option<PathBuf>,
    report: &mut Report,
) {
    for section in config.inputs.iter().filter(|s| of_input(s).is_some_and(|other| other != folder)) {
        let at = section.get("db").map(|e| &e.value_at);
        let what =
            format!("positions of {} are kept in {}, with those of all inputs", section.title(), folder.display());
        let hint = "the folder of the first `db` counts; `state_dir` in the service names another".to_owned();
        report.note(at, what, Some(hint));
    }
}

/// A name that the registry has not: another agent's plugin, or a misspelling.
fn unknown(section: &Section, known: impl Iterator<Item = &'static str> + Clone, report: &mut Report) {
    let listed = known.clone().collect::<Vec<_>>().join(", ");
    let (kind, word, name) = (section.kind, section.kind.word(), &section.name);
    let what = match absent(kind, name) {
        Some(_) => format!("drave has no {word} `{name}`"),
        None => format!("unknown {word} `{name}`"),
    };
    let meant = nearest(name, known.chain(absent_names(kind)));
    let hint = match (absent(kind, name), meant.and_then(|meant| Some((meant, absent(kind, meant)?))), meant) {
        (Some(instead), ..) => format!("{instead}; {word}s: {listed}"),
        (None, Some((meant, instead)), _) => format!("`{meant}` is not there: {instead}; {word}s: {listed}"),
        (None, None, Some(meant)) => format!("did you mean `{meant}`? {word}s: {listed}"),
        (None, None, None) => format!("{word}s: {listed}"),
    };
    report.error(Some(&section.at), what, Some(hint));
}

fn check_keys(section: &Section, shared: &'static [Opt], own: &[&[Opt]], report: &mut Report) {
    let mut declared = own.to_vec();
    declared.push(shared);
    section.check_keys(&declared, report);
}

fn plan_inputs(config: &Config, report: &mut Report) -> Vec<Box<dyn Input>> {
    for section in &config.inputs {
        match INPUTS.iter().find(|p| p.name == section.name) {
            Some(plugin) => check_keys(section, InputShared::OPTIONS, plugin.options, report),
            None => unknown(section, INPUTS.iter().map(|p| p.name), report),
        }
    }
    let of_plugin = |name: &str| {
        let of = |(number, section): (usize, &'static str)| (section == name).then_some(number);
        let names = config.inputs.iter().map(|s| INPUTS.iter().find(|p| p.name == s.name).map_or("", |p| p.name));
        names.enumerate().filter_map(of).collect::<Vec<_>>()
    };
    let mut inputs = Vec::new();
    for plugin in INPUTS {
        let numbers = of_plugin(plugin.name);
        if !numbers.is_empty() {
            let sections: Vec<&Section> = numbers.iter().map(|n| &config.inputs[*n]).collect();
            inputs.extend((plugin.configure)(&sections, &InputContext { config, numbers }, report));
        }
    }
    inputs
}

fn defined(config: &Config) -> parse::Defined<'_> {
    parse::Defined { parsers: &config.parsers, multiline_parsers: &config.multiline_parsers }
}

fn plan_filter(section: &Section, config: &Config, report: &mut Report) -> Option<(Scope, Box<dyn Filter>)> {
    let Some(plugin) = FILTERS.iter().find(|p| p.name == section.name) else {
        unknown(section, FILTERS.iter().map(|p| p.name), report);
        return None;
    };
    check_keys(section, FilterShared::OPTIONS, plugin.options, report);
    let shared = FilterShared::from_section(section, report);
    let filter = (plugin.configure)(section, &FilterConfig::of(config), report);
    let shared = shared?;
    let matches = Match::new(section, shared.match_tags, shared.match_regex.as_deref(), report)?;
    if matches.is_empty() {
        let hint = "add `match: '*'` to see every record".to_owned();
        report.error(Some(&section.at), format!("{} needs `match` or `match_regex`", section.title()), Some(hint));
    }
    Some((Scope::Tag(matches), filter?))
}

fn plan_output(number: usize, section: &Section, report: &mut Report) -> Option<PlannedOutput> {
    let Some(plugin) = OUTPUTS.iter().find(|p| p.name == section.name) else {
        unknown(section, OUTPUTS.iter().map(|p| p.name), report);
        return None;
    };
    check_keys(section, OutputShared::OPTIONS, plugin.options, report);
    let shared = OutputShared::from_section(section, report);
    let start = (plugin.configure)(section, report);
    let shared = shared?;
    let matches = Match::new(section, shared.match_tags, shared.match_regex.as_deref(), report)?;
    if matches.is_empty() {
        let hint = "add `match: '*'` to give it every record".to_owned();
        report.note(Some(&section.at), format!("{} has no `match` and is left out", section.title()), Some(hint));
        return None;
    }
    Some(PlannedOutput {
        name: section_name(number, section),
        at: section.at.clone(),
        matches,
        retry_limit: shared.retry_limit.unwrap_or(RetryLimit::Unlimited),
        spool_bytes_max: shared.total_limit_size.0,
        start: start?,
    })
}
