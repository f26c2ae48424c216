//! Where every record is, in records and in bytes of their source.
//!
//! ```text
//! per input    read + made = routed + joined + dropped(reason) + open
//! per output   routed = delivered + refused(reason) + dropped(reason) + pending
//! ```
//! Both hold in every snapshot: each batch and each request enters in one step, under one lock that is taken per batch.

use super::verdict::{Verdict, VerdictLimits};
use crate::admin::{Counters, Gauge, Snapshot};
use crate::input::{FileEvent, Gauges, LostReason};
use crate::record::{Batch, Counts, DropReason};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Records and the bytes of the source that they stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    /// Of the records of a batch.
    pub(super) fn of(batch: &Batch) -> Self {
        let bytes = batch.records.iter().map(|r| u64::from(r.bytes)).sum();
        Self { records: batch.records.len() as u64, bytes }
    }

    /// What is left without a part of it.
    pub(super) fn without(self, part: Self) -> Self {
        Self { records: self.records.saturating_sub(part.records), bytes: self.bytes.saturating_sub(part.bytes) }
    }

    /// The larger of both, in each number.
    pub(super) fn at_least(self, other: Self) -> Self {
        Self { records: self.records.max(other.records), bytes: self.bytes.max(other.bytes) }
    }

    fn at_most(self, other: Self) -> Self {
        Self { records: self.records.min(other.records), bytes: self.bytes.min(other.bytes) }
    }

    /// What passed a filter, in Fluent Bit's words.
    pub(super) fn classic_of_filter(self) -> Counters {
        vec![("records", self.records), ("bytes", self.bytes), ("add_records", 0), ("drop_records", 0)]
    }

    fn take(&mut self, other: Self) {
        self.records -= other.records;
        self.bytes -= other.bytes;
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct InputAccount {
    pub(super) read: Amount,
    pub(super) made: Amount,
    pub(super) routed: Amount,
    pub(super) joined: u64,
    pub(super) open: i64,
    pub(super) open_bytes: i64,
    pub(super) truncated: u64,
    pub(super) skipped_bytes: u64,
    pub(super) dropped: BTreeMap<&'static str, Amount>,
    pub(super) lost_bytes: BTreeMap<&'static str, u64>,
    pub(super) lost_entries: BTreeMap<&'static str, u64>,
    pub(super) gauges: Vec<(String, Gauges)>,
    /// Where it follows any.
    pub(super) files: Option<Files>,
}

/// What happened to the files of an input.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Files {
    opened: u64,
    closed: u64,
    rotated: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct OutputAccount {
    pub(super) routed: Amount,
    pub(super) delivered: Amount,
    pub(super) pending: Amount,
    pub(super) refused: BTreeMap<String, Amount>,
    pub(super) dropped: BTreeMap<&'static str, Amount>,
    pub(super) requests: u64,
    pub(super) body_bytes: u64,
    pub(super) retries: BTreeMap<String, u64>,
    /// Records in attempts that are repeated.
    pub(super) retried_records: u64,
    /// Requests that were refused.
    pub(super) requests_refused: u64,
    /// Requests that were given up.
    pub(super) requests_given_up: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Accounts {
    pub(super) inputs: Vec<InputAccount>,
    pub(super) outputs: Vec<OutputAccount>,
    pub(super) unwatched_folders: u64,
    verdict: Verdict,
}

impl OutputAccount {
    fn leave(&mut self, amount: Amount, how: Left<'_>) {
        debug_assert!(amount.records <= self.pending.records, "more left than came");
        // After damage of a spool the two may not agree: a record that left must not make billions pending.
        let amount = amount.at_most(self.pending);
        self.pending.take(amount);
        match how {
            Left::Delivered => self.delivered.add(amount),
            Left::Refused(reason) => {
                self.requests_refused += 1;
                self.refused.entry(reason.to_owned()).or_default().add(amount);
            }
            Left::Dropped(reason) => {
                self.requests_given_up += u64::from(reason != DropReason::EmptyLine);
                self.dropped.entry(reason.label()).or_default().add(amount);
            }
        }
    }
}

/// All accounts.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Accounts>);

/// How records leave an output's account other than by delivery.
#[derive(Debug, Clone, Copy)]
pub(super) enum Left<'a> {
    Delivered,
    Refused(&'a str),
    Dropped(DropReason),
}

impl Ledger {
    pub(super) fn new(inputs: usize, outputs: usize) -> Self {
        let accounts = Accounts {
            inputs: vec![InputAccount::default(); inputs],
            outputs: vec![OutputAccount::default(); outputs],
            unwatched_folders: 0,
            verdict: Verdict::default(),
        };
        Self(Mutex::new(accounts))
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch: what was read, how much of it has an output, and for each output how much it gets and what of that its own
    /// processors have left out.
    pub(super) fn enter(&self, input: usize, counts: &Counts, routed: Amount, outputs: &[(usize, Amount, Amount)]) {
        let accounts = &mut *self.lock();
        let account = &mut accounts.inputs[input];
        account.read.add(Amount { records: counts.read, bytes: counts.read_bytes });
        account.made.records += counts.made;
        account.joined += counts.joined;
        account.open += counts.open;
        account.open_bytes += counts.open_bytes;
        account.truncated += counts.truncated;
        for &(reason, records, bytes) in &counts.dropped {
            account.dropped.entry(reason.label()).or_default().add(Amount { records, bytes });
        }
        account.routed.add(routed);
        for &(output, amount, left_out) in outputs {
            let account = &mut accounts.outputs[output];
            account.routed.add(amount);
            account.pending.add(amount.without(left_out));
            if left_out.records > 0 {
                account.dropped.entry(DropReason::Filter.label()).or_default().add(left_out);
            }
        }
    }

    /// Asks for a verdict, as Fluent Bit's `health_check` does.
    pub(super) fn judge_by(&self, limits: VerdictLimits) {
        self.lock().verdict = Verdict::new(Some(limits));
    }

    /// Why the verdict is bad, if there is one and it is.
    pub(super) fn complaint(&self) -> Option<String> {
        self.lock().verdict.complaint(Instant::now())
    }

    /// Records leave an output.
    pub(super) fn leave(&self, output: usize, amount: Amount, how: Left<'_>) {
        let accounts = &mut *self.lock();
        match how {
            Left::Refused(_) => accounts.verdict.error(Instant::now()),
            Left::Dropped(DropReason::RetryLimit) => accounts.verdict.retry_failure(Instant::now()),
            _ => {}
        }
        accounts.outputs[output].leave(amount, how);
    }

    /// The same where the amount is not known for sure, as after damage.
    pub(super) fn leave_at_most(&self, output: usize, amount: Amount, how: Left<'_>) {
        let account = &mut self.lock().outputs[output];
        account.leave(amount.at_most(account.pending), how);
    }

    /// What a spool held at the start: it was routed by an earlier run.
    pub(super) fn found(&self, output: usize, amount: Amount) {
        let account = &mut self.lock().outputs[output];
        account.routed.add(amount);
        account.pending.add(amount);
    }

    pub(super) fn request(&self, output: usize, body_bytes: usize) {
        let account = &mut self.lock().outputs[output];
        account.requests += 1;
        account.body_bytes += body_bytes as u64;
    }

    pub(super) fn retry(&self, output: usize, cause: &str, records: usize) {
        let account = &mut self.lock().outputs[output];
        account.retried_records += records as u64;
        let retries = &mut account.retries;
        match retries.get_mut(cause) {
            Some(count) => *count += 1,
            None => _ = retries.insert(cause.to_owned(), 1),
        }
    }

    pub(super) fn lost(&self, input: usize, reason: LostReason, bytes: u64) {
        *self.lock().inputs[input].lost_bytes.entry(reason.label()).or_default() += bytes;
    }

    pub(super) fn lost_entries(&self, input: usize, reason: LostReason, entries: u64) {
        *self.lock().inputs[input].lost_entries.entry(reason.label()).or_default() += entries;
    }

    pub(super) fn skipped(&self, input: usize, bytes: u64) {
        self.lock().inputs[input].skipped_bytes += bytes;
    }

    pub(super) fn gauges(&self, input: usize, gauges: Vec<(String, Gauges)>) {
        let account = &mut self.lock().inputs[input];
        account.gauges = gauges;
        account.files.get_or_insert_default();
    }

    pub(super) fn file(&self, input: usize, event: FileEvent) {
        let files = &mut self.lock().inputs[input].files;
        let files = files.get_or_insert_default();
        match event {
            FileEvent::Opened => files.opened += 1,
            FileEvent::Closed => files.closed += 1,
            FileEvent::Rotated => files.rotated += 1,
        }
    }

    pub(super) fn unwatched(&self, folders: u64) {
        self.lock().unwatched_folders = folders;
    }

    pub(super) fn accounts(&self) -> Accounts {
        self.lock().clone()
    }

    /// All accounts as metrics, from one moment.
    pub(super) fn snapshot(&self, inputs: &[String], outputs: &[String]) -> Snapshot {
        let accounts = self.accounts();
        let mut snapshot = Snapshot::default();
        for (name, account) in inputs.iter().zip(&accounts.inputs) {
            input_metrics(&mut snapshot, name, account);
        }
        for (name, account) in outputs.iter().zip(&accounts.outputs) {
            output_metrics(&mut snapshot, name, account);
        }
        snapshot.gauge(Gauge::UnwatchedFolders, &[], accounts.unwatched_folders as f64);
        snapshot
    }
}

impl InputAccount {
    /// In Fluent Bit's words.
    pub(super) fn classic(&self) -> Counters {
        let unrouted = self.dropped.get(DropReason::NoRoute.label()).copied().unwrap_or_default();
        let records = self.routed.records + unrouted.records;
        let mut counters = vec![("records", records), ("bytes", self.routed.bytes + unrouted.bytes)];
        if let Some(files) = self.files {
            counters.extend([
                ("files_opened", files.opened),
                ("files_closed", files.closed),
                ("files_rotated", files.rotated),
            ]);
        }
        counters
    }
}

impl OutputAccount {
    /// In Fluent Bit's words.
    pub(super) fn classic(&self) -> Counters {
        let given_up = self.dropped.values().chain(self.refused.values()).map(|a| a.records).sum();
        vec![
            ("proc_records", self.delivered.records),
            ("proc_bytes", self.delivered.bytes),
            ("errors", self.requests_refused),
            ("retries", self.retries.values().sum()),
            ("retries_failed", self.requests_given_up),
            ("dropped_records", given_up),
            ("retried_records", self.retried_records),
        ]
    }
}

fn input_metrics(snapshot: &mut Snapshot, name: &str, account: &InputAccount) {
    let input = ("input", name);
    snapshot.amount("input_read", &[input], account.read.records, account.read.bytes);
    snapshot.amount("input_made", &[input], account.made.records, account.made.bytes);
    snapshot.amount("input_routed", &[input], account.routed.records, account.routed.bytes);
    snapshot.amount("input_joined", &[input], account.joined, 0);
    for (reason, amount) in &account.dropped {
        snapshot.amount("input_dropped", &[input, ("reason", reason)], amount.records, amount.bytes);
    }
    for (reason, bytes) in &account.lost_bytes {
        snapshot.counter("input_lost_bytes", &[input, ("reason", reason)], *bytes);
    }
    for (reason, entries) in &account.lost_entries {
        snapshot.counter("input_lost_entries", &[input, ("reason", reason)], *entries);
    }
    snapshot.counter("input_skipped_bytes", &[input], account.skipped_bytes);
    snapshot.counter("input_truncated_records", &[input], account.truncated);
    snapshot.gauge(Gauge::InputOpenRecords, &[input], account.open as f64);
    snapshot.gauge(Gauge::InputOpenBytes, &[input], account.open_bytes as f64);
    for (namespace, gauges) in &account.gauges {
        let labels = [input, ("namespace", namespace.as_str())];
        snapshot.gauge(Gauge::FilesOpen, &labels, gauges.files_open as f64);
        snapshot.gauge(Gauge::BytesBehind, &labels, gauges.bytes_behind as f64);
        snapshot.gauge(Gauge::OldestUnread, &labels, gauges.oldest_unread_seconds);
        snapshot.gauge(Gauge::DeletedHeld, &labels, gauges.deleted_held_bytes as f64);
    }
}

fn output_metrics(snapshot: &mut Snapshot, name: &str, account: &OutputAccount) {
    let output = ("output", name);
    snapshot.amount("output_routed", &[output], account.routed.records, account.routed.bytes);
    snapshot.amount("output_delivered", &[output], account.delivered.records, account.delivered.bytes);
    for (reason, amount) in &account.refused {
        snapshot.amount("output_refused", &[output, ("reason", reason)], amount.records, amount.bytes);
    }
    for (reason, amount) in &account.dropped {
        snapshot.amount("output_dropped", &[output, ("reason", reason)], amount.records, amount.bytes);
    }
    snapshot.gauge(Gauge::PendingRecords, &[output], account.pending.records as f64);
    snapshot.gauge(Gauge::PendingBytes, &[output], account.pending.bytes as f64);
    snapshot.counter("output_requests", &[output], account.requests);
    snapshot.counter("output_body_bytes", &[output], account.body_bytes);
    for (cause, count) in &account.retries {
        snapshot.counter("output_retries", &[output, ("cause", cause)], *count);
    }
}
