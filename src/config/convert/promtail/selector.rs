//! The selector of a `match` stage: `{app="shop", pod!~"web-.*"} |= "error" != "debug"`.

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    /// A label; `None`: the line.
    pub(super) label: Option<String>,
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of a label: it is this text. Of the line: it contains it.
    Is,
    IsNot,
    Matches,
    MatchesNot,
}

/// All of it must hold. `None` for what is no such selector.
pub(super) fn parse(text: &str) -> Option<Vec<Test>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut tests = Vec::new();
    while !rest.starts_with('}') {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (label, behind) = rest.split_at(end);
        let (kind, behind) = operator(
            behind.trim_start(),
            [("=~", Kind::Matches), ("!~", Kind::MatchesNot), ("!=", Kind::IsNot), ("=", Kind::Is)],
        )?;
        let (value, behind) = quoted(behind.trim_start())?;
        tests.push(Test { label: Some(label.to_owned()).filter(|label| !label.is_empty()), kind, text: value });
        rest = behind.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    rest = rest[1..].trim_start();
    if tests.iter().any(|test| test.label.is_none()) {
        return None;
    }
    while !rest.is_empty() {
        let (kind, behind) =
            operator(rest, [("|=", Kind::Is), ("!=", Kind::IsNot), ("|~", Kind::Matches), ("!~", Kind::MatchesNot)])?;
        let (value, behind) = quoted(behind.trim_start())?;
        tests.push(Test { label: None, kind, text: value });
        rest = behind.trim_start();
    }
    Some(tests)
}

fn operator<'t>(text: &'t str, known: [(&str, Kind); 4]) -> Option<(Kind, &'t str)> {
    known.into_iter().find_map(|(sign, kind)| Some((kind, text.strip_prefix(sign)?)))
}

/// A text in double quotes, with Go's escapes, or between backticks.
fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(inner) = text.strip_prefix('`') {
        let (raw, behind) = inner.split_once('`')?;
        return Some((raw.to_owned(), behind));
    }
    let inner = text.strip_prefix('"')?;
    let (mut out, mut signs) = (String::new(), inner.char_indices());
    loop {
        match signs.next()? {
            (at, '"') => return Some((out, &inner[at + 1..])),
            (_, '\\') => match signs.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                sign => out.push(sign),
            },
            (_, sign) => out.push(sign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        let shown = |text: &str| {
            let show = |t: &Test| format!("{} {:?} {}", t.label.as_deref().unwrap_or("line"), t.kind, t.text);
            parse(text).map(|tests| tests.iter().map(show).collect::<Vec<_>>().join("; "))
        };
        for (text, expect) in [
            ("{}", Some("")),
            (r#"{app="shop"}"#, Some("app Is shop")),
            (r#"{ app = "a\"b" , pod!~`w.*` , }"#, Some(r#"app Is a"b; pod MatchesNot w.*"#)),
            (
                r#"{a=~"b\\d"} |= "x y" != "z" |~ "q" !~ `r`"#,
                Some(r"a Matches b\d; line Is x y; line IsNot z; line Matches q; line MatchesNot r"),
            ),
            ("{a}", None),
            (r#"{="x"}"#, None),
            (r#"{a="x"} | json"#, None),
            (r#"{a="x"#, None),
            ("x", None),
        ] {
            assert_eq!(shown(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn nothing_panics() {
        proptest::proptest!(|(text in "[{}a=!~|\"`\\\\, ü]{0,20}")| {
            let _ = parse(&text);
        });
    }
}
