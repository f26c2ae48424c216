//! Adds what the EC2 instance says of itself: availability zone, instance id and others.
//!
//! ```yaml
//! filters:
//!   - name: aws
//!     match: '*'
//!     ec2_instance_type: on
//!     private_ip: on
//! ```
//! It is fetched once, beside the data path, and once for all such filters that ask for the same. Sources wait for it `imds_wait` at most, once after the start; records that go without are
//! counted. When more is known the sources are planned again. All their records share it: none is looked at.
//!
//! ```text
//!  metadata service ─▶ known ─▶ sources: planned again      out of reach: the Node object says zone, id and type
//! ```

mod fetch;
mod node;

use super::{Each, Filter, FilterConfig, FilterContext, FilterPlugin, Measure, Measured, Plan};
use crate::config::{Duration as Time, List, Report, Section};
use crate::net::MetadataVersion;
use crate::record::{Batch, SourceDraft, Stale};
use fetch::{Asked, Attempt, Fetch, Field, Tags};
use futures_util::future::BoxFuture;
use http::Uri;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sources up to which those that are gone are not looked for.
const USERS_MIN: usize = 64;

crate::options! {
    /// What is added.
    pub struct AwsOptions {
        /// How the metadata service is asked: `v2`, with a token, or `v1`.
        imds_version: MetadataVersion, "imds_version", default "v2";
        /// Add the availability zone.
        az: bool, "az", default "on";
        /// Add the id of the instance.
        ec2_instance_id: bool, "ec2_instance_id", default "on";
        /// Add its type.
        ec2_instance_type: bool, "ec2_instance_type", default "off";
        /// Add its private address.
        private_ip: bool, "private_ip", default "off";
        /// Add the id of its VPC.
        vpc_id: bool, "vpc_id", default "off";
        /// Add the id of its image.
        ami_id: bool, "ami_id", default "off";
        /// Add the id of its account.
        account_id: bool, "account_id", default "off";
        /// Add its hostname.
        hostname: bool, "hostname", default "off";
        /// Add its tags, each as a key; the instance must allow tags in its metadata.
        tags_enabled: bool, "tags_enabled", default "off";
        /// These tags only: names, separated by commas.
        tags_include: List, "tags_include", default "";
        /// All tags but these.
        tags_exclude: List, "tags_exclude", default "";
        /// Seconds from one attempt to the next at most, while something is missing; at first it is tried sooner.
        retry_interval_s: u64, "retry_interval_s", default "300";
        /// So long the first sources wait after the start for what the service says; they do not where it refuses.
        imds_wait: Time, "imds_wait", default "2s";
        /// The Kubernetes API, which is asked for the node where the metadata service cannot be reached. Without it: of the cluster that drave
        /// runs in.
        kube_url: String, "kube_url", optional;
        /// The namespace of the own pod: with it the node's name is found where NODE_NAME, K8S_NODE_NAME and HOST_NAME are not set.
        kube_namespace_file: PathBuf, "kube_namespace_file", default "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
    }
    no_effect {
        "enable_entity": "entities are not sent; the records are the same without";
    }
    deviations {
        "the metadata service": "is asked beside the data path; Fluent Bit asks at the start, and then while records wait";
        "what is known in part": "is added; Fluent Bit adds nothing until it has all";
        "a metadata service out of reach": "leaves zone, id and type to the Node object of Kubernetes, which says them too";
        "`retry_interval_s`": "bounds the time between attempts for everything, not for tags alone";
    }
}

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "aws",
    about: "Adds what the EC2 instance says of itself.",
    options: &[AwsOptions::OPTIONS],
    deviations: &[AwsOptions::DEVIATIONS],
    configure,
};

fn configure(section: &Section, _: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = AwsOptions::from_section(section, report)?;
    let both = !options.tags_include.0.is_empty() && !options.tags_exclude.0.is_empty();
    if both && options.tags_enabled {
        let at = section.get("tags_exclude").map(|entry| &entry.key_at);
        let hint = "take one of them out".to_owned();
        report.error(at, "`tags_include` and `tags_exclude` stand side by side", Some(hint));
    }
    let url = options.kube_url.as_deref().map(str::parse::<Uri>);
    if let Some(Err(error)) = &url {
        let at = section.get("kube_url").map(|entry| &entry.value_at);
        let hint = "write it as in https://kubernetes.default.svc:443".to_owned();
        report.error(at, format!("`kube_url` is no URL: {error}"), Some(hint));
    }
    Some(Box::new(Aws::new(options, url.and_then(Result::ok))))
}

/// What filters know of the instance, by what they ask for.
#[derive(Debug, Clone, Default)]
pub struct Instances(Arc<Mutex<Vec<Shared>>>);

/// What was asked for, and what is known of it.
type Shared = (Asked, Arc<Metadata>);

struct Aws {
    options: AwsOptions,
    kube_url: Option<Uri>,
    metadata: Arc<Metadata>,
    /// Records that went before all was known.
    without: Arc<AtomicU64>,
}

impl Aws {
    fn new(options: AwsOptions, kube_url: Option<Uri>) -> Self {
        Self { options, kube_url, metadata: Arc::default(), without: Arc::default() }
    }

    /// Shares what is known with those that ask for the same; `true` for the first of them, which fetches it.
    fn join(&mut self, asked: &Asked, instances: &Instances) -> bool {
        let shared = &mut *instances.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, metadata)) = shared.iter().find(|(other, _)| other == asked) {
            self.metadata = Arc::clone(metadata);
            return false;
        }
        shared.push((asked.clone(), Arc::clone(&self.metadata)));
        true
    }

    /// In the order in which they are added.
    fn wanted(&self) -> Vec<Field> {
        let options = &self.options;
        let wanted = [
            (options.az, Field::Zone),
            (options.ec2_instance_id, Field::InstanceId),
            (options.ec2_instance_type, Field::InstanceType),
            (options.private_ip, Field::PrivateIp),
            (options.vpc_id, Field::VpcId),
            (options.ami_id, Field::AmiId),
            (options.account_id, Field::AccountId),
            (options.hostname, Field::Hostname),
        ];
        wanted.into_iter().filter_map(|(is_on, field)| is_on.then_some(field)).collect()
    }

    fn tags(&self) -> Option<Tags> {
        let options = &self.options;
        options
            .tags_enabled
            .then(|| Tags { include: options.tags_include.0.clone(), exclude: options.tags_exclude.0.clone() })
    }
}

/// What is known of the instance, shared between the data path and who fetches it.
#[derive(Debug, Default)]
struct Metadata {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// In the order in which they are added.
    fields: Vec<(String, String)>,
    /// Nothing more will come.
    is_all: bool,
    /// Somebody fetches it: not where a configuration is only explained.
    is_fetched: bool,
    /// Until when sources wait, while it is worth it.
    wait_until: Option<Instant>,
    /// Sources that show what is known so far.
    users: Vec<Stale>,
    users_max: usize,
}

impl Metadata {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first attempt begins. Of filters that share it the most patient counts.
    fn begin(&self, wait_until: Instant) {
        let inner = &mut *self.inner();
        (inner.is_fetched, inner.wait_until) = (true, inner.wait_until.max(Some(wait_until)));
    }

    /// An attempt is over: all that is known now.
    fn set(&self, Attempt { fields, is_all, is_late }: Attempt) {
        let inner = &mut *self.inner();
        inner.wait_until = inner.wait_until.filter(|_| is_late);
        if inner.fields == fields && inner.is_all == is_all {
            return;
        }
        (inner.fields, inner.is_all) = (fields, is_all);
        inner.users.drain(..).for_each(|stale| stale.set());
    }
}

impl Inner {
    fn note(&mut self, user: &Stale) {
        if self.users.len() >= self.users_max {
            self.users.retain(Stale::is_shared);
            self.users_max = (self.users.len() * 2).max(USERS_MIN);
        }
        self.users.push(user.clone());
    }
}

impl Filter for Aws {
    fn plan(&mut self, source: &mut SourceDraft) -> Plan {
        let inner = &mut *self.metadata.inner();
        if !source.last_call && inner.wait_until.is_some_and(|until| Instant::now() < until) {
            return Plan::NotYet;
        }
        for (key, value) in &inner.fields {
            source.share(key, Value::String(value.clone()), true);
        }
        if inner.is_all || !inner.is_fetched {
            return Plan::Pass;
        }
        inner.note(&source.stale);
        Plan::Each(Box::new(Without(Arc::clone(&self.without))))
    }

    fn task(&mut self, context: FilterContext) -> Option<BoxFuture<'static, ()>> {
        let asked = Asked {
            wanted: self.wanted(),
            tags: self.tags(),
            version: self.options.imds_version,
            retry_max: Duration::from_secs(self.options.retry_interval_s),
            kube_url: self.kube_url.clone(),
            namespace_file: self.options.kube_namespace_file.clone(),
        };
        let is_first = self.join(&asked, &context.instances);
        self.metadata.begin(Instant::now() + self.options.imds_wait.0);
        if !is_first {
            return None;
        }
        let fetch = Fetch { asked, environment: context.environment };
        let (metadata, wake) = (Arc::clone(&self.metadata), context.wake);
        Some(Box::pin(async move {
            let set = |attempt| {
                metadata.set(attempt);
                wake();
            };
            fetch.keep(set).await;
        }))
    }

    fn measures(&self) -> Vec<Measure<'_>> {
        let value = self.without.load(Ordering::Relaxed) as f64;
        vec![Measure { what: Measured::WithoutInstance, label: Some("not_known_yet"), value }]
    }
}

/// Counts the records that go before all is known.
struct Without(Arc<AtomicU64>);

impl Each for Without {
    fn apply(&mut self, batch: &mut Batch) {
        self.0.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
    }

    fn owns_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Syntax, load_text};

    fn aws(options: &str) -> Result<Aws, String> {
        let text = format!("pipeline: {{filters: [{{name: aws, match: '*', {options}}}]}}");
        let mut report = Report::default();
        let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut report);
        configure(&config.filters[0], &FilterConfig::of(&config, &Environment::default()), &mut report);
        let options = AwsOptions::from_section(&config.filters[0], &mut report);
        options
            .filter(|_| !report.has_errors())
            .map(|options| Aws::new(options, None))
            .ok_or_else(|| report.to_string())
    }

    fn shared(source: &SourceDraft) -> String {
        source.shared.iter().map(|shared| format!("{}={} ", shared.key, shared.value)).collect()
    }

    fn field(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    fn of(fields: Vec<(String, String)>, is_all: bool) -> Attempt {
        Attempt { fields, is_all, is_late: false }
    }

    #[test]
    fn sources_wait_for_the_first_attempt_and_are_planned_again_when_more_is_known() {
        let mut aws = aws("az: on").unwrap();
        let metadata = Arc::clone(&aws.metadata);
        metadata.begin(Instant::now() + Duration::from_secs(600));
        let mut first = SourceDraft::default();
        assert!(matches!(aws.plan(&mut first), Plan::NotYet));
        assert!(matches!(aws.plan(&mut SourceDraft { last_call: true, ..SourceDraft::default() }), Plan::Each(_)));
        metadata.set(Attempt { fields: Vec::new(), is_all: false, is_late: true });
        assert!(matches!(aws.plan(&mut first), Plan::NotYet), "the next attempt may bring it");
        metadata.set(of(Vec::new(), false));
        assert!(matches!(aws.plan(&mut first), Plan::Each(_)) && !first.stale.is_set());
        metadata.set(of(vec![field("az", "eu-1a")], false));
        assert!(first.stale.is_set());
        let mut second = SourceDraft::default();
        assert!(matches!(aws.plan(&mut second), Plan::Each(_)));
        assert_eq!(shared(&second), "az=\"eu-1a\" ");
        metadata.set(of(vec![field("az", "eu-1a")], false));
        assert!(!second.stale.is_set(), "nothing new");
        metadata.set(of(vec![field("az", "eu-1a"), field("ec2_instance_id", "i-1")], true));
        assert!(second.stale.is_set());
        let mut third = SourceDraft::default();
        assert!(matches!(aws.plan(&mut third), Plan::Pass));
        assert_eq!(shared(&third), "az=\"eu-1a\" ec2_instance_id=\"i-1\" ");
    }

    #[test]
    fn nobody_waits_longer_than_a_moment() {
        let mut aws = aws("az: on").unwrap();
        assert!(matches!(aws.plan(&mut SourceDraft::default()), Plan::Pass), "nobody fetches anything");
        aws.metadata.begin(Instant::now());
        assert!(matches!(aws.plan(&mut SourceDraft::default()), Plan::Each(_)));
    }

    #[test]
    fn sources_that_are_gone_are_forgotten() {
        let mut aws = aws("az: on").unwrap();
        aws.metadata.begin(Instant::now());
        for _ in 0..USERS_MIN * 10 {
            aws.plan(&mut SourceDraft::default());
        }
        assert!(aws.metadata.inner().users.len() <= USERS_MIN);
    }

    #[test]
    fn options() {
        let names = |options: &str| -> Vec<&str> { aws(options).unwrap().wanted().iter().map(|f| f.key()).collect() };
        assert_eq!(names("imds_version: V2"), ["az", "ec2_instance_id"]);
        assert_eq!(
            names("az: off, hostname: on, ami_id: on, account_id: on"),
            ["ec2_instance_id", "ami_id", "account_id", "hostname"]
        );
        for (options, expect) in [
            ("tags_enabled: on, tags_include: a, tags_exclude: b", "stand side by side"),
            ("kube_url: 'http://a b'", "is no URL"),
            ("imds_version: v3", "cannot be `v3`"),
        ] {
            let said = aws(options).err().unwrap_or_default();
            assert!(said.contains(expect), "{options}: {said}");
        }
    }
}
