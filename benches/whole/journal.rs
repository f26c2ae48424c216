//! The rows of the journal. `systemd-journal-remote` writes it of what `journal_export.py` prints, from `target/tools/bin` or PATH; or
//! `DRAVE_BENCH_JOURNAL` names a folder with journals that are there.

use crate::agent::run;
use crate::rows::{Bench, row, throughput};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const UNITS: [&str; 2] = ["kubelet.service", "containerd.service"];

/// A folder with journals, and their bytes.
pub(crate) struct Journal {
    path: PathBuf,
    bytes: u64,
    _folder: Option<TempDir>,
}

impl Journal {
    /// `None` where there is no tool to make it.
    pub(crate) fn make(entries: u64) -> Option<Self> {
        let given = std::env::var_os("DRAVE_BENCH_JOURNAL").map(PathBuf::from);
        let (path, folder) = match given {
            Some(path) => (path, None),
            None => {
                let folder = tempfile::tempdir().unwrap();
                write(&tool("systemd-journal-remote")?, folder.path(), entries);
                (folder.path().to_owned(), Some(folder))
            }
        };
        let files = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap());
        let journals = files.filter(|file| file.file_name().to_string_lossy().ends_with(".journal"));
        let bytes = journals.map(|file| file.metadata().unwrap().len()).sum();
        Some(Self { path, bytes, _folder: folder })
    }

    fn config(&self, more: &str) -> String {
        format!(
            "service: {{ flush: 1, log_level: warn }}\npipeline:\n  inputs: [{{ name: systemd, path: '{}', tag: 'host.*', \
             exit_on_eof: on{more} }}]\n  outputs: [{{ name: 'null', match: '*' }}]\n",
            self.path.display()
        )
    }
}

fn write(writer: &Path, folder: &Path, entries: u64) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/journal_export.py");
    let mut text = Command::new("python3").arg(script).arg(entries.to_string()).stdout(Stdio::piped()).spawn().unwrap();
    let mut command = Command::new(writer);
    command.arg("-o").arg(folder.join("bench.journal")).arg("-").stdin(text.stdout.take().unwrap());
    let written = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(text.wait().unwrap().success() && written.success(), "the journal was not written");
}

fn tool(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(own).chain(std::env::split_paths(&path)).map(|folder| folder.join(name)).find(|p| p.is_file())
}

fn missing(name: &str) -> Vec<String> {
    vec![format!("| {name} is missing: `tests/setup systemd` | | |")]
}

/// All entries of a journal → null.
pub(crate) fn all(bench: &Bench) -> Vec<String> {
    let Some(journal) = bench.journal() else { return missing("systemd-journal-remote") };
    let (folder, config) = (tempfile::tempdir().unwrap(), journal.config(""));
    let costs = (0..bench.runs(5)).map(|_| run(folder.path(), &config)).collect::<Vec<_>>();
    throughput("journal, all entries → `null`", journal.bytes, &costs)
}

/// Two of forty units → null, and what `journalctl` takes for the same.
pub(crate) fn units(bench: &Bench) -> Vec<String> {
    let Some(journal) = bench.journal() else { return missing("systemd-journal-remote") };
    let filters = UNITS.map(|unit| format!("_SYSTEMD_UNIT={unit}")).join(", ");
    let (folder, config) = (tempfile::tempdir().unwrap(), journal.config(&format!(", systemd_filter: [{filters}]")));
    let ours = (0..bench.runs(5)).map(|_| run(folder.path(), &config).cpu_seconds).collect();
    let mut rows = vec![row("journal, two of 40 units → `null`", "CPU-seconds", ours, 3)];
    let Some(reader) = tool("journalctl") else { return [rows, missing("journalctl")].concat() };
    let theirs = (0..3).map(|_| journalctl(&reader, &journal.path)).collect();
    rows.push(row("the same by `journalctl -u … -u … -o json`", "CPU-seconds", theirs, 3));
    rows
}

fn journalctl(reader: &Path, folder: &Path) -> f64 {
    let mut shell = Command::new("bash");
    let script = "\"$0\" --file \"$1/*.journal\" -u \"$2\" -u \"$3\" -o json >/dev/null; times";
    shell.args(["-c", script]).env("LC_ALL", "C").arg(reader).arg(folder).args(UNITS);
    crate::agent::seconds_of_children(&shell.output().unwrap().stdout)
}
