//! The rows of the table.

use crate::agent::{Agent, Cost, run};
use crate::journal::Journal;
use crate::lines::Lines;
use crate::logs::{Log, Push, write_at_rate, write_set};
use crate::sink::Sink;
use std::cell::OnceCell;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const FILES: u32 = 10;
const MEGA: f64 = 1e6;

/// What the rows share.
pub(crate) struct Bench {
    quick: bool,
    /// The large set of lines, written when a row first needs it.
    set: OnceCell<(TempDir, u64)>,
    journal: OnceCell<Option<Journal>>,
}

impl Bench {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick, set: OnceCell::new(), journal: OnceCell::new() }
    }

    pub(crate) fn lines(&self) -> u64 {
        if self.quick { 20_000 } else { 200_000 }
    }

    /// Its folder and its bytes.
    pub(crate) fn set(&self) -> (&Path, u64) {
        let (folder, bytes) = self.set.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let bytes = write_set(folder.path(), FILES, Lines::push_cri, self.lines());
            (folder, bytes)
        });
        (folder.path(), *bytes)
    }

    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.get_or_init(|| Journal::make(if self.quick { 60_000 } else { 600_000 })).as_ref()
    }

    pub(crate) fn runs(&self, full: usize) -> usize {
        if self.quick { 3 } else { full }
    }
}

/// A configuration: the options of tail beside its path, then filters and outputs.
pub(crate) fn config(root: &Path, tail: &str, rest: &str) -> String {
    format!(
        "service: {{ flush: 1, log_level: warn }}\npipeline:\n  inputs:\n    - {{ name: tail, path: '{}/containers/*.log', \
         tag: kube.*, multiline.parser: cri, {tail} }}\n{rest}",
        root.display()
    )
}

pub(crate) fn http(sink: &Sink, uri: &str, more: &str) -> String {
    format!(
        "  outputs:\n    - {{ name: http, match: '*', host: 127.0.0.1, port: {}, uri: {uri}, format: json_lines, compress: gzip{more} }}\n",
        sink.port
    )
}

pub(crate) const WHOLE: &str = "read_from_head: on, exit_on_eof: on";

/// Files → null.
pub(crate) fn null(bench: &Bench) -> Vec<String> {
    let (root, bytes) = bench.set();
    let config = config(root, WHOLE, "  outputs: [{ name: 'null', match: '*' }]\n");
    let costs = (0..bench.runs(7)).map(|_| run(root, &config)).collect::<Vec<_>>();
    throughput("files → `null`", bytes, &costs)
}

/// What each filter costs: files → filters → null.
pub(crate) fn filters(bench: &Bench) -> Vec<String> {
    const GREP: &str = "{ name: grep, match: '*', exclude: log nothing.of.the.kind }";
    const PARSER: &str = "{ name: parser, match: '*', key_name: log, parser: json, reserve_data: on }";
    const MODIFY: &str =
        "{ name: modify, match: '*', add: [cluster prod, team shop], rename: level severity, remove: stream }";
    const LUA: &str =
        "{ name: lua, match: '*', call: f, code: 'function f(t, s, r) r.team = \"shop\" return 2, s, r end' }";
    const REDACT: &str = "{ name: redact, match: '*' }";
    let (root, bytes) = bench.set();
    let cost = |(work, filters): (&str, &[&str])| {
        let rest = format!("  filters: [{}]\n  outputs: [{{ name: 'null', match: '*' }}]\n", filters.join(", "));
        let config = config(root, WHOLE, &rest);
        let costs = (0..bench.runs(3)).map(|_| run(root, &config)).collect::<Vec<_>>();
        throughput(&format!("files → {work} → `null`"), bytes, &costs)
    };
    let rows: [(&str, &[&str]); 5] = [
        ("`grep` by the text", &[GREP]),
        ("`parser` json", &[PARSER]),
        ("`parser` json → `modify`", &[PARSER, MODIFY]),
        ("`lua`", &[LUA]),
        ("`redact`, all kinds", &[REDACT]),
    ];
    rows.into_iter().flat_map(cost).collect()
}

/// Access lines → a parser with six groups and a time → null.
pub(crate) fn access(bench: &Bench) -> Vec<String> {
    const PARSER: &str = r#"parsers:
  - { name: access, format: regex, time_key: time, time_format: '%d/%b/%Y:%H:%M:%S %z',
      regex: '^(?<client>[^ ]*) - (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<request>[^"]*)" (?<code>[^ ]*) (?<size>[^ ]*)' }
"#;
    let config = |root: &Path| {
        let path = format!("{}/containers/*.log", root.display());
        format!(
            "service: {{ flush: 1, log_level: warn }}\n{PARSER}pipeline:\n  inputs: [{{ name: tail, path: '{path}', \
             parser: access, {WHOLE} }}]\n  outputs: [{{ name: 'null', match: '*' }}]\n"
        )
    };
    own_set(bench, "access lines → `parser` with six groups and a time → `null`", Lines::push_access, config)
}

/// Lines of which one in ten is a trace of twelve → null.
pub(crate) fn traces(bench: &Bench) -> Vec<String> {
    let push: Push = |lines, out| {
        if lines.number() % 10 == 9 { lines.push_trace(out, 12) } else { lines.push_cri(out) }
    };
    let config = |root: &Path| {
        let null = "  outputs: [{ name: 'null', match: '*' }]\n";
        config(root, WHOLE, null).replace("multiline.parser: cri", "multiline.parser: 'cri, java'")
    };
    own_set(bench, "files, one record in ten a trace of twelve lines → `null`", push, config)
}

/// Files of a kind of their own, that only this row reads.
fn own_set(bench: &Bench, work: &str, push: Push, config: impl Fn(&Path) -> String) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let bytes = write_set(root, FILES, push, bench.lines() / 2);
    let costs = (0..bench.runs(3)).map(|_| run(root, &config(root))).collect::<Vec<_>>();
    throughput(work, bytes, &costs)
}

/// Files → http.
pub(crate) fn http_row(bench: &Bench) -> Vec<String> {
    everything_arrives(bench, "files → `http`, JSON lines, gzip level 1", |_, sink| http(sink, "/in", ""))
}

/// Files → filters and outputs of the row, all of it.
pub(crate) fn everything_arrives(bench: &Bench, work: &str, rest: impl Fn(&Path, &Sink) -> String) -> Vec<String> {
    let (root, bytes) = bench.set();
    let once = || {
        let sink = Sink::start();
        let cost = run(root, &config(root, WHOLE, &rest(root, &sink)));
        let (report, expect) = (sink.report(), u64::from(FILES) * bench.lines());
        assert_eq!((report.distinct, report.duplicates), (expect, 0), "records that arrived, and twice");
        cost
    };
    let costs = (0..bench.runs(5)).map(|_| once()).collect::<Vec<_>>();
    throughput(work, bytes, &costs)
}

pub(crate) fn throughput(work: &str, bytes: u64, costs: &[Cost]) -> Vec<String> {
    let rates = costs.iter().map(|cost| bytes as f64 / MEGA / cost.cpu_seconds);
    let rss = costs.iter().map(|cost| cost.peak_rss_bytes as f64 / MEGA);
    vec![row(work, "MB per CPU-second", rates.collect(), 0), row(&format!("{work}: peak RSS"), "MB", rss.collect(), 1)]
}

/// Memory while the destination answers 503 to everything.
pub(crate) fn away(bench: &Bench) -> Vec<String> {
    let (root, _) = bench.set();
    let sink = Sink::start();
    let agent = Agent::start(root, &config(root, "read_from_head: on", &http(&sink, "/away", "")));
    sleep(Duration::from_secs(if bench.quick { 3 } else { 10 }));
    vec![row("the same, the destination away: peak RSS", "MB", vec![agent.peak_rss_bytes() as f64 / MEGA], 1)]
}

/// 10,000 lines a second over 100 files, and the same files idle before.
pub(crate) fn rate(bench: &Bench) -> Vec<String> {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let root = folder.path();
    let mut logs: Vec<Log> = (0..100).map(|number| Log::create(root, number)).collect();
    logs.iter_mut().for_each(|log| _ = log.write(1));
    let filters = "  filters: [{ name: kubernetes, match: '*' }]\n";
    let config = config(root, "read_from_head: on", &format!("{filters}{}", http(&sink, "/in", "")));
    let agent = Agent::start(root, &config);
    let mut written = sink.wait_for(Duration::from_secs(20), |report| report.distinct == 100).distinct;
    let idle_time = Duration::from_secs(if bench.quick { 2 } else { 5 });
    let before = agent.cpu_seconds();
    sleep(idle_time);
    let idle = 100.0 * (agent.cpu_seconds() - before) / idle_time.as_secs_f64();
    let idle_rss = agent.rss_bytes() as f64 / MEGA;
    written += write_at_rate(&mut logs, 10_000, Duration::from_secs(2));
    let time = Duration::from_secs(if bench.quick { 5 } else { 20 });
    let before = agent.cpu_seconds();
    written += write_at_rate(&mut logs, 10_000, time);
    let busy = 100.0 * (agent.cpu_seconds() - before) / time.as_secs_f64();
    let arrived = sink.wait_for(Duration::from_secs(20), |report| report.distinct == written).distinct;
    assert_eq!(arrived, written, "records that arrived");
    vec![
        row("100 files, kubernetes, idle: RSS", "MB", vec![idle_rss], 1),
        row("the same: CPU", "% of a core", vec![idle], 2),
        row("10,000 lines a second over 100 files, kubernetes → `http`: CPU", "% of a core", vec![busy], 2),
        row("the same: peak RSS", "MB", vec![agent.peak_rss_bytes() as f64 / MEGA], 1),
    ]
}

/// From a line written to it being sent, with 200 quiet files.
pub(crate) fn latency(bench: &Bench) -> Vec<String> {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let root = folder.path();
    let mut logs: Vec<Log> = (0..200).map(|number| Log::create(root, number)).collect();
    let _agent = Agent::start(root, &config(root, "read_from_head: on", &http(&sink, "/in", ", linger: 0")));
    logs.iter_mut().for_each(|log| _ = log.write(1));
    sink.wait_for(Duration::from_secs(20), |report| report.distinct == 200);
    let count = if bench.quick { 50 } else { 300 };
    for number in 0..count {
        // Not in step with any clock of the agent.
        sleep(Duration::from_millis(20 + number * 37 % 53));
        logs[(number * 7 % 200) as usize].write_stamped();
    }
    let report = sink.wait_for(Duration::from_secs(10), |report| report.ages.len() as u64 == count);
    assert_eq!(report.ages.len() as u64, count, "lines that arrived");
    ages("a line in one of 200 quiet files → sent, linger 0", report.ages)
}

/// From the first line of a new file to it being sent, among 5,000 others.
pub(crate) fn new_file(bench: &Bench) -> Vec<String> {
    let files = if bench.quick { 500 } else { 5000 };
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let root = folder.path();
    // They are not kept open here: the limit of open files is for the agent.
    (0..files).for_each(|number| _ = Log::create(root, number).write(1));
    let agent = Agent::start(root, &config(root, "read_from_head: on", &http(&sink, "/in", ", linger: 0")));
    let there = sink.wait_for(Duration::from_secs(60), |report| report.distinct == u64::from(files));
    assert_eq!(there.distinct, u64::from(files), "files that were found");
    sleep(Duration::from_secs(2));
    let count: u32 = if bench.quick { 10 } else { 30 };
    for number in 0..count {
        sleep(Duration::from_millis(u64::from(200 + number * 37 % 53)));
        Log::create(root, files + number).write_stamped();
    }
    let report = sink.wait_for(Duration::from_secs(20), |report| report.ages.len() == count as usize);
    assert_eq!(report.ages.len(), count as usize, "new files that were found");
    let mut rows = ages(&format!("a new file among {files} → its first line sent, linger 0"), report.ages);
    rows.push(row(&format!("{files} files: peak RSS"), "MB", vec![agent.peak_rss_bytes() as f64 / MEGA], 1));
    rows
}

fn ages(work: &str, mut ages: Vec<Duration>) -> Vec<String> {
    ages.sort();
    let millis = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    vec![format!(
        "| {work} | p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms | {} lines |",
        millis(0.5),
        millis(0.99),
        millis(1.0),
        ages.len()
    )]
}

/// One row: the median, and all runs.
pub(crate) fn row(work: &str, unit: &str, mut runs: Vec<f64>, digits: usize) -> String {
    runs.sort_by(f64::total_cmp);
    let all = runs.iter().map(|run| format!("{run:.digits$}")).collect::<Vec<_>>().join(", ");
    format!("| {work} | {:.digits$} {unit} | {all} |", runs[runs.len() / 2])
}
