//! One case: its folder copied to where it runs, the servers around it, drave on its configuration, and what arrived.

use super::items;
use super::normal::{Items, difference, normal};
use super::servers::{Tcp, kubernetes, recorder};
use super::support::agent::{Agent, poll};
use super::support::sink::Sink;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Nothing that shall pass needs a tenth of it; a machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What cannot pass yet is not waited for as long.
const TIMEOUT_OF_WAITING: Duration = Duration::from_secs(3);
/// Of lines in a complaint, and of characters in a line.
const SHOWN_MAX: (usize, usize) = (8, 600);

/// What came of a case.
pub(crate) struct Outcome {
    difference: Vec<String>,
    code: Option<i32>,
    stderr: String,
}

impl Outcome {
    /// What is wrong with it, if anything is.
    pub(crate) fn complaint(&self) -> Option<String> {
        let shown = |line: &String| format!("  {}\n", line.chars().take(SHOWN_MAX.1).collect::<String>());
        let mut text: String = self.difference.iter().take(SHOWN_MAX.0).map(shown).collect();
        if self.difference.len() > SHOWN_MAX.0 {
            text += &format!("  … and {} more\n", self.difference.len() - SHOWN_MAX.0);
        }
        if self.code != Some(0) {
            text += &format!("  it ended with {:?}\n", self.code);
        }
        if text.is_empty() {
            return None;
        }
        let said = self.stderr.lines().map(|line| format!("    {line}\n"));
        Some(text + &said.take(SHOWN_MAX.0).collect::<String>())
    }
}

/// Runs a case until as much has arrived as shall, then ends drave, which delivers what it has read: too much shows as well.
pub(crate) fn run(name: &str, waits: bool) -> Outcome {
    let source = super::cases().join(name);
    let folder = tempfile::Builder::new().prefix("golden-").tempdir().unwrap();
    let case = Case::new(&source, folder.path());
    let expected = expected(&source);
    let (file, environment) = case.lay_out(&source, folder.path());
    let variables: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut agent = Agent::start_on(folder, &file, &variables);
    let timeout = if waits { TIMEOUT_OF_WAITING } else { TIMEOUT };
    let mut ended = None;
    poll(timeout, || {
        ended = agent.wait(Duration::ZERO);
        ended.is_some() || count(&case.delivered(&agent)) >= count(&expected)
    });
    let code = ended.map_or_else(|| agent.stop(), |status| status.code());
    Outcome { difference: difference(&expected, &case.delivered(&agent)), code, stderr: agent.stderr() }
}

fn expected(source: &Path) -> Items {
    let expect: Value = serde_json::from_slice(&fs::read(source.join("expect.json")).unwrap()).unwrap();
    let mut items = Items::new();
    for (place, value) in expect.as_object().unwrap() {
        let text = |item: &Value| normal(item.clone()).to_string();
        match value {
            Value::Object(files) => files.iter().for_each(|(name, list)| {
                items.insert(format!("files/{name}"), list.as_array().unwrap().iter().map(text).collect());
            }),
            list => {
                items.insert(place.clone(), list.as_array().unwrap().iter().map(text).collect());
            }
        }
    }
    items
}

fn count(items: &Items) -> usize {
    items.values().map(Vec::len).sum()
}

/// The servers, and what the placeholders of its files stand for.
struct Case {
    recorder: Sink,
    tcp: Tcp,
    _kubernetes: Sink,
    placeholders: Vec<(&'static str, String)>,
}

impl Case {
    fn new(source: &Path, folder: &Path) -> Self {
        let pods = fs::read(source.join("pods.json")).ok();
        let objects = pods.map_or_else(|| json!({}), |bytes| serde_json::from_slice(&bytes).unwrap());
        let (recorder, tcp, kubernetes) = (recorder(), Tcp::start(), kubernetes(objects));
        let part = |name: &str| folder.join(name).display().to_string();
        let (input, port) = (part("in"), recorder.address.port());
        let placeholders = vec![
            ("@DOTTED@", input.trim_matches('/').replace('/', ".")),
            ("@IN@", input),
            ("@DIR@", part("case")),
            ("@OUT@", part("out")),
            ("@PORT@", port.to_string()),
            ("@TCP@", tcp.port.to_string()),
            ("@KUBE@", kubernetes.address.port().to_string()),
            ("@CLOUDWATCH@", format!("endpoint http://127.0.0.1:{port}")),
        ];
        Self { recorder, tcp, _kubernetes: kubernetes, placeholders }
    }

    /// Copies the files; the configuration's name in the folder, and the variables that it wants.
    fn lay_out(&self, source: &Path, folder: &Path) -> (String, Vec<(String, String)>) {
        fs::create_dir_all(folder.join("in")).unwrap();
        fs::create_dir(folder.join("out")).unwrap();
        copy(source, folder, &|text| self.fill(text));
        fs::write(folder.join("case/token"), "t").unwrap();
        let is_there = |file: &&str| folder.join(file).exists();
        let file = ["case/agent.conf", "case/agent.yaml"].into_iter().find(is_there).unwrap();
        let mut environment = environment();
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let asked = text.lines().find_map(|line| line.strip_prefix('#')?.trim_start().strip_prefix("env:"));
        let pairs = asked.unwrap_or_default().split_whitespace().map(|pair| pair.split_once('=').unwrap());
        environment.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        (file.to_owned(), environment)
    }

    fn fill(&self, text: String) -> String {
        self.placeholders.iter().fold(text, |text, (name, value)| text.replace(name, value))
    }

    /// The other way round: paths and ports of this run never enter a comparison.
    fn hide(&self, text: String) -> String {
        self.placeholders.iter().fold(text, |text, (name, value)| match *name {
            "@CLOUDWATCH@" => text,
            "@PORT@" | "@TCP@" | "@KUBE@" => text.replace(&format!("127.0.0.1:{value}"), &format!("127.0.0.1:{name}")),
            _ => text.replace(value, name),
        })
    }

    fn delivered(&self, agent: &Agent) -> Items {
        let requests = self.recorder.requests();
        let posted = requests.iter().filter(|request| matches!(&*request.head.method, "POST" | "PUT"));
        let tcp: Vec<u8> = self.tcp.bytes().iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }).collect();
        let mut items = Items::from([
            ("stdout".to_owned(), self.texts(items::lines(agent.stdout().as_bytes()))),
            ("requests".to_owned(), self.texts(posted.flat_map(items::of_request).collect())),
            ("tcp".to_owned(), self.texts(items::lines(&tcp))),
        ]);
        let out = agent.folder().join("out");
        let mut files = Vec::new();
        walk(&out, &mut |path| files.push(path.to_owned()));
        for path in files {
            let name = self.hide(path.strip_prefix(&out).unwrap().display().to_string());
            items.insert(format!("files/{name}"), self.texts(items::lines(&fs::read(&path).unwrap())));
        }
        items.retain(|_, list| !list.is_empty());
        items
    }

    fn texts(&self, values: Vec<Value>) -> Vec<String> {
        values.into_iter().map(|value| self.hide(normal(value).to_string())).collect()
    }
}

fn environment() -> Vec<(String, String)> {
    let fixed = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("NODE_NAME", "node-1"),
        ("HOST_NAME", "node-1"),
        ("TZ", "UTC"),
        ("NO_COLOR", "1"),
    ];
    fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Its `in` goes there as it is, all else to `case`, with the placeholders filled in.
fn copy(source: &Path, folder: &Path, fill: &dyn Fn(String) -> String) {
    walk(source, &mut |path| {
        let name = path.strip_prefix(source).unwrap();
        let bytes = fs::read(path).unwrap();
        let (target, bytes) = match name.starts_with("in") {
            true => (folder.join(name), bytes),
            false => (folder.join("case").join(name), fill(String::from_utf8(bytes).unwrap()).into_bytes()),
        };
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    });
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}
