//! What a configuration does to records, without running it: per input the steps that they pass, which of them are done once for
//! each source and which for every record, which read the text, and the outputs at the end.
//!
//! ```text
//! tail.0   tag kube.var.log.containers.POD_NAMESPACE_CONTAINER-….log
//!   filter  kubernetes.0   once per source
//!   filter  parser.1       per record, reads the text
//!   output  http.0
//! ```

use super::plan::Plan;
use super::steps::{Chain, How, Scope};
use crate::config::{Config, Section};
use crate::record::SourceDraft;
use std::fmt::Write;

/// What stands for a container's file where a tag has the path in it.
const POD: &str = "web-0_shop_app";
/// What stands for a unit where the tag of a journal has it in it, and no filter names one.
const UNIT: &str = "kubelet.service";
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Explains a checked configuration, for people.
pub fn explain(config: &Config, plan: Plan) -> String {
    let Plan { filters, filter_names, outputs, input_names, input_routes, .. } = plan;
    let kinds: Vec<&str> = filters.iter().map(|(scope, _)| word(scope)).collect();
    let mut chain = Chain::new(filters);
    let mut text = String::new();
    // Writing into a String cannot fail.
    for (input, section) in config.inputs.iter().enumerate() {
        let draft = sample(input, section);
        let tag = draft.tag.clone();
        let _ = writeln!(text, "{}   tag {}", input_names[input], tag.replace(ID, "…"));
        let steps = chain.explain(draft.clone(), None);
        if let Some(entry) = section.get("parser").or(section.get("multiline.parser")) {
            let _ = writeln!(text, "  input      {} {}   reads every line", entry.key, entry.value);
        }
        push_steps(&mut text, &steps, &kinds, &filter_names);
        let taking =
            outputs.iter().enumerate().filter(|(_, output)| input_routes[input].routable && output.matches.takes(&tag));
        let before = text.len();
        for (number, output) in taking {
            let _ = writeln!(text, "  output     {}", output.name);
            push_steps(&mut text, &chain.explain(draft.clone(), Some(number)), &kinds, &filter_names);
        }
        if text.len() == before {
            text.push_str("  no output takes this tag\n");
        }
        let _ = writeln!(text, "  {}", summary(&steps, &filter_names));
    }
    text
}

fn word(scope: &Scope) -> &'static str {
    match scope {
        Scope::Tag(_) => "filter",
        Scope::Input(_) | Scope::Output(_) => "processor",
    }
}

fn push_steps(text: &mut String, steps: &[(usize, How)], kinds: &[&str], names: &[String]) {
    for (number, how) in steps {
        let _ = writeln!(text, "  {:<10} {}   {}", kinds[*number], names[*number], how.words());
    }
}

fn summary(steps: &[(usize, How)], names: &[String]) -> String {
    let reading = steps.iter().find(|(_, how)| how.parses);
    match (reading, steps.iter().any(|(_, how)| how.per_record)) {
        (Some((number, _)), _) => format!("the text is read because of {}", names[*number]),
        (None, true) => "no step reads the text as something".to_owned(),
        (None, false) => "no step looks at records".to_owned(),
    }
}

/// A source as the input would find one.
fn sample(input: usize, section: &Section) -> SourceDraft {
    match section.name.as_str() {
        "systemd" => journal_sample(input, section),
        _ => file_sample(input, section),
    }
}

/// Of a journal: `*` in the tag is the unit.
fn journal_sample(input: usize, section: &Section) -> SourceDraft {
    let mut units = section.all("systemd_filter").filter_map(|entry| entry.value.trim().strip_prefix("_SYSTEMD_UNIT="));
    let unit = units.next().unwrap_or(UNIT);
    let tag = section.get("tag").map_or_else(|| format!("{}.{input}", section.name), |entry| entry.value.clone());
    SourceDraft { input, tag: tag.trim().replacen('*', unit, 1), text_key: "log".to_owned(), ..SourceDraft::default() }
}

fn file_sample(input: usize, section: &Section) -> SourceDraft {
    let value = |key: &str| section.get(key).map(|entry| entry.value.trim().to_owned());
    let path = value("path").unwrap_or_default();
    let file = format!("{POD}-{ID}.log");
    let path = match path.split(',').next().and_then(|first| first.split_once('*')) {
        Some((folder, _)) if folder.ends_with("containers/") => format!("{folder}{file}"),
        _ => path.split(',').next().unwrap_or_default().trim().replace('*', "app"),
    };
    let tag = value("tag").unwrap_or_else(|| format!("{}.{input}", section.name));
    let tag = tag.replace('*', path.replace('/', ".").trim_start_matches('.'));
    let mut draft = SourceDraft { input, tag, path: Some(path.clone()), ..SourceDraft::default() };
    draft.text_key = value("key").unwrap_or_else(|| "log".to_owned());
    if path.contains("/containers/") {
        draft.real_path = Some("/var/log/pods/shop_web-0_00000000-0000/app/0.log".to_owned());
    }
    if let Some(key) = value("path_key") {
        draft.share(&key, path.into(), false);
    }
    draft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Report, Syntax, load_text};

    #[test]
    fn the_tag_of_a_journal_has_a_unit_in_it() {
        for (options, tag) in [
            ("tag: host.*", "host.kubelet.service"),
            ("tag: 'a.*.*', systemd_filter: [_TRANSPORT=kernel, _SYSTEMD_UNIT=cron.service]", "a.cron.service.*"),
            ("path: /var/log/journal, tag: host", "host"),
            ("lowercase: on", "systemd.0"),
        ] {
            let text = format!("pipeline: {{inputs: [{{name: systemd, {options}}}]}}");
            let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut Report::default());
            let draft = sample(0, &config.inputs[0]);
            assert_eq!((draft.tag.as_str(), draft.path), (tag, None), "{options}");
        }
    }
}
