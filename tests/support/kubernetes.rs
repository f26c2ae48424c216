//! A Kubernetes API of pods and namespaces, with their lists and watches, that misbehaves as it is told.
//!
//! ```text
//! let api = KubeApi::start();
//! api.put(pod("web-1", "shop", "uid-1", &[("app", "ID")]));      // watches tell of it
//! api.misbehave(Trouble::Status(500));                           // all requests from now on, until
//! api.misbehave(Trouble::None);
//! assert_eq!((api.lists(), api.watches()), (1, 1));
//! ```
//! As a real one it negotiates what it is asked for, compresses long lists for those who take that, leaves `kind` out of the items of a
//! list, and cuts the stream of a watch anywhere.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::http::{Head, read_head};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    #[default]
    None,
    /// Takes requests and never answers.
    Hang,
    /// Answers with this status.
    Status(u16),
    /// Answers watches alone with this status.
    Watches(u16),
    /// Closes the connection after the request.
    Close,
}

/// How it begins.
#[derive(Default)]
pub struct Setup {
    pub tls: Option<Arc<ServerConfig>>,
    /// The token that it wants.
    pub token: Option<String>,
    /// `None` is 127.0.0.1, any port. Give the address of one that was dropped to bring it back.
    pub address: Option<SocketAddr>,
    /// What is wrong with it from the beginning.
    pub trouble: Trouble,
}

pub struct KubeApi {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pods: BTreeMap<String, Value>,
    namespaces: BTreeMap<String, Value>,
    /// By name; `None` is refused.
    nodes: BTreeMap<String, Option<Value>>,
    version: u64,
    /// Version, kind, line.
    events: Vec<(u64, &'static str, Value)>,
    /// Older versions are gone.
    oldest: u64,
    requests: Vec<String>,
    /// What nobody may list or watch: `pods`, `namespaces`.
    forbidden: Vec<&'static str>,
    token: Option<String>,
    trouble: Trouble,
    /// Watches of an earlier one end.
    epoch: u64,
    stopped: bool,
}

impl KubeApi {
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let listener = TcpListener::bind(setup.address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into())).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { version: 100, token: setup.token, trouble: setup.trouble, ..State::default() };
        let shared = Arc::new(Shared { tls: setup.tls, state: Mutex::new(state), changed: Condvar::new() });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self { address, shared }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.shared.state.lock().unwrap());
        self.shared.changed.notify_all();
        changed
    }

    /// A pod as it is from now on.
    pub fn put(&self, pod: Value) {
        self.change(|state| {
            let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
            let kind = if state.pods.contains_key(&uid) { "MODIFIED" } else { "ADDED" };
            let pod = state.tell("pods", kind, pod);
            state.pods.insert(uid, pod);
        });
    }

    pub fn delete(&self, uid: &str) {
        self.change(|state| {
            let pod = state.pods.remove(uid).unwrap();
            state.tell("pods", "DELETED", pod);
        });
    }

    pub fn put_namespace(&self, name: &str, labels: Value) {
        self.change(|state| {
            let object = json!({ "metadata": { "name": name, "uid": name, "labels": labels } });
            let object = state.tell("namespaces", "ADDED", object);
            state.namespaces.insert(name.to_owned(), object);
        });
    }

    /// A node, as `GET /api/v1/nodes/NAME` shows it; `None` is answered with 403.
    pub fn put_node(&self, name: &str, node: Option<Value>) {
        self.change(|state| state.nodes.insert(name.to_owned(), node));
    }

    pub fn delete_namespace(&self, name: &str) {
        self.change(|state| {
            let object = state.namespaces.remove(name).unwrap();
            state.tell("namespaces", "DELETED", object);
        });
    }

    /// What the service account may neither list nor watch from now on.
    pub fn forbid(&self, kinds: &[&'static str]) {
        self.change(|state| state.forbidden = kinds.to_vec());
    }

    pub fn bookmark(&self) {
        self.change(|state| {
            let annotations = json!({ "k8s.io/initial-events-end": "true" });
            let metadata = json!({ "creationTimestamp": null, "annotations": annotations });
            let empty = json!({ "metadata": metadata, "spec": { "containers": null }, "status": {} });
            state.tell("pods", "BOOKMARK", empty);
        });
    }

    pub fn misbehave(&self, trouble: Trouble) {
        self.change(|state| state.trouble = trouble);
    }

    /// Another token is wanted from now on.
    pub fn want_token(&self, token: &str) {
        self.change(|state| state.token = Some(token.to_owned()));
    }

    /// Ends all watches.
    pub fn cut(&self) {
        self.change(|state| state.epoch += 1);
    }

    /// What happened so far is forgotten: watches are told that their version is gone, and so is who comes back with an older one.
    pub fn compact(&self) {
        self.change(|state| {
            let gone = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "too old resource version", "reason": "Expired", "code": 410 });
            state.version += 1;
            state.oldest = state.version;
            state.events = vec![(state.version, "", json!({ "type": "ERROR", "object": gone }))];
        });
    }

    /// Path and query of all requests.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    pub fn lists(&self) -> usize {
        self.requests().iter().filter(|request| !request.contains("watch=true")).count()
    }

    pub fn watches(&self) -> usize {
        self.requests().len() - self.lists()
    }
}

impl Drop for KubeApi {
    fn drop(&mut self) {
        self.change(|state| state.stopped = true);
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn tell(&mut self, kind: &'static str, what: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["apiVersion"] = "v1".into();
        object["kind"] = if kind == "pods" { "Pod".into() } else { "Namespace".into() };
        self.events.push((self.version, kind, json!({ "type": what, "object": object })));
        object
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().map_while(Result::ok) {
            if self.state.lock().unwrap().stopped {
                return;
            }
            let shared = Arc::clone(&self);
            thread::spawn(move || drop(shared.serve(stream)));
        }
    }

    fn serve(&self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(connection, tcp))
            }
            None => Box::new(tcp),
        };
        let mut stream = BufReader::new(stream);
        while let Some(head) = read_head(&mut stream)? {
            if !self.answer(&head, stream.get_mut())? {
                break;
            }
        }
        Ok(())
    }

    /// `false`: the connection is over.
    fn answer(&self, head: &Head, stream: &mut dyn Stream) -> io::Result<bool> {
        let mut state = self.state.lock().unwrap();
        state.requests.push(head.target.clone());
        while state.trouble == Trouble::Hang && !state.stopped {
            state = self.changed.wait_timeout(state, Duration::from_millis(100)).unwrap().0;
        }
        let authorization = head.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        let kind = if path.ends_with("/namespaces") { "namespaces" } else { "pods" };
        let is_watch = query.contains("watch=true");
        let status = match state.trouble {
            Trouble::Close => return Ok(false),
            Trouble::Status(status) => Some(status),
            Trouble::Watches(status) if is_watch => Some(status),
            _ if state.stopped => return Ok(false),
            _ if state.token.as_deref().is_some_and(|token| authorization != Some(token)) => Some(401),
            _ if state.forbidden.contains(&kind) => Some(403),
            _ => bad_request(head, query),
        };
        if let Some(status) = status {
            drop(state);
            return write_answer(stream, status, &refusal(status).to_string());
        }
        if let Some(name) = path.strip_prefix("/api/v1/nodes/") {
            let (status, body) = match state.nodes.get(name) {
                Some(Some(node)) => (200, node.clone()),
                Some(None) => (403, refusal(403)),
                None => (404, refusal(404)),
            };
            drop(state);
            return write_answer(stream, status, &body.to_string());
        }
        if is_watch {
            drop(state);
            return self.watch(kind, query, stream);
        }
        let objects = if kind == "pods" { state.pods.values() } else { state.namespaces.values() };
        let within =
            path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.split_once('/')).map(|(name, _)| name);
        let chosen =
            objects.filter(|o| is_selected(o, query) && within.is_none_or(|name| o["metadata"]["namespace"] == name));
        let mut items: Vec<Value> = chosen.cloned().collect();
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            ["kind", "apiVersion"].iter().for_each(|key| _ = item.remove(*key));
        }
        let version = state.version.to_string();
        drop(state);
        let name = if kind == "pods" { "PodList" } else { "NamespaceList" };
        let list =
            json!({ "kind": name, "apiVersion": "v1", "metadata": { "resourceVersion": version }, "items": items });
        let list = list.to_string();
        let takes_gzip = head.header("accept-encoding").is_some_and(|value| value.contains("gzip"));
        if takes_gzip && list.len() > GZIP_MIN { write_gzip(stream, &list) } else { write_answer(stream, 200, &list) }
    }

    fn watch(&self, kind: &str, query: &str, stream: &mut dyn Stream) -> io::Result<bool> {
        let mut state = self.state.lock().unwrap();
        let mut seen: u64 = parameter(query, "resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
        if seen < state.oldest {
            drop(state);
            return write_answer(stream, 410, &refusal(410).to_string());
        }
        let epoch = state.epoch;
        let length = parameter(query, "timeoutSeconds").and_then(|seconds| seconds.parse().ok());
        let end = length.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
        stream.flush()?;
        loop {
            let of_kind = |event: &&(u64, &str, Value)| event.0 > seen && (event.1 == kind || event.1.is_empty());
            let wanted =
                |event: &&(u64, &str, Value)| event.2["type"] != "ADDED" || is_selected(&event.2["object"], query);
            let news: Vec<_> =
                state.events.iter().filter(of_kind).filter(wanted).map(|e| (e.0, e.2.to_string())).collect();
            // What happened before an end is told before it.
            let is_over = end.is_some_and(|end| Instant::now() >= end);
            if news.is_empty() && (is_over || state.stopped || state.epoch != epoch || state.trouble != Trouble::None) {
                break;
            }
            if news.is_empty() {
                state = self.changed.wait_timeout(state, Duration::from_millis(100)).unwrap().0;
                continue;
            }
            drop(state);
            seen = news.last().map_or(seen, |(version, _)| *version);
            let lines: String = news.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
            for chunk in lines.as_bytes().chunks(CHUNK_BYTES) {
                write!(stream, "{:x}\r\n", chunk.len())?;
                stream.write_all(&[chunk, b"\r\n"].concat())?;
                stream.flush()?;
            }
            state = self.state.lock().unwrap();
        }
        drop(state);
        stream.write_all(b"0\r\n\r\n")?;
        stream.flush()?;
        Ok(true)
    }
}

/// Lists of so many bytes are compressed for who takes that.
const GZIP_MIN: usize = 128 << 10;
/// Of the stream of a watch: lines are cut anywhere.
const CHUNK_BYTES: usize = 1_000;

/// What a real one would not understand.
fn bad_request(head: &Head, query: &str) -> Option<u16> {
    let accepts = head.header("accept").is_none_or(|value| value.contains("application/json") || value.contains("*/*"));
    let has = |name| parameter(query, name).is_some();
    let is_invalid = has("resourceVersionMatch") && !has("resourceVersion") && !has("sendInitialEvents")
        || has("sendInitialEvents") && !(has("resourceVersionMatch") && query.contains("allowWatchBookmarks=true"));
    if !accepts { Some(406) } else { is_invalid.then_some(422) }
}

fn write_gzip(stream: &mut dyn Stream, body: &str) -> io::Result<bool> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_bytes())?;
    let body = encoder.finish()?;
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\nvary: accept-encoding\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n", body.len())?;
    stream.write_all(&body)?;
    stream.flush()?;
    Ok(true)
}

fn refusal(status: u16) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status,
        "reason": "Told", "message": format!("told to answer {status}") })
}

fn write_answer(stream: &mut dyn Stream, status: u16, body: &str) -> io::Result<bool> {
    write!(
        stream,
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body.as_bytes())?;
    stream.flush()?;
    Ok(true)
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let found = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    Some(found.replace("%3D", "="))
}

fn is_selected(object: &Value, query: &str) -> bool {
    let Some(selector) = parameter(query, "fieldSelector") else { return true };
    let (field, value) = selector.split_once('=').unwrap();
    field.split('.').fold(object, |object, part| &object[part]) == value
}

/// A running pod of node-1, with its containers' names and ids.
pub fn pod(name: &str, namespace: &str, uid: &str, containers: &[(&str, &str)]) -> Value {
    let status = |(name, id): &(&str, &str)| {
        json!({ "name": name, "image": format!("registry.example/{name}:1"), "imageID": format!("registry.example/{name}@sha256:1"),
            "containerID": format!("containerd://{id}") })
    };
    let spec = |(name, _): &(&str, &str)| json!({ "name": name, "image": format!("registry.example/{name}:1") });
    json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": uid, "labels": { "app": name }, "annotations": { "note": "x" },
            "managedFields": [{ "manager": "kubelet", "fieldsV1": { "f:status": {} } }],
        },
        "spec": { "nodeName": "node-1", "containers": containers.iter().map(spec).collect::<Vec<_>>() },
        "status": {
            "phase": "Running", "podIP": "10.0.0.7", "hostIP": "10.0.0.1",
            "containerStatuses": containers.iter().map(status).collect::<Vec<_>>(),
        },
    })
}
