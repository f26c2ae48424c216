//! The command line: what it says, and with which code it ends.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::agent::{Agent, poll};
use support::sink::{Act, Sink};
use support::site::{SOON, Site, free_address, http, numbered};

fn drave(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drave")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "command_line", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

#[test]
fn version_help_and_nothing() {
    let here = Path::new(".");
    let version = drave(&["--version"], here);
    assert_eq!(
        (version.status.code(), text(&version.stdout)),
        (Some(0), format!("drave {}\n", env!("CARGO_PKG_VERSION")))
    );
    let help = drave(&["--help"], here);
    assert_eq!((help.status.code(), text(&help.stderr).as_str()), (Some(0), ""));
    snapshot!("help", text(&help.stdout));
    let nothing = drave(&[], here);
    assert_eq!((nothing.status.code(), text(&nothing.stdout).as_str()), (Some(64), ""));
    snapshot!("nothing", text(&nothing.stderr));
    let unknown = drave(&["chek", "x"], here);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(text(&unknown.stderr).contains("check"), "{}", text(&unknown.stderr));
}

/// Runs command lines that must be refused, or only be checked; what they say.
fn transcript(lines: &[&[&str]], folder: &Path) -> String {
    let mut shown = String::new();
    for words in lines {
        let output = drave(words, folder);
        let (code, stdout, stderr) = (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr));
        shown += &format!("$ drave {}\n{stdout}{stderr}=> {code}\n\n", words.join(" "));
    }
    shown
}

#[test]
fn command_lines_that_cannot_be_read() {
    let lines: &[&[&str]] = &[
        &["--iput", "tail"],
        &["-i"],
        &["-x"],
        &["check"],
        &["README.md"],
        &["check", "a.conf", "--format", "jsn"],
        &["convert"],
        &["-c", "a.conf", "check", "b.conf"],
        &["run"],
        &["completions", "bsh"],
        &["-w", "nowhere", "-c", "a.conf"],
    ];
    let shown = transcript(lines, Path::new("."));
    assert_eq!(shown.matches("=> 64\n").count(), lines.len(), "{shown}");
    snapshot!("cannot_be_read", shown);
}

#[test]
fn what_is_wrong_in_the_quick_form() {
    let lines: &[&[&str]] = &[
        &["-i", "tail", "-p", "path_kye=a.log", "-p", "path=a.log", "-o", "stdout"],
        &["-i", "tale", "-p", "path=a.log", "-o", "stdot", "-t", "x"],
        &["-i", "forward", "-o", "stdout"],
        &["-p", "path=a.log", "-m", "*", "-i", "tail", "-p", "path", "-o", "stdout", "-p", "format="],
        &["-i", "tail", "-p", "path=a.log", "-F", "kubernets", "-o", "http", "-p", "prot=80"],
        &["-f", "soon", "-P", "99999", "-L", "here", "-i", "tail", "-p", "path=a.log", "-p", "read_from_head=maybe"],
        &["-o", "stdout"],
        &["-i", "tail", "-p", "path=a.log"],
        &["-i", "tail", "-p", "path=a.log", "-o", "stdout", "-T", "SELECT * FROM STREAM:x;", "-S", "-J"],
    ];
    // Should one of them be right after all, it is not run.
    let lines: Vec<Vec<&str>> = lines.iter().map(|words| [&["-D"], *words].concat()).collect();
    let lines: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
    let shown = transcript(&lines, Path::new("."));
    assert_eq!(shown.matches("=> 64\n").count(), lines.len(), "{shown}");
    snapshot!("quick_errors", shown);
}

#[test]
fn what_happens_to_records_is_explained() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let explained = transcript(&[&["explain", "-c", "filters.yaml"], &["explain", "-c", "stdout.yaml"]], &examples);
    snapshot!("explain", explained);
    assert_eq!(drave(&["explain", "-c", "nowhere.yaml"], &examples).status.code(), Some(64));
}

#[test]
fn what_has_no_effect_is_noted() {
    let words = "-D -d -YWZ --supervisor -b /x -s 9 -e a.so -C c -p a=b --trace-input=tail.0 -i tail -m x -p path=a.log -r r -o stdout";
    let words: Vec<&str> = words.split(' ').collect();
    let shown = transcript(&[&words], Path::new("."));
    assert!(shown.contains("command line: ok\n") && shown.ends_with("=> 0\n\n"), "{shown}");
    snapshot!("quick_notes", shown);
}

/// Runs to the end of its files: standard output.
fn run_quick(words: &[&str], folder: &Path) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_drave"))
        .args(["-i", "tail", "-p", "read_from_head=on", "-p", "exit_on_eof=on"])
        .args(words)
        .current_dir(folder)
        .stdout(fs::File::create(folder.join("stdout")).unwrap())
        .stderr(fs::File::create(folder.join("stderr")).unwrap())
        .spawn()
        .unwrap();
    let ended = poll(SOON, || child.try_wait().unwrap().is_some());
    let _ = child.kill();
    let status = child.wait().unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(ended && status.success(), "{}", read("stderr"));
    read("stdout")
}

/// The values of a key, one per line of JSON.
fn values(lines: &str, pointer: &str) -> Vec<String> {
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap().pointer(pointer).unwrap().clone();
    lines.lines().map(|line| value(line).as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_quick_form_prints_a_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), "one\ntwo\n").unwrap();
    let printed = run_quick(&["-p", "path=a.log", "-o", "stdout", "-p", "format=json_lines"], folder.path());
    assert_eq!(values(&printed, "/log"), ["one", "two"]);
}

#[test]
fn the_quick_form_filters_and_routes() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("web-1_shop_main-{}.log", "0".repeat(64));
    fs::write(folder.path().join(&name), "2026-01-02T03:04:05Z stdout F hello\n").unwrap();
    fs::write(folder.path().join("b.log"), "other\n").unwrap();
    let path = format!("path={name}");
    let words = [
        "-p",
        &path,
        "-p",
        "multiline.parser=cri",
        "-t",
        "kube.var.log.containers.*",
        "-i",
        "tail",
        "-p",
        "path=b.log",
        "-p",
        "read_from_head=on",
        "-p",
        "exit_on_eof=on",
        "-F",
        "kubernetes",
        "-m",
        "kube.*",
        "-o",
        "stdout",
        "-p",
        "format=json_lines",
        "-m",
        "kube.*",
        "-o",
        "null",
        "-f",
        "0.1",
        "-q",
    ];
    let printed = run_quick(&words, folder.path());
    assert_eq!(values(&printed, "/kubernetes/pod_name"), ["web-1"], "{printed}");
    assert_eq!(fs::read_to_string(folder.path().join("stderr")).unwrap(), "", "-q");
}

/// Paths of the command line start where it was typed, those of the file where it lies.
#[test]
fn a_file_and_the_command_line_together() {
    let folder = tempfile::tempdir().unwrap();
    let of = folder.path().join("of");
    fs::create_dir(&of).unwrap();
    fs::write(of.join("a.log"), "of the file\n").unwrap();
    fs::write(folder.path().join("a.log"), "{\"log\":\"of the command line\"}\n").unwrap();
    fs::write(folder.path().join("parsers.conf"), "[PARSER]\n    name own\n    format json\n").unwrap();
    let config = "[SERVICE]\n    log_level off\n    flush 50ms\n[INPUT]\n    name tail\n    path a.log\n    read_from_head on\n    exit_on_eof on\n[OUTPUT]\n    name stdout\n    match *\n    format json_lines\n";
    fs::write(of.join("agent.conf"), config).unwrap();
    let words =
        ["-p", "path=a.log", "-p", "parser=own", "-R", "parsers.conf", "-l", "drave.log", "-v", "-c", "of/agent.conf"];
    let mut printed = values(&run_quick(&words, folder.path()), "/log");
    printed.sort();
    assert_eq!(printed, ["of the command line", "of the file"]);
    let log = fs::read_to_string(folder.path().join("drave.log")).unwrap();
    assert!(log.contains("stopped"), "-v holds against the file: {log}");
}

#[test]
fn a_dry_run_checks_and_changes_to_the_folder_first() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("of")).unwrap();
    let config = "pipeline:\n  inputs:\n    - name: tail\n      path: a.log\n      db: a.db\n  outputs:\n    - name: stdout\n      match: '*'\n";
    fs::write(folder.path().join("of/a.yaml"), config).unwrap();
    for words in [&["-D", "-w", "of", "-c", "a.yaml"][..], &["run", "--dry-run", "--workdir=of", "--config=a.yaml"]] {
        let output = drave(words, folder.path());
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "a.yaml: ok\n".into()));
    }
    assert_eq!(fs::read_dir(folder.path().join("of")).unwrap().count(), 1, "nothing is left behind");
    let output = drave(&["-D", "-c", "tests/command_line/broken/ten_mistakes.yaml"], Path::new("."));
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""));
    assert!(text(&output.stderr).ends_with("\n10 errors\n"));
}

#[test]
fn check_writes_json() {
    let check = |name: &str, folder: &Path| {
        let output = drave(&["check", name, "--format", "json"], folder);
        assert_eq!(text(&output.stderr), "");
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code() == Some(0), object["valid"] == true);
        object
    };
    let broken = check("ten_mistakes.conf", Path::new("tests/command_line/broken"));
    assert_eq!(broken["errors"].as_array().unwrap().len(), 10);
    snapshot!("check_json", format!("{:#}", broken["errors"][4]));
    let good = check("config/drave.yaml", Path::new("."));
    assert_eq!((&good["file"], &good["errors"]), (&"config/drave.yaml".into(), &serde_json::json!([])));
    let missing = check("nowhere.yaml", Path::new("."));
    assert_eq!(missing["errors"][0]["line"], serde_json::Value::Null);
}

#[test]
fn shells_complete_options_and_subcommands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = drave(&["completions", shell], Path::new("."));
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
        let script = text(&output.stdout);
        assert!(script.contains("storage_path") && script.contains("completions"), "{shell}: {script}");
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &drave(&["completions", "bash"], Path::new(".")).stdout)
        .unwrap();
    assert!(bash.wait().unwrap().success());
}

/// A file that has ten mistakes: everything that `check` says.
fn broken(name: &str) -> (Option<i32>, String) {
    let folder = Path::new("tests/command_line/broken");
    let output = drave(&["check", name], folder);
    assert_eq!(text(&output.stdout), "");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn ten_mistakes_are_told_at_once_in_both_syntaxes() {
    for name in ["ten_mistakes.yaml", "ten_mistakes.conf"] {
        let (code, stderr) = broken(name);
        assert_eq!(code, Some(64), "{name}");
        snapshot!(name.replace('.', "_"), &stderr);
        assert!(stderr.ends_with("\n10 errors\n"), "{stderr}");
        let problems: Vec<&str> = stderr.split("error: ").skip(1).collect();
        assert_eq!(problems.len(), 10, "{stderr}");
        for problem in problems {
            assert!(problem.contains(&format!("--> {name}:")) && problem.contains("hint: "), "{problem}");
        }
    }
}

#[test]
fn a_good_file_is_good_in_both_syntaxes() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "pipeline:\n  inputs:\n    - name: tail\n      path: a.log\n      db: positions.db\n  outputs:\n    - name: stdout\n      match: '*'\n";
    let classic =
        "[INPUT]\n    name tail\n    path a.log\n    db positions.db\n[OUTPUT]\n    name stdout\n    match *\n";
    for (name, text_of_file) in [("good.yaml", yaml), ("good.conf", classic)] {
        fs::write(folder.path().join(name), text_of_file).unwrap();
        let output = drave(&["check", name], folder.path());
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), format!("{name}: ok\n")));
        assert_eq!(text(&output.stderr), "");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "check leaves nothing behind");
}

#[test]
fn a_file_that_is_not_there() {
    for arguments in [&["check", "nowhere.yaml"][..], &["-c", "nowhere.yaml"], &["run", "-c", "nowhere.yaml"]] {
        let output = drave(arguments, Path::new("."));
        assert_eq!(output.status.code(), Some(64));
        let stderr = text(&output.stderr);
        assert!(stderr.contains("cannot read nowhere.yaml") && stderr.contains("hint: "), "{stderr}");
    }
}

#[test]
fn a_broken_file_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), numbered(1, 0..10)).unwrap();
    let config = "service:\n  state_dir: state\n  log_file: drave.log\npipeline:\n  inputs:\n    - name: tail\n      path: a.log\n      read_from_head: on\n  outputs:\n    - name: stdout\n      match: '*'\n    - name: htpp\n      match: '*'\n";
    fs::write(folder.path().join("drave.yaml"), config).unwrap();
    let output = drave(&["-c", "drave.yaml"], folder.path());
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""));
    assert!(text(&output.stderr).contains("did you mean `http`?"), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "neither a state folder nor a log");
}

#[test]
fn a_second_signal_ends_at_once() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::Hang);
    let site = Site::new().service(&["flush: 50ms", "grace: 100s"]);
    site.write("a.log", 1, 0..10);
    let mut running = site.start(&[http(sink.address, &[])]);
    assert!(sink.wait_for_requests(1, SOON), "{}", running.agent.stderr());
    running.agent.signal(Signal::TERM);
    assert!(running.agent.wait_for_stderr("stopping", SOON));
    assert_eq!(running.agent.wait(Duration::from_millis(500)), None, "the grace period lasts");
    let start = Instant::now();
    running.agent.signal(Signal::INT);
    assert_eq!(running.agent.wait(SOON).expect("it ends").code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(running.agent.stderr().contains("not delivered within the grace period"), "{}", running.agent.stderr());
}

#[test]
fn a_reader_of_standard_output_that_does_not_read_holds_up_no_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), numbered(1, 0..20_000)).unwrap();
    let config = "service:\n  flush: 50ms\n  grace: 1s\npipeline:\n  inputs:\n    - name: tail\n      path: a.log\n      read_from_head: on\n  outputs:\n    - name: stdout\n      match: '*'\n";
    fs::write(folder.path().join("drave.yaml"), config).unwrap();
    let stderr = fs::File::create(folder.path().join("stderr")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_drave"))
        .args(["-c", "drave.yaml"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let said = |what: &str| fs::read_to_string(folder.path().join("stderr")).unwrap().contains(what);
    assert!(poll(SOON, || said("running")));
    // Until the pipe is full and a write hangs.
    std::thread::sleep(Duration::from_secs(1));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = poll(Duration::from_secs(10), || child.try_wait().unwrap().is_some());
    let _ = child.kill();
    child.wait().unwrap();
    assert!(ended, "it hangs");
}

/// Runs against a destination that nobody listens at, and one that refuses; what is in the log.
fn troubled(service: &[&str]) -> Vec<String> {
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(403));
    let site = Site::new().service(service);
    site.write("a.log", 1, 0..10);
    let mut running = site.start(&[http(free_address(), &[]), http(sink.address, &["alias: refusing"])]);
    running.wait_for("both to fail", |m| {
        ["http.0", "refusing"].iter().all(|output| m.sum("drave_output_retries_total", ("output", output)) > 0)
    });
    assert!(running.agent.wait_for_stderr("check the credentials", SOON), "{}", running.agent.stderr());
    running.agent.signal(Signal::TERM);
    running.agent.wait(SOON).expect("it ends");
    running.agent.stderr().lines().map(str::to_owned).collect()
}

#[test]
fn log_format_json_is_json_with_level_and_message() {
    let lines = troubled(&["flush: 50ms", "grace: 100ms", "log_format: json"]);
    let mut levels = std::collections::BTreeSet::new();
    for line in &lines {
        let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["message"].is_string() && object["timestamp"].is_string(), "{line}");
        levels.insert(object["level"].as_str().unwrap().to_owned());
    }
    assert_eq!(levels.into_iter().collect::<Vec<_>>(), ["ERROR", "INFO", "WARN"], "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("\"output\":\"refusing\"")), "{lines:#?}");
}

#[test]
fn log_level_error_shows_errors_only() {
    let lines = troubled(&["flush: 50ms", "grace: 100ms", "log_level: error"]);
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("ERROR")), "{lines:#?}");
}

#[test]
fn what_repeats_is_held_back_and_counted_and_hides_no_other_output() {
    let sinks = [Sink::start(), Sink::start()];
    sinks.iter().for_each(|sink| sink.answer_with(|_| Act::status(503)));
    let site = Site::new();
    site.write("a.log", 1, 0..100);
    let options = ["batch_bytes_max: 1k", "in_flight_max: 8"];
    let running = site.start(&[http(sinks[0].address, &options), http(sinks[1].address, &options)]);
    let count = |output: &str| {
        let of = |line: &&str| line.contains("cannot deliver") && line.contains(output);
        running.agent.stderr().lines().filter(of).count()
    };
    assert!(poll(SOON, || sinks.iter().all(|sink| sink.requests().len() >= 20)));
    assert_eq!((count("http.0"), count("http.1")), (1, 1), "{}", running.agent.stderr());
    assert!(running.agent.wait_for_stderr("were held back", Duration::from_secs(60)), "{}", running.agent.stderr());
    let stderr = running.agent.stderr();
    let lines: Vec<&str> = stderr.lines().collect();
    let at = lines.iter().position(|line| line.contains("were held back")).unwrap();
    assert!(lines[at].contains("count="), "{}", lines[at]);
    assert!(lines.get(at + 1).is_some_and(|next| next.contains("cannot deliver")), "{stderr}");
}

#[test]
fn a_log_file_takes_the_messages_and_what_ends_it_is_on_stderr_too() {
    let taken = free_address();
    let holder = std::net::TcpListener::bind(taken).unwrap();
    let config = format!(
        "service:\n  log_file: drave.log\n  http_server: on\n  http_listen: 127.0.0.1\n  http_port: {}\npipeline:\n  inputs:\n    - name: tail\n      path: a.log\n  outputs:\n    - name: stdout\n      match: '*'\n",
        taken.port()
    );
    let mut agent = Agent::start(&config);
    assert_eq!(agent.wait(SOON).expect("it ends").code(), Some(64));
    drop(holder);
    let log = fs::read_to_string(agent.folder().join("drave.log")).unwrap();
    assert!(log.contains("cannot listen") && log.contains("hint: "), "{log}");
    assert!(agent.stderr().starts_with("error: ") && agent.stderr().contains("\n  hint: "), "{}", agent.stderr());
}
