//! What a pod asks for with annotations:
//!
//! ```text
//! fluentbit.io/parser[_stdout|_stderr][-CONTAINER]     NAME of a parser
//! fluentbit.io/exclude[_stdout|_stderr][-CONTAINER]    true, on, yes
//! drave.io/multiline[-CONTAINER]                       NAME of a multiline parser
//! ```
//! A container's own annotation beats one for all, and there that of a stream beats one for both; of those for all containers
//! one for both streams beats that of a stream, as in Fluent Bit. The same under `drave.io/`: of two equal ones that one counts.
//! `multiline` stands there alone.

use crate::config::OptionValue;
use crate::parse::Parser;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Of equal annotations the later one counts.
const PREFIXES: [&str; 2] = ["fluentbit.io/", OWN_PREFIX];
const OWN_PREFIX: &str = "drave.io/";

/// What is asked for of one container: for standard output and for standard error.
#[derive(Clone, Default)]
pub(super) struct Asked {
    pub(super) parsers: [Option<Arc<dyn Parser>>; 2],
    pub(super) exclude: [bool; 2],
    /// The multiline parser that joins its lines.
    pub(super) multiline: Option<String>,
    /// What could not be understood, as sentences.
    pub(super) bad: Vec<String>,
}

/// What may be asked for.
pub(super) struct Allowed<'a> {
    /// `k8s-logging.parser`.
    pub(super) parser: bool,
    /// `k8s-logging.exclude`.
    pub(super) exclude: bool,
    /// `k8s-logging.multiline`.
    pub(super) multiline: bool,
    /// The parser of a name.
    pub(super) named: &'a dyn Fn(&str) -> Option<Arc<dyn Parser>>,
    /// Is there a multiline parser of a name?
    pub(super) is_multiline: &'a dyn Fn(&str) -> bool,
}

/// Is it an annotation that may ask for something?
pub(super) fn is_ours(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// A key without its prefix, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Key<'a> {
    what: What,
    /// 0 standard output, 1 standard error.
    stream: Option<usize>,
    container: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Parser,
    Exclude,
    Multiline,
}

impl What {
    const WORDS: [(&str, Self); 3] =
        [("parser", Self::Parser), ("exclude", Self::Exclude), ("multiline", Self::Multiline)];
}

impl<'a> Key<'a> {
    fn parse(key: &'a str) -> Option<Self> {
        let (what, rest) = What::WORDS.into_iter().find_map(|(word, what)| Some((what, key.strip_prefix(word)?)))?;
        let streams: &[_] = if what == What::Multiline { &[] } else { &[("_stdout", 0), ("_stderr", 1)] };
        let stream = streams.iter().find_map(|(name, stream)| Some((*stream, rest.strip_prefix(name)?)));
        let (stream, rest) = stream.map_or((None, rest), |(stream, rest)| (Some(stream), rest));
        let container = rest.strip_prefix('-');
        (rest.is_empty() || container.is_some_and(|name| !name.is_empty())).then_some(Self { what, stream, container })
    }

    /// How much it counts for a stream of a container; `None`: it is not for it.
    fn rank(&self, container: &str, stream: usize) -> Option<u8> {
        if self.stream.is_some_and(|own| own != stream) {
            return None;
        }
        match (self.container, self.stream) {
            (Some(own), _) if own != container => None,
            (Some(_), Some(_)) => Some(3),
            (Some(_), None) => Some(2),
            (None, None) => Some(1),
            (None, Some(_)) => Some(0),
        }
    }
}

impl Asked {
    /// Reads the annotations of a pod for one of its containers.
    pub(super) fn of(annotations: &Map<String, Value>, container: &str, allowed: &Allowed<'_>) -> Self {
        let mut asked = Self::default();
        let mut ranks = [[None; 3]; 2];
        for (place, prefix) in PREFIXES.iter().enumerate() {
            for (name, value) in annotations {
                let key = name.strip_prefix(prefix).and_then(Key::parse);
                let Some((key, value)) = key.zip(value.as_str()) else { continue };
                let is_allowed = match key.what {
                    What::Parser => allowed.parser,
                    What::Exclude => allowed.exclude,
                    What::Multiline => allowed.multiline && *prefix == OWN_PREFIX,
                };
                if !is_allowed {
                    continue;
                }
                for (stream, ranks) in ranks.iter_mut().enumerate() {
                    let Some(rank) = key.rank(container, stream).map(|rank| (rank, place)) else { continue };
                    let best = &mut ranks[key.what as usize];
                    if best.is_none_or(|best| best < rank) && asked.take(name, key.what, stream, value, allowed) {
                        *best = Some(rank);
                    }
                }
            }
        }
        asked.bad.dedup();
        asked
    }

    /// `false`: the value cannot be understood.
    fn take(&mut self, name: &str, what: What, stream: usize, value: &str, allowed: &Allowed<'_>) -> bool {
        let good = match what {
            What::Parser => {
                let parser = (allowed.named)(value);
                let good = parser.is_some();
                self.parsers[stream] = parser.or(self.parsers[stream].take());
                good
            }
            What::Exclude => bool::parse(value).map(|exclude| self.exclude[stream] = exclude).is_ok(),
            What::Multiline => {
                let good = (allowed.is_multiline)(value);
                if good {
                    self.multiline = Some(value.to_owned());
                }
                good
            }
        };
        if !good {
            let hint = match what {
                What::Parser => "no parser has that name",
                What::Multiline => {
                    "no multiline parser has that name; there are go, java, python, ruby and those of the configuration"
                }
                What::Exclude => "it takes true or false, on or off, yes or no",
            };
            self.bad.push(format!("annotation {name}: `{value}` is not understood; hint: {hint}"));
        }
        good
    }

    /// Nothing at all is wanted of the container.
    pub(super) fn excludes_all(&self) -> bool {
        self.exclude == [true, true]
    }

    /// Does a record have to be looked at for it?
    pub(super) fn is_any(&self) -> bool {
        self.exclude != [false, false] || self.parsers.iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn asked(annotations: &[(&str, &str)], allowed: bool) -> Asked {
        let map = annotations.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        let named = |name: &str| -> Option<Arc<dyn Parser>> {
            (name != "unknown").then(|| parse::parser("json", &[]).unwrap())
        };
        let is_multiline = |name: &str| name != "unknown";
        let multiline = allowed;
        let allowed =
            Allowed { parser: allowed, exclude: allowed, multiline, named: &named, is_multiline: &is_multiline };
        Asked::of(&map, "app", &allowed)
    }

    #[test]
    fn excludes() {
        for (annotations, expect) in [
            (&[("exclude", "true")][..], [true, true]),
            (&[("exclude", "On")], [true, true]),
            (&[("exclude", "YES")], [true, true]),
            (&[("exclude", "1")], [false, false]),
            (&[("exclude_stdout", "true")], [true, false]),
            (&[("exclude_stderr", "true")], [false, true]),
            (&[("exclude", "false"), ("exclude_stderr", "true")], [false, false]),
            (&[("exclude-app", "true")], [true, true]),
            (&[("exclude-application", "true")], [false, false]),
            (&[("exclude-", "true"), ("excluded", "true"), ("exclude_all", "true")], [false, false]),
            (&[("exclude", "true"), ("exclude-app", "false")], [false, false]),
            (&[("exclude", "true"), ("exclude_stdout-app", "false")], [false, true]),
            (&[("exclude-app", "true"), ("exclude_stderr-app", "false")], [true, false]),
            (&[("exclude-app", "maybe"), ("exclude", "true")], [true, true]),
        ] {
            for prefix in PREFIXES {
                let keys: Vec<String> = annotations.iter().map(|(key, _)| format!("{prefix}{key}")).collect();
                let with: Vec<_> = keys.iter().map(String::as_str).zip(annotations.iter().map(|a| a.1)).collect();
                assert_eq!(asked(&with, true).exclude, expect, "{with:?}");
                let backwards: Vec<_> = with.iter().rev().copied().collect();
                assert_eq!(asked(&backwards, true).exclude, expect, "{backwards:?}");
                assert_eq!(asked(&with, false).exclude, [false, false], "{with:?}");
            }
        }
    }

    /// Every combination of a scope and a prefix with every other: the one that counts more decides.
    #[test]
    fn the_nearest_annotation_wins() {
        let scopes = [("_stdout", 0), ("", 1), ("-app", 2), ("_stdout-app", 3)];
        let mut keys: Vec<(String, usize)> = Vec::new();
        for (place, prefix) in PREFIXES.iter().enumerate() {
            keys.extend(scopes.map(|(scope, rank)| (format!("{prefix}exclude{scope}"), rank * 2 + place)));
        }
        for (first, first_rank) in &keys {
            for (second, second_rank) in &keys {
                if first == second {
                    continue;
                }
                let expect = first_rank > second_rank;
                let found = asked(&[(first, "true"), (second, "false")], true);
                assert_eq!(found.exclude[0], expect, "{first} true, {second} false");
            }
        }
    }

    #[test]
    fn parsers_and_what_is_wrong() {
        let which = |asked: &Asked| [asked.parsers[0].is_some(), asked.parsers[1].is_some()];
        let found = asked(&[("fluentbit.io/parser", "json")], true);
        assert_eq!((which(&found), found.bad.len(), found.is_any()), ([true, true], 0, true));
        assert_eq!(which(&asked(&[("drave.io/parser_stderr", "json")], true)), [false, true]);
        assert_eq!(which(&asked(&[("fluentbit.io/parser_stderr-app", "json")], true)), [false, true]);
        assert_eq!(which(&asked(&[("fluentbit.io/parser-other", "json")], true)), [false, false]);
        let bad = asked(&[("fluentbit.io/parser", "unknown"), ("drave.io/exclude", "1")], true);
        assert_eq!((which(&bad), bad.exclude, bad.bad.len()), ([false, false], [false, false], 2));
        assert!(bad.bad[0].contains("fluentbit.io/parser: `unknown`"), "{:?}", bad.bad);
        assert!(!asked(&[("fluentbit.io/parser", "unknown")], false).is_any());
    }

    #[test]
    fn multiline_parsers_are_chosen_for_a_pod_or_for_a_container() {
        for (annotations, expect, bad) in [
            (&[("drave.io/multiline", "java")][..], Some("java"), 0),
            (&[("drave.io/multiline", "java"), ("drave.io/multiline-app", "go")], Some("go"), 0),
            (&[("drave.io/multiline-other", "java")], None, 0),
            (&[("drave.io/multiline_stdout", "java")], None, 0),
            (&[("fluentbit.io/multiline", "java")], None, 0),
            (&[("drave.io/multiline", "unknown")], None, 1),
            (&[("drave.io/multiline", "java"), ("drave.io/multiline-app", "unknown")], Some("java"), 1),
        ] {
            let found = asked(annotations, true);
            assert_eq!((found.multiline.as_deref(), found.bad.len()), (expect, bad), "{annotations:?}");
            assert_eq!(asked(annotations, false).multiline, None, "{annotations:?}");
        }
    }
}
