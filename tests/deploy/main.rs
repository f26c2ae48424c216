//! What brings drave onto nodes and into pods: manifests, the chart, alerts, dashboards, the image's files, the static binary. Nothing here needs
//! a cluster; what is rendered is held against the schemas of Kubernetes, and what stands in it against the real binary.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod chart;
mod image;
mod manifests;
mod memory;
mod metrics;
mod rights;
mod runs;
mod static_binary;
#[path = "../support/mod.rs"]
mod support;

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents of a YAML text, the empty ones left out.
fn documents(text: &str) -> Vec<Value> {
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    documents.iter().map(json).filter(|document| !document.is_null()).collect()
}

fn json(yaml: &Yaml<'_>) -> Value {
    if let Some(sequence) = yaml.as_sequence() {
        return sequence.iter().map(json).collect();
    }
    if let Some(mapping) = yaml.as_mapping() {
        let entry = |(key, value): (&Yaml<'_>, &Yaml<'_>)| (key.as_str().unwrap().to_owned(), json(value));
        return Value::Object(mapping.iter().map(entry).collect());
    }
    let scalar = || Some(yaml.as_integer()?.into());
    let scalar = scalar().or_else(|| yaml.as_bool().map(Value::Bool));
    let scalar = scalar.or_else(|| yaml.as_floating_point().map(Value::from));
    scalar.or_else(|| yaml.as_str().map(Value::from)).unwrap_or(Value::Null)
}

/// The only object of a kind.
#[track_caller]
fn the<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}: {found:#?}");
    found[0]
}

/// What a program says when it is well.
#[track_caller]
fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Holds objects against the schemas of these versions of Kubernetes, unknown fields included.
fn validate(validator: &Path, objects: &[Value]) {
    let folder = tempfile::tempdir().unwrap();
    // Prometheus's operator defines these.
    let known = objects.iter().filter(|object| object["apiVersion"] != "monitoring.coreos.com/v1");
    let files: Vec<PathBuf> = known
        .enumerate()
        .map(|(number, object)| {
            let file = folder.path().join(format!("{number}.yaml"));
            // JSON is YAML.
            fs::write(&file, object.to_string()).unwrap();
            file
        })
        .collect();
    for version in ["1.30", "1.37"] {
        output_of(Command::new(validator).args(["--strict", "--quiet", "-k", version]).args(&files));
    }
}

/// `drave check`, with the variables that the manifest sets.
#[track_caller]
fn check(name: &str, config: &str, files: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files.iter().chain([&(name, config)]) {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    let variables = [("NODE_NAME", "node-1"), ("POD_NAME", "pod"), ("ES_HOST", "es"), ("ES_PASSWORD", "x")];
    let checked = command.arg("check").arg(folder.path().join(name)).envs(variables).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{config}\n{said}");
    assert!(!said.contains("is not set"), "{config}\n{said}");
}
