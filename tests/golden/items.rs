//! What a destination got, as items: how records were batched into requests is not compared.

use super::support::loki::{Entry, Push};
use super::support::sink::Request;
use serde_json::{Map, Value, json};

/// One item per line; a line that is no JSON is a text, and a list is as many items as it has.
pub(crate) fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(bytes);
    let mut items = Vec::new();
    for line in text.split('\n').filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str(line).unwrap_or_else(|_| json!(line)) {
            Value::Array(list) => items.extend(list),
            value => items.push(value),
        }
    }
    items
}

/// Bulk actions with their documents, entries with labels, events with group and stream, records.
pub(crate) fn of_request(request: &Request) -> Vec<Value> {
    let path = request.head.target.as_str();
    let target = request.head.header("x-amz-target").unwrap_or_default();
    let items = match target {
        _ if path.contains("_bulk") => Some(bulk(path, &request.body)),
        _ if target.ends_with("PutLogEvents") => log_events(request),
        "" if path.contains("/loki/") => loki_entries(request),
        "" => Some(records(request)),
        // Creating groups and streams is the agent's own business.
        _ => Some(Vec::new()),
    };
    items.unwrap_or_else(|| vec![json!({ "path": path, "not understood": String::from_utf8_lossy(&request.body) })])
}

fn bulk(path: &str, body: &[u8]) -> Vec<Value> {
    let path = path.split('?').next();
    let lines = lines(body);
    lines.chunks_exact(2).map(|pair| json!({ "path": path, "action": pair[0], "doc": pair[1] })).collect()
}

fn log_events(request: &Request) -> Option<Vec<Value>> {
    let body: Value = serde_json::from_slice(&request.body).ok()?;
    let events = body.get("logEvents")?.as_array()?;
    let item = |event: &Value| {
        let mut item = Map::new();
        item.insert("group".into(), body.get("logGroupName")?.clone());
        item.insert("stream".into(), body.get("logStreamName")?.clone());
        item.insert("ts".into(), event.get("timestamp")?.clone());
        item.insert("message".into(), event.get("message")?.clone());
        if let Some(format) = request.head.header("x-amzn-logs-format") {
            item.insert("format".into(), json!(format));
        }
        Some(Value::Object(item))
    };
    events.iter().map(item).collect()
}

fn loki_entries(request: &Request) -> Option<Vec<Value>> {
    let push = Push::read(request).ok()?;
    let item = |entry: &Entry| {
        let Entry { labels, time_ns, line, metadata } = entry;
        json!({ "tenant": push.tenant, "labels": labels, "ts": time_ns.to_string(), "line": line, "metadata": metadata })
    };
    Some(push.entries.iter().map(item).collect())
}

fn records(request: &Request) -> Vec<Value> {
    let content_type = request.head.header("content-type").unwrap_or_default();
    let item = |record: Value| {
        let mut item = Map::new();
        item.insert("path".into(), json!(request.head.target));
        item.insert("type".into(), json!(content_type.split(';').next()));
        if let Some(tag) = request.head.header("fluentbit-tag") {
            item.insert("tag".into(), json!(tag));
        }
        item.insert("record".into(), record);
        Value::Object(item)
    };
    lines(&request.body).into_iter().map(item).collect()
}

#[test]
fn bodies_of_all_destinations() {
    let request = |target: &str, headers: &[(&str, &str)], body: &str| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let head = super::support::http::Head { method: "POST".into(), target: target.into(), headers };
        Request { head, body: body.into(), connection: 0, sni: None, accepted: true }
    };
    for (request, expect) in [
        (
            request(
                "/in",
                &[("content-type", "application/json; charset=utf-8"), ("fluentbit-tag", "t")],
                "[{\"a\":1},2]",
            ),
            json!([
                { "path": "/in", "type": "application/json", "tag": "t", "record": { "a": 1 } },
                { "path": "/in", "type": "application/json", "tag": "t", "record": 2 },
            ]),
        ),
        (
            request("/_bulk?pipeline=p", &[], "{\"index\":{}}\n{\"a\":1}\n"),
            json!([{ "path": "/_bulk", "action": { "index": {} }, "doc": { "a": 1 } }]),
        ),
        (
            request(
                "/loki/api/v1/push",
                &[("x-scope-orgid", "me"), ("content-type", "application/json")],
                "{\"streams\":[{\"stream\":{\"job\":\"x\"},\"values\":[[\"1\",\"line\"],[\"2\",\"other\",{\"k\":\"v\"}]]}]}",
            ),
            json!([
                { "tenant": "me", "labels": { "job": "x" }, "ts": "1", "line": "line", "metadata": {} },
                { "tenant": "me", "labels": { "job": "x" }, "ts": "2", "line": "other", "metadata": { "k": "v" } },
            ]),
        ),
        (
            request(
                "/",
                &[("x-amz-target", "Logs_20140328.PutLogEvents")],
                "{\"logGroupName\":\"g\",\"logStreamName\":\"s\",\"logEvents\":[{\"timestamp\":1,\"message\":\"m\"}]}",
            ),
            json!([{ "group": "g", "stream": "s", "ts": 1, "message": "m" }]),
        ),
        (request("/", &[("x-amz-target", "Logs_20140328.CreateLogStream")], "{}"), json!([])),
        (
            request("/", &[("x-amz-target", "Logs_20140328.PutLogEvents")], "{}"),
            json!([{ "path": "/", "not understood": "{}" }]),
        ),
    ] {
        assert_eq!(Value::Array(of_request(&request)), expect);
    }
}
