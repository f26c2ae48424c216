//! `drave schema`: a JSON Schema of the YAML form, for editors.

use super::{exit, help};
use crate::config::schema_of;

pub(super) fn schema() -> u8 {
    println!("{:#}", schema_of(&help::pages()));
    exit::OK
}
