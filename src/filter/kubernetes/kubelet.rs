//! The kubelet's own list of pods, where the API refuses to give one (`use_kubelet on`): at most one request in two seconds, and
//! only for a pod that is not known.

use super::store::{Condition, Kind, Store};
use crate::net::kube::{ApiClient, ApiError, ApiOptions};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between two requests.
const PAUSE: Duration = Duration::from_secs(2);
/// Between two looks at whether one is needed.
const LOOK: Duration = Duration::from_millis(100);

/// What asking runs with.
pub(super) struct Kubelet {
    /// Its place is the kubelet's.
    pub(super) api: ApiOptions,
    pub(super) store: Arc<Store>,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

impl Kubelet {
    /// Asks for good, when there is a need.
    pub(super) async fn keep(&self) {
        loop {
            sleep(LOOK).await;
            if !(self.store.is(Kind::Pods, Condition::Forbidden) && self.store.take_asked()) {
                continue;
            }
            if let Err(error) = self.ask().await {
                let hint = error
                    .hint("to `get` the resource `nodes/proxy`")
                    .map_or_else(String::new, |hint| format!("; hint: {hint}"));
                tracing::error!("the kubelet does not give its pods: {error}{hint}");
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self) -> Result<(), ApiError> {
        let client = ApiClient::new(&self.api).await?;
        let mut there = HashSet::new();
        client.list("/pods", None, |pod| there.extend(self.store.apply(&pod).map(|(uid, _)| uid))).await?;
        self.store.listed_by_kubelet(&there);
        (self.wake)();
        Ok(())
    }
}
