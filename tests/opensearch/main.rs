//! The outputs `opensearch` and `es` by the real binary: against a strict `_bulk`, against a real node of OpenSearch, and signatures
//! against another implementation.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod ids;
mod node;
mod servers;
mod signature;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::net::SocketAddr;
use support::site::Site;

/// An output section, for documents without a type.
fn output(name: &str, address: SocketAddr, options: &[&str]) -> String {
    let head =
        format!("    - name: {name}\n      match: '*'\n      host: {}\n      port: {}\n", address.ip(), address.port());
    let options: String = options.iter().map(|option| format!("      {option}\n")).collect();
    head + "      suppress_type_name: on\n" + &options
}

/// A site whose lines are parsed as JSON, with dead letters.
fn json_site() -> Site {
    let site = Site::new();
    fs::write(
        site.path("parsers.conf"),
        "[PARSER]\n    Name json\n    Format json\n    Time_Key at\n    Time_Format %s\n",
    )
    .unwrap();
    site.service(&["flush: 100ms", "parsers_file: parsers.conf", "storage.dead_letter: dead.jsonl"]).inputs(&[(
        "app.shop",
        "logs/*.log",
        &["parser: json"],
    )])
}

/// Lines of JSON with sequence numbers, one a second.
fn lines(file: u32, numbers: std::ops::Range<u32>) -> Vec<u8> {
    let line =
        |n| format!("{{\"at\":\"{}\",\"msg\":\"{}\",\"n\":{n}}}\n", 1_709_287_200 + n, support::node::number(file, n));
    numbers.map(line).collect::<String>().into_bytes()
}
