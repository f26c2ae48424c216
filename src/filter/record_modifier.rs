//! Adds fixed fields, and takes out those that are named or those that are not.
//!
//! ```yaml
//! filters:
//!   - name: record_modifier
//!     match: '*'
//!     record: [cluster prod-eu-1, node "${NODE_NAME}"]
//!     remove_key: [password, x-*]
//! ```
//! Letter case of keys does not count here; a `*` at the end stands for any rest.

use super::words::words_in_double_quotes;
use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{Entry, Report, Section};
use crate::record::{Batch, Field, SourceDraft, Value};
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "record_modifier",
    about: "Adds fixed fields, and takes out those that are named or those that are not.",
    options: &[RecordModifierOptions::OPTIONS],
    deviations: &[RecordModifierOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// Keys to add, to remove or to keep.
    pub struct RecordModifierOptions {
        /// `KEY TEXT`: a field that every record gets; it takes the place of one of that key. A text of several words needs double
        /// quotes.
        record: String, "record", repeated;
        /// A key to take out, a `*` at its end for any rest.
        remove_key: String, "remove_key", repeated;
        /// A key to keep: all others go.
        allowlist_key: String, "allowlist_key", repeated;
        /// The same as `allowlist_key`.
        whitelist_key: String, "whitelist_key", repeated;
        /// A key under which every record gets a random identifier (UUID, version 4).
        uuid_key: String, "uuid_key", optional;
    }
    deviations {
        "`record`": "writes each key once: what was there goes";
        "`allowlist_key`": "leaves out every record that becomes empty, also where all of a chunk do";
    }
}

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = RecordModifierOptions::from_section(section, report)?;
    let add: Vec<_> = section.all("record").filter_map(|entry| pair(section, entry, report)).collect();
    let keep: Vec<Name> =
        options.allowlist_key.iter().chain(&options.whitelist_key).map(|key| Name::new(key)).collect();
    let remove: Vec<Name> = options.remove_key.iter().map(|key| Name::new(key)).collect();
    if !keep.is_empty() && !remove.is_empty() {
        let what = format!("{} has both `remove_key` and `allowlist_key`", section.title());
        let hint = "take one of them out: what is not on the list goes anyway".to_owned();
        report.error(section.get("remove_key").map(|e| &e.key_at), what, Some(hint));
    }
    let keys = Arc::new(Keys { add, keep, remove, uuid: options.uuid_key });
    Some(Box::new(RecordModifier { keys }))
}

/// A key and its text. As in Fluent Bit more words than two are no pair, and only double quotes make one of several.
fn pair(section: &Section, entry: &Entry, report: &mut Report) -> Option<(String, String)> {
    match <[String; 2]>::try_from(words_in_double_quotes(&entry.value)) {
        Ok([key, text]) => Some((key, text)),
        Err(_) => {
            let what = format!("`record {}` of {} is left out", entry.shown_value().trim_matches('`'), section.title());
            let hint = "write `record KEY TEXT`, with a text of several words in double quotes".to_owned();
            report.note(Some(&entry.value_at), what, Some(hint));
            None
        }
    }
}

/// A key without its letter case, maybe with any rest.
#[derive(Debug)]
struct Name {
    key: String,
    any_rest: bool,
}

impl Name {
    fn new(text: &str) -> Self {
        let text = text.trim();
        let key = text.strip_suffix('*');
        Self { key: key.unwrap_or(text).to_owned(), any_rest: key.is_some() }
    }

    fn is(&self, key: &[u8]) -> bool {
        let own = self.key.as_bytes();
        let compared = if self.any_rest { key.get(..own.len()) } else { Some(key) };
        compared.is_some_and(|key| key.eq_ignore_ascii_case(own))
    }
}

#[derive(Debug)]
struct Keys {
    add: Vec<(String, String)>,
    keep: Vec<Name>,
    remove: Vec<Name>,
    uuid: Option<String>,
}

impl Keys {
    fn stays(&self, key: &[u8]) -> bool {
        if self.keep.is_empty() {
            !self.remove.iter().any(|name| name.is(key))
        } else {
            self.keep.iter().any(|name| name.is(key))
        }
    }

    fn filters(&self) -> bool {
        !self.keep.is_empty() || !self.remove.is_empty()
    }
}

struct RecordModifier {
    keys: Arc<Keys>,
}

impl Filter for RecordModifier {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        let keys = &self.keys;
        let shareable = !source.shared_is_final && !keys.add.iter().any(|(key, _)| source.is_virtual(key));
        if shareable && !keys.filters() && keys.uuid.is_none() {
            for (key, text) in &keys.add {
                source.share(key, text.as_str().into(), true);
            }
            return Plan::Pass;
        }
        let about = |key: &str| !keys.stays(key.as_bytes()) || keys.add.iter().any(|(own, _)| own == key);
        let touches_shared = source.shared.iter().any(|s| about(&s.key));
        let seed = RandomState::new().hash_one(0);
        Plan::Each(Box::new(Modify { keys: Arc::clone(keys), touches_shared, constants: Vec::new(), seed }))
    }
}

struct Modify {
    keys: Arc<Keys>,
    touches_shared: bool,
    constants: Vec<Field>,
    seed: u64,
}

impl Modify {
    /// Enough to tell records apart; nothing that must be kept secret hangs on it.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn push_uuid(&mut self, batch: &mut Batch, record: usize, key: &str) {
        let (high, low) = (self.random(), self.random());
        let high = high & !0xF000 | 0x4000;
        let low = low & !(3 << 62) | 2 << 62;
        let mut text = String::with_capacity(36);
        // Writing into a String cannot fail.
        let _ = write!(text, "{:08x}-{:04x}-{:04x}-", high >> 32, high >> 16 & 0xFFFF, high & 0xFFFF);
        let _ = write!(text, "{:04x}-{:012x}", low >> 48, low & 0xFFFF_FFFF_FFFF);
        let field = Field { key: batch.intern(key.as_bytes()), value: Value::Text(batch.append(text.as_bytes())) };
        batch.set_field(record, field);
    }
}

impl Each for Modify {
    fn apply(&mut self, batch: &mut Batch) {
        let keys = Arc::clone(&self.keys);
        self.constants.clear();
        for (key, text) in &keys.add {
            let field = Field { key: batch.intern(key.as_bytes()), value: Value::Text(batch.intern(text.as_bytes())) };
            self.constants.push(field);
        }
        for record in 0..batch.records.len() {
            batch.own_fields(record);
            if self.touches_shared {
                batch.own_shared(record);
            }
            if keys.filters() {
                batch.retain_fields(record, |batch, field| keys.stays(batch.bytes(field.key)));
            }
            for field in &self.constants {
                batch.set_field(record, *field);
            }
            if let Some(key) = &keys.uuid {
                self.push_uuid(batch, record, key);
            }
        }
        if !keys.keep.is_empty() {
            batch.retain(|batch, at| {
                let record = &batch.records[at];
                record.fields_start < record.fields_end || !batch.shared_of(record).is_empty()
            });
        }
    }

    fn owns_shared(&self) -> bool {
        self.touches_shared
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn fields_come_and_go() {
        for (options, record, expect) in [
            (
                "record: [a 1, 'b \"two words\"', left out here]",
                r#"{"b":0,"c":1}"#,
                r#"{"c":1,"a":"1","b":"two words"}"#,
            ),
            ("remove_key: [X-*, b]", r#"{"x-a":1,"B":2,"x":3}"#, r#"{"x":3}"#),
            ("{allowlist_key: [a*], record: n 1}", r#"{"A":1,"b":2}"#, r#"{"A":1,"n":"1"}"#),
            ("whitelist_key: a", r#"{"b":2}"#, ""),
        ] {
            check("record_modifier", options, record, expect);
        }
    }
}
