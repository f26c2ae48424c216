//! Takes everything and keeps nothing: for measuring what comes before.
//!
//! ```yaml
//! outputs:
//!   - name: null
//!     match: '*'
//! ```

use super::{Limits, Needs, Outcome, Output, OutputPlugin, Pieces, Request};
use crate::record::Batch;
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;

pub(super) const PLUGIN: OutputPlugin = OutputPlugin {
    name: "null",
    about: "Takes everything and keeps nothing.",
    options: &[super::date::DateOptions::OPTIONS],
    deviations: &[],
    configure: |section, report| {
        super::date::DateOptions::from_section(section, report)?;
        Some(Box::new(|_| Ok(Arc::new(Null))))
    },
};

/// Records that settle together; small enough to stay in the cache.
const RECORDS_MAX: usize = 16_384;

#[derive(Debug)]
struct Null;

impl Output for Null {
    fn limits(&self) -> Limits {
        Limits { bytes_max: usize::MAX, records_max: RECORDS_MAX, linger: None, in_flight: 1, ordered: false }
    }

    fn needs(&self) -> Needs {
        Needs { text: false }
    }

    fn encode(&self, _batch: &Batch, _record: usize, _out: &mut Vec<u8>) {}

    fn body(&self, _key: &str, _pieces: &Pieces, _body: &mut Vec<u8>) {}

    fn send<'a>(&'a self, _request: &'a Request) -> BoxFuture<'a, Outcome> {
        Box::pin(ready(Outcome::Delivered))
    }
}
