//! The name of the node: what the manifest says, else found by the own pod. Never a watch on all pods.

use crate::config::Environment;
use crate::net::kube::{ApiClient, ApiError};
use serde_json::Value;
use std::path::Path;

/// Variables that manifests set from `spec.nodeName`.
const VARIABLES: [&str; 3] = ["NODE_NAME", "K8S_NODE_NAME", "HOST_NAME"];

/// The node's name; asks the API for the own pod where no variable says. `None`: nobody knows.
///
/// # Errors
/// The API does not answer, or refuses.
pub(in crate::filter) async fn name(
    environment: &Environment,
    client: &ApiClient,
    namespace_file: &Path,
) -> Result<Option<String>, ApiError> {
    let set = |name: &&str| environment.get(name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
    if let Some(name) = VARIABLES.iter().find_map(set) {
        return Ok(Some(name));
    }
    let read = std::fs::read_to_string(namespace_file).ok();
    let Some(namespace) = set(&"POD_NAMESPACE").or(read.map(|text| text.trim().to_owned())) else { return Ok(None) };
    let (pod, host) = (set(&"POD_NAME"), set(&"HOSTNAME"));
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let own = pod.or_else(|| host.clone());
    if let Some(own) = own
        && let Some(node) = node_of(client, &path, "metadata.name", &own, |o| &o["metadata"]["name"]).await?
    {
        return Ok(Some(node));
    }
    // A pod of the host's network has the name of its host, which is that of the node as a rule: then pods of that node are known.
    let Some(host) = host else { return Ok(None) };
    node_of(client, &path, "spec.nodeName", &host, |o| &o["spec"]["nodeName"]).await
}

/// The node of a pod of which a field has this value; a server that does not select is no reason to believe it.
async fn node_of(
    client: &ApiClient,
    path: &str,
    field: &str,
    value: &str,
    of: impl Fn(&Value) -> &Value,
) -> Result<Option<String>, ApiError> {
    let mut node = None;
    let take = |object: Value| {
        if of(&object) == value {
            node = object["spec"]["nodeName"].as_str().map(str::to_owned).or(node.take());
        }
    };
    client.list(path, Some(&format!("{field}={value}")), take).await?;
    Ok(node)
}
