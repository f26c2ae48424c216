//! `drave check` over a folder of broken configurations: the whole of what it says about each, by the real plugins.
//!
//! What the two readers say of a file's shape alone is in `tests/config.rs`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn check(name: &str, folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drave")).args(["check", name]).env_clear().current_dir(folder).output().unwrap()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check").join(name)
}

#[test]
fn each_broken_file_is_told_all_that_is_wrong() {
    let mut names: Vec<_> =
        fs::read_dir(folder("broken")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 25);
    for name in names {
        let output = check(&name, &folder("broken"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{name}: {said}");
        assert!(!said.contains("very-secret"), "{name}: a secret shows:\n{said}");
        insta::with_settings!({ snapshot_path => "check", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.replace('.', "_"), said);
        });
    }
}

#[test]
fn what_asks_for_nothing_is_not_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = "tls.verify_client_cert: off, oauth2.enable: no, aws_auth: 'False'";
    let text = format!(
        "service: {{security.fips_mode: off}}\npipeline: {{inputs: [{{name: tail, path: /a, db: p.db, multiline: off}}], outputs: [{{name: http, match: '*', {options}}}]}}"
    );
    fs::write(folder.path().join("off.yaml"), text).unwrap();
    let output = check("off.yaml", folder.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.ends_with("\n1 note\n") && said.contains("`tls.verify_client_cert`"), "{said}");
}

#[test]
fn a_second_db_in_another_folder_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let input = |db: &str, n: u8| format!("{{name: tail, path: /{n}, db: {db}}}");
    let inputs = [input("one/p.db", 1), input("one/q.db", 2), input("two/p.db", 3)].join(", ");
    let text = format!("pipeline: {{inputs: [{inputs}], outputs: [{{name: stdout, match: '*'}}]}}");
    fs::create_dir(folder.path().join("one")).unwrap();
    fs::write(folder.path().join("db.yaml"), text).unwrap();
    let output = check("db.yaml", folder.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.ends_with("\n1 note\n") && said.contains("one, with those of all inputs"), "{said}");
}

#[test]
fn a_huge_file_is_told_something_soon() {
    let folder = tempfile::tempdir().unwrap();
    let line = "    key value that belongs to nothing at all\n";
    for (name, text) in [
        ("huge.conf", line.repeat(200_000)),
        ("long.conf", "a".repeat(8 << 20)),
        ("huge.yaml", "a: ".repeat(1 << 20)),
        ("zeros.conf", "\0".repeat(4 << 20)),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
        let begun = Instant::now();
        let output = check(name, folder.path());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}");
        assert!(said.len() < 100_000 && said.contains("error: "), "{name}: {} bytes", said.len());
        assert!(begun.elapsed() < Duration::from_secs(30), "{name}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_folder_is_no_configuration() {
    let output = check("broken", &folder(""));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(said.contains("cannot read broken: ") && said.contains("hint: "), "{said}");
}
