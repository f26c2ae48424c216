//! `drave spool`, and spools that nobody sends any more.

use crate::support::agent::Agent;
use crate::support::site::{SOON, Site, free_address, http};
use crate::{drave, text};
use serde_json::Value;
use std::fs;

const SERVICE: &[&str] = &["flush: 100ms", "storage.path: spools", "storage.type: filesystem", "storage.sync: full"];

#[test]
fn a_spool_is_shown_while_it_is_written_and_said_when_its_output_is_gone() {
    let away = free_address();
    let site = Site::new().service(SERVICE);
    site.write("a.log", 1, 0..100);
    let config = site.config(&[http(away, &["alias: later"])]);
    let running = site.start(&[http(away, &["alias: shop"])]);
    running.wait_for("100 records in the spool", |m| m.sum("drave_output_spool_records", ("output", "shop")) == 100);
    running.wait_for("their age", |m| m.sum("drave_output_oldest_pending_seconds", ("output", "shop")) >= 2);

    let folder = running.agent.folder();
    let shown = drave(&["spool", "spools", "--check", "--format", "json"], folder);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let (of, pending) = (&shown[0], &shown[0]["pending"]);
    assert_eq!((&of["output"], &of["damaged_bytes"]), (&"shop".into(), &0.into()), "{shown:#}");
    assert_eq!((&pending["records"], &pending["inputs"]["tail.0"]["records"]), (&100.into(), &100.into()), "{shown:#}");
    assert!(of["oldest_age_seconds"].as_u64().unwrap() < 60, "{shown:#}");
    let table = text(&drave(&["spool", "spools"], folder).stdout);
    assert!(table.starts_with("OUTPUT  SEGMENTS") && table.contains("\nshop"), "{table}");

    // A byte flips.
    let folder = running.agent.into_folder();
    let file = of["segments"][0]["file"].as_str().unwrap();
    let mut bytes = fs::read(folder.path().join(file)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(folder.path().join(file), bytes).unwrap();
    let checked = drave(&["spool", "spools", "--check", "--format", "json"], folder.path());
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(checked[0]["damaged_bytes"].as_u64().unwrap() > 0, "{checked:#}");

    fs::write(folder.path().join("drave.yaml"), config).unwrap();
    let said = text(&drave(&["check", "drave.yaml"], folder.path()).stderr);
    assert!(said.contains("the spool of `shop` is kept and not sent, because there is no such output"), "{said}");
    let agent = Agent::start_on(folder, "drave.yaml", &[]);
    assert!(agent.wait_for_stderr("the spool of `shop` is kept and not sent", SOON), "{}", agent.stderr());
    assert!(agent.stderr().lines().any(|l| l.contains("WARN") && l.contains("`shop`")), "{}", agent.stderr());
}

#[test]
fn a_folder_without_spools() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("spools/tail.0")).unwrap();
    let none = drave(&["spool", "spools"], folder.path());
    assert_eq!((none.status.code(), text(&none.stdout).as_str()), (Some(0), "no spools in spools\n"));
    let missing = drave(&["spool", "nowhere"], folder.path());
    assert_eq!(missing.status.code(), Some(64));
    assert!(text(&missing.stderr).contains("`storage.path`"), "{}", text(&missing.stderr));
}
