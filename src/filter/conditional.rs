//! A processor's `condition`: only records that fulfil it are changed, the others pass as they are.
//!
//! ```yaml
//! condition:
//!   op: and
//!   rules:
//!     - { field: $level, op: in, value: [warn, error] }
//!     - { field: $status, op: gte, value: 500 }
//! ```
//! A field that is missing counts as an empty text. Numbers are compared as numbers, also where the field is text.

use super::convert::Scalar;
use super::{Each, Filter, FilterContext, LeaveOut, Measure, Plan};
use crate::record::{Accessor, Batch, Expression, Record, SourceDraft};
use futures_util::future::BoxFuture;
use serde_json::Value as Json;
use std::sync::Arc;

/// What must be so of a record.
#[derive(Debug)]
pub struct Condition {
    all: bool,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    field: Accessor,
    test: Test,
    wanted: bool,
}

#[derive(Debug)]
enum Test {
    /// Is one of these; a number where the text is one.
    In(Vec<(String, Option<f64>)>),
    Compare(fn(&f64, &f64) -> bool, f64),
    Matches(Expression),
    Exists,
}

const OPERATIONS: &str = "eq, neq, gt, gte, lt, lte, regex, not_regex, in, not_in, exists or not_exists";

impl Condition {
    /// Reads a condition, written as JSON.
    ///
    /// # Errors
    /// What is wrong with it, and the remedy.
    pub fn parse(json: &str) -> Result<Self, (String, String)> {
        let shape = || "write `op: and` (or `or`) and `rules`, each with field, op and value".to_owned();
        let wrong = |what: &str| (what.to_owned(), shape());
        let json: Json = serde_json::from_str(json).map_err(|_| wrong("is no mapping"))?;
        let all = match json.get("op").and_then(Json::as_str).unwrap_or("and").to_ascii_lowercase().as_str() {
            "and" => true,
            "or" => false,
            _ => return Err(wrong("has an unknown `op`")),
        };
        let rules = json.get("rules").and_then(Json::as_array).ok_or_else(|| wrong("has no `rules`"))?;
        let rules = rules.iter().map(Rule::new).collect::<Result<_, _>>()?;
        Ok(Self { all, rules })
    }

    fn holds(&self, batch: &Batch, record: usize, texts: &mut Texts) -> bool {
        let mut holds = self.rules.iter().map(|rule| rule.holds(batch, record, texts));
        if self.all { holds.all(|holds| holds) } else { holds.any(|holds| holds) }
    }
}

/// Memory for a value as text: its escapes resolved, and a number written.
type Texts = [Vec<u8>; 2];

impl Rule {
    fn new(rule: &Json) -> Result<Self, (String, String)> {
        let field = rule.get("field").and_then(Json::as_str).unwrap_or_default();
        let field =
            Accessor::parse(field).map_err(|e| (format!("has a rule without a field: {e}"), e.hint().to_owned()))?;
        let name = rule.get("op").and_then(Json::as_str).unwrap_or_default().to_ascii_lowercase();
        let value = rule.get("value").unwrap_or(&Json::Null);
        let number =
            || number_of(value).ok_or_else(|| (format!("has no number for `{name}`"), "write `value: 500`".to_owned()));
        let (test, wanted) = match name.as_str() {
            "eq" => (Test::In(vec![text_of(value)]), true),
            "neq" => (Test::In(vec![text_of(value)]), false),
            "in" | "not_in" => (Test::In(value.as_array().into_iter().flatten().map(text_of).collect()), name == "in"),
            "gt" => (Test::Compare(f64::gt, number()?), true),
            "gte" => (Test::Compare(f64::ge, number()?), true),
            "lt" => (Test::Compare(f64::lt, number()?), true),
            "lte" => (Test::Compare(f64::le, number()?), true),
            "regex" | "not_regex" => {
                let hint = "a dot that stands for itself is written as \\.".to_owned();
                let expression = Expression::new(&text_of(value).0);
                let expression = expression.map_err(|e| (format!("has no regular expression: {e}"), hint))?;
                (Test::Matches(expression), name == "regex")
            }
            "exists" | "not_exists" => (Test::Exists, name == "exists"),
            _ => return Err((format!("has a rule with the unknown op `{name}`"), format!("write {OPERATIONS}"))),
        };
        Ok(Self { field, test, wanted })
    }

    fn holds(&self, batch: &Batch, record: usize, [plain, written]: &mut Texts) -> bool {
        let found = self.field.find(batch, record);
        let scalar = found.and_then(|found| Scalar::of(found, plain));
        let holds = match &self.test {
            Test::Exists => found.is_some(),
            Test::Matches(expression) => expression.is_match(scalar.map_or(b"", |scalar| scalar.text(written))),
            Test::Compare(compare, number) => scalar.and_then(Scalar::float).is_some_and(|own| compare(&own, number)),
            Test::In(values) => {
                let own = scalar.unwrap_or(Scalar::Text(b""));
                let number = if matches!(own, Scalar::Text(_)) { None } else { own.float() };
                let text = own.text(written);
                values.iter().any(|(other, other_number)| match number.zip(*other_number) {
                    Some((own, other)) => own == other,
                    None => text == other.as_bytes(),
                })
            }
        };
        holds == self.wanted
    }
}

fn text_of(value: &Json) -> (String, Option<f64>) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    (text, number_of(value))
}

fn number_of(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A filter that only sees records that fulfil a condition.
pub struct Conditional {
    /// What must be so.
    pub condition: Arc<Condition>,
    /// What is done then.
    pub filter: Box<dyn Filter>,
}

impl Filter for Conditional {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        // It must not change what is shared: that would be for all records.
        let is_final = std::mem::replace(&mut source.shared_is_final, true);
        let plan = self.filter.plan(source);
        source.shared_is_final = is_final;
        let each: Box<dyn Each> = match plan {
            Plan::Each(each) => each,
            Plan::Drop(_) => Box::new(LeaveOut),
            plan => return plan,
        };
        Plan::Each(Box::new(ConditionalEach {
            condition: Arc::clone(&self.condition),
            each,
            holds: Vec::new(),
            texts: Texts::default(),
            all: Vec::new(),
            done: Vec::new(),
        }))
    }

    fn measures(&self) -> Vec<Measure<'_>> {
        self.filter.measures()
    }

    fn reroutes(&self) -> bool {
        self.filter.reroutes()
    }

    fn task(&mut self, context: FilterContext) -> Option<BoxFuture<'static, ()>> {
        self.filter.task(context)
    }
}

struct ConditionalEach {
    condition: Arc<Condition>,
    each: Box<dyn Each>,
    /// Of each record, whether the condition does.
    holds: Vec<bool>,
    texts: Texts,
    all: Vec<Record>,
    done: Vec<Record>,
}

impl Each for ConditionalEach {
    /// Runs of neighbours go through the filter, so that the order stays.
    fn apply(&mut self, batch: &mut Batch) {
        let holds = |record| self.condition.holds(batch, record, &mut self.texts);
        self.holds.clear();
        self.holds.extend((0..batch.records.len()).map(holds));
        self.done.clear();
        self.all.clear();
        self.all.append(&mut batch.records);
        let mut from = 0;
        for run in self.holds.chunk_by(|a, b| a == b) {
            let records = &self.all[from..from + run.len()];
            from += run.len();
            if run[0] {
                batch.records.extend_from_slice(records);
                self.each.apply(batch);
                self.done.append(&mut batch.records);
            } else {
                self.done.extend_from_slice(records);
            }
        }
        batch.records.append(&mut self.done);
    }

    fn owns_shared(&self) -> bool {
        self.each.owns_shared()
    }

    fn adds_fields(&self) -> bool {
        self.each.adds_fields()
    }

    fn reroutes(&self) -> bool {
        self.each.reroutes()
    }

    fn parses(&self) -> bool {
        self.each.parses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parser;
    use crate::record::Source;

    fn check(rules: &str, record: &str, expect: bool) {
        let condition = Condition::parse(&format!("{{\"rules\":[{rules}]}}")).expect(rules);
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        let text = batch.append(record.as_bytes());
        batch.records.push(Record { text, ..Record::default() });
        parser("json", &[]).expect("it is built in").parse(&mut batch, 0).expect("JSON");
        assert_eq!(condition.holds(&batch, 0, &mut Texts::default()), expect, "{rules} on {record}");
    }

    #[test]
    fn rules_compare_texts_and_numbers() {
        for (rule, holds, does_not) in [
            (r#"{"field":"$a","op":"eq","value":500}"#, r#"{"a":500.0}"#, r#"{"a":501}"#),
            (r#"{"field":"$a","op":"eq","value":"x"}"#, r#"{"a":"x"}"#, "{}"),
            (r#"{"field":"$a","op":"eq","value":""}"#, "{}", r#"{"a":"x"}"#),
            (r#"{"field":"$a","op":"neq","value":"x"}"#, "{}", r#"{"a":"x"}"#),
            (r#"{"field":"$a","op":"gte","value":500}"#, r#"{"a":500}"#, r#"{"a":499}"#),
            (r#"{"field":"$a","op":"lt","value":"0.5"}"#, r#"{"a":"0.25"}"#, "{}"),
            (r#"{"field":"$a['b']","op":"in","value":["x",2]}"#, r#"{"a":{"b":2}}"#, r#"{"a":{"b":"y"}}"#),
            (r#"{"field":"$a","op":"not_in","value":["x"]}"#, r#"{"a":"y"}"#, r#"{"a":"x"}"#),
            (r#"{"field":"$a","op":"regex","value":"^x"}"#, r#"{"a":"xy"}"#, "{}"),
            (r#"{"field":"$a","op":"not_regex","value":"^x"}"#, "{}", r#"{"a":"xy"}"#),
            (r#"{"field":"$a","op":"exists"}"#, r#"{"a":null}"#, "{}"),
        ] {
            check(rule, holds, true);
            check(rule, does_not, false);
        }
    }

    #[test]
    fn mistakes_are_said() {
        for (text, expect) in [
            ("x", "is no mapping"),
            ("{}", "has no `rules`"),
            (r#"{"op":"xor","rules":[]}"#, "has an unknown `op`"),
            (r#"{"rules":[{"field":"$a","op":"like"}]}"#, "has a rule with the unknown op `like`"),
            (r#"{"rules":[{"field":"$a","op":"gt","value":"x"}]}"#, "has no number for `gt`"),
        ] {
            assert_eq!(Condition::parse(text).map(drop).map_err(|(what, _)| what), Err(expect.to_owned()), "{text}");
        }
    }
}
