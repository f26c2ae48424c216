//! Which group and which stream a record goes to: templates where they can be filled in, else the fixed names.
//!
//! ```text
//! log_group_template  /eks/$kubernetes['namespace_name']  ─▶ /eks/shop      characters that CloudWatch refuses become `_`
//! log_stream_prefix   node-1-                             ─▶ node-1-kube.shop.web
//! key of a request    GROUP NUL STREAM
//! ```
//! What templates make is bounded: a label that is another one in each record would make a stream of each record.

use super::super::{Report, Section};
use crate::record::{Batch, Record, Shape, Source, SourceDraft, Template};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Characters of a group's or a stream's name at most.
const NAME_CHARS_MAX: usize = 512;
/// A name that was not used for so long counts no more.
const IDLE: Duration = Duration::from_secs(3600);
/// How often it is said that there are too many names, and looked for those that are idle.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const BORDER: char = '\0';

/// A stream's name where no template gives it.
#[derive(Debug, Clone)]
pub(super) enum FixedStream {
    /// The same for all.
    Name(String),
    /// In front of the tag.
    Prefix(String),
}

/// What names are made of.
#[derive(Debug)]
pub(super) struct Naming {
    pub(super) group: String,
    pub(super) group_template: Option<Template>,
    pub(super) stream: FixedStream,
    pub(super) stream_template: Option<Template>,
    /// How many pairs of group and stream templates may make.
    pub(super) distinct_max: usize,
}

/// Makes names.
#[derive(Debug)]
pub(super) struct Names {
    naming: Naming,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    /// When each was last used.
    used: HashMap<String, Instant>,
    looked: Option<Instant>,
    /// Records that went elsewhere.
    elsewhere: u64,
    said: Option<Instant>,
}

impl Made {
    /// May this name be used? One that is used already always may.
    fn admits(&mut self, key: &str, distinct_max: usize, now: Instant) -> bool {
        if self.used.contains_key(key) {
            return true;
        }
        let due = self.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY);
        if self.used.len() >= distinct_max && due {
            self.looked = Some(now);
            self.used.retain(|_, used| now.duration_since(*used) < IDLE);
        }
        let free = self.used.len() < distinct_max;
        if free {
            self.used.insert(key.to_owned(), now);
        }
        free
    }
}

impl Names {
    pub(super) fn new(naming: Naming) -> Self {
        Self { naming, made: Mutex::default() }
    }

    /// The key of all records of a source; nothing where each has to be asked.
    pub(super) fn of_source(&self, draft: &SourceDraft, key: &mut String) {
        let mut batch = Batch::new(Arc::new(Source::new(draft.clone(), Vec::new())));
        let naming = &self.naming;
        let is_shared = |template: &Template| template.is_shared(&batch);
        if ![&naming.group_template, &naming.stream_template].into_iter().flatten().all(is_shared) {
            return;
        }
        batch.records.push(Record { shape: Shape::Fields, ..Record::default() });
        self.of_record(&batch, 0, key);
        if !self.admits(key, Instant::now()) {
            // So each is counted that goes elsewhere.
            key.clear();
        }
    }

    fn admits(&self, key: &str, now: Instant) -> bool {
        let has_templates = self.naming.group_template.is_some() || self.naming.stream_template.is_some();
        !has_templates || self.made().admits(key, self.naming.distinct_max, now)
    }

    /// Appends the key of a record.
    pub(super) fn of_record(&self, batch: &Batch, record: usize, key: &mut String) {
        let tag = &batch.source.draft.tag;
        if !push_template(self.naming.group_template.as_ref(), batch, record, key, push_group) {
            push_group(&self.naming.group, key);
        }
        key.push(BORDER);
        if !push_template(self.naming.stream_template.as_ref(), batch, record, key, push_stream) {
            self.push_fixed_stream(tag, key);
        }
    }

    /// Puts the fixed names in the place of those that are one too many, for so many records.
    pub(super) fn admit(&self, tag: &str, records: usize, key: &mut String) {
        let now = Instant::now();
        if self.admits(key, now) {
            return;
        }
        self.count_elsewhere(records as u64, now);
        key.clear();
        push_group(&self.naming.group, key);
        key.push(BORDER);
        self.push_fixed_stream(tag, key);
    }

    #[cold]
    fn count_elsewhere(&self, records: u64, now: Instant) {
        let mut made = self.made();
        made.elsewhere += records;
        if made.said.is_none_or(|said| now.duration_since(said) >= LOOK_EVERY) {
            made.said = Some(now);
            tracing::warn!(
                "the templates make more than {} pairs of log group and stream: {} records went to the fixed names so far; \
                 hint: leave out of the templates what differs from record to record, or raise `distinct_names_max`",
                self.naming.distinct_max,
                made.elsewhere
            );
        }
    }

    /// Records that went to the fixed names, there being too many others.
    pub(super) fn elsewhere(&self) -> u64 {
        self.made().elsewhere
    }

    /// Something is sent there.
    pub(super) fn touch(&self, key: &str) {
        if let Some(used) = self.made().used.get_mut(key) {
            *used = Instant::now();
        }
    }

    fn push_fixed_stream(&self, tag: &str, key: &mut String) {
        match &self.naming.stream {
            FixedStream::Name(name) => push_stream(name, key),
            FixedStream::Prefix(prefix) => push_stream(&format!("{prefix}{tag}"), key),
        }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Group and stream of a request.
pub(super) fn split_key(key: &str) -> (&str, &str) {
    key.split_once(BORDER).unwrap_or((key, ""))
}

/// A template of an option, checked.
#[allow(clippy::option_option, reason = "as everywhere here the outer one says whether it is right")]
pub(super) fn read_template(
    section: &Section,
    key: &str,
    parse: impl Fn(&str) -> Result<Template, crate::record::AccessorError>,
    report: &mut Report,
) -> Option<Option<Template>> {
    let Some(entry) = section.get(key) else { return Some(None) };
    match parse(&entry.value) {
        Ok(template) => Some(Some(template)),
        Err(error) => {
            let what = format!("option `{key}` of output {}: {error}", section.name);
            report.error(Some(&entry.value_at), what, Some(error.hint().into()));
            None
        }
    }
}

/// `false`, and nothing is appended: there is no template, or something of it is missing.
fn push_template(
    template: Option<&Template>,
    batch: &Batch,
    record: usize,
    key: &mut String,
    push: fn(&str, &mut String),
) -> bool {
    let Some(template) = template else { return false };
    let start = key.len();
    let complete = template.render(batch, record, key) && key.len() > start;
    if !complete {
        key.truncate(start);
        return false;
    }
    let made = &key[start..];
    let is_good = made.bytes().all(is_plain) && made.len() <= NAME_CHARS_MAX && !made.starts_with("aws/");
    if !is_good {
        let name = key.split_off(start);
        push(&name, key);
    }
    true
}

/// Good in both kinds of names.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b'#')
}

/// 1 to 512 of `[.\-_/#A-Za-z0-9]`, not beginning with `aws/`.
fn push_group(name: &str, key: &mut String) {
    let name = name.strip_prefix("aws/").map_or_else(|| name.to_owned(), |rest| format!("aws_{rest}"));
    let valid = |sign: char| if sign.is_ascii() && is_plain(sign as u8) { sign } else { '_' };
    push_or_line(name.chars().map(valid), key);
}

/// 1 to 512 characters, none of `:` and `*`.
fn push_stream(name: &str, key: &mut String) {
    let valid = |sign: char| if matches!(sign, ':' | '*') || sign.is_control() { '_' } else { sign };
    push_or_line(name.chars().map(valid), key);
}

fn push_or_line(name: impl Iterator<Item = char>, key: &mut String) {
    let start = key.len();
    key.extend(name.take(NAME_CHARS_MAX));
    if key.len() == start {
        key.push('_');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(group: Option<&str>, stream: Option<&str>, fixed: FixedStream) -> Names {
        let template = |text: Option<&str>| text.map(|text| Template::parse(text).unwrap());
        let (group_template, stream_template) = (template(group), template(stream));
        Names::new(Naming { group: "/g".into(), group_template, stream: fixed, stream_template, distinct_max: 2 })
    }

    fn draft(tag: &str, wins: bool) -> SourceDraft {
        let mut draft = SourceDraft { tag: tag.into(), ..SourceDraft::default() };
        draft.share("kubernetes", serde_json::json!({"ns": "shop", "app": "a b:*ü", "empty": ""}), wins);
        draft
    }

    fn key(names: &Names, draft: &SourceDraft) -> (bool, String) {
        let mut key = String::new();
        names.of_source(draft, &mut key);
        let of_source = !key.is_empty();
        let mut batch = Batch::new(Arc::new(Source::new(draft.clone(), Vec::new())));
        batch.records.push(Record { shape: Shape::Fields, ..Record::default() });
        let mut of_record = String::new();
        names.of_record(&batch, 0, &mut of_record);
        assert!(!of_source || key == of_record);
        (of_source, of_record.replace('\0', "|"))
    }

    #[test]
    fn names_come_from_templates_or_are_fixed() {
        let prefix = || FixedStream::Prefix("n1-".into());
        let fixed = || FixedStream::Name("s".into());
        for (group, stream, otherwise, expect) in [
            (None, None, prefix(), "/g|n1-kube.a_b"),
            (None, None, fixed(), "/g|s"),
            (Some("/eks/$kubernetes['ns']"), Some("$TAG[0]"), fixed(), "/eks/shop|kube"),
            (Some("/eks/$kubernetes['app']"), Some("$kubernetes['app']"), fixed(), "/eks/a_b___|a b__ü"),
            (Some("$kubernetes['no']"), Some("x-$level"), prefix(), "/g|n1-kube.a_b"),
            (Some("aws/x$TAG[0]"), Some("$kubernetes['empty']"), fixed(), "aws_xkube|s"),
        ] {
            let names = names(group, stream, otherwise);
            assert_eq!(key(&names, &draft("kube.a:b", true)).1, expect, "{group:?} {stream:?}");
        }
    }

    #[test]
    fn a_source_is_asked_where_its_records_cannot_say_otherwise() {
        let names = names(Some("/eks/$kubernetes['ns']"), None, FixedStream::Name("s".into()));
        assert!(key(&names, &draft("t", true)).0);
        assert!(!key(&names, &draft("t", false)).0, "a record may have a field of that name");
    }

    #[test]
    fn names_are_short_enough_and_there_are_not_too_many() {
        let names = names(None, Some("$TAG"), FixedStream::Name("s".into()));
        let long = "x".repeat(600);
        assert_eq!(key(&names, &draft(&long, true)).1.len(), 3 + NAME_CHARS_MAX);
        for (tag, expect) in [("a", "/g\0a"), ("b", "/g\0s"), ("a", "/g\0a")] {
            let mut key = format!("/g\0{tag}");
            names.admit(tag, 5, &mut key);
            assert_eq!(key, expect);
        }
        assert_eq!(names.elsewhere(), 5);
        let (mut made, start) = (Made::default(), Instant::now());
        assert!(made.admits("a", 1, start) && !made.admits("b", 1, start));
        assert!(!made.admits("b", 1, start + LOOK_EVERY - Duration::from_secs(1)), "nobody looks again so soon");
        assert!(made.admits("b", 1, start + IDLE), "the other one is idle");
        names.touch("/g\0a");
        assert_eq!(split_key("/g\0a"), ("/g", "a"));
    }
}
