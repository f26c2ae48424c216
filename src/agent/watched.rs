//! What the admin pages show of a running process.

use super::delivery::Progress;
use super::ledger::{InputAccount, OutputAccount};
use super::pipeline::{Pipeline, lock};
use super::spooling::SpoolShared;
use crate::admin::{Classic, Gauge, Snapshot, Subject};
use crate::config::Environment;
use crate::filter::{Measure, Measured};
use crate::record::Expression;
use crate::record::time::{DateFormat, push_date};
use crate::state::State;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// What the admin pages look at, of one output.
pub(super) struct WatchedLane {
    pub(super) progress: Arc<Progress>,
    pub(super) spool: Option<Arc<SpoolShared>>,
}

/// What the admin pages look at.
pub(super) struct Watched {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) input_names: Vec<String>,
    pub(super) filter_names: Vec<String>,
    pub(super) lanes: Vec<WatchedLane>,
    pub(super) stall: Duration,
    pub(super) state: Arc<State>,
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
    pub(super) hostname: String,
}

/// The present moment, as in RFC 3339.
fn now() -> String {
    let mut date = Vec::new();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    push_date(&mut date, since.as_nanos() as i64, DateFormat::Iso8601);
    String::from_utf8_lossy(&date).trim_matches('"').to_owned()
}

/// This machine's name, for labels.
pub(super) fn hostname(environment: &Environment) -> String {
    let of_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = of_kernel().or_else(|| environment.get("HOSTNAME").map(str::to_owned));
    name.unwrap_or_default().trim().to_owned()
}

fn push_measure(snapshot: &mut Snapshot, filter: &str, measure: Measure<'_>) {
    let (value, mut labels) = (measure.value, vec![("filter", filter)]);
    let by_kind = matches!(measure.what, Measured::Redacted | Measured::Failed | Measured::WithoutInstance);
    let name = if by_kind { "kind" } else { "reason" };
    labels.extend(measure.label.map(|label| (name, label)));
    match measure.what {
        Measured::PodsKnown => snapshot.gauge(Gauge::PodsKnown, &labels, value),
        Measured::FilesWaiting => snapshot.gauge(Gauge::FilesWaiting, &labels, value),
        Measured::WatchLive => snapshot.gauge(Gauge::WatchLive, &labels, value),
        Measured::WatchSilent => snapshot.gauge(Gauge::WatchSilent, &labels, value),
        Measured::WithoutMetadata => {
            snapshot.counter("filter_kubernetes_without_metadata_records", &labels, value as u64);
        }
        Measured::BadAnnotations => snapshot.counter("filter_kubernetes_bad_annotations", &labels, value as u64),
        Measured::Redacted => snapshot.counter("filter_redacted", &labels, value as u64),
        Measured::WithoutInstance => {
            snapshot.counter("filter_aws_without_metadata_records", &labels, value as u64);
        }
        Measured::Failed => snapshot.counter("filter_failed", &labels, value as u64),
    }
}

impl Subject for Watched {
    fn snapshot(&self) -> Snapshot {
        let names: Vec<String> = self.pipeline.lanes.iter().map(|l| l.name.clone()).collect();
        let mut snapshot = self.pipeline.ledger.snapshot(&self.input_names, &names);
        for (lane, watched) in self.pipeline.lanes.iter().zip(&self.lanes) {
            let labels = [("output", lane.name.as_str())];
            let stalled = watched.progress.is_stalled(Instant::now(), self.stall);
            snapshot.gauge(Gauge::MemoryHeld, &labels, self.pipeline.memory.held(lane.number) as f64);
            snapshot.gauge(Gauge::InFlight, &labels, watched.progress.in_flight() as f64);
            snapshot.gauge(Gauge::Stalled, &labels, f64::from(u8::from(stalled)));
            let in_memory = self.pipeline.oldest(lane.number).map_or(Duration::ZERO, |since| since.elapsed());
            let mut oldest = in_memory;
            if let Some(spool) = &watched.spool {
                let status = *lock(&spool.status);
                let age = status.oldest.and_then(|oldest| oldest.elapsed().ok()).unwrap_or_default();
                oldest = oldest.max(age);
                snapshot.gauge(Gauge::SpoolBytes, &labels, status.bytes as f64);
                snapshot.gauge(Gauge::SpoolRecords, &labels, status.pending.records as f64);
                snapshot.gauge(Gauge::SpoolOldest, &labels, age.as_secs_f64());
                snapshot.gauge(Gauge::SpoolBlocked, &labels, f64::from(u8::from(spool.is_blocked())));
                snapshot.counter("output_spool_damaged_bytes", &labels, status.damaged_bytes);
            }
            snapshot.gauge(Gauge::PendingOldest, &labels, oldest.as_secs_f64());
            for (reason, records) in lane.output.changed_records() {
                snapshot.counter("output_changed_records", &[labels[0], ("reason", reason)], records);
            }
        }
        self.pipeline.measures(&mut |number, measure| {
            push_measure(&mut snapshot, self.filter_names.get(number).map_or("", String::as_str), measure);
        });
        snapshot.counter("expression_given_up", &[], Expression::all_given_up());
        snapshot.gauge(Gauge::StateDurable, &[], f64::from(u8::from(self.state.is_durable())));
        snapshot.gauge(Gauge::Uptime, &[], self.started.elapsed().as_secs_f64());
        snapshot
    }

    fn classic(&self) -> Classic {
        let accounts = self.pipeline.ledger.accounts();
        let outputs: Vec<String> = self.pipeline.lanes.iter().map(|l| l.name.clone()).collect();
        let in_flight = self.lanes.iter().map(|lane| lane.progress.in_flight());
        let filters = self.filter_names.iter().cloned().zip(self.pipeline.filtered());
        let full = self.pipeline.lanes.iter().any(|l| !self.pipeline.memory.has_room(l.number));
        Classic {
            inputs: self.input_names.iter().cloned().zip(accounts.inputs.iter().map(InputAccount::classic)).collect(),
            filters: filters.map(|(name, passed)| (name, passed.classic_of_filter())).collect(),
            outputs: outputs.iter().cloned().zip(accounts.outputs.iter().map(OutputAccount::classic)).collect(),
            connections: outputs.into_iter().zip(in_flight.clone()).collect(),
            chunks: in_flight.sum(),
            paused: self.input_names.iter().map(|name| (name.clone(), full)).collect(),
            uptime_seconds: self.started.elapsed().as_secs(),
            started: self.started_at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            hostname: self.hostname.clone(),
            date: now(),
        }
    }

    fn silence(&self) -> Duration {
        self.pipeline.silence()
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn complaint(&self) -> Option<String> {
        self.pipeline.ledger.complaint()
    }

    fn stalled(&self) -> Vec<String> {
        let lanes = self.pipeline.lanes.iter().zip(&self.lanes);
        let stalled = lanes.filter(|(_, watched)| watched.progress.is_stalled(Instant::now(), self.stall));
        stalled.map(|(lane, _)| lane.name.clone()).collect()
    }
}
