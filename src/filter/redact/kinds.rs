//! What secrets look like.

use crate::record::Expression;
use regex::bytes::{Regex, RegexBuilder};
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of secret.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The secret is its group `secret`, else all of it.
    expression: &'static str,
    checks: fn(&[u8]) -> bool,
}

/// All kinds, in the order in which they are looked for. Of each something must stand among the patterns of `scan.rs`.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "private_key",
        expression: r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        checks: |_| true,
    },
    Kind {
        name: "aws_key",
        expression: concat!(
            r"\b(?P<secret>A[KS]IA[A-Z2-7]{16})\b",
            r"|(?i:aws[a-z_.\- ]{0,20}secret[a-z_.\- ]{0,20}|secret_?access_?key)[^A-Za-z0-9/+]{1,8}(?P<second>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|\z)",
        ),
        checks: |_| true,
    },
    Kind { name: "jwt", expression: r"\beyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*", checks: |_| true },
    Kind { name: "bearer", expression: r"(?i:\bbearer +)(?P<secret>[A-Za-z0-9._~+/-]{8,}=*)", checks: |_| true },
    Kind {
        name: "email",
        expression: r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}\b|[A-Za-z0-9]@[A-Za-z0-9-]{1,63}\.[A-Za-z]{2,24}\b",
        checks: |_| true,
    },
    Kind {
        name: "card",
        expression: r"\b[3-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}\b|\b3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5}\b",
        checks: is_card,
    },
];

/// 13 to 19 digits whose sum by Luhn is a multiple of ten.
fn is_card(text: &[u8]) -> bool {
    let digits = || text.iter().rev().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0'));
    let sum = digits().enumerate().map(|(at, digit)| match (at % 2, digit) {
        (0, digit) => digit,
        (_, 0..=4) => digit * 2,
        _ => digit * 2 - 9,
    });
    (13..=19).contains(&digits().count()) && sum.sum::<u32>() % 10 == 0
}

/// Looks for one kind.
#[derive(Debug)]
pub(super) struct Finder {
    replacement: String,
    engine: Engine,
    pub(super) found: AtomicU64,
}

#[derive(Debug)]
enum Engine {
    Known(Regex, fn(&[u8]) -> bool),
    Own(Expression),
}

const BEFORE_NAME: &str = "[REDACTED:";

impl Finder {
    fn new(name: &str, engine: Engine) -> Self {
        Self { replacement: format!("{BEFORE_NAME}{name}]"), engine, found: AtomicU64::new(0) }
    }

    pub(super) fn of_kind(kind: &'static Kind) -> Option<Self> {
        let regex = RegexBuilder::new(kind.expression).unicode(false).build().ok()?;
        Some(Self::new(kind.name, Engine::Known(regex, kind.checks)))
    }

    pub(super) fn own(name: &str, expression: &str) -> Result<Self, String> {
        Ok(Self::new(name, Engine::Own(Expression::new(expression)?)))
    }

    /// Can it stand where `scan.rs` sees nothing?
    pub(super) fn is_own(&self) -> bool {
        matches!(self.engine, Engine::Own(_))
    }

    pub(super) fn name(&self) -> &str {
        &self.replacement[BEFORE_NAME.len()..self.replacement.len() - 1]
    }

    /// Writes a text without what is found; `false` when there is nothing.
    pub(super) fn replace(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let (mut copied, mut count) = (0, 0);
        let mut take = |start: usize, end: usize| {
            out.extend_from_slice(&text[copied..start]);
            out.extend_from_slice(self.replacement.as_bytes());
            copied = end;
            count += 1;
        };
        match &self.engine {
            Engine::Known(regex, checks) => {
                let has_groups = regex.captures_len() > 1;
                for found in regex.find_iter(text).filter(|found| checks(found.as_bytes())) {
                    let secret = if has_groups { secret_of(regex, text, found.start()) } else { None };
                    let (start, end) = secret.unwrap_or((found.start(), found.end()));
                    take(start, end);
                }
            }
            Engine::Own(expression) => expression.each_match(text, &mut take),
        }
        out.extend_from_slice(&text[copied..]);
        self.found.fetch_add(count, Ordering::Relaxed);
        count > 0
    }
}

/// The part of a match that is secret.
fn secret_of(regex: &Regex, text: &[u8], at: usize) -> Option<(usize, usize)> {
    let captures = regex.captures_at(text, at)?;
    let secret = captures.iter().skip(1).flatten().next()?;
    Some((secret.start(), secret.end()))
}

#[cfg(test)]
mod tests {
    use super::super::scan::push_places;
    use super::*;
    use proptest::prelude::*;

    const SECRETS: &[&str] = &[
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "bEaReR abcdefgh123",
        "AWS_SECRET_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "SecretAccessKey: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
        "a@b.org",
        "4111-1111-1111-1111",
        "378282246310005",
        "4111 1111 1111 1111",
        "-----BEGIN PRIVATE KEY-----",
    ];

    fn all() -> Vec<Finder> {
        let finders: Vec<Finder> = KINDS.iter().filter_map(Finder::of_kind).collect();
        assert_eq!(finders.len(), KINDS.len());
        finders
    }

    /// Where the known kinds stand.
    fn found(finders: &[Finder], text: &str) -> Vec<(usize, usize)> {
        let of = |finder: &Finder| match &finder.engine {
            Engine::Known(regex, checks) => {
                let found = regex.find_iter(text.as_bytes()).filter(|found| checks(found.as_bytes()));
                found.map(|found| (found.start(), found.end())).collect::<Vec<_>>()
            }
            Engine::Own(_) => Vec::new(),
        };
        finders.iter().flat_map(of).collect()
    }

    fn has_place(places: &[u32], (start, end): (usize, usize)) -> bool {
        places.iter().any(|place| (start..end).contains(&(*place as usize)))
    }

    #[test]
    fn every_secret_is_found() {
        for secret in SECRETS {
            assert!(!found(&all(), secret).is_empty(), "{secret}");
        }
    }

    proptest! {
        #[test]
        fn in_every_secret_a_place_is_seen(
            parts in prop::collection::vec(("[a-zA-Z0-9 @.-]{0,40}", prop::sample::select(SECRETS)), 0..4),
            after in "[a-zA-Z0-9 @.-]{0,40}",
        ) {
            let text = parts.iter().map(|(before, secret)| format!("{before}{secret}")).collect::<String>() + &after;
            let mut places = Vec::new();
            push_places(text.as_bytes(), 0, &mut places);
            for secret in found(&all(), &text) {
                prop_assert!(has_place(&places, secret), "{} {:?}", text, secret);
            }
        }

        #[test]
        fn in_every_card_a_place_is_seen(text in "[0-9 -]{0,80}") {
            let mut places = Vec::new();
            push_places(text.as_bytes(), 0, &mut places);
            for secret in found(&all(), &text) {
                prop_assert!(has_place(&places, secret), "{} {:?}", text, secret);
            }
        }
    }
}
