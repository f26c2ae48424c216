//! A strict `_bulk`: it keeps documents as a server would, and complains of all that a server would not take.
//!
//! ```text
//! let bulk = Bulk::start(Sink::start());
//! bulk.judge(|document| …);                     // None: stored; Some((429, "es_rejected_execution_exception", "queue is full"))
//! bulk.takes_at_most(10_000);                   // larger bodies: 413
//! bulk.next(Act::Close);                        // the next request is carried out, its answer is this
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::sink::{Act, Request, Sink};
use super::tally::{Counts, Tally};

/// What is wrong with a document: status, type, reason.
pub type Wrong = (u16, &'static str, String);

type Judge = Box<dyn FnMut(&Value) -> Option<Wrong> + Send>;

/// The server.
pub struct Bulk {
    pub sink: Sink,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By index and id.
    documents: BTreeMap<(String, String), Value>,
    complaints: Vec<String>,
    judge: Option<Judge>,
    answers: VecDeque<Act>,
    bytes_max: usize,
    next_id: u64,
}

impl Bulk {
    pub fn start(sink: Sink) -> Self {
        let state = Arc::new(Mutex::new(State { bytes_max: usize::MAX, ..State::default() }));
        sink.answer_with({
            let state = Arc::clone(&state);
            move |request| state.lock().unwrap().answer(request)
        });
        Self { sink, state }
    }

    /// What becomes of each document that is not there yet.
    pub fn judge(&self, judge: impl FnMut(&Value) -> Option<Wrong> + Send + 'static) {
        self.state.lock().unwrap().judge = Some(Box::new(judge));
    }

    pub fn takes_at_most(&self, bytes: usize) {
        self.state.lock().unwrap().bytes_max = bytes;
    }

    /// The next request is carried out, but answered with this.
    pub fn next(&self, answer: Act) {
        self.state.lock().unwrap().answers.push_back(answer);
    }

    /// All documents, with their indices.
    pub fn documents(&self) -> Vec<(String, Value)> {
        let state = self.state.lock().unwrap();
        state.documents.iter().map(|((index, _), document)| (index.clone(), document.clone())).collect()
    }

    /// The sequence numbers in them. Fails when the server had anything to complain of.
    pub fn counts(&self) -> Counts {
        let state = self.state.lock().unwrap();
        assert!(state.complaints.is_empty(), "{:#?}", state.complaints);
        let mut tally = Tally::default();
        state.documents.values().for_each(|document| tally.add(document.to_string().as_bytes()));
        tally.counts()
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Act {
        if request.body.len() > self.bytes_max {
            return Act::status(413).with_body("{\"Message\":\"Request size exceeded\"}");
        }
        let answer = match self.carry_out(request) {
            Ok(answer) => Act::body(answer.to_string()).with_header("content-type", "application/json"),
            Err(complaint) => {
                let error =
                    json!({ "error": { "type": "illegal_argument_exception", "reason": complaint }, "status": 400 });
                self.complaints.push(complaint);
                Act::status(400).with_body(error.to_string())
            }
        };
        self.answers.pop_front().unwrap_or(answer)
    }

    fn carry_out(&mut self, request: &Request) -> Result<Value, String> {
        let (path, query) = request.head.target.split_once('?').unwrap_or((&request.head.target, ""));
        if request.head.method != "POST" || path != "/_bulk" {
            return Err(format!("{} {path} is no bulk request", request.head.method));
        }
        if request.head.header("content-type") != Some("application/x-ndjson") {
            return Err("Content-Type header is not supported".into());
        }
        if request.body.last() != Some(&b'\n') {
            return Err("The bulk request must be terminated by a newline [\\n]".into());
        }
        let text = std::str::from_utf8(&request.body).map_err(|error| error.to_string())?;
        let mut lines = text.lines();
        let mut items = Vec::new();
        while let Some(line) = lines.next() {
            let (word, index, id) = action(line)?;
            let document = lines.next().ok_or("a document is missing")?;
            items.push(json!({ word: self.item(word, (index, id), document) }));
        }
        let errors =
            items.iter().any(|item| item.as_object().unwrap().values().any(|item| item["status"].as_u64() > Some(299)));
        if !query.contains("filter_path=errors%2Ctook%2Citems.%2A.status%2Citems.%2A.error") {
            return Err(format!("answers are longer than they need be: {query}"));
        }
        Ok(json!({ "took": 1, "errors": errors, "items": items }))
    }

    fn item(&mut self, word: &str, (index, id): (String, Option<String>), text: &str) -> Value {
        let wrong =
            |(status, kind, reason): Wrong| json!({ "status": status, "error": { "type": kind, "reason": reason } });
        let document: Value = match document(text) {
            Ok(document) => document,
            Err(complaint) => {
                self.complaints.push(format!("{complaint}: {text}"));
                return wrong((400, "mapper_parsing_exception", format!("failed to parse: {complaint}")));
            }
        };
        if index.starts_with("logs-") && word != "create" {
            let reason = "only write ops with an op_type of create are allowed in data streams";
            return wrong((400, "illegal_argument_exception", reason.into()));
        }
        self.next_id += 1;
        let key = (index, id.unwrap_or_else(|| format!("by the server {}", self.next_id)));
        let is_there = self.documents.contains_key(&key);
        match word {
            "create" if is_there => {
                return wrong((409, "version_conflict_engine_exception", "document already exists".into()));
            }
            "update" if !is_there && document["doc_as_upsert"] != true => {
                return wrong((404, "document_missing_exception", "document missing".into()));
            }
            _ => {}
        }
        if let Some(reason) = self.judge.as_mut().and_then(|judge| judge(&document)) {
            return wrong(reason);
        }
        let document = if word == "update" { document["doc"].clone() } else { document };
        self.documents.insert(key, document);
        json!({ "status": if is_there { 200 } else { 201 } })
    }
}

/// Operation, index, id.
fn action(line: &str) -> Result<(&'static str, String, Option<String>), String> {
    let action: Value =
        serde_json::from_str(line).map_err(|error| format!("Malformed action/metadata line: {error}"))?;
    let Some((word, about)) = action.as_object().filter(|a| a.len() == 1).and_then(|a| a.iter().next()) else {
        return Err(format!("Malformed action/metadata line {line}"));
    };
    let known = ["create", "index", "update"].into_iter().find(|known| known == word);
    let word = known.ok_or_else(|| format!("unexpected operation [{word}]"))?;
    if let Some(key) = about.as_object().ok_or("no metadata")?.keys().find(|key| *key != "_index" && *key != "_id") {
        return Err(format!("Action/metadata line [1] contains an unknown parameter [{key}]"));
    }
    let index = about["_index"].as_str().ok_or("an index is missing")?;
    let bad = |c: char| c.is_uppercase() || c.is_whitespace() || ",:\"*+/\\|?#><".contains(c);
    if index.is_empty() || index.len() > 255 || index.starts_with(['_', '-', '+']) || index.contains(bad) {
        return Err(format!("Invalid index name [{index}]"));
    }
    let id = about.get("_id").map(|id| id.as_str().filter(|id| !id.is_empty() && id.len() <= 512).ok_or("a bad id"));
    Ok((word, index.to_owned(), id.transpose()?.map(str::to_owned)))
}

/// An object without a key that stands twice.
fn document(text: &str) -> Result<Value, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut keys = 0;
    drave::record::json_read::object(text.as_bytes(), |_| keys += 1);
    match document.as_object() {
        Some(object) if object.len() == keys => Ok(document),
        Some(_) => Err("Duplicate field".into()),
        None => Err("a document is an object".into()),
    }
}
