//! Whole configurations: what each broken one is told, and that both syntaxes mean the same.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use drave::config::{
    Config, Environment, FilterShared, InputShared, List, Opt, OutputShared, Report, Secret, Section, Size, Syntax,
    load, load_text,
};
use proptest::prelude::*;
use std::fmt::{Debug, Write};
use std::path::{Path, PathBuf};

drave::option_enum! {
    /// How a body is compressed.
    pub enum Compress {
        /// Not at all.
        None = "none",
        /// gzip.
        Gzip = "gzip" | "gz",
    }
}

drave::options! {
    /// A pretend input.
    pub struct Tail {
        /// Files.
        path: List, "path", required;
        /// Other files.
        exclude_path: List, "exclude_path", optional;
        /// From the beginning?
        read_from_head: bool, "read_from_head", default "off";
        /// How long a renamed file is read on.
        rotate_wait: drave::config::Duration, "rotate_wait", default "5";
        /// The longest line.
        buffer_max_size: Size, "buffer_max_size", default "32k";
    }
    no_effect {
        "db.locking": "one drave owns its state folder anyway";
    }
}

drave::options! {
    /// A pretend filter.
    pub struct Modify {
        /// Sets a key.
        set: String, "set", repeated;
        /// Renames a key.
        rename: String, "rename", repeated;
    }
}

drave::options! {
    /// A pretend output.
    pub struct Http {
        /// Where to.
        host: String, "host", default "127.0.0.1";
        /// Its port.
        port: u16, "port", default "80";
        /// The path.
        uri: String, "uri", optional;
        /// A header.
        header: String, "header", repeated;
        /// A password.
        http_passwd: Secret, "http_passwd", optional;
        /// A proxy.
        proxy: String, "proxy", optional;
        /// A key.
        api_key: Secret, "api_key", optional;
        /// How the body is compressed.
        compress: Compress, "compress", default "none";
    }
}

fn environment() -> Environment {
    Environment::of([("STAGE", "prod"), ("DB_PASSWORD", "hunter1-top-secret"), ("API_TOKEN", "hunter6-top-secret")])
}

fn folder(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new("tests/config").join(name)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Reads a section by two declarations, as an agent would, and shows what came of it.
fn typed<S: Debug, O: Debug>(
    section: &Section,
    options: (&[Opt], Option<S>),
    shared: (&[Opt], Option<O>),
    report: &mut Report,
) -> String {
    section.check_keys(&[options.0, shared.0], report);
    format!("{}: {:#?}\n{:#?}\n", section.title(), options.1, shared.1)
}

macro_rules! typed {
    ($section:expr, $Options:ty, $Shared:ty, $report:expr) => {{
        let options = (<$Options>::OPTIONS, <$Options>::from_section($section, $report));
        let shared = (<$Shared>::OPTIONS, <$Shared>::from_section($section, $report));
        typed($section, options, shared, $report)
    }};
}

/// The whole configuration as text, without places.
fn model(config: &Config, report: &mut Report) -> String {
    let mut text = format!("{:#?}\n", config.service);
    config.inputs.iter().for_each(|section| text += &typed!(section, Tail, InputShared, report));
    config.filters.iter().for_each(|section| text += &typed!(section, Modify, FilterShared, report));
    config.outputs.iter().for_each(|section| text += &typed!(section, Http, OutputShared, report));
    for section in config.parsers.iter().chain(&config.multiline_parsers) {
        text += &untyped(section);
    }
    for processor in &config.processors {
        write!(text, "of {} {}: {}", processor.of.word(), processor.index, untyped(&processor.section)).unwrap();
    }
    text
}

fn untyped(section: &Section) -> String {
    let entries = section.entries.iter().map(|entry| format!("    {} {}\n", entry.key, entry.value));
    format!("{}:\n{}", section.title(), entries.collect::<String>())
}

#[test]
fn each_broken_file_is_told_all_that_is_wrong() {
    for path in folder("broken") {
        let mut report = Report::default();
        let config = load(&path, &environment(), &mut report);
        model(&config, &mut report);
        let shown = report.to_string();
        assert!(!shown.contains("top-secret"), "a secret shows:\n{shown}");
        let name = path.file_name().unwrap().to_string_lossy().replace('.', "_");
        insta::with_settings!({ snapshot_path => "config/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

#[test]
fn ten_mistakes_are_ten_messages() {
    for name in ["ten_mistakes.conf", "ten_mistakes.yaml"] {
        let mut report = Report::default();
        let config = load(&Path::new("tests/config/broken").join(name), &environment(), &mut report);
        model(&config, &mut report);
        let wrong = report.problems.iter().filter(|problem| problem.at.is_some());
        assert_eq!(wrong.count(), 10, "{report}");
    }
}

#[test]
fn both_syntaxes_mean_the_same() {
    for path in folder("good").iter().filter(|path| path.extension().is_some_and(|e| e == "yaml")) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let yaml = good(path);
        let classic = good(&path.with_extension("conf"));
        insta::with_settings!({ snapshot_path => "config/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("good_{name}"), yaml);
        });
        // Processors can be written in YAML only; the service's parser files are named differently.
        let shared = |text: &str| text.split("of output").next().unwrap().replace(".yaml", ".conf");
        assert_eq!(shared(&yaml), shared(&classic), "{name}");
    }
}

fn good(path: &Path) -> String {
    let mut report = Report::default();
    let config = load(path, &environment(), &mut report);
    let text = model(&config, &mut report);
    // That of single-value keys the last counts is worth a note, and tested here.
    assert!(report.problems.iter().all(|problem| problem.message.ends_with("the last counts")), "{report}");
    text
}

#[test]
fn of_very_many_mistakes_some_are_shown_and_all_are_counted() {
    let mut report = Report::default();
    load_text(&"[SERVICE]\nx y\n".repeat(250), Syntax::Classic, &environment(), &mut report);
    let shown = report.to_string();
    assert_eq!(shown.matches("unknown option").count(), 200);
    assert!(shown.ends_with("… and 50 more\n\n250 errors\n"), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_an_error_without_a_place() {
    let mut report = Report::default();
    let config = load(Path::new("tests/config/nowhere.conf"), &environment(), &mut report);
    assert!(config.inputs.is_empty());
    insta::assert_snapshot!(report.to_string(), @r"
    error: cannot read tests/config/nowhere.conf: No such file or directory (os error 2)
      hint: check the path, and that drave may read it

    1 error
    ");
}

#[test]
fn the_syntax_of_a_file_without_a_known_extension_is_seen_from_its_text() {
    let folder = tempfile::tempdir().unwrap();
    for text in
        ["# c\n\n[INPUT]\n name tail\n", "@SET a=b\n[INPUT]\nname tail", "# c\npipeline:\n  inputs:\n  - name: tail\n"]
    {
        let path = folder.path().join("agent");
        std::fs::write(&path, text).unwrap();
        let mut report = Report::default();
        assert_eq!(load(&path, &environment(), &mut report).inputs.len(), 1, "{text}{report}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "(\\PC|[\\[\\]@#:{}&*\\-$\"'\n\t ]|name|pipeline|inputs|INPUT|<<|\\$\\{A\\}|rules|processors|routes|env|uri|file://x|SET A=){0,60}") {
        never_panics(&text);
    }

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        never_panics(&String::from_utf8_lossy(&bytes));
    }
}

fn never_panics(text: &str) {
    for syntax in [Syntax::Yaml, Syntax::Classic] {
        let mut report = Report::default();
        let config = load_text(text, syntax, &environment(), &mut report);
        model(&config, &mut report);
        let _ = report.to_string();
    }
}
