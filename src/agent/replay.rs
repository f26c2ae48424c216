//! `drave replay`: the letters of a dead-letter file through one output again, with the delivery that everything has. No input
//! runs, no position moves, no spool is opened, and the file itself is not changed.
//!
//! ```text
//! FILE ─▶ letters of the output ─▶ requests, one key each ─▶ delivery ─┬─▶ delivered
//!                                                                      └─▶ FILE.left: refused again, given up, or not sent in time
//! ```
//! Who repeats the command with `FILE.left` sends only what is not there yet.

use super::concurrency::Concurrency;
use super::dead_letter::DeadLetters;
use super::delivery::Delivery;
use super::ledger::{Amount, Ledger};
use super::letters::{Letter, LetterFile, Span};
use super::memory::{self, Memory};
use super::pipeline::{Lane, Pipeline};
use super::plan::{InputRoute, Plan};
use super::request::{Finished, Home, Origin, Part, Retry};
use super::run::{Made, RunError, Signals, make_outputs, start_runtime};
use super::spare::Spare;
use crate::output::Pieces;
use crate::record::{Counts, Ticket};
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How often it is looked whether there is room for more, or nothing left to do.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What came of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters that arrived.
    pub delivered: u64,
    /// Letters that were refused again or given up; they are in [`Replayed::left_in`].
    pub refused: u64,
    /// Letters that were not sent before it was told to stop; they are there too.
    pub unsent: u64,
    /// Letters of other outputs.
    pub others: u64,
    /// Lines that are no letters: their numbers, and why.
    pub bad_lines: Vec<(u64, String)>,
    /// The file of those that did not arrive, which may not be there if there are none.
    pub left_in: PathBuf,
}

/// Sends the letters of an output again, until each has arrived or was refused, or until SIGTERM or SIGINT.
///
/// # Errors
/// The file cannot be read, the configuration has no such output, or the output cannot be made.
pub fn replay(mut plan: Plan, file: &Path, output: &str) -> Result<Replayed, RunError> {
    let outputs = std::mem::take(&mut plan.outputs);
    let names = outputs.iter().map(|o| o.name.clone()).collect::<Vec<_>>().join(", ");
    let chosen = outputs.into_iter().filter(|o| o.name == output).collect();
    let Some(made) = make_outputs(&plan, chosen)?.pop() else {
        let message = format!("the configuration has no output `{output}`");
        return Err(RunError::new(message, Some(format!("its outputs: {names}"))));
    };
    let letters = LetterFile::open(file).map_err(|e| cannot_read(file, &e))?;
    let runtime = start_runtime(&plan)?;
    let replayed = runtime.block_on(async {
        let mut replay = Replay::start(&plan, made, (file, letters));
        replay.send(plan.service.grace.0, Signals::listen()?).await?;
        replay.end()
    });
    runtime.shutdown_background();
    replayed
}

fn cannot_read(file: &Path, error: &io::Error) -> RunError {
    RunError::new(format!("cannot read {}: {error}", file.display()), None)
}

struct Replay {
    path: PathBuf,
    letters: LetterFile,
    lane: Arc<Lane>,
    pipeline: Arc<Pipeline>,
    stopping: watch::Sender<Option<Instant>>,
    /// Not used for more than being there: without it the delivery would end.
    _running: watch::Sender<bool>,
    delivery: tokio::task::JoinHandle<()>,
    /// What was sent and may not have come to its end.
    sent: VecDeque<(Ticket, Span)>,
    /// Read, and the first of the next request.
    next: Option<(Letter, Span)>,
    result: Replayed,
}

impl Replay {
    fn start(plan: &Plan, Made { planned, output }: Made, (path, letters): (&Path, LetterFile)) -> Self {
        let (finished, receiver) = mpsc::unbounded_channel();
        let (limits, linger, spare) = (output.limits(), Duration::ZERO, Spare::new(0));
        let (name, matches, number, may_spool) = (planned.name, planned.matches, 0, AtomicBool::new(false));
        let growth = AtomicUsize::new(0);
        let lane = Arc::new(Lane { number, name, output, limits, linger, matches, finished, spare, growth, may_spool });
        let owners = (Arc::new(Ledger::new(1, 1)), Arc::new(Memory::new(memory::limit(plan.service.mem_limit.0), 1)));
        let lanes = vec![Arc::clone(&lane)];
        let pipeline = Arc::new(Pipeline::new(Vec::new(), lanes, owners, vec![InputRoute::IN_MEMORY], Vec::new()));
        let (stopping, watching) = watch::channel(None);
        let (running, watching_end) = watch::channel(false);
        let mut left_in = path.as_os_str().to_owned();
        left_in.push(".left");
        let left_in = PathBuf::from(left_in);
        let delivery = Delivery {
            lane: Arc::clone(&lane),
            pipeline: Arc::clone(&pipeline),
            progress: Arc::default(),
            retry_limit: planned.retry_limit,
            stopping: watching,
            closed_until: Mutex::new(None),
            concurrency: Mutex::new(Concurrency::new(limits.in_flight)),
            recoveries: AtomicU64::new(0),
            doubts: Arc::default(),
            refused_said: Mutex::default(),
            apart: tokio::sync::Mutex::default(),
            ended: watching_end,
            spool: None,
            dead_letters: Some(Arc::new(Mutex::new(DeadLetters::new(left_in.clone(), u64::MAX)))),
            input_names: Vec::new().into(),
            replays: true,
        };
        let delivery = tokio::spawn(delivery.run(receiver, None));
        let result = Replayed { left_in, ..Replayed::default() };
        let path = path.to_path_buf();
        Self {
            path,
            letters,
            lane,
            pipeline,
            stopping,
            _running: running,
            delivery,
            sent: VecDeque::new(),
            next: None,
            result,
        }
    }

    /// Until everything has come to an end, or for `grace` after a signal.
    async fn send(&mut self, grace: Duration, mut signals: Signals) -> Result<(), RunError> {
        let mut deadline: Option<Instant> = None;
        let mut all_read = false;
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            if !all_read && deadline.is_none() && self.pipeline.memory.has_room(0) {
                match self.next_request()? {
                    Some(request) => self.hand_over(request),
                    None => all_read = true,
                }
                continue;
            }
            self.forget_ended();
            if self.sent.is_empty() && (all_read || deadline.is_some()) {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = signals.stop() => {
                    // A second signal means now.
                    let until = Instant::now() + if deadline.is_none() { grace } else { Duration::ZERO };
                    deadline = Some(until);
                    let _ = self.stopping.send(Some(until));
                }
            }
        }
        Ok(())
    }

    /// Letters of one key, in the order of the file, as many as a request takes.
    fn next_request(&mut self) -> Result<Option<Finished>, RunError> {
        let Some((first, span)) = self.next_letter()? else { return Ok(None) };
        let key: Arc<str> = first.key.as_str().into();
        let (mut pieces, mut parts) = (Pieces::default(), Vec::new());
        self.add(first, span, &mut pieces, &mut parts);
        let limits = self.lane.limits;
        while pieces.list.len() < limits.records_max && pieces.bytes.len() < limits.bytes_max {
            match self.next_letter()? {
                Some((letter, span)) if *letter.key == *key => self.add(letter, span, &mut pieces, &mut parts),
                other => {
                    self.next = other;
                    break;
                }
            }
        }
        let held = self.pipeline.memory.hold(0, pieces.held_bytes());
        let now = Instant::now();
        Ok(Some(Finished {
            key,
            pieces: Arc::new(pieces),
            parts,
            since: now,
            closed: now,
            home: Home::Memory,
            retry: Retry::default(),
            held,
        }))
    }

    fn add(&mut self, letter: Letter, span: Span, pieces: &mut Pieces, parts: &mut Vec<Part>) {
        pieces.bytes.extend_from_slice(&self.lane.output.piece_of(&letter.piece));
        pieces.add(letter.piece.len() as u32);
        let ticket = Ticket::default();
        ticket.add(1);
        let origin = Origin::Spooled { input: letter.input.into(), source: letter.source.into() };
        parts.push(Part { ticket: ticket.clone(), pieces: 1, origin });
        self.sent.push_back((ticket, span));
    }

    /// The next letter of the output. What is none, or of another one, is noted.
    fn next_letter(&mut self) -> Result<Option<(Letter, Span)>, RunError> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        while let Some(line) = self.letters.next().map_err(|e| cannot_read(&self.path, &e))? {
            match line.letter {
                Ok(letter) if letter.output == self.lane.name => return Ok(Some((letter, line.span))),
                Ok(_) => self.result.others += 1,
                Err(why) => self.result.bad_lines.push((line.number, why)),
            }
        }
        Ok(None)
    }

    fn hand_over(&mut self, request: Finished) {
        let Amount { records, bytes } = request.amount();
        let counts = Counts { read: records, read_bytes: bytes, ..Counts::default() };
        let amount = Amount { records, bytes };
        self.pipeline.ledger.enter(0, &counts, amount, &[(0, amount, Amount::default())]);
        let _ = self.lane.finished.send(request);
    }

    fn forget_ended(&mut self) {
        self.sent.retain(|(ticket, _)| !ticket.is_settled());
    }

    /// Writes down what has not come to an end, and counts.
    fn end(mut self) -> Result<Replayed, RunError> {
        self.delivery.abort();
        self.forget_ended();
        let mut unsent: Vec<Span> = self.sent.drain(..).map(|(_, span)| span).collect();
        while let Some((_, span)) = self.next_letter()? {
            unsent.push(span);
        }
        self.keep(&unsent).map_err(|e| {
            let hint = "the letters are still in the file that was read".to_owned();
            RunError::new(format!("cannot write {}: {e}", self.result.left_in.display()), Some(hint))
        })?;
        let accounts = self.pipeline.ledger.accounts();
        self.result.delivered = accounts.outputs[0].delivered.records;
        self.result.refused = accounts.outputs[0].refused.values().map(|amount| amount.records).sum();
        self.result.unsent = unsent.len() as u64;
        Ok(self.result)
    }

    fn keep(&self, spans: &[Span]) -> io::Result<()> {
        if spans.is_empty() {
            return Ok(());
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.result.left_in)?;
        let mut file = io::BufWriter::new(file);
        spans.iter().try_for_each(|span| file.write_all(&self.letters.text(*span)?))?;
        file.flush()
    }
}
