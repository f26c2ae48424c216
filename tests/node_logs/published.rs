//! Configurations that charts and documents hand out, with their directives: each is accepted, and what has no effect is said.
//! A file `NAME.journal.conf` beside `NAME.conf` is read too.

use super::copy_folder;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

const VARIABLES: &[(&str, &str)] =
    &[("FLUENT_ELASTICSEARCH_HOST", "search.example"), ("FLUENT_ELASTICSEARCH_PORT", "9200"), ("NODE_NAME", "node-1")];

fn check(name: &str, folder: &std::path::Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    let command = command.args(["check", name]).env_clear().envs(VARIABLES.iter().copied()).current_dir(folder);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn each_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder("published", folder.path());
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let all: BTreeSet<String> = names.collect();
    let mains: Vec<&String> =
        all.iter().filter(|name| !name.contains(".journal.") && !name.starts_with("part-")).collect();
    assert!(mains.len() >= 5, "{mains:?}");
    for name in mains {
        let (status, said) = check(name, folder.path());
        assert_eq!(status, Some(0), "{name}: {said}");
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.replace('.', "_"), said);
        });
        let journal = format!("{}.journal.conf", name.trim_end_matches(".conf"));
        if all.contains(&journal) {
            let both = format!("{}\n@INCLUDE {journal}\n", fs::read_to_string(folder.path().join(name)).unwrap());
            fs::write(folder.path().join(name), both).unwrap();
            let (status, said) = check(name, folder.path());
            assert_eq!(status, Some(0), "{name} with {journal}: {said}");
        }
    }
}
