//! Destinations: what a record looks like there, and one attempt to send a request. Batching, retries, splitting and
//! acknowledgement are the delivery's work (`agent/delivery.rs`), the same for all.

mod authorization;
mod cloudwatch_logs;
mod date;
mod endpoint;
mod file;
mod http;
mod loki;
mod msgpack;
mod null;
mod opensearch;
mod pieces;
mod printed;
mod stdout;
mod strftime;

pub use pieces::{CommonId, Filled, Neighbours, Piece, Pieces, Place};

use crate::config::{Environment, Opt, Report, Section, ServiceOptions};
use crate::record::{Batch, SourceDraft};
use crate::state::State;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What a destination takes in one request, and how many at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Encoded bytes at which a request is closed; one record may go over it.
    pub bytes_max: usize,
    /// Records at which it is closed.
    pub records_max: usize,
    /// How long a request waits for more; `None`: the service's `flush`.
    pub linger: Option<Duration>,
    /// Requests under way at once.
    pub in_flight: usize,
    /// One request after the other, in the order in which their records came.
    pub ordered: bool,
}

/// What an output looks at in a record, so that nothing is prepared that nobody asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// It writes texts: whether a batch is UTF-8 is found out beforehand.
    pub text: bool,
}

/// Pieces of one destination, ready to send.
#[derive(Debug)]
pub struct Request {
    /// What must not share a request: a tag header, a tenant, a stream.
    pub key: Arc<str>,
    /// Framed and compressed by [`Output::body`].
    pub body: Bytes,
    /// The pieces as they stand, where [`Output::sends_pieces`] says that the body goes around them.
    pub pieces: Option<Bytes>,
    /// How many records it holds.
    pub records: usize,
}

impl Request {
    /// All that is sent.
    pub fn len(&self) -> usize {
        self.body.len() + self.pieces.as_ref().map_or(0, Bytes::len)
    }

    /// There is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What came of one attempt.
#[derive(Debug)]
pub enum Outcome {
    /// Everything is there.
    Delivered,
    /// Nothing is there; try again, not before `after` if the destination said so.
    Again {
        /// `Retry-After`.
        after: Option<Duration>,
        /// A label of the metrics: `connect`, `timeout`, `http_503`.
        cause: String,
        /// For the log: what and what to do.
        message: String,
        /// It will not get better by itself (401, 403, 400, bad TLS): keep the data, try seldom, say so.
        lasting: bool,
    },
    /// The destination named what is not there; the rest is.
    Partly {
        /// Pieces to be sent again, by number.
        again: Vec<usize>,
        /// Pieces that it will never take.
        refused: Vec<(usize, Refusal)>,
        /// So many more that it will never take, and which these are nobody knows.
        unnamed: Option<(usize, Refusal)>,
        /// Pieces of records that have nothing to send, as blank lines: left out and counted, and nobody's failure.
        empty: Box<[usize]>,
    },
    /// Nothing is there, and the reason holds for requests of this key only: others go first meanwhile.
    Held {
        /// Until it is tried again.
        after: Duration,
        /// As in `Again`.
        cause: String,
        /// As in `Again`.
        message: String,
        /// As in `Again`.
        lasting: bool,
    },
    /// Too many bytes: split it.
    TooLarge,
    /// None of it will ever be taken, and each of its records is to blame.
    Unfit {
        /// A label of the metrics.
        reason: &'static str,
        /// For the log and the dead letter.
        message: String,
    },
    /// It will never take this request, and does not say which record is to blame: the delivery finds out.
    Refused {
        /// A label of the metrics: `http_400`.
        cause: String,
        /// For the log and the dead letter.
        message: String,
    },
}

/// Why a destination does not take a record.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// A label of the metrics: `http_400`, `too_large`.
    pub reason: String,
    /// What it said.
    pub message: String,
}

/// Pieces that must not share a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// The request of each piece, by number.
    pub requests: Vec<u32>,
    /// Once these are answered, others may share one: they wait until then.
    pub others_wait: bool,
}

/// A destination.
pub trait Output: Send + Sync {
    /// What one request may hold.
    fn limits(&self) -> Limits;
    /// What it looks at.
    fn needs(&self) -> Needs;
    /// How much later than newer records of the same source a record may arrive; `None`: as late as it likes. A backlog of half that age
    /// goes before everything else.
    fn late_max(&self) -> Option<Duration> {
        None
    }
    /// Records that it had to change for the destination to take them, by reason, since the start; for the metrics.
    fn changed_records(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
    /// Appends what must not share a request with other sources' records.
    fn key(&self, _source: &SourceDraft, _key: &mut String) {}
    /// Does each record say for itself what must not share a request, with [`record_key`](Self::record_key)?
    fn keys_records(&self) -> bool {
        false
    }
    /// Does each record of this batch, whose source has that key?
    fn keys_each(&self, _batch: &Batch, _key: &str) -> bool {
        self.keys_records()
    }
    /// A request of the key of these records is about to be begun: the last moment to choose another one.
    fn begin_key(&self, _batch: &Batch, _records: Range<usize>, _key: &mut String) {}
    /// Are requests of one key sent one after the other, while those of others are under way?
    fn takes_turns(&self) -> bool {
        false
    }
    /// May several of this key be under way all the same, if their times do not overlap?
    fn allows_several(&self, _key: &str) -> bool {
        false
    }
    /// How long a request waits for more, for now; `usual` is what [`limits`](Self::limits) or the service says.
    fn linger(&self, usual: Duration) -> Duration {
        usual
    }
    /// Appends what of a record must not share a request with others, behind what [`key`](Self::key) said.
    fn record_key(&self, _batch: &Batch, _record: usize, _key: &mut String) {}
    /// Appends the encoding of one record. Pure.
    fn encode(&self, batch: &Batch, record: usize, out: &mut Vec<u8>);
    /// Adds one record; `false`: nothing was added, since it does not fit any more. Into an empty request everything fits.
    fn encode_one(&self, batch: &Batch, record: usize, pieces: &mut Pieces) -> bool {
        self.encode(batch, record, &mut pieces.bytes);
        pieces.add(batch.records[record].bytes);
        true
    }
    /// Encodes records until the request is full; returns the first that is not in it.
    fn encode_some(&self, batch: &Batch, records: Range<usize>, pieces: &mut Pieces, limits: &Limits) -> usize {
        for record in records.clone() {
            if !self.encode_one(batch, record, pieces) {
                return record;
            }
            if pieces.is_full(limits) {
                return record + 1;
            }
        }
        records.end
    }
    /// Another form of a piece that was refused, in which the destination may take it: appended; `false` when there is none. What it
    /// appends is sent in the place of the piece, and is refused for good when it has no further form.
    fn second_form(&self, _piece: &[u8], _refusal: &Refusal, _out: &mut Vec<u8>) -> bool {
        false
    }
    /// Encoded bytes that a request of these pieces and their like will have when it is full, as far as that can be told.
    fn bytes_when_full(&self, _pieces: &Pieces) -> usize {
        usize::MAX
    }
    /// A piece without what joins it to the one before it, which stands in front: for what is kept for later.
    fn bare<'a>(&self, piece: &'a [u8]) -> &'a [u8] {
        piece
    }
    /// A piece as it stands in a dead letter.
    fn letter<'a>(&self, piece: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(self.bare(piece))
    }
    /// The piece of a dead letter.
    fn piece_of<'a>(&self, letter: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(letter)
    }
    /// Are these pieces sent as they stand? Then [`body`](Self::body) writes only what goes around them: megabytes that are not copied.
    fn sends_pieces(&self, _pieces: &Pieces) -> bool {
        false
    }
    /// How pieces are to be sent that must not share a request for now; `None`: they may.
    fn apart(&self, _key: &str, _pieces: &Pieces) -> Option<Apart> {
        None
    }
    /// Frames and compresses the pieces.
    fn body(&self, key: &str, pieces: &Pieces, body: &mut Vec<u8>);
    /// One attempt.
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome>;
    /// One attempt, by an output whose answers have to be held against the pieces.
    fn send_pieces<'a>(&'a self, request: &'a Request, _pieces: &'a Pieces) -> BoxFuture<'a, Outcome> {
        self.send(request)
    }
    /// The state folder is this process's now; `name` is the output's.
    fn start(&self, _name: &str, _state: &Arc<State>) {}
}

/// What outputs are made with.
#[derive(Debug)]
pub struct OutputContext<'a> {
    /// The `service` section.
    pub service: &'a ServiceOptions,
    /// For proxies.
    pub environment: &'a Environment,
    /// Standard output is a terminal.
    pub terminal: bool,
}

/// Makes an output of checked options; fails when a file that they name cannot be read.
pub type Start = Box<dyn FnOnce(&OutputContext<'_>) -> Result<Arc<dyn Output>, OutputError> + Send>;

/// Why an output could not be made.
#[derive(Debug)]
pub struct OutputError {
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl std::fmt::Display for OutputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OutputError {}

/// An output of the registry.
#[derive(Debug)]
pub struct OutputPlugin {
    /// As in `name: http`.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Its declarations, one list per group; the options of all outputs come on top.
    pub options: &'static [&'static [Opt]],
    /// What differs from Fluent Bit on purpose, and why; one list per group.
    pub deviations: &'static [&'static [(&'static str, &'static str)]],
    /// Checks a section without side effects.
    pub configure: fn(&Section, &mut Report) -> Option<Start>,
}

/// Every output there is.
pub static OUTPUTS: &[OutputPlugin] = &[
    cloudwatch_logs::OLDER_PLUGIN,
    cloudwatch_logs::PLUGIN,
    opensearch::ES,
    file::PLUGIN,
    http::PLUGIN,
    loki::PLUGIN,
    null::PLUGIN,
    opensearch::PLUGIN,
    stdout::PLUGIN,
];
