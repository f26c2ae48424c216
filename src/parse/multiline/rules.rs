//! `type regex`: rules that say in which state which line goes on.
//!
//! ```text
//! rule "start_state" "/^\[\d{4}-/"     "cont"      begins a record
//! rule "cont"        "/^(?!\[\d{4}-)/" "cont"      belongs to it
//! ```
//! In a state its rules come first, in their order; then those of `start_state`, of which a match begins the next record. A rule of
//! `start_state` never goes on with a record, whatever other states it stands in.

use crate::record::Expression;

/// Where a record begins.
const START: &str = "start_state";

#[derive(Debug)]
struct Rule {
    from: Vec<String>,
    expression: Expression,
    /// Number of the state that follows.
    to: usize,
}

impl Rule {
    fn begins(&self) -> bool {
        self.from.iter().any(|state| state == START)
    }
}

/// All of a multiline parser.
#[derive(Debug, Default)]
pub(super) struct Rules {
    start: Vec<Rule>,
    /// Each state that a rule leads to, with the rules that go on from it.
    states: Vec<(String, Vec<usize>)>,
    rules: Vec<Rule>,
}

impl Rules {
    /// Reads `"state" "expression" "next state"` texts.
    pub(super) fn parse<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, (usize, String)> {
        let mut all = Self::default();
        for (number, text) in texts.enumerate() {
            let parts = quoted(text);
            let [from, pattern, to] = &parts[..] else {
                let hint = r#"write three texts in quotes: "start_state" "/^\d+ /" "cont""#;
                return Err((number, hint.into()));
            };
            let expression =
                Expression::new(pattern).map_err(|why| (number, format!("the expression is none: {why}")))?;
            let to = all.state(to);
            let from = from.split(',').map(|state| state.trim().to_owned()).collect();
            let rule = Rule { from, expression, to };
            if rule.begins() { all.start.push(rule) } else { all.rules.push(rule) }
        }
        if all.start.is_empty() {
            return Err((0, "no rule begins a record: the first state is start_state".into()));
        }
        for (name, rules) in &mut all.states {
            let of_state = |rule: &Rule| rule.from.iter().any(|state| state == name);
            *rules = (0..all.rules.len()).filter(|rule| of_state(&all.rules[*rule])).collect();
        }
        Ok(all)
    }

    fn state(&mut self, name: &str) -> usize {
        let at = self.states.iter().position(|(known, _)| known == name);
        at.unwrap_or_else(|| {
            self.states.push((name.to_owned(), Vec::new()));
            self.states.len() - 1
        })
    }

    /// The state behind a line that begins a record.
    pub(super) fn begin(&self, line: &[u8]) -> Option<usize> {
        self.start.iter().find(|rule| rule.expression.is_match(line)).map(|rule| rule.to)
    }

    /// The state behind a line that goes on in one.
    pub(super) fn go_on(&self, state: usize, line: &[u8]) -> Option<usize> {
        let rules = &self.states.get(state)?.1;
        let rule = rules.iter().map(|rule| &self.rules[*rule]).find(|rule| rule.expression.is_match(line));
        rule.map(|rule| rule.to)
    }

    /// Can nothing follow?
    pub(super) fn is_end(&self, state: usize) -> bool {
        self.states.get(state).is_none_or(|(_, rules)| rules.is_empty())
    }
}

/// The texts in quotes; a quote inside has a backslash before it.
fn quoted(text: &str) -> Vec<String> {
    let (mut found, mut current, mut signs) = (Vec::new(), None::<String>, text.chars().peekable());
    while let Some(sign) = signs.next() {
        match (&mut current, sign) {
            (None, '"') => current = Some(String::new()),
            (None, _) => {}
            (Some(part), '\\') if signs.peek() == Some(&'"') => part.extend(signs.next()),
            (Some(_), '"') => found.extend(current.take()),
            (Some(part), sign) => part.push(sign),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        let texts = [
            r#""start_state, again" "/^QUERY/" "sql""#,
            r#""sql" "/^  (select|from)/" "sql""#,
            r#""sql" "^-- \"plan\"" "plan""#,
            r#""plan" "/^  /i" "again""#,
        ];
        let rules = Rules::parse(texts.into_iter()).expect("rules");
        let sql = rules.begin(b"QUERY 1").expect("it begins");
        assert_eq!(rules.begin(b"  select"), None);
        assert_eq!(rules.go_on(sql, b"  select"), Some(sql));
        let plan = rules.go_on(sql, b"-- \"plan\"").expect("a plan");
        let again = rules.go_on(plan, b"  seq scan").expect("a scan");
        assert_eq!((rules.is_end(plan), rules.is_end(again)), (false, true));
        assert_eq!(rules.go_on(again, b"QUERY 2"), None);
    }

    #[test]
    fn mistakes() {
        for (text, expect) in [
            (r#""start_state" "x""#, "three texts in quotes"),
            (r#""start_state" "(" "cont""#, "the expression is none"),
            (r#""cont" "x" "cont""#, "no rule begins a record"),
        ] {
            let error = Rules::parse([text].into_iter()).err().map(|(_, hint)| hint).unwrap_or_default();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
