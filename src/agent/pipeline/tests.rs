//! Open requests, against an output that writes nothing.

use super::*;
use crate::config::{Environment, Report, Syntax, load_text};
use crate::filter::{Each, Plan};
use crate::output::{Needs, OUTPUTS, Outcome, OutputContext, Request};
use crate::record::{Record, Span};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const BYTES_MAX: usize = 1000;

/// Keys records by their text, if asked.
struct Keyed {
    null: Arc<dyn Output>,
    keys: bool,
    /// How often it was asked to encode records.
    asked: AtomicU64,
}

impl Output for Keyed {
    fn limits(&self) -> Limits {
        Limits { bytes_max: BYTES_MAX, ..self.null.limits() }
    }
    fn needs(&self) -> Needs {
        self.null.needs()
    }
    fn keys_records(&self) -> bool {
        self.keys
    }
    fn record_key(&self, batch: &Batch, record: usize, key: &mut String) {
        key.push_str(&String::from_utf8_lossy(batch.bytes(batch.records[record].text)));
    }
    fn encode(&self, _: &Batch, _: usize, out: &mut Vec<u8>) {
        out.push(b'.');
    }
    fn encode_some(&self, batch: &Batch, records: Range<usize>, pieces: &mut Pieces, limits: &Limits) -> usize {
        self.asked.fetch_add(1, Ordering::Relaxed);
        records
            .clone()
            .find(|record| {
                self.encode_one(batch, *record, pieces);
                pieces.is_full(limits)
            })
            .map_or(records.end, |record| record + 1)
    }
    fn changed_records(&self) -> Vec<(&'static str, u64)> {
        vec![("asked", self.asked.load(Ordering::Relaxed))]
    }
    fn body(&self, _: &str, _: &Pieces, _: &mut Vec<u8>) {}
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        self.null.send(request)
    }
}

fn null() -> Arc<dyn Output> {
    let text = "pipeline: {outputs: [{name: 'null', match: '*'}]}";
    let mut report = Report::default();
    let environment = Environment::default();
    let config = load_text(text, Syntax::Yaml, &environment, &mut report);
    let plugin = OUTPUTS.iter().find(|p| p.name == "null").expect("an output");
    let start = (plugin.configure)(&config.outputs[0], &mut report).expect("no mistake");
    start(&OutputContext { service: &config.service, environment: &environment, terminal: false }).expect("it starts")
}

fn pipeline(keys: bool) -> (Pipeline, UnboundedReceiver<Finished>) {
    let output: Arc<dyn Output> = Arc::new(Keyed { null: null(), keys, asked: AtomicU64::new(0) });
    let (finished, receiver) = unbounded_channel();
    let lane = Lane {
        number: 0,
        name: "out".into(),
        limits: output.limits(),
        output,
        linger: Duration::from_secs(600),
        matches: Match::default(),
        finished,
        spare: Spare::new(1 << 20),
        growth: AtomicUsize::new(0),
        may_spool: AtomicBool::new(true),
    };
    let owners = (Arc::new(Ledger::new(1, 1)), Arc::new(Memory::new(1 << 20, 1)));
    (Pipeline::new(Vec::new(), vec![Arc::new(lane)], owners, vec![InputRoute::IN_MEMORY], Vec::new()), receiver)
}

fn batch(texts: &[&str]) -> Batch {
    let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), vec![(0, "key".into())])));
    for text in texts {
        let text: Span = batch.append(text.as_bytes());
        batch.records.push(Record { text, bytes: 1, ..Record::default() });
        batch.counts.read += 1;
    }
    batch
}

fn requests(receiver: &mut UnboundedReceiver<Finished>) -> Vec<(String, usize, Vec<u32>)> {
    let mut found: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok())
        .map(|f| (f.key.to_string(), f.pieces.list.len(), f.parts.iter().map(|p| p.pieces).collect()))
        .collect();
    found.sort();
    found
}

#[test]
fn what_is_read_at_a_stop_shares_requests() {
    let (pipeline, mut receiver) = pipeline(false);
    pipeline.stop_lingering();
    for _ in 0..3 {
        pipeline.push(&mut batch(&["a", "b"]));
    }
    assert_eq!(requests(&mut receiver), []);
    pipeline.tick();
    assert_eq!(requests(&mut receiver), [("key".to_owned(), 6, vec![2, 2, 2])]);
}

#[test]
fn neighbours_of_one_key_are_one_part() {
    let (pipeline, mut receiver) = pipeline(true);
    pipeline.push(&mut batch(&["a", "a", "b", "a"]));
    pipeline.push(&mut batch(&["b", "a"]));
    assert_eq!(pipeline.lanes[0].output.changed_records(), [("asked", 5)], "once for neighbours");
    pipeline.stop_lingering();
    let expect = [("keya".to_owned(), 4, vec![3, 1]), ("keyb".to_owned(), 2, vec![1, 1])];
    assert_eq!(requests(&mut receiver), expect);
    let many = vec!["a"; BYTES_MAX + 1];
    pipeline.push(&mut batch(&many));
    assert_eq!(requests(&mut receiver), [("keya".to_owned(), BYTES_MAX, vec![BYTES_MAX as u32])]);
    pipeline.tick();
    assert_eq!(requests(&mut receiver), [("keya".to_owned(), 1, vec![1])]);
}

#[test]
fn a_buffer_that_grew_is_kept_no_larger_than_a_request() {
    let (pipeline, _receiver) = pipeline(false);
    let lane = &pipeline.lanes[0];
    lane.recycle(Arc::new(Pieces::new(Vec::with_capacity(4 * BYTES_MAX), Vec::new())), &pipeline.memory);
    let held: Vec<usize> = lane.spare.held_bytes();
    assert!(matches!(held[..], [held] if (BYTES_MAX..=BYTES_MAX * 5 / 4).contains(&held)), "{held:?}");
}

/// A pipeline with the steps of a configuration; its one output takes the tag `out*`.
fn with_steps(steps: &str) -> (Pipeline, UnboundedReceiver<Finished>) {
    let outputs = "{name: 'null', match: 'out*'}";
    with_filters(&format!("outputs: [{outputs}], filters: [{steps}]"), Vec::new())
}

/// The same, with further steps that no configuration makes.
fn with_filters(sections: &str, more: Vec<(Scope, Box<dyn Filter>)>) -> (Pipeline, UnboundedReceiver<Finished>) {
    let text = format!("pipeline: {{inputs: [{{name: tail, path: /x, tag: app}}], {sections}}}");
    let mut report = Report::default();
    let environment = Environment::default();
    let config = load_text(&text, Syntax::Yaml, &environment, &mut report);
    let mut plan = crate::agent::Plan::new(&config, &environment, &mut report).unwrap_or_else(|| panic!("{report:?}"));
    let (mut pipeline, receiver) = pipeline(false);
    let output = plan.outputs.remove(0);
    let lane = Arc::get_mut(&mut pipeline.lanes[0]).expect("the only owner");
    lane.matches = output.matches;
    plan.filters.extend(more);
    let (lanes, owners) = (pipeline.lanes, (pipeline.ledger, pipeline.memory));
    (Pipeline::new(plan.filters, lanes, owners, vec![InputRoute::IN_MEMORY], Vec::new()), receiver)
}

fn push(pipeline: &Pipeline, texts: &[&str]) -> Option<Batch> {
    push_as("app", pipeline, texts)
}

fn push_as(tag: &str, pipeline: &Pipeline, texts: &[&str]) -> Option<Batch> {
    let draft = SourceDraft { tag: tag.into(), text_key: "log".into(), ..SourceDraft::default() };
    let mut batch = batch(texts);
    batch.source = pipeline.open(draft)?;
    pipeline.push(&mut batch);
    Some(batch)
}

#[test]
fn records_with_another_tag_are_accounted_for() {
    for (steps, routed, made, dropped) in [
        ("{name: rewrite_tag, match: app, rule: $log ^a out.$0 true}", 2, 2, 3),
        ("{name: rewrite_tag, match: app, rule: $log ^a out.$0 false}", 2, 0, 1),
        // Under the new tag from the first filter on, and not by the same step again.
        (
            "{name: rewrite_tag, match: '*', rule: $log ^a out false}, {name: grep, match: out, exclude: log ab}",
            1,
            0,
            2,
        ),
        (
            "{name: grep, match: out, exclude: log ab}, {name: rewrite_tag, match: '*', rule: $log ^a out false}",
            1,
            0,
            2,
        ),
        // Two that hand it to each other, until it is enough.
        (
            "{name: rewrite_tag, match: app, rule: $log ^a b false}, {name: rewrite_tag, match: b, rule: $log ^a app false}",
            0,
            0,
            3,
        ),
        ("{name: lua, match: app, call: f, code: 'function f(t, s, r) return 2, s, {r, r} end'}", 0, 3, 6),
        ("{name: record_modifier, match: app, record: a b}", 0, 0, 3),
    ] {
        let (pipeline, mut receiver) = with_steps(steps);
        let batch = push(&pipeline, &["a1", "ab", "c"]).expect("a source");
        let account = &pipeline.ledger.accounts().inputs[0];
        let left: u64 = account.dropped.values().map(|amount| amount.records).sum();
        let found = (account.routed.records, account.made.records, left);
        assert_eq!(found, (routed, made, dropped), "{steps}");
        assert_eq!(account.read.records + account.made.records, account.routed.records + left, "{steps}");
        pipeline.stop_lingering();
        let pieces: u32 = requests(&mut receiver).iter().flat_map(|(_, _, parts)| parts).sum();
        assert_eq!(u64::from(pieces), routed, "{steps}");
        batch.ticket.settle(pieces);
        assert!(batch.ticket.is_settled(), "{steps}");
    }
}

#[test]
fn a_source_that_nobody_wants_is_left_out() {
    let (pipeline, _receiver) = with_steps("{name: grep, match: app, exclude: $TAG ^app}");
    assert!(push(&pipeline, &["a"]).is_none());
    // What has another tag by then goes on.
    let rewrite = "{name: rewrite_tag, match: app, rule: $log ^a out false}";
    let (pipeline, _receiver) = with_steps(&format!("{rewrite}, {{name: grep, match: app, exclude: $TAG ^app}}"));
    assert!(push(&pipeline, &["a", "b"]).is_some());
    let account = &pipeline.ledger.accounts().inputs[0];
    assert_eq!((account.routed.records, account.dropped["filter"].records), (1, 1));
}

/// Says what it wants only when nobody may wait any longer: nothing at all, or what another one wants.
struct Hesitant(Option<Without>);

impl Filter for Hesitant {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        match &mut self.0 {
            _ if !source.last_call => Plan::NotYet,
            Some(filter) => filter.plan(source),
            None => Plan::Drop(DropReason::Filter),
        }
    }
}

/// Leaves out the records whose text begins so.
struct Without(&'static str);

impl Filter for Without {
    fn plan(&mut self, _: &mut SourceDraft) -> Plan {
        Plan::Each(Box::new(Without(self.0)))
    }
}

impl Each for Without {
    fn apply(&mut self, batch: &mut Batch) {
        let start = self.0.as_bytes();
        batch.retain(|batch, record| !batch.bytes(batch.records[record].text).starts_with(start));
    }
}

fn of_tag(tag: &str) -> Scope {
    let text = format!("pipeline: {{filters: [{{name: grep, match: '{tag}'}}]}}");
    let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut Report::default());
    Scope::Tag(Match::new(&config.filters[0], Some(tag.to_owned()), None, &mut Report::default()).expect("a match"))
}

/// How many pieces become of these records; the ledger holds.
fn pieces_of(tag: &str, texts: &[&str], (pipeline, mut receiver): (Pipeline, UnboundedReceiver<Finished>)) -> u32 {
    push_as(tag, &pipeline, texts).expect("a source");
    pipeline.stop_lingering();
    let account = &pipeline.ledger.accounts().inputs[0];
    let left: u64 = account.dropped.values().map(|amount| amount.records).sum();
    assert_eq!(account.read.records + account.made.records, account.routed.records + left);
    let pieces: u32 = requests(&mut receiver).iter().flat_map(|(_, _, parts)| parts).sum();
    let output = &pipeline.ledger.accounts().outputs[0];
    assert_eq!(output.pending.records, u64::from(pieces));
    assert_eq!(output.routed.records, output.pending.records + output.dropped.values().map(|a| a.records).sum::<u64>());
    pieces
}

const OUTPUT: &str = "outputs: [{name: 'null', match: 'out*'}]";

/// A trace that was open when its file ended, while its pod was not known.
#[test]
fn records_of_a_source_that_waits_pass_its_filters_all_the_same() {
    for (wanted, expect) in [(None, 0), (Some(Without("a")), 1)] {
        let filters: Vec<(Scope, Box<dyn Filter>)> =
            vec![(of_tag("out"), Box::new(Hesitant(wanted))), (of_tag("out"), Box::new(Without("b")))];
        let made = with_filters(OUTPUT, filters);
        let mut source = made.0.open(SourceDraft { tag: "out".into(), ..SourceDraft::default() }).expect("a source");
        assert!(source.waits && made.0.admit(&mut source) == Admission::NotYet);
        assert_eq!(pieces_of("out", &["a", "b", "c"], made), expect);
    }
}

#[test]
fn who_cannot_wait_is_told_what_is_known() {
    let hesitant = || Box::new(Hesitant(Some(Without("a"))));
    // Under another tag.
    let rewrite = format!("{OUTPUT}, filters: [{{name: rewrite_tag, match: app, rule: $log . out false}}]");
    let made = with_filters(&rewrite, vec![(of_tag("out"), hesitant())]);
    assert_eq!(pieces_of("app", &["a", "b", "c"], made), 2);
    // For one output, and what stands behind it there.
    let own: Vec<(Scope, Box<dyn Filter>)> =
        vec![(Scope::Output(0), hesitant()), (Scope::Output(0), Box::new(Without("b")))];
    assert_eq!(pieces_of("out", &["a", "b", "c"], with_filters(OUTPUT, own)), 1);
}

#[test]
fn what_a_processor_of_an_output_makes_is_routed_there() {
    let twice = "{name: lua, call: f, code: 'function f(t, s, r) return 2, s, {r, r} end'}";
    let outputs = format!("outputs: [{{name: 'null', match: 'out', processors: {{logs: [{twice}]}}}}]");
    assert_eq!(pieces_of("out", &["a", "b", "c"], with_filters(&outputs, Vec::new())), 6);
}
