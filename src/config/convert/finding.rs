//! What becomes of each directive, by the same declarations that check it.

use super::super::{Entry, Location, Opt, Page, Section, SectionKind, Use, absent, nearest};
use std::fmt;

/// What becomes of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It does the same.
    Same,
    /// It does what it is for, and on purpose more.
    Better,
    /// What comes nearest stands in its place; the detail says what differs.
    Near,
    /// It is taken and changes nothing.
    NoEffect,
    /// There is nothing in its place.
    Unsupported,
}

impl Verdict {
    /// As a report says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Better => "better",
            Self::Near => "near",
            Self::NoEffect => "no effect",
            Self::Unsupported => "unsupported",
        }
    }
}

/// A directive and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands.
    pub at: Location,
    /// Whose it is and how it is called: `input tail path`. Never a value.
    pub what: String,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why, and what comes nearest.
    pub detail: Option<String>,
}

/// `agent.conf:14:5: no effect: input tail db.locking: the state folder has one owner anyway`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.at, self.verdict.word(), self.what)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

/// The page of a section, where there is such a plugin.
pub(super) fn page<'p>(kind: SectionKind, name: &str, pages: &'p [Page]) -> Option<&'p Page> {
    // A filter may be a processor.
    let is_kind =
        |page: &Page| page.kind == kind || (kind == SectionKind::Processor && page.kind == SectionKind::Filter);
    let is_named = |page: &Page| page.name.is_empty() || page.name.eq_ignore_ascii_case(name);
    pages.iter().find(|page| is_kind(page) && is_named(page))
}

/// The declaration of a key.
pub(super) fn option<'p>(page: Option<&'p Page>, key: &str) -> Option<&'p Opt> {
    page?.options().find(|option| option.is_named(key))
}

/// Of a section as a whole: is there such a plugin, and what does it do otherwise?
pub(super) fn of_plugin(section: &Section, page: Option<&Page>, known: &[&str]) -> Finding {
    let (verdict, detail) = match page {
        Some(page) => of_page(page),
        None => (Verdict::Unsupported, Some(instead(section, known))),
    };
    Finding { at: section.at.clone(), what: section.title(), verdict, detail }
}

/// Deviations that are no option's.
fn of_page(page: &Page) -> (Verdict, Option<String>) {
    let of_option = |what: &str| page.options().any(|option| is_about(what, option.name));
    let others: Vec<String> =
        page.deviations.iter().filter(|(what, _)| !of_option(what)).map(|(what, _)| what.replace('`', "")).collect();
    match others.is_empty() {
        true => (Verdict::Same, None),
        false => {
            let detail = format!("other than in Fluent Bit: {}; see drave help {}", others.join("; "), page.title());
            (Verdict::Better, Some(detail))
        }
    }
}

fn is_about(what: &str, option: &str) -> bool {
    what.contains(&format!("`{option}`"))
}

fn instead(section: &Section, known: &[&str]) -> String {
    let near = || match nearest(&section.name, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    absent(section.kind, &section.name).map_or_else(near, str::to_owned)
}

/// Of one key. `value` is what it comes to where the conversion runs.
pub(super) fn of_entry(section: &Section, entry: &Entry, page: &Page, value: &str) -> Finding {
    let option = option(Some(page), &entry.key);
    let (verdict, detail) = match option.map(|option| (option, option.usage())) {
        None if entry.key == "condition" && section.kind == SectionKind::Processor => (Verdict::Same, None),
        None => (Verdict::Unsupported, Some(unknown(entry, page))),
        Some((_, Use::NoEffect(reason))) => (Verdict::NoEffect, Some(reason.to_owned())),
        Some((_, Use::Refused(refusal))) if refusal.is_for(value) => {
            (Verdict::Unsupported, Some(refusal.hint.to_owned()))
        }
        Some((_, Use::Refused(_))) => (Verdict::Same, None),
        Some((option, Use::Works)) => of_option(option, page),
    };
    Finding { at: entry.key_at.clone(), what: format!("{} {}", section.title(), entry.key), verdict, detail }
}

fn of_option(option: &Opt, page: &Page) -> (Verdict, Option<String>) {
    match page.deviations.iter().find(|(what, _)| is_about(what, option.name)) {
        Some((_, why)) => (Verdict::Better, Some((*why).to_owned())),
        None => (Verdict::Same, None),
    }
}

fn unknown(entry: &Entry, page: &Page) -> String {
    match nearest(&entry.key, page.options().map(|option| option.name)) {
        Some(name) => format!("there is no such option; did you mean `{name}`?"),
        None => format!("there is no such option; drave help {} lists them", page.title()),
    }
}
