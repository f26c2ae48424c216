//! Container logs as a node has them: `pods/NS_POD_UID/main/0.log`, and a link to each in `containers/`.

use crate::lines::Lines;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A file that lines are written to.
pub(crate) struct Log {
    file: File,
    lines: Lines,
    buffer: Vec<u8>,
}

/// Namespace, name and UID of the pod that writes a file; its container is `main`, with the number as its id.
pub(crate) fn pod_of(number: u32) -> (&'static str, String, String) {
    let namespace = ["default", "kube-system", "shop", "payments", "observability"][number as usize % 5];
    let uid = format!("{number:08x}-1111-4222-8333-444455556666");
    (namespace, format!("app-{number}-7d9f8b6c5-x2k4q"), uid)
}

impl Log {
    pub(crate) fn create(root: &Path, number: u32) -> Self {
        let (namespace, pod, uid) = pod_of(number);
        let folder = root.join("pods").join(format!("{namespace}_{pod}_{uid}")).join("main");
        fs::create_dir_all(&folder).unwrap();
        let containers = root.join("containers");
        fs::create_dir_all(&containers).unwrap();
        let path: PathBuf = folder.join("0.log");
        let file = File::options().create(true).append(true).open(&path).unwrap();
        symlink(&path, containers.join(format!("{pod}_{namespace}_main-{number:064x}.log"))).unwrap();
        Self { file, lines: Lines::new(number), buffer: Vec::new() }
    }

    /// Appends lines in one write each 256; how many bytes.
    pub(crate) fn write(&mut self, count: u64) -> u64 {
        self.write_of(Lines::push_cri, count)
    }

    fn write_of(&mut self, push: Push, count: u64) -> u64 {
        let mut bytes = 0;
        for left in (0..count).rev() {
            push(&mut self.lines, &mut self.buffer);
            if left % 256 == 0 {
                self.file.write_all(&self.buffer).unwrap();
                bytes += self.buffer.len() as u64;
                self.buffer.clear();
            }
        }
        bytes
    }

    /// Appends a line that says when it was written.
    pub(crate) fn write_stamped(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        self.file.write_all(format!("2026-11-20T08:00:00.5Z stdout F at={now:020}; a line\n").as_bytes()).unwrap();
    }
}

/// Appends one record.
pub(crate) type Push = fn(&mut Lines, &mut Vec<u8>);

/// Files with so many records each; all their bytes.
pub(crate) fn write_set(root: &Path, files: u32, push: Push, records: u64) -> u64 {
    (0..files).map(|number| Log::create(root, number).write_of(push, records)).sum()
}

/// Writes `rate` lines a second over all files for `time`, one file after the other, each line in a write of its own.
pub(crate) fn write_at_rate(logs: &mut [Log], rate: u64, time: Duration) -> u64 {
    const TICK: Duration = Duration::from_millis(10);
    let start = Instant::now();
    let (mut written, mut due) = (0, Duration::ZERO);
    while due < time {
        due += TICK;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        let until = (due.as_secs_f64() * rate as f64) as u64;
        for number in written..until {
            let file = number as usize % logs.len();
            logs[file].write(1);
        }
        written = until;
    }
    written
}
