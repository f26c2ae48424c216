//! What journald does with its files while drave reads: it moves them from /run to /var, deletes the oldest, goes on after SIGTERM; and
//! drave's own entries in them.

use super::agent::{Host, host, of};
use super::support::agent::{Agent, poll};
use super::support::journal::{Entry, Form};
use super::support::node::PATIENCE;
use super::support::sink::{Act, Sink};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const MACHINE: &str = "3d1219c7c4c5404aaa1f6d2a48adfda4";
const FORM: Form = Form { compact: true, keyed: true, compressed: true, sealed: false };

/// Where the folders of the journal are those of the test, in a name space of mounts of its own; `false` where the kernel does not let us.
fn may_mount(host: &Host) -> bool {
    ["var/journal", "run/log/journal"].iter().for_each(|name| fs::create_dir_all(host.path(name)).unwrap());
    let mounts = ["-m", "sh", "-c", "mount --bind \"$1\" /var/log && mount --bind \"$2\" /run", "sh"];
    let tried = Command::new("unshare").args(mounts).arg(host.path("var")).arg(host.path("run")).output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Reads both folders that journald knows.
fn start_as_on_a_node(host: &Host) -> Agent {
    let (var, run) = (host.path("var"), host.path("run"));
    let path = format!("      path: {}\n", host.path("journal").display());
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("drave.yaml");
    fs::write(&config, host.config().replace(&path, "")).unwrap();
    let script = "mount --bind \"$1\" /var/log && mount --bind \"$2\" /run && exec \"$3\" -c \"$4\"";
    let text = |path: &Path| path.display().to_string();
    let places = [text(&var), text(&run), env!("CARGO_BIN_EXE_drave").to_owned(), text(&config)];
    let line: Vec<&str> =
        ["-m", "sh", "-c", script, "sh"].into_iter().chain(places.iter().map(String::as_str)).collect();
    Agent::start_line(Path::new("unshare"), folder, &line, &[])
}

#[test]
fn a_flush_from_run_to_var_repeats_nothing() {
    let Some(host) = host() else { return };
    if !may_mount(&host) {
        return println!("skipped: nothing can be mounted here");
    }
    let (run, var) = (host.path("run/log/journal").join(MACHINE), host.path("var/journal").join(MACHINE));
    fs::create_dir_all(&run).unwrap();
    let write = |folder: &Path, name: &str, entries: &[Entry]| host.tools.write(&folder.join(name), entries, FORM);
    // Rotated, and written to.
    write(&run, "system@00-01.journal", &of(0..30));
    write(&run, "system.journal", &of(30..50));
    let mut agent = start_as_on_a_node(&host);
    host.expect(&agent, 0..50);
    // Before the first copy of the last entry is there, and behind it.
    fs::create_dir_all(&var).unwrap();
    for part in [0..10, 10..45, 45..50] {
        write(&var, "system.journal", &of(part));
    }
    fs::remove_dir_all(&run).unwrap();
    write(&var, "system.journal", &of(50..60));
    host.expect(&agent, 0..60);
    // Back to /run, and flushed to a file that is followed already.
    fs::create_dir_all(&run).unwrap();
    write(&run, "system.journal", &of(60..80));
    host.expect(&agent, 0..80);
    write(&var, "system.journal", &of(60..80));
    fs::remove_dir_all(&run).unwrap();
    write(&var, "system.journal", &of(80..90));
    host.expect(&agent, 0..90);
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    // Flushed while nobody reads.
    fs::create_dir_all(&run).unwrap();
    let mut agent = start_as_on_a_node(&host);
    write(&run, "system.journal", &of(90..100));
    host.expect(&agent, 0..100);
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    host.expect(&agent, 0..100);
}

/// Between two looks at the files.
#[test]
fn what_is_written_right_before_a_flush_comes_once() {
    for _ in 0..4 {
        let Some(host) = host() else { return };
        if !may_mount(&host) {
            return println!("skipped: nothing can be mounted here");
        }
        let (run, var) = (host.path("run/log/journal").join(MACHINE), host.path("var/journal").join(MACHINE));
        [&run, &var].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        let write = |folder: &Path, numbers| host.tools.write(&folder.join("system.journal"), &of(numbers), FORM);
        write(&run, 0..20);
        let mut agent = start_as_on_a_node(&host);
        host.expect(&agent, 0..20);
        agent.signal(Signal::STOP);
        write(&run, 20..40);
        write(&var, 0..40);
        fs::remove_dir_all(&run).unwrap();
        agent.signal(Signal::CONT);
        write(&var, 40..50);
        host.expect(&agent, 0..50);
        assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
        host.expect(&agent, 0..50);
    }
}

/// Copies of what waits for it are passed, and read again after a kill.
#[test]
fn an_output_that_is_away_during_a_flush_stops_no_other() {
    let Some(mut host) = host() else { return };
    if !may_mount(&host) {
        return println!("skipped: nothing can be mounted here");
    }
    let (run, var) = (host.path("run/log/journal").join(MACHINE), host.path("var/journal").join(MACHINE));
    [&run, &var].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let (port, out) = (sink.address.port(), host.path("out"));
    host.outputs = Some(format!(
        "    - {{name: http, match: host.kubelet.service, port: {port}, format: json_lines}}\n    \
         - {{name: file, match: host.containerd.service, path: '{}', mkdir: on, format: plain}}\n",
        out.display()
    ));
    // Even numbers go where nothing arrives.
    let write = |folder: &Path, numbers: std::ops::Range<u64>| {
        let unit = |n: u64| if n.is_multiple_of(2) { "kubelet.service" } else { "containerd.service" };
        let entries: Vec<Entry> = numbers.map(|n| Entry::of(n, unit(n))).collect();
        host.tools.write(&folder.join("system.journal"), &entries, FORM);
    };
    let odd = |until: u64| (0..until).filter(|n| n % 2 == 1);
    write(&run, 0..40);
    let mut agent = start_as_on_a_node(&host);
    host.expect(&agent, odd(40));
    write(&var, 0..40);
    fs::remove_dir_all(&run).unwrap();
    write(&var, 40..60);
    host.expect(&agent, odd(60));
    agent.kill();
    sink.answer_with(|_| Act::status(200));
    let agent = start_as_on_a_node(&host);
    let came = || -> BTreeSet<String> {
        sink.records().iter().map(|record| record["MESSAGE"].as_str().unwrap().to_owned()).collect()
    };
    let even: BTreeSet<String> = (0..60).step_by(2).map(|n| format!("message {n}")).collect();
    assert!(poll(PATIENCE, || came() == even), "{:?}\n{}", came(), agent.stderr());
}

#[test]
fn entries_of_both_folders_are_no_copies_of_each_other() {
    let Some(host) = host() else { return };
    if !may_mount(&host) {
        return println!("skipped: nothing can be mounted here");
    }
    let (run, var) = (host.path("run/log/journal").join(MACHINE), host.path("var/journal").join(MACHINE));
    for (folder, half) in [(&run, 0), (&var, 1)] {
        fs::create_dir_all(folder).unwrap();
        let entries: Vec<Entry> = (0..40).filter(|n| n % 2 == half).map(|n| Entry::of(n, "kubelet.service")).collect();
        host.tools.write(&folder.join("system.journal"), &entries, FORM);
    }
    let mut agent = start_as_on_a_node(&host);
    host.expect(&agent, 0..40);
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
}

#[test]
fn what_vacuum_deletes_is_held_until_it_is_delivered() {
    let Some(mut host) = host() else { return };
    let sink = Sink::start();
    sink.answer_with(|_| Act::status(503));
    let port = sink.address.port();
    host.service = vec!["mem_limit: 2M".into()];
    host.outputs = Some(format!("    - {{name: http, match: '*', port: {port}, format: json_lines}}\n"));
    let entry = |n: u64| Entry::of(n, "kubelet.service").field("PADDING", format!("{n:0>1000}"));
    host.write("system@00-01.journal", &(0..4000).map(entry).collect::<Vec<_>>());
    host.write("system.journal", &(4000..4010).map(entry).collect::<Vec<_>>());
    let mut agent = host.start();
    assert!(poll(PATIENCE, || !sink.requests().is_empty()), "{}", agent.stderr());
    fs::remove_file(host.file("system@00-01.journal")).unwrap();
    let is_held = || {
        agent
            .page("/metrics")
            .lines()
            .any(|line| line.starts_with("drave_input_deleted_held_bytes{") && !line.ends_with(" 0"))
    };
    assert!(poll(PATIENCE, is_held), "{}", agent.page("/metrics"));
    sink.answer_with(|_| Act::status(200));
    let numbers = || -> BTreeSet<String> {
        sink.records().iter().filter_map(|record| Some(record["MESSAGE"].as_str()?.to_owned())).collect()
    };
    assert!(poll(PATIENCE, || numbers().len() == 4010), "{} came\n{}", numbers().len(), agent.stderr());
    assert!(!agent.page("/metrics").contains("drave_input_lost"), "{}", agent.page("/metrics"));
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn what_is_written_after_sigterm_is_drained_where_that_is_asked_for() {
    for _ in 0..5 {
        let Some(mut host) = host() else { return };
        host.service = vec!["on_term: drain".into()];
        host.write("system.journal", &of(0..20));
        let mut agent = host.start();
        host.expect(&agent, 0..20);
        let asked = Instant::now();
        agent.signal(Signal::TERM);
        host.write("system.journal", &of(20..40));
        let was_quick = asked.elapsed() < Duration::from_secs(1);
        let ended = agent.wait(PATIENCE).and_then(|status| status.code());
        // After two quiet seconds it is right to end.
        if was_quick {
            assert_eq!(ended, Some(0), "{}", agent.stderr());
            return host.expect(&agent, 0..40);
        }
    }
    println!("skipped: this machine is too slow to tell");
}

#[test]
fn its_own_entries_are_left_out_where_its_log_goes_into_the_journal() {
    let Some(host) = host() else { return };
    let invocation = "5f6a9f0d3c5d4b0e9e7d7c1a2b3c4d5e";
    let entry = |n: u64| {
        Entry::of(n, "drave.service")
            .field("_SYSTEMD_INVOCATION_ID", if n.is_multiple_of(3) { invocation } else { BEFORE })
    };
    host.write("system.journal", &(0..30).map(entry).collect::<Vec<_>>());
    for (is_journal, expected) in
        [(true, (0..30_u64).filter(|n| n % 3 != 0).collect::<Vec<u64>>()), (false, (0..30).collect())]
    {
        let _ = fs::remove_dir_all(host.path("out"));
        let _ = fs::remove_dir_all(host.path("state"));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("drave.yaml"), host.config()).unwrap();
        let stderr = fs::File::create(folder.path().join("stderr")).unwrap().metadata().unwrap();
        let stream = format!("{}:{}", stderr.dev() + u64::from(!is_journal), stderr.ino());
        let environment = [("JOURNAL_STREAM", stream.as_str()), ("INVOCATION_ID", invocation)];
        let mut agent = Agent::start_on(folder, "drave.yaml", &environment);
        host.expect(&agent, expected.iter().copied());
        assert_eq!(agent.stop(), Some(0));
        host.expect(&agent, expected);
    }
}

/// Of the start before: what it said then may be read.
const BEFORE: &str = "00000000000000000000000000000001";

#[test]
fn it_ends_by_itself_where_nothing_more_will_come_and_its_cursors_are_shown() {
    let Some(host) = host() else { return };
    let host = host.option("exit_on_eof: on").option("alias: node");
    host.write("system.journal", &of(0..50));
    let mut agent = host.start();
    assert_eq!(agent.wait(PATIENCE).and_then(|status| status.code()), Some(0), "{}", agent.stderr());
    host.expect(&agent, 0..50);
    let state = host.path("state");
    let positions = |format: &str| {
        let command =
            Command::new(env!("CARGO_BIN_EXE_drave")).arg("positions").arg(&state).args(["--format", format]).output();
        String::from_utf8(command.unwrap().stdout).unwrap()
    };
    let cursor = host.tools.read(&host.file("system.journal"), &[])[49].cursor.clone();
    let json: Value = serde_json::from_str(&positions("json")).unwrap();
    assert_eq!((&json[0]["input"], &json[0]["cursor"]), (&"node".into(), &cursor.as_str().into()), "{json}");
    let table = positions("table");
    assert!(table.starts_with("INPUT  JOURNAL") && table.contains(&cursor), "{table}");
}
