//! Ruby's syntax, written so that the crates `regex` and `fancy-regex` mean the same by it.
//!
//! ```text
//! \h  \d  \w  \s     [0-9A-Fa-f]  [0-9]  [0-9A-Za-z_]  [\t-\r\x20]
//! (?m)  \Z  \R  {,3}  (?s)  (?:\n?\z)  (?:\r\n|[\n-\r])  {0,3}
//! (?<a>x)(y)         (x)(?:y), with `a` = 1: where groups have names, the others get no number
//! ```

/// What stands behind the second slash, or within `(?…)` for a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    /// Ruby's `m`.
    pub(super) dot_takes_lines: bool,
    /// Blanks and comments are not part of it.
    pub(super) extended: bool,
}

/// An expression in the words of the two crates.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) pattern: String,
    pub(super) flags: Flags,
    /// It needs look-around or back references; names stand in the pattern, since it may refer to them.
    pub(super) keeps_names: bool,
    /// `^` or `$` is in it.
    pub(super) anchors: bool,
    pub(super) names: Vec<(String, Vec<usize>)>,
    pub(super) groups: usize,
}

impl Translation {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let (inner, flags) = without_slashes(text);
        let linear = Writer::new(inner, flags, false).write()?;
        let writer = if linear.backtracks { Writer::new(inner, flags, true).write()? } else { linear };
        Ok(Self {
            pattern: writer.out,
            flags,
            keeps_names: writer.keeps_names,
            anchors: writer.anchors,
            names: writer.names,
            groups: writer.groups,
        })
    }
}

/// `/…/imx`; other letters behind the second slash belong to the text.
fn without_slashes(text: &str) -> (&str, Flags) {
    let mut flags = Flags::default();
    let Some((inner, letters)) = text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
        return (text, flags);
    };
    for letter in letters.chars() {
        match letter {
            'i' => flags.ignore_case = true,
            'm' => flags.dot_takes_lines = true,
            'x' => flags.extended = true,
            'o' => {}
            _ => return (text, Flags::default()),
        }
    }
    (inner, flags)
}

struct Writer<'t> {
    text: &'t str,
    at: usize,
    out: String,
    has_names: bool,
    keeps_names: bool,
    extended: bool,
    backtracks: bool,
    anchors: bool,
    names: Vec<(String, Vec<usize>)>,
    groups: usize,
}

/// What of a class stands between its brackets.
const CLASSES: [(char, &str); 4] =
    [('d', "0-9"), ('w', "0-9A-Za-z_"), ('s', "\\t\\n\\x0B\\f\\r\\x20"), ('h', "0-9A-Fa-f")];

impl<'t> Writer<'t> {
    fn new(text: &'t str, flags: Flags, keeps_names: bool) -> Self {
        Self {
            text,
            at: 0,
            out: String::with_capacity(text.len() * 2),
            has_names: has_names(text),
            keeps_names,
            extended: flags.extended,
            backtracks: false,
            anchors: false,
            names: Vec::new(),
            groups: 0,
        }
    }

    fn write(mut self) -> Result<Self, String> {
        while let Some(sign) = self.next() {
            match sign {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '{' => self.braces(),
                '*' | '+' | '?' => self.quantifier(sign),
                '#' if self.extended => self.skip_until('\n'),
                '#' => self.out.push_str("\\#"),
                '^' | '$' => {
                    self.anchors = true;
                    self.out.push(sign);
                }
                other => self.out.push(other),
            }
        }
        Ok(self)
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let sign = self.peek()?;
        self.at += sign.len_utf8();
        Some(sign)
    }

    fn take(&mut self, word: &str) -> bool {
        let fits = self.rest().starts_with(word);
        self.at += if fits { word.len() } else { 0 };
        fits
    }

    fn skip_until(&mut self, end: char) {
        while self.next().is_some_and(|sign| sign != end) {}
    }

    /// The text up to `end`, which is passed.
    fn word(&mut self, end: char) -> Result<&'t str, String> {
        let (word, _) = self.rest().split_once(end).ok_or_else(|| format!("`{end}` is missing"))?;
        self.at += word.len() + end.len_utf8();
        Ok(word)
    }

    fn quantifier(&mut self, sign: char) {
        self.out.push(sign);
        // Possessive: no way back into it.
        if self.peek() == Some('+') {
            self.backtracks = true;
        }
    }

    /// How often, or a brace that stands for itself.
    fn braces(&mut self) {
        let counts = self.rest().split_once('}').map_or("", |(counts, _)| counts);
        let (from, to) = counts.split_once(',').map_or((counts, None), |(from, to)| (from, Some(to)));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let counted = is_number(from) && to.is_none_or(is_number) && counts.bytes().any(|b| b.is_ascii_digit());
        if !counted {
            return self.out.push_str("\\{");
        }
        self.at += counts.len() + 1;
        let from = if from.is_empty() { "0" } else { from };
        let to = to.map(|to| format!(",{to}")).unwrap_or_default();
        self.out.push_str(&format!("{{{from}{to}}}"));
    }

    fn group(&mut self) -> Result<(), String> {
        if !self.take("?") {
            if self.has_names {
                self.out.push_str("(?:");
            } else {
                self.groups += 1;
                self.out.push('(');
            }
            return Ok(());
        }
        if self.take("#") {
            self.word(')')?;
            return Ok(());
        }
        if let Some(around) = ["<=", "<!", "=", "!", ">", "~", "("].into_iter().find(|word| self.take(word)) {
            self.backtracks = true;
            self.out.push_str("(?");
            self.out.push_str(around);
            return Ok(());
        }
        match self.next() {
            Some('<') => self.named('>'),
            Some('\'') => self.named('\''),
            Some('P') if self.take("<") => self.named('>'),
            Some(':') => {
                self.out.push_str("(?:");
                Ok(())
            }
            Some(letter) => self.switches(letter),
            None => Err("a group is not closed".into()),
        }
    }

    fn named(&mut self, end: char) -> Result<(), String> {
        let name = self.word(end)?;
        self.groups += 1;
        let group = self.groups;
        match self.names.iter_mut().find(|(known, _)| known == name) {
            Some((_, groups)) => groups.push(group),
            None => self.names.push((name.to_owned(), vec![group])),
        }
        self.out.push('(');
        if self.keeps_names {
            self.out.push_str(&format!("?<{name}>"));
        }
        Ok(())
    }

    /// `(?i)`, `(?m-x:`; a, d and u are about what `\w` takes.
    fn switches(&mut self, first: char) -> Result<(), String> {
        let mut letters = String::new();
        let mut letter = Some(first);
        let end = loop {
            match letter {
                Some(end @ (')' | ':')) => break end,
                Some('m') => letters.push('s'),
                Some('x') => {
                    self.extended |= !letters.contains('-');
                    letters.push('x');
                }
                Some(kept @ ('i' | '-')) => letters.push(kept),
                Some('a' | 'd' | 'u') => {}
                _ => return Err("unknown letters behind `(?`".into()),
            }
            letter = self.next();
        };
        match (letters.trim_end_matches('-'), end) {
            ("", ')') => {}
            ("", _) => self.out.push_str("(?:"),
            (letters, end) => self.out.push_str(&format!("(?{letters}{end}")),
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let sign = self.next().ok_or("a backslash stands at the end")?;
        if let Some((lower, inner)) = class_of(sign) {
            self.out.push_str(if lower { "[" } else { "[^" });
            self.out.push_str(inner);
            self.out.push(']');
            return Ok(());
        }
        match sign {
            'A' | 'z' | 'b' | 'B' => self.out.extend(['\\', sign]),
            'Z' => self.out.push_str(if self.keeps_names { "\\Z" } else { "(?:\\n?\\z)" }),
            'R' => self.out.push_str("(?:\\r\\n|[\\n-\\r])"),
            'k' | 'g' => {
                self.backtracks = true;
                let (open, end) = if self.peek() == Some('\'') { ('\'', '\'') } else { ('<', '>') };
                self.next();
                let name = self.word(end)?;
                self.out.push_str(&format!("\\{sign}{open}{name}{end}"));
            }
            'K' | 'G' | 'X' | '1'..='9' => {
                self.backtracks = true;
                self.out.extend(['\\', sign]);
            }
            other => self.plain_escape(other)?,
        }
        Ok(())
    }

    /// Escapes that mean the same inside a class.
    fn plain_escape(&mut self, sign: char) -> Result<(), String> {
        match sign {
            'n' | 't' | 'r' | 'f' | 'v' | 'a' => self.out.extend(['\\', sign]),
            'e' => self.out.push_str("\\x1B"),
            'x' if self.peek() == Some('{') => {
                let code = self.word('}')?;
                self.out.push_str(&format!("\\x{code}}}"));
            }
            'x' => self.code(16, 2),
            'u' => self.code(16, 4),
            '0'..='7' => {
                self.at -= 1;
                self.code(8, 3);
            }
            'c' => {
                let control = self.next().ok_or("a letter is missing behind `\\c`")?;
                self.out.push_str(&format!("\\x{{{:X}}}", u32::from(control) & 0x1F));
            }
            'p' | 'P' => {
                let negated = self.take("{^");
                if !negated {
                    self.take("{");
                }
                let name = self.word('}')?;
                let sign = if negated == (sign == 'P') { 'p' } else { 'P' };
                self.out.push_str(&format!("\\{sign}{{{name}}}"));
            }
            other => self.literal(other),
        }
        Ok(())
    }

    /// A character by its number, of at most so many digits.
    fn code(&mut self, radix: u32, digits_max: usize) {
        let digits = self.rest().chars().take(digits_max).take_while(|d| d.is_digit(radix)).count();
        let code = u32::from_str_radix(&self.rest()[..digits], radix).unwrap_or(0);
        self.at += digits;
        self.out.push_str(&format!("\\x{{{code:X}}}"));
    }

    /// A character that stands for itself.
    fn literal(&mut self, sign: char) {
        match sign {
            blank if blank.is_ascii_whitespace() => self.out.push_str(&format!("\\x{{{:X}}}", u32::from(blank))),
            sign if "\\.+*?()|[]{}^$#&-~".contains(sign) => self.out.extend(['\\', sign]),
            other => self.out.push(other),
        }
    }

    /// A class with all classes inside it.
    fn class(&mut self) -> Result<(), String> {
        let mut depth = 0;
        self.open_class(&mut depth);
        while depth > 0 {
            match self.next().ok_or("`]` is missing")? {
                ']' => {
                    depth -= 1;
                    self.out.push(']');
                }
                '[' if self.peek() == Some(':') && self.rest().contains(":]") => {
                    let (name, _) = self.rest().split_once(":]").unwrap_or_default();
                    self.at += name.len() + 2;
                    self.out.push_str(&format!("[{name}:]"));
                }
                '[' => self.open_class(&mut depth),
                '\\' => self.class_escape()?,
                '&' if self.take("&") => self.out.push_str("&&"),
                '-' if self.take("-") => self.out.push_str("-\\-"),
                '-' => self.out.push('-'),
                other => self.literal(other),
            }
        }
        Ok(())
    }

    fn open_class(&mut self, depth: &mut usize) {
        *depth += 1;
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        if self.take("]") {
            self.out.push_str("\\]");
        }
    }

    fn class_escape(&mut self) -> Result<(), String> {
        let sign = self.next().ok_or("a backslash stands at the end")?;
        match class_of(sign) {
            Some((true, inner)) => self.out.push_str(inner),
            Some((false, inner)) => self.out.push_str(&format!("[^{inner}]")),
            None if sign == 'b' => self.out.push_str("\\x08"),
            None => self.plain_escape(sign)?,
        }
        Ok(())
    }
}

/// What `\w` and the like stand for; `false` for all but that.
fn class_of(sign: char) -> Option<(bool, &'static str)> {
    let (letter, inner) = CLASSES.iter().find(|(letter, _)| *letter == sign.to_ascii_lowercase())?;
    Some((*letter == sign, inner))
}

/// Is a group named? Escapes and classes aside, which only cost a number that nobody asks for.
fn has_names(text: &str) -> bool {
    let starts = ["(?<", "(?'", "(?P<"];
    let named =
        |start: &str| text.match_indices(start).any(|(at, found)| !text[at + found.len()..].starts_with(['=', '!']));
    starts.into_iter().any(named)
}
