//! What filters of one agent share: an API that is asked by several of them, one for each output maybe, is listed and watched once.
//!
//! ```text
//! kubernetes.0 ─┐                    ┌─ one store
//! kubernetes.1 ─┴─▶ the same API? ───┼─ one list and one watch of pods, and of namespaces where any of them asks for those
//! kubernetes.2 ───▶ another one      └─ the kubelet, where any of them may ask it
//! ```

use super::FilterContext;
use super::kubelet::Kubelet;
use super::options::KubernetesOptions;
use super::pod::Wanted;
use super::store::{Kind, Store};
use super::watch::Watch;
use crate::net::kube::ApiOptions;
use futures_util::future::{BoxFuture, join, join3};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The Kubernetes APIs that the filters of one agent follow.
#[derive(Debug, Clone, Default)]
pub struct Apis(Arc<Mutex<Vec<Followed>>>);

#[derive(Debug)]
struct Followed {
    api: ApiOptions,
    store: Arc<Store>,
    asks: Arc<Mutex<Asks>>,
}

/// What is asked of an API.
#[derive(Debug, Clone)]
pub(super) struct Asks {
    /// What of pods, if they are followed.
    pub(super) pods: Option<Wanted>,
    /// What of namespaces, if they are.
    pub(super) namespaces: Option<Wanted>,
    /// The kubelet, where the API may refuse.
    pub(super) kubelet: Option<ApiOptions>,
    /// The namespace of the own pod stands there.
    pub(super) namespace_file: PathBuf,
}

impl Asks {
    pub(super) fn of(options: &KubernetesOptions, wanted: Wanted) -> Self {
        let (labels, annotations) = (options.namespace_labels, options.namespace_annotations);
        Self {
            pods: (!options.namespace_metadata_only).then_some(wanted),
            namespaces: (labels || annotations).then_some(Wanted { labels, annotations, owners: false }),
            kubelet: options.use_kubelet.then(|| options.kubelet_api()),
            namespace_file: options.kube_namespace_file.clone(),
        }
    }

    fn and(&mut self, other: Self) {
        self.pods = self.pods.into_iter().chain(other.pods).reduce(Wanted::and);
        self.namespaces = self.namespaces.into_iter().chain(other.namespaces).reduce(Wanted::and);
        self.kubelet = self.kubelet.take().or(other.kubelet);
    }

    fn kinds(&self) -> Vec<Kind> {
        let (pods, namespaces) = (self.pods.map(|_| Kind::Pods), self.namespaces.map(|_| Kind::Namespaces));
        pods.into_iter().chain(namespaces).collect()
    }
}

impl Apis {
    /// What is known of an API, shared with all who ask the same one; for the first of them, the work that keeps it so.
    pub(super) fn join(
        &self,
        api: ApiOptions,
        asks: Asks,
        context: FilterContext,
    ) -> (Arc<Store>, Option<BoxFuture<'static, ()>>) {
        let followed = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = followed.iter().find(|followed| followed.api == api) {
            let all = &mut *same.asks.lock().unwrap_or_else(PoisonError::into_inner);
            all.and(asks);
            begin(&same.store, all, &api, &context);
            return (Arc::clone(&same.store), None);
        }
        let store = Arc::new(Store::new());
        begin(&store, &asks, &api, &context);
        let asks = Arc::new(Mutex::new(asks));
        let work = follow(api.clone(), Arc::clone(&asks), Arc::clone(&store), context);
        followed.push(Followed { api, store: Arc::clone(&store), asks });
        (store, Some(Box::pin(work)))
    }
}

/// What is in the cache is known at once: a source may be planned before the work begins.
fn begin(store: &Store, asks: &Asks, api: &ApiOptions, context: &FilterContext) {
    store.want(asks.pods.unwrap_or_default(), asks.namespaces.unwrap_or_default());
    store.begin(&asks.kinds(), &context.state, &api.place.to_string());
}

/// Follows for good. It does not begin before every filter was asked for its task: what they ask for is known then.
async fn follow(api: ApiOptions, asks: Arc<Mutex<Asks>>, store: Arc<Store>, context: FilterContext) {
    let asks = asks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let kubelet =
        asks.kubelet.clone().map(|api| Kubelet { api, store: Arc::clone(&store), wake: Arc::clone(&context.wake) });
    let watch =
        Watch { api, environment: context.environment, namespace_file: asks.namespace_file, store, wake: context.wake };
    let pods = when(asks.pods.is_some(), watch.keep(Kind::Pods));
    let namespaces = when(asks.namespaces.is_some(), watch.keep(Kind::Namespaces));
    let kubelet = async {
        if let Some(kubelet) = &kubelet {
            kubelet.keep().await;
        }
    };
    join(join3(pods, namespaces, kubelet), watch.tidy()).await;
}

async fn when(asked: bool, work: impl Future<Output = ()>) {
    if asked {
        work.await;
    }
}
