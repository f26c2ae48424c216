//! The one data type: a [`Batch`] of records that point into one block of text, and what they share.

mod accessor;
mod batch;
mod edit;
mod escape;
mod expression;
mod field;
pub mod found;
pub mod json;
pub mod json_read;
mod kept;
mod source;
pub mod strptime;
mod template;
mod ticket;
pub mod time;

pub use accessor::{Accessor, AccessorError, Step};
pub use batch::{Batch, Counts, Reading, Record, Shape, Span, Stream};
pub use expression::{Expression, Groups, STEPS_MAX};
pub use field::{Field, Value};
pub use found::Found;
pub use kept::Kept;
pub use source::{DropReason, KeyNames, Shared, Source, SourceDraft, Stale};
pub use template::Template;
pub use ticket::Ticket;
