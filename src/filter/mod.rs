//! Filters: asked once per source, before its first record.

mod kubernetes;

use crate::config::{Opt, Report, Section};
use crate::record::{DropReason, SourceDraft};

/// What a filter wants with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Its records pass as they are, with what the filter added to the source.
    Pass,
    /// None of its records is wanted.
    Drop(DropReason),
}

/// Changes what a source's records share, or leaves the source out.
pub trait Filter: Send {
    /// Looks at a source.
    fn plan(&mut self, source: &mut SourceDraft) -> Plan;
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
    pub configure: fn(&Section, &mut Report) -> Option<Box<dyn Filter>>,
}

/// Every filter there is.
pub static FILTERS: &[FilterPlugin] = &[kubernetes::PLUGIN];
