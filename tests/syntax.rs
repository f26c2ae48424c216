//! Both syntaxes as people write them for Fluent Bit: one fact a row, and what it is read as.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use drave::agent::Plan;
use drave::config::{Config, Environment, Report, Section, Severity, load};
use std::path::Path;

/// `tail(path=/a tag=b) -> stdout(match=*)`, inputs, filters and outputs in their order; behind `!` what was said about it.
fn read(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut report = Report::default();
    let environment = Environment::of([("STAGE", "prod"), ("EMPTY", "")]);
    let config = load(&folder.path().join(files[0].0), &environment, &mut report);
    let said: String = report.problems.iter().map(|problem| format!(" ! {}", problem.message)).collect();
    (shown(&config) + &said).replace(&folder.path().display().to_string(), "@")
}

fn shown(config: &Config) -> String {
    let sections = [&config.parsers, &config.multiline_parsers, &config.inputs, &config.filters, &config.outputs];
    let processors = config.processors.iter().map(|p| format!("{}{}:{}", p.of.word(), p.index, section(&p.section)));
    sections.into_iter().flatten().map(section).chain(processors).collect::<Vec<_>>().join(" -> ")
}

fn section(section: &Section) -> String {
    let entries: Vec<String> = section.entries.iter().map(|e| format!("{}={}", e.key, e.value)).collect();
    format!("{}({})", section.name, entries.join(" "))
}

fn check(name: &str, rows: &[(&str, &str)]) {
    for (text, expect) in rows {
        assert_eq!(read(&[(name, text)]), *expect, "\n{text}");
    }
}

#[test]
fn classic() {
    check(
        "agent.conf",
        &[
            ("", ""),
            ("\n  \n# only a comment\n", ""),
            ("\u{FEFF}[INPUT]\r\n\tName\ttail\r\n\tPath\t/a b \t\r\n", "tail(path=/a b)"),
            ("[INPUT] # a comment\n name tail\n", "tail()"),
            ("[Input]\n  # indented\n  NAME Tail\n#none\n   pAtH   /A\n", "tail(path=/A)"),
            ("[INPUT]\nname tail\n[FILTER]\nname grep\n[OUTPUT]\nname null\n", "tail() -> grep() -> null()"),
            ("[INPUT]\n name tail\n offset_key at # x\n", "tail(offset_key=at # x)"),
            ("[FILTER]\n name modify\n set a \"b\"\n set c 'd'\n", "modify(set=a \"b\" set=c 'd')"),
            ("[INPUT]\n name tail\n tag a\n tag b\n", "tail(tag=a tag=b)"),
            ("[INPUT]\n name tail\n name dummy\n", "dummy()"),
            ("[INPUT]\n path /a\n", " ! this input has no name"),
            ("[INPUT]\n name tail\n path\n", "tail() ! key `path` has no value"),
            ("[PARSER]\n Name App\n format json\n[INPUT]\n name tail\n", "App(format=json) -> tail()"),
            (
                "[MULTILINE_PARSER]\n name t\n type regex\n rule \"start_state\" \"/^x/\" \"cont\"\n rule \"cont\" \"/ /\" \"cont\"\n",
                "t(type=regex rule=\"start_state\" \"/^x/\" \"cont\" rule=\"cont\" \"/ /\" \"cont\")",
            ),
            (
                "[CUSTOM]\n name calyptia\n[PLUGINS]\n path /x.so\n",
                " ! section [CUSTOM] has no effect ! section [PLUGINS] has no effect",
            ),
            ("[INPUT]\n name ${KIND:-tail}\n tag ${STAGE}.$STAGE.$5.${\n", "tail(tag=prod.$STAGE.$5.${)"),
        ],
    );
}

#[test]
fn yaml() {
    check(
        "agent.yaml",
        &[
            ("", ""),
            ("# only a comment\n---\n", ""),
            ("\u{FEFF}pipeline:\r\n  inputs:\r\n    - name: tail\r\n      path: /a\r\n", "tail(path=/a)"),
            ("pipeline: { inputs: [{ Name: Tail, PATH: /A }] }", "tail(path=/A)"),
            (
                "pipeline: { inputs: [{ name: tail, path: [/a, /b], n: 0x10, b: On, f: 0.50 }] }",
                "tail(path=/a path=/b n=0x10 b=On f=0.50)",
            ),
            (
                "pipeline: { filters: [{ name: modify, set: [a 1, 'b \"2 3\"'], add: x y }] }",
                "modify(set=a 1 set=b \"2 3\" add=x y)",
            ),
            ("pipeline: { filters: [{ name: lua, code: \"a\\nb\" }] }", "lua(code=a\nb)"),
            ("pipeline: { outputs: [{ name: null, match: '*' }] }", "null(match=*)"),
            ("pipeline: { inputs: [{ path: /a }] }", " ! this input has no name"),
            ("pipeline: { inputs: [{ name: tail }] }\npipeline: { inputs: [{ name: dummy }] }", "tail() -> dummy()"),
            (
                "x-tail: &t { name: tail, tag: a }\npipeline: { inputs: [{ <<: *t, tag: b }, *t] }",
                "tail(tag=b) -> tail(tag=a)",
            ),
            ("parsers: [{ name: App, format: json }]", "App(format=json)"),
            (
                "multiline_parsers:\n- name: t\n  type: regex\n  rules:\n  - { state: start_state, regex: '/\"x\"/', next_state: c }\n",
                "t(type=regex rule=\"start_state\" \"/\\\"x\\\"/\" \"c\")",
            ),
            (
                "pipeline:\n  inputs:\n  - name: tail\n    processors:\n      logs:\n      - { name: content_modifier, action: upsert, key: a, value: 1 }\n      - { name: grep, regex: a b }\n      metrics: [{ name: labels }]\n",
                "tail() -> input0:content_modifier(action=upsert key=a value=1) -> input0:grep(regex=a b) ! section `processors.metrics` has no effect",
            ),
            (
                "pipeline: { outputs: [{ name: null, processors: { logs: [{ name: sql, condition: { op: and, rules: [] } }] } }] }",
                "null() -> output0:sql(condition={\"op\":\"and\",\"rules\":[]})",
            ),
            (
                "pipeline: { inputs: [{ name: tail, routes: { logs: [] } }] }",
                "tail() ! `routes` of an input are not supported",
            ),
            (
                "customs: [{ name: x }]\nplugins: [/x.so]\n",
                " ! section `customs` has no effect ! section `plugins` has no effect",
            ),
            ("upstream_servers: [{ name: x }]\n", " ! section `upstream_servers` is not supported"),
            ("stream_processor: [{ name: x }]\n", " ! section `stream_processor` is not supported"),
        ],
    );
}

/// Fluent Bit runs it, and so does drave.
#[test]
fn names_that_stand_twice_get_a_number() {
    check(
        "agent.yaml",
        &[
            (
                "pipeline: { inputs: [{ name: tail, alias: a }, { name: tail, alias: a }, { name: tail, alias: a }] }",
                "tail(alias=a) -> tail(alias=a.2) -> tail(alias=a.3) ! input tail has the name `a`, which another one has: it is called `a.2` ! input tail has the name `a`, which another one has: it is called `a.3`",
            ),
            (
                "pipeline: { inputs: [{ name: tail, alias: a }], outputs: [{ name: null, alias: a }] }",
                "tail(alias=a) -> null(alias=a)",
            ),
            (
                "pipeline: { filters: [{ name: lua, alias: a }, { name: lua, alias: a }] }",
                "lua(alias=a) -> lua(alias=a)",
            ),
        ],
    );
}

#[test]
fn variables() {
    let input = "[INPUT]\n name tail\n tag ${A}\n";
    for (before, after, expect) in [
        ("@SET A=b c\n", "", "b c"),
        ("", "@SET A=later\n", "later"),
        ("@SET A=1\n", "@SET A=2\n", "2"),
        ("@SET STAGE=own\n@SET A=${STAGE}\n", "", "own"),
        ("@SET A=x=y # z\n", "", "x=y # z"),
        ("@set A=file://token\n", "", "of a file"),
        ("@INCLUDE set.conf\n", "", "included"),
        ("@SET A=file://\n", "", "file://"),
    ] {
        let text = format!("{before}{input}{after}");
        let files = [("agent.conf", &*text), ("token", "of a file\n"), ("set.conf", "@SET A=included\n")];
        assert_eq!(read(&files), format!("tail(tag={expect})"), "\n{text}");
    }
}

#[test]
fn variables_in_yaml() {
    for (env, expect) in [
        ("{ A: 1 }", "tag=1)"),
        ("{ A: , B: ~ }", "tag=)"),
        ("{ A: \"${STAGE}-x\" }", "tag=prod-x)"),
        ("{ A: 'file://sub/token' }", "tag=secret value)"),
        (
            "{ A: file:///nowhere/x }",
            "tag=) ! variable `A`: cannot read /nowhere/x: No such file or directory (os error 2)",
        ),
        ("{ A: file://empty }", "tag=) ! variable `A`: @/empty is empty"),
        ("[{ name: A, value: 1 }]", "tag=1)"),
        ("[{ name: A, uri: 'file://sub/token' }]", "tag=secret value)"),
        (
            "[{ name: A, uri: file://sub/token, refresh_interval: 60 }]",
            "tag=secret value) ! `refresh_interval` of a variable has no effect",
        ),
        ("[{ name: A }]", "tag=)"),
        (
            "[{ name: A, uri: https://x }]",
            "tag=) ! a `uri` should name a file ! variable `A` is not set: its place stays empty",
        ),
        (
            "[{ name: A, value: 1, uri: file://x }]",
            "tag=) ! a variable has a `value` or a `uri`, not both ! variable `A` is not set: its place stays empty",
        ),
        ("[{ value: 1 }]", "tag=) ! a variable needs a name ! variable `A` is not set: its place stays empty"),
        ("[{ name: A, value: 1, vale: 2 }]", "tag=1) ! unknown key of a variable `vale`"),
    ] {
        // The section holds wherever it stands.
        let text = format!("pipeline: {{ inputs: [{{ name: tail, tag: \"${{A}}\" }}] }}\nenv: {env}\n");
        let files = [("agent.yaml", &*text), ("sub/token", "secret value\r\n"), ("empty", "\n")];
        assert_eq!(read(&files), format!("tail({expect}"), "\n{text}");
    }
}

#[test]
fn a_value_from_a_file_never_shows() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("value"), "hunter7-top-secret\n").unwrap();
    let text = "env: { A: file://value }\nservice: { flush: \"${A}\" }\n";
    std::fs::write(folder.path().join("agent.yaml"), text).unwrap();
    let mut report = Report::default();
    load(&folder.path().join("agent.yaml"), &Environment::default(), &mut report);
    let shown = report.to_string();
    assert!(shown.contains("option `flush`") && !shown.contains("hunter7"), "{shown}");
}

#[test]
fn includes() {
    let input = |path: &str| format!("[INPUT]\n name tail\n path {path}\n");
    let (a, b, c) = (input("a"), input("b"), input("c"));
    let parts = [
        ("parts/b.conf", &*b),
        ("parts/a.conf", &*a),
        ("parts/deep/c.conf", &*c),
        ("parts/nested.conf", "@INCLUDE deep/c.conf\n@INCLUDE other.yaml\n"),
        ("other.yaml", "pipeline: { inputs: [{ name: tail, path: y }] }"),
        ("parts/both.yaml", "includes: [deep/*.conf, ../other.yaml]"),
    ];
    for (name, text, expect) in [
        ("agent.conf", "@INCLUDE parts/a.conf\n@include parts/b.conf\n", "a b"),
        ("agent.conf", "@INCLUDE parts/[ab].conf\n@INCLUDE parts/*/*.conf\n", "a b c"),
        // From the folder of the file that includes, else from that of the main file.
        ("agent.conf", "@INCLUDE parts/nested.conf\n", "c y"),
        ("agent.conf", "@SET P=parts\n@INCLUDE ${P}/a.conf\n", "a"),
        // A file may come twice, only not within itself.
        ("agent.conf", "@INCLUDE parts/a.conf\n@INCLUDE parts/a.conf\n", "a a"),
        ("agent.yaml", "includes: parts/a.conf", "a"),
        ("agent.yaml", "includes: [parts/both.yaml, 'parts/?.conf']", "c y a b"),
        ("agent.yaml", "pipeline: { inputs: [{ name: tail, path: x }] }\nincludes: [other.yaml]", "x y"),
    ] {
        let files: Vec<(&str, &str)> = [(name, text)].into_iter().chain(parts).collect();
        let read = read(&files);
        let paths: Vec<&str> = read.split("path=").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert_eq!(paths.join(" "), expect, "\n{text}{read}");
        assert!(!read.contains('!'), "{read}");
    }
}

#[test]
fn parser_files_lie_beside_the_main_file_and_may_be_several_in_either_syntax() {
    let parts = [
        ("sub/p.conf", "# comment\n[PARSER]\n Name a\n Format json\n"),
        ("p.yaml", "parsers: [{ name: b, format: json }]\nmultiline_parsers: [{ name: m, type: regex }]"),
    ];
    for (name, text) in [
        ("agent.conf", "[SERVICE]\n parsers_file sub/p.conf\n parsers_file p.yaml\n"),
        ("agent.yaml", "service: { parsers_file: [sub/p.conf, p.yaml] }"),
        ("agent.yaml", "service: { Parsers_File: sub/p.conf }\nincludes: [p.yaml]"),
    ] {
        let files: Vec<(&str, &str)> = [(name, text)].into_iter().chain(parts).collect();
        let read = read(&files);
        assert!(["a(format=json)", "b(format=json)", "m(type=regex)"].iter().all(|part| read.contains(part)), "{read}");
        assert!(!read.contains('!'), "{read}");
    }
}

#[test]
fn a_relative_path_begins_in_the_folder_of_the_configuration() {
    let mut report = Report::default();
    let config = load(
        Path::new("tests/config/good/basic.conf"),
        &Environment::of([("STAGE", "x"), ("DB_PASSWORD", "x")]),
        &mut report,
    );
    assert_eq!(config.inputs[0].resolve("db/x.db"), Path::new("tests/config/good/db/x.db"));
    assert_eq!(config.inputs[0].resolve("/db/x.db"), Path::new("/db/x.db"));
}

#[test]
fn the_configuration_of_a_node_is_understood_but_for_what_is_not_there() {
    let environment = Environment::of([("METRICS", "On"), ("HEAD", "Off"), ("REGION", "r"), ("HOSTNAME", "node-1")]);
    let mut report = Report::default();
    let config = load(Path::new("tests/config/node/agent.conf"), &environment, &mut report);
    let names = |sections: &[Section]| sections.iter().map(|s| s.name.clone()).collect::<Vec<_>>().join(" ");
    assert_eq!(names(&config.inputs), "tail systemd");
    assert_eq!(names(&config.filters), "kubernetes modify record_modifier");
    assert_eq!(names(&config.outputs), "cloudwatch_logs http");
    assert_eq!(names(&config.parsers), "syslog app");
    assert_eq!(names(&config.multiline_parsers), "trace block");
    assert_eq!(config.outputs[0].get("log_group_name").unwrap().value, "/cluster/shop-eu/app");
    assert_eq!(config.filters[1].get("remove_regex").unwrap().value, "^((?!unit|message).)*$");
    Plan::new(&config, &environment, &mut report);
    for problem in report.problems.iter().filter(|problem| problem.severity == Severity::Error) {
        let plugin = problem.message.starts_with("drave has no ");
        let option = problem.message.starts_with("option ") && problem.message.contains("of filter kubernetes");
        assert!(plugin || option, "{report}");
    }
}

#[test]
fn what_is_missing_or_not_there_is_told_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.yaml");
    let input = "{ name: tail, path: /a }";
    for (pipeline, expect) in [
        ("filters: [{ name: kubernetes }]", "error: filter kubernetes needs `match` or `match_regex`"),
        ("outputs: [{ name: 'null' }]", "note: output null has no `match` and is left out"),
        (
            "outputs: [{ name: 'null', match: x, processors: { logs: [{ name: cumulative_to_delta }] } }]",
            "error: drave has no processor `cumulative_to_delta`",
        ),
        ("filters: [{ name: 'no such', match: x }]", "error: unknown filter `no such`"),
    ] {
        std::fs::write(&file, format!("pipeline: {{ inputs: [{input}], {pipeline} }}\n")).unwrap();
        let (environment, mut report) = (Environment::default(), Report::default());
        let config = load(&file, &environment, &mut report);
        let plan = Plan::new(&config, &environment, &mut report);
        let shown = report.to_string();
        assert!(shown.contains(&format!("{expect}\n")), "{pipeline}\n{shown}");
        assert_eq!(plan.is_some(), expect.starts_with("note"), "{pipeline}\n{shown}");
    }
}
