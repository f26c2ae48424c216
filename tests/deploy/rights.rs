//! The security context, tried: who may read the logs of a node, which are root's and 0640.

use super::support::agent::{Agent, poll};
use super::support::node::{Node, PATIENCE, numbers};
use super::*;
use rustix::process::geteuid;
use std::os::unix::fs::{PermissionsExt, chown};

const OTHER_USER: u32 = 65532;
const DAC_READ_SEARCH: u64 = 1 << 2;
/// To read everything, to become another user, to limit capabilities.
const NEEDED: u64 = DAC_READ_SEARCH | 1 << 6 | 1 << 7 | 1 << 8;

/// An agent under these limits, with a log that root alone may read. `None` where this is not root, or has not the rights itself.
fn start(limits: &[&str]) -> Option<(Node, Agent)> {
    if !geteuid().is_root() || own_capabilities() & NEEDED != NEEDED {
        println!("skipped: only root with its capabilities can try this");
        return None;
    }
    let setpriv = Path::new("/usr/bin/setpriv");
    let node = Node::plain();
    let state = node.path("state");
    fs::create_dir(&state).unwrap();
    chown(&state, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    // Of root again where root runs it, as on a node.
    if !limits.iter().any(|limit| limit.starts_with("--reuid")) {
        chown(&state, Some(0), Some(0)).unwrap();
    }
    fs::set_permissions(node.root(), fs::Permissions::from_mode(0o755)).unwrap();
    node.append("logs/a.log", numbers(1, 0..10));
    fs::set_permissions(node.path("logs/a.log"), fs::Permissions::from_mode(0o640)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("drave.yaml"), node.config()).unwrap();
    let line: Vec<&str> = limits.iter().copied().chain([env!("CARGO_BIN_EXE_drave"), "-c", "drave.yaml"]).collect();
    let agent = Agent::start_line(setpriv, folder, &line, &[]);
    assert!(agent.wait_for_stderr("following files=", PATIENCE), "{}", agent.stderr());
    Some((node, agent))
}

/// The effective capabilities of the agent.
fn capabilities(agent: &Agent) -> u64 {
    capabilities_in(&format!("/proc/{}/status", agent.pid().as_raw_nonzero()))
}

fn own_capabilities() -> u64 {
    capabilities_in("/proc/self/status")
}

fn capabilities_in(status: &str) -> u64 {
    let status = fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
fn root_without_any_capability_reads_the_logs_of_the_node() {
    let limits = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
    let Some((node, mut agent)) = start(&limits) else { return };
    assert_eq!(capabilities(&agent), 0);
    node.expect(10);
    assert_eq!(agent.stop(), Some(0));
    assert!(node.path("state/drave.db").exists());
}

#[test]
fn another_user_needs_the_capability_to_read_what_is_not_its_own_and_no_other() {
    let ids = ["--reuid=65532", "--regid=65532", "--clear-groups"];
    let read_search = [
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ];
    let Some((node, mut agent)) = start(&[&ids[..], &read_search].concat()) else { return };
    assert_eq!(capabilities(&agent), DAC_READ_SEARCH);
    node.expect(10);
    assert_eq!(agent.stop(), Some(0));

    let Some((node, agent)) = start(&[&ids[..], &["--inh-caps=-all", "--bounding-set=-all"]].concat()) else { return };
    assert!(agent.wait_for_stderr("ermission denied", PATIENCE), "{}", agent.stderr());
    assert!(!poll(std::time::Duration::from_millis(300), || !node.texts().is_empty()), "{:?}", node.texts());
}
