//! OpenSearch and Elasticsearch, by their bulk API: one implementation, two names.
//!
//! ```yaml
//! outputs:
//!   - name: opensearch            # or es
//!     match: 'kube.*'
//!     host: search.example.com
//!     tls: on
//!     logstash_format: on
//!     logstash_prefix: kube
//!     suppress_type_name: on
//!     replace_dots: on
//!     generate_id: on
//!     compress: gzip
//! ```
//! Documents of all sources share requests. Answers are read item by item: what was not stored is sent again, what is wrong with a
//! document refuses that document; all else keeps the data.

mod answer;
mod conflict;
mod document;
mod hosts;
mod id;
mod index;
mod items;
mod options;
mod server;
mod signer;

use super::endpoint::{failed, resolve_files};
use super::{
    Limits, Needs, Outcome, Output, OutputContext, OutputError, OutputPlugin, Pieces, Place, Refusal, Request, Start,
};
use crate::config::{Report, Section};
use crate::net::{Cause, Client, ClientOptions, NetError, ProxyEnvironment, gzip_pieces};
use crate::record::Batch;
use answer::{Asked, judge};
use conflict::SecondForm;
use document::{Documents, Recent};
use futures_util::future::BoxFuture;
use hosts::Hosts;
use http::{HeaderMap, Method};
use id::IdMaker;
use options::{AwsOptions, AwsService, Compress, LoginOptions, OnMappingConflict, SearchOptions};
use signer::Signer;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Of an answer, which lists every document: about 30 bytes for each that was stored.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The key of requests with documents that cannot be sent.
const WITHOUT_ID: &str = "\0";
/// Variables that name this machine in a cluster; the host's name otherwise.
const NODE_NAMES: [&str; 3] = ["NODE_NAME", "K8S_NODE_NAME", "HOST_NAME"];

pub(super) const PLUGIN: OutputPlugin = OutputPlugin {
    name: "opensearch",
    about: "Sends records to OpenSearch as documents.",
    options: &[SearchOptions::OPTIONS, LoginOptions::OPTIONS, AwsOptions::OPTIONS, ClientOptions::OPTIONS],
    deviations: &[SearchOptions::DEVIATIONS, ClientOptions::DEVIATIONS],
    configure,
};

pub(super) const ES: OutputPlugin =
    OutputPlugin { name: "es", about: "Sends records to Elasticsearch as documents.", ..PLUGIN };

fn configure(section: &Section, report: &mut Report) -> Option<Start> {
    let options = SearchOptions::from_section(section, report);
    let login = LoginOptions::from_section(section, report);
    let client = ClientOptions::from_section(section, report);
    let aws = AwsOptions::from_section(section, report);
    let (options, login, aws, mut client) = (options?, login?, aws?, client?);
    let server = server::Server::read(section, (&options, &login), &mut client, report);
    let headers = server::headers(section, (&options, &login), report);
    let id = read_id(section, (&options, &aws), report);
    let id = id.and_then(|id| Documents::read(section, &options, id, report));
    let (server, headers, documents) = (server?, headers?, id?);
    resolve_files(section, &mut client);
    let name = section.name.clone();
    Some(Box::new(move |context| {
        let proxies = ProxyEnvironment::of(context.environment);
        let cannot_start = |e: NetError| OutputError {
            message: format!("output {name} cannot start: {e}"),
            hint: e.hint().map(str::to_owned),
        };
        let signer = Signer::new(&aws, &client, &proxies).map_err(cannot_start)?;
        let client = Client::new(&client, &proxies).map_err(cannot_start)?.with_answer_bytes_max(ANSWER_BYTES_MAX);
        let documents = documents.on_node(&node(context, options.generate_id));
        let second_form = SecondForm {
            kept: [options.time_key.clone(), options.tag_key.clone()],
            without_dots: options.replace_dots,
            wrapped: options.write_operation.is_update(),
        };
        let with_login = headers.contains_key(http::header::AUTHORIZATION);
        let (hosts, is_plain) = (Hosts::new(server.urls), server.is_plain);
        Ok(Arc::new(OpenSearch {
            documents,
            second_form,
            options,
            client,
            headers,
            signer,
            hosts,
            with_login,
            is_plain,
            ids_taken: AtomicU64::new(0),
        }))
    }))
}

fn read_id(section: &Section, (options, aws): (&SearchOptions, &AwsOptions), report: &mut Report) -> Option<IdMaker> {
    let at = |key: &str| section.get(key).map(|e| &e.key_at);
    if options.write_operation.is_update() && options.id_key.is_none() && !options.generate_id {
        let what = format!("{} can update only what has an id", section.title());
        report.error(at("write_operation"), what, Some("set `id_key` to the key that holds it".into()));
        return None;
    }
    if let Some(key) = &options.id_key {
        if options.generate_id {
            report.note(at("generate_id"), "`generate_id` counts for nothing where `id_key` is set", None);
        }
        return index::accessor(section, "id_key", key, report).map(IdMaker::Key);
    }
    if !options.generate_id {
        return Some(IdMaker::Server);
    }
    note_limits(section, (options, aws), report);
    Some(IdMaker::Place { node: String::new() })
}

/// Where an id does not keep a record from being stored twice.
fn note_limits(section: &Section, (options, aws): (&SearchOptions, &AwsOptions), report: &mut Report) {
    let mut note = |key: &str, what: &str, hint: &str| {
        report.note(section.get(key).map(|e| &e.key_at), what, Some(hint.into()));
    };
    if options.current_time_index {
        let what = "with `current_time_index` a record that is sent again after midnight goes into another index, a second time";
        note("current_time_index", what, "leave it out: then the record's own time says the index");
    }
    if aws.aws_auth && aws.aws_service_name == AwsService::Aoss {
        let what =
            "collections of the types time series and vector search take no ids: they would refuse every document";
        note("generate_id", what, "leave it out unless the collection is of the type search");
    }
    let streams = ["logs-", "metrics-", "traces-"];
    if !options.logstash_format && streams.iter().any(|stream| options.index.starts_with(stream)) {
        let what = "an id is known within one index: behind the rollover of a data stream a record that is sent again is stored a second time";
        note("generate_id", what, "`logstash_format on` names the index by the record's time");
    }
}

/// The name of this machine. A pod's own name is none, but the next best: what it is called next, nobody else is called.
fn node(context: &OutputContext<'_>, is_asked_for: bool) -> String {
    let get = |name: &&str| context.environment.get(name).filter(|value| !value.is_empty());
    let name = NODE_NAMES.iter().find_map(get);
    if is_asked_for && name.is_none() && get(&"KUBERNETES_SERVICE_HOST").is_some() {
        tracing::warn!(
            "`generate_id` does not know the name of this node: what is read again by the next pod is stored a second time; hint: set NODE_NAME from spec.nodeName"
        );
    }
    name.or_else(|| get(&"HOSTNAME")).unwrap_or_default().to_owned()
}

struct OpenSearch {
    documents: Documents,
    second_form: SecondForm,
    options: SearchOptions,
    client: Client,
    headers: HeaderMap,
    /// With `aws_auth on`.
    signer: Option<Signer>,
    hosts: Hosts,
    with_login: bool,
    /// No TLS is spoken.
    is_plain: bool,
    /// Records whose id was that of a document before.
    ids_taken: AtomicU64,
}

impl Output for OpenSearch {
    fn limits(&self) -> Limits {
        Limits {
            bytes_max: self.options.batch_bytes_max.0.clamp(1, 64 << 20) as usize,
            records_max: usize::MAX,
            linger: self.options.linger.map(|l| l.0),
            in_flight: usize::from(self.options.in_flight_max.max(1)),
            ordered: false,
        }
    }

    fn needs(&self) -> Needs {
        Needs { text: true }
    }

    fn changed_records(&self) -> Vec<(&'static str, u64)> {
        vec![("id_taken", self.ids_taken.load(Ordering::Relaxed))]
    }

    fn keys_records(&self) -> bool {
        self.options.write_operation.is_update()
    }

    fn record_key(&self, batch: &Batch, record: usize, key: &mut String) {
        if !self.documents.has_id(batch, record) {
            key.push_str(WITHOUT_ID);
        }
    }

    fn encode(&self, batch: &Batch, record: usize, out: &mut Vec<u8>) {
        self.documents.push(out, batch, record, &mut Recent::default());
    }

    fn encode_some(&self, batch: &Batch, records: Range<usize>, pieces: &mut Pieces, limits: &Limits) -> usize {
        let mut recent = Recent::default();
        let place = Place::Before(self.documents.behind_members().len() as u32);
        let mut common = None;
        for record in records.clone() {
            let is_left_out = self.documents.push_own(&mut pieces.bytes, batch, record, &mut recent);
            let source_bytes = batch.records[record].bytes;
            if is_left_out {
                let common = *common.get_or_insert_with(|| pieces.common(place, &batch.source.shared_json));
                pieces.add_with(common, source_bytes);
            } else {
                pieces.add(source_bytes);
            }
            if pieces.is_full(limits) {
                return record + 1;
            }
        }
        records.end
    }

    fn second_form(&self, piece: &[u8], refusal: &Refusal, out: &mut Vec<u8>) -> bool {
        let is_wanted = self.options.on_mapping_conflict == OnMappingConflict::Stringify;
        // Of this not the fields are to blame.
        let is_of_fields = refusal.reason != "document_missing_exception";
        is_wanted && is_of_fields && self.second_form.push(piece, &refusal.message, out)
    }

    fn body(&self, _key: &str, pieces: &Pieces, body: &mut Vec<u8>) {
        match self.options.compress {
            Compress::None => pieces.slices().for_each(|slice| body.extend_from_slice(slice)),
            Compress::Gzip => gzip_pieces(u32::from(self.options.compress_level), pieces.slices(), body),
        }
    }

    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if &*request.key == WITHOUT_ID {
                let message = "a record has no text under `id_key`, so there is nothing to update".into();
                return Outcome::Unfit { reason: "no_id", message };
            }
            let mut outcome = self.ask(request).await;
            for _ in 1..self.hosts.len() {
                match outcome {
                    // Nothing was sent: another server may take it at once.
                    Outcome::Again { ref cause, .. } if is_unreached(cause) => outcome = self.ask(request).await,
                    _ => break,
                }
            }
            outcome
        })
    }
}

fn is_unreached(cause: &str) -> bool {
    [Cause::Connect, Cause::Dns].iter().any(|unreached| unreached.as_str() == cause)
}

impl OpenSearch {
    /// One attempt at the server whose turn it is.
    async fn ask(&self, request: &Request) -> Outcome {
        let (host, url) = self.hosts.next(Instant::now());
        let signed = match &self.signer {
            None => None,
            Some(signer) => match signer.headers(url, &self.headers, &request.body).await {
                Ok(headers) => Some(headers),
                Err(outcome) => return outcome,
            },
        };
        let headers = signed.as_ref().unwrap_or(&self.headers);
        let attempt = crate::net::Request { method: Method::POST, url, headers, body: request.body.clone() };
        match self.client.send(attempt).await {
            Ok(answer) => {
                self.hosts.wake(host);
                if let (401 | 403, Some(signer)) = (answer.status, &self.signer) {
                    signer.refused().await;
                }
                judge(self.asked(request, answer.cut), answer.status, &answer.headers, &answer.body)
            }
            Err(error) => {
                self.hosts.rest(host, Instant::now());
                self.with_hint(failed(&error), error.cause())
            }
        }
    }

    fn asked(&self, request: &Request, cut: bool) -> Asked<'_> {
        Asked {
            records: request.records,
            with_login: self.with_login,
            signed: self.signer.is_some(),
            is_update: self.options.write_operation.is_update(),
            brings_ids: self.options.id_key.is_some(),
            ids_taken: &self.ids_taken,
            cut,
        }
    }

    /// A server that speaks TLS ends a connection that does not, without a word.
    fn with_hint(&self, outcome: Outcome, cause: Cause) -> Outcome {
        match outcome {
            Outcome::Again { after, cause: label, message, lasting } if self.is_plain && cause == Cause::Reset => {
                let message =
                    format!("{message}; hint: if that port speaks TLS, as it does where security is on, set `tls on`");
                Outcome::Again { after, cause: label, message, lasting }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
