//! The configuration that AWS hands out for EKS, with its directives: application, dataplane and host logs. `official/` has the files.

use super::support::agent::{Agent, poll};
use super::support::cloudwatch::{CloudWatch, KEYS};
use super::support::instance::Instance;
use super::support::kubernetes::{KubeApi, pod};
use super::support::logs::ContainerLog;
use super::{PATIENCE, copy_folder};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A node, as its agent sees it: files below a folder, and who is around.
pub(super) struct Site {
    pub(super) root: TempDir,
    instance: Instance,
    api: KubeApi,
    cloud: CloudWatch,
}

impl Site {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        copy_folder("official", root.path());
        fs::create_dir_all(root.path().join("var/log/containers")).unwrap();
        let this = Self { root, instance: Instance::start(), api: KubeApi::start(), cloud: CloudWatch::start() };
        this.append("dmesg", "[    0.000000] Linux version 6.1.112\n[    0.000000] Command line: root=/dev/xvda1\n");
        this.append("messages", &this_second("ip-10-0-0-1 systemd[1]: Started Session 2 of User ec2-user."));
        this.append("secure", &this_second("ip-10-0-0-1 sshd[4211]: Accepted publickey for ec2-user"));
        this
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// To a file of /var/log.
    fn append(&self, name: &str, text: &str) {
        let mut file = fs::File::options().create(true).append(true).open(self.path("var/log").join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn container(&self, namespace: &str, pod_name: &str) -> ContainerLog {
        let log =
            ContainerLog::create(&self.path("var/log"), namespace, pod_name, &format!("uid-{pod_name}"), "app", 0);
        self.api.put(pod(pod_name, namespace, &format!("uid-{pod_name}"), &[("app", "c1")]));
        log
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let root = self.root.path().display().to_string();
        let mut variables = vec![
            ("ROOT_TAG", format!("{}.", root.trim_matches('/').replace('/', "."))),
            ("ROOT", root),
            ("FLUSH", "1".into()),
            ("HTTP_SERVER", "Off".into()),
            ("HTTP_PORT", "2020".into()),
            ("READ_FROM_HEAD", "On".into()),
            ("READ_FROM_TAIL", "Off".into()),
            ("AWS_REGION", "eu-central-1".into()),
            ("CLUSTER_NAME", "c1".into()),
            ("HOST_NAME", "node-1".into()),
            ("KUBE_URL", format!("http://{}", self.api.address)),
            ("KUBELET_PORT", "10250".into()),
            ("IMDS_WAIT", "10m".into()),
            ("LOGS_ENDPOINT", self.cloud.endpoint()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.instance.endpoint()),
        ];
        variables.extend(KEYS.map(|(name, value)| (name, value.to_owned())));
        variables
    }

    /// With the part that reads the journal, too.
    pub(super) fn with_journal(self) -> Self {
        fs::create_dir_all(self.path("var/log/journal")).unwrap();
        let main = self.path("fluent-bit.conf");
        fs::write(&main, format!("{}@INCLUDE journal.conf\n", fs::read_to_string(&main).unwrap())).unwrap();
        self
    }

    fn start(self) -> (Agent, CloudWatch, KubeApi, Instance) {
        self.start_program(Path::new(env!("CARGO_BIN_EXE_drave")))
    }

    pub(super) fn start_program(self, program: &Path) -> (Agent, CloudWatch, KubeApi, Instance) {
        let variables = self.variables();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let agent = Agent::start_line(program, self.root, &["-c", "fluent-bit.conf"], &variables);
        (agent, self.cloud, self.api, self.instance)
    }
}

/// A line as rsyslog writes it, of now: CloudWatch takes nothing that is two weeks old.
fn this_second(text: &str) -> String {
    format!("{} {text}\n", jiff::Timestamp::now().strftime("%b %e %H:%M:%S"))
}

/// What stands in each stream, without what is another one in each run.
fn stored(cloud: &CloudWatch, root: &Path) -> BTreeMap<String, Vec<String>> {
    let tag = root.display().to_string().trim_matches('/').replace('/', ".");
    let mut stored = BTreeMap::new();
    for (group, of_group) in cloud.groups() {
        for (stream, events) in of_group.streams {
            let name = without_ids(&format!("{group} {stream}").replace(&tag, "ROOT"));
            let mut messages: Vec<String> = events.iter().map(|(_, message)| shape(message)).collect();
            messages.sort();
            stored.insert(name, messages);
        }
    }
    stored
}

fn shape(message: &str) -> String {
    let mut record: Value = serde_json::from_str(message).unwrap();
    if let Some(time) = record.get_mut("time") {
        *time = "TIME".into();
    }
    without_ids(&record.to_string())
}

/// Ids of containers: 64 hexadecimal digits.
fn without_ids(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for sign in text.chars().chain(['\n']) {
        if sign.is_ascii_hexdigit() {
            digits.push(sign);
            continue;
        }
        out.push_str(if digits.len() == 64 { "ID" } else { &digits });
        digits.clear();
        out.push(sign);
    }
    out.truncate(out.len() - 1);
    out
}

fn show(stored: &BTreeMap<String, Vec<String>>) -> String {
    stored.iter().map(|(stream, messages)| format!("{stream}\n  {}\n", messages.join("\n  "))).collect()
}

pub(super) fn count(cloud: &CloudWatch) -> usize {
    cloud.groups().values().flat_map(|group| group.streams.values()).map(Vec::len).sum()
}

#[test]
fn it_is_accepted_and_what_has_no_effect_is_said() {
    let site = Site::new();
    let _log = (site.container("shop", "web-1"), site.container("kube-system", "fluent-bit-x"));
    let _other = (site.container("kube-system", "cloudwatch-agent-x"), site.container("kube-system", "aws-node-x"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    let command = command.args(["check", "fluent-bit.conf"]).env_clear().envs(site.variables());
    let output = command.current_dir(site.root.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap().replace(&site.root.path().display().to_string(), "ROOT");
    assert_eq!(output.status.code(), Some(0), "{said}");
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("official_check", said);
    });
}

#[test]
fn the_same_events_reach_the_same_groups_and_streams() {
    let site = Site::new();
    let mut web = site.container("shop", "web-1");
    web.write_cri("stdout", "F", r#"{"level":"info","n":1}"#);
    web.write_cri("stderr", "P", "a long ");
    web.write_cri("stderr", "F", "line");
    for name in ["fluent-bit-x", "cloudwatch-agent-x", "aws-node-x", "kube-proxy-x"] {
        site.container("kube-system", name).write_cri("stdout", "F", &format!("of {name}"));
    }
    let root = site.root.path().to_owned();
    let (mut agent, cloud, api, instance) = site.start();
    assert!(poll(PATIENCE, || count(&cloud) >= 10), "{}\n{}", show(&stored(&cloud, &root)), agent.stderr());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    cloud.check();
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("official_events", show(&stored(&cloud, &root)));
    });
    assert!(cloud.calls("PutLogEvents").iter().all(|call| call.user_agent.ends_with(" node-logs")));

    // A restart goes on in each file where it was.
    web.write_cri("stdout", "F", "after the restart");
    let folder = agent.into_folder();
    let mut messages = fs::File::options().append(true).open(folder.path().join("var/log/messages")).unwrap();
    messages.write_all(this_second("ip-10-0-0-1 kernel: after the restart").as_bytes()).unwrap();
    let site = Site { root: folder, instance, api, cloud };
    let (mut agent, cloud, ..) = site.start();
    assert!(poll(PATIENCE, || count(&cloud) >= 12), "{}\n{}", show(&stored(&cloud, &root)), agent.stderr());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
    assert_eq!(count(&cloud), 12, "{}", show(&stored(&cloud, &root)));
}

#[test]
fn the_time_of_a_host_log_is_what_its_line_says() {
    let site = Site::new();
    let (mut agent, cloud, ..) = site.start();
    assert!(poll(PATIENCE, || count(&cloud) >= 4), "{}", agent.stderr());
    let events = &cloud.groups()["/nodes/c1/host"].streams["node-1.host.messages"];
    assert_eq!(events[0].0 % 1000, 0, "a line says whole seconds: {events:?}");
    assert_eq!(agent.stop(), Some(0));
}

/// The part of the configuration that reads the journal.
#[test]
fn the_journal_is_a_part_of_it() {
    let site = Site::new().with_journal();
    let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
    let command = command.args(["check", "fluent-bit.conf"]).env_clear().envs(site.variables());
    let output = command.current_dir(site.root.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut agent, cloud, ..) = site.start();
    assert!(poll(PATIENCE, || count(&cloud) >= 4), "{}", agent.stderr());
    assert_eq!(agent.stop(), Some(0), "{}", agent.stderr());
}
