//! How the steps of a source are done, for `drave explain`.

use super::{Chain, Scope, changed};
use crate::filter::{Each, Plan};
use crate::record::SourceDraft;

/// How a step is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::agent) struct How {
    pub(in crate::agent) per_record: bool,
    pub(in crate::agent) parses: bool,
    pub(in crate::agent) reroutes: bool,
    /// It takes none of the records.
    pub(in crate::agent) leaves_out: bool,
}

impl How {
    fn of(each: &dyn Each) -> Self {
        Self { per_record: true, parses: each.parses(), reroutes: each.reroutes(), leaves_out: false }
    }

    pub(in crate::agent) fn words(self) -> &'static str {
        match self {
            Self { leaves_out: true, .. } => "leaves the source out",
            Self { parses: true, .. } => "per record, reads the text",
            Self { reroutes: true, .. } => "per record; another tag begins again at the first filter",
            Self { per_record: true, .. } => "per record",
            Self { .. } => "once per source",
        }
    }
}

impl Chain {
    /// How the steps of a source are done: those before its outputs, or the processors of one output.
    pub(in crate::agent) fn explain(&mut self, mut draft: SourceDraft, output: Option<usize>) -> Vec<(usize, How)> {
        let takes = |scope: &Scope, draft: &SourceDraft| match (output, scope) {
            (None, scope) => scope.takes(draft),
            (Some(output), scope) => matches!(scope, Scope::Output(number) if *number == output),
        };
        let mut steps: Vec<(usize, How)> = Vec::new();
        for number in 0..self.filters.len() {
            if !takes(&self.filters[number].scope, &draft) {
                continue;
            }
            let before = draft.shared.clone();
            let plan = self.filters[number].filter.plan(&mut draft);
            let for_each = draft.shared_is_final && !changed(&before, &draft.shared).is_empty();
            let mut how = match &plan {
                Plan::Each(each) => How::of(&**each),
                Plan::Pass | Plan::NotYet => How::default(),
                Plan::Drop(_) => How { leaves_out: true, ..How::default() },
            };
            how.per_record |= for_each;
            draft.shared_is_final |= matches!(&plan, Plan::Each(each) if each.owns_shared());
            let adds_fields = for_each || matches!(&plan, Plan::Each(each) if each.adds_fields());
            draft.is_bare &= draft.multiline.is_none() && !adds_fields;
            steps.push((number, how));
        }
        steps
    }
}
