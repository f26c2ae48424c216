//! Files of syslog daemons, as `tail` reads them with syslog parsers.

use super::PATIENCE;
use super::support::agent::poll;
use super::support::node::Node;
use serde_json::{Value, json};

/// What comes of a file with such lines.
#[track_caller]
fn check(parsers: &str, options: &[(&str, &str)], text: &str, expect: &[Value]) {
    let mut node = Node::plain().tail("tag", "host.messages").output("json_date_format", "epoch_ms");
    std::fs::write(node.path("parsers.conf"), parsers).unwrap();
    for (key, value) in options {
        node = node.tail(key, value);
    }
    let parsers = node.path("parsers.conf").display().to_string();
    let node = node.service("parsers_file", &parsers);
    node.append("logs/messages.log", text);
    let mut agent = node.start();
    assert!(
        poll(PATIENCE, || node.sink.records().len() >= expect.len()),
        "{:?} {}",
        node.sink.records(),
        agent.stderr()
    );
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    let mut records = node.sink.records();
    for (record, expect) in records.iter_mut().zip(expect) {
        // The time of reading can be any.
        if expect["date"].is_null() {
            record.as_object_mut().unwrap().remove("date");
        }
    }
    assert_eq!(records, expect);
}

/// Milliseconds of a moment of this year, in UTC: what a time without a year and a zone means.
fn this_year(month: i64, day: i64, seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let (year, ..) = drave::record::time::civil_from_days(now / 86_400);
    (drave::record::time::days_from_civil(year, month, day) * 86_400 + seconds) * 1000
}

#[test]
fn messages_as_rsyslog_writes_them() {
    let parser = r"[PARSER]
    Name        syslog
    Format      regex
    Regex       ^(?<time>[A-Z][a-z]{2} +\d+ [\d:]+) (?<host>\S+) (?<ident>[\w\/.\-]+)(?:\[(?<pid>\d+)\])?: *(?<message>.*)$
    Time_Key    time
    Time_Format %b %d %H:%M:%S
";
    let text = "Jan  5 06:07:08 ip-10-0-0-1 systemd[1]: Started Session 2 of User ec2-user.\n\
        Jan 15 06:07:08 ip-10-0-0-1 kernel: [    0.000000] Linux version 6.1: booting\n\
        -- a line that is none --\n";
    check(
        parser,
        &[("parser", "syslog")],
        text,
        &[
            json!({"date": this_year(1, 5, 22_028), "host": "ip-10-0-0-1", "ident": "systemd", "pid": "1",
                "message": "Started Session 2 of User ec2-user."}),
            json!({"date": this_year(1, 15, 22_028), "host": "ip-10-0-0-1", "ident": "kernel",
                "message": "[    0.000000] Linux version 6.1: booting"}),
            json!({"log": "-- a line that is none --"}),
        ],
    );
}

#[test]
fn secure_with_priorities_in_the_older_format() {
    let text = "<86>Jan  5 06:07:08 sshd[4211]: Accepted publickey for ec2-user from 10.0.0.9 port 50122 ssh2\n<13>Jan  5 06:07:09 app: x\n";
    check(
        "",
        &[("parser", "syslog-rfc3164-local")],
        text,
        &[
            json!({"date": this_year(1, 5, 22_028), "pri": "86", "time": "Jan  5 06:07:08", "ident": "sshd", "pid": "4211",
                "message": "Accepted publickey for ec2-user from 10.0.0.9 port 50122 ssh2"}),
            json!({"date": this_year(1, 5, 22_029), "pri": "13", "time": "Jan  5 06:07:09", "ident": "app", "message": "x"}),
        ],
    );
}

#[test]
fn messages_in_the_newer_format() {
    let text = "<165>1 2026-11-21T08:00:00.250Z node-1 kubelet 912 ID47 [meta seq=\"1\"] node ready\n<14>1 2026-11-21T08:00:01.000+01:00 node-1 app 1 - - x\n";
    check(
        "",
        &[("parser", "syslog-rfc5424")],
        text,
        &[
            json!({"date": 1_795_248_000_250_i64, "pri": "165", "time": "2026-11-21T08:00:00.250Z", "host": "node-1", "ident": "kubelet", "pid": "912",
                "msgid": "ID47", "extradata": "[meta seq=\"1\"]", "message": "node ready"}),
            json!({"date": 1_795_244_401_000_i64, "pri": "14", "time": "2026-11-21T08:00:01.000+01:00", "host": "node-1", "ident": "app", "pid": "1",
                "msgid": "-", "extradata": "-", "message": "x"}),
        ],
    );
}

#[test]
fn the_messages_of_the_boot_have_no_parser_and_a_key_of_their_own() {
    let text = "[    0.000000] Linux version 6.1.112\n[    0.000000] Command line: root=/dev/xvda1\n";
    check(
        "",
        &[("key", "message")],
        text,
        &[
            json!({"message": "[    0.000000] Linux version 6.1.112"}),
            json!({"message": "[    0.000000] Command line: root=/dev/xvda1"}),
        ],
    );
}
