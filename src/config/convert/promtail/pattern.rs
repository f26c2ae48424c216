//! Expressions of Go (RE2) as Ruby's, JMESPath as record accessors, and texts as parts of options.

/// An expression of Go in Ruby's words: `(?P<a>x)` is `(?<a>x)`, `^` and `$` are the text's ends unless `m` is set, and Go's `s` is
/// Ruby's `m`. `rename` gives each group its name.
pub(super) fn ruby(pattern: &str, mut rename: impl FnMut(&str) -> String) -> String {
    let (mut out, mut rest) = (String::new(), pattern);
    let (mut lines, mut in_class) = (false, false);
    if let Some((flags, behind)) = leading_flags(pattern) {
        lines = flags.contains('m');
        let ruby: String = flags
            .chars()
            .filter_map(|flag| match flag {
                'i' => Some('i'),
                's' => Some('m'),
                _ => None,
            })
            .collect();
        if !ruby.is_empty() {
            out = format!("(?{ruby})");
        }
        rest = behind;
    }
    while let Some(sign) = rest.chars().next() {
        let length = match sign {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '(' if !in_class => match group_name(rest) {
                Some((name, length)) => {
                    out.push_str(&format!("(?<{}>", rename(name)));
                    rest = &rest[length..];
                    continue;
                }
                None => 1,
            },
            '^' | '$' if !in_class && !lines => {
                out.push_str(if sign == '^' { "\\A" } else { "\\z" });
                rest = &rest[1..];
                continue;
            }
            '[' if !in_class => {
                in_class = true;
                // A bracket that comes first stands for itself.
                let negated = usize::from(rest[1..].starts_with('^'));
                1 + negated + usize::from(rest[1 + negated..].starts_with(']'))
            }
            ']' => {
                in_class = false;
                1
            }
            sign => sign.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    guarded(out)
}

/// Slashes around an expression would be taken for its ends, and blanks at its ends are cut.
fn guarded(mut pattern: String) -> String {
    if pattern.starts_with('/') {
        pattern = format!("(?:{pattern})");
    }
    if pattern.starts_with(' ') {
        pattern = format!("(?:){pattern}");
    }
    if pattern.ends_with(' ') {
        pattern.push_str("(?:)");
    }
    pattern
}

/// The same with names as they are.
pub(super) fn as_ruby(pattern: &str) -> String {
    ruby(pattern, str::to_owned)
}

/// The names of its groups.
pub(super) fn groups(pattern: &str) -> Vec<String> {
    let mut names = Vec::new();
    ruby(pattern, |name| {
        names.push(name.to_owned());
        name.to_owned()
    });
    names
}

fn leading_flags(pattern: &str) -> Option<(&str, &str)> {
    let (flags, behind) = pattern.strip_prefix("(?")?.split_once(')')?;
    (!flags.is_empty() && flags.chars().all(|c| c.is_ascii_lowercase())).then_some((flags, behind))
}

/// `(?P<name>` and `(?<name>`.
fn group_name(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix("(?P<").or_else(|| text.strip_prefix("(?<"))?;
    let (name, _) = inner.split_once('>')?;
    let good = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    good.then(|| (name, text.len() - inner.len() + name.len() + 1))
}

/// A text that stands for itself in an expression.
pub(super) fn literal(text: &str) -> String {
    regex::escape(text)
}

/// A word of an option that has several: in quotes where blanks or quotes are in it.
pub(super) fn word(text: &str) -> String {
    match text.contains([' ', '\t', '"', '\'']) || text.is_empty() {
        true => format!("\"{}\"", text.replace('"', "\\\"")),
        false => text.to_owned(),
    }
}

/// `http.status`, `"a key".b[0]` as an accessor. `None` for what JMESPath can and accessors cannot.
pub(super) fn accessor(path: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), path.trim());
    loop {
        let (key, behind) = match rest.strip_prefix('"') {
            Some(inner) => inner.split_once('"')?,
            None => rest.split_at(rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())),
        };
        if key.is_empty() || key.contains(['\'', '\\']) {
            return None;
        }
        match out.is_empty() {
            true => out = field(key)?,
            false => out.push_str(&format!("['{key}']")),
        }
        rest = behind;
        while let Some(inner) = rest.strip_prefix('[') {
            let (number, behind) = inner.split_once(']')?;
            number.parse::<u32>().ok()?;
            out.push_str(&format!("[{number}]"));
            rest = behind;
        }
        match rest.strip_prefix('.') {
            Some(behind) => rest = behind,
            None => return rest.is_empty().then_some(out),
        }
    }
}

/// A key of the record as an accessor; `None` where it has signs that those take for something else.
pub(super) fn field(key: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@');
    (!key.is_empty() && key.chars().all(good)).then(|| format!("${key}"))
}

/// `1m30s` of Go in a unit that drave reads.
pub(super) fn duration(text: &str) -> Option<String> {
    let mut milliseconds = 0_f64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        milliseconds += number
            * match &rest[digits..unit_end] {
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 6e4,
                "h" => 3.6e6,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    let whole = milliseconds.round();
    match (whole >= 1.0, whole % 1e3 == 0.0) {
        (false, _) => None,
        (true, true) => Some(format!("{}s", whole / 1e3)),
        (true, false) => Some(format!("{whole}ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for (go, expect) in [
            (r"^(?P<ip>\S+) (?P<rest>.*)$", r"\A(?<ip>\S+) (?<rest>.*)\z"),
            (r"(?s)^a.b$", r"(?m)\Aa.b\z"),
            (r"(?m)^a$", r"^a$"),
            (r"(?i)err", r"(?i)err"),
            (r"[^]^$(]\$\^", r"[^]^$(]\$\^"),
            (r"(?:a|b)(c)", r"(?:a|b)(c)"),
            ("/health/", "(?:/health/)"),
            ("^a ", r"\Aa (?:)"),
            ("ü(?P<ü>x", "ü(?<ü>x"),
            ("\\", "\\"),
        ] {
            assert_eq!(as_ruby(go), expect, "{go}");
        }
        assert_eq!(groups(r"(?P<a>x)(?<b>y)(z)"), ["a", "b"]);
    }

    #[test]
    fn accessors() {
        for (path, expect) in [
            ("level", Some("$level")),
            ("http.status", Some("$http['status']")),
            ("\"a-b\".\"c d\"", Some("$a-b['c d']")),
            ("a[0].b", Some("$a[0]['b']")),
            ("\"a b\"", None),
            ("a.*", None),
            ("a || b", None),
            ("length(a)", None),
            ("", None),
            ("a.", None),
        ] {
            assert_eq!(accessor(path).as_deref(), expect, "{path}");
        }
    }

    #[test]
    fn durations() {
        for (text, expect) in [
            ("1s", Some("1s")),
            ("1m30s", Some("90s")),
            ("250ms", Some("250ms")),
            ("1.5s", Some("1500ms")),
            ("5", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(duration(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn nothing_panics() {
        proptest::proptest!(|(text in "[(?P<a>)\\[\\]^$\\\\ü.\"0-9ms]{0,24}")| {
            let _ = (as_ruby(&text), accessor(&text), duration(&text), word(&text));
        });
    }
}
