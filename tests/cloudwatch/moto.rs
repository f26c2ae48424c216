//! Against moto, another one's idea of CloudWatch Logs: what was put is read back.

use super::support::agent::poll;
use super::support::cloudwatch::KEYS;
use super::support::site::{SOON, Site, free_address};
use super::support::tally::Tally;
use super::support::tools::tool;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Moto {
    fn start(program: &std::path::Path) -> Self {
        let address = free_address();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moto = Self { child, address };
        assert!(poll(SOON, || TcpStream::connect(address).is_ok()), "moto does not listen");
        moto
    }

    /// A call as anybody would make it; moto does not look at signatures.
    fn call(&self, action: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "POST / HTTP/1.0\r\nhost: logs.eu-central-1.amazonaws.com\r\nx-amz-target: Logs_20140328.{action}\r\n\
             content-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=AKIDTEST/20260101/eu-central-1/logs/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{action}: {error}: {answer}"))
    }

    /// All messages of a stream.
    fn messages(&self, group: &str, stream: &str) -> Vec<String> {
        let (mut token, mut messages) = (None, Vec::new());
        loop {
            let mut ask = json!({ "logGroupName": group, "logStreamName": stream, "startFromHead": true });
            if let Some(token) = &token {
                ask["nextToken"] = Value::clone(token);
            }
            let answer = self.call("GetLogEvents", &ask);
            let events = answer["events"].as_array().unwrap();
            messages.extend(events.iter().map(|event| event["message"].as_str().unwrap().to_owned()));
            let next = answer["nextForwardToken"].clone();
            if events.is_empty() || token.as_ref() == Some(&next) {
                return messages;
            }
            token = Some(next);
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_put_into_moto_can_be_read_back() {
    let Some(program) = tool("moto_server") else { return };
    let moto = Moto::start(&program);
    let site = Site::new().inputs(&[("a", "logs/a.log", &[]), ("b", "logs/b.log", &[])]);
    site.write("a.log", 0, 0..3000);
    site.write("b.log", 1, 0..500);
    let section = format!(
        "    - name: cloudwatch_logs\n      match: '*'\n      region: eu-central-1\n      log_group_name: /test/moto\n      \
         log_stream_prefix: n1-\n      auto_create_group: on\n      log_retention_days: 14\n      \
         linger: 200ms\n      endpoint: http://{}\n",
        moto.address
    );
    let running = site.start_with(&[section], &KEYS);
    running.wait_delivered("cloudwatch_logs.0", 3500);
    let mut tally = Tally::default();
    for stream in ["n1-a", "n1-b"] {
        moto.messages("/test/moto", stream).iter().for_each(|message| tally.add(message.as_bytes()));
    }
    let counts = tally.counts();
    assert_eq!((counts.distinct, counts.duplicates, counts.gaps.len()), (3500, 0, 0));
    let groups = moto.call("DescribeLogGroups", &json!({ "logGroupNamePrefix": "/test/moto" }));
    assert_eq!(groups["logGroups"][0]["retentionInDays"], 14, "{groups}");
}
