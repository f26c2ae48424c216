//! The comments of the files that were read, given out from the top: each to what stands below it.
//!
//! ```text
//! # the file as a whole         followed by an empty line: the head
//!
//! # of the section              the next section, or the next key
//! [INPUT]
//!     Name tail
//!     # Path /old               the end of this section: nothing of it follows
//!
//! [OUTPUT]
//! ```

use super::super::Location;
use super::super::load::Syntax;
use super::super::source::Sources;
use super::super::yaml::tree;
use super::document::Lines;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// What is left of them, by file.
pub(super) struct Comments(HashMap<Arc<str>, VecDeque<Comment>>);

/// Lines of a file from which on there is more than comments.
const NOWHERE: u32 = u32::MAX;

struct Comment {
    line: u32,
    /// The first line of its file that is more than a comment.
    content: u32,
    /// Without the blanks around it.
    text: String,
    indent: usize,
    /// An empty line stands above it.
    after_gap: bool,
}

impl Comments {
    /// Of all files that were read.
    pub(super) fn new(sources: &Sources) -> Self {
        let of = |(file, text): &(Arc<str>, String)| {
            let found = match Syntax::of(Path::new(&**file), text) {
                Syntax::Classic => text.lines().map(in_classic).collect(),
                Syntax::Yaml => tree::comments(text),
            };
            (Arc::clone(file), comments(text, &found))
        };
        Self(sources.all().iter().map(of).collect())
    }

    /// Those of the head of the file: nothing but comments stands above them, and an empty line below.
    pub(super) fn head(&mut self, file: &Arc<str>) -> Lines {
        let Some(left) = self.0.get_mut(file) else { return Lines::new() };
        let first = left.front().map_or(NOWHERE, |comment| comment.content);
        let mut end = left.iter().take_while(|comment| comment.line < first).count();
        let mut below = first;
        while end > 0 && left[end - 1].line + 1 == below {
            end -= 1;
            below = left[end].line;
        }
        lines(left.drain(..end))
    }

    /// Those right above a place, and in its line.
    pub(super) fn right_above(&mut self, at: &Location) -> Lines {
        let Some(left) = self.0.get_mut(&at.file) else { return Lines::new() };
        let end = left.iter().take_while(|comment| comment.line <= at.line).count();
        let mut start = end;
        let mut below = at.line;
        while start > 0 && left[start - 1].line + 1 >= below {
            start -= 1;
            below = left[start].line;
        }
        lines(left.drain(start..end))
    }

    /// Those above a place, and in its line.
    pub(super) fn before(&mut self, at: &Location) -> Lines {
        let Some(left) = self.0.get_mut(&at.file) else { return Lines::new() };
        let count = left.iter().take_while(|comment| comment.line <= at.line).count();
        lines(left.drain(..count))
    }

    /// Of those above a section the ones that belong to what ends above them, in the line `end`.
    pub(super) fn tail(&mut self, end: u32, section: &Location) -> Lines {
        let Some(left) = self.0.get_mut(&section.file) else { return Lines::new() };
        let mut count = 0;
        let mut above = end;
        for comment in left.iter().take_while(|comment| comment.line < section.line) {
            if comment.line != above + 1 {
                break;
            }
            above = comment.line;
            count += 1;
        }
        // Without a gap before the section only the indentation tells.
        if above + 1 == section.line {
            // A title stands in brackets, an item of YAML behind a dash.
            let is_inside = |comment: &&Comment| comment.indent + 2 > section.column as usize;
            count = left.iter().take(count).take_while(is_inside).count();
        }
        lines(left.drain(..count))
    }

    /// What is left of a file.
    pub(super) fn rest(&mut self, file: &str) -> Lines {
        self.0.remove(file).map(|mut left| lines(left.drain(..))).unwrap_or_default()
    }

    /// The files that still have some.
    pub(super) fn files(&self) -> Vec<Arc<str>> {
        let mut files: Vec<_> =
            self.0.iter().filter(|(_, left)| !left.is_empty()).map(|(file, _)| file.clone()).collect();
        files.sort();
        files
    }
}

fn lines(comments: impl Iterator<Item = Comment>) -> Lines {
    let mut lines = Lines::new();
    for comment in comments {
        if comment.after_gap && !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(comment.text);
    }
    lines
}

/// `found`: of each line where its comment begins.
fn comments(text: &str, found: &[Option<usize>]) -> VecDeque<Comment> {
    let is_content = |(line, start): &(&str, &Option<usize>)| !line[..start.unwrap_or(line.len())].trim().is_empty();
    let content =
        text.lines().zip(found).zip(1_u32..).find(|(pair, _)| is_content(pair)).map_or(NOWHERE, |(_, line)| line);
    let mut comments = VecDeque::new();
    let mut after_gap = false;
    for ((line, start), number) in text.lines().zip(found).zip(1_u32..) {
        if let Some(start) = start {
            let text = line[*start..].trim_end().replace(|c: char| c.is_control(), " ");
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            comments.push_back(Comment { line: number, content, text, indent, after_gap });
        }
        after_gap = line.trim().is_empty();
    }
    comments
}

/// A comment has its line for itself, or a section's.
fn in_classic(line: &str) -> Option<usize> {
    let trimmed = line.trim_start();
    let rest = match trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, behind)) => behind.trim_start(),
        None => trimmed,
    };
    rest.starts_with('#').then(|| line.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32) -> Location {
        Location { file: "a.conf".into(), line, column: 2 }
    }

    fn of(name: &str, text: &str) -> Comments {
        let mut sources = Sources::default();
        sources.add(&name.into(), text);
        Comments::new(&sources)
    }

    #[test]
    fn a_comment_belongs_to_what_stands_below_it() {
        let text = "# head\n\n# of input\n[INPUT] # too\n  name tail\n  # path /a\n\n# a\n\n# b\n[OUTPUT]\n  # x\n# y\n[FILTER]\n# end";
        let mut comments = of("a.conf", text);
        assert_eq!(comments.head(&"a.conf".into()), ["# head"]);
        assert_eq!(comments.before(&at(4)), ["# of input", "# too"]);
        assert_eq!(comments.tail(5, &at(11)), ["# path /a"]);
        assert_eq!(comments.before(&at(11)), ["# a", "", "# b"]);
        assert_eq!(comments.tail(11, &at(14)), ["# x"]);
        assert_eq!(comments.before(&at(14)), ["# y"]);
        assert_eq!(comments.rest("a.conf"), ["# end"]);
        assert!(comments.files().is_empty());
    }

    #[test]
    fn in_yaml_a_sign_in_a_text_begins_no_comment() {
        let text = "# a\na: b # c\nd: 'x # y'\ne: x#y\nf: |\n  # text\n  more\n# g\nh: \"a\n  # text\n  b\" # i\nj: [1, 2] # k\nl: {} #m\n";
        let mut comments = of("a.yaml", text);
        assert_eq!(comments.rest("a.yaml").join("|"), "# a|# c|# g|# i|# k|#m");
    }
}
