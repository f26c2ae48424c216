//! What the whole configuration of [`official`](super::official) costs while nothing happens: 100 containers, a journal, all quiet.
//!
//! ```sh
//! cargo test --release --test node_logs -- --ignored --nocapture idle
//! DRAVE_PROGRAM=target/release/drave DRAVE_IDLE_SECONDS=60 cargo test --test node_logs -- --ignored --nocapture idle
//! ```
#![allow(clippy::disallowed_methods, reason = "tests have no config to read the environment for them")]

use super::official::{Site, count};
use super::support::agent::poll;
use super::support::journal::{Entry, Form, Tools};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

const CONTAINERS: usize = 100;
const MEGA: f64 = 1e6;
const RSS_MAX: f64 = 24.0;
/// Of a core, in per cent.
const CPU_MAX: f64 = 0.5;
/// How long the start may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "measures for a minute, on a machine that does nothing else, and means the release build"]
fn it_costs_next_to_nothing() {
    let program = env::var_os("DRAVE_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_drave").into(), PathBuf::from);
    let seconds = env::var("DRAVE_IDLE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let site = Site::new().with_journal();
    let mut logs: Vec<_> = (0..CONTAINERS).map(|n| site.container("shop", &format!("web-{n}"))).collect();
    logs.iter_mut().for_each(|log| log.write_cri("stdout", "F", "a line"));
    let mut expected = 4 + CONTAINERS;
    if let Some(tools) = Tools::find() {
        let folder = site.path("var/log/journal/3d1219c7c4c5404aaa1f6d2a48adfda4");
        fs::create_dir(&folder).unwrap();
        let form = Form { compact: true, keyed: true, compressed: true, sealed: false };
        let now = jiff::Timestamp::now().as_microsecond().cast_unsigned();
        let entry = |n| {
            Entry::of(n, if u64::is_multiple_of(n, 4) { "kubelet.service" } else { "sshd.service" })
                .at(now - 1_000_000 + n)
        };
        tools.write(&folder.join("system.journal"), &(0..4000).map(entry).collect::<Vec<_>>(), form);
        expected += 1000;
    }
    let (mut agent, cloud, ..) = site.start_program(&program);
    assert!(poll(PATIENCE, || count(&cloud) >= expected), "{} of {expected}\n{}", count(&cloud), agent.stderr());
    sleep(Duration::from_secs(10));
    let before = agent.cpu_seconds();
    sleep(Duration::from_secs(seconds));
    let cpu = 100.0 * (agent.cpu_seconds() - before) / seconds as f64;
    let (rss, peak) = (agent.rss_bytes() as f64 / MEGA, agent.peak_rss_bytes() as f64 / MEGA);
    println!("idle for {seconds} s: {rss:.1} MB RSS ({peak:.1} at the peak), {cpu:.2} % of a core");
    assert_eq!(agent.stop(), Some(0));
    assert!(rss <= RSS_MAX && cpu <= CPU_MAX, "{rss:.1} MB (at most {RSS_MAX}), {cpu:.2} % (at most {CPU_MAX})");
}
