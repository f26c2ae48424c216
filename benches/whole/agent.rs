//! The release binary as a child, and what it costs.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No run takes longer.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(120);

/// The node whose pods the filter `kubernetes` asks for, and keys that no signature is checked with.
const ENVIRONMENT: [(&str, &str); 3] =
    [("NODE_NAME", "node-1"), ("AWS_ACCESS_KEY_ID", "AKIDBENCH"), ("AWS_SECRET_ACCESS_KEY", "secret/of/benches")];

/// What a run cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_bytes: u64,
}

/// A drave that runs until it is dropped.
pub(crate) struct Agent(Child);

impl Agent {
    pub(crate) fn start(folder: &Path, config: &str) -> Self {
        Self(command(folder, config).spawn().unwrap())
    }

    /// User and system time of all its threads so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let nanos = tasks.flatten().map(|task| {
            // A thread can end between the two.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0)
        });
        nanos.sum::<u64>() as f64 / 1e9
    }

    pub(crate) fn rss_bytes(&self) -> u64 {
        memory(self.0.id(), "VmRSS:").unwrap()
    }

    pub(crate) fn peak_rss_bytes(&self) -> u64 {
        memory(self.0.id(), "VmHWM:").unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it until it ends by itself.
pub(crate) fn run(folder: &Path, config: &str) -> Cost {
    let pid_file = folder.join("pid");
    let _ = fs::remove_file(&pid_file);
    let drave = command(folder, config);
    // /proc counts in hundredths of a second, too coarse for a run of a third of one; bash says milliseconds.
    let mut shell = Command::new("bash")
        .args(["-c", r#""$@" 2> "$0.stderr" & echo $! > "$0"; wait $!; code=$?; times >&2; exit $code"#])
        .env("LC_ALL", "C")
        .envs(ENVIRONMENT)
        .arg(&pid_file)
        .arg(drave.get_program())
        .args(drave.get_args())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + TIME_MAX;
    let mut peak_rss_bytes = 0;
    while shell.try_wait().unwrap().is_none() {
        let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse::<u32>().ok());
        peak_rss_bytes = pid.and_then(|pid| memory(pid, "VmHWM:")).unwrap_or(0).max(peak_rss_bytes);
        if let Some(pid) = pid.filter(|_| Instant::now() > until) {
            let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = shell.wait_with_output().unwrap();
    let said = fs::read_to_string(pid_file.with_extension("stderr")).unwrap_or_default();
    assert!(output.status.success(), "drave did not end well within {TIME_MAX:?}\n{said}");
    let cpu_seconds = seconds_of_children(&output.stderr);
    Cost { cpu_seconds, peak_rss_bytes }
}

/// What bash's `times` says: the shell's own times, then those of its children, `0m0.247s 0m0.036s`.
pub(crate) fn seconds_of_children(times: &[u8]) -> f64 {
    let times = String::from_utf8_lossy(times);
    let seconds = |text: &str| {
        let (minutes, seconds) = text.strip_suffix('s').unwrap().split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    times.lines().nth(1).unwrap().split_whitespace().map(seconds).sum()
}

fn command(folder: &Path, config: &str) -> Command {
    let file: PathBuf = folder.join("drave.yaml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    command.envs(ENVIRONMENT).arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A row of /proc/PID/status, in bytes; `None` when the process is gone.
fn memory(pid: u32, row: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(row))?;
    Some(kilobytes.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
