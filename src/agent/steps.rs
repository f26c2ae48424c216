//! The steps that the records of a source pass: processors of the input, filters, processors of outputs.
//!
//! ```text
//! batch ─▶ processors of its input ─▶ filters, by tag ─┬─▶ outputs
//!             ▲ not again                    ▲         └─▶ processors of one output ─▶ that output
//!             └──────────────────────────────┴── another tag (rewrite_tag): from the first filter on
//! ```
//! Which steps those are, and what they do for all records at once, is found once per source. A record with another tag stays
//! where it is in memory: it only gets another source, planned as any other and kept with the one that it came from.

mod how;
mod reroute;

use super::ledger::Amount;
use super::route::Match;
use crate::filter::{Each, Filter, LeaveOut, Measure, Plan};
use crate::record::{Batch, Field, Record, Shared, Source, SourceDraft, Value};
pub(super) use how::How;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Sources with steps up to which those that are gone are not looked for.
const SOURCES_MIN: usize = 64;

/// Whose records a step sees.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// Those with a tag: a filter.
    Tag(Match),
    /// Those of an input: a processor.
    Input(usize),
    /// Those that go to an output: a processor.
    Output(usize),
}

impl Scope {
    fn takes(&self, draft: &SourceDraft) -> bool {
        match self {
            Self::Tag(matches) => matches.takes(&draft.tag),
            Self::Input(input) => draft.rerouted_by.is_none() && draft.input == *input,
            Self::Output(_) => false,
        }
    }
}

struct Filtering {
    scope: Scope,
    passed: Amount,
    filter: Box<dyn Filter>,
}

/// A step of one source.
struct Step {
    number: usize,
    /// What it does to each record; none where all is done for the source.
    each: Option<Box<dyn Each>>,
    /// What the source was for this step, where steps behind it have changed what is shared.
    view: Option<Arc<Source>>,
    shared: Vec<Shared>,
}

struct Steps {
    source: Weak<Source>,
    /// The same, as long as a step holds records of it back.
    held: Option<Arc<Source>>,
    list: Vec<Step>,
    by_output: Vec<OutputSteps>,
    /// By the step and the new tag; `None`: a filter wants nothing of it.
    targets: HashMap<(usize, Arc<str>), Option<Arc<Source>>>,
}

/// The processors of one output.
struct OutputSteps {
    output: usize,
    source: Arc<Source>,
    list: Vec<Step>,
}

/// What the processors of an output make of a source.
enum Wanted {
    /// One of them wants nothing of it.
    Not,
    /// There are none.
    AsItIs,
    By(OutputSteps),
}

/// Records of a batch that do not go where the others go.
pub(super) struct Aside {
    pub(super) source: Arc<Source>,
    pub(super) records: Vec<Record>,
    /// Only this output gets them, and so many were meant for it.
    pub(super) only: Option<(usize, Amount)>,
}

/// Finds the outputs of a source.
pub(super) type Route<'a> = &'a dyn Fn(&SourceDraft) -> Vec<(usize, Arc<str>)>;

/// All steps, and those of each source.
#[derive(Default)]
pub(super) struct Chain {
    filters: Vec<Filtering>,
    /// By the number of the source, of those that pass any.
    by_source: HashMap<u64, Steps>,
    /// How many of them there may be before those of sources that are gone are looked for.
    sources_max: usize,
}

/// What the steps say to a source.
struct Found {
    list: Vec<Step>,
    waits: bool,
}

impl Chain {
    pub(super) fn new(filters: Vec<(Scope, Box<dyn Filter>)>) -> Self {
        let filtering = |(scope, filter)| Filtering { scope, passed: Amount::default(), filter };
        Self { filters: filters.into_iter().map(filtering).collect(), ..Self::default() }
    }

    pub(super) fn filters(&mut self) -> impl Iterator<Item = &mut Box<dyn Filter>> {
        self.filters.iter_mut().map(|f| &mut f.filter)
    }

    /// What passed each step.
    pub(super) fn passed(&self) -> Vec<Amount> {
        self.filters.iter().map(|f| f.passed).collect()
    }

    /// Hands out what each step has to say on `/metrics`, with its number.
    pub(super) fn measures(&self, take: &mut dyn FnMut(usize, Measure<'_>)) {
        for (number, step) in self.filters.iter().enumerate() {
            step.filter.measures().into_iter().for_each(|measure| take(number, measure));
        }
    }

    /// Has the output steps of its own?
    pub(super) fn is_processed(&self, output: usize) -> bool {
        self.filters.iter().any(|f| matches!(f.scope, Scope::Output(number) if number == output))
    }

    /// Asks all steps about a source. `None`: one of them wants nothing of it.
    pub(super) fn plan(&mut self, mut draft: SourceDraft, route: Route<'_>) -> Option<Arc<Source>> {
        let origin = (!self.filters.is_empty()).then(|| Box::new(draft.clone()));
        draft.stale = Default::default();
        let found = self.ask(&mut draft, |scope, draft| scope.takes(draft))?;
        let mut outputs = route(&draft);
        let mut by_output = Vec::new();
        if !found.waits {
            outputs.retain(|(output, key)| match self.ask_of_output(*output, key, &draft) {
                Wanted::Not => false,
                Wanted::AsItIs => true,
                Wanted::By(steps) => {
                    by_output.push(steps);
                    true
                }
            });
        }
        let source = Arc::new(Source { origin, waits: found.waits, ..Source::new(draft, outputs) });
        if found.waits || (found.list.is_empty() && by_output.is_empty()) {
            return Some(source);
        }
        let list = with_views(found.list, &source);
        self.keep(
            &source,
            Steps { source: Arc::downgrade(&source), held: None, list, by_output, targets: HashMap::new() },
        );
        Some(source)
    }

    /// Asks the processors of one output.
    fn ask_of_output(&mut self, output: usize, key: &Arc<str>, draft: &SourceDraft) -> Wanted {
        if !self.is_processed(output) {
            return Wanted::AsItIs;
        }
        // The source does not wait for what is asked of one output alone; more may be known later.
        let mut draft = SourceDraft { last_call: true, ..draft.clone() };
        let found = self.ask(&mut draft, |scope, _| matches!(scope, Scope::Output(number) if *number == output));
        let Some(found) = found else { return Wanted::Not };
        let source = Arc::new(Source::new(draft, vec![(output, Arc::clone(key))]));
        let list = with_views(found.list, &source);
        Wanted::By(OutputSteps { output, source, list })
    }

    fn ask(&mut self, draft: &mut SourceDraft, takes: impl Fn(&Scope, &SourceDraft) -> bool) -> Option<Found> {
        let before = draft.clone();
        let found = self.ask_in_order(draft, &takes);
        if draft.multiline == before.multiline || !before.is_bare {
            return found;
        }
        // Its pod asks for a multiline parser, which may make fields before all filters: those in front did not know of it.
        *draft = SourceDraft { is_bare: false, ..before };
        self.ask_in_order(draft, &takes)
    }

    fn ask_in_order(
        &mut self,
        draft: &mut SourceDraft,
        takes: &impl Fn(&Scope, &SourceDraft) -> bool,
    ) -> Option<Found> {
        let (mut list, mut waits): (Vec<Step>, _) = (Vec::new(), false);
        for (number, step) in self.filters.iter_mut().enumerate() {
            if waits || draft.rerouted_by == Some(number) || !takes(&step.scope, draft) {
                continue;
            }
            let before = draft.shared.clone();
            let plan = step.filter.plan(draft);
            if draft.shared_is_final {
                let given = changed(&before, &draft.shared);
                draft.shared = before;
                if !given.is_empty() {
                    draft.is_bare = false;
                    let each: Box<dyn Each> = Box::new(Given(given));
                    list.push(Step { number, each: Some(each), view: None, shared: draft.shared.clone() });
                }
            }
            let each: Option<Box<dyn Each>> = match plan {
                Plan::Pass => None,
                Plan::Each(each) => Some(each),
                // What got another tag before it goes on.
                Plan::Drop(_) if list.iter().any(Step::reroutes) => Some(Box::new(LeaveOut)),
                Plan::Drop(_) => return None,
                // Records that are on their way cannot wait.
                Plan::NotYet if draft.rerouted_by.is_some() => None,
                Plan::NotYet => {
                    waits = true;
                    continue;
                }
            };
            draft.shared_is_final |= each.as_ref().is_some_and(|each| each.owns_shared());
            draft.is_bare &= draft.multiline.is_none() && each.as_ref().is_none_or(|each| !each.adds_fields());
            list.push(Step { number, each, view: None, shared: draft.shared.clone() });
        }
        Some(Found { list, waits })
    }

    /// Keeps the steps of a source until it is gone.
    fn keep(&mut self, source: &Arc<Source>, steps: Steps) {
        if self.by_source.len() >= self.sources_max {
            self.by_source.retain(|_, steps| steps.source.strong_count() > 0);
            self.sources_max = (self.by_source.len() * 2).max(SOURCES_MIN);
        }
        self.by_source.insert(source.number, steps);
    }

    /// Has the source steps that look at its records?
    pub(super) fn looks_at(&self, source: &Source) -> bool {
        let looks = |steps: &Steps| !steps.by_output.is_empty() || steps.list.iter().any(|step| step.each.is_some());
        self.by_source.get(&source.number).is_some_and(looks)
    }

    /// Hands out the sources that records of this one go on under.
    pub(super) fn each_target(&self, source: &Source, take: &mut dyn FnMut(&Source)) {
        let targets = self.by_source.get(&source.number).into_iter().flat_map(|steps| steps.targets.values().flatten());
        for target in targets {
            take(target);
            self.each_target(target, take);
        }
    }

    /// Takes a batch through the steps of its source. What does not go where the others go comes out in `aside`.
    pub(super) fn apply(&mut self, batch: &mut Batch, route: Route<'_>, aside: &mut Vec<Aside>) {
        self.apply_from(0, batch, route, aside);
    }

    /// The steps that hold records back: the number of the source, and which of its steps it is.
    pub(super) fn waiting(&self) -> Vec<(u64, usize)> {
        let of = |(number, steps): (&u64, &Steps)| {
            let waiting = steps.list.iter().enumerate().filter(|(_, step)| step.is_waiting());
            waiting.map(|(at, _)| (*number, at)).collect::<Vec<_>>()
        };
        self.by_source.iter().filter(|(_, steps)| steps.held.is_some()).flat_map(of).collect()
    }

    /// Asks one of the steps of a source that hold records back whether something shall go on: a batch, taken through the steps
    /// behind it.
    pub(super) fn idle(
        &mut self,
        (number, at): (u64, usize),
        (now, at_the_end): (Instant, bool),
        route: Route<'_>,
        aside: &mut Vec<Aside>,
    ) -> Option<Batch> {
        let steps = self.by_source.get_mut(&number)?;
        let source = steps.source.upgrade()?;
        let mut batch = Batch::new(source);
        let step = &mut steps.list[at];
        let view = step.view.as_ref().map(|view| std::mem::replace(&mut batch.source, Arc::clone(view)));
        if let Some(each) = &mut step.each {
            each.idle(&mut batch, now, at_the_end);
        }
        if let Some(source) = view {
            batch.source = source;
        }
        batch.check_utf8();
        self.apply_from(at + 1, &mut batch, route, aside);
        Some(batch)
    }

    fn apply_from(&mut self, from: usize, batch: &mut Batch, route: Route<'_>, aside: &mut Vec<Aside>) {
        let source = Arc::clone(&batch.source);
        let Some(mut steps) = self.by_source.remove(&source.number) else { return };
        let mut rerouted = Vec::new();
        self.run(&mut steps.list[from..], batch, &mut rerouted);
        steps.held = steps.is_waiting().then(|| Arc::clone(&source));
        for own in &mut steps.by_output {
            self.apply_for_output(own, batch, &mut rerouted, aside);
        }
        if !rerouted.is_empty() {
            let kept = std::mem::take(&mut batch.records);
            self.apply_rerouted(&source, &mut steps, rerouted, batch, route, aside);
            batch.records = kept;
        }
        batch.source = source;
        self.by_source.insert(batch.source.number, steps);
    }

    fn run(&mut self, list: &mut [Step], batch: &mut Batch, rerouted: &mut Vec<(usize, Arc<str>, Record)>) {
        for step in list {
            if let Some(each) = &mut step.each {
                let view = step.view.as_ref().map(|view| std::mem::replace(&mut batch.source, Arc::clone(view)));
                each.apply(batch);
                if let Some(source) = view {
                    batch.source = source;
                }
                rerouted.extend(batch.rerouted.drain(..).map(|(tag, record)| (step.number, tag, record)));
            }
            self.filters[step.number].passed.add(Amount::of(batch));
        }
    }

    fn apply_for_output(
        &mut self,
        own: &mut OutputSteps,
        batch: &mut Batch,
        rerouted: &mut Vec<(usize, Arc<str>, Record)>,
        aside: &mut Vec<Aside>,
    ) {
        let (kept, meant) = (batch.records.clone(), Amount::of(batch));
        let source = std::mem::replace(&mut batch.source, Arc::clone(&own.source));
        // What they leave out is the output's loss, not the input's.
        let counts = std::mem::take(&mut batch.counts);
        batch.copy_fields();
        self.run(&mut own.list, batch, rerouted);
        batch.counts = counts;
        batch.source = source;
        let records = std::mem::replace(&mut batch.records, kept);
        aside.push(Aside { source: Arc::clone(&own.source), records, only: Some((own.output, meant)) });
    }
}

impl Steps {
    fn is_waiting(&self) -> bool {
        self.list.iter().any(Step::is_waiting)
    }
}

impl Step {
    fn is_waiting(&self) -> bool {
        self.each.as_ref().is_some_and(|each| each.is_waiting())
    }

    fn reroutes(&self) -> bool {
        self.each.as_ref().is_some_and(|each| each.reroutes())
    }
}

/// Gives each step the source as it was for it.
fn with_views(mut list: Vec<Step>, source: &Source) -> Vec<Step> {
    for step in list.iter_mut().filter(|step| step.each.is_some()) {
        let shared = std::mem::take(&mut step.shared);
        let same = shared.len() == source.draft.shared.len() && changed(&source.draft.shared, &shared).is_empty();
        if !same {
            let draft = SourceDraft { shared, ..source.draft.clone() };
            step.view = Some(Arc::new(Source::new(draft, source.outputs.clone())));
        }
    }
    list
}

/// What is among the second and not, or not so, among the first.
fn changed(before: &[Shared], after: &[Shared]) -> Vec<Shared> {
    let is_same = |a: &Shared, b: &Shared| a.json == b.json && a.wins == b.wins;
    after.iter().filter(|new| !before.iter().any(|old| is_same(old, new))).cloned().collect()
}

/// What a filter knows of a source, for each record: some may have fields of their own of what was shared before.
struct Given(Vec<Shared>);

impl Each for Given {
    fn apply(&mut self, batch: &mut Batch) {
        for shared in &self.0 {
            let field = Field {
                key: batch.intern(shared.key.as_bytes()),
                value: Value::Json(batch.intern(shared.value_json())),
            };
            for record in 0..batch.records.len() {
                batch.own(record);
                if shared.wins || batch.field_at(record, shared.key.as_bytes()).is_none() {
                    batch.set_field(record, field);
                }
            }
        }
    }
}
