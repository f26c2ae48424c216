//! The picture in ARCHITECTURE.md, held against the code: an arrow means "may use this and everything to its right".
//!
//! ```text
//! cli ─▶ agent ─▶ input ─▶ parse, state ┐
//!             ├─▶ filter ─▶ parse, net, state ┤
//!             ├─▶ output ─▶ net, state ┼─▶ record ─▶ config
//!             ├─▶ spool, state ┘
//!             └─▶ admin
//! ```
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use support::code::{Token, paths, tokens};

/// A folder and what the arrows from it lead to.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["agent", "admin", "input", "filter", "output", "spool", "parse", "net", "state", "record", "config"]),
    ("agent", &["input", "filter", "output", "spool", "state", "admin"]),
    ("input", &["parse", "state"]),
    ("filter", &["parse", "net", "state"]),
    ("output", &["net", "state"]),
    ("spool", &["record"]),
    ("parse", &["record"]),
    ("net", &["record"]),
    ("state", &["record"]),
    ("admin", &["record"]),
    ("record", &["config"]),
    ("config", &[]),
];

/// Macros stand at the root of the crate wherever they are declared.
const MACROS: &[(&str, &str)] = &[("options", "config"), ("option_enum", "config")];

/// What only some folders may name.
const RESERVED: &[(&str, &[&str])] = &[
    ("rusqlite", &["state"]),
    ("hyper::client", &["net"]),
    ("hyper_util::client", &["net"]),
    ("hyper::server", &["admin"]),
    ("hyper_util::server", &["admin"]),
    ("std::env", &["config"]),
    ("std::thread::spawn", &["agent", "admin", "input"]),
    ("std::thread::Builder", &["agent", "admin", "input"]),
    ("thread::spawn", &["agent", "admin", "input"]),
    ("thread::Builder", &["agent", "admin", "input"]),
    ("tokio::spawn", &["agent", "admin", "input"]),
    ("tokio::task::spawn", &["agent", "admin", "input"]),
    ("task::spawn", &["agent", "admin", "input"]),
    ("JoinSet", &["agent", "admin", "input"]),
];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "handler", "prelude", "misc"];

/// May code in `from` use `to`?
fn may_use(from: &str, to: &str) -> bool {
    let next = ARROWS.iter().find(|(folder, _)| *folder == from).map_or(&[][..], |(_, next)| next);
    from == to || next.iter().any(|folder| may_use(folder, to))
}

/// The files that may say `unsafe`, and why they do.
const UNSAFE: &[(&str, &str)] = &[
    ("src/main.rs", "declares mallopt, a function of C, and sets with it what glibc's allocator gives back"),
    ("src/net/sha256/lanes.rs", "calls functions for AVX2 and AVX-512, after asking the processor for them"),
    ("src/record/escape.rs", "calls a function for AVX2, after asking the processor for it"),
];

/// The folders with code.
const CODE: &[&str] = &["src", "tests", "benches", "fuzz/fuzz_targets"];

/// Does a file say `unsafe`, outside of texts and comments?
fn says_unsafe(text: &str) -> bool {
    tokens(text).contains(&Token::Word("unsafe".into()))
}

/// What is wrong with a file: `name` is its path below `src`.
fn problems(name: &str, text: &str) -> Vec<String> {
    let folder = name.split(['/', '.']).next().unwrap();
    // `main.rs` and `lib.rs` name everything, and do nothing.
    if matches!(name, "main.rs" | "lib.rs") {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for path in paths(&tokens(text)) {
        problems.extend(wrong_arrow(name, folder, &path));
        problems.extend(reserved(name, folder, &path));
    }
    problems
}

/// A path that leaves its folder where no arrow leads.
fn wrong_arrow(name: &str, folder: &str, path: &support::code::Path) -> Option<String> {
    let words: Vec<&str> = path.words.iter().map(String::as_str).collect();
    let supers = words.iter().take_while(|word| **word == "super").count();
    // `src/input/mod.rs` is one step below the root, `src/input/tail/file.rs` three.
    let depth = name.trim_end_matches("mod.rs").split('/').filter(|step| !step.is_empty()).count() + path.modules;
    let to = match words[..] {
        ["crate", to, ..] => to,
        _ if supers > 0 && supers >= depth => *words.get(supers)?,
        _ => return None,
    };
    let to = MACROS.iter().find(|(name, _)| *name == to).map_or(to, |(_, folder)| folder);
    let line = path.line;
    (!may_use(folder, to)).then(|| format!("{name}:{line}: {folder} must not use {to} ({})", words.join("::")))
}

fn reserved(name: &str, folder: &str, path: &support::code::Path) -> Option<String> {
    // Tests may have threads and servers of their own.
    if path.in_tests || name.contains("tests") {
        return None;
    }
    let text = path.words.join("::");
    let begins = |what: &str| text == what || text.strip_prefix(what).is_some_and(|rest| rest.starts_with("::"));
    let (what, _) = RESERVED.iter().find(|(what, owners)| begins(what) && !owners.contains(&folder))?;
    Some(format!("{name}:{}: only some may use {what}, and {folder} is none of them", path.line))
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_arrow_is_broken() {
    let source = root().join("src");
    let code: Vec<PathBuf> = files(&source).into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs")).collect();
    assert!(code.len() > 50, "only {} files: is this the right folder?", code.len());
    let name = |path: &Path| path.strip_prefix(&source).unwrap().to_string_lossy().replace('\\', "/");
    let found: Vec<String> = code.iter().flat_map(|p| problems(&name(p), &fs::read_to_string(p).unwrap())).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn only_those_files_are_unsafe_that_say_why() {
    let code = CODE.iter().flat_map(|folder| files(&root().join(folder)));
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    let rust = code.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let found: BTreeSet<String> =
        rust.filter(|path| says_unsafe(&fs::read_to_string(path).unwrap())).map(|path| name(&path)).collect();
    let listed: BTreeSet<String> = UNSAFE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        found, listed,
        "`unsafe` stands in those on the left; those on the right may have it, and give their reason"
    );
    for (text, expect) in [
        ("unsafe { a() }", true),
        ("unsafe extern \"C\" {}", true),
        ("// unsafe\n#[allow(unsafe_code)] const A: &str = \"unsafe\";", false),
    ] {
        assert_eq!(says_unsafe(text), expect, "{text}");
    }
}

#[test]
fn every_folder_is_in_the_picture() {
    let in_code = |path: PathBuf| path.is_dir().then(|| path.file_name().unwrap().to_string_lossy().into_owned());
    let folders = fs::read_dir(root().join("src")).unwrap().filter_map(|entry| in_code(entry.unwrap().path()));
    for folder in folders {
        assert!(ARROWS.iter().any(|(known, _)| *known == folder), "src/{folder} is missing in the table of arrows");
    }
}

#[test]
fn no_name_is_empty() {
    for folder in ["src", "tests"] {
        for path in files(&root().join(folder)) {
            let below = path.strip_prefix(root()).unwrap();
            let steps = below.components().map(|step| step.as_os_str().to_string_lossy().into_owned());
            let empty = steps.into_iter().find(|step| EMPTY_NAMES.contains(&step.trim_end_matches(".rs")));
            assert_eq!(empty, None, "{}: name it after what it does", below.display());
        }
    }
}

#[test]
fn every_plugin_has_an_example() {
    let examples: Vec<String> =
        files(&root().join("config")).iter().filter_map(|p| fs::read_to_string(p).ok()).collect();
    let inputs = drave::input::INPUTS.iter().map(|plugin| plugin.name);
    let filters = drave::filter::FILTERS.iter().map(|plugin| plugin.name);
    let outputs = drave::output::OUTPUTS.iter().map(|plugin| plugin.name);
    let shown: BTreeSet<&str> = examples.iter().flat_map(|text| text.lines()).filter_map(plugin_of).collect();
    for name in inputs.chain(filters).chain(outputs) {
        assert!(shown.contains(name), "no file of config/ has `name: {name}`");
    }
}

/// `- name: tail`, `name: "null"   # why`, `    Name  tail`.
fn plugin_of(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("- ");
    let (key, value) = line.split_once([':', ' ', '\t'])?;
    let value = value.split('#').next()?.trim().trim_matches(['"', '\'']);
    key.eq_ignore_ascii_case("name").then_some(value)
}

#[test]
fn the_checker_finds_what_it_is_there_for() {
    for (name, text, expect) in [
        ("input/tail/file.rs", "use crate::output::Request;", "input must not use output"),
        ("filter/grep.rs", "use crate::{config::Section, input::Pipe};", "filter must not use input"),
        ("filter/grep.rs", "use crate::{record::{Batch, json}, agent};", "filter must not use agent"),
        ("output/http.rs", "fn a() -> crate::agent::Plan { b() }", "output must not use agent"),
        ("output/http.rs", "use crate::output::{self, Limits};\nuse crate ::\n  filter;", "output must not use filter"),
        ("record/batch.rs", "impl crate::net::Client {}", "record must not use net"),
        ("admin/mod.rs", "use crate::state::State;", "admin must not use state"),
        ("input/mod.rs", "use super::output::Limits;", "input must not use output"),
        ("input/tail/mod.rs", "use super::super::output::Limits;", "input must not use output"),
        ("input/tail/cut.rs", "mod tests { use super::super::super::super::net::Client; }", "input must not use net"),
        ("spool/mod.rs", "use rusqlite::Connection;", "only some may use rusqlite"),
        ("output/http.rs", "use hyper_util::client::legacy;", "only some may use hyper_util::client"),
        ("output/http.rs", "use hyper_util::{rt, client::legacy};", "only some may use hyper_util::client"),
        ("cli/run.rs", "let a = std::env::var(\"A\");", "only some may use std::env"),
        ("cli/run.rs", "use std::{env, fs};", "only some may use std::env"),
        ("net/client.rs", "std::thread::spawn(|| ());", "only some may use std::thread::spawn"),
        ("net/client.rs", "use std::thread;\nfn a() { thread::Builder::new(); }", "only some may use thread::Builder"),
        ("output/http.rs", "tokio::spawn(async {});", "only some may use tokio::spawn"),
    ] {
        let found = problems(name, text);
        assert!(found.len() == 1 && found[0].contains(expect), "{name} {text}: {found:?}");
    }
}

#[test]
fn the_checker_lets_through_what_is_allowed() {
    for (name, text) in [
        ("input/tail/file.rs", "use crate::{parse::Joiner, record::Batch, state::State, config::Section};"),
        ("input/tail/file.rs", "use super::super::Pipe;"),
        ("input/tail/cut.rs", "mod tests { use super::super::super::Pipe; }"),
        (
            "output/http.rs",
            "// crate::agent::Plan\n/* use crate::input /* std::env */ ; */ const A: &str = \"crate::agent \\\" unsafe\";",
        ),
        ("output/http.rs", "const A: &str = r#\"crate::agent \" unsafe\"#; fn a<'a>(b: &'a str) -> char { '\"' }"),
        ("net/client.rs", "#[cfg(test)]\nmod tests { fn a() { std::thread::spawn(|| ()); } }"),
        ("net/options.rs", "crate::options! { struct A; }"),
        ("agent/run.rs", "use crate::net::Backoff; fn a() { tokio::spawn(b()); }"),
        ("config/environment.rs", "let a = std::env::vars_os();"),
        ("cli/run.rs", "let a = env!(\"A\"); let b = task::spawn_blocking(c);"),
    ] {
        assert_eq!(problems(name, text), Vec::<String>::new(), "{name} {text}");
    }
}
