//! Every option of Fluent Bit's is known: of each plugin that is there, what `tests/fluent_bit/options.json` lists is declared (it
//! works, has no effect, or is refused), and a default that differs is explained in the help.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use drave::config::{
    Duration, FilterShared, InputShared, Opt, OptionValue, OutputShared, Presence, ProcessorShared, SectionKind,
    ServiceOptions, Size, absent, absent_names,
};
use drave::filter::{FILTERS, PROCESSORS};
use drave::input::INPUTS;
use drave::output::OUTPUTS;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Defaults that differ on purpose. The help of the option says so, with the words "in Fluent Bit".
const OTHER_DEFAULTS: &[(&str, &str, &str)] = &[
    ("inputs tail", "buffer_chunk_size", "larger reads cost less"),
    ("inputs tail", "buffer_max_size", "a line over 32k is nothing unusual, and cutting it loses its rest"),
    ("outputs *", "retry_limit", "a destination that is away for a while shall cost no record"),
    ("outputs *", "tls.verify_hostname", "without it any certificate of a known authority is good for any host"),
];

/// Defaults that are written differently and mean the same.
const SAME_DEFAULTS: &[(&str, &str, &str)] = &[
    ("inputs *", "tag", "both make a tag of the plugin's name and its number"),
    ("inputs *", "mem_buf_limit", "0 is no limit"),
    ("inputs *", "storage.type", "without it the service says, whose default is memory"),
    ("outputs opensearch", "port", "0 is 9200"),
    ("outputs opensearch", "host", "none is 127.0.0.1"),
    ("outputs opensearch", "aws_profile", "without it the variable AWS_PROFILE says which, and then it is `default`"),
    ("outputs es", "port", "0 is 9200"),
    ("outputs es", "host", "none is 127.0.0.1"),
    ("outputs http", "port", "0 is the port of the scheme"),
    ("outputs http", "host", "none is 127.0.0.1"),
    ("outputs http", "format", "none is json"),
    ("outputs loki", "host", "none is 127.0.0.1"),
    ("outputs loki", "port", "0 is 3100"),
];

/// One option as the list has it.
#[derive(Debug, Clone)]
struct Listed {
    name: String,
    kind: String,
    default: Option<String>,
}

/// One plugin that is there, with all that it declares.
struct Plugin {
    /// `inputs tail`.
    title: String,
    declared: Vec<Opt>,
    listed: Vec<Listed>,
}

fn list() -> Value {
    serde_json::from_str(include_str!("fluent_bit/options.json")).unwrap()
}

/// The options of some groups of a listed plugin.
fn listed(plugin: &Value, groups: impl Fn(&str) -> bool) -> Vec<Listed> {
    let groups = plugin.as_object().into_iter().flatten().filter(|(group, _)| groups(group));
    let options = groups.flat_map(|(_, options)| options.as_object().unwrap());
    options
        .map(|(name, option)| Listed {
            // `parser_` stands for `parser_1`, `parser_2`, …
            name: if name.ends_with('_') { format!("{name}N") } else { name.to_ascii_lowercase() },
            kind: option["type"].as_str().unwrap().into(),
            default: option["default"].as_str().map(Into::into),
        })
        .collect()
}

fn plugin(kind: &str, name: &str, own: &[&[Opt]], shared: &[Opt], list: &Value) -> Plugin {
    let declared: Vec<Opt> = own.iter().copied().chain([shared]).flatten().copied().collect();
    let mut expected = listed(&list[kind][name], |_| true);
    // What all plugins of a kind have is taken by those that are not in the list as well.
    let any = list[kind].as_object().unwrap().values().next().unwrap();
    expected.extend(listed(any, |group| group == "global_options"));
    if kind == "outputs" && declared.iter().any(|option| option.name == "net.connect_timeout") {
        expected.extend(listed(&list["outputs"]["http"], |group| group.starts_with("network")));
        expected.extend(["workers", "storage.total_limit_size"].map(|name| Listed {
            name: name.into(),
            kind: "integer".into(),
            default: None,
        }));
    }
    let by_name: BTreeMap<_, _> = expected.into_iter().map(|option| (option.name.clone(), option)).collect();
    Plugin { title: format!("{kind} {name}"), declared, listed: by_name.into_values().collect() }
}

/// All that the registries hold.
fn plugins() -> Vec<Plugin> {
    let list = list();
    let inputs = INPUTS.iter().map(|p| plugin("inputs", p.name, p.options, InputShared::OPTIONS, &list));
    let filters = FILTERS.iter().map(|p| plugin("filters", p.name, p.options, FilterShared::OPTIONS, &list));
    let outputs = OUTPUTS.iter().map(|p| plugin("outputs", p.name, p.options, OutputShared::OPTIONS, &list));
    let processors = PROCESSORS.iter();
    let processors = processors.map(|p| plugin("processors", p.name, p.options, ProcessorShared::OPTIONS, &list));
    inputs.chain(filters).chain(processors).chain(outputs).collect()
}

#[test]
fn every_option_is_declared() {
    let mut missing = Vec::new();
    for plugin in plugins() {
        for option in &plugin.listed {
            let declared = plugin.declared.iter().any(|declared| declared.name == option.name);
            if !declared {
                missing.push(format!("{}: {}", plugin.title, option.name));
            }
        }
    }
    assert!(missing.is_empty(), "declare these with `options!`:\n{}", missing.join("\n"));
}

#[test]
fn every_key_of_the_service_is_declared() {
    let list = list();
    let names = list["service"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let missing: Vec<_> = names.filter(|name| ServiceOptions::OPTIONS.iter().all(|o| o.name != *name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_is_declared_twice_and_everything_has_a_help() {
    let service = Plugin { title: "service".into(), declared: ServiceOptions::OPTIONS.to_vec(), listed: Vec::new() };
    for plugin in plugins().into_iter().chain([service]) {
        let mut seen = BTreeSet::new();
        for option in &plugin.declared {
            assert!(seen.insert(option.name), "{}: {} is declared twice", plugin.title, option.name);
            assert!(option.help_line().len() >= 8, "{}: {} has no help", plugin.title, option.name);
            let literal = option.name.strip_suffix("_N").unwrap_or(option.name);
            assert_eq!(literal, literal.to_lowercase(), "{}: keys are in lower case", plugin.title);
            assert!(!(option.no_effect.is_some() && option.refused.is_some()), "{}", option.name);
        }
    }
}

/// Is the default of a declaration that of the list?
fn same_default(declared: &Opt, listed: &Listed) -> bool {
    let ours = match declared.presence {
        Presence::Default(text) => Some(text),
        _ => None,
    };
    // The list has none where the code of the plugin decides.
    let Some(theirs) = listed.default.as_deref() else { return true };
    let Some(ours) = ours else { return theirs.is_empty() };
    match listed.kind.as_str() {
        "boolean" => bool::parse(ours) == bool::parse(theirs),
        // Written with or without a unit: `10s`, `60`; `32K`, `32768`, which both mean.
        "size" => Size::parse(ours) == Size::parse(theirs),
        "time" => Duration::parse(ours) == Duration::parse(theirs),
        _ => ours.eq_ignore_ascii_case(theirs),
    }
}

fn explained(table: &[(&str, &str, &str)], title: &str, name: &str) -> bool {
    let kind = title.split(' ').next().unwrap();
    table.iter().any(|(plugin, option, _)| *option == name && (*plugin == title || *plugin == format!("{kind} *")))
}

#[test]
fn defaults_are_the_same_or_the_help_says_so() {
    for plugin in plugins() {
        for listed in &plugin.listed {
            let declared = plugin.declared.iter().find(|o| o.name == listed.name);
            // What has no effect has no default, and what is refused has none either.
            let Some(declared) = declared.filter(|o| o.no_effect.is_none() && o.refused.is_none()) else { continue };
            let (title, name) = (&plugin.title, declared.name);
            if same_default(declared, listed) || explained(SAME_DEFAULTS, title, name) {
                assert!(!explained(OTHER_DEFAULTS, title, name), "{title}: {name} does not differ any more");
                continue;
            }
            let shown = format!("{:?} and there {:?}", declared.presence, listed.default);
            assert!(explained(OTHER_DEFAULTS, title, name), "{title}: the default of {name} differs: {shown}");
            assert!(declared.help.contains("in Fluent Bit"), "{title}: the help of {name} shall say: {shown}");
        }
    }
}

#[test]
fn every_plugin_is_there_or_has_something_instead() {
    let registries = [
        ("inputs", SectionKind::Input, INPUTS.iter().map(|p| p.name).collect::<Vec<_>>()),
        ("filters", SectionKind::Filter, FILTERS.iter().map(|p| p.name).collect()),
        ("outputs", SectionKind::Output, OUTPUTS.iter().map(|p| p.name).collect()),
        ("processors", SectionKind::Processor, PROCESSORS.iter().map(|p| p.name).collect()),
    ];
    let list = list();
    for (kind, section, there) in registries {
        let names = list[kind].as_object().unwrap().keys().map(String::as_str);
        for name in names.filter(|name| !there.contains(name)) {
            assert!(absent(section, name).is_some(), "{kind} {name}: say in config/absent.rs what comes nearest");
        }
        let mut seen = BTreeSet::new();
        for name in absent_names(section) {
            assert!(!there.contains(&name), "{kind} {name} is there: take it out of config/absent.rs");
            assert!(seen.insert(name), "{kind} {name} stands twice in config/absent.rs");
        }
    }
}
