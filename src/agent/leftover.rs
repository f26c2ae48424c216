//! What nobody sends: spools of outputs that are no longer configured, or while no input has `storage.type filesystem`, and what Fluent Bit
//! left in the same folder. It is kept and said, at the start and by `drave check`.

use super::plan::Plan;
use crate::spool::{Listed, Spool, folder_name};
use std::fs;
use std::path::{Path, PathBuf};

/// The suffix of Fluent Bit's chunks: `STORAGE.PATH/tail.0/1-1700000000.123456789.flb`.
const CHUNK: &str = "flb";

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

/// Records that Fluent Bit read and did not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// `storage.path`.
    pub folder: PathBuf,
    /// How many files.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Chunks {
    /// Those in the folders of a folder. Only looks.
    fn find(folder: &Path) -> Option<Self> {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let files = entries(folder).filter(|entry| entry.path().is_dir()).flat_map(|input| entries(&input.path()));
        let chunks = files.filter(|file| file.path().extension().is_some_and(|suffix| suffix == CHUNK));
        let sizes = chunks.filter_map(|file| file.metadata().ok().filter(fs::Metadata::is_file)).map(|file| file.len());
        let (count, bytes) = sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size));
        (count > 0).then(|| Self { folder: folder.to_owned(), count, bytes })
    }

    /// What and where.
    pub fn message(&self) -> String {
        format!(
            "Fluent Bit left {} chunks of records that it had read and not delivered, {} bytes in {}: drave does not send them",
            self.count,
            self.bytes,
            self.folder.display()
        )
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        "let Fluent Bit deliver them with the same `storage.path` and no inputs, then delete them; drave never does"
    }
}

impl Plan {
    /// What Fluent Bit left in `storage.path`. Only looks.
    pub fn chunks(&self) -> Option<Chunks> {
        Chunks::find(self.storage_folder.as_deref()?)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_counted_in_the_folders_of_inputs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        assert_eq!(Chunks::find(&path("nowhere")), None);
        for name in ["tail.0", "emitter_for_rewrite_tag.1", "http.0", "tail.0/dir.flb"] {
            fs::create_dir(path(name)).expect("a folder");
        }
        assert_eq!(Chunks::find(folder.path()), None);
        for (name, bytes) in [
            ("tail.0/1-1700000000.000000001.flb", 100),
            ("tail.0/1-1700000000.000000002.flb", 20),
            ("emitter_for_rewrite_tag.1/1-1.flb", 3),
            ("http.0/00000000000000000001.seg", 1000),
            ("stray.flb", 1000),
        ] {
            fs::write(path(name), vec![0; bytes]).expect("a file");
        }
        let found = Chunks::find(folder.path()).map(|chunks| (chunks.count, chunks.bytes));
        assert_eq!(found, Some((3, 123)));
    }
}
