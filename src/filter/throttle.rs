//! Lets only so many records pass in a time.
//!
//! ```yaml
//! filters:
//!   - name: throttle
//!     match: 'kube.*'
//!     rate: 1000            # records per interval, on average over the window
//!     window: 5             # intervals
//!     interval: 1s
//!     key: $kubernetes['pod_name']
//! ```
//! As in Fluent Bit a burst of rate × window records passes before the first is left out. With `key` every value counts on its own.

use super::words::report_wrong;
use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{Duration, Report, Section};
use crate::record::{Accessor, Batch, SourceDraft};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "throttle",
    about: "Lets only so many records pass in a time.",
    options: &[ThrottleOptions::OPTIONS],
    deviations: &[],
    configure,
};

crate::options! {
    /// How many, and in what time.
    pub struct ThrottleOptions {
        /// How many records may pass per interval, on average over the window.
        rate: f64, "rate", default "1";
        /// Over how many intervals they are counted.
        window: usize, "window", default "5";
        /// How long an interval is.
        interval: Duration, "interval", default "1";
        /// A key or record accessor: every value of it counts on its own.
        key: String, "key", optional;
        /// Says in drave's log, once per interval, how many passed.
        print_status: bool, "print_status", default "off";
    }
}

/// Values counted on their own at the same time; beyond that the quiet ones are forgotten.
const VALUES_MAX: usize = 10_000;
/// Counters of all of them: the longer the window, the fewer values.
const COUNTERS_MAX: usize = 2_000_000;
/// Longer windows are cut: one counter is kept for each interval.
const WINDOW_MAX: usize = 100_000;

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = ThrottleOptions::from_section(section, report)?;
    let key = match options.key.as_deref().map(str::trim).map(Accessor::parse).transpose() {
        Ok(key) => key,
        Err(error) => {
            let entry = section.get("key")?;
            report_wrong(section, entry, &format!("is no key: {error}"), error.hint(), report);
            return None;
        }
    };
    for (name, wrong) in [("window", options.window == 0), ("interval", options.interval.0.is_zero())] {
        if let Some(entry) = section.get(name).filter(|_| wrong) {
            report_wrong(section, entry, "cannot be 0", "give at least 1", report);
            return None;
        }
    }
    let state = State {
        rate: options.rate,
        window: options.window.min(WINDOW_MAX),
        interval: options.interval.0,
        print_status: options.print_status,
        started: Instant::now(),
        printed: 0,
        values: HashMap::new(),
        all: Window::default(),
    };
    Some(Box::new(Throttle { key: key.map(Arc::new), state: Arc::new(Mutex::new(state)) }))
}

/// What passed in the last intervals.
#[derive(Debug, Default)]
struct Window {
    counts: Vec<u32>,
    total: u64,
    /// The number of the interval that it was last moved to.
    at: u64,
}

impl Window {
    fn move_to(&mut self, interval: u64, len: usize) {
        self.counts.resize(len, 0);
        let passed = interval.saturating_sub(self.at).min(len as u64);
        for gone in 0..passed {
            let slot = ((interval - gone) % len as u64) as usize;
            self.total -= u64::from(std::mem::take(&mut self.counts[slot]));
        }
        self.at = self.at.max(interval);
    }

    fn pass(&mut self, rate: f64) -> bool {
        let len = self.counts.len();
        if self.total as f64 / len as f64 >= rate {
            return false;
        }
        self.counts[(self.at % len as u64) as usize] += 1;
        self.total += 1;
        true
    }
}

#[derive(Debug)]
struct State {
    rate: f64,
    window: usize,
    interval: std::time::Duration,
    print_status: bool,
    started: Instant,
    printed: u64,
    values: HashMap<Vec<u8>, Window>,
    all: Window,
}

impl State {
    fn interval_at(&self, now: Instant) -> u64 {
        (now.duration_since(self.started).as_nanos() / self.interval.as_nanos()) as u64
    }

    /// May a record with this value pass?
    fn pass(&mut self, value: Option<&[u8]>, interval: u64) -> bool {
        let Some(value) = value else {
            self.all.move_to(interval, self.window);
            return self.all.pass(self.rate);
        };
        if let Some(window) = self.values.get_mut(value) {
            window.move_to(interval, self.window);
            return window.pass(self.rate);
        }
        let values_max = (COUNTERS_MAX / self.window).clamp(1, VALUES_MAX);
        if self.values.len() >= values_max {
            let oldest = interval.saturating_sub(self.window as u64);
            self.values.retain(|_, window| window.at > oldest);
            if self.values.len() >= values_max {
                self.values.clear();
            }
        }
        let window = self.values.entry(value.to_vec()).or_default();
        window.move_to(interval, self.window);
        window.pass(self.rate)
    }

    fn print(&mut self, interval: u64) {
        if self.print_status && interval > self.printed {
            self.printed = interval;
            let passed = self.all.total + self.values.values().map(|window| window.total).sum::<u64>();
            tracing::info!(
                "throttle: {passed} records passed in the last {} intervals, {} values",
                self.window,
                self.values.len()
            );
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Throttle {
    key: Option<Arc<Accessor>>,
    state: Arc<Mutex<State>>,
}

impl Filter for Throttle {
    fn plan(&mut self, _: &mut SourceDraft) -> Plan {
        let (key, state) = (self.key.clone(), Arc::clone(&self.state));
        Plan::Each(Box::new(ThrottleEach { key, state, value: String::new() }))
    }
}

struct ThrottleEach {
    key: Option<Arc<Accessor>>,
    state: Arc<Mutex<State>>,
    value: String,
}

impl Each for ThrottleEach {
    fn apply(&mut self, batch: &mut Batch) {
        let state = &mut *lock(&self.state);
        let interval = state.interval_at(Instant::now());
        state.print(interval);
        let (key, value) = (self.key.as_deref(), &mut self.value);
        batch.retain(|batch, record| {
            value.clear();
            if let Some(found) = key.and_then(|key| key.find(batch, record)) {
                found.push_text(value);
            }
            state.pass(key.map(|_| value.as_bytes()), interval)
        });
    }

    fn adds_fields(&self) -> bool {
        false
    }

    fn owns_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(rate: f64, window: usize) -> State {
        State {
            rate,
            window,
            interval: std::time::Duration::from_secs(1),
            print_status: false,
            started: Instant::now(),
            printed: 0,
            values: HashMap::new(),
            all: Window::default(),
        }
    }

    fn passing(state: &mut State, value: Option<&[u8]>, interval: u64) -> usize {
        (0..100).filter(|_| state.pass(value, interval)).count()
    }

    #[test]
    fn a_burst_passes_and_then_as_much_as_leaves_the_window() {
        let mut state = state(2.0, 3);
        let passed = [0, 1, 2, 3, 4, 10].map(|interval| passing(&mut state, None, interval));
        assert_eq!(passed, [6, 0, 0, 6, 0, 6]);
    }

    #[test]
    fn values_count_on_their_own() {
        let mut state = state(1.0, 2);
        assert_eq!(passing(&mut state, Some(b"a"), 0), 2);
        assert_eq!(passing(&mut state, Some(b"b"), 0), 2);
        for value in 0..VALUES_MAX * 2 {
            state.pass(Some(&value.to_le_bytes()), 5);
        }
        assert!(state.values.len() <= VALUES_MAX);
    }
}
