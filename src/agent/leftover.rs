//! Spools that nobody sends: of outputs that are no longer configured, or while no input has `storage.type filesystem`. They are kept and
//! said, at the start and by `drave check`.

use super::plan::Plan;
use crate::spool::{Listed, Spool, folder_name};
use std::path::PathBuf;

/// A spool with records that this configuration does not send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The output that it is of.
    pub output: String,
    /// Where it is.
    pub folder: PathBuf,
    /// Its bytes on disk.
    pub bytes: u64,
    /// Records in it that were not delivered; `None` when it cannot be read.
    pub records: Option<u64>,
    /// The output is configured, but no input has `storage.type filesystem`.
    pub configured: bool,
}

impl Leftover {
    /// What and where.
    pub fn message(&self) -> String {
        let why = if self.configured { "no input has `storage.type filesystem`" } else { "there is no such output" };
        let records = self.records.map_or_else(|| "an unknown number of".to_owned(), |records| records.to_string());
        format!(
            "the spool of `{}` is kept and not sent, because {why}: {records} records, {} bytes in {}",
            self.output,
            self.bytes,
            self.folder.display()
        )
    }

    /// What to do.
    pub fn hint(&self) -> String {
        match self.configured {
            true => "set `storage.type filesystem` to send it, or delete the folder".into(),
            false => "configure an output of that name or alias to send it, or delete the folder".into(),
        }
    }
}

impl Plan {
    /// Spools below `storage.path` that hold something and are not sent. Only looks.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let Some(path) = &self.storage_folder else { return Vec::new() };
        // A folder that is not there yet holds none.
        let spools = Spool::list(path).unwrap_or_default().into_iter().filter(|spool| !spool.segments.is_empty());
        spools.filter_map(|spool| self.leftover(spool)).collect()
    }

    fn leftover(&self, spool: Listed) -> Option<Leftover> {
        let name = spool.folder.file_name()?.to_string_lossy().into_owned();
        let configured = self.outputs.iter().any(|output| folder_name(&output.name) == name);
        if configured && self.storage_path.is_some() {
            return None;
        }
        let backlog = spool.backlog().ok();
        if backlog.as_ref().is_some_and(|backlog| backlog.bytes == 0) && spool.newer().next().is_none() {
            return None;
        }
        let records = backlog.map(|backlog| backlog.pending.all.records);
        let bytes = spool.bytes();
        Some(Leftover { output: spool.output, folder: spool.folder, bytes, records, configured })
    }
}
