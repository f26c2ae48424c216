use super::*;

#[track_caller]
fn check(expression: &str, text: &str, expect: Option<&[(&str, &str)]>) {
    let compiled = Expression::new(expression).expect(expression);
    let mut groups = Groups::default();
    let matched = compiled.captures(text.as_bytes(), &mut groups);
    assert_eq!(compiled.is_match(text.as_bytes()), matched, "{expression} on {text:?}");
    let mut found = Vec::new();
    for (name, numbers) in compiled.names() {
        if let Some(range) = groups.last_of(numbers) {
            found.push((name, &text[range]));
        }
    }
    assert_eq!(matched.then_some(found.as_slice()), expect, "{expression} on {text:?}");
}

#[test]
fn what_ruby_means() {
    for (expression, text, matches) in [
        ("^b$", "a\nb\nc", true),
        (r"\Ab", "a\nb", false),
        (r"a\z", "a\n", false),
        (r"a\Z", "a\n", true),
        ("a.b", "a\nb", false),
        ("/a.b/m", "a\nb", true),
        ("(?m)a.b", "a\nb", true),
        ("(?m:a.)b", "a\nb", true),
        ("/ERROR/i", "error", true),
        ("/a b # c\n/x", "ab", true),
        ("/a[ #]b/x", "a b", true),
        ("/usr/lib", "/usr/lib", true),
        (r"^\h+$", "deadBEEF01", true),
        (r"^\H+$", "xyz", true),
        (r"^[\h:]+$", "de:ad", true),
        (r"^[^\h]+$", "x-y", true),
        (r"^[\W]+$", "-- ", true),
        (r"^\d+$", "٣", false),
        (r"^\w+$", "naïve", false),
        (r"^.{5}$", "naïve", true),
        (r"\<a\>", "<a>", true),
        (r"\_\-\/\:\ \'", "_-/: '", true),
        ("a{,2}b", "aab", true),
        ("{x}", "{x}", true),
        ("a{x", "a{x", true),
        ("x[]a]y", "x]y", true),
        ("[a-z&&[^b]]", "b", false),
        ("[+--]", ",", true),
        ("[[:digit:]]+", "12", true),
        ("a(?#comment)b", "ab", true),
        (r"\x41\u00e9\x{42}", "AéB", true),
        (r"a\Rb", "a\r\nb", true),
        (r"\e\[0m", "\u{1b}[0m", true),
        (r"\p{^L}", "1", true),
        ("a++b", "aab", true),
        ("a++ab", "aaab", false),
        ("(?>a+)ab", "aaab", false),
        ("a(?=b)", "ab", true),
        ("(?<!a)b", "ab", false),
        (r"(a)\1", "aa", true),
    ] {
        let compiled = Expression::new(expression).expect(expression);
        assert_eq!(compiled.is_match(text.as_bytes()), matches, "{expression} on {text:?}");
    }
}

#[test]
fn groups_have_names() {
    check("(?<a>x)(y)(?<b>z)?", "xyz", Some(&[("a", "x"), ("b", "z")]));
    check("(?<a>x)(y)(?<b>z)?", "xy", Some(&[("a", "x")]));
    check("(?'a'x)", "x", Some(&[("a", "x")]));
    check("(?<a>x)|(?<a>y)", "y", Some(&[("a", "y")]));
    check("(?<a>x)(y)(?=z)", "xyz", Some(&[("a", "x")]));
    check(r#"(?<q>["']).*?\k<q> (?<more>.*)"#, r#""it's" so"#, Some(&[("q", "\""), ("more", "so")]));
    check(r"^CA (?<tree>(?<par>\((?:[^()]|\g<par>)*\))+) (?<end>\w+)$", "CA (a(b)c)(d) end", {
        Some(&[("tree", "(a(b)c)(d)"), ("par", "(d)"), ("end", "end")])
    });
    check("^(?<a>é+)$", "éé", Some(&[("a", "éé")]));
    check("(?<a>x)", "none", None);
}

#[test]
fn plain_groups_count_where_none_has_a_name() {
    let expression = Expression::new("(a)(?:b)(c)?").expect("an expression");
    let mut groups = Groups::default();
    assert_eq!(expression.group_count(), 2);
    assert!(expression.captures(b"xab", &mut groups));
    assert_eq!((groups.get(0), groups.get(1), groups.get(2), groups.get(3)), (Some(1..3), Some(1..2), None, None));
}

#[test]
fn text_that_is_not_utf8_is_taken_byte_by_byte() {
    let mut groups = Groups::default();
    for expression in ["^(?<a>[^ ]*) (?<b>.*)$", "^(?<a>[^ ]*) (?<b>.*)$(?!x)"] {
        let expression = Expression::new(expression).expect("an expression");
        assert!(expression.captures(b"caf\xe9 \xff\xfe!", &mut groups));
        assert_eq!((groups.get(1), groups.get(2)), (Some(0..4), Some(5..8)));
    }
}

#[test]
fn what_explodes_is_given_up() {
    let expression = Expression::new(r"^(?:(a+)+\1)+$").expect("an expression");
    let before = std::time::Instant::now();
    assert!(!expression.is_match(&[b"a".repeat(40), b"!".to_vec()].concat()));
    assert!(before.elapsed() < std::time::Duration::from_secs(60));
    assert_eq!(expression.given_up(), 1);
    let linear = Expression::new("^(a+)+$").expect("an expression");
    assert!(!linear.is_match(&[b"a".repeat(1 << 20), b"!".to_vec()].concat()));
}

/// They are matched where that is done in time.
#[test]
fn long_texts_are_looked_at() {
    let filler = "ab 12 ".repeat(50_000);
    for (expression, end, expect) in [
        (r"(?<=\$)(?<n>\d+)", "$42", Some(&[("n", "42")][..])),
        (r"^(?!.*nothing)(?<a>\w+) (?<b>\d+)", "", Some(&[("a", "ab"), ("b", "12")])),
        (r#"(?<q>["']).*?\k<q>(?<rest>.*)$"#, "\"it's\"!", Some(&[("q", "\""), ("rest", "!")])),
        (r"^(?<a>ab)(?!.*é)(?=.*END(?<b>.))", "ENDé", None),
        (r"(?<=END)(?<b>.)", "ENDé", Some(&[("b", "é")])),
        (r"^(?<a>ab)(?=x)", "", None),
    ] {
        let compiled = Expression::new(expression).expect(expression);
        let text = format!("{filler}{end}");
        let (mut groups, found) = (Groups::default(), expect.is_some());
        assert_eq!(compiled.captures(text.as_bytes(), &mut groups), found, "{expression}");
        assert_eq!(compiled.is_match(text.as_bytes()), found, "{expression}");
        assert_eq!(compiled.given_up(), 0, "{expression}");
        for ((name, numbers), (key, value)) in compiled.names().zip(expect.unwrap_or_default()) {
            let range = groups.last_of(numbers).unwrap_or_default();
            assert_eq!((name, &text[range]), (*key, *value), "{expression}");
        }
    }
    let bound = Expression::new(r"^(?<a>\w+)(?!.*END)(?=.* 12 $)").expect("it is one");
    assert!(bound.is_match("ab 12 ".repeat(200_000).as_bytes()));
    let mut found = Vec::new();
    let text = format!("{filler}$1{filler}$2");
    Expression::new(r"(?<=\$)\d").expect("it is one").each_match(text.as_bytes(), &mut |a, b| found.push(&text[a..b]));
    assert_eq!(found, ["1", "2"]);
}

/// A look at all of the text from each of its places: what would take hours takes a second, and then it rests.
#[test]
fn long_texts_that_take_too_long_are_given_up() {
    for expression in [r"(?=.*y)x", r"^(?:(x+)\1)+y$"] {
        let compiled = Expression::new(expression).expect(expression);
        let (before, text) = (std::time::Instant::now(), b"x".repeat(1 << 20));
        assert!(!compiled.is_match(&text), "{expression}");
        assert_eq!(compiled.given_up(), 1, "{expression}");
        (0..10).for_each(|_| assert!(!compiled.is_match(&text)));
        assert_eq!(compiled.given_up(), 11, "{expression}");
        assert!(before.elapsed() < std::time::Duration::from_secs(60), "{expression}");
        compiled.is_match(b"xxxxy");
        assert_eq!(compiled.given_up(), 11, "{expression}: a short text is tried");
    }
}

#[test]
fn mistakes_are_said() {
    for (expression, expect) in [
        ("(a", "unclosed group"),
        ("[a", "`]` is missing"),
        ("a\\", "a backslash stands at the end"),
        ("(?<a", "`>` is missing"),
        ("*a", "repetition operator missing expression"),
        ("(?q)", "unknown letters behind `(?`"),
    ] {
        assert_eq!(Expression::new(expression).map(drop), Err(expect.to_owned()), "{expression}");
    }
}

#[test]
fn no_text_panics() {
    proptest::proptest!(|(text in r"[-\\()\[\]?<>{}*+^$|aé#:&/ dhxupkgZ0-9=!]{0,14}")| {
        if let Ok(expression) = Expression::new(&text) {
            for line in ["", "a", "aé\n-0", "dhx{}[]"] {
                expression.is_match(line.as_bytes());
            }
        }
    });
}
