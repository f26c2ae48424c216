//! The inputs `stdin`, `dummy` and `kmsg`.

use super::support::agent::{Agent, poll};
use super::support::sink::{Act, Sink};
use super::{PATIENCE, config, metric};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn standard_input_is_read_to_its_end_which_is_that_of_drave() {
    let sink = Sink::start();
    // What cannot be delivered for now is waited for.
    sink.next(Act::status(503));
    let (mut agent, mut input) = Agent::start_fed(&config(&sink, "name: stdin, tag: in", ""));
    write!(input, "{{\"a\": 1}}\n[1700000000.25, {{\"b\": {{\n\"c\": 2}}}}]\nplain text\n{{\"d\": 3}}").unwrap();
    drop(input);
    let status = agent.wait(PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", agent.stderr());
    let mut records = sink.records();
    assert_eq!(records[1]["date"], 1_700_000_000_250_u64);
    records.iter_mut().for_each(|record| _ = record.as_object_mut().unwrap().remove("date"));
    assert_eq!(records, [json!({"a": 1}), json!({"b": {"c": 2}}), json!({"log": "plain text"}), json!({"d": 3})]);
    assert!(!agent.stderr().contains("positions are kept"), "{}", agent.stderr());
}

#[test]
fn lines_of_standard_input_are_parsed() {
    let sink = Sink::start();
    let (mut agent, mut input) = Agent::start_fed(&config(&sink, "name: stdin, parser: logfmt, buffer_size: 20", ""));
    input.write_all(b"level=info n=1\n\nlevel=a-line-that-is-too-long\nlevel=warn").unwrap();
    drop(input);
    assert!(agent.wait(PATIENCE).is_some_and(|status| status.success()), "{}", agent.stderr());
    let levels: Vec<Value> = sink.records().iter().map(|record| record["level"].clone()).collect();
    assert_eq!(levels, ["info", "a-line-that-is", "warn"]);
}

#[test]
fn what_stands_in_the_pipe_at_a_stop_is_delivered() {
    let sink = Sink::start();
    let (mut agent, mut input) = Agent::start_fed(&config(&sink, "name: stdin", ""));
    assert!(agent.wait_for_stderr("running", PATIENCE));
    writeln!(input, "seq=0001-00000000;").unwrap();
    assert!(sink.wait_for(1, PATIENCE));
    input.write_all(b"seq=0001-00000001;\nseq=0001-00000002;").unwrap();
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert_eq!((sink.counts().distinct, sink.counts().duplicates), (3, 0));
    drop(input);
}

#[test]
fn a_writer_waits_while_there_is_no_room() {
    let sink = Sink::start();
    sink.answer_with(|_| Act::Hang);
    let more = "  filters: []\n";
    let text = config(&sink, "name: stdin", more).replace("flush: 50ms", "flush: 50ms, mem_limit: 1M, grace: 1");
    let (mut agent, mut input) = Agent::start_fed(&text);
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let writer = std::thread::spawn({
        let written = std::sync::Arc::clone(&written);
        let line = format!("{}\n", "x".repeat(999));
        move || {
            while input.write_all(line.as_bytes()).is_ok() {
                written.fetch_add(line.len(), std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    let so_far = || written.load(std::sync::atomic::Ordering::Relaxed);
    // A writer that goes on writes more at each look; one that waits does not, for a second.
    let mut last = (0, Instant::now());
    let waits = poll(PATIENCE, || {
        if so_far() != last.0 {
            last = (so_far(), Instant::now());
        }
        last.0 > 0 && last.1.elapsed() > Duration::from_secs(1)
    });
    assert!(waits && so_far() < 4 << 20, "{} bytes were taken", so_far());
    assert!(metric(&agent, "input_read_bytes") > 0);
    agent.kill();
    writer.join().unwrap();
}

#[test]
fn dummy_makes_what_it_is_told() {
    let sink = Sink::start();
    let input = "name: dummy, dummy: '{\"a\":1}{\"b\":2}', samples: 3, copies: 2, rate: 100, start_time_sec: 5, fixed_timestamp: on";
    let mut agent = Agent::start(&config(&sink, input, ""));
    assert!(poll(PATIENCE, || sink.records().len() >= 12), "{} {}", sink.records().len(), agent.stderr());
    // It runs on, and makes no more.
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    let records = sink.records();
    assert_eq!(records.len(), 12);
    assert_eq!(records[..2], [json!({"date": 5000, "a": 1}), json!({"date": 5000, "b": 2})]);
}

#[test]
fn several_dummies_keep_their_own_time() {
    let sink = Sink::start();
    let inputs = "name: dummy, tag: quick, dummy: '{\"q\":1}', rate: 50}\n    - {name: dummy, tag: slow, dummy: '{\"s\":1}', interval_sec: 600, flush_on_startup: on";
    let mut agent = Agent::start(&config(&sink, inputs, ""));
    let count = |key: &str| sink.records().iter().filter(|record| record[key] == 1).count();
    assert!(poll(PATIENCE, || count("q") >= 20), "{}", agent.stderr());
    assert_eq!(count("s"), 1);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn quick_pipelines_need_no_file() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    command.args(["-i", "stdin", "-o", "stdout", "-p", "format=json_lines", "-q"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"a\":1}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["a"], 1);
}

#[test]
fn two_sections_cannot_share_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let text = "pipeline: {inputs: [{name: stdin}, {name: stdin, tag: b}], outputs: [{name: stdout, match: '*'}]}";
    std::fs::write(folder.path().join("two.yaml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    let output = command.args(["check", "two.yaml"]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(64) && said.contains("is read by another section already"), "{said}");
}

#[test]
fn messages_of_the_kernel_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("kmsg");
    let text = "6,1,5140900,-;eth0: up\n SUBSYSTEM=net\n2,2,5140901,-;on fire\n7,3,6000000,-;chatter\nno head\n";
    std::fs::write(&device, text).unwrap();
    let sink = Sink::start();
    let input = format!("name: kmsg, tag: kernel, prio_level: 6, device: '{}'", device.display());
    let mut agent = Agent::start(&config(&sink, &input, ""));
    // A file has an end.
    assert!(agent.wait(PATIENCE).is_some_and(|status| status.success()), "{}", agent.stderr());
    let records = sink.records();
    let without_date = |record: &Value| {
        let mut record = record.clone();
        record.as_object_mut().unwrap().remove("date");
        record
    };
    let expect = [
        json!({"priority": 6, "sequence": 1, "sec": 5, "usec": 140_900, "msg": "eth0: up\n SUBSYSTEM=net"}),
        json!({"priority": 2, "sequence": 2, "sec": 5, "usec": 140_901, "msg": "on fire"}),
        json!({"msg": "no head"}),
    ];
    assert_eq!(records.iter().map(without_date).collect::<Vec<_>>(), expect);
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let off = records[0]["date"].as_f64().unwrap() / 1e3 - (now - uptime + 5.1409);
    assert!(off.abs() < 1.0, "off by {off} s");
}

#[test]
fn a_restart_goes_on_behind_what_was_delivered() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("kmsg");
    let input = format!("name: kmsg, device: '{}'", device.display());
    let text = config(&sink, &input, "")
        .replace("flush: 50ms", &format!("flush: 50ms, state_dir: '{}'", folder.path().display()));
    let messages =
        |numbers: std::ops::Range<u32>| -> String { numbers.map(|n| format!("6,{n},{n},-;n{n}\n")).collect() };
    let run = |text: &str| {
        let mut agent = Agent::start(text);
        assert!(agent.wait(PATIENCE).is_some_and(|status| status.success()), "{}", agent.stderr());
        agent.stderr()
    };
    std::fs::write(&device, messages(0..3)).unwrap();
    run(&text);
    // What the kernel has overwritten meanwhile is known by the numbers.
    std::fs::write(&device, messages(2..5)).unwrap();
    assert!(!run(&text).contains("overwritten"));
    std::fs::write(&device, messages(7..9)).unwrap();
    assert!(run(&text).contains("overwritten messages that were not read messages=2"));
    let numbers: Vec<u64> = sink.records().iter().map(|record| record["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 7, 8]);
}

#[test]
fn the_device_of_the_kernel_is_followed_where_it_can_be_read() {
    let sink = Sink::start();
    if File::open("/dev/kmsg").is_err() {
        let mut agent = Agent::start(&config(&sink, "name: kmsg", ""));
        assert!(agent.wait_for_stderr("/dev/kmsg cannot be read", PATIENCE), "{}", agent.stderr());
        assert!(agent.wait(PATIENCE).is_some());
        return;
    }
    let mut agent = Agent::start(&config(&sink, "name: kmsg", ""));
    assert!(agent.wait_for_stderr("running", PATIENCE));
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert!(sink.records().iter().all(|record| record["msg"].is_string()));
}
