//! Files, command line and environment → checked sections → typed options. No side effects: `drave check` is this and nothing
//! more.
//!
//! ```text
//! file ─▶ classic │ yaml │ arguments ─▶ load (variables, includes) ─▶ Section ─▶ options! ─▶ typed options
//!                                                  └─▶ Report (every mistake, with its line) ◀─┘
//! ```

mod absent;
mod arguments;
mod choice;
mod classic;
mod draft;
mod environment;
mod error;
mod expression;
mod files;
mod load;
mod loader;
mod option;
mod page;
mod reference;
mod render;
mod schema;
mod secret;
mod section;
mod service;
mod shared;
mod source;
mod storage;
mod value;
mod yaml;

pub use absent::{absent, absent_names};
pub use arguments::{Argument, Meaning};
pub use choice::read_choice;
pub use environment::{Environment, is_writable};
pub use error::{Location, Problem, Report, Severity};
pub use expression::read_expression;
pub use load::{Config, Processor, Syntax, load, load_arguments, load_text};
pub use option::{
    Opt, OptionValue, Presence, Refusal, Use, read_default, read_entry, read_optional, read_repeated, read_required,
};
pub use page::Page;
pub use schema::schema_of;
pub use secret::is_secret_key;
pub use section::{Entry, Section, SectionKind, nearest};
pub use service::{ListenAddress, LogFormat, LogLevel, OnTerm, ServiceOptions};
pub use shared::{FilterShared, InputShared, OutputShared, ProcessorShared, RetryLimit};
pub use storage::{OnFull, Percent, StorageSync, StorageType};
pub use value::{Duration, List, Secret, Size};
