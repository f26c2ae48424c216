//! The input `systemd` of the real binary: tags, filters, growth, rotation, restarts, and what goes wrong.

use super::support::agent::{Agent, poll};
use super::support::journal::{BOOT, Entry, Form, START, Tools, renumber};
use super::support::node::PATIENCE;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MACHINE: &str = "3d1219c7c4c5404aaa1f6d2a48adfda4";

/// A folder with a journal, and what agents made of it: a file for each tag.
pub(super) struct Host {
    pub(super) tools: Tools,
    root: TempDir,
    options: Vec<String>,
    pub(super) service: Vec<String>,
    pub(super) outputs: Option<String>,
}

impl Host {
    fn new(tools: Tools) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("journal").join(MACHINE)).unwrap();
        Self { tools, root, options: Vec::new(), service: Vec::new(), outputs: None }
    }

    pub(super) fn option(mut self, line: &str) -> Self {
        self.options.push(line.replace("ROOT", &self.root.path().display().to_string()));
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A file of the machine.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path("journal").join(MACHINE).join(name)
    }

    pub(super) fn write(&self, name: &str, entries: &[Entry]) {
        self.tools.write(
            &self.file(name),
            entries,
            Form { compact: true, keyed: true, compressed: true, sealed: false },
        );
    }

    pub(super) fn config(&self) -> String {
        let root = self.root.path().display();
        let lines = |lines: &[String]| lines.iter().map(|line| format!("      {line}\n")).collect::<String>();
        let outputs = self.outputs.clone().unwrap_or_else(|| {
            format!("    - {{name: file, match: '*', path: '{root}/out', mkdir: on, format: plain}}\n")
        });
        format!(
            "service:\n      flush: 0.05\n      http_server: on\n      http_listen: 127.0.0.1\n      http_port: 0\n{}\
             pipeline:\n  inputs:\n    - name: systemd\n      path: {root}/journal\n      tag: host.*\n      db: {root}/state/drave.db\n{}\
             \n  outputs:\n{outputs}",
            lines(&self.service),
            lines(&self.options)
        )
    }

    pub(super) fn start(&self) -> Agent {
        Agent::start(&self.config())
    }

    /// What came, by tag.
    fn records(&self) -> BTreeMap<String, Vec<Value>> {
        let files = fs::read_dir(self.path("out")).into_iter().flatten().map(|entry| entry.unwrap().path());
        files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), lines(&path))).collect()
    }

    /// The numbers of all messages.
    fn numbers(&self) -> Vec<u64> {
        let number =
            |record: &Value| record["MESSAGE"].as_str().unwrap().strip_prefix("message ").unwrap().parse().unwrap();
        let mut numbers: Vec<u64> = self.records().values().flatten().map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    #[track_caller]
    pub(super) fn expect(&self, agent: &Agent, numbers: impl IntoIterator<Item = u64>) {
        let expected: Vec<u64> = numbers.into_iter().collect();
        poll(PATIENCE, || self.numbers().len() >= expected.len());
        assert_eq!(self.numbers(), expected, "{}", agent.stderr());
    }
}

/// The whole lines of a file.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn host() -> Option<Host> {
    Tools::find().map(Host::new)
}

pub(super) fn of(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(|n| Entry::of(n, super::UNITS[n as usize % 4])).collect()
}

#[test]
fn a_record_has_all_fields_and_the_tag_its_unit() {
    let Some(host) = host() else { return };
    let entry = Entry::of(7, "kubelet.service").field("TAGS", "b\"").field("TAGS", "a").field("BYTES", [b'x', 0xff, 7]);
    host.write("system.journal", &[entry, Entry::of(8, "")]);
    let mut agent = host.start();
    assert!(poll(PATIENCE, || host.records().len() == 2), "{}", agent.stderr());
    assert_eq!(agent.stop(), Some(0));
    let records = host.records();
    let record = &records["host.kubelet.service"][0];
    let mut tags: Vec<&str> = record["TAGS"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["a", "b\""]);
    let mut rest = record.clone();
    rest.as_object_mut().unwrap().remove("TAGS");
    let expected = json!({"MESSAGE": "message 7", "PRIORITY": "6", "_SYSTEMD_UNIT": "kubelet.service", "BYTES": "x\u{fffd}\u{7}", "_BOOT_ID": BOOT});
    assert_eq!(rest, expected);
    assert_eq!(records["host.unknown"][0]["MESSAGE"], "message 8");
}

#[test]
fn the_time_is_the_journals_and_keys_are_written_as_asked_for() {
    let Some(mut host) = host() else { return };
    host = host.option("lowercase: on").option("strip_underscores: on").option("max_fields: 3");
    let root = host.root.path().display();
    host.outputs = Some(format!("    - {{name: file, match: '*', path: '{root}/out', mkdir: on}}\n"));
    host.write(
        "system.journal",
        &[Entry::of(7, "kubelet.service").field("_PID", "1"), Entry::new(8).field("MESSAGE", "m")],
    );
    let mut agent = host.start();
    let text = |tag: &str| fs::read_to_string(host.path("out").join(tag)).unwrap_or_default();
    assert!(poll(PATIENCE, || text("host.unknown").ends_with('\n') && text("host.kubelet.service").ends_with('\n')));
    assert_eq!(agent.stop(), Some(0));
    let seconds = START / 1_000_000;
    assert!(
        text("host.unknown").starts_with(&format!("host.unknown: [{seconds}.008000000, {{")),
        "{}",
        text("host.unknown")
    );
    let cut = text("host.kubelet.service");
    assert!(cut.contains("\"drave.truncated\":true") && !cut.contains("\"_"), "{cut}");
    assert_eq!(cut.matches("\":").count(), 4, "three fields and the mark: {cut}");
}

#[test]
fn filters_take_any_or_all_of_what_they_name() {
    let Some(tools) = Tools::find() else { return };
    let mut tools = Some(tools);
    let filters = [
        "systemd_filter: [_SYSTEMD_UNIT=kubelet.service, _SYSTEMD_UNIT=containerd.service, _SYSTEMD_UNIT=none.service]",
    ];
    for (kind, later, expected) in [
        ("or", "_SYSTEMD_UNIT=none.service", (0..240).filter(|n| n % 4 < 2).collect::<Vec<u64>>()),
        ("and", "PRIORITY=6", Vec::new()),
        ("And", "", (0..240).filter(|n| n % 4 == 1 && n % 3 == 1).collect()),
    ] {
        let filter = match later {
            "" => "systemd_filter: [_SYSTEMD_UNIT=containerd.service, THIRD=1]",
            _ => filters[0],
        };
        let host = Host::new(tools.take().or_else(Tools::find).unwrap());
        let host = host.option(filter).option(&format!("systemd_filter_type: {kind}"));
        let all: Vec<Entry> =
            (0..240).map(|n| Entry::of(n, super::UNITS[n as usize % 4]).field("THIRD", (n % 3).to_string())).collect();
        host.write("system.journal", &all[..120]);
        let mut agent = host.start();
        // What is there is found by the journal's index, what comes later entry by entry.
        assert!(poll(PATIENCE, || agent.stderr().contains("following the journal")));
        host.expect(&agent, expected.iter().copied().filter(|n| *n < 120));
        host.write("system.journal", &all[120..]);
        host.expect(&agent, expected.iter().copied());
        assert_eq!(agent.stop(), Some(0));
        host.expect(&agent, expected);
    }
}

#[test]
fn growth_rotation_and_restarts_lose_and_repeat_nothing() {
    let Some(host) = host() else { return };
    host.write("system.journal", &of(0..50));
    host.write("user-1000.journal", &of(50..60));
    let mut agent = host.start();
    host.expect(&agent, 0..60);
    host.write("system.journal", &of(60..100));
    host.expect(&agent, 0..100);
    // Rotated while it is read.
    host.write("system.journal", &of(100..120));
    fs::rename(host.file("system.journal"), host.file("system@00-01.journal")).unwrap();
    host.write("system.journal", &of(120..150));
    host.expect(&agent, 0..150);
    assert_eq!(agent.stop(), Some(0));
    // Rotated while nobody reads.
    host.write("system.journal", &of(150..160));
    fs::rename(host.file("system.journal"), host.file("system@00-02.journal")).unwrap();
    host.write("system.journal", &of(160..170));
    let mut agent = host.start();
    host.expect(&agent, 0..170);
    assert_eq!(agent.stop(), Some(0));
    // The oldest goes, as journald wants it.
    fs::remove_file(host.file("system@00-01.journal")).unwrap();
    let mut agent = host.start();
    host.write("system.journal", &of(170..180));
    host.expect(&agent, 0..180);
    assert!(!agent.page("/metrics").contains("lost_entries"), "nothing is missing");
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    host.expect(&agent, 0..180);
}

#[test]
fn who_is_killed_again_and_again_loses_nothing() {
    let Some(host) = host() else { return };
    let mut written = 0;
    for round in 0..6_u64 {
        let mut agent = host.start();
        for _ in 0..4 {
            host.write("system.journal", &of(written..written + 25));
            written += 25;
        }
        if round % 2 == 0 {
            fs::rename(host.file("system.journal"), host.file(&format!("system@00-{round}.journal"))).unwrap();
        }
        // Some rounds see all of it before the end, others nothing.
        let wanted = written * round / 6;
        poll(PATIENCE, || host.numbers().len() as u64 >= wanted);
        agent.kill();
    }
    let mut agent = host.start();
    assert!(
        poll(PATIENCE, || {
            let mut numbers = host.numbers();
            numbers.dedup();
            numbers == (0..written).collect::<Vec<_>>()
        }),
        "{}",
        agent.stderr()
    );
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn from_the_tail_is_meant_for_the_first_start() {
    let Some(host) = host() else { return };
    let host = host.option("read_from_tail: on");
    host.write("system.journal", &of(0..50));
    let mut agent = host.start();
    assert!(agent.wait_for_stderr("following the journal", PATIENCE));
    host.write("system.journal", &of(50..60));
    host.expect(&agent, 50..60);
    assert_eq!(agent.stop(), Some(0));
    host.write("system.journal", &of(60..70));
    let mut agent = host.start();
    host.expect(&agent, 50..70);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn fluent_bits_cursor_is_taken_over_once() {
    let Some(host) = host() else { return };
    let host = host.option("alias: taken").option("db: ROOT/flb/journal.db");
    host.write("system.journal", &of(0..50));
    let cursor = host.tools.read(&host.file("system.journal"), &[])[29].cursor.clone();
    fs::create_dir(host.path("flb")).unwrap();
    let database = rusqlite::Connection::open(host.path("flb/journal.db")).unwrap();
    database.execute_batch("CREATE TABLE in_systemd_cursor (cursor TEXT NOT NULL, updated INTEGER);").unwrap();
    database.execute("INSERT INTO in_systemd_cursor VALUES (?, 1700000000)", [cursor]).unwrap();
    drop(database);
    let before = fs::read(host.path("flb/journal.db")).unwrap();
    let config =
        host.config().replacen(&format!("db: {}/state/drave.db", host.root.path().display()), "max_entries: 7", 1);
    let config =
        config.replacen("service:\n", &format!("service:\n      state_dir: {}/state\n", host.root.path().display()), 1);
    let mut agent = Agent::start(&config);
    host.expect(&agent, 30..50);
    assert_eq!(agent.stop(), Some(0));
    assert!(agent.stderr().contains("took over the journal's cursor"), "{}", agent.stderr());
    host.write("system.journal", &of(50..55));
    let mut agent = Agent::start(&config);
    host.expect(&agent, 30..55);
    assert_eq!(agent.stop(), Some(0));
    assert!(!agent.stderr().contains("took over"), "{}", agent.stderr());
    assert!(fs::read(host.path("flb/journal.db")).unwrap() == before, "it was written to");
}

#[test]
fn entries_that_were_deleted_unread_are_counted() {
    let Some(host) = host() else { return };
    for (name, numbers) in [("1", 0..20_u64), ("2", 20..45), ("system", 45..60)] {
        let from = numbers.start;
        host.write(&format!("{name}.journal"), &of(numbers));
        renumber(&host.file(&format!("{name}.journal")), [7; 16], from);
    }
    let keep = |name: &str| fs::rename(host.file(name), host.path(name)).unwrap();
    keep("2.journal");
    keep("system.journal");
    fs::rename(host.file("1.journal"), host.file("system@00-1.journal")).unwrap();
    let mut agent = host.start();
    host.expect(&agent, 0..20);
    assert_eq!(agent.stop(), Some(0));
    // The second file came and went, and the first one with it.
    fs::remove_file(host.file("system@00-1.journal")).unwrap();
    fs::rename(host.path("system.journal"), host.file("system.journal")).unwrap();
    let mut agent = host.start();
    host.expect(&agent, (0..20).chain(45..60));
    let lost = "drave_input_lost_entries_total{input=\"systemd.0\",reason=\"gone_before_read\"} 25";
    assert!(agent.page("/metrics").contains(lost), "{}", agent.page("/metrics"));
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn damaged_entries_are_left_out_and_counted() {
    let Some(host) = host() else { return };
    host.write("system.journal", &of(0..50));
    let path = host.file("system.journal");
    let mut bytes = fs::read(&path).unwrap();
    let at = memchr::memmem::find(&bytes, b"MESSAGE=message 17").unwrap();
    bytes[at + 10] ^= 1;
    fs::write(host.file("system@00-1.journal"), bytes).unwrap();
    fs::remove_file(path).unwrap();
    let mut agent = host.start();
    host.expect(&agent, (0..50).filter(|n| *n != 17));
    assert!(
        agent.page("/metrics").contains("drave_input_lost_entries_total{input=\"systemd.0\",reason=\"unreadable\"} 1")
    );
    assert_eq!(agent.stop(), Some(0));
    assert!(agent.stderr().contains("a field does not fit its hash"), "{}", agent.stderr());
}

#[test]
fn an_output_that_is_stuck_stops_its_own_units_alone() {
    let Some(mut host) = host() else { return };
    host.service = vec!["mem_limit: 2M".into(), "grace: 1".into()];
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let root = host.root.path().display();
    host.outputs = Some(format!(
        "    - {{name: http, match: host.kubelet.service, host: 127.0.0.1, port: {closed}}}\n    \
         - {{name: file, match: host.containerd.service, path: '{root}/out', mkdir: on, format: plain}}\n"
    ));
    let entry = |n: u64| {
        let unit = if n < 6000 && !n.is_multiple_of(10) { "kubelet.service" } else { "containerd.service" };
        Entry::of(n, unit).field("PADDING", format!("{n:0>1000}"))
    };
    host.write("system.journal", &(0..6100).map(entry).collect::<Vec<_>>());
    let mut agent = host.start();
    let wanted = (0..6000).step_by(10).chain(6000..6100);
    host.expect(&agent, wanted.clone());
    agent.kill();
    // Nothing of it may be passed.
    let mut agent = host.start();
    poll(PATIENCE, || host.numbers().len() >= 2 * wanted.clone().count());
    let numbers = host.numbers();
    assert_eq!(numbers.len(), 2 * wanted.count(), "the position did not move: {}", agent.stderr());
    agent.kill();
}
