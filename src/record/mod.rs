//! The one data type: a [`Batch`] of records that point into one block of text, and what they share.

mod batch;
mod field;
pub mod json;
pub mod json_read;
mod source;
mod ticket;
pub mod time;

pub use batch::{Batch, Counts, Record, Shape, Span, Stream};
pub use field::{Field, Value};
pub use source::{DropReason, KeyNames, Shared, Source, SourceDraft};
pub use ticket::Ticket;
