//! Makes records: to try a pipeline.
//!
//! ```yaml
//! inputs:
//!   - name: dummy
//!     dummy: '{"message": "hello", "level": "info"}'
//!     rate: 10
//!     samples: 100
//! ```
//! After `samples` it is silent; drave runs on. While its outputs have no room it makes nothing.

use super::feed::{self, Feed, now_ns, push_object};
use super::settings::InputSettings;
use super::{Context, Input, InputContext, InputPlugin};
use crate::config::{Report, Section};
use crate::parse;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Records that are handed over at once.
const BATCH_RECORDS: usize = 1_000;
/// So far it may lag behind its rate and catch up.
const CATCH_UP: Duration = Duration::from_secs(1);
const SECOND_NS: i64 = 1_000_000_000;

crate::options! {
    /// What is made, and how often.
    pub struct DummyOptions {
        /// The record: a JSON object, or several, which come one after the other.
        dummy: String, "dummy", default "{\"message\":\"dummy\"}";
        /// How often it is made; 0 has no end.
        samples: u64, "samples", default "0";
        /// How often a second.
        rate: i64, "rate", default "1";
        /// Seconds from one to the next; with `interval_nsec` it is used instead of `rate`.
        interval_sec: i64, "interval_sec", default "0";
        /// Nanoseconds besides.
        interval_nsec: i64, "interval_nsec", default "0";
        /// Records each time.
        copies: u64, "copies", default "1";
        /// The time of the first record, in seconds since 1970; -1 is the present.
        start_time_sec: i64, "start_time_sec", default "-1";
        /// Nanoseconds besides; -1 is none.
        start_time_nsec: i64, "start_time_nsec", default "-1";
        /// Gives all records the time of the first.
        fixed_timestamp: bool, "fixed_timestamp", default "off";
        /// Makes the first at once, not after the first interval.
        flush_on_startup: bool, "flush_on_startup", default "off";
    }
    no_effect {
        "metadata": "no output sends the metadata of a record";
        "test_hang_on_exit": "it is for testing the reload of Fluent Bit";
    }
    deviations {
        "`dummy` that is no JSON object": "is an error; Fluent Bit makes `{\"message\":\"dummy\"}` of it";
        "a `rate` that the outputs cannot take": "is not reached: nothing is made while there is no room";
    }
}

pub(super) const PLUGIN: InputPlugin = InputPlugin {
    name: "dummy",
    about: "Makes records, to try a pipeline.",
    options: &[DummyOptions::OPTIONS],
    deviations: &[DummyOptions::DEVIATIONS],
    configure,
    state_folder: |_| None,
};

fn configure(sections: &[&Section], context: &InputContext<'_>, report: &mut Report) -> Option<Box<dyn Input>> {
    let numbered = sections.iter().zip(&context.numbers).enumerate();
    let settings: Vec<_> = numbered.map(|(index, (section, number))| of(section, index, *number, report)).collect();
    let settings = settings.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Box::new(Dummy { settings }))
}

fn of(section: &Section, index: usize, number: usize, report: &mut Report) -> Option<(Made, InputSettings)> {
    let options = DummyOptions::from_section(section, report)?;
    let Some(objects) = parse::objects(options.dummy.as_bytes()).filter(|objects| !objects.is_empty()) else {
        let at = section.get("dummy").map(|entry| &entry.value_at);
        let hint = "write it as in '{\"message\": \"hello\"}'".to_owned();
        report.error(at, "`dummy` is no JSON object", Some(hint));
        return None;
    };
    let interval = interval(&options);
    Some((Made { options, objects, interval }, InputSettings::new(section, index, number, None)?))
}

fn interval(options: &DummyOptions) -> Duration {
    let seconds = u64::try_from(options.interval_sec).ok().zip(u64::try_from(options.interval_nsec).ok());
    match seconds {
        Some((seconds, nanoseconds)) if seconds > 0 || nanoseconds > 0 => {
            Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
        }
        _ => Duration::from_nanos((SECOND_NS / options.rate.clamp(1, SECOND_NS)) as u64),
    }
}

struct Dummy {
    settings: Vec<(Made, InputSettings)>,
}

/// What a section makes.
struct Made {
    options: DummyOptions,
    /// Where the objects stand in `dummy`.
    objects: Vec<Range<usize>>,
    interval: Duration,
}

/// A section at work.
struct Maker {
    made: Made,
    feed: Feed,
    /// Times so far.
    count: u64,
    /// Of this time, what is still to be made.
    copies: u64,
    due: Instant,
    begun_ns: i64,
    /// Of the records, in all their bytes.
    offset: u64,
}

impl Input for Dummy {
    fn run(self: Box<Self>, context: Context) {
        let mut makers: Vec<Maker> =
            self.settings.into_iter().map(|(made, feed)| Maker::new(made, feed, &context)).collect();
        while !context.stop.requested() {
            context.pipe.beat();
            let waits = makers.iter_mut().map(|maker| maker.make(Instant::now()));
            let wait = waits.min().unwrap_or(CATCH_UP);
            context.stop.wake.wait(wait.min(CATCH_UP));
        }
        feed::finish(makers.iter_mut().map(|maker| &mut maker.feed), &context);
    }
}

impl Maker {
    fn new(made: Made, feed: InputSettings, context: &Context) -> Self {
        let begun_ns = now_ns();
        let feed = Feed::open(feed, context, &begun_ns.to_le_bytes());
        let first = if made.options.flush_on_startup { Duration::ZERO } else { made.interval };
        Self { made, feed, count: 0, copies: 0, due: Instant::now() + first, begun_ns, offset: 0 }
    }

    /// Makes what is due, up to a batch; returns how long there is nothing to do.
    fn make(&mut self, now: Instant) -> Duration {
        if !self.is_due(now) {
            return if self.is_over() { Duration::MAX } else { self.due.saturating_duration_since(now) };
        }
        if !self.feed.has_room() {
            return feed::LOOK_AGAIN;
        }
        self.due = self.due.max(now.checked_sub(CATCH_UP).unwrap_or(now));
        self.feed.begin();
        while self.feed.batch().records.len() < BATCH_RECORDS && self.is_due(now) {
            self.make_once();
        }
        self.feed.push();
        Duration::ZERO
    }

    /// Is there something to be made? Begins another time where one is due.
    fn is_due(&mut self, now: Instant) -> bool {
        while self.copies == 0 {
            if self.due > now || self.is_over() {
                return false;
            }
            self.copies = self.made.options.copies;
            self.count += 1;
            self.due += self.made.interval;
        }
        true
    }

    fn is_over(&self) -> bool {
        let options = &self.made.options;
        options.copies == 0 || options.samples > 0 && self.count >= options.samples
    }

    fn make_once(&mut self) {
        let time_ns = self.made.options.time_ns(self.begun_ns, now_ns());
        for object in &self.made.objects {
            let text = &self.made.options.dummy.as_bytes()[object.clone()];
            let batch = self.feed.batch();
            let object = batch.append(text);
            push_object(batch, object, time_ns, self.offset, text.len());
            self.offset += text.len() as u64;
        }
        self.copies -= 1;
    }
}

impl DummyOptions {
    /// The time of what is made now.
    fn time_ns(&self, begun_ns: i64, now_ns: i64) -> i64 {
        let is_set = self.start_time_sec >= 0 || self.start_time_nsec >= 0;
        let start_ns = self.start_time_sec.max(0).saturating_mul(SECOND_NS).saturating_add(self.start_time_nsec.max(0));
        match (is_set, self.fixed_timestamp) {
            (true, true) => start_ns,
            (true, false) => start_ns.saturating_add(now_ns - begun_ns),
            (false, true) => begun_ns,
            (false, false) => now_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Syntax, load_text};

    fn made(options: &str) -> Result<Made, String> {
        let text = format!("pipeline: {{inputs: [{{name: dummy, {options}}}]}}");
        let mut report = Report::default();
        let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut report);
        of(&config.inputs[0], 0, 0, &mut report).map(|(made, _)| made).ok_or_else(|| report.to_string())
    }

    #[test]
    fn intervals() {
        for (options, expect) in [
            ("samples: 1", 1_000_000_000),
            ("rate: 4", 250_000_000),
            ("rate: 0", 1_000_000_000),
            ("rate: -3", 1_000_000_000),
            ("rate: 4, interval_sec: 2, interval_nsec: 5", 2_000_000_005),
            ("interval_sec: -2, interval_nsec: 5", 1_000_000_000),
        ] {
            assert_eq!(made(options).map(|made| made.interval), Ok(Duration::from_nanos(expect)), "{options}");
        }
    }

    #[test]
    fn objects_or_a_mistake() {
        let objects = |options: &str| made(options).map(|made| made.objects);
        assert_eq!(objects(r#"dummy: '{"a":1} {"b":{"c":2}}'"#), Ok(vec![0..7, 8..21]));
        for dummy in ["'no JSON'", "'[1]'", "'{\"a\":'", "'{} x'", "''"] {
            let said = objects(&format!("dummy: {dummy}")).unwrap_err();
            assert!(said.contains("`dummy` is no JSON object"), "{dummy}: {said}");
        }
    }

    #[test]
    fn times() {
        let (begun_ns, now_ns) = (1_000, 1_700);
        for (options, expect) in [
            ("samples: 1", 1_700),
            ("fixed_timestamp: on", 1_000),
            ("start_time_sec: 5", 5_000_000_700),
            ("start_time_sec: 5, start_time_nsec: 3, fixed_timestamp: on", 5_000_000_003),
            ("start_time_nsec: 0, fixed_timestamp: on", 0),
        ] {
            let made = made(options).unwrap();
            assert_eq!(made.options.time_ns(begun_ns, now_ns), expect, "{options}");
        }
    }
}
