//! Files and environment → checked sections → typed options. No side effects: `drave check` is this and nothing more.

mod error;
mod option;
mod section;

pub use error::{Location, Problem, Report, Severity};
pub use option::{
    Duration, List, Opt, OptionValue, Presence, Size, read_default, read_entry, read_optional, read_repeated, read_required,
};
pub use section::{Entry, Section, SectionKind, nearest};
