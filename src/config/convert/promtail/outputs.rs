//! The end of a target: what is left out of its records, and an output for each client.

use super::super::document::{Item, Lines, Text, Value as Given};
use super::super::finding::Verdict;
use super::jobs::Stream;
use super::value::Value;
use super::{Client, Converter, Node};

impl Converter<'_, '_> {
    /// Puts it into the document.
    pub(super) fn finish(&mut self, job: &Node, mut stream: Stream, clients: &[Client]) {
        let used = stream.labels.iter().chain(&stream.metadata).map(|(_, value)| value).chain(&stream.tenant.1);
        let used: Vec<String> = used.flat_map(Value::roots).map(str::to_owned).collect();
        stream.roots.extend(used);
        stream.roots.retain(|key| key != "log" && !key.starts_with("TAG"));
        if stream.container.is_some() {
            stream.roots.extend(["time", "stream", "_p"].map(str::to_owned));
        }
        if stream.is_open {
            let keys = ["log".to_owned()].into_iter().chain(stream.roots.iter().cloned());
            let mut only = stream.filter("record_modifier").with_list("allowlist_key", keys);
            only.comments = vec!["# Besides the line only what labels are made of.".to_owned()];
            stream.filters.push(only);
        }
        self.document.inputs.push(std::mem::take(&mut stream.input));
        self.document.filters.extend(stream.kubernetes.take());
        let filters = std::mem::take(&mut stream.filters);
        self.document.filters.extend(filters);
        for (number, client) in clients.iter().enumerate() {
            let output = self.output(job, &stream, client, (number, clients.len()));
            self.document.outputs.push(output);
        }
    }

    fn output(&mut self, job: &Node, stream: &Stream, client: &Client, (number, count): (usize, usize)) -> Item {
        let alias = match (&client.name, count) {
            (Some(name), _) => format!("{}.{name}", stream.tag),
            (None, 1) => stream.tag.clone(),
            (None, _) => format!("{}.{}", stream.tag, number + 1),
        };
        let mut output = stream.matching(Item::named("loki").with("alias", alias));
        let first = !self.document.outputs.iter().any(|item| item.comments == client.comments);
        output.comments = if first { client.comments.clone() } else { Lines::new() };
        for pair in &client.options.pairs {
            match &pair.value {
                Given::One(text) => output.set(&pair.key, text.clone()),
                Given::List(items) => {
                    output = output.with_list(&pair.key, items.iter().map(|(_, text)| text.text.clone()));
                }
                _ => {}
            }
        }
        let external = client.labels.iter().map(|(name, value)| (name.clone(), Value::fixed(value)));
        let own: Vec<(String, Value)> =
            stream.labels.iter().filter(|(name, _)| !name.starts_with("__")).cloned().collect();
        let labels: Vec<(String, Value)> =
            external.filter(|(name, _)| !own.iter().any(|(o, _)| o == name)).chain(own.iter().cloned()).collect();
        let labels = self.written(job, &labels);
        let metadata = self.written(job, &stream.metadata);
        output = output.with_list("labels", labels).with_list("structured_metadata", metadata);
        if stream.all_pod_labels {
            output.set("auto_kubernetes_labels", Text::bare("on"));
        }
        if let Some(text) = &stream.tenant.0 {
            output.set("tenant_id", Text::of(text.as_str()));
        }
        if let Some(field) = stream.tenant.1.as_ref().and_then(Value::as_field) {
            output.set("tenant_id_key", Text::of(field));
        }
        let keys: Vec<String> = stream.roots.iter().cloned().collect();
        output.with_list("remove_keys", (!keys.is_empty()).then(|| keys.join(", "))).with_bare("drop_single_key", "raw")
    }

    fn written(&mut self, job: &Node, labels: &[(String, Value)]) -> Vec<String> {
        let mut out = Vec::new();
        for (name, value) in labels {
            match value.labels(name) {
                Ok(texts) => out.extend(texts),
                Err(why) => self.say(job, &format!("label {name}"), Verdict::Unsupported, why),
            }
        }
        out
    }
}
