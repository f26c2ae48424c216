//! Filters: asked once per source, before its first record, and again when what they know of it has changed. Only what must
//! look at each record gets to see them.

mod kubernetes;
mod aws;
mod grep;
mod modify;
mod record_modifier;
mod nest;
mod type_converter;
mod parser;
mod rewrite_tag;
mod throttle;
mod sample;
mod redact;
mod lua;
mod multiline;
mod conditional;
mod content_modifier;
mod convert;
mod words;
#[cfg(test)]
mod tests;

pub use aws::Instances;
pub use conditional::{Condition, Conditional};
pub use kubernetes::Apis;

use crate::config::{Config, Environment, Opt, Report, Secret, Section};
use crate::parse::Defined;
use crate::record::{Batch, DropReason, SourceDraft};
use crate::state::State;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;

/// What a filter wants with a source.
pub enum Plan {
    /// Its records pass as they are, with what the filter added to the source.
    Pass,
    /// None of its records is wanted.
    Drop(DropReason),
    /// What it needs to know of the source is not there yet: nothing of it is read, and the filter is asked again soon.
    NotYet,
    /// It looks at each record.
    Each(Box<dyn Each>),
}

/// Changes what a source's records share, or leaves the source out.
pub trait Filter: Send {
    /// Looks at a source. Asked again while it said [`Plan::NotYet`], and after [`SourceDraft::stale`] was set.
    fn plan(&mut self, source: &mut SourceDraft) -> Plan;

    /// May it give records another tag?
    fn reroutes(&self) -> bool {
        false
    }

    /// May it hold records back, and send them later?
    fn holds_back(&self) -> bool {
        false
    }

    /// Work of its own beside the data path, a watch for example; ends with the agent. Called once, before the inputs start; none of
    /// the work begins before all filters were asked.
    fn task(&mut self, _context: FilterContext) -> Option<BoxFuture<'static, ()>> {
        None
    }

    /// What it has to say on `/metrics` besides what passed it.
    fn measures(&self) -> Vec<Measure<'_>> {
        Vec::new()
    }
}

/// A number of a filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure<'a> {
    /// Which.
    pub what: Measured,
    /// The reason or the kind, where there are several.
    pub label: Option<&'a str>,
    /// As of now; of what is counted, since the start.
    pub value: f64,
}

/// What filters measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Pods whose metadata is known.
    PodsKnown,
    /// Files that wait for the metadata of their pod.
    FilesWaiting,
    /// 1 when the API tells of every change.
    WatchLive,
    /// Seconds since its last word.
    WatchSilent,
    /// Records that got what their path says, counted by reason.
    WithoutMetadata,
    /// Annotations that could not be understood, counted.
    BadAnnotations,
    /// Secrets that were taken out, counted by kind.
    Redacted,
    /// Records that passed as they were because a script failed, counted by kind.
    Failed,
    /// Records that went before the EC2 instance had said all, counted by kind.
    WithoutInstance,
}

/// The part of a filter that looks at the records of one source. No I/O, no waiting.
pub trait Each: Send {
    /// Changes the records in place. What it takes out it counts: [`Batch::retain`].
    fn apply(&mut self, batch: &mut Batch);

    /// May it make fields of a record's own of what its source shares? Then filters behind it change that for each record, and no
    /// more for all at once.
    fn owns_shared(&self) -> bool {
        true
    }

    /// May it give records fields of their own?
    fn adds_fields(&self) -> bool {
        true
    }

    /// Does it give records another tag?
    fn reroutes(&self) -> bool {
        false
    }

    /// Does it read the text of records as something?
    fn parses(&self) -> bool {
        false
    }

    /// Does it hold records back, or wait until those that it held are settled?
    fn is_waiting(&self) -> bool {
        false
    }

    /// Asked some twenty times a second while it waits: what nothing follows becomes records of the batch, which is empty. It must keep
    /// shares of the tickets of the batches that it holds records of.
    fn idle(&mut self, _batch: &mut Batch, _now: Instant, _at_the_end: bool) {}
}

/// Leaves out every record.
pub struct LeaveOut;

impl Each for LeaveOut {
    fn apply(&mut self, batch: &mut Batch) {
        batch.retain(|_, _| false);
    }

    fn adds_fields(&self) -> bool {
        false
    }

    fn owns_shared(&self) -> bool {
        false
    }
}

/// What a filter's task runs with.
pub struct FilterContext {
    /// Proxies, the node's name, where the API is.
    pub environment: Environment,
    /// What is kept over a restart.
    pub state: Arc<State>,
    /// Wakes the inputs, so that they ask again for sources that wait or are stale.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Kubernetes APIs that filters follow together.
    pub apis: Apis,
    /// What filters know of the instance together.
    pub instances: Instances,
}

/// What a section is checked with.
#[derive(Debug, Clone, Copy)]
pub struct FilterConfig<'a> {
    /// The sections of parsers.
    pub parsers: &'a [Section],
    /// The same, with those of multiline parsers.
    pub defined: Defined<'a>,
    /// Bytes of a joined text, `multiline_buffer_limit`.
    pub joined_bytes_max: usize,
    /// Bytes that a filter may hold back of all sources together: half of `mem_limit`.
    pub held_bytes_max: usize,
    /// What `@SET` and `env` have set.
    pub variables: &'a [(String, Secret)],
    /// Where it is to run.
    pub environment: &'a Environment,
}

impl<'a> FilterConfig<'a> {
    /// Of a whole configuration.
    pub fn of(config: &'a Config, environment: &'a Environment) -> Self {
        Self {
            parsers: &config.parsers,
            defined: Defined { parsers: &config.parsers, multiline_parsers: &config.multiline_parsers },
            joined_bytes_max: config.service.multiline_buffer_limit.0 as usize,
            held_bytes_max: (config.service.mem_limit.0 / 2) as usize,
            variables: &config.variables,
            environment,
        }
    }
}

/// A filter of the registry.
pub struct FilterPlugin {
    /// As in `name: kubernetes`.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Its declarations; the options of all filters come on top.
    pub options: &'static [&'static [Opt]],
    /// What differs from Fluent Bit on purpose, and why; one list per group.
    pub deviations: &'static [&'static [(&'static str, &'static str)]],
    /// Checks a section.
    pub configure: fn(&Section, &FilterConfig<'_>, &mut Report) -> Option<Box<dyn Filter>>,
}

/// Every filter there is.
pub static FILTERS: &[FilterPlugin] = &[
    kubernetes::PLUGIN,
    aws::PLUGIN,
    grep::PLUGIN,
    modify::PLUGIN,
    record_modifier::PLUGIN,
    nest::PLUGIN,
    type_converter::PLUGIN,
    parser::PLUGIN,
    rewrite_tag::PLUGIN,
    throttle::PLUGIN,
    sample::PLUGIN,
    redact::PLUGIN,
    lua::PLUGIN,
    multiline::PLUGIN,
];

/// What can be a processor only; every filter can be one as well.
pub static PROCESSORS: &[FilterPlugin] = &[content_modifier::PLUGIN];
