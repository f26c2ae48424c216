//! What secrets look like.

use crate::record::Expression;
use aho_corasick::{AhoCorasick, MatchKind, packed};
use regex::bytes::{Regex, RegexBuilder};
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of secret.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    hint: Hint,
    /// The secret is its group `secret`, else all of it.
    expression: &'static str,
    checks: fn(&[u8]) -> bool,
}

/// What stands in every secret of a kind, and is quickly found.
#[derive(Debug, Clone, Copy)]
enum Hint {
    /// One of these texts.
    Texts(&'static [&'static str]),
    /// One of these texts, in capitals or not.
    AnyCase(&'static [&'static str]),
    /// This byte.
    Byte(u8),
    /// So many digits as a card has.
    Digits,
}

/// All kinds, in the order in which they are looked for.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "private_key",
        hint: Hint::Texts(&["-----BEGIN "]),
        expression: r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        checks: |_| true,
    },
    Kind {
        name: "aws_key",
        // Of "secret"; whole words would make too many texts.
        hint: Hint::AnyCase(&["akia", "asia", "ecre"]),
        expression: concat!(
            r"\b(?P<secret>A[KS]IA[A-Z2-7]{16})\b",
            r"|(?i:aws[a-z_.\- ]{0,20}secret[a-z_.\- ]{0,20}|secret_?access_?key)[^A-Za-z0-9/+]{1,8}(?P<second>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|\z)",
        ),
        checks: |_| true,
    },
    Kind {
        name: "jwt",
        hint: Hint::Texts(&["eyJ"]),
        expression: r"\beyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*",
        checks: |_| true,
    },
    Kind {
        name: "bearer",
        // Of "bearer".
        hint: Hint::AnyCase(&["eare"]),
        expression: r"(?i:\bbearer +)(?P<secret>[A-Za-z0-9._~+/-]{8,}=*)",
        checks: |_| true,
    },
    Kind {
        name: "email",
        hint: Hint::Byte(b'@'),
        expression: r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}\b|[A-Za-z0-9]@[A-Za-z0-9-]{1,63}\.[A-Za-z]{2,24}\b",
        checks: |_| true,
    },
    Kind {
        name: "card",
        hint: Hint::Digits,
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
    hint: Option<Hint>,
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
    fn new(name: &str, hint: Option<Hint>, engine: Engine) -> Self {
        Self { replacement: format!("{BEFORE_NAME}{name}]"), hint, engine, found: AtomicU64::new(0) }
    }

    pub(super) fn of_kind(kind: &'static Kind) -> Option<Self> {
        let regex = RegexBuilder::new(kind.expression).unicode(false).build().ok()?;
        Some(Self::new(kind.name, Some(kind.hint), Engine::Known(regex, kind.checks)))
    }

    pub(super) fn own(name: &str, expression: &str) -> Result<Self, String> {
        Ok(Self::new(name, None, Engine::Own(Expression::new(expression)?)))
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

/// Of a card at least so many digits stand together, maybe with single blanks or dashes between them.
const CARD_DIGITS_MIN: usize = 13;

/// Tells quickly that a text has nothing of any kind.
#[derive(Debug)]
pub(super) struct Hints {
    texts: Option<Texts>,
    bytes: Vec<u8>,
    digits: bool,
}

/// Looks for one of many short texts: by vectors where the processor has them.
#[derive(Debug)]
enum Texts {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
}

impl Hints {
    /// For these finders; `None` where one of them can be anywhere.
    pub(super) fn new(finders: &[Finder]) -> Option<Self> {
        let (mut texts, mut bytes, mut digits) = (Vec::new(), Vec::new(), false);
        for finder in finders {
            match finder.hint? {
                Hint::Texts(some) => texts.extend(some.iter().map(|text| (*text).to_owned())),
                Hint::AnyCase(some) => some.iter().for_each(|text| texts.append(&mut in_any_case(text))),
                Hint::Byte(byte) => bytes.push(byte),
                Hint::Digits => digits = true,
            }
        }
        Some(Self { texts: Texts::new(&texts), bytes, digits })
    }

    /// Could there be anything?
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        self.bytes.iter().any(|byte| memchr::memchr(*byte, text).is_some())
            || self.texts.as_ref().is_some_and(|texts| texts.are_in(text))
            || self.digits && has_digits(text)
    }
}

impl Texts {
    fn new(texts: &[String]) -> Option<Self> {
        if texts.is_empty() {
            return None;
        }
        let mut builder = packed::Config::new().match_kind(packed::MatchKind::LeftmostFirst).builder();
        match builder.extend(texts).build() {
            Some(searcher) => Some(Self::Packed(searcher)),
            None => AhoCorasick::builder().match_kind(MatchKind::Standard).build(texts).ok().map(Self::Automaton),
        }
    }

    fn are_in(&self, text: &[u8]) -> bool {
        match self {
            Self::Packed(searcher) => searcher.find(text).is_some(),
            Self::Automaton(automaton) => automaton.is_match(text),
        }
    }
}

/// All ways to write a text in large and small letters.
fn in_any_case(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for letter in text.chars() {
        let both = [letter.to_ascii_lowercase(), letter.to_ascii_uppercase()];
        all = all.iter().flat_map(|start| both.iter().map(move |letter| format!("{start}{letter}"))).collect();
    }
    all.dedup();
    all
}

/// Are there as many digits together as a card has? Looks at every thirteenth byte, and around it where that could be part of one.
fn has_digits(text: &[u8]) -> bool {
    let belongs = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-');
    let mut at = CARD_DIGITS_MIN - 1;
    while let Some(byte) = text.get(at) {
        if belongs(byte) {
            let start = text[..at].iter().rposition(|byte| !belongs(byte)).map_or(0, |before| before + 1);
            let end = text[at..].iter().position(|byte| !belongs(byte)).map_or(text.len(), |len| at + len);
            if text[start..end].iter().filter(|byte| byte.is_ascii_digit()).count() >= CARD_DIGITS_MIN {
                return true;
            }
            at = end;
        }
        at += CARD_DIGITS_MIN;
    }
    false
}

#[cfg(test)]
mod tests {
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

    fn all() -> (Vec<Finder>, Hints) {
        let finders: Vec<Finder> = KINDS.iter().filter_map(Finder::of_kind).collect();
        assert_eq!(finders.len(), KINDS.len());
        let hints = Hints::new(&finders).expect("all kinds have one");
        (finders, hints)
    }

    fn is_found(finders: &[Finder], text: &str) -> bool {
        finders.iter().any(|finder| finder.replace(text.as_bytes(), &mut Vec::new()))
    }

    #[test]
    fn every_secret_is_found() {
        let (finders, hints) = all();
        for secret in SECRETS {
            assert!(is_found(&finders, secret) && hints.may_be_in(secret.as_bytes()), "{secret}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_found_without_a_hint(
            before in "[a-zA-Z0-9 @.-]{0,30}",
            secret in prop::sample::select(SECRETS),
            after in "[a-zA-Z0-9 @.-]{0,30}",
        ) {
            let (finders, hints) = all();
            let text = format!("{before}{secret}{after}");
            prop_assert!(!is_found(&finders, &text) || hints.may_be_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_log_line_has_no_hint() {
        let finders: Vec<Finder> = KINDS.iter().filter_map(Finder::of_kind).collect();
        let hints = Hints::new(&finders).expect("all kinds have one");
        for text in
            ["", "2026-11-20 08:00:00,000 INFO [worker-6] com.example.Service seq=0000-00000000; 503", "123456789012"]
        {
            assert!(!hints.may_be_in(text.as_bytes()), "{text}");
        }
        assert!(hints.may_be_in(b"1234567890123"));
    }
}
