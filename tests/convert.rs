//! `drave convert`: what it writes means the same as what it read, and Promtail's files become ones that run.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use drave::agent::Plan;
use drave::cli::help;
use drave::config::{
    Config, Environment, Finding, List, OptionValue, Page, Presence, Report, Section, SectionKind, Verdict, convert,
    load,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::loki::{Limits, Loki, Pairs};
use support::site::{Running, Site, append};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn environment() -> Environment {
    Environment::of([("STAGE", "prod"), ("HOSTNAME", "node-1")])
}

/// A section as its plugin reads it: values that repeat in their order, of the others what counts.
fn meant(section: &Section, pages: &[Page]) -> String {
    let is_kind = |page: &&Page| {
        let processor = section.kind == SectionKind::Processor && page.kind == SectionKind::Filter;
        (page.kind == section.kind || processor) && (page.name.is_empty() || page.name == section.name)
    };
    let page = pages.iter().find(is_kind);
    let mut ordered = Vec::new();
    let mut single: BTreeMap<&str, String> = BTreeMap::new();
    for entry in &section.entries {
        let option = page.and_then(|page| page.options().find(|option| option.is_named(&entry.key)));
        match option {
            Some(option) if option.presence != Presence::Repeated => {
                let of_list = section.all(&entry.key).filter(|e| e.key_at == entry.key_at).map(|e| e.value.trim());
                let text =
                    if option.kind == List::KIND { of_list.collect::<Vec<_>>().join(",") } else { entry.value.clone() };
                single.insert(&entry.key, text);
            }
            // A rule is three texts; what stands between them does not count.
            Some(_) if entry.key == "rule" && section.kind == SectionKind::MultilineParser => {
                ordered.push(("rule", entry.value.split_whitespace().collect::<Vec<_>>().join(" ")));
            }
            _ => ordered.push((&entry.key, entry.value.clone())),
        }
    }
    format!("{} {ordered:?} {single:?}\n", section.title())
}

/// Everything of a configuration that counts.
fn model(path: &Path) -> (Config, String) {
    let pages = help::pages();
    let mut report = Report::default();
    let mut config = load(path, &environment(), &mut report);
    // Its parsers stand in the file itself.
    config.service.parsers_file.clear();
    let mut text =
        format!("{:?}\n{:?}\n", config.service, config.variables.iter().map(|(n, v)| (n, &v.0)).collect::<Vec<_>>());
    let lists = [&config.parsers, &config.multiline_parsers, &config.inputs, &config.filters, &config.outputs];
    lists.into_iter().flatten().for_each(|section| text += &meant(section, &pages));
    for processor in &config.processors {
        text += &format!("{} {} {}", processor.of.word(), processor.index, meant(&processor.section, &pages));
    }
    Plan::new(&config, &environment(), &mut report);
    let mut said: Vec<String> =
        report.problems.iter().map(|problem| format!("{:?} {}\n", problem.severity, problem.message)).collect();
    // Of a key that stands twice only the one that counts is written.
    said.retain(|line| !line.contains("stands here and again"));
    said.sort();
    (config, text + &said.concat())
}

/// Converts a file and reads what comes of it, in the same folder.
fn round_trip(path: &Path) -> Vec<Finding> {
    let mut report = Report::default();
    let converted = convert(path, &environment(), &help::pages(), &mut report);
    let Some(converted) = converted else { panic!("{}: {report}", path.display()) };
    let written = path.with_file_name("converted.yaml");
    fs::write(&written, &converted.yaml).unwrap();
    let (before, after) = (model(path).1, model(&written).1);
    fs::remove_file(&written).unwrap();
    let before = before.replace(&path.display().to_string(), "FILE");
    let after = after.replace(&written.display().to_string(), "FILE");
    if before != after {
        let differ = before.lines().zip(after.lines()).find(|(a, b)| a != b);
        panic!("{}: {differ:#?}\n{}", path.display(), converted.yaml);
    }
    converted.findings
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            let bytes = fs::read(&path).unwrap();
            match String::from_utf8(bytes) {
                Ok(text) => fs::write(target, placed(&text, to)).unwrap(),
                Err(error) => fs::write(target, error.into_bytes()).unwrap(),
            }
        }
    }
}

/// What the golden cases leave open, filled in.
fn placed(text: &str, folder: &Path) -> String {
    let folder = folder.display().to_string();
    [
        ("@DIR@", &*folder),
        ("@IN@", "/in"),
        ("@OUT@", "/out"),
        ("@DOTTED@", "in"),
        ("@PORT@", "1"),
        ("@TCP@", "2"),
        ("@KUBE@", "3"),
    ]
    .into_iter()
    .fold(text.replace("@CLOUDWATCH@", "endpoint http://127.0.0.1:1"), |text, (name, value)| text.replace(name, value))
}

#[test]
fn every_golden_case_means_the_same_as_yaml() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("tests/golden/cases")).unwrap() {
        let case = entry.unwrap().path();
        for name in ["agent.conf", "agent.yaml"].into_iter().filter(|name| case.join(name).exists()) {
            let folder = tempfile::tempdir().unwrap();
            copy(&case, folder.path());
            round_trip(&folder.path().join(name));
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn every_example_means_the_same_as_yaml() {
    let mut count = 0;
    for part in ["config", "tests/config/good", "tests/config/node", "deploy/image/etc"] {
        let folder = tempfile::tempdir().unwrap();
        copy(&root().join("tests/config/parts"), &folder.path().join("parts"));
        copy(&root().join(part), &folder.path().join("here"));
        for entry in fs::read_dir(root().join(part)).unwrap() {
            let path = folder.path().join("here").join(entry.unwrap().file_name());
            if path.extension().is_some_and(|extension| extension == "conf" || extension == "yaml") {
                round_trip(&path);
                count += 1;
            }
        }
    }
    assert!(count > 25, "{count}");
}

fn drave(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drave")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "convert", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

/// A file of `tests/convert`, with what is said of it.
fn transcript(file: &str) -> String {
    let output = drave(&["convert", file], &root().join("tests/convert"));
    format!("{}----\n{}=> {}\n", text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

#[test]
fn comments_stay_where_they_were() {
    snapshot!("classic", transcript("classic.conf"));
    snapshot!("again", transcript("again.yaml"));
}

#[test]
fn promtail_becomes_what_the_check_takes() {
    for name in ["promtail-pods", "promtail-files", "promtail-stages"] {
        let file = format!("{name}.yaml");
        snapshot!(name, transcript(&file));
        let folder = tempfile::tempdir().unwrap();
        let written = folder.path().join("drave.yaml");
        // A password that is in a file has to be there.
        let promtail = fs::read_to_string(root().join("tests/convert").join(&file)).unwrap();
        fs::write(folder.path().join("password"), "hunter2\n").unwrap();
        let password = folder.path().join("password").display().to_string();
        fs::write(folder.path().join("promtail.yaml"), promtail.replace("/run/secrets/loki", &password)).unwrap();
        drave(&["convert", "promtail.yaml", "-o", "drave.yaml", "--report", "report.txt"], folder.path());
        let checked = drave(&["check", "drave.yaml"], folder.path());
        assert_eq!(
            checked.status.code(),
            Some(0),
            "{name}\n{}\n{}",
            fs::read_to_string(&written).unwrap(),
            text(&checked.stderr)
        );
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("none.conf", None),
        ("word.conf", Some("name tail\n[INPUT\n")),
        ("section.conf", Some("[INPTU]\n name tail\n[INPUT]\n path /a\n")),
        ("broken.yaml", Some("pipeline: [\n")),
        ("binary.conf", Some("\u{0}\u{1}[INPUT]\n")),
        ("promtail.yaml", Some("clients: [{ url: nowhere }, {}]\nscrape_configs: 5\n")),
    ];
    let mut shown = String::new();
    for (name, content) in files {
        if let Some(content) = content {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let output = drave(&["convert", name], folder.path());
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""), "{name}");
        shown += &text(&output.stderr);
    }
    snapshot!("cannot_be_read", shown);
}

#[test]
fn reports_and_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("a.conf"),
        "[INPUT]\n name tail\n path /a\n db.locking on\n[OUTPUT]\n name null\n match *\n",
    )
    .unwrap();
    let output = drave(&["convert", "a.conf", "--report", "json"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let verdicts: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|f| f["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["better", "same", "no effect", "better", "same"]);
    assert_eq!(report["findings"][2]["line"], 4);
    let to_files = drave(&["convert", "a.conf", "-o", "b.yaml", "--report", "b.json"], folder.path());
    assert_eq!((text(&to_files.stdout), text(&to_files.stderr)), (String::new(), String::new()));
    assert_eq!(fs::read(folder.path().join("b.yaml")).unwrap(), output.stdout);
    let again: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("b.json")).unwrap()).unwrap();
    assert_eq!(again, report);
    assert_eq!(drave(&["convert", "a.conf", "-o", "no/where.yaml"], folder.path()).status.code(), Some(64));
}

/// What is not there where the conversion runs stays an include.
#[test]
fn files_that_are_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let config = "@SET TOKEN=file:///run/secrets/token\n@INCLUDE /elsewhere/inputs.conf\n@INCLUDE conf.d/*.conf\n[SERVICE]\n parsers_file /elsewhere/parsers.conf\n[OUTPUT]\n name null\n match ${TAG}\n";
    fs::write(folder.path().join("a.conf"), config).unwrap();
    let output = drave(&["convert", "a.conf"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let expect = "includes:\n  - /elsewhere/inputs.conf\n  - conf.d/*.conf\n\nenv:\n  TOKEN: file:///run/secrets/token\n\nservice:\n  parsers_file: /elsewhere/parsers.conf\n\npipeline:\n  outputs:\n    - name: 'null'\n      match: ${TAG}\n";
    assert_eq!(text(&output.stdout), expect);
}

/// Promtail has a place of its own for them, and so has drave.
#[test]
fn positions_are_kept_where_nothing_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let config = "clients: [{ url: http://loki/push }]\nscrape_configs: [{ job_name: a, static_configs: [{ labels: { __path__: /a } }] }]\n";
    fs::write(folder.path().join("a.yaml"), config).unwrap();
    let yaml = text(&drave(&["convert", "a.yaml"], folder.path()).stdout);
    assert!(yaml.starts_with("service:\n  state_dir: /var/lib/drave\n"), "{yaml}");
}

#[test]
fn a_verdict_for_each_directive() {
    let folder = tempfile::tempdir().unwrap();
    let of = |config: &str| {
        let path = folder.path().join("a.conf");
        fs::write(&path, config).unwrap();
        let findings = convert(&path, &environment(), &help::pages(), &mut Report::default()).unwrap().findings;
        let last = findings.last().unwrap().clone();
        (last.verdict, last.detail.unwrap_or_default())
    };
    for (config, verdict, detail) in [
        ("[INPUT]\n name tail\n path /a\n", Verdict::Same, ""),
        ("[INPUT]\n name tail\n rotate_wait 5\n", Verdict::Better, "quiet"),
        ("[INPUT]\n name tail\n db.locking on\n", Verdict::NoEffect, "owner"),
        ("[INPUT]\n name tail\n pth /a\n", Verdict::Unsupported, "`path`"),
        ("[SERVICE]\n streams_file a\n", Verdict::Unsupported, "stream processor"),
        ("[SERVICE]\n security.fips_mode off\n", Verdict::Same, ""),
        ("[OUTPUT]\n name kafka\n", Verdict::Unsupported, "bridge"),
        ("[OUTPUT]\n name htpt\n", Verdict::Unsupported, "`http`"),
        ("[CUSTOM]\n name x\n", Verdict::NoEffect, "taken out"),
    ] {
        let (found, said) = of(config);
        assert_eq!((found, said.contains(detail)), (verdict, true), "{config}: {said}");
    }
}

fn words() -> impl Strategy<Value = String> {
    let hard = prop_oneof![
        Just("yes"),
        Just("no"),
        Just("on"),
        Just("Off"),
        Just("null"),
        Just("~"),
        Just("1e3"),
        Just("0x1F"),
        Just("12:30"),
        Just("# x"),
        Just("a: b"),
        Just("a #b"),
        Just("'"),
        Just("\""),
        Just("\\"),
        Just("- a"),
        Just("*"),
        Just("&a"),
        Just("{a}"),
        Just("[a]"),
        Just("%"),
        Just("@"),
        Just("`"),
        Just("|"),
        Just(">"),
        Just("!t"),
        Just("?"),
        Just("..."),
        Just("---"),
        Just("${STAGE}"),
        Just("a\tb"),
        Just("\u{7}"),
        Just("\u{85}"),
        Just("\u{2028}"),
        Just("ü🦀"),
        Just("<<"),
        Just("="),
    ]
    .prop_map(str::to_owned);
    prop_oneof![3 => hard, 2 => "\\PC{1,12}", 1 => "[ -~]{1,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_stays_what_it_is(
        values in proptest::collection::vec(proptest::collection::vec(words(), 1..4), 1..6),
        comment in "\\PC{0,12}",
    ) {
        let mut config = format!("# {comment}\n[FILTER]\n name modify\n");
        for (number, parts) in values.iter().enumerate() {
            let key = ["set", "add", "regex_x", "match", "alias"][number % 5];
            config += &format!(" # {comment}\n {key} {}\n", parts.join(" "));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conf");
        fs::write(&path, &config).unwrap();
        if convert(&path, &environment(), &help::pages(), &mut Report::default()).is_some() {
            round_trip(&path);
        }
    }

    #[test]
    fn nothing_panics(text in "([#\\[\\]@{}:\\-a-z \"'\n]|\\PC|\n  |\n- |scrape_configs:|pipeline_stages:|job_name: x){0,40}") {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.conf", "a.yaml"] {
            let path = folder.path().join(name);
            fs::write(&path, &text).unwrap();
            let _ = convert(&path, &environment(), &help::pages(), &mut Report::default());
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A configuration of Promtail with stages, run: what arrives is what Promtail would have sent.
#[test]
fn promtail_with_stages_sends_labels_and_lines() {
    let loki = Loki::start(Limits { now_ns: Some(1_709_287_200_000_000_000), ..Limits::default() });
    let site = Site::new();
    let logs = site.path("logs");
    let promtail = fs::read_to_string(root().join("tests/convert/promtail-stages.yaml")).unwrap();
    let promtail = promtail
        .replace("/var/log/shop", logs.to_str().unwrap())
        .replace("http://loki:3100", &format!("http://{}", loki.sink.address))
        .replace("9080", &site.admin.port().to_string())
        .replace("/var/lib/promtail", site.path("state").to_str().unwrap())
        .replace("batchwait: 1s", "batchwait: 100ms");
    fs::write(site.path("promtail.yaml"), promtail).unwrap();
    let converted = drave(&["convert", "promtail.yaml", "--report", "report.txt"], &site.path(""));
    let container = |line: &str| format!("2024-03-01T10:00:00.5Z stdout F {line}\n");
    let lines = [
        r#"{"level":"error","ts":"2024-03-01T09:59:00.250Z","msg":"no cart","user":{"id":"u1"},"trace":"t1"}"#,
        r#"{"level":"debug","ts":"2024-03-01T09:59:01Z","msg":"dropped"}"#,
        "plain text",
        r#"{"level":"info","msg":"payment token=abc123 done","component":"pay"}"#,
        "health check /healthz",
    ];
    append(&logs.join("app.log"), lines.map(container).concat().as_bytes());
    let mut running: Running = site.start_on(&text(&converted.stdout));
    running.wait_for("three lines", |metrics| {
        metrics.sum("drave_output_delivered_records_total", ("output", "shop")) == 3
    });
    let mut stored = loki.stored();
    stored.sort_by(|a, b| a.line.cmp(&b.line));
    let file = logs.join("app.log").display().to_string();
    let common = [("cluster", "dev"), ("filename", &*file), ("job", "shop"), ("stream", "stdout")];
    let entry = |index: usize| {
        (stored[index].line.as_str(), stored[index].time_ns, &stored[index].labels, &stored[index].metadata)
    };
    let labels = |more: &[(&str, &str)]| pairs(&[&common[..], more].concat());
    let at = 1_709_287_200_500_000_000;
    let of_text = [("level", "error"), ("user", "u1")];
    assert_eq!(entry(0), ("no cart", 1_709_287_140_250_000_000, &labels(&of_text), &pairs(&[("trace_id", "t1")])));
    assert_eq!(
        entry(1),
        (
            "payment [REDACTED:replaced] done",
            at,
            &labels(&[("channel", "pay"), ("level", "info"), ("team", "pay")]),
            &pairs(&[])
        )
    );
    assert_eq!(entry(2), ("plain text", at, &labels(&[]), &pairs(&[])));
    running.agent.stop();
}
