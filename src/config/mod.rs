//! Files and environment → checked sections → typed options. No side effects: `drave check` is this and nothing more.
//!
//! ```text
//! file ─▶ classic │ yaml ─▶ load (variables, includes) ─▶ Section ─▶ options! ─▶ typed options
//!                                      └─▶ Report (every mistake, with its line) ◀─┘
//! ```

mod choice;
mod classic;
mod draft;
mod environment;
mod error;
mod files;
mod load;
mod loader;
mod option;
mod reference;
mod render;
mod secret;
mod section;
mod service;
mod shared;
mod source;
mod value;
mod yaml;

pub use choice::read_choice;
pub use environment::{Environment, is_writable};
pub use error::{Location, Problem, Report, Severity};
pub use load::{Config, Processor, Syntax, load, load_text};
pub use option::{Opt, OptionValue, Presence, read_default, read_entry, read_optional, read_repeated, read_required};
pub use secret::is_secret_key;
pub use section::{Entry, Section, SectionKind, nearest};
pub use service::{ListenAddress, LogFormat, LogLevel, ServiceOptions};
pub use shared::{FilterShared, InputShared, OutputShared, RetryLimit};
pub use value::{Duration, List, Secret, Size};
