//! Which tags a filter or an output takes.

use crate::config::{Report, Section, read_expression};
use regex::Regex;

/// `match` and `match_regex` of one section; either is enough.
#[derive(Debug, Clone, Default)]
pub(super) struct Match {
    pattern: Option<String>,
    regex: Option<Regex>,
}

impl Match {
    /// Reads both; `None` when an expression is wrong (reported).
    pub(super) fn new(
        section: &Section,
        pattern: Option<String>,
        regex: Option<&str>,
        report: &mut Report,
    ) -> Option<Self> {
        // As in Fluent Bit an expression is anchored at the start only.
        let regex = match regex.map(|text| format!("^(?:{text})")) {
            Some(text) => Some(read_expression(section, "match_regex", &text, "kube\\.app", report)?),
            None => None,
        };
        Some(Self { pattern, regex })
    }

    /// Is there anything that it could match?
    pub(super) fn is_empty(&self) -> bool {
        self.pattern.is_none() && self.regex.is_none()
    }

    pub(super) fn takes(&self, tag: &str) -> bool {
        self.pattern.as_deref().is_some_and(|p| wildcard(p.as_bytes(), tag.as_bytes()))
            || self.regex.as_ref().is_some_and(|r| r.is_match(tag))
    }
}

/// `*` stands for any text, also for none; everything else for itself.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            // The last star takes one byte more.
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, tag, expect) in [
            ("*", "", true),
            ("*", "any.tag", true),
            ("kube.*", "kube.", true),
            ("kube.*", "kube", false),
            ("kube.*.log", "kube.a.b.log", true),
            ("*.log", "a.log.b", false),
            ("a*b*c", "aXXbYYbc", true),
            ("a", "ab", false),
            ("", "", true),
            ("kube.?", "kube.a", false),
        ] {
            assert_eq!(wildcard(pattern.as_bytes(), tag.as_bytes()), expect, "{pattern} {tag}");
        }
    }

    #[test]
    fn expressions_are_anchored_at_the_start_and_either_is_enough() {
        let both = Match { pattern: Some("a.*".into()), regex: Regex::new("^(?:b|c)").ok() };
        for (tag, expect) in [("a.x", true), ("bcd", true), ("xb", false)] {
            assert_eq!(both.takes(tag), expect, "{tag}");
        }
    }
}
