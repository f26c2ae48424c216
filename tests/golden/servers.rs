//! What a case talks to: a server that takes every request, a TCP port, a Kubernetes API.

use super::support::sink::{Act, Request, Sink};
use serde_json::{Value, json};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Takes everything, as each destination would say so.
pub(crate) fn recorder() -> Sink {
    let sink = Sink::start();
    sink.answer_with(|request| {
        let target = request.head.header("x-amz-target").unwrap_or_default();
        match target {
            _ if request.head.method == "GET" || request.head.method == "HEAD" => {
                answer(&json!({ "version": { "number": "2.11.0", "distribution": "opensearch" } }))
            }
            _ if request.head.target.contains("_bulk") => bulk_answer(&request.body),
            _ if target.ends_with("PutLogEvents") => answer(&json!({ "nextSequenceToken": "1" })),
            "" if request.head.target.contains("/loki/") => Act::status(204),
            _ => answer(&json!({})),
        }
        .with_header("x-amzn-requestid", "golden")
    });
    sink
}

fn answer(value: &Value) -> Act {
    Act::body(value.to_string()).with_header("content-type", "application/json")
}

fn bulk_answer(body: &[u8]) -> Act {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines();
    let mut items = Vec::new();
    while let Some(line) = lines.next() {
        let action: Value = serde_json::from_str(line).unwrap_or_default();
        let word = action.as_object().and_then(|map| map.keys().next()).map_or("index", String::as_str);
        if word != "delete" {
            lines.next();
        }
        items.push(json!({ word: { "status": 201, "_id": items.len().to_string() } }));
    }
    answer(&json!({ "took": 1, "errors": false, "items": items }))
}

/// GET, LIST and WATCH of `{"pods": […], "namespaces": […], "nodes": […]}`.
pub(crate) fn kubernetes(objects: Value) -> Sink {
    let sink = Sink::start();
    sink.answer_with(move |request| kubernetes_answer(&objects, request));
    sink
}

fn kubernetes_answer(objects: &Value, request: &Request) -> Act {
    let (path, query) = request.head.target.split_once('?').unwrap_or((&request.head.target, ""));
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let list = |kind: &str, chosen: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        objects[kind].as_array().into_iter().flatten().filter(|object| chosen(object)).cloned().collect()
    };
    let named = |name: &str, object: &Value| object["metadata"]["name"] == name;
    let within = |space: &str, object: &Value| object["metadata"]["namespace"] == space;
    match words[..] {
        ["api", "v1", "namespaces", space, "pods", name] => one(list("pods", &|o| within(space, o) && named(name, o))),
        ["api", "v1", "namespaces", space, "pods"] => many("Pod", &list("pods", &|o| within(space, o)), query),
        ["api", "v1", "namespaces", name] => one(list("namespaces", &|o| named(name, o))),
        ["api", "v1", "namespaces"] => many("Namespace", &list("namespaces", &|_| true), query),
        ["api", "v1", "pods"] | ["pods"] => {
            let node = node_asked_for(query);
            let chosen = |o: &Value| node.as_deref().is_none_or(|node| o["spec"]["nodeName"] == node);
            many("Pod", &list("pods", &chosen), query)
        }
        ["api", "v1", "nodes", name] => one(list("nodes", &|o| named(name, o))),
        ["api", "v1", "nodes"] => many("Node", &list("nodes", &|_| true), query),
        _ => one(Vec::new()),
    }
}

/// Of `fieldSelector=spec.nodeName=node-1`, however it is escaped.
fn node_asked_for(query: &str) -> Option<String> {
    let query = query.replace("%3D", "=").replace("%3d", "=").replace("%2C", ",").replace("%2c", ",");
    let (_, rest) = query.split_once("spec.nodeName=")?;
    rest.split([',', '&']).next().map(str::to_owned)
}

fn one(found: Vec<Value>) -> Act {
    let missing =
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
    match found.into_iter().next() {
        Some(object) => answer(&object),
        None => Act::status(404).with_body(missing.to_string()).with_header("content-type", "application/json"),
    }
}

fn many(kind: &str, found: &[Value], query: &str) -> Act {
    let asks = |what: &str| query.split('&').any(|part| part == what);
    if !asks("watch=1") && !asks("watch=true") {
        let metadata = json!({ "resourceVersion": "100" });
        return answer(
            &json!({ "kind": format!("{kind}List"), "apiVersion": "v1", "metadata": metadata, "items": found }),
        );
    }
    let mut events = String::new();
    if asks("sendInitialEvents=true") {
        for object in found {
            events += &format!("{}\n", json!({ "type": "ADDED", "object": object }));
        }
        let metadata = json!({ "resourceVersion": "100", "annotations": { "k8s.io/initial-events-end": "true" } });
        let bookmark = json!({ "kind": kind, "apiVersion": "v1", "metadata": metadata });
        events += &format!("{}\n", json!({ "type": "BOOKMARK", "object": bookmark }));
    }
    Act::Stream(events.into_bytes())
}

/// Keeps what comes on a TCP port.
pub(crate) struct Tcp {
    pub(crate) port: u16,
    shared: Arc<TcpShared>,
}

#[derive(Default)]
struct TcpShared {
    bytes: Mutex<Vec<u8>>,
    stopped: AtomicBool,
}

impl Tcp {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (port, shared) = (listener.local_addr().unwrap().port(), Arc::new(TcpShared::default()));
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self { port, shared }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shared.bytes.lock().unwrap().clone()
    }
}

impl TcpShared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().map_while(Result::ok) {
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            let shared = Arc::clone(&self);
            thread::spawn(move || shared.keep(stream));
        }
    }

    fn keep(&self, mut stream: TcpStream) {
        let mut block = [0; 16 << 10];
        while let Ok(length @ 1..) = stream.read(&mut block) {
            self.bytes.lock().unwrap().extend_from_slice(&block[..length]);
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};

    fn ask(sink: &Sink, method: &str, path: &str, body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(sink.address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        BufReader::new(stream)
    }

    fn get(sink: &Sink, path: &str) -> String {
        let stream = ask(sink, "GET", path, "");
        stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        stream.lines().map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_kubernetes_api_gives_lists_and_watches() {
        let pod = |name: &str, node: &str| json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": { "nodeName": node } });
        let spaces = [json!({ "metadata": { "name": "shop" } })];
        let sink = kubernetes(json!({ "pods": [pod("web", "node-1"), pod("db", "node-2")], "namespaces": spaces }));
        for (path, there, not_there) in [
            ("/api/v1/namespaces/shop/pods/web", "\"name\":\"web\"", "node-2"),
            ("/api/v1/namespaces/shop/pods/other", "404 Status", "node"),
            ("/api/v1/namespaces/shop/pods", "PodList", "404"),
            ("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-2&limit=500", "\"name\":\"db\"", "web"),
            ("/api/v1/namespaces/shop", "\"name\":\"shop\"", "404"),
            ("/api/v1/namespaces", "NamespaceList", "404"),
            ("/version", "404 Status", "node"),
        ] {
            let answer = get(&sink, path);
            assert!(answer.contains(there) && !answer.contains(not_there), "{path}\n{answer}");
        }
        let watch = ask(&sink, "GET", "/api/v1/pods?watch=1&sendInitialEvents=true", "");
        let events = watch.lines().map(Result::unwrap).filter(|line| line.starts_with('{'));
        let kinds: Vec<Value> =
            events.take(3).map(|e| serde_json::from_str::<Value>(&e).unwrap()["type"].clone()).collect();
        assert_eq!(kinds, ["ADDED", "ADDED", "BOOKMARK"]);
    }

    #[test]
    fn the_recorder_answers_as_each_destination() {
        let sink = recorder();
        for (path, body, status, answer) in [
            ("/_bulk", "{\"index\":{}}\n{}\n{\"delete\":{}}\n{\"create\":{}}\n{}\n", "200", "\"delete\""),
            ("/loki/api/v1/push", "{}", "204", ""),
            ("/in", "[]", "200", "{}"),
        ] {
            let stream = ask(&sink, "POST", path, body);
            stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
            let text = stream.lines().map(Result::unwrap).collect::<Vec<_>>().join("\n");
            assert!(text.starts_with(&format!("HTTP/1.1 {status}")) && text.contains(answer), "{text}");
        }
        assert_eq!(sink.requests().len(), 3);
    }

    #[test]
    fn a_port_keeps_what_comes() {
        let tcp = Tcp::start();
        let mut stream = TcpStream::connect(("127.0.0.1", tcp.port)).unwrap();
        stream.write_all(b"one\0two\0").unwrap();
        let kept = || tcp.bytes() == b"one\0two\0";
        assert!(crate::support::agent::poll(std::time::Duration::from_secs(10), kept));
    }
}
