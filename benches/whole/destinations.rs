//! Rows with what the services of others ask for: pods' metadata from an API, and the forms of OpenSearch, Loki and CloudWatch Logs.
//!
//! The API runs in this process, the services in the sink's: neither counts for the agent.

use crate::agent::run;
use crate::logs::pod_of;
use crate::rows::{Bench, FILES, WHOLE, config, everything_arrives, http, throughput};
use crate::support::kubernetes::{KubeApi, pod};
use std::path::Path;

/// Further options of the filter `kubernetes`: the text that is JSON becomes fields.
const MERGED: &str = ", merge_log: on, merge_log_key: log_processed, keep_log: off";

/// The pods of the set's files, with labels and annotations.
fn api() -> KubeApi {
    let api = KubeApi::start();
    for number in 0..FILES {
        let (namespace, name, uid) = pod_of(number);
        let mut object = pod(&name, namespace, &uid, &[("main", &format!("{number:064x}"))]);
        for (key, value) in [("pod-template-hash", "7d9f8b6c5"), ("tier", "backend"), ("team", namespace)] {
            object["metadata"]["labels"][key] = value.into();
        }
        api.put(object);
    }
    api
}

/// The filter for the files below `root`.
fn filter(api: &KubeApi, root: &Path, more: &str) -> String {
    let prefix = format!("{}/containers", root.display()).trim_start_matches('/').replace('/', ".");
    format!(
        "  filters:\n    - {{ name: kubernetes, match: '*', kube_url: 'http://{}', kube_tag_prefix: 'kube.{prefix}.', \
         labels: on, annotations: on{more} }}\n",
        api.address
    )
}

/// What the metadata costs, and → http.
pub(crate) fn kubernetes(bench: &Bench) -> Vec<String> {
    let (api, (root, bytes)) = (api(), bench.set());
    let null = format!("{}  outputs: [{{ name: 'null', match: '*' }}]\n", filter(&api, root, MERGED));
    let costs = (0..bench.runs(5)).map(|_| run(root, &config(root, WHOLE, &null))).collect::<Vec<_>>();
    let mut rows = throughput("files → `kubernetes` with labels and annotations, `merge_log` → `null`", bytes, &costs);
    rows.extend(everything_arrives(bench, "that → `http`, JSON lines, gzip level 1", |root, sink| {
        filter(&api, root, MERGED) + &http(sink, "/in", "")
    }));
    assert!(api.lists() > 0, "the API was asked");
    rows
}

/// The same → opensearch.
pub(crate) fn opensearch(bench: &Bench) -> Vec<String> {
    let api = api();
    everything_arrives(bench, "files → `kubernetes`, `merge_log` → `opensearch`, gzip", |root, sink| {
        format!(
            "{}  outputs:\n    - {{ name: opensearch, match: '*', host: 127.0.0.1, port: {}, index: logs, suppress_type_name: on, \
             compress: gzip }}\n",
            filter(&api, root, MERGED),
            sink.port
        )
    })
}

/// The text with labels and structured metadata → loki.
pub(crate) fn loki(bench: &Bench) -> Vec<String> {
    const LABELS: &str = "labels: \"job=x, namespace=$kubernetes['namespace_name'], app=$kubernetes['labels']['app'], \
        container=$kubernetes['container_name']\", structured_metadata: \"pod=$kubernetes['pod_name'], node=$kubernetes['host']\", \
        drop_single_key: raw, remove_keys: 'kubernetes, stream, time, _p'";
    let api = api();
    everything_arrives(
        bench,
        "files → `kubernetes` → `loki`, labels and structured metadata, snappy",
        |root, sink| {
            let output = format!("{{ name: loki, match: '*', host: 127.0.0.1, port: {}, {LABELS} }}", sink.port);
            format!("{}  outputs:\n    - {output}\n", filter(&api, root, ""))
        },
    )
}

/// Files → cloudwatch_logs, a stream for each.
pub(crate) fn cloudwatch_logs(bench: &Bench) -> Vec<String> {
    everything_arrives(bench, "files → `cloudwatch_logs`", |_, sink| {
        format!(
            "  outputs:\n    - {{ name: cloudwatch_logs, match: '*', region: us-east-1, endpoint: 'http://127.0.0.1:{}', \
             log_group_name: g, log_stream_prefix: p-, auto_create_group: on }}\n",
            sink.port
        )
    })
}
