//! Records that got another tag: they begin again at the first filter, under a source that is planned for the tag.

use super::{Aside, Chain, Route, Steps};
use crate::agent::ledger::Amount;
use crate::record::{Batch, DropReason, Record, Source, SourceDraft};
use std::sync::Arc;

/// How often a record's tag may be rewritten.
const REROUTES_MAX: u8 = 8;
/// New tags of one source that are remembered; beyond it remembering begins anew.
const TARGETS_MAX: usize = 1_000;

impl Chain {
    /// Records with another tag, those of one tag together.
    pub(super) fn apply_rerouted(
        &mut self,
        source: &Arc<Source>,
        steps: &mut Steps,
        mut rerouted: Vec<(usize, Arc<str>, Record)>,
        batch: &mut Batch,
        route: Route<'_>,
        aside: &mut Vec<Aside>,
    ) {
        while let Some((number, tag, _)) = rerouted.first() {
            let (number, tag) = (*number, Arc::clone(tag));
            batch.records.clear();
            rerouted.retain(|(other, other_tag, record)| {
                let same = *other == number && *other_tag == tag;
                batch.records.extend(same.then_some(*record));
                !same
            });
            if source.draft.reroutes >= REROUTES_MAX {
                count_dropped(batch, DropReason::TagLoop);
                continue;
            }
            match self.target(source, steps, number, tag, route) {
                Some(target) => {
                    batch.source = Arc::clone(&target);
                    self.apply(batch, route, aside);
                    aside.push(Aside { source: target, records: std::mem::take(&mut batch.records), only: None });
                }
                None => count_dropped(batch, DropReason::Filter),
            }
        }
    }

    fn target(
        &mut self,
        source: &Source,
        steps: &mut Steps,
        number: usize,
        tag: Arc<str>,
        route: Route<'_>,
    ) -> Option<Arc<Source>> {
        if steps.targets.len() >= TARGETS_MAX {
            steps.targets.clear();
        }
        let known = steps.targets.get(&(number, Arc::clone(&tag)));
        if let Some(known) = known.filter(|known| known.as_ref().is_none_or(|target| !target.is_stale())) {
            return known.clone();
        }
        let draft = SourceDraft {
            tag: tag.to_string(),
            offset_key: None,
            shared: Vec::new(),
            shared_is_final: false,
            is_bare: false,
            rerouted_by: Some(number),
            // Records that are on their way cannot wait.
            last_call: true,
            reroutes: source.draft.reroutes + 1,
            ..source.draft.clone()
        };
        let target = self.plan(draft, route);
        steps.targets.insert((number, tag), target.clone());
        target
    }
}

fn count_dropped(batch: &mut Batch, reason: DropReason) {
    let amount = Amount::of(batch);
    batch.counts.drop(reason, amount.records, amount.bytes);
    batch.records.clear();
}
