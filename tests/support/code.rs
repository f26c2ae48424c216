//! As much of Rust's grammar as is needed to find the paths that a file names.

/// A word, or a mark of punctuation; `::` is one mark. Comments and literals are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Word(String),
    PathSep,
    Mark(char),
    /// Carried along, so that a problem has a line.
    Line,
}

/// `a::b::c`, also out of a group: `a::{b::c, d}` are two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub words: Vec<String>,
    pub line: usize,
    /// How many inline modules it stands in.
    pub modules: usize,
    /// One of them is called `tests`.
    pub in_tests: bool,
}

pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &text[at..];
        let end = at + literal_or_comment(rest).unwrap_or(0);
        if end > at {
            tokens.extend(bytes[at..end].iter().filter(|b| **b == b'\n').map(|_| Token::Line));
            at = end;
            continue;
        }
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let first = rest.chars().next().unwrap_or(' ');
        at += if word > 0 {
            tokens.push(Token::Word(rest[..word].to_owned()));
            word
        } else if rest.starts_with("::") {
            tokens.push(Token::PathSep);
            2
        } else {
            match first {
                '\n' => tokens.push(Token::Line),
                c if c.is_whitespace() => {}
                c => tokens.push(Token::Mark(c)),
            }
            first.len_utf8()
        };
    }
    tokens
}

/// The length of the comment, the string or the character that the text begins with.
fn literal_or_comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|p| {
        let rest = text.strip_prefix(p);
        rest.is_some_and(|r| r.starts_with('"') || (p.ends_with('r') && r.trim_start_matches('#').starts_with('"')))
    });
    let start = prefix.map_or(0, str::len);
    if prefix.is_some_and(|p| p.ends_with('r')) {
        let hashes = text[start..].bytes().take_while(|b| *b == b'#').count();
        let close = format!("\"{}", "#".repeat(hashes));
        let inside = start + hashes + 1;
        return Some(text[inside..].find(&close).map_or(text.len(), |end| inside + end + close.len()));
    }
    match text[start..].chars().next()? {
        '"' => Some(start + quoted(&text[start..], '"')),
        '\'' => character(text),
        _ => None,
    }
}

/// They nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let two = text.as_bytes().get(at..at + 2);
        match two {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `'a'` and `'\n'`, and not the lifetime `'a`.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    let (second_at, second) = chars.next()?;
    if first == '\\' {
        return Some(quoted(text, '\''));
    }
    (second == '\'').then_some(second_at + 1)
}

/// Reads the paths of a file's tokens.
pub fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut reader = Reader { paths: Vec::new(), line: 1, depth: 0, modules: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        at = reader.next(tokens, at);
    }
    reader.paths
}

struct Reader {
    paths: Vec<Path>,
    line: usize,
    depth: usize,
    /// Depth of braces and name of each inline module around.
    modules: Vec<(usize, String)>,
}

impl Reader {
    fn next(&mut self, tokens: &[Token], at: usize) -> usize {
        match &tokens[at] {
            Token::Word(word) if word == "mod" => self.module(tokens, at),
            Token::Word(_) => self.path(tokens, at, &[]),
            other => {
                self.step(other);
                at + 1
            }
        }
    }

    fn step(&mut self, token: &Token) {
        match token {
            Token::Line => self.line += 1,
            Token::Mark('{') => self.depth += 1,
            Token::Mark('}') => {
                self.depth -= 1;
                self.modules.retain(|(depth, _)| *depth <= self.depth);
            }
            _ => {}
        }
    }

    fn module(&mut self, tokens: &[Token], at: usize) -> usize {
        if let (Some(Token::Word(name)), Some(Token::Mark('{'))) = (tokens.get(at + 1), tokens.get(at + 2)) {
            self.modules.push((self.depth + 1, name.clone()));
        }
        at + 2
    }

    /// From its first word; `before` is what stands before a group. Returns where it ends.
    fn path(&mut self, tokens: &[Token], mut at: usize, before: &[String]) -> usize {
        let mut words = before.to_vec();
        while let Some(Token::Word(word)) = tokens.get(at) {
            words.push(word.clone());
            at = self.over_lines(tokens, at + 1);
            if tokens.get(at) != Some(&Token::PathSep) {
                break;
            }
            at = self.over_lines(tokens, at + 1);
            if tokens.get(at) == Some(&Token::Mark('{')) {
                return self.group(tokens, at + 1, &words);
            }
        }
        let in_tests = self.modules.iter().any(|(_, name)| name == "tests");
        self.paths.push(Path { words, line: self.line, modules: self.modules.len(), in_tests });
        at
    }

    /// `{b::c, d}`; returns what follows the closing brace.
    fn group(&mut self, tokens: &[Token], mut at: usize, before: &[String]) -> usize {
        while let Some(token) = tokens.get(at) {
            match token {
                Token::Mark('}') => return at + 1,
                Token::Word(_) => at = self.path(tokens, at, before),
                other => {
                    self.step(other);
                    at += 1;
                }
            }
        }
        at
    }

    fn over_lines(&mut self, tokens: &[Token], mut at: usize) -> usize {
        while tokens.get(at) == Some(&Token::Line) {
            self.line += 1;
            at += 1;
        }
        at
    }
}
