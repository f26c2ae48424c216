//! The soak: containers write and kubelet rotates, while the server fails in turn in all the ways that it can, and drave is killed and
//! stopped now and then. Every line arrives, and the accounts hold in each sample.
//!
//! `DRAVE_SEED` repeats a run, `DRAVE_SOAK_SECONDS` makes it longer.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::agent::Agent;
use support::logs::ContainerLog;
use support::node::{Node, number};
use support::random::{Random, from_environment, seed_of_run};
use support::scrape::{Metrics, get};
use support::sink::{Act, Sink};
use support::site::free_address;

const CONTAINERS: u32 = 4;
/// Lines that each container writes in a second, about.
const RATE: u64 = 400;
const SECONDS: u64 = 20;
/// How long the rest may take at the end, in which the spool is drained.
const AT_THE_END: Duration = Duration::from_secs(90);

fn write(mut log: ContainerLog, file: u32, seed: u64, over: &AtomicBool, written: &AtomicU64) {
    // What is not read and not in the spool must stay.
    log.files_max = 1000;
    let mut random = Random(seed);
    let mut at = 0;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..RATE / 20 {
            let text = format!("{}{}", number(file, at), "x".repeat(random.below(200) as usize));
            log.write_cri("stdout", "F", &text);
            at += 1;
            written.fetch_add(1, Ordering::Relaxed);
        }
        if random.below(100) == 0 {
            log.rotate();
            sleep(Duration::from_millis(random.below(20)));
            log.reopen();
        }
        sleep(Duration::from_millis(50));
    }
}

/// What the server does next.
fn misbehave(sink: &Sink, random: &mut Random) -> &'static str {
    let mut own = Random(random.seed());
    let one_of = |part: u64, mut bad: Box<dyn FnMut() -> Act + Send>, own: &mut Random| {
        let mut own = Random(own.seed());
        sink.answer_with(move |_| if own.below(part) == 0 { bad() } else { Act::status(200) });
    };
    match random.below(8) {
        0 => {
            sink.answer_with(|_| Act::status(503));
            "unavailable"
        }
        1 => {
            sink.answer_with(|_| Act::Close);
            "closed"
        }
        2 => {
            one_of(2, Box::new(|| Act::status(429).with_header("retry-after", "1")), &mut own);
            "429"
        }
        3 => {
            one_of(3, Box::new(|| Act::ResetMidAnswer), &mut own);
            "reset"
        }
        4 => {
            one_of(4, Box::new(|| Act::Hang), &mut own);
            "hanging"
        }
        5 => {
            sink.answer_with(|_| Act::status(200).after(Duration::from_millis(200)));
            "slow"
        }
        6 => {
            sink.answer_with(|request| Act::status(if request.body.len() > 2000 { 413 } else { 200 }));
            "too large"
        }
        _ => {
            sink.answer_with(|_| Act::status(200));
            "well"
        }
    }
}

/// The accounts hold; nothing is given up.
fn check(metrics: &Metrics, seed: u64) {
    let of = ("output", "http.0");
    for unit in ["records", "bytes"] {
        let get = |word: &str| metrics.sum(&format!("drave_output_{word}_{unit}_total"), of);
        let pending = metrics.sum(&format!("drave_output_pending_{unit}"), of);
        let right = get("delivered") + get("refused") + get("dropped") + pending;
        assert_eq!(get("routed"), right, "seed {seed}: {metrics:#?}");
        assert_eq!((get("refused"), get("dropped"), pending < 0), (0, 0, false), "seed {seed}: {metrics:#?}");
        let input = |word: &str| metrics.sum(&format!("drave_input_{word}_{unit}_total"), ("input", "tail.0"));
        let open = metrics.sum(&format!("drave_input_open_{unit}"), ("input", "tail.0"));
        let right = input("routed") + input("joined") + input("dropped") + open;
        assert_eq!(input("read") + input("made"), right, "seed {seed}: {metrics:#?}");
    }
}

/// Samples the accounts for some time; the samples.
fn watch(admin: SocketAddr, time: Duration, seed: u64) -> u64 {
    let until = Instant::now() + time;
    let mut samples = 0;
    while Instant::now() < until {
        if let Some(page) = get(admin, "/metrics") {
            check(&Metrics::parse(&page.body).unwrap(), seed);
            samples += 1;
        }
        sleep(Duration::from_millis(50));
    }
    samples
}

fn node(admin: SocketAddr) -> Node {
    let node = Node::new().tail("refresh_interval", "2");
    let spool = node.path("spool").display().to_string();
    node.service("storage.path", &spool)
        .service("storage.type", "filesystem")
        .service("mem_limit", "1M")
        .service("grace", "2")
        .service("http_server", "on")
        .service("http_listen", "127.0.0.1")
        .service("http_port", &admin.port().to_string())
        .output("http.response_timeout", "2s")
        .output("batch_bytes_max", "32k")
}

#[test]
fn whatever_happens_every_line_arrives() {
    let seed = seed_of_run();
    let time = Duration::from_secs(from_environment("DRAVE_SOAK_SECONDS").unwrap_or(SECONDS));
    let admin = free_address();
    let node = node(admin);
    let (over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut random = Random(seed);
    let logs: Vec<ContainerLog> = (0..CONTAINERS).map(|file| node.container(&format!("web-{file}"))).collect();
    assert_eq!(node.start().stop(), Some(0));
    let mut agent = Agent::start(&node.config());
    let mut samples = 0;
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        for (file, log) in (0..).zip(logs) {
            let (seed, over, written) = (random.seed(), &over, &written);
            scope.spawn(move || write(log, file, seed, over, written));
        }
        // A panic in here must end the writers, too.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while Instant::now() < end {
                let what = misbehave(&node.sink, &mut random);
                println!("{what}");
                samples += watch(admin, Duration::from_millis(random.below(7000)), seed);
                match random.below(4) {
                    0 => agent.kill(),
                    1 => _ = agent.stop(),
                    _ => continue,
                }
                agent = Agent::start(&node.config());
            }
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    node.sink.answer_with(|_| Act::status(200));
    let written = written.into_inner();
    let all = node.sink.wait_for(written, AT_THE_END);
    samples += watch(admin, Duration::from_millis(200), seed);
    let counts = node.sink.counts();
    println!("{written} lines, {} came twice, {samples} samples, seed {seed}", counts.duplicates);
    assert!(all && counts.gaps.is_empty(), "seed {seed}: {written} {counts:?}\n{}", agent.stderr());
    assert!(samples > time.as_secs() * 5, "seed {seed}: {samples}");
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
}
