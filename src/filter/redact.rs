//! Takes secrets out of records: keys, tokens, addresses, card numbers.
//!
//! ```yaml
//! filters:
//!   - name: redact
//!     match: '*'
//!     kinds: aws_key, bearer, jwt, private_key, email, card
//!     expression: order ORD-[0-9]{8}
//! ```
//! What is found becomes `[REDACTED:kind]`, in the text and in all fields, also deep in maps. What the source shares (labels, paths)
//! stays. One look over a whole batch says where anything of it can be at all.

mod kinds;
mod scan;

use super::words::{Split, of_entry, report_wrong};
use super::{Each, Filter, FilterConfig, FilterPlugin, Measure, Measured, Plan};
use crate::config::{List, Report, Section, nearest};
use crate::record::{Batch, Shape, SourceDraft, Span, Value, json, json_read};
use kinds::{Finder, KINDS};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "redact",
    about: "Takes secrets out of records.",
    options: &[RedactOptions::OPTIONS],
    deviations: &[RedactOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// What is taken out.
    pub struct RedactOptions {
        /// Which of the known kinds: aws_key, bearer, jwt, private_key, email, card; `none` for none of them.
        kinds: List, "kinds", default "aws_key, bearer, jwt, private_key, email, card";
        /// `NAME EXPRESSION`: a kind of one's own.
        expression: String, "expression", repeated;
    }
    deviations {
        "the filter": "is drave's own";
    }
}

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = RedactOptions::from_section(section, report)?;
    let mut finders = Vec::new();
    for name in options.kinds.0.iter().filter(|name| !name.eq_ignore_ascii_case("none")) {
        match KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name)) {
            Some(kind) => finders.extend(Finder::of_kind(kind)),
            None => {
                let names = KINDS.iter().map(|kind| kind.name);
                let hint = match nearest(name, names.clone()) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("kinds: {}", names.collect::<Vec<_>>().join(", ")),
                };
                let at = section.get("kinds").map(|e| &e.value_at);
                report.error(at, format!("{} knows no kind `{name}`", section.title()), Some(hint));
            }
        }
    }
    for entry in section.all("expression") {
        let Some(words) = of_entry(section, entry, (Split::Rest, 2..=2), "NAME EXPRESSION", report) else { continue };
        match Finder::own(&words[0], &words[1]) {
            Ok(finder) => finders.push(finder),
            Err(error) => {
                let why = format!("has no regular expression: {error}");
                report_wrong(section, entry, &why, "a dot that stands for itself is written as \\.", report);
            }
        }
    }
    let anywhere = finders.iter().any(Finder::is_own);
    Some(Box::new(Redact { finders: Arc::new(Finders { list: finders, anywhere }) }))
}

struct Finders {
    list: Vec<Finder>,
    /// One of them can find something where no place is seen.
    anywhere: bool,
}

impl Finders {
    /// Could there be anything?
    fn may_have(&self, text: &[u8], places: &mut Vec<u32>) -> bool {
        places.clear();
        if !self.anywhere {
            scan::push_places(text, 0, places);
        }
        self.anywhere || !places.is_empty()
    }

    /// Writes a text without what is in it; `false` when there was nothing.
    fn redact(&self, text: &[u8], out: &mut Vec<u8>, spare: &mut Vec<u8>) -> bool {
        out.clear();
        out.extend_from_slice(text);
        let mut any = false;
        for finder in &self.list {
            if finder.replace(out, spare) {
                std::mem::swap(out, spare);
                any = true;
            }
        }
        any
    }

    /// The same for JSON: only what stands in quotes is looked at.
    fn redact_json(&self, json: &[u8], out: &mut Vec<u8>, spare: &mut Spare) -> bool {
        out.clear();
        let (mut at, mut copied, mut any) = (0, 0, false);
        while let Some(open) = memchr::memchr(b'"', &json[at..]) {
            let start = at + open + 1;
            let Some(len) = string_len(&json[start..]) else { break };
            let inner = &json[start..start + len];
            let Spare { text, spare, plain, places } = spare;
            // What is escaped is looked at as what it means.
            let is_escaped = memchr::memchr(b'\\', inner).is_some();
            plain.clear();
            let inner = match is_escaped.then(|| json_read::unescape(inner, plain)) {
                Some(Some(())) => plain.as_slice(),
                _ => inner,
            };
            if self.may_have(inner, places) && self.redact(inner, text, spare) {
                out.extend_from_slice(&json[copied..start]);
                json::push_escaped(out, text);
                copied = start + len;
                any = true;
            }
            at = start + len + 1;
        }
        out.extend_from_slice(&json[copied..]);
        any
    }
}

/// Bytes up to the quote that closes a string.
fn string_len(inner: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', inner.get(at..)?)?;
        if inner[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

struct Redact {
    finders: Arc<Finders>,
}

impl Filter for Redact {
    fn plan(&mut self, _: &mut SourceDraft) -> Plan {
        let finders = Arc::clone(&self.finders);
        let (places, out, spare) = (Vec::new(), Vec::new(), Spare::default());
        Plan::Each(Box::new(RedactEach { finders, places, out, spare }))
    }

    fn measures(&self) -> Vec<Measure<'_>> {
        let count = |finder: &'_ Finder| finder.found.load(Ordering::Relaxed) as f64;
        let measure = |f| Measure { what: Measured::Redacted, label: Some(Finder::name(f)), value: count(f) };
        self.finders.list.iter().map(measure).collect()
    }
}

/// Memory for what is found.
#[derive(Default)]
struct Spare {
    text: Vec<u8>,
    spare: Vec<u8>,
    plain: Vec<u8>,
    places: Vec<u32>,
}

struct RedactEach {
    finders: Arc<Finders>,
    /// Where in the batch something may be.
    places: Vec<u32>,
    out: Vec<u8>,
    spare: Spare,
}

impl RedactEach {
    /// Looks over the batch; where its records are only a few of those that its text once were, over what is theirs.
    fn look(&mut self, batch: &Batch) {
        self.places.clear();
        let mut bytes = 0;
        each_span(batch, |span| bytes += span.len as usize);
        if bytes * 4 >= batch.text.len() {
            scan::push_places(&batch.text, 0, &mut self.places);
        } else {
            each_span(batch, |span| scan::push_places(batch.bytes(span), span.start, &mut self.places));
        }
        self.places.sort_unstable();
    }

    fn may_have(&self, span: Span) -> bool {
        let next = self.places.partition_point(|place| *place < span.start);
        self.finders.anywhere || self.places.get(next).is_some_and(|place| *place < span.start + span.len)
    }

    fn text(&mut self, batch: &mut Batch, text: Span) -> Option<Span> {
        let found = self.may_have(text) && self.finders.redact(batch.bytes(text), &mut self.out, &mut self.spare.spare);
        found.then(|| batch.append(&self.out))
    }

    fn json(&mut self, batch: &mut Batch, json: Span) -> Option<Span> {
        let bytes = batch.bytes(json);
        let is_text = matches!(bytes.first(), Some(b'"' | b'{' | b'['));
        // An escape may hide what is looked for.
        let may_have = || memchr::memchr(b'\\', bytes).is_some() || self.may_have(json);
        let found = is_text && may_have() && self.finders.redact_json(bytes, &mut self.out, &mut self.spare);
        found.then(|| batch.append(&self.out))
    }
}

/// Hands out the texts and values of all records.
fn each_span(batch: &Batch, mut take: impl FnMut(Span)) {
    for record in &batch.records {
        if record.shape != Shape::Fields {
            take(record.text);
        }
        for field in batch.fields_of(record) {
            let (Value::Text(span) | Value::Json(span)) = field.value;
            take(span);
        }
    }
}

impl Each for RedactEach {
    fn apply(&mut self, batch: &mut Batch) {
        if !self.finders.anywhere {
            self.look(batch);
            // Fields may hide something behind an escape.
            if self.places.is_empty() && batch.fields.is_empty() {
                return;
            }
        }
        for record in 0..batch.records.len() {
            let before = batch.records[record];
            if before.shape != Shape::Fields
                && let Some(text) = self.text(batch, before.text)
            {
                batch.records[record].text = text;
            }
            for at in before.fields_start as usize..before.fields_end as usize {
                let new = match batch.fields[at].value {
                    Value::Text(span) => self.text(batch, span).map(Value::Text),
                    Value::Json(span) => self.json(batch, span).map(Value::Json),
                };
                if let Some(value) = new {
                    batch.fields[at].value = value;
                }
            }
        }
    }

    fn adds_fields(&self) -> bool {
        false
    }

    fn owns_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Chain, check};

    #[test]
    fn secrets_are_taken_out() {
        for (record, expect) in [
            (r#"{"a":"key AKIAIOSFODNN7EXAMPLE."}"#, r#"{"a":"key [REDACTED:aws_key]."}"#),
            (
                r#"{"a":"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}"#,
                r#"{"a":"aws_secret_access_key = [REDACTED:aws_key]"}"#,
            ),
            (r#"{"a":"Authorization: Bearer abc.def-123_x~y"}"#, r#"{"a":"Authorization: Bearer [REDACTED:bearer]"}"#),
            (r#"{"a":"t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl ok"}"#, r#"{"a":"t=[REDACTED:jwt] ok"}"#),
            (
                r#"{"a":"-----BEGIN RSA PRIVATE KEY-----\nMIIB\nAAA\n-----END RSA PRIVATE KEY-----\n"}"#,
                r#"{"a":"[REDACTED:private_key]\n"}"#,
            ),
            (r#"{"a":"mail ada.l+x@example.co.uk now"}"#, r#"{"a":"mail [REDACTED:email] now"}"#),
            (r#"{"a":"4111 1111 1111 1111"}"#, r#"{"a":"[REDACTED:card]"}"#),
            (r#"{"a":"4111-1111-1111-1112"}"#, r#"{"a":"4111-1111-1111-1112"}"#),
            (r#"{"a":"x1709287200125000000"}"#, r#"{"a":"x1709287200125000000"}"#),
            (r#"{"a":4111111111111111}"#, r#"{"a":4111111111111111}"#),
            (r#"{"a":{"b":["x@y.org",1],"c@d.org":2}}"#, r#"{"a":{"b":["[REDACTED:email]",1],"[REDACTED:email]":2}}"#),
            (r#"{"a":"hello\nada@example.org"}"#, r#"{"a":"hello\n[REDACTED:email]"}"#),
            (r#"{"a":"\tAKIAIOSFODNN7EXAMPLE\""}"#, r#"{"a":"\t[REDACTED:aws_key]\""}"#),
            (r#"{"a":"ada\u0040example.org \\ ok"}"#, r#"{"a":"[REDACTED:email] \\ ok"}"#),
            (r#"{"a":"ORD-12"}"#, r#"{"a":"[REDACTED:order]"}"#),
            (r#"{"a":"nothing \"here\" @ all"}"#, r#"{"a":"nothing \"here\" @ all"}"#),
        ] {
            check("redact", "expression: 'order ORD-[0-9]+'", record, expect);
        }
    }

    #[test]
    fn a_few_records_of_many_are_looked_at_alone() {
        let record = |n: usize| format!(r#"{{"keep":"{}","a":"{n}@example.org"}}"#, if n == 20 { "yes" } else { "no" });
        let mut chain = Chain::new(&[("grep", "regex: keep yes"), ("redact", "kinds: email")]);
        let left = chain.run_all(&(0..40).map(record).collect::<Vec<_>>());
        assert_eq!(left, [r#"{"keep":"yes","a":"[REDACTED:email]"}"#]);
    }

    #[test]
    fn what_was_found_is_counted_by_its_kind() {
        let mut chain = Chain::new(&[("redact", "kinds: 'email, card'")]);
        chain.run(r#"{"a":"a@b.org c@d.org","b":"4111111111111111","c":"AKIAIOSFODNN7EXAMPLE"}"#);
        let measures = chain.filters[0].measures();
        let counted: Vec<_> = measures.iter().map(|m| (m.label, m.value)).collect();
        assert_eq!(counted, [(Some("email"), 2.0), (Some("card"), 1.0)]);
    }
}
