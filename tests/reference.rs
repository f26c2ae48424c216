//! The reference: its pages in `config/reference` are those of the declarations, and `drave help` shows the same.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and is asked by a variable to renew the pages"
)]

use drave::cli::help;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/reference")
}

#[test]
fn the_pages_are_up_to_date() {
    let pages = help::reference();
    if std::env::var_os("DRAVE_UPDATE").is_some() {
        let _ = fs::remove_dir_all(folder());
        fs::create_dir_all(folder()).unwrap();
        pages.iter().for_each(|(name, text)| fs::write(folder().join(name), text).unwrap());
    }
    let renew = "run DRAVE_UPDATE=1 cargo test --test reference";
    let there = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let wanted: BTreeSet<String> = pages.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(there.collect::<BTreeSet<_>>(), wanted, "{renew}");
    for (name, text) in &pages {
        let now = fs::read_to_string(folder().join(name)).unwrap();
        assert!(now == *text, "config/reference/{name} is out of date: {renew}");
    }
}

fn drave_help(topic: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drave")).arg("help").args(topic).output().unwrap()
}

fn said(topic: &[&str]) -> String {
    let output = drave_help(topic);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{topic:?}");
    String::from_utf8(output.stdout).unwrap()
}

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "reference", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

#[test]
fn help_lists_everything_and_shows_pages() {
    snapshot!("overview", said(&[]));
    snapshot!("filter_kubernetes", said(&["filter", "kubernetes"]));
    assert_eq!(said(&["tail"]), said(&["inputs", "TAIL"]));
    assert!(said(&["service"]).contains("flush (time, default 1)"));
    for page in help::pages() {
        let title = page.title();
        let text = said(&title.split(' ').collect::<Vec<_>>());
        let missing = page.options().find(|option| !text.contains(option.name));
        assert!(missing.is_none(), "{title}: {missing:?}\n{text}");
        let long = text.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "{title}");
    }
}

#[test]
fn help_about_nothing_names_the_nearest() {
    for (topic, hint) in [
        (&["tial"][..], "did you mean `drave help tail`?"),
        (&["input", "tial"], "did you mean `drave help input tail`?"),
        (&["kafka"], "drave has no input `kafka`"),
        (&["output", "kafka"], "drave has no output `kafka`"),
        (&["everything", "else"], "drave help shows what there is"),
    ] {
        let output = drave_help(topic);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{topic:?}");
        assert!(stderr.starts_with("error: ") && stderr.contains(hint), "{topic:?}: {stderr}");
    }
}
