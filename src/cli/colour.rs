//! What is said on standard error before there is a log: with the words `error:`, `note:` and `hint:` in colour where that is a
//! terminal and `NO_COLOR` is not set.

use crate::config::Environment;
use std::io::{IsTerminal, Write};

/// Writes a text to standard error. That nobody can read it is no reason to fail.
pub(super) fn say(text: &str, environment: &Environment) {
    let shown = if on_stderr(environment) { painted(text) } else { text.to_owned() };
    let _ = std::io::stderr().write_all(shown.as_bytes());
}

/// May standard error be coloured?
pub(super) fn on_stderr(environment: &Environment) -> bool {
    std::io::stderr().is_terminal() && environment.get("NO_COLOR").is_none_or(str::is_empty)
}

/// Bold red, cyan and green.
const WORDS: [(&str, &str); 3] = [("error:", "1;31"), ("note:", "1;36"), ("hint:", "1;32")];

fn painted(text: &str) -> String {
    text.split_inclusive('\n').map(painted_line).collect()
}

fn painted_line(line: &str) -> String {
    let start = line.trim_start_matches(' ');
    let blanks = &line[..line.len() - start.len()];
    let paint = |(word, code)| Some(format!("{blanks}\x1b[{code}m{word}\x1b[0m{}", start.strip_prefix(word)?));
    WORDS.into_iter().find_map(paint).unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_are_painted() {
        for (plain, expect) in [
            ("error: a error: b\n", "\x1b[1;31merror:\x1b[0m a error: b\n"),
            ("1 | error: a\n  hint: b\n", "1 | error: a\n  \x1b[1;32mhint:\x1b[0m b\n"),
            ("note:", "\x1b[1;36mnote:\x1b[0m"),
            ("\n\nnothing", "\n\nnothing"),
        ] {
            assert_eq!(painted(plain), expect);
        }
    }
}
