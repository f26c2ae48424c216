//! `deploy/helm/drave`, with the values that people have.

use super::manifests::check_daemonset;
use super::support::tools::tool;
use super::*;
use serde_json::json;

/// Some tests render it with values of their own.
pub(crate) fn render(values: &[&str]) -> Option<Vec<Value>> {
    let helm = tool("helm")?;
    let mut command = Command::new(helm);
    command
        .args(["template", "drave", "--namespace", "logging", "--kube-version", "1.34.0"])
        .arg(path("deploy/helm/drave"));
    values.iter().for_each(|values| _ = command.args(["--values", values]));
    Some(documents(&output_of(&mut command)))
}

fn values(name: &str) -> String {
    path("tests/deploy/values").join(format!("{name}.yaml")).display().to_string()
}

/// The ConfigMap of the agent: name and text of its main file, and the others.
pub(crate) fn configuration(objects: &[Value]) -> (String, String, Vec<(String, String)>) {
    let map = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    let files =
        map["data"].as_object().unwrap().iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()));
    let (main, others): (Vec<_>, Vec<_>) = files.partition(|(name, _)| name.starts_with("drave."));
    let (name, text) = main.into_iter().next().unwrap();
    (name, text, others)
}

#[test]
fn the_chart_passes_helms_own_check() {
    let Some(helm) = tool("helm") else { return };
    for name in ["everything", "fluent_bit", "aws_for_fluent_bit", "yaml"] {
        let mut command = Command::new(&helm);
        command.args(["lint", "--strict", "--kube-version", "1.34.0", "--values", &values(name)]);
        output_of(command.arg(path("deploy/helm/drave")));
    }
}

#[test]
fn what_is_rendered_is_valid_and_its_configuration_is_correct() {
    let Some(validator) = tool("kubernetes-validate") else { return };
    let mut all = Vec::new();
    for name in ["", "everything", "fluent_bit", "aws_for_fluent_bit", "yaml"] {
        let files: Vec<String> = if name.is_empty() { vec![] } else { vec![values(name)] };
        let Some(objects) = render(&files.iter().map(String::as_str).collect::<Vec<_>>()) else { return };
        let (file, text, others) = configuration(&objects);
        let others: Vec<(&str, &str)> = others.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        // As the image and the mounts have it.
        let text = text.replace("/fluent-bit/etc/conf/", "");
        let text = text.replace("/fluent-bit/", &format!("{}/", path("deploy/image").display()));
        check(&file, &text, &others);
        let daemonset = the(&objects, "DaemonSet");
        let args = &daemonset["spec"]["template"]["spec"]["containers"][0]["args"];
        assert_eq!(args, &json!(["-c", format!("/etc/drave/{file}")]), "{name}");
        all.extend(objects);
    }
    validate(&validator, &all);
}

#[test]
fn without_values_it_is_the_daemonset_of_the_manifests() {
    let Some(objects) = render(&[]) else { return };
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ServiceAccount", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "Service", "DaemonSet"]);
    check_daemonset(the(&objects, "DaemonSet"), "/etc/drave/drave.conf");
    let pods = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] }]);
    assert_eq!(the(&objects, "ClusterRole")["rules"], pods);
}

#[test]
fn every_switch_does_what_it_says() {
    let Some(objects) = render(&[&values("everything")]) else { return };
    let rules = the(&objects, "ClusterRole")["rules"].to_string();
    ["pods", "namespaces", "nodes", "nodes/proxy"]
        .iter()
        .for_each(|right| assert!(rules.contains(&format!("\"{right}\"")), "{rules}"));
    let pod = &the(&objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "logs-writer");
    let container = &pod["containers"][0];
    assert!(container["image"].as_str().unwrap().starts_with("registry.example/drave@sha256:"));
    let mounts = container["volumeMounts"].to_string();
    ["/more", "/older", "/fluent-bit/scripts", "/fluent-bit/etc/conf"]
        .iter()
        .for_each(|path| assert!(mounts.contains(path), "{path}"));
    let (_, text, _) = configuration(&objects);
    for part in ["cluster prod", "environment eu", "/eks/prod/", "storage.total_limit_size  2G", "compress gzip"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let monitor = the(&objects, "ServiceMonitor");
    assert_eq!(monitor["spec"]["endpoints"][0]["honorLabels"], true);
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    // The chart's alerts, and one's own.
    let groups = the(&objects, "PrometheusRule")["spec"]["groups"].as_array().unwrap();
    assert_eq!(groups[0], documents(&read("deploy/helm/drave/alerts.yaml"))[0]["groups"][0]);
    assert_eq!(groups[1]["name"], "mine");
    let dashboard = objects.iter().find(|object| object["data"]["drave.json"].is_string()).unwrap();
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(
        dashboard["data"]["drave.json"].as_str().unwrap().trim(),
        read("deploy/helm/drave/dashboards/drave.json").trim()
    );
}

/// Copies of their charts' values name volumes that are there already, and what this chart does not do.
#[test]
fn values_of_the_other_charts_are_taken_whole() {
    for (name, more) in [("fluent_bit", "/etc/machine-id"), ("aws_for_fluent_bit", "/var/lib/docker/containers")] {
        let Some(objects) = render(&[&values(name)]) else { return };
        let pod = &the(&objects, "DaemonSet")["spec"]["template"]["spec"];
        let names = |list: &Value, key: &str| -> Vec<String> {
            list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
        };
        for (list, key) in [(&pod["volumes"], "name"), (&pod["containers"][0]["volumeMounts"], "mountPath")] {
            let mut names = names(list, key);
            names.sort();
            assert!(names.is_sorted_by(|a, b| a != b), "{name}: {names:?}");
        }
        assert!(names(&pod["containers"][0]["volumeMounts"], "mountPath").iter().any(|path| path == more), "{name}");
        let monitor = the(&objects, "ServiceMonitor");
        assert_eq!(monitor["spec"]["endpoints"][0]["scrapeTimeout"], "10s", "{name}");
    }
}

/// As one has it for the chart fluent-bit.
#[test]
fn a_config_map_of_ones_own_takes_the_place_of_the_charts() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "existingConfigMap: mine\n").unwrap();
    let Some(objects) = render(&[&file.path().display().to_string()]) else { return };
    assert!(objects.iter().all(|object| object["kind"] != "ConfigMap"));
    let pod = &the(&objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["args"], json!(["-c", "/etc/drave/fluent-bit.conf"]));
    assert_eq!(pod["volumes"][0]["configMap"]["name"], "mine");
}

#[test]
fn a_value_that_is_misspelt_is_an_error() {
    let Some(helm) = tool("helm") else { return };
    for wrong in [
        "clustername=prod",
        "cloudWatchLogs.logGroup=x",
        "logLevel=loud",
        "metricsPort=0",
        "kinesis.enabled=true",
        "kind=Deployment",
    ] {
        let mut command = Command::new(&helm);
        command.args(["template", "x", "--kube-version", "1.34.0", "--set", wrong]).arg(path("deploy/helm/drave"));
        assert!(!command.output().unwrap().status.success(), "{wrong}");
    }
}

/// The schema knows each value, so that a new one is not an error; what it knows beside that belongs to other charts, and says so.
#[test]
fn the_schema_knows_the_values() {
    let schema: Value = serde_json::from_str(&read("deploy/helm/drave/values.schema.json")).unwrap();
    compare("", &documents(&read("deploy/helm/drave/values.yaml"))[0], &schema);
}

fn compare(at: &str, value: &Value, schema: &Value) {
    let (Some(values), Some(properties)) = (value.as_object(), schema["properties"].as_object()) else { return };
    for (name, value) in values {
        let inner = properties.get(name).unwrap_or_else(|| panic!("{at}.{name} is not in values.schema.json"));
        compare(&format!("{at}.{name}"), value, inner);
    }
    for (name, inner) in properties.iter().filter(|(name, _)| !values.contains_key(*name)) {
        assert!(
            name == "global" || inner["description"].as_str().is_some_and(|d| d.starts_with("Of the chart ")),
            "{at}.{name}"
        );
    }
}
