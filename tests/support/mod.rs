//! Fake servers and real files for the tests of the whole: `mod support;` in a test, then `support::sink::Sink`.
//!
//! Nothing here sleeps to hide a race: tests wait for conditions, with a deadline.
#![allow(dead_code, unreachable_pub, reason = "each test is a crate of its own and uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a broken fake server shall fail the test at once")]

pub mod agent;
pub mod bulk;
pub mod cloudwatch;
pub mod code;
pub mod fluent_bit;
pub mod http;
pub mod instance;
pub mod journal;
pub mod kubernetes;
pub mod logs;
pub mod loki;
pub mod net;
pub mod node;
pub mod proxy;
pub mod random;
pub mod scrape;
pub mod sink;
pub mod site;
pub mod tally;
pub mod tls;
pub mod tools;
