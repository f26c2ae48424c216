//! What tag and path of a file say of its container, without any API:
//!
//! ```text
//! tag   kube.var.log.containers.POD_NAMESPACE_CONTAINER-ID.log    pod_name namespace_name container_name docker_id
//! path  /var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log           pod_id (and the first three where the tag has none)
//! ```

use super::journal;
use crate::parse::Parser;
use crate::record::{Batch, Found, Record, Source, SourceDraft};
use std::sync::Arc;

/// A container, as its file's tag and path name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) pod: String,
    pub(super) namespace: String,
    /// Of a static pod the hash of its manifest.
    pub(super) uid: Option<String>,
    pub(super) container: String,
    /// The container's id.
    pub(super) id: Option<String>,
}

/// Where it is written.
#[derive(Clone, Default)]
pub(super) struct Reading {
    /// `kube_tag_prefix`.
    pub(super) prefix: String,
    /// `regex_parser`, for what stands behind the prefix.
    pub(super) parser: Option<Arc<dyn Parser>>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Reading {
    /// The container of a source, if it is one's.
    pub(super) fn of(&self, source: &SourceDraft) -> Option<Said> {
        let behind = source.tag.strip_prefix(self.prefix.as_str());
        let pod = source.real_path.as_deref().and_then(PodFolder::of_path);
        let uid = pod.as_ref().map(|pod| pod.uid.to_owned());
        let parsed = self.parser.as_ref().zip(behind).and_then(|(parser, tag)| parsed(&**parser, tag));
        if let Some(said) = parsed {
            return Some(Said { uid: said.uid.or(uid), ..said });
        }
        let from_name = || FileName::of(source.path.as_deref()?.rsplit('/').next()?);
        let name = behind.and_then(FileName::of).or_else(from_name);
        let (id, pod, namespace, container) = match (name, pod) {
            (Some(n), _) => (Some(n.id.to_owned()), n.pod, n.namespace, n.container),
            (None, Some(p)) => (None, p.name, p.namespace, p.container),
            (None, None) => return None,
        };
        Some(Said { pod: pod.into(), namespace: namespace.into(), uid, container: container.into(), id })
    }
}

impl Reading {
    /// The container of an entry of the journal, by its name there.
    pub(super) fn of_name(&self, name: &str) -> Option<Said> {
        match &self.parser {
            Some(parser) => parsed(&**parser, name),
            None => journal::said(name),
        }
    }
}

/// What a parser finds in a tag.
fn parsed(parser: &dyn Parser, tag: &str) -> Option<Said> {
    let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
    let text = batch.append(tag.as_bytes());
    batch.records.push(Record { text, ..Record::default() });
    parser.parse(&mut batch, 0).ok()?;
    let field = |key: &str| {
        let mut text = String::new();
        batch.find(0, key.as_bytes()).filter(|found: &Found<'_>| found.is_string())?.push_text(&mut text);
        Some(text).filter(|text| !text.is_empty())
    };
    Some(Said {
        pod: field("pod_name")?,
        namespace: field("namespace_name")?,
        uid: field("pod_id"),
        container: field("container_name").unwrap_or_default(),
        id: field("docker_id"),
    })
}

/// What the name of a file in `/var/log/containers` says.
struct FileName<'a> {
    pod: &'a str,
    namespace: &'a str,
    container: &'a str,
    id: &'a str,
}

/// A container's id: SHA-256 in hex.
const ID_LEN: usize = 64;

impl<'a> FileName<'a> {
    /// `POD_NAMESPACE_CONTAINER-ID.log`; none of the names can have a `_`.
    fn of(name: &'a str) -> Option<Self> {
        let (pod, rest) = name.strip_suffix(".log")?.split_once('_')?;
        let (namespace, rest) = rest.split_once('_')?;
        let (container, id) = rest.rsplit_once('-')?;
        let known = id.len() == ID_LEN && id.bytes().all(|b| b.is_ascii_hexdigit());
        (known && !pod.is_empty() && !namespace.is_empty() && !container.is_empty()).then_some(Self {
            pod,
            namespace,
            container,
            id,
        })
    }
}

/// What the folders of a file below `/var/log/pods` say.
struct PodFolder<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    container: &'a str,
}

impl<'a> PodFolder<'a> {
    /// `…/pods/NAMESPACE_POD_UID/CONTAINER/N.log`.
    fn of_path(path: &'a str) -> Option<Self> {
        let mut parts = path.rsplit('/').skip(1);
        let (container, pod, root) = (parts.next()?, parts.next()?, parts.next()?);
        let (namespace, rest) = pod.split_once('_')?;
        let (name, uid) = rest.rsplit_once('_')?;
        (root == "pods" && !namespace.is_empty() && !name.is_empty() && !uid.is_empty()).then_some(Self {
            namespace,
            name,
            uid,
            container,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn check(reading: &Reading, tag: &str, path: &str, real_path: &str, expect: Option<[&str; 5]>) {
        let draft = SourceDraft {
            tag: tag.into(),
            path: Some(path.into()),
            real_path: Some(real_path.into()),
            ..SourceDraft::default()
        };
        let said = reading.of(&draft);
        let said = said.as_ref().map(|s| {
            [&s.pod, &s.namespace, s.uid.as_deref().unwrap_or(""), &s.container, s.id.as_deref().unwrap_or("")]
        });
        assert_eq!(said, expect, "{tag}");
    }

    #[test]
    fn paths_name_pod_and_container() {
        let reading = Reading { prefix: "kube.var.log.containers.".into(), parser: None };
        let id = "0123456789abcdef".repeat(4);
        let name = format!("web-1.a_shop_side-car-{id}.log");
        let real = "/var/log/pods/shop_web-1.a_11-22/side-car/0.log";
        let all = Some(["web-1.a", "shop", "11-22", "side-car", &id]);
        check(&reading, &format!("kube.var.log.containers.{name}"), "", real, all);
        check(&reading, "other", &format!("/logs/{name}"), real, all);
        check(&reading, "pods", real, real, Some(["web-1.a", "shop", "11-22", "side-car", ""]));
        check(&reading, "app", "/var/log/app.log", "/var/log/app.log", None);
        check(&reading, "kube.var.log.containers.a_b.log", "", "/x/0.log", None);
    }

    #[test]
    fn a_parser_reads_the_tag_behind_the_prefix() {
        let reading = Reading { prefix: "k8s.".into(), parser: parse::parser("json", &[]) };
        let tag = r#"k8s.{"pod_name":"p","namespace_name":"n","container_name":"c"}"#;
        check(&reading, tag, "", "/var/log/pods/n_p_9/c/0.log", Some(["p", "n", "9", "c", ""]));
        check(&reading, "k8s.none", "", "/x", None);
        check(&reading, r#"k8s.{"pod_name":1}"#, "", "/x", None);
    }
}
