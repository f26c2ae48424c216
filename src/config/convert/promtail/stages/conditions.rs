//! `drop` and `match`: records for which something holds.

use super::super::selector::{self, Kind, Test};
use super::{Converter, Node, Outcome, Read, Stream, Value, near, pattern, same, unsupported};
use regex::Regex;

/// A field and the expression that must match in it.
type Condition = (String, String);

/// Combinations that are written out.
const COMBINATIONS_MAX: usize = 12;

impl Converter<'_, '_> {
    pub(super) fn drop_stage(&mut self, node: &Node, stream: &mut Stream) -> Outcome {
        for (key, why) in [
            ("older_than", "`ignore_older` of the input leaves files out that were not written to for so long"),
            ("longer_than", "`skip_long_lines` of the input leaves lines over `buffer_max_size` out"),
        ] {
            if node.get(key).is_some_and(|node| !node.is_null()) {
                return unsupported(format!("{key}: {why}"));
            }
        }
        let sources = node.get("source").map(Read::texts).unwrap_or_default();
        let field = match &sources[..] {
            [] => "log".to_owned(),
            [name] => match stream.named(name).as_ref().and_then(Value::as_field) {
                Some(field) => field.to_owned(),
                None => return unsupported(format!("no stage that could be converted extracts {name}")),
            },
            _ => return unsupported("several sources at once; make a `grep` for each"),
        };
        let regex = match (node.get_text("expression"), node.get_text("value")) {
            (Some(expression), _) => pattern::as_ruby(expression),
            (None, Some(text)) => format!("\\A{}\\z", pattern::literal(text)),
            (None, None) if !sources.is_empty() => ".*".to_owned(),
            (None, None) => return unsupported("it says neither `expression` nor `value`"),
        };
        let grep = stream.filter("grep").with("exclude", format!("{field} {regex}"));
        stream.filters.push(grep);
        same()
    }

    pub(super) fn match_stage(&mut self, node: &Node, stream: &mut Stream) -> Outcome {
        let Some(tests) = node.get_text("selector").and_then(selector::parse) else {
            return unsupported(
                "its selector cannot be read: labels in braces, then texts and expressions of the line",
            );
        };
        let combinations = match combinations(&tests, stream) {
            Ok(combinations) => combinations,
            Err(why) => return unsupported(why),
        };
        match (node.get_text("action").unwrap_or("keep"), combinations) {
            (_, None) => (super::Verdict::Same, "it holds for no record of this job".into()),
            ("drop", Some(combinations)) => drop_records(&combinations, stream),
            (_, Some(combinations)) => self.match_keep(node, &combinations, stream),
        }
    }

    /// Records for which it holds get another tag; its stages are for that one, all that follows is for both.
    fn match_keep(&mut self, node: &Node, combinations: &[Vec<Condition>], stream: &mut Stream) -> Outcome {
        if combinations.iter().any(Vec::is_empty) {
            self.stages(node.get("stages"), stream);
            return (super::Verdict::Same, "it holds for all records of this job".into());
        }
        let tag = self.tag(&format!("{}_match", stream.tag));
        let mut rules = Vec::new();
        for conditions in combinations {
            let (field, regex) = match &conditions[..] {
                [(field, regex)] => (field.clone(), regex.clone()),
                several => {
                    let mark = several
                        .iter()
                        .map(|(field, regex)| format!("key_value_matches {field} {}", pattern::word(regex)));
                    let modify =
                        stream.filter("modify").with_list("condition", mark).with("set", format!("_match {tag}"));
                    stream.filters.push(modify);
                    stream.roots.insert("_match".into());
                    ("$_match".to_owned(), format!("\\A{tag}\\z"))
                }
            };
            let field = if field.starts_with('$') { field } else { format!("${field}") };
            let rule = format!("{field} {} {tag}.$TAG false", pattern::word(&regex));
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        let rewrite = stream.filter("rewrite_tag").with_list("rule", rules);
        let rewrite = self.with_comments(rewrite);
        stream.filters.push(rewrite);
        self.stages_of_match(node, tag.clone(), stream);
        (super::Verdict::Same, format!("its records get the tag {tag}"))
    }
}

impl Converter<'_, '_> {
    /// The stages for the records of one tag. What they extract, other records have not.
    fn stages_of_match(&mut self, node: &Node, tag: String, stream: &mut Stream) {
        let mut tags = std::mem::replace(&mut stream.tags, vec![tag]);
        let outer = stream.in_match.replace(self.document.parsers.len());
        let (extracted, parsers) = (stream.extracted.clone(), stream.parsers.clone());
        self.stages(node.get("stages"), stream);
        tags.append(&mut stream.tags);
        stream.tags = tags;
        stream.in_match = outer;
        stream.parsers.retain(|key, _| key.starts_with('$') || parsers.contains_key(key));
        for (name, old) in extracted {
            let new = stream.extracted.remove(&name).filter(|new| *new != old);
            let value = new.map_or_else(|| old.clone(), |new| Value::first_of([new, old.clone()].into_iter()));
            stream.extracted.insert(name, value);
        }
    }
}

/// Leaves out records for which any of the combinations holds.
fn drop_records(combinations: &[Vec<Condition>], stream: &mut Stream) -> Outcome {
    for conditions in combinations {
        if conditions.is_empty() {
            return unsupported("it leaves out every record of this job; take the job out");
        }
        let rules = conditions.iter().map(|(field, regex)| format!("{field} {regex}"));
        let grep = stream.filter("grep").with_list("exclude", rules);
        stream.filters.push(if conditions.len() > 1 { grep.with_bare("logical_op", "and") } else { grep });
    }
    match combinations.len() {
        1 => same(),
        _ => near("of a label that several fields may give, any of them counts"),
    }
}

/// Conditions of which all must hold, in as many ways as labels may come from several fields. `None`: it never holds.
fn combinations(tests: &[Test], stream: &Stream) -> Result<Option<Vec<Vec<Condition>>>, String> {
    let mut all: Vec<Vec<Condition>> = vec![Vec::new()];
    for test in tests {
        let regex = expression(test);
        let fields = match &test.label {
            None => vec!["log".to_owned()],
            Some(label) => {
                let Some(value) = stream.label(label) else {
                    return Err(format!("nothing that could be converted sets the label {label}"));
                };
                if let Some(text) = value.as_fixed() {
                    if holds(test, &text) {
                        continue;
                    }
                    return Ok(None);
                }
                let fields = value.fields().ok_or_else(|| format!("the label {label} is made of several fields"))?;
                fields.into_iter().map(str::to_owned).collect()
            }
        };
        let with = |before: &Vec<Condition>, field: &String| {
            before.iter().cloned().chain([(field.clone(), regex.clone())]).collect::<Vec<_>>()
        };
        all =
            all.iter().flat_map(|before| fields.iter().map(|field| with(before, field)).collect::<Vec<_>>()).collect();
        if all.len() > COMBINATIONS_MAX {
            return Err(
                "its labels may come from too many fields; choose one, as `$kubernetes['labels']['app']`".into()
            );
        }
    }
    Ok(Some(all))
}

/// Labels are compared as a whole, lines are searched.
fn expression(test: &Test) -> String {
    let inner = match test.kind {
        Kind::Is | Kind::IsNot => pattern::literal(&test.text),
        Kind::Matches | Kind::MatchesNot => pattern::as_ruby(&test.text),
    };
    match (test.kind, test.label.is_some()) {
        (Kind::Is | Kind::Matches, true) => format!("\\A(?:{inner})\\z"),
        (Kind::Is | Kind::Matches, false) => inner,
        (_, true) => format!("\\A(?!(?:{inner})\\z)"),
        (_, false) => format!("\\A(?!(?m:.*)(?:{inner}))"),
    }
}

fn holds(test: &Test, text: &str) -> bool {
    let matches = || Regex::new(&format!("^(?:{})$", test.text)).is_ok_and(|regex| regex.is_match(text));
    match test.kind {
        Kind::Is => test.text == text,
        Kind::IsNot => test.text != text,
        Kind::Matches => matches(),
        Kind::MatchesNot => !matches(),
    }
}
