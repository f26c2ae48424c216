//! Joins records of several lines: traces, and pieces of messages that say for themselves what belongs together.
//!
//! ```yaml
//! filters:
//!   - name: multiline
//!     match: kube.*
//!     multiline.key_content: log
//!     multiline.parser: go, java, python
//! ```
//! Where the input is `tail`, its own `multiline.parser` costs less, and keeps traces over a restart. Here what is held is read again
//! after one: the position of its file waits.

use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{List, Report, Section};
use crate::parse::{Multiline, OpenBytes, Traces};
use crate::record::{Batch, Reading, Record, SourceDraft, Ticket};
use std::sync::Arc;
use std::time::{Duration, Instant};

crate::option_enum! {
    /// How lines are told.
    pub enum MultilineMode {
        /// By multiline parsers.
        Parser = "parser",
        /// By `partial_message`, `partial_id` and `partial_last` of Docker.
        PartialMessage = "partial_message",
    }
}

crate::options! {
    /// What is special to the filter.
    pub struct MultilineFilterOptions {
        /// How lines are told: parser, or partial_message for records with `partial_message`, `partial_id` and `partial_last`.
        mode: MultilineMode, "mode", default "parser";
        /// Tried in turn: go, java, python, ruby, or one of the `multiline_parsers`.
        parsers: List, "multiline.parser", default "";
        /// The key whose texts are joined; without it `log`.
        key_content: String, "multiline.key_content", optional;
        /// How long a record waits for its next line, in milliseconds.
        flush_ms: u64, "flush_ms", default "2000";
    }
    no_effect {
        "debug_flush": "the metrics count what is held";
        "buffer": "records are held until they are whole, in the filter itself";
        "emitter_name": "joined records go on to the next filter; there is no emitter";
        "emitter_storage.type": "the files that were read are the buffer; there is no emitter";
        "emitter_mem_buf_limit": "a record is held up to `multiline_buffer_limit`; there is no emitter";
    }
    deviations {
        "joined records": "go on to the next filter; in Fluent Bit they come back as new ones, and pass the filters before once more";
        "the last line of a Python trace": "comes once";
        "a trace over `multiline_buffer_limit`": "is sent in parts, marked `drave.truncated`";
    }
}

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "multiline",
    about: "Joins the lines of traces, and the pieces of messages.",
    options: &[MultilineFilterOptions::OPTIONS],
    deviations: &[MultilineFilterOptions::DEVIATIONS],
    configure,
};

/// At the end nothing waits longer than this for a line that is read already.
const LAST_WAIT: Duration = Duration::from_millis(250);

fn configure(section: &Section, config: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = MultilineFilterOptions::from_section(section, report)?;
    let multiline = match options.mode {
        MultilineMode::PartialMessage => Multiline::partial(),
        MultilineMode::Parser => parsers(section, &options, config, report)?,
    };
    let key = options.key_content.unwrap_or_else(|| "log".into());
    let multiline = multiline.of_key(key, Duration::from_millis(options.flush_ms));
    let (multiline, bytes_max) = (Arc::new(multiline), config.joined_bytes_max);
    let held = Held { bytes: OpenBytes::default(), bytes_max: config.held_bytes_max };
    Some(Box::new(Joins { multiline, bytes_max, held }))
}

fn parsers(
    section: &Section,
    options: &MultilineFilterOptions,
    config: &FilterConfig<'_>,
    report: &mut Report,
) -> Option<Multiline> {
    let names = &options.parsers.0;
    if names.is_empty() {
        let what = format!("{} needs `multiline.parser`", section.title());
        report.error(
            Some(&section.at),
            what,
            Some("name what to join: go, java, python, ruby, or one of your own".into()),
        );
        return None;
    }
    let at = section.get("multiline.parser").map(|e| &e.value_at);
    match Multiline::named(names.iter().map(String::as_str), config.defined) {
        Ok(multiline) => Some(multiline),
        Err((name, _)) if ["docker", "cri"].contains(&name.as_str()) => {
            let what = format!("the multiline parser `{name}` joins what tail reads, not records");
            report.error(at, what, Some("move it to `multiline.parser` of the input".into()));
            None
        }
        Err((name, nearest)) => {
            let hint = nearest.map(|nearest| format!("did you mean `{nearest}`?"));
            let hint = hint.unwrap_or_else(|| "there are: go, java, python, ruby".into());
            report.error(at, format!("unknown multiline parser `{name}`"), Some(hint));
            None
        }
    }
}

struct Joins {
    multiline: Arc<Multiline>,
    bytes_max: usize,
    held: Held,
}

/// What waits in all sources together.
#[derive(Debug, Clone)]
struct Held {
    bytes: OpenBytes,
    bytes_max: usize,
}

impl Filter for Joins {
    fn plan(&mut self, _source: &mut SourceDraft) -> Plan {
        let traces = Traces::new(Arc::clone(&self.multiline), self.bytes_max, &self.held.bytes);
        let (held, reading) = (self.held.clone(), Reading::default());
        Plan::Each(Box::new(Joining { traces, held, records: Vec::new(), carried: Vec::new(), reading }))
    }

    fn holds_back(&self) -> bool {
        true
    }
}

/// The lines of one source.
struct Joining {
    traces: Traces,
    held: Held,
    records: Vec<Record>,
    /// Tickets of lines that are in records now: they are settled when the ticket of those is.
    carried: Vec<(Vec<Ticket>, Ticket)>,
    /// Of the last batch.
    reading: Reading,
}

impl Joining {
    fn settle_carried(&mut self) {
        for (tickets, _) in self.carried.extract_if(.., |(_, ticket)| ticket.is_settled()) {
            tickets.iter().for_each(|ticket| ticket.settle(1));
        }
    }

    /// What the lines of the batch leave behind.
    fn note(&mut self, batch: &Batch) {
        self.traces.closed.clear();
        let released = std::mem::take(&mut self.traces.released);
        if !released.is_empty() {
            self.carried.push((released, batch.ticket.clone()));
        }
        self.traces.hold_tickets(&batch.ticket);
    }
}

impl Each for Joining {
    fn apply(&mut self, batch: &mut Batch) {
        self.settle_carried();
        self.reading = batch.reading;
        std::mem::swap(&mut self.records, &mut batch.records);
        for record in self.records.drain(..) {
            batch.records.push(record);
            self.traces.take_last(batch, None);
        }
        // Memory is short: the source that came last sends what it holds.
        while self.held.bytes.get() > self.held.bytes_max && self.traces.is_open() {
            self.traces.cut_largest(batch);
        }
        self.note(batch);
    }

    fn owns_shared(&self) -> bool {
        false
    }

    fn is_waiting(&self) -> bool {
        self.traces.is_open() || !self.carried.is_empty()
    }

    fn idle(&mut self, batch: &mut Batch, now: Instant, at_the_end: bool) {
        self.settle_carried();
        batch.reading = self.reading;
        match at_the_end {
            true => self.traces.flush_idle(batch, now, Some(LAST_WAIT)),
            false => self.traces.flush_idle(batch, now, None),
        }
        self.note(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Shape, Source};

    fn joining() -> Box<dyn Each> {
        joining_up_to(2000)
    }

    fn joining_up_to(bytes_max: usize) -> Box<dyn Each> {
        let defined = crate::parse::Defined { parsers: &[], multiline_parsers: &[] };
        let multiline = Multiline::named(["java"].into_iter(), defined).expect("it is built in");
        let multiline = Arc::new(multiline.of_key("log".into(), Duration::from_secs(2)));
        let held = Held { bytes: OpenBytes::default(), bytes_max };
        match (Joins { multiline, bytes_max: 1000, held }).plan(&mut SourceDraft::default()) {
            Plan::Each(each) => each,
            _ => panic!("it looks at each record"),
        }
    }

    fn batch(source: &Arc<Source>, lines: &[&str]) -> Batch {
        let mut batch = Batch::new(Arc::clone(source));
        for line in lines {
            let text = batch.append(line.as_bytes());
            batch.records.push(Record { text, bytes: 1, shape: Shape::Line, ..Record::default() });
        }
        batch
    }

    fn texts(batch: &Batch) -> Vec<String> {
        batch.records.iter().map(|r| String::from_utf8_lossy(batch.bytes(r.text)).into_owned()).collect()
    }

    #[test]
    fn what_is_held_is_bounded() {
        let draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
        let (source, mut each) = (Arc::new(Source::new(draft, Vec::new())), joining_up_to(10));
        let mut first = batch(&source, &["a.BError: more than ten"]);
        each.apply(&mut first);
        assert_eq!((texts(&first), first.records[0].truncated), (vec!["a.BError: more than ten".to_owned()], true));
        assert!(!each.is_waiting());
    }

    #[test]
    fn a_batch_is_not_settled_before_the_lines_that_are_held_of_it() {
        let draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
        let (source, mut each) = (Arc::new(Source::new(draft, Vec::new())), joining());
        let mut first = batch(&source, &["up", "a.BError: x"]);
        each.apply(&mut first);
        assert_eq!((texts(&first), first.counts.open), (vec!["up".to_owned()], 1));
        assert!(!first.ticket.is_settled() && each.is_waiting());
        let mut second = batch(&source, &["\tat c", "end"]);
        each.apply(&mut second);
        assert_eq!(texts(&second), ["a.BError: x\n\tat c", "end"]);
        // As an output does that takes them.
        second.ticket.add(2);
        each.apply(&mut batch(&source, &[]));
        assert!(!first.ticket.is_settled() && each.is_waiting());
        second.ticket.settle(2);
        each.idle(&mut batch(&source, &[]), Instant::now(), false);
        assert!(first.ticket.is_settled() && !each.is_waiting());
    }

    #[test]
    fn what_nothing_follows_is_sent() {
        let draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
        let (source, mut each) = (Arc::new(Source::new(draft, Vec::new())), joining());
        each.apply(&mut batch(&source, &["a.BError: x"]));
        let now = Instant::now();
        for (wait, at_the_end, expect) in [(Duration::ZERO, false, 0), (Duration::ZERO, true, 0), (LAST_WAIT, true, 1)]
        {
            let mut idle = batch(&source, &[]);
            each.idle(&mut idle, now + wait, at_the_end);
            assert_eq!(idle.records.len(), expect, "after {wait:?}");
        }
    }
}
