//! What processes do to each other over one state folder: they wait, and they die at any moment.
//!
//! The other process is this test binary again, running the ignored test [`child`].

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use drave::state::{Change, Fingerprint, Position, State};

/// Both files move in one commit, so they must never be found apart.
fn commit(state: &State, settled: u64) -> bool {
    let fingerprint = Fingerprint { len: 64, hash: settled };
    let position = |name: &str| Position {
        path: name.into(),
        device: 1,
        inode: 2,
        fingerprint,
        settled,
        size: settled,
        open: Vec::new(),
        finished: false,
    };
    let put = |name| Change::Put { input: "tail".into(), position: position(name) };
    state.commit(vec![put("/a"), put("/b")]).is_ok()
}

/// Owns the folder named on stdin, and says after each commit what it committed, until it is killed.
#[test]
#[ignore = "the other process of the tests below"]
fn child() {
    let mut folder = String::new();
    io::stdin().read_line(&mut folder).unwrap();
    let state = State::open(Some(Path::new(folder.trim_end())));
    let start = state.positions("tail").first().map_or(0, |position| position.settled);
    for settled in start + 1.. {
        assert!(commit(&state, settled));
        println!("\nsettled {settled}");
    }
}

struct Agent {
    process: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Agent {
    fn start(folder: &Path) -> io::Result<Agent> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--ignored", "--exact", "child", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else { return Err(io::ErrorKind::BrokenPipe.into()) };
        writeln!(stdin, "{}", folder.display())?;
        Ok(Agent { process, lines: BufReader::new(stdout).lines() })
    }

    fn next_settled(&mut self) -> Option<u64> {
        self.lines.by_ref().find_map(|line| line.ok()?.strip_prefix("settled ")?.parse().ok())
    }

    /// `kill -9`, and then the last that it had said.
    fn kill(mut self) -> io::Result<Option<u64>> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(std::iter::from_fn(|| self.next_settled()).last())
    }
}

#[test]
fn an_agent_takes_over_from_one_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(folder.path()).unwrap();
    assert_eq!(agent.next_settled(), Some(1));
    let state = State::open(Some(folder.path()));
    assert!(!state.owned() && !state.try_own());
    assert_eq!(state.owner(), Some(agent.process.id()));
    let last = agent.kill().unwrap().unwrap_or(1);
    assert!(state.try_own());
    assert!(state.positions("tail")[0].settled >= last);
    assert!(state.last_alive().unwrap().elapsed().unwrap() < Duration::from_secs(60));
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    // From nothing on, through the making of the database and into its checkpoints.
    for delay in (0..24).map(|i| Duration::from_micros(i * i * 400)) {
        let begin = Instant::now();
        let agent = Agent::start(folder.path()).unwrap();
        std::thread::sleep(delay.saturating_sub(begin.elapsed()));
        let said = agent.kill().unwrap().unwrap_or(last);
        let state = State::open(Some(folder.path()));
        let found: Vec<u64> = state.positions("tail").iter().map(|position| position.settled).collect();
        assert!(found.is_empty() || found.len() == 2 && found[0] == found[1], "{delay:?}: {found:?}");
        last = found.first().copied().unwrap_or(0);
        assert!(last == said || last == said + 1, "{delay:?}: said {said}, found {last}");
    }
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(last > 100 && files <= 4, "{last} commits, {files} files");
}
