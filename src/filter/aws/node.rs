//! What the Node object of Kubernetes says of the instance: zone, id and type.
//!
//! ```json
//! {"metadata": {"labels": {"topology.kubernetes.io/zone": "eu-central-1a", "node.kubernetes.io/instance-type": "m5.large"}},
//!  "spec": {"providerID": "aws:///eu-central-1a/i-0123456789abcdef0"}}
//! ```

use super::fetch::Field;
use crate::config::Environment;
use crate::filter::kubernetes::node;
use crate::net::kube::{ApiClient, ApiError, ApiOptions, Place};
use serde_json::Value;
use std::path::Path;

/// What the service account lacks where the API refuses.
pub(super) const RULE: &str =
    "add `{apiGroups: [\"\"], resources: [nodes], verbs: [get]}` to the rules of the service account's ClusterRole";

/// Asks the API for the node that this process runs on.
///
/// # Errors
/// The API does not answer, or refuses; nobody knows the node's name.
pub(super) async fn ask(
    place: Place,
    environment: &Environment,
    namespace_file: &Path,
) -> Result<Vec<(Field, String)>, ApiError> {
    let client = ApiClient::new(&ApiOptions::of_pod(place)).await?;
    let unknown =
        "the name of this node is not known; hint: set NODE_NAME from `fieldRef: spec.nodeName` in the manifest";
    let name = node::name(environment, &client, namespace_file).await?;
    let name = name.ok_or_else(|| ApiError::Answer(unknown.into()))?;
    client.get(&format!("/api/v1/nodes/{name}")).await.map(|node| said(&node))
}

fn said(node: &Value) -> Vec<(Field, String)> {
    let labels = &node["metadata"]["labels"];
    let label = |names: [&str; 2]| names.iter().find_map(|name| labels[*name].as_str()).map(str::to_owned);
    let provider = node["spec"]["providerID"].as_str().and_then(|id| id.strip_prefix("aws:///")).unwrap_or_default();
    let mut parts = provider.split('/').map(str::to_owned);
    let zone = parts.next().filter(|zone| !zone.is_empty());
    let id = parts.next_back().filter(|id| id.starts_with("i-"));
    let zone = zone.or_else(|| label(["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]));
    let kind = label(["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"]);
    let fields = [(Field::Zone, zone), (Field::InstanceId, id), (Field::InstanceType, kind)];
    fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn zone_id_and_type() {
        let check = |node: Value, expect: &[(Field, &str)]| {
            let expect: Vec<_> = expect.iter().map(|(field, value)| (*field, (*value).to_owned())).collect();
            assert_eq!(said(&node), expect, "{node}");
        };
        let labels = json!({"topology.kubernetes.io/zone": "eu-1b", "node.kubernetes.io/instance-type": "m5.large"});
        check(
            json!({"metadata": {"labels": labels}, "spec": {"providerID": "aws:///eu-1a/i-0123"}}),
            &[(Field::Zone, "eu-1a"), (Field::InstanceId, "i-0123"), (Field::InstanceType, "m5.large")],
        );
        check(
            json!({"metadata": {"labels": labels}, "spec": {"providerID": "kind://docker/kind/kind-worker"}}),
            &[(Field::Zone, "eu-1b"), (Field::InstanceType, "m5.large")],
        );
        let fargate = "aws:///eu-1a/0c5d1b5f0d-a1b2c3/fargate-ip-192-168-1-1.eu-1.compute.internal";
        check(json!({"spec": {"providerID": fargate}}), &[(Field::Zone, "eu-1a")]);
        check(json!({}), &[]);
    }
}
