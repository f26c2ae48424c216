//! The tag of a file: `*` is its path with dots for slashes, `<name>` a group of `tag_regex`.

use crate::config::{Report, Section, read_expression};
use regex::Regex;

/// How a section's files are tagged.
#[derive(Debug)]
pub(super) struct Tagging {
    template: String,
    regex: Option<Regex>,
}

impl Tagging {
    pub(super) fn new(section: &Section, template: String, regex: Option<&str>, report: &mut Report) -> Option<Self> {
        let regex = match regex.map(from_ruby) {
            Some(text) => Some(read_expression(section, "tag_regex", &text, "\\.log", report)?),
            None => None,
        };
        Some(Self { template, regex })
    }

    /// The tag of the file at `path`.
    pub(super) fn of(&self, path: &str) -> String {
        let mut tag = self.template.clone();
        if let Some(groups) = self.regex.as_ref().and_then(|r| r.captures(path)) {
            let names = self.regex.iter().flat_map(|r| r.capture_names()).flatten();
            for (name, text) in names.filter_map(|n| Some((n, groups.name(n)?))) {
                tag = tag.replace(&format!("<{name}>"), text.as_str());
            }
        }
        match tag.split_once('*') {
            Some((before, after)) => format!("{before}{}{after}", path.trim_start_matches('/').replace('/', ".")),
            None => tag,
        }
    }
}

/// Expressions are Ruby's there: `\h` is a hexadecimal digit, `\Z` an end.
fn from_ruby(text: &str) -> String {
    let text = text.strip_prefix('/').and_then(|t| t.strip_suffix('/')).unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match (sign, if sign == '\\' { signs.next() } else { None }) {
            ('\\', Some('h')) => out.push_str("[0-9a-fA-F]"),
            ('\\', Some('Z')) => out.push_str("\\z"),
            ('\\', Some(other)) => out.extend(['\\', other]),
            (sign, _) => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, regex: Option<&str>, path: &str, expect: &str) {
        let regex = regex.map(|r| Regex::new(&from_ruby(r)).expect("an expression"));
        assert_eq!(Tagging { template: template.into(), regex }.of(path), expect);
    }

    #[test]
    fn tags() {
        check("kube.*", None, "/var/log/a_b_c-1.log", "kube.var.log.a_b_c-1.log");
        check("*", None, "/c d.log", "c d.log");
        check("pods.*.raw", None, "/x/0.log", "pods.x.0.log.raw");
        check("app", None, "/x/0.log", "app");
        let regex = r"/(?<pod>[^_/]+)_(?<ns>[a-z]+)_(?<id>\h{4})\.log\z";
        check("k8s.<ns>.<pod>", Some(regex), "/logs/web-1_shop_00fF.log", "k8s.shop.web-1");
        check("k8s.<ns>", Some(regex), "/logs/other.log", "k8s.<ns>");
    }
}
