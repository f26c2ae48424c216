//! The options of the filter, in Fluent Bit's words.

use crate::config::{Duration, Report, Section};
use crate::net::kube::{ApiOptions, Place};
use http::Uri;
use std::path::PathBuf;

crate::options! {
    /// What is special to the filter.
    pub struct KubernetesOptions {
        /// What stands in tags before the name of the log file.
        kube_tag_prefix: String, "kube_tag_prefix", default "kube.var.log.containers.";
        /// A parser that finds pod_name, namespace_name, container_name and docker_id in what stands in the tag behind the prefix.
        regex_parser: String, "regex_parser", optional;
        /// The Kubernetes API. Without it: of the cluster that drave runs in, else of the kubeconfig; `https://kubernetes.default.svc` in Fluent Bit.
        kube_url: String, "kube_url", optional;
        /// Certificates (PEM) of the authorities to trust; where there is no such file, those of the system.
        kube_ca_file: String, "kube_ca_file", default "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
        /// A folder with such files.
        kube_ca_path: String, "kube_ca_path", optional;
        /// The service account's token, read anew for each request.
        kube_token_file: PathBuf, "kube_token_file", default "/var/run/secrets/kubernetes.io/serviceaccount/token";
        /// A command that prints the token, instead of the file.
        kube_token_command: String, "kube_token_command", optional;
        /// So long a token of `kube_token_command` is good.
        kube_token_ttl: Duration, "kube_token_ttl", default "10m";
        /// The namespace of the own pod: with it the node's name is found where NODE_NAME, K8S_NODE_NAME and HOST_NAME are not set.
        kube_namespace_file: PathBuf, "kube_namespace_file", default "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
        /// For work outside of a cluster; else the file that KUBECONFIG names, or `~/.kube/config`.
        kubeconfig: PathBuf, "kubeconfig", optional;
        /// So long a new file waits for its pod to be known. Then its records go with what the path says.
        kube_wait: Duration, "kube_wait", default "5s";
        /// Verify the certificate of the API, and of the kubelet.
        tls_verify: bool, "tls.verify", default "on";
        /// Verify that it is for the host; needs `tls.verify on`. Off in Fluent Bit.
        tls_verify_hostname: bool, "tls.verify_hostname", default "on";
        /// The name to verify, when it is not the host.
        tls_vhost: String, "tls.vhost", optional;
        /// Ask the kubelet for its pods where the API refuses to list them.
        use_kubelet: bool, "use_kubelet", default "off";
        /// Where the kubelet is; `${HOST_IP}` with a variable from `status.hostIP`, as a rule.
        kubelet_host: String, "kubelet_host", default "127.0.0.1";
        /// The kubelet's port.
        kubelet_port: u16, "kubelet_port", default "10250";
        /// Add the pod's labels.
        labels: bool, "labels", default "on";
        /// Add the pod's annotations.
        annotations: bool, "annotations", default "on";
        /// Add `ownerReferences`.
        owner_references: bool, "owner_references", default "off";
        /// Add `workload_kind` and `workload_name`: the Deployment, StatefulSet, DaemonSet, Job or CronJob that made the pod.
        workload: bool, "workload", default "off";
        /// Add `kubernetes_namespace` with the namespace's labels.
        namespace_labels: bool, "namespace_labels", default "off";
        /// Add `kubernetes_namespace` with the namespace's annotations.
        namespace_annotations: bool, "namespace_annotations", default "off";
        /// Add `kubernetes_namespace` alone: pods are not asked for.
        namespace_metadata_only: bool, "namespace_metadata_only", default "off";
        /// Merge a JSON object that stands in `log` into the record.
        merge_log: bool, "merge_log", default "off";
        /// Merge it under this key instead.
        merge_log_key: String, "merge_log_key", optional;
        /// Take line breaks off the end of merged texts.
        merge_log_trim: bool, "merge_log_trim", default "on";
        /// What `log` is parsed with, instead of JSON.
        merge_parser: String, "merge_parser", optional;
        /// Keep `log` where it was merged.
        keep_log: bool, "keep_log", default "on";
        /// Pods may choose a parser: `fluentbit.io/parser[_stdout|_stderr][-CONTAINER]`, or `drave.io/…`. Needs `merge_log on`.
        logging_parser: bool, "k8s-logging.parser", default "off";
        /// Pods may leave their logs out: `fluentbit.io/exclude[_stdout|_stderr][-CONTAINER]`, or `drave.io/…`.
        logging_exclude: bool, "k8s-logging.exclude", default "off";
        /// Pods may choose what joins their lines: `drave.io/multiline[-CONTAINER]` names a multiline parser. It takes the place of those
        /// that the input has besides `docker` and `cri`.
        logging_multiline: bool, "k8s-logging.multiline", default "on";
        /// Add what the tag and the path say, and ask no API.
        use_tag_for_meta: bool, "use_tag_for_meta", default "off";
        /// For `systemd` where Docker's journald driver writes of containers: the pod is told by CONTAINER_NAME of each record.
        use_journal: bool, "use_journal", default "off";
        /// In a sidecar: the folder of the downward API, with the own pod's `labels` and `annotations`. No API is asked.
        podinfo_path: PathBuf, "podinfo_path", optional;
        /// Add a map with the time instead, to try a configuration out.
        dummy_meta: bool, "dummy_meta", default "off";
    }
    no_effect {
        "buffer_size": "no answer is read into a buffer of a fixed size";
        "tls.debug": "what went wrong with TLS is always in the log";
        "kube_meta_cache_ttl": "one watch tells of every change: nothing grows old";
        "kube_meta_namespace_cache_ttl": "one watch tells of every change: nothing grows old";
        "kube_meta_preload_cache_dir": "one list gives all pods of the node, and they are kept in the state folder";
        "dns_retries": "the API is tried until it answers, and no record waits for it longer than `kube_wait`";
        "dns_wait_time": "the API is tried until it answers, and no record waits for it longer than `kube_wait`";
        "cache_use_docker_id": "the container's id always comes from the name of the file, where it stands there";
        "set_platform": "pods are not associated with services yet: no entity is added";
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
    deviations {
        "one watch": "pods of the node are listed and watched once, instead of a request per pod; the node's name must be known (NODE_NAME)";
        "an unknown pod": "its records carry what tag and path say, `pod_id` too; Fluent Bit adds nothing";
        "`tls.verify_hostname`": "is on: without it any certificate of a known authority is good for any host";
        "`use_kubelet`": "the API is preferred; the kubelet is asked only where the API answers 401 or 403";
        "`use_journal`": "records without CONTAINER_NAME stay as they are, where Fluent Bit loses them; a record does not wait for its pod, and of annotations `exclude` alone counts";
        "text behind an object": "the line stays text: Fluent Bit merges the object and loses the rest";
    }
}

impl KubernetesOptions {
    /// `kube_url`, which may stand without a scheme.
    pub(super) fn check_url(&self, section: &Section, report: &mut Report) -> Option<Uri> {
        let given = self.kube_url.as_deref()?;
        let text = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
        let url: Option<Uri> = text.parse().ok();
        let is_good =
            |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|h| !h.is_empty());
        let url = url.filter(is_good);
        if url.is_none() {
            let at = section.get("kube_url").map(|entry| &entry.value_at);
            let hint = "write it as in https://kubernetes.default.svc:443".to_owned();
            report.error(at, format!("`{given}` is no URL of an API"), Some(hint));
        }
        url
    }

    pub(super) fn api(&self, place: Place) -> ApiOptions {
        ApiOptions {
            place,
            ca_file: self.kube_ca_file.clone(),
            ca_path: self.kube_ca_path.clone(),
            token_file: self.kube_token_file.clone(),
            token_command: self.kube_token_command.clone(),
            token_ttl: self.kube_token_ttl.0,
            verify: self.tls_verify,
            verify_hostname: self.tls_verify_hostname,
            vhost: self.tls_vhost.clone(),
        }
    }

    pub(super) fn kubelet_api(&self) -> ApiOptions {
        let host = &self.kubelet_host;
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
        let url = format!("https://{host}:{}", self.kubelet_port).parse();
        self.api(Place::Url(url.unwrap_or_else(|_| Uri::from_static("https://127.0.0.1:10250"))))
    }
}
