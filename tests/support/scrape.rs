//! The admin pages as a client sees them, and a strict reader of what `/metrics` says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer of the admin server.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// Asks for a page; `None` when nothing listens there.
pub fn get(address: SocketAddr, path: &str) -> Option<Page> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let content_type = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default().to_owned();
    Some(Page { status, content_type, body: body.to_owned() })
}

pub type Labels = BTreeMap<String, String>;

/// One line of the exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

/// All metrics of one moment.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Name of a family → its type.
    pub families: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// The samples of a name that have this label, added up; 0 when there are none.
    pub fn sum(&self, name: &str, label: (&str, &str)) -> i64 {
        let has = |sample: &&Sample| sample.name == name && sample.labels.get(label.0).is_some_and(|v| v == label.1);
        self.samples.iter().filter(has).map(|sample| sample.value as i64).sum()
    }

    /// The values that a label has.
    pub fn values_of(&self, label: &str) -> BTreeSet<String> {
        self.samples.iter().filter_map(|sample| sample.labels.get(label).cloned()).collect()
    }

    /// Reads OpenMetrics 1.0, and nothing that only resembles it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?;
        let mut metrics = Self::default();
        let (mut family, mut seen) = (String::new(), BTreeSet::new());
        for line in lines.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# ") {
                metrics.describe(rest, &mut family)?;
                continue;
            }
            let sample = read_sample(line)?;
            let kind = metrics.families.get(&family).ok_or_else(|| format!("no TYPE before {line}"))?;
            check_sample(&sample, &family, kind).map_err(|why| format!("{why}: {line}"))?;
            if !seen.insert(format!("{}{:?}", sample.name, sample.labels)) {
                return Err(format!("it is there twice: {line}"));
            }
            metrics.samples.push(sample);
        }
        Ok(metrics)
    }

    /// `TYPE name kind` opens a family, `HELP name text` and `UNIT name unit` may follow or precede it.
    fn describe(&mut self, rest: &str, family: &mut String) -> Result<(), String> {
        let mut words = rest.splitn(3, ' ');
        let (word, name, value) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        check_name(name)?;
        if name != family && self.families.contains_key(name) {
            return Err(format!("the family {name} is torn apart"));
        }
        match word {
            Some("TYPE") if !matches!(value, "counter" | "gauge") => return Err(format!("unknown type {value}")),
            Some("TYPE") => _ = self.families.insert(name.to_owned(), value.to_owned()),
            Some("HELP") if value.is_empty() => return Err(format!("{name} has an empty HELP")),
            Some("HELP" | "UNIT") => {}
            _ => return Err(format!("what is `# {rest}`?")),
        }
        name.clone_into(family);
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if name.is_empty() || !name.chars().all(good) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{name}` is no name"));
    }
    Ok(())
}

fn check_sample(sample: &Sample, family: &str, kind: &str) -> Result<(), String> {
    let expect = if kind == "counter" { format!("{family}_total") } else { family.to_owned() };
    if sample.name != expect {
        return Err(format!("a {kind} of the family {family} is called {expect}"));
    }
    if kind == "counter" && (sample.value < 0.0 || sample.value.is_nan()) {
        return Err("a counter counts up from 0".into());
    }
    Ok(())
}

/// `name{label="value",…} number`.
fn read_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or_else(|| format!("no value: {line:?}"))?;
    let (name, mut rest) = line.split_at(end);
    check_name(name)?;
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = read_labels(inside, &mut labels).ok_or_else(|| format!("bad labels: {line}"))?;
    }
    let number = rest.strip_prefix(' ').ok_or_else(|| format!("no blank before the value: {line}"))?;
    let value = number.parse().map_err(|_| format!("`{number}` is no number: {line}"))?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// Returns what follows the closing brace.
fn read_labels<'a>(mut rest: &'a str, labels: &mut Labels) -> Option<&'a str> {
    while !rest.starts_with('}') {
        let (name, after) = rest.split_once("=\"")?;
        check_name(name).ok()?;
        let (value, after) = read_quoted(after)?;
        labels.insert(name.to_owned(), value).is_none().then_some(())?;
        rest = match after.strip_prefix(',') {
            Some(more) if !more.starts_with('}') => more,
            Some(_) => return None,
            None => after,
        };
    }
    Some(&rest[1..])
}

/// Up to the closing quote; `\\`, `\"` and `\n` are the only escapes.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            (_, plain) => value.push(plain),
        }
    }
}
