//! A folder with logs and an agent that reads them: what most tests of the whole begin with.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::agent::{Agent, poll};
use super::scrape::{Metrics, get};

/// A loaded machine may take so long for anything that should happen at once.
pub const SOON: Duration = Duration::from_secs(30);

/// Before the agent runs.
pub struct Site {
    folder: TempDir,
    pub admin: SocketAddr,
    service: String,
    inputs: String,
}

impl Site {
    /// One input that reads `logs/*.log` under the tag `app`, `flush 100ms`, and admin pages on a free port.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        let inputs = "    - name: tail\n      path: logs/*.log\n      tag: app\n      read_from_head: on\n".to_owned();
        Self { folder, admin: free_address(), service: "  flush: 100ms\n".into(), inputs }
    }

    /// Options of the service section in the place of `flush 100ms`, a line each.
    #[must_use]
    pub fn service(self, options: &[&str]) -> Self {
        Self { service: lines("  ", options), ..self }
    }

    /// Inputs in the place of the one: tag, path, further options.
    #[must_use]
    pub fn inputs(self, inputs: &[(&str, &str, &[&str])]) -> Self {
        let input = |(tag, path, options): &(&str, &str, &[&str])| {
            let head = format!("    - name: tail\n      path: {path}\n      tag: {tag}\n      read_from_head: on\n");
            head + &lines("      ", options)
        };
        Self { inputs: inputs.iter().map(input).collect(), ..self }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Appends records with these sequence numbers to `logs/NAME`.
    pub fn write(&self, name: &str, file: u32, records: Range<u32>) {
        append(&self.path("logs").join(name), &numbered(file, records));
    }

    /// The whole configuration. How full the disk is means nothing to it, but where the test says so.
    pub fn config(&self, outputs: &[String]) -> String {
        let min_free = if self.service.contains("storage.min_free") { "" } else { "  storage.min_free: 0%\n" };
        format!(
            "service:\n{}{min_free}  state_dir: state\n  http_server: on\n  http_listen: 127.0.0.1\n  http_port: {}\npipeline:\n  inputs:\n{}  outputs:\n{}",
            self.service,
            self.admin.port(),
            self.inputs,
            outputs.concat()
        )
    }

    pub fn start(self, outputs: &[String]) -> Running {
        self.start_with(outputs, &[])
    }

    /// The same with further environment variables, which a restart has, too.
    pub fn start_with(self, outputs: &[String], environment: &[(&str, &str)]) -> Running {
        let config = self.config(outputs);
        self.start_in(&config, environment)
    }

    /// With a configuration that was made of [`config`](Self::config).
    pub fn start_on(self, config: &str) -> Running {
        self.start_in(config, &[])
    }

    fn start_in(self, config: &str, environment: &[(&str, &str)]) -> Running {
        fs::write(self.path("drave.yaml"), config).unwrap();
        let logs = self.path("logs");
        let agent = Agent::start_on(self.folder, "drave.yaml", environment);
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Running { logs, agent, admin: self.admin, environment }
    }
}

/// With its agent.
pub struct Running {
    pub agent: Agent,
    pub admin: SocketAddr,
    logs: PathBuf,
    environment: Vec<(String, String)>,
}

impl Running {
    /// Kills it as a node that loses its power does, lets something happen, and starts it again.
    pub fn restart(self, between: impl FnOnce(&std::path::Path)) -> Self {
        let folder = self.agent.into_folder();
        between(folder.path());
        let environment: Vec<_> = self.environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        let agent = Agent::start_on(folder, "drave.yaml", &environment);
        Self { agent, ..self }
    }

    /// Appends records with these sequence numbers to `logs/NAME`.
    pub fn write(&self, name: &str, file: u32, records: Range<u32>) {
        append(&self.logs.join(name), &numbered(file, records));
    }

    /// Appends bytes as they are.
    pub fn write_raw(&self, name: &str, bytes: &[u8]) {
        append(&self.logs.join(name), bytes);
    }

    /// `None` when the agent does not serve pages (yet).
    pub fn try_metrics(&self) -> Option<Metrics> {
        let page = get(self.admin, "/metrics")?;
        Some(Metrics::parse(&page.body).unwrap_or_else(|why| panic!("{why}\n{}", page.body)))
    }

    pub fn metrics(&self) -> Metrics {
        self.try_metrics().unwrap_or_else(|| panic!("no metrics; the agent says:\n{}", self.agent.stderr()))
    }

    /// Waits until the metrics are as they should be, and fails with what they were.
    pub fn wait_for(&self, what: &str, done: impl Fn(&Metrics) -> bool) -> Metrics {
        let mut last = None;
        let good = poll(SOON, || {
            last = self.try_metrics();
            last.as_ref().is_some_and(&done)
        });
        assert!(good, "waited in vain for {what}; the agent says:\n{}\nmetrics: {last:#?}", self.agent.stderr());
        last.unwrap()
    }

    /// Waits until an output has nothing left to do and has delivered so many records.
    pub fn wait_delivered(&self, output: &str, records: i64) -> Metrics {
        self.wait_for(&format!("{records} records delivered by {output}"), |metrics| {
            let of = ("output", output);
            metrics.sum("drave_output_delivered_records_total", of) == records
                && metrics.sum("drave_output_pending_records", of) == 0
        })
    }
}

/// An output section `http` to this address, with further options. `match *` unless they say otherwise.
pub fn http(address: SocketAddr, options: &[&str]) -> String {
    let all = if options.iter().any(|o| o.starts_with("match")) { "" } else { "      match: '*'\n" };
    let format = if options.iter().any(|o| o.starts_with("format")) { "" } else { "      format: json_lines\n" };
    let head = format!("    - name: http\n      host: {}\n      port: {}\n", address.ip(), address.port());
    head + all + format + &lines("      ", options)
}

/// A port where nothing listens. Each is given out once, and none is of the range that the system chooses ports of, so that
/// no other test gets it meanwhile.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 200) as u16 * 100;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// Lines of about 60 bytes.
pub fn numbered(file: u32, records: Range<u32>) -> Vec<u8> {
    records.flat_map(|n| format!("seq={file:04}-{n:08}; a line of the log of a test\n").into_bytes()).collect()
}

pub fn append(path: &std::path::Path, bytes: &[u8]) {
    File::options().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn lines(indent: &str, options: &[&str]) -> String {
    options.iter().map(|option| format!("{indent}{option}\n")).collect()
}
