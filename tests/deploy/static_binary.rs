//! The binary that the image carries, in a root with nothing else in it. `deploy/build --dev` makes it; where it was not made, the tests say so.
#![allow(clippy::disallowed_methods, reason = "tests have no config to read the environment for them")]

use super::support::agent::Agent;
use super::support::node::{PATIENCE, numbers};
use super::support::sink::Sink;
use super::*;
use rustix::process::geteuid;
use std::env;

/// A binary of `deploy/build`, if it was built; with `DRAVE_TESTS=all` the one for this machine has to be there, unless `DRAVE_STATIC=missing`
/// says that it was tried.
pub(crate) fn binary(architecture: &str) -> Option<PathBuf> {
    let file = path("target/static").join(format!("drave-{architecture}"));
    if file.exists() {
        return Some(file);
    }
    let what = format!("target/static/drave-{architecture} is missing (run deploy/build --dev {architecture})");
    let is = |name, value| env::var_os(name).is_some_and(|set| set == value);
    let must_be_there = is("DRAVE_TESTS", "all") && !is("DRAVE_STATIC", "missing");
    assert!(!must_be_there || architecture != native(), "{what}");
    println!("skipped: {what}");
    None
}

pub(crate) fn native() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Everything that is linked in: LuaJIT, SQLite, the time zones, compression.
const CONFIG: &str = "
service:
  flush: 0.1
parsers:
  - name: line
    format: regex
    regex: '^(?<log>.*)$'
pipeline:
  inputs:
    - name: tail
      path: /logs/*.log
      tag: app
      parser: line
      read_from_head: on
      db: /state/positions.db
  filters:
    - name: lua
      match: '*'
      call: mark
      code: |
        function mark(tag, timestamp, record)
          record.lua = 20 + 1
          return 2, timestamp, record
        end
  outputs:
    - name: http
      match: '*'
      host: 127.0.0.1
      port: PORT
      format: json_lines
      compress: gzip
";

/// The words before a program that see this folder as the root of all.
pub(crate) fn chroot(root: &Path) -> Vec<String> {
    let mut line = vec!["chroot".to_owned(), root.display().to_string()];
    if !geteuid().is_root() {
        line.splice(0..0, ["unshare", "--user", "--map-root-user"].map(str::to_owned));
    }
    line
}

/// Runs it from a root with the binary, a configuration and a log in it; `emulator` is put beside it.
fn run_from_nothing(binary: &Path, emulator: Option<&Path>) {
    let sink = Sink::start();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("logs")).unwrap();
    fs::copy(binary, root.join("drave")).unwrap();
    fs::write(root.join("drave.yaml"), CONFIG.replace("PORT", &sink.address.port().to_string())).unwrap();
    fs::write(root.join("logs/a.log"), numbers(1, 0..10)).unwrap();
    let mut line = chroot(&root);
    if let Some(emulator) = emulator {
        fs::copy(emulator, root.join("emulator")).unwrap();
        line.push("/emulator".into());
    }
    line.push("/drave".into());
    let run = |arguments: &[&str]| output_of(Command::new(&line[0]).args(&line[1..]).args(arguments));
    assert_eq!(run(&["--version"]).trim(), concat!("drave ", env!("CARGO_PKG_VERSION")));
    run(&["check", "/drave.yaml"]);
    let program =
        ["/usr/sbin", "/usr/bin"].iter().map(|bin| Path::new(bin).join(&line[0])).find(|p| p.exists()).unwrap();
    let line: Vec<&str> = line[1..].iter().map(String::as_str).chain(["-c", "/drave.yaml"]).collect();
    let mut agent = Agent::start_line(&program, folder, &line, &[]);
    assert!(sink.wait_for(10, PATIENCE), "{}", agent.stderr());
    assert!(sink.records().iter().all(|record| record["lua"] == 21), "{:?}", sink.records());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert!(agent.folder().join("root/state/drave.db").exists());
}

#[test]
fn it_needs_nothing() {
    let Some(binary) = binary(native()) else { return };
    run_from_nothing(&binary, None);
}

#[test]
fn the_other_architecture_runs_under_its_emulator() {
    let (architecture, emulator) =
        if native() == "amd64" { ("arm64", "qemu-aarch64-static") } else { ("amd64", "qemu-x86_64-static") };
    let Some(binary) = binary(architecture) else { return };
    let folders = [path("target/tools/bin"), "/usr/bin".into()];
    let Some(emulator) = folders.iter().map(|folder| folder.join(emulator)).find(|file| file.exists()) else {
        println!("skipped: {emulator} is missing");
        return;
    };
    run_from_nothing(&binary, Some(&emulator));
}
