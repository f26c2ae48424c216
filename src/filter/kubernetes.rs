//! Adds what is known about the pod that wrote a record, under `kubernetes`.
//!
//! ```yaml
//! filters:
//!   - name: kubernetes
//!     match: 'kube.*'
//! ```
//! What a path says without any API:
//!
//! ```text
//! tag   kube.var.log.containers.POD_NAMESPACE_CONTAINER-ID.log    pod_name namespace_name container_name docker_id
//! path  /var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log           pod_id (and the first three where the tag has none)
//! ```

use super::{Filter, FilterConfig, FilterPlugin, Plan};
use crate::config::{Report, Section};
use crate::record::SourceDraft;
use serde_json::{Map, Value};

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "kubernetes",
    about: "Adds what is known about the pod that wrote a record.",
    options: &[KubernetesOptions::OPTIONS],
    deviations: &[KubernetesOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// What is special to the filter.
    pub struct KubernetesOptions {
        /// What stands in tags before the name of the log file.
        kube_tag_prefix: String, "kube_tag_prefix", default "kube.var.log.containers.";
    }
    no_effect {
        "buffer_size": "no answer is read into a buffer of a fixed size";
        "tls.debug": "what went wrong with TLS is always in the log";
        "tls.verify": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "tls.verify_hostname": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "tls.vhost": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_url": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_ca_file": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_ca_path": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_namespace_file": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_token_file": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_token_command": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_token_ttl": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_meta_cache_ttl": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_meta_namespace_cache_ttl": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kube_meta_preload_cache_dir": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "dns_retries": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "dns_wait_time": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "use_kubelet": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kubelet_host": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "kubelet_port": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "labels": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "annotations": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "cache_use_docker_id": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "set_platform": "the Kubernetes API is not asked yet: what is added comes from the paths";
        "use_tag_for_meta": "tag and path are what metadata is made of anyway";
        "merge_log_key": "it counts with `merge_log on` only";
        "merge_log_trim": "it counts with `merge_log on` only";
        "merge_parser": "it counts with `merge_log on` only";
        "keep_log": "it counts with `merge_log on` only";
        "aws_use_pod_association": "pods are not associated with services yet: no entity is added";
        "use_pod_association": "pods are not associated with services yet: no entity is added";
        "aws_pod_association_host": "pods are not associated with services yet: no entity is added";
        "aws_pod_association_endpoint": "pods are not associated with services yet: no entity is added";
        "aws_pod_association_port": "pods are not associated with services yet: no entity is added";
        "aws_pod_service_map_ttl": "pods are not associated with services yet: no entity is added";
        "aws_pod_service_map_refresh_interval": "pods are not associated with services yet: no entity is added";
        "aws_pod_service_preload_cache_dir": "pods are not associated with services yet: no entity is added";
        "aws_pod_association_host_server_ca_file": "pods are not associated with services yet: no entity is added";
        "aws_pod_association_host_client_cert_file": "pods are not associated with services yet: no entity is added";
        "aws_pod_association_host_client_key_file": "pods are not associated with services yet: no entity is added";
        "aws_pod_association_host_tls_debug": "pods are not associated with services yet: no entity is added";
        "aws_pod_association_host_tls_verify": "pods are not associated with services yet: no entity is added";
    }
    refused {
        "merge_log" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "owner_references" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "namespace_labels" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "namespace_annotations" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "namespace_metadata_only" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "k8s-logging.parser" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "k8s-logging.exclude" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "use_journal" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "dummy_meta" unless "off": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
        "regex_parser": "it comes with the metadata of the Kubernetes API; take it out until then, or other records would arrive than it promises";
    }
    deviations {
        "labels and annotations": "are not there yet; what the path says is there without any API: `pod_id` comes from the folder below `/var/log/pods`";
    }
}

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = KubernetesOptions::from_section(section, report)?;
    Some(Box::new(Kubernetes { prefix: options.kube_tag_prefix }))
}

#[derive(Debug)]
struct Kubernetes {
    prefix: String,
}

impl Filter for Kubernetes {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        let from_tag = source.tag.strip_prefix(self.prefix.as_str()).and_then(Container::of_file_name);
        let from_name = || Container::of_file_name(source.path.as_deref()?.rsplit('/').next()?);
        let pod = source.real_path.as_deref().and_then(Pod::of_path);
        let container = from_tag.or_else(from_name);
        let mut map = Map::new();
        let mut add = |key: &str, value: &str| _ = map.insert(key.to_owned(), Value::String(value.to_owned()));
        let (name, namespace, part) = match (&container, &pod) {
            (Some(c), _) => (c.pod, c.namespace, c.container),
            (None, Some(p)) => (p.name, p.namespace, p.container),
            (None, None) => return Plan::Pass,
        };
        add("pod_name", name);
        add("namespace_name", namespace);
        if let Some(pod) = &pod {
            add("pod_id", pod.uid);
        }
        add("container_name", part);
        if let Some(container) = &container {
            add("docker_id", container.id);
        }
        source.share("kubernetes", Value::Object(map), true);
        Plan::Pass
    }
}

/// What the name of a file in `/var/log/containers` says.
#[derive(Debug, PartialEq, Eq)]
struct Container<'a> {
    pod: &'a str,
    namespace: &'a str,
    container: &'a str,
    id: &'a str,
}

/// A container's id: SHA-256 in hex.
const ID_LEN: usize = 64;

impl<'a> Container<'a> {
    /// `POD_NAMESPACE_CONTAINER-ID.log`; none of the names can have a `_`.
    fn of_file_name(name: &'a str) -> Option<Self> {
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
#[derive(Debug, PartialEq, Eq)]
struct Pod<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    container: &'a str,
}

impl<'a> Pod<'a> {
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

    fn check(tag: &str, path: &str, real_path: &str, expect: Option<&str>) {
        let mut draft = SourceDraft {
            tag: tag.into(),
            path: Some(path.into()),
            real_path: Some(real_path.into()),
            ..SourceDraft::default()
        };
        let mut filter = Kubernetes { prefix: "kube.var.log.containers.".into() };
        assert!(matches!(filter.plan(&mut draft), Plan::Pass));
        assert_eq!(draft.shared.first().map(|s| s.value.to_string()).as_deref(), expect, "{tag}");
    }

    #[test]
    fn paths_name_pod_and_container() {
        let id = "0123456789abcdef".repeat(4);
        let name = format!("web-1.a_shop_side-car-{id}.log");
        let fields = format!(
            r#"{{"pod_name":"web-1.a","namespace_name":"shop","pod_id":"11-22","container_name":"side-car","docker_id":"{id}"}}"#
        );
        let real = "/var/log/pods/shop_web-1.a_11-22/side-car/0.log";
        check(&format!("kube.var.log.containers.{name}"), "", real, Some(&fields));
        check("other", &format!("/logs/{name}"), real, Some(&fields));
        let bare = r#"{"pod_name":"web-1.a","namespace_name":"shop","pod_id":"11-22","container_name":"side-car"}"#;
        check("pods", real, real, Some(bare));
        check("app", "/var/log/app.log", "/var/log/app.log", None);
        check("kube.var.log.containers.a_b.log", "", "/x/0.log", None);
    }
}
