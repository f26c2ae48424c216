//! The real binary, with a configuration, in a folder of its own.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How often a condition outside of this process is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Linux shows times in /proc in hundredths of a second, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running drave. Killed when dropped.
pub struct Agent {
    child: Child,
    folder: TempDir,
}

impl Agent {
    /// Runs `drave -c FILE` with this text in the file.
    pub fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// The same with further environment variables.
    pub fn start_with(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::spawn(tempfile::tempdir().unwrap(), config, environment)
    }

    /// The same in the folder of an agent that [`Agent::into_folder`] ended: a restart.
    pub fn start_in(folder: TempDir, config: &str) -> Self {
        Self::spawn(folder, config, &[])
    }

    /// The same with a pipe as its standard input, and the end of that to write to.
    pub fn start_fed(config: &str) -> (Self, ChildStdin) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("drave.yaml"), config).unwrap();
        let mut agent = Self::run(folder, "drave.yaml", |command| command.stdin(Stdio::piped())).unwrap();
        let input = agent.child.stdin.take().unwrap();
        (agent, input)
    }

    fn spawn(folder: TempDir, config: &str, environment: &[(&str, &str)]) -> Self {
        fs::write(folder.path().join("drave.yaml"), config).unwrap();
        Self::start_on(folder, "drave.yaml", environment)
    }

    /// Runs a configuration that lies in the folder already, with these variables beside those of this process.
    pub fn start_on(folder: TempDir, file: &str, environment: &[(&str, &str)]) -> Self {
        Self::run(folder, file, |command| command.envs(environment.iter().copied())).unwrap()
    }

    /// Runs any command line in this folder, by the binary under any name that leads to it.
    pub fn start_line(program: &Path, folder: TempDir, line: &[&str], environment: &[(&str, &str)]) -> Self {
        let prepare = |command: &mut Command| {
            command.args(line).envs(environment.iter().copied());
        };
        Self::run_program(program, folder, prepare).unwrap()
    }

    fn run(folder: TempDir, file: &str, prepare: impl FnOnce(&mut Command) -> &mut Command) -> io::Result<Self> {
        let file = folder.path().join(file);
        let program = Path::new(env!("CARGO_BIN_EXE_drave"));
        Self::run_program(program, folder, |command| _ = prepare(command.arg("-c").arg(file)))
    }

    fn run_program(program: &Path, folder: TempDir, prepare: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let log = |name| File::options().create(true).append(true).open(folder.path().join(name)).unwrap();
        let mut command = Command::new(program);
        command.current_dir(folder.path()).stdout(log("stdout")).stderr(log("stderr"));
        prepare(&mut command);
        let child = command.spawn()?;
        Ok(Self { child, folder })
    }

    /// The same as another user, who can read the configuration and write where it runs.
    pub fn start_as(user: u32, config: &str) -> io::Result<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("drave.yaml"), config).unwrap();
        chown(folder.path(), Some(user), Some(user)).unwrap();
        Self::run(folder, "drave.yaml", |command| command.uid(user).gid(user))
    }

    /// Where it runs; relative paths of the configuration begin here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// As a node that loses its power, or the OOM killer.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as kubelet does, and waits until it has: its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait(Duration::from_secs(30)).and_then(|status| status.code())
    }

    /// A page of its admin server, which may have asked for port 0.
    pub fn page(&self, path: &str) -> String {
        let mut port = None;
        poll(Duration::from_secs(30), || {
            port = self.listening_port();
            port.is_some()
        });
        let mut stream = TcpStream::connect(("127.0.0.1", port.unwrap())).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn listening_port(&self) -> Option<u16> {
        let folder = format!("/proc/{}/fd", self.child.id());
        let links = fs::read_dir(folder).ok()?.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let sockets: Vec<String> = links
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let tcp = self.proc("net/tcp");
        // sl local_address rem_address st … inode; 0A is LISTEN.
        let mut lines = tcp.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let words = lines.find(|words| words[3] == "0A" && sockets.iter().any(|socket| *socket == words[9]))?;
        u16::from_str_radix(words[1].split_once(':')?.1, 16).ok()
    }

    /// The exit status, or `None` when it still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let mut status = None;
        poll(timeout, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status
    }

    /// Kills it and keeps its folder, for a restart.
    pub fn into_folder(mut self) -> TempDir {
        self.kill();
        let empty = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.folder, empty)
    }

    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits until stderr holds a text.
    pub fn wait_for_stderr(&self, text: &str, timeout: Duration) -> bool {
        poll(timeout, || self.stderr().contains(text))
    }

    /// User and system time so far.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = self.proc("stat");
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th word after it.
        let words = stat.rsplit(')').next().unwrap().split_whitespace();
        words.skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS_PER_SECOND
    }

    /// The most memory that it had resident so far.
    pub fn peak_rss_bytes(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// The memory that it has resident now.
    pub fn rss_bytes(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Bytes that it has read so far, of files and of sockets.
    pub fn read_bytes(&self) -> u64 {
        let io = self.proc("io");
        io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(PathBuf::from(format!("/proc/{}/{file}", self.child.id()))).unwrap()
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap()).into_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks at a condition of another process, which cannot wake us, until it holds or the time is over.
pub fn poll(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + timeout;
    while !condition() {
        if Instant::now() > until {
            return false;
        }
        sleep(POLL);
    }
    true
}
