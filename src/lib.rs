//! drave: one zero-copy pipeline from files to log stores.
//!
//! ```text
//!            one cache-hot pass, no queues between                         tokio, 2 threads
//!  ┌───────────────────────────────────────────────────────────┐   ┌────────────────────────────┐
//!  files ─▶ input/tail ─▶ parse/ ─▶ (filter/) ─▶ output.encode ─▶ open request ─▶ agent/delivery ─▶ HTTP, stdout …
//!             ▲  ▲                                             │                        │    ▲
//!             │  └─ room? agent/memory (bytes per output) ◀────┴────────────────────────┤    │  undelivered for 5 s, or the share is full
//!             │                                                                         ▼    │
//!             └── settled positions (state/, SQLite) ◀── tickets ◀── delivered │ refused │ given up │ synced in spool/
//! ```
//!
//! The nine words:
//!
//! | word | meaning | type |
//! |---|---|---|
//! | record | one log entry: a time, its text, its fields | `record::Record` |
//! | source | where records come from that share a tag and metadata: one container's log, one file | `record::Source` |
//! | batch | some records of one source, in order, all their bytes in one arena | `record::Batch` |
//! | tag | a source's name for routing: `kube.var.log.containers.web-1_shop_main-….log` | `SourceDraft::tag` |
//! | route | the outputs that a source's records go to; found once per source | `Source::outputs` |
//! | request | encoded pieces of one destination, ready to send | `output::Request` |
//! | position | how far a file has been settled: identity, byte offset, open pieces | `state::Position` |
//! | settle | a record is settled when every output that it is routed to has delivered it, has it synced in its spool, or refused or gave it up and counted that | `record::Ticket` |
//! | spool | an output's disk buffer: an append-only log of encoded pieces | `spool::Spool` |
//!
//! ARCHITECTURE.md says the rest: the life of a record, the invariants, what is handled where.

pub mod cli;
pub mod agent;
pub mod admin;
pub mod input;
pub mod filter;
pub mod output;
pub mod spool;
pub mod parse;
pub mod net;
pub mod state;
pub mod record;
pub mod config;
