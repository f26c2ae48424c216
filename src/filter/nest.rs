//! Puts fields into a map, or lifts those of a map up.
//!
//! ```text
//! operation nest, wildcard k8s_*, nest_under k8s, remove_prefix k8s_    {"k8s_pod":"a"} → {"k8s":{"pod":"a"}}
//! operation lift, nested_under k8s, add_prefix k8s_                     {"k8s":{"pod":"a"}} → {"k8s_pod":"a"}
//! ```

use super::{Each, Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{OptionValue, Report, Section};
use crate::record::json_read::{self, Member};
use crate::record::{Batch, Field, Found, SourceDraft, Span, Value, json};
use serde_json::Value as Json;
use std::sync::Arc;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "nest",
    about: "Puts fields into a map, or lifts those of a map up.",
    options: &[NestOptions::OPTIONS],
    deviations: &[NestOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// Which fields, and where to.
    pub(super) struct NestOptions {
        /// `nest` puts fields into a map, `lift` takes them out.
        operation: Operation, "operation", required;
        /// For `nest`: a key, or with `*` at its end the beginning of keys; those fields go into the map.
        wildcard: String, "wildcard", repeated;
        /// For `nest`: the key of the map. `nested_under` says it, too.
        nest_under: String, "nest_under", optional;
        /// For `lift`: the key of the map. `nest_under` says it, too.
        nested_under: String, "nested_under", optional;
        /// What is put before the keys of the fields that are moved.
        add_prefix: String, "add_prefix", optional;
        /// What is taken off the keys of the fields that are moved.
        remove_prefix: String, "remove_prefix", optional;
    }
    deviations {
        "a key that is there already": "is written once: what is moved takes its place";
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Into a map.
    Nest,
    /// Out of a map.
    Lift,
}

impl OptionValue for Operation {
    const KIND: &'static str = "nest|lift";
    const WORDS: &'static [&'static str] = &["nest", "lift"];
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "nest" => Ok(Self::Nest),
            "lift" => Ok(Self::Lift),
            _ => Err("expected nest or lift".into()),
        }
    }
}

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = NestOptions::from_section(section, report)?;
    let (name, under) = match options.operation {
        Operation::Nest => ("nest_under", options.nest_under.or(options.nested_under)),
        Operation::Lift => ("nested_under", options.nested_under.or(options.nest_under)),
    };
    let Some(under) = under.filter(|key| !key.is_empty()) else {
        let what = format!("{} needs the option `{name}`", section.title());
        report.error(Some(&section.at), what, Some("it is the key of the map".into()));
        return None;
    };
    let nest = Nest {
        under,
        wildcards: options.wildcard.iter().map(|text| text.trim().to_owned()).collect(),
        add_prefix: options.add_prefix.unwrap_or_default(),
        remove_prefix: options.remove_prefix.unwrap_or_default(),
    };
    Some(match options.operation {
        Operation::Nest => Box::new(NestFilter(Arc::new(nest))),
        Operation::Lift => Box::new(LiftFilter(Arc::new(nest))),
    })
}

#[derive(Debug)]
struct Nest {
    under: String,
    wildcards: Vec<String>,
    add_prefix: String,
    remove_prefix: String,
}

impl Nest {
    fn takes(&self, key: &[u8]) -> bool {
        self.wildcards.iter().any(|wildcard| match wildcard.strip_suffix('*') {
            Some(start) => key.starts_with(start.as_bytes()),
            None => key == wildcard.as_bytes(),
        })
    }

    /// The new key, in two parts.
    fn key<'k>(&'k self, key: &'k [u8]) -> (&'k [u8], &'k [u8]) {
        (self.add_prefix.as_bytes(), key.strip_prefix(self.remove_prefix.as_bytes()).unwrap_or(key))
    }
}

struct NestFilter(Arc<Nest>);

impl Filter for NestFilter {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        let touches_shared = source.shared.iter().any(|s| self.0.takes(s.key.as_bytes()) || s.key == self.0.under);
        let (nest, map, key) = (Arc::clone(&self.0), Vec::new(), Vec::new());
        Plan::Each(Box::new(NestEach { nest, touches_shared, map, key }))
    }
}

struct NestEach {
    nest: Arc<Nest>,
    touches_shared: bool,
    map: Vec<u8>,
    key: Vec<u8>,
}

impl Each for NestEach {
    fn apply(&mut self, batch: &mut Batch) {
        let under = batch.intern(self.nest.under.as_bytes());
        for record in 0..batch.records.len() {
            let (nest, map, key) = (&self.nest, &mut self.map, &mut self.key);
            let mut any = false;
            batch.each_member(record, &mut |key, _| any |= nest.takes(key));
            if !any {
                continue;
            }
            batch.own_fields(record);
            if self.touches_shared {
                batch.own_shared(record);
            }
            map.clear();
            map.push(b'{');
            for field in batch.fields_of(&batch.records[record]).iter().filter(|f| nest.takes(batch.bytes(f.key))) {
                if map.len() > 1 {
                    map.push(b',');
                }
                let (prefix, rest) = nest.key(batch.bytes(field.key));
                key.clear();
                key.extend_from_slice(prefix);
                key.extend_from_slice(rest);
                json::push_string(map, key);
                map.push(b':');
                batch.found(field.value).push_json(map);
            }
            map.push(b'}');
            batch.retain_fields(record, |batch, field| !nest.takes(batch.bytes(field.key)));
            let value = Value::Json(batch.append(map));
            batch.remove_key(record, nest.under.as_bytes());
            batch.push_field(record, Field { key: under, value });
        }
    }

    fn owns_shared(&self) -> bool {
        self.touches_shared
    }
}

struct LiftFilter(Arc<Nest>);

impl Filter for LiftFilter {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        let nest = &self.0;
        let Some(at) = source.shared.iter().position(|s| s.key == nest.under) else {
            return Plan::Each(Box::new(Lift { nest: Arc::clone(nest), touches_shared: false, members: Vec::new() }));
        };
        let keys = |map: &serde_json::Map<String, Json>| map.keys().map(|key| nest.new_key(key)).collect::<Vec<_>>();
        let hidden = &source.shared[at];
        let lifted = hidden.value.as_object().map(keys).unwrap_or_default();
        if source.shared_is_final || !(hidden.wins || source.is_bare) || lifted.iter().any(|key| source.is_virtual(key))
        {
            return Plan::Each(Box::new(Lift { nest: Arc::clone(nest), touches_shared: true, members: Vec::new() }));
        }
        if let Json::Object(map) = &source.shared[at].value {
            let map = map.clone();
            source.shared.remove(at);
            for (key, value) in map {
                source.share(&nest.new_key(&key), value, true);
            }
        }
        if !source.may_have(&nest.under) {
            return Plan::Pass;
        }
        Plan::Each(Box::new(LeaveOut { key: nest.under.clone() }))
    }
}

impl Nest {
    fn new_key(&self, key: &str) -> String {
        let rest = key.strip_prefix(self.remove_prefix.as_str()).unwrap_or(key);
        format!("{}{rest}", self.add_prefix)
    }
}

/// What is shared was lifted for all; a record's own map of that name was hidden by it, and stays out.
struct LeaveOut {
    key: String,
}

impl Each for LeaveOut {
    fn apply(&mut self, batch: &mut Batch) {
        for record in 0..batch.records.len() {
            batch.remove_key(record, self.key.as_bytes());
        }
    }

    fn owns_shared(&self) -> bool {
        false
    }
}

struct Lift {
    nest: Arc<Nest>,
    touches_shared: bool,
    members: Vec<Member>,
}

impl Lift {
    fn lift(&mut self, batch: &mut Batch, record: usize) {
        let nest = Arc::clone(&self.nest);
        let key = nest.under.as_bytes();
        if !matches!(batch.find(record, key), Some(Found::Json([b'{', ..]))) {
            return;
        }
        if self.touches_shared {
            batch.own_shared(record);
        }
        batch.own_fields(record);
        let Some(at) = batch.field_at(record, key) else { return };
        let Value::Json(map) = batch.fields[at].value else { return };
        batch.remove_key(record, key);
        self.members.clear();
        json_read::object(batch.bytes(map), |member| self.members.push(member));
        for member in &self.members {
            let inside = |(start, end): (usize, usize)| Span::new(map.start as usize + start, map.start as usize + end);
            let mut key = inside(member.key);
            if member.key_escaped {
                let (from, start) = (key.start as usize..(key.start + key.len) as usize, batch.text.len());
                if json_read::unescape_within(&mut batch.text, from).is_some() {
                    key = Span::new(start, batch.text.len());
                }
            }
            let cut = key.len - nest.key(batch.bytes(key)).1.len() as u32;
            let mut span = Span { start: key.start + cut, len: key.len - cut };
            if !nest.add_prefix.is_empty() {
                let start = batch.text.len();
                batch.text.extend_from_slice(nest.add_prefix.as_bytes());
                batch.text.extend_from_within(span.start as usize..(span.start + span.len) as usize);
                span = Span::new(start, batch.text.len());
            }
            batch.set_field(record, Field { key: span, value: Value::Json(inside(member.value)) });
        }
    }
}

impl Each for Lift {
    fn apply(&mut self, batch: &mut Batch) {
        for record in 0..batch.records.len() {
            self.lift(batch, record);
        }
    }

    /// What is lifted may be the key of something shared.
    fn owns_shared(&self) -> bool {
        self.touches_shared
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, run};

    #[test]
    fn fields_are_nested_and_lifted() {
        // Each of both names of the map's key is good for both.
        let nest = "{operation: nest, wildcard: ['a_*', c], nested_under: m, remove_prefix: a_}";
        for (options, record, expect) in [
            (nest, r#"{"a_x":1,"c":{"d":2},"e":"f"}"#, r#"{"e":"f","m":{"x":1,"c":{"d":2}}}"#),
            (nest, r#"{"e":"f"}"#, r#"{"e":"f"}"#),
            (
                "{operation: lift, nested_under: m, add_prefix: p_}",
                r#"{"m":{"x":1,"y":"z"}}"#,
                r#"{"p_x":1,"p_y":"z"}"#,
            ),
            ("{operation: lift, nested_under: m}", r#"{"x":0,"m":{"x":1}}"#, r#"{"x":1}"#),
            ("{operation: lift, nested_under: m}", r#"{"m":"text"}"#, r#"{"m":"text"}"#),
            ("{operation: lift, nested_under: m, remove_prefix: x}", r#"{"m":{"xy":1,"x\"":2}}"#, r#"{"y":1,"\"":2}"#),
        ] {
            check("nest", options, record, expect);
        }
    }

    #[test]
    fn what_is_nested_and_lifted_again_is_the_same() {
        let nest = "{operation: nest, wildcard: 'a*', nest_under: m, remove_prefix: a}";
        let lift = "{operation: lift, nested_under: m, add_prefix: a}";
        proptest::proptest!(|(members in proptest::collection::btree_map("[ab]\\PC{0,3}", "\\PC{0,5}", 0..6))| {
            let record = serde_json::to_string(&members).expect("JSON");
            let back = run(&[("nest", nest), ("nest", lift)], &record);
            let back: std::collections::BTreeMap<String, String> = serde_json::from_str(&back).expect("JSON");
            proptest::prop_assert_eq!(back, members);
        });
    }
}
