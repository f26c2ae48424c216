//! Fills the store: one list of the node's pods, one watch from there on; of all namespaces the same where an option asks for them.
//!
//! ```text
//!  node's name ─▶ list, from the API server's cache ─▶ watch ─┬─ events, bookmarks: the version moves on
//!       ▲                     ▲                          ▲    ├─ the server ends it, an error: wait, at random, ever longer ─┐
//!       └── not known: wait ──┘                          └────┼──────────────────────────────────────────────────────────────┘
//!                             └───────────────────────────────┴─ 410: the version is too old
//! ```

use super::node;
use super::store::{Condition, Kind, Store};
use crate::config::Environment;
use crate::net::Backoff;
use crate::net::kube::{ApiClient, ApiError, ApiOptions, WatchEvent};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::{sleep, timeout};

/// So long the server is asked to let a watch live, less up to a minute, so that those of a cluster spread.
const WATCH_LENGTH: Duration = Duration::from_secs(300);
/// So often in a row a watch may fail before a new list.
const WATCH_FAILURES_MAX: u32 = 3;
const WATCH_SPREAD: Duration = Duration::from_secs(60);
/// A watch that was silent for so long after its end has hung.
const WATCH_OVERTIME: Duration = Duration::from_secs(15);
/// A watch that lived so long was a good one: the next begins soon.
const GOOD_WATCH: Duration = Duration::from_secs(5);
const BACKOFF_BASE: Duration = Duration::from_millis(500);
const BACKOFF_CAP: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(60);

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Pods => "/api/v1/pods",
            Self::Namespaces => "/api/v1/namespaces",
        }
    }

    /// In sentences.
    fn noun(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Namespaces => "namespaces",
        }
    }
}

/// What following runs with.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) api: ApiOptions,
    pub(super) environment: Environment,
    /// The namespace of the own pod stands there.
    pub(super) namespace_file: PathBuf,
    pub(super) store: Arc<Store>,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

/// Why following came to an end.
enum End {
    /// The version is too old: list anew.
    Gone,
    /// No name, no watch.
    NoNode,
    Error(ApiError),
}

impl From<ApiError> for End {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused { status: 410, .. } => Self::Gone,
            error => Self::Error(error),
        }
    }
}

impl Watch {
    /// Follows for good.
    pub(super) async fn keep(&self, kind: Kind) {
        let mut backoff = backoff(BACKOFF_BASE, BACKOFF_CAP);
        loop {
            let begun = Instant::now();
            let end = self.follow(kind).await;
            self.say(kind, &end);
            if begun.elapsed() >= BACKOFF_CAP {
                backoff.reset();
            }
            sleep(backoff.wait().max(BACKOFF_BASE / 5)).await;
        }
    }

    /// Forgets what is not needed any more, for good.
    pub(super) async fn tidy(&self) {
        loop {
            sleep(SWEEP).await;
            self.store.sweep(Instant::now());
        }
    }

    /// Until it cannot go on from where it is.
    async fn follow(&self, kind: Kind) -> End {
        let (selector, mut version) = match self.begin(kind).await {
            Ok(begun) => begun,
            Err(end) => return end,
        };
        let mut failures = 0;
        let (mut backoff, mut spread) = (backoff(BACKOFF_BASE, BACKOFF_CAP), backoff(WATCH_SPREAD, WATCH_SPREAD));
        loop {
            let begun = Instant::now();
            let length = WATCH_LENGTH.saturating_sub(spread.wait());
            match self.watch(kind, selector.as_deref(), &mut version, length).await {
                Ok(()) => failures = 0,
                // A version that the server cannot serve any more: a new list has another one.
                Err(end @ End::Error(_)) if failures >= WATCH_FAILURES_MAX => return end,
                Err(End::Error(error)) => {
                    failures += 1;
                    self.say(kind, &End::Error(error));
                }
                Err(end) => return end,
            }
            if begun.elapsed() >= GOOD_WATCH {
                failures = 0;
                backoff.reset();
            }
            sleep(backoff.wait()).await;
        }
    }

    /// The list: what is followed, and from which version on.
    async fn begin(&self, kind: Kind) -> Result<(Option<String>, String), End> {
        let client = ApiClient::new(&self.api).await?;
        let selector = match kind {
            Kind::Namespaces => None,
            Kind::Pods => {
                let node = node::name(&self.environment, &client, &self.namespace_file).await?.ok_or(End::NoNode)?;
                Some(format!("spec.nodeName={node}"))
            }
        };
        let mut there = HashSet::new();
        let version =
            client.list(kind.path(), selector.as_deref(), |object| there.extend(self.apply(kind, &object))).await?;
        if kind == Kind::Pods {
            tracing::info!(pods = there.len(), "the pods of this node are known");
        }
        self.store.listed(kind, &there);
        (self.wake)();
        Ok((selector, version))
    }

    /// One watch, to its end.
    async fn watch(
        &self,
        kind: Kind,
        selector: Option<&str>,
        version: &mut String,
        length: Duration,
    ) -> Result<(), End> {
        let client = ApiClient::new(&self.api).await?;
        let mut events = client.watch(kind.path(), selector, version, length).await?;
        self.store.set_condition(kind, Condition::Live);
        loop {
            let silent = |_| ApiError::Answer(format!("a watch of {} hung", kind.path()));
            let Some(event) = timeout(length + WATCH_OVERTIME, events.next()).await.map_err(silent)? else {
                return Ok(());
            };
            match event.map_err(ApiError::from)? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.apply(kind, &object);
                    version_of(&object, version);
                }
                WatchEvent::Deleted(object) => {
                    match kind {
                        Kind::Pods => self.store.delete(&object),
                        Kind::Namespaces => self.store.delete_namespace(&object),
                    }
                    version_of(&object, version);
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    self.store.sign();
                }
                WatchEvent::Error(status) => {
                    return Err(ApiError::Refused { status: status.code, message: status.message }.into());
                }
            }
        }
    }

    /// The UID of a pod, the name of a namespace.
    fn apply(&self, kind: Kind, object: &Value) -> Option<String> {
        let (name, is_news) = match kind {
            Kind::Pods => self.store.apply(object)?,
            Kind::Namespaces => self.store.apply_namespace(object)?,
        };
        if is_news {
            (self.wake)();
        }
        Some(name)
    }

    fn say(&self, kind: Kind, end: &End) {
        let what = match kind {
            Kind::Pods => "the pods of this node",
            Kind::Namespaces => "namespaces",
        };
        let condition = match end {
            End::Gone => return tracing::debug!("{what} are listed anew: the version was too old"),
            End::NoNode => {
                tracing::error!(
                    "the name of this node is not known, so its pods are not: records get what their paths say; hint: set \
                     NODE_NAME from `fieldRef: spec.nodeName` in the manifest"
                );
                Condition::NoNode
            }
            End::Error(error) => {
                let rights = format!("to list and to watch {}", kind.noun());
                let hint = error.hint(&rights).map_or_else(String::new, |hint| format!("; hint: {hint}"));
                tracing::error!("{what} cannot be followed: {error}{hint}");
                match error {
                    ApiError::Refused { status: 401 | 403, .. } => Condition::Forbidden,
                    _ => Condition::Unavailable,
                }
            }
        };
        self.store.set_condition(kind, condition);
        (self.wake)();
    }
}

/// Each process and each moment another one, so that the nodes of a cluster do not come together.
fn backoff(base: Duration, cap: Duration) -> Backoff {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Backoff::new(base, cap, since.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32))
}

fn version_of(object: &Value, version: &mut String) {
    if let Some(new) = object["metadata"]["resourceVersion"].as_str() {
        new.clone_into(version);
    }
}
