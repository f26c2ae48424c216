//! A YAML document as nodes that know their places. Scalars keep their text as written: `on`, `5M`, `0.50`.
//!
//! Anchors, aliases and `<<` work. What aliases copy is limited, so that a few lines cannot become gigabytes, and so is the depth.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use std::collections::{HashMap, HashSet};

/// A value and its place; line and column count from 1.
#[derive(Debug, Clone)]
pub(in crate::config) struct Node {
    pub(in crate::config) line: usize,
    pub(in crate::config) column: usize,
    pub(in crate::config) value: Value,
}

#[derive(Debug, Clone)]
pub(in crate::config) enum Value {
    /// `plain` is without quotes, so that a null can be told from the text "null".
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Why a text is no document.
#[derive(Debug)]
pub(in crate::config) struct Fault {
    pub(in crate::config) line: usize,
    pub(in crate::config) column: usize,
    pub(in crate::config) message: String,
    pub(in crate::config) hint: &'static str,
}

impl Node {
    /// Nothing, `~` or `null`.
    pub(in crate::config) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar.
    pub(in crate::config) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(in crate::config) fn what(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn weight(&self) -> usize {
        NODE_WEIGHT
            + match &self.value {
                Value::Scalar { text, .. } => text.len(),
                Value::List(items) => items.iter().map(Self::weight).sum(),
                Value::Map(pairs) => pairs.iter().map(|(key, value)| key.weight() + value.weight()).sum(),
            }
    }
}

const NODE_WEIGHT: usize = 64;
/// Bytes, about, that anchors and aliases may copy.
const COPIED_MAX: usize = 4 << 20;
const DEPTH_MAX: usize = 64;

/// Reads the one document of a text; `None` when there is none.
pub(in crate::config) fn parse(text: &str) -> Result<Option<Node>, Fault> {
    let mut builder = Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), copied: 0 };
    builder.document()
}

/// Of each line where its comment begins, in bytes; nothing of a text that is no document.
pub(in crate::config) fn comments(text: &str) -> Vec<Option<usize>> {
    let mut lines: Vec<(&str, Option<usize>)> = text.lines().map(|line| (line, Some(0))).collect();
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, span))) = parser.next_event() {
        let Event::Scalar(_, style, ..) = event else { continue };
        let (first, last) = (span.start.line(), span.end.line());
        for number in first..=last {
            let Some((line, from)) = number.checked_sub(1).and_then(|index| lines.get_mut(index)) else { continue };
            // Where the scalar ends, in characters; `None`: nowhere in this line.
            *from = match style {
                ScalarStyle::Literal | ScalarStyle::Folded if number == last => *from,
                ScalarStyle::Literal | ScalarStyle::Folded => None,
                _ if number < last => None,
                ScalarStyle::SingleQuoted if first < last => closing(line, '\''),
                ScalarStyle::DoubleQuoted if first < last => closing(line, '"'),
                _ => Some(span.end.col()),
            };
        }
    }
    lines.into_iter().map(|(line, from)| comment_start(line, from?)).collect()
}

/// Behind the quote that ends a text of several lines; its column is not told.
fn closing(line: &str, quote: char) -> Option<usize> {
    line.chars().position(|c| c == quote).map(|at| at + 1)
}

/// A comment begins at a `#` with a blank before it.
fn comment_start(line: &str, from: usize) -> Option<usize> {
    let from = line.char_indices().nth(from).map_or(line.len(), |(start, _)| start);
    let is_start = |at: &usize| *at == 0 || line[..*at].ends_with([' ', '\t']);
    line.match_indices('#').map(|(at, _)| at).find(|at| *at >= from && is_start(at))
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    copied: usize,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Option<Node>, Fault> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::StreamStart | Event::DocumentEnd | Event::Nothing, _) => {}
                (Event::DocumentStart(_), span) if root.is_some() => {
                    return Err(fault(span.start, "a second document begins here", ONE_DOCUMENT));
                }
                (Event::DocumentStart(_), _) => root = Some(self.node(0)?),
                (_, span) => return Err(fault(span.start, "a document should begin here", LOOK_HERE)),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.parser.next_event() {
            Some(event) => event.map_err(|error: ScanError| {
                fault(*error.marker(), &format!("this is not YAML: {}", error.info()), remedy(error.info()))
            }),
            None => Ok((Event::StreamEnd, Span::empty(Marker::new(0, 1, 0)))),
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node, Fault> {
        let (event, span) = self.next()?;
        self.node_of(event, span, depth)
    }

    fn node_of(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Fault> {
        if depth > DEPTH_MAX {
            return Err(fault(span.start, "nested too deeply", "nothing here needs more than a few levels"));
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.copy(anchor, span.start),
            Event::Scalar(text, style, anchor, _) => {
                (anchor, Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(anchor, _) => (anchor, Value::List(self.list(depth)?)),
            Event::MappingStart(anchor, _) => (anchor, Value::Map(self.map(depth)?)),
            _ => return Err(fault(span.start, "a value should stand here", LOOK_HERE)),
        };
        let node = Node { line: span.start.line(), column: span.start.col() + 1, value };
        if anchor > 0 {
            self.count_copy(&node, span.start)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node_of(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Fault> {
        let (mut pairs, mut merged) = (Vec::new(), Vec::new());
        loop {
            match self.next()? {
                (Event::MappingEnd, _) => return Ok(merge(merged, pairs)),
                (event, span) => {
                    let key = self.node_of(event, span, depth + 1)?;
                    let value = self.node(depth + 1)?;
                    if key.text() == Some("<<") { merged.extend(mappings(value)) } else { pairs.push((key, value)) }
                }
            }
        }
    }

    fn copy(&mut self, anchor: usize, at: Marker) -> Result<Node, Fault> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(fault(at, "this alias has no anchor before it", QUOTE_STAR));
        };
        self.count_copy(&node, at)?;
        Ok(node)
    }

    fn count_copy(&mut self, node: &Node, at: Marker) -> Result<(), Fault> {
        self.copied = self.copied.saturating_add(node.weight());
        if self.copied > COPIED_MAX {
            Err(fault(at, "the aliases up to here stand for too much text", "write the values out"))
        } else {
            Ok(())
        }
    }
}

/// The pairs of what `<<` names: a mapping or a list of them.
fn mappings(value: Node) -> Vec<(Node, Node)> {
    match value.value {
        Value::Map(pairs) => pairs,
        Value::List(items) => items.into_iter().flat_map(mappings).collect(),
        Value::Scalar { .. } => Vec::new(),
    }
}

/// A key of the mapping itself hides a merged one.
fn merge(mut merged: Vec<(Node, Node)>, pairs: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
    let own: HashSet<&str> = pairs.iter().filter_map(|(key, _)| key.text()).collect();
    merged.retain(|(key, _)| key.text().is_none_or(|key| !own.contains(key)));
    merged.extend(pairs);
    merged
}

const LOOK_HERE: &str = "check indentation, colons and quotes, here and on the line above; put quotes around texts with `: ` or ` #`, \
    and around those that begin with `*`, `%`, `@`, `[` or `{`";
const NO_TABS: &str = "indent with blanks, not with tabs";
const QUOTE_STAR: &str = "a text that begins with `*` needs quotes: \"*\"";
const ONE_DOCUMENT: &str = "take out the `---`, or include the second as a file of its own";

/// The parser's own words say what it met, not what to do.
fn remedy(info: &str) -> &'static str {
    match info {
        _ if info.contains("anchor") => QUOTE_STAR,
        _ if info.contains("tab") => NO_TABS,
        _ => LOOK_HERE,
    }
}

fn fault(at: Marker, message: &str, hint: &'static str) -> Fault {
    Fault { line: at.line(), column: at.col() + 1, message: message.to_owned(), hint }
}
