//! `pipeline_stages`: each becomes filters, parsers, or labels of the output.

mod conditions;
mod extract;

use super::super::document::{Item, Lines, Text};
use super::super::finding::Verdict;
use super::jobs::Stream;
use super::read::Read;
use super::value::{Value, key_of, root};
use super::{Converter, Node, layout, pattern};

/// What a stage comes to, and why.
pub(super) type Outcome = (Verdict, String);

pub(super) fn same() -> Outcome {
    (Verdict::Same, String::new())
}

pub(super) fn near(why: impl Into<String>) -> Outcome {
    (Verdict::Near, why.into())
}

pub(super) fn unsupported(why: impl Into<String>) -> Outcome {
    (Verdict::Unsupported, why.into())
}

/// Stages that nothing here does, with what comes nearest.
const ABSENT: [(&str, &str); 6] = [
    ("template", "the filter `lua` makes texts; `modify` and `record_modifier` set fixed ones"),
    ("pack", "`line_format json` without `remove_keys` sends the other fields with the line"),
    ("metrics", "drave's own metrics count records and bytes; Loki's recording rules make metrics of logs"),
    ("geoip", "add places where the records are stored"),
    ("eventlogmessage", "it is for Windows, and drave runs on Linux"),
    ("windowsevent", "it is for Windows, and drave runs on Linux"),
];

type Stage = fn(&mut Converter<'_, '_>, &Node, &mut Stream) -> Outcome;
const STAGES: [(&str, Stage); 23] = [
    ("cri", |_, _, stream| container(stream, "cri")),
    ("docker", |_, _, stream| container(stream, "docker")),
    ("json", |c, node, stream| c.json(node, stream)),
    ("regex", |c, node, stream| c.regex(node, stream)),
    ("logfmt", |c, node, stream| c.logfmt(node, stream)),
    ("timestamp", |c, node, stream| c.timestamp(node, stream)),
    ("labels", |c, node, stream| c.named_values(node, stream, Stream::set_label)),
    ("structured_metadata", |c, node, stream| c.structured_metadata(node, stream)),
    ("non_indexed_labels", |c, node, stream| c.structured_metadata(node, stream)),
    ("static_labels", static_labels),
    ("labeldrop", |_, node, stream| choose_labels(stream, &node.texts(), false)),
    ("labelallow", |_, node, stream| choose_labels(stream, &node.texts(), true)),
    ("tenant", tenant),
    ("output", output),
    ("drop", |c, node, stream| c.drop_stage(node, stream)),
    ("match", |c, node, stream| c.match_stage(node, stream)),
    ("multiline", |c, node, stream| c.multiline(node, stream)),
    ("replace", replace),
    ("limit", limit),
    ("sampling", sampling),
    ("decolorize", decolorize),
    ("luhn", |_, _, stream| {
        let redact = stream.filter("redact").with("kinds", "card");
        stream.filters.push(redact);
        near("the filter `redact` writes [REDACTED:card]")
    }),
    ("static", |_, _, _| unsupported("`static_labels` sets fixed labels")),
];

impl Converter<'_, '_> {
    pub(super) fn stages(&mut self, stages: Option<&Node>, stream: &mut Stream) {
        for stage in stages.map(Read::items).unwrap_or_default() {
            self.carry(stage);
            for (key, node) in stage.pairs() {
                let name = key.text().unwrap_or_default();
                let before = stream.filters.len();
                let (verdict, why) = match (
                    STAGES.iter().find(|(known, _)| *known == name),
                    ABSENT.iter().find(|(known, _)| *known == name),
                ) {
                    (Some((_, convert)), _) => convert(self, node, stream),
                    (None, Some((_, instead))) => unsupported(*instead),
                    (None, None) => unsupported("Promtail has no such stage, or none that drave knows"),
                };
                self.say(key, &format!("stage {name}"), verdict, &why);
                if let Some(first) = stream.filters.get_mut(before) {
                    let mut comments = std::mem::take(&mut self.carried);
                    comments.append(&mut first.comments);
                    first.comments = comments;
                } else if verdict == Verdict::Unsupported {
                    self.carried.push(format!("# Not converted: the stage `{name}`; {why}."));
                }
            }
        }
        // What stands above nothing goes before the filters that follow, if there are any.
        let left: Lines = std::mem::take(&mut self.carried);
        match stream.filters.last_mut() {
            Some(last) => last.tail.extend(left),
            None => stream.input.tail.extend(left),
        }
    }

    /// `labels: {name: extracted}`: without a value, of the same name.
    fn named_values(&mut self, node: &Node, stream: &mut Stream, put: fn(&mut Stream, &str, Value)) -> Outcome {
        let mut missing = Vec::new();
        let pairs = node.pairs().iter().map(|(key, value)| (key.text().unwrap_or_default(), value));
        let listed = node.items().iter().filter_map(Node::text).map(|name| (name, name));
        let named = pairs.map(|(name, value)| {
            (name, value.text().filter(|text| !value.is_null() && !text.is_empty()).unwrap_or(name))
        });
        for (name, source) in named.chain(listed).collect::<Vec<_>>() {
            match stream.named(source) {
                Some(value) => put(stream, name, value),
                None => missing.push(source.to_owned()),
            }
        }
        match missing.is_empty() {
            true => same(),
            false => unsupported(format!("no stage that could be converted extracts {}", missing.join(", "))),
        }
    }

    /// A label that is named moves there.
    fn structured_metadata(&mut self, node: &Node, stream: &mut Stream) -> Outcome {
        for (key, _) in node.pairs() {
            let name = key.text().unwrap_or_default();
            if let Some(value) = stream.label(name).cloned().filter(|_| stream.named(name).is_none()) {
                stream.labels.retain(|(own, _)| own != name);
                stream.extracted.insert(name.to_owned(), value);
            }
        }
        self.named_values(node, stream, Stream::set_metadata)
    }

    /// Lines that belong together: in the input, where nothing has looked at them yet, else in a filter.
    fn multiline(&mut self, node: &Node, stream: &mut Stream) -> Outcome {
        let Some(first) = node.get_text("firstline") else { return unsupported("`firstline` is missing") };
        let name = format!("{}-lines", stream.tag);
        let name = self.new_name(&name);
        let begins = pattern::as_ruby(first);
        let goes_on = match begins.strip_prefix("\\A") {
            Some(rest) if !rest.contains('|') => format!("/\\A(?!{rest})/"),
            _ => format!("/\\A(?!.*(?:{begins}))/"),
        };
        let mut parser = Item::named(&name).with_bare("type", "regex");
        let wait = node.get_text("max_wait_time").unwrap_or("3s");
        parser = parser.with_bare("flush_timeout", pattern::duration(wait).unwrap_or_else(|| "3s".into()));
        let rules = [("start_state", format!("/{begins}/")), ("cont", goes_on)];
        let rules = rules.map(|(state, regex)| (Lines::new(), [state.to_owned(), regex, "cont".to_owned()]));
        parser
            .pairs
            .push(super::super::document::Pair::new("rules", super::super::document::Value::Rules(rules.into())));
        let parser = self.with_comments(parser);
        self.document.multiline_parsers.push(parser);
        if stream.filters.iter().all(|filter| filter.pairs.iter().any(|pair| pair.key == "kube_tag_prefix"))
            && stream.in_match.is_none()
        {
            let containers = stream.container.iter().map(|format| (*format).to_owned());
            let list: Vec<String> = containers.chain([name]).collect();
            stream.input.set("multiline.parser", Text::of(list.join(", ")));
        } else {
            let filter = stream.filter("multiline").with("multiline.parser", name).with("multiline.key_content", "log");
            stream.filters.push(filter);
        }
        match node.get("max_lines") {
            Some(_) => {
                near("`max_lines` has no counterpart: a record is cut at `multiline_buffer_limit` of the service")
            }
            None => same(),
        }
    }
}

/// Labels belong to the output, which all records of a job share.
fn choose_labels(stream: &mut Stream, names: &[&str], keeps: bool) -> Outcome {
    if stream.in_match.is_some() {
        return unsupported(
            "within `match`: `labels` of the output are the same for all; give those records an output of their own",
        );
    }
    stream.labels.retain(|(name, _)| names.contains(&name.as_str()) == keeps);
    same()
}

fn container(stream: &mut Stream, format: &'static str) -> Outcome {
    if stream.in_match.is_some() {
        return unsupported("the header of a container's line is read by the input, before anything else");
    }
    stream.container = Some(format);
    let others = stream.input.pairs.iter().any(|pair| pair.key == "multiline.parser");
    if others {
        return unsupported("the header of a container's line is read first: put this stage before `multiline`");
    }
    stream.input.set("multiline.parser", Text::of(format));
    stream.set_label("stream", Value::field("$stream"));
    same()
}

fn static_labels(_: &mut Converter<'_, '_>, node: &Node, stream: &mut Stream) -> Outcome {
    for (key, value) in node.pairs() {
        if let (Some(name), Some(text)) = (key.text(), value.text().filter(|text| !text.is_empty())) {
            let value = stream.fixed(name, text);
            stream.set_label(name, value);
        }
    }
    same()
}

fn tenant(_: &mut Converter<'_, '_>, node: &Node, stream: &mut Stream) -> Outcome {
    let value = match (node.get_text("value"), node.get_text("source"), node.get_text("label")) {
        (Some(text), ..) => Some(stream.fixed("tenant", text)),
        (_, Some(source), _) => stream.named(source),
        (_, _, Some(label)) => stream.label(label).cloned(),
        _ => None,
    };
    match value.as_ref().map(|value| (value.as_fixed(), value.as_field())) {
        Some((Some(text), _)) => stream.tenant.0 = Some(text),
        Some((None, Some(_))) => stream.tenant.1 = value,
        _ => {
            return unsupported(
                "`tenant_id_key` of the output names one field; none that could be converted is named here",
            );
        }
    }
    same()
}

/// The line becomes what was extracted; where that is not there it stays.
fn output(_: &mut Converter<'_, '_>, node: &Node, stream: &mut Stream) -> Outcome {
    let Some(source) = node.get_text("source") else { return unsupported("`source` is missing") };
    let Some(value) = stream.named(source) else {
        return unsupported(format!("no stage that could be converted extracts {source}"));
    };
    match value.as_field().and_then(key_of) {
        Some("log") => same(),
        Some(key) => {
            let modify = stream.filter("modify").with("hard_copy", format!("{key} log"));
            stream.filters.push(modify);
            same()
        }
        None => unsupported("it is inside a map; the filter `nest` with `operation lift` brings it up"),
    }
}

fn replace(_: &mut Converter<'_, '_>, node: &Node, stream: &mut Stream) -> Outcome {
    let Some(expression) = node.get_text("expression") else { return unsupported("`expression` is missing") };
    if node.get("source").is_some_and(|node| !node.is_null()) {
        return unsupported("of one field; the filter `redact` looks at all of them, `lua` at any");
    }
    let redact = stream.filter("redact").with("kinds", "none");
    stream.filters.push(redact.with("expression", format!("replaced {}", pattern::as_ruby(expression))));
    near("the filter `redact` writes [REDACTED:replaced] in place of all that the expression finds, in every field")
}

fn limit(_: &mut Converter<'_, '_>, node: &Node, stream: &mut Stream) -> Outcome {
    if !node.get("drop").is_some_and(Read::is_on) {
        return unsupported(
            "without `drop` it would hold the reading up, as a full output does anyway; `throttle` leaves records out",
        );
    }
    let number = |key: &str| node.get_text(key).and_then(|text| text.parse::<f64>().ok());
    let Some(rate) = number("rate").filter(|rate| *rate > 0.0) else { return unsupported("`rate` is no number") };
    // A burst of rate × window passes.
    let window = (number("burst").unwrap_or(rate) / rate).ceil().clamp(1.0, 3600.0);
    let mut throttle =
        stream.filter("throttle").with_bare("rate", rate.to_string()).with_bare("window", window.to_string());
    throttle.set("interval", Text::bare("1s"));
    if let Some(label) = node.get_text("by_label_name") {
        let Some(field) = stream.label(label).and_then(|value| value.as_field().map(str::to_owned)) else {
            return unsupported(format!("`key` of `throttle` names one field, and the label {label} is none"));
        };
        throttle.set("key", Text::of(field));
    }
    stream.filters.push(throttle);
    near("the filter `throttle`: a burst is `rate` times `window`")
}

fn sampling(_: &mut Converter<'_, '_>, node: &Node, stream: &mut Stream) -> Outcome {
    match node.get_text("rate").and_then(|text| text.parse::<f64>().ok()) {
        Some(rate) if rate > 0.0 && rate <= 1.0 => {
            let one_of = (1.0 / rate).round();
            let sample = stream.filter("sample").with_bare("one_of", one_of.to_string());
            stream.filters.push(sample);
            near(format!("the filter `sample` counts: every {one_of}th record, not any"))
        }
        _ => unsupported("`rate` is no number between 0 and 1"),
    }
}

fn decolorize(_: &mut Converter<'_, '_>, _: &Node, stream: &mut Stream) -> Outcome {
    const CODE: &str = "function plain(tag, timestamp, record)\n  if type(record.log) ~= \"string\" then\n    return 0, timestamp, record\n  end\n  \
        local text, count = record.log:gsub(\"\\27%[[%d;]*[A-Za-z]\", \"\")\n  if count == 0 then\n    return 0, timestamp, record\n  end\n  \
        record.log = text\n  return 2, timestamp, record\nend\n";
    let lua = stream.filter("lua").with("call", "plain").with("code", CODE);
    stream.filters.push(lua);
    (Verdict::Same, "a script".into())
}
