//! Puts inputs, filters and outputs together, runs them, and stops them in order.
//!
//! ```text
//! check   config ─▶ every section read by its plugin ─▶ Plan, or all mistakes      (no side effects)
//! run     state lock ─▶ outputs ─▶ pipeline ─▶ deliveries, ticker, admin ─▶ inputs
//! stop    linger 0 ─▶ inputs read to the end and wait for their tickets ─▶ positions ─▶ deliveries end
//! ```

mod delivery;
mod attempts;
mod search;
mod request;
mod spare;
mod concurrency;
mod turns;
mod spooling;
mod dead_letter;
mod letters;
mod ledger;
mod verdict;
mod memory;
mod pipeline;
mod steps;
mod plan;
mod explain;
mod route;
mod run;
mod running;
mod watched;
mod replay;
mod leftover;
#[cfg(test)]
mod tests;

pub use explain::explain;
pub use leftover::{Chunks, Leftover};
pub use plan::Plan;
pub use replay::{Replayed, replay};
pub use run::{RunError, run};
