//! The connection to the API server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::FIELD_MANAGER;
use super::change::How;
use super::error::{Call, CallError, Verb};
use super::object::ObjectRef;

/// How long one call may take, connecting included. A healthy API server answers in milliseconds; its own limit of 60 s
/// is far too long for a rollback. A change is given more time when it was not accepted in this.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connecting may take: less than a call, so that the error can say that it was the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection may be silent. Calls have their own, shorter limit; this one closes idle connections before
/// something in between drops them unsaid. It is longer than any call, and spans a few ticks, so that a tick finds its
/// connections open.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// The cluster. Cheap to clone; the clones share their connections.
#[derive(Clone)]
pub struct Cluster {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    config: Config,
    slot: Mutex<Slot>,
    /// The version in which Istio's kinds are served, once it was asked for.
    pub(super) istio_version: OnceCell<String>,
}

/// The client in use. It is replaced as a whole when a connection is in doubt: its pool may hold more connections over
/// the same dead path, and each would cost one more call.
struct Slot {
    generation: u64,
    /// Made by the first call that wants it, while the others wait: many fail at once when a connection does, and each client that is
    /// made costs a thread for a while and connections of its own.
    client: Arc<OnceCell<Client>>,
}

/// Why no cluster can be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no configuration.
    #[error(
        "no Kubernetes configuration: set KUBECONFIG, write ~/.kube/config, or run in a pod with a ServiceAccount ({0})"
    )]
    NoConfig(String),
    /// There is one, and no client can be made of it.
    #[error("the Kubernetes configuration cannot be used: check its certificates and credentials")]
    Setup(#[source] Box<kube::Error>),
    /// Making a client of it took too long: a credential plugin of the kubeconfig hangs.
    #[error("the Kubernetes client was not set up within {CALL_TIMEOUT:?}: check the kubeconfig's credential plugin")]
    SetupTimedOut,
}

/// Why none was found, once: kube's own text says it for each place, and has the causes in itself and behind itself. In a pod the place is the
/// ServiceAccount, elsewhere the kubeconfig.
fn why_none(error: &kube::config::InferConfigError) -> String {
    let in_a_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    match std::error::Error::source(error).filter(|_| !in_a_pod) {
        Some(kubeconfig) => kubeconfig.to_string(),
        None => error.to_string(),
    }
}

impl Cluster {
    /// The cluster of `KUBECONFIG`, `~/.kube/config` or the pod's ServiceAccount, whichever is there first. Nothing is
    /// sent yet.
    pub async fn connect() -> Result<Self, ConnectError> {
        let config = Config::infer().await.map_err(|e| ConnectError::NoConfig(why_none(&e)))?;
        Self::from_config(config).await
    }

    /// The cluster of a given configuration, with Ripcord's own limits. Nothing is sent yet.
    pub async fn from_config(mut config: Config) -> Result<Self, ConnectError> {
        use_ring();
        // kube would retry 429, 503 and 504 many times with growing delays, unseen. Here every retry is decided by the
        // caller.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.write_timeout = Some(CALL_TIMEOUT);
        config.read_timeout = Some(SILENCE_LIMIT);
        // Otherwise the silence before a request counts against its answer.
        config.reset_reader_on_write = true;
        let slot = Mutex::new(Slot { generation: 0, client: Arc::default() });
        let cluster = Self { shared: Arc::new(Shared { config, slot, istio_version: OnceCell::new() }) };
        match tokio::time::timeout(CALL_TIMEOUT, cluster.client()).await {
            Ok(Ok(_)) => Ok(cluster),
            Ok(Err(e)) => Err(ConnectError::Setup(Box::new(e))),
            Err(_) => Err(ConnectError::SetupTimedOut),
        }
    }

    /// The cluster as a person tells it from others: the address of its API server, and the context of the kubeconfig where there is one.
    pub fn name(&self) -> String {
        let address = &self.shared.config.cluster_url;
        match Kubeconfig::read().ok().and_then(|kubeconfig| kubeconfig.current_context) {
            Some(context) => format!("{address} (context {context})"),
            None => address.to_string(),
        }
    }

    /// Reads an object.
    pub(super) async fn get<K>(&self, object: &ObjectRef) -> Result<K, CallError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        self.get_within(CALL_TIMEOUT, object).await
    }

    /// Reads an object, within a time.
    pub(super) async fn get_within<K>(&self, limit: Duration, object: &ObjectRef) -> Result<K, CallError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let ObjectRef { namespace, name, .. } = object;
        let get = |client| async move { Api::<K>::namespaced(client, namespace).get(name).await };
        self.call_within(limit, &Call::new(Verb::Get, object), get).await
    }

    /// Creates an object that nobody else has created, within a time, and returns it as the server then has it.
    pub(super) async fn create_within<K>(&self, limit: Duration, object: &ObjectRef, new: &K) -> Result<K, CallError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Serialize
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let ObjectRef { namespace, .. } = object;
        let params = &writing();
        let send = |client| async move { Api::<K>::namespaced(client, namespace).create(params, new).await };
        self.call_within(limit, &Call::new(Verb::Create, object), send).await
    }

    /// Replaces an object in the state that its own resourceVersion names, within a time, and returns it as the server
    /// then has it.
    pub(super) async fn replace_within<K>(&self, limit: Duration, object: &ObjectRef, by: &K) -> Result<K, CallError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Serialize
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let ObjectRef { namespace, name, .. } = object;
        let params = &writing();
        let send = |client| async move { Api::<K>::namespaced(client, namespace).replace(name, params, by).await };
        self.call_within(limit, &Call::new(Verb::Replace, object), send).await
    }

    /// Patches an object for a change, if its gate still lets it through, and returns it as the server then has it. The
    /// gate is asked here, so that no write of a step gets around it.
    pub(super) async fn patch<K, P>(&self, object: &ObjectRef, patch: &Patch<P>, how: How<'_>) -> Result<K, CallError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        P: Serialize + std::fmt::Debug,
    {
        if !how.gate.is_open() {
            return Err(CallError::held_back(&Call::new(Verb::Patch, object)));
        }
        self.patch_within(how.patience, object, patch, how.dry_run).await
    }

    /// Patches an object, within a time.
    pub(super) async fn patch_within<K, P>(
        &self,
        limit: Duration,
        object: &ObjectRef,
        patch: &Patch<P>,
        dry_run: bool,
    ) -> Result<K, CallError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        P: Serialize + std::fmt::Debug,
    {
        let ObjectRef { namespace, name, .. } = object;
        let params = PatchParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let params = &params;
        let send = |client| async move { Api::<K>::namespaced(client, namespace).patch(name, params, patch).await };
        self.call_within(limit, &Call::new(Verb::Patch, object), send).await
    }

    /// Makes one call, within [`CALL_TIMEOUT`].
    pub(super) async fn call<T, F>(&self, call: &Call, send: impl FnOnce(Client) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        self.call_within(CALL_TIMEOUT, call, send).await
    }

    /// Makes one call within a time. After one that got no answer, the next call opens a new connection.
    pub(super) async fn call_within<T, F>(
        &self,
        limit: Duration,
        call: &Call,
        send: impl FnOnce(Client) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let mut used = self.slot().generation;
        let answer = async {
            let (generation, client) = self.client().await?;
            used = generation;
            send(client).await
        };
        let result = match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(CallError::new(call, e)),
            Err(_) => Err(CallError::timed_out(call, limit)),
        };
        if let Err(e) = &result
            && e.is_about_the_connection()
        {
            self.renew(used);
        }
        result
    }

    async fn client(&self) -> Result<(u64, Client), kube::Error> {
        let (generation, cell) = {
            let slot = self.slot();
            (slot.generation, slot.client.clone())
        };
        let make = || async {
            let config = self.shared.config.clone();
            // A credential plugin of a kubeconfig is run in here, and waited for.
            let built = tokio::task::spawn_blocking(move || Client::try_from(config)).await;
            built.map_err(|e| kube::Error::Service(Box::new(e)))?
        };
        Ok((generation, cell.get_or_try_init(make).await?.clone()))
    }

    /// Drops the client, unless a call that failed at the same time did so already.
    fn renew(&self, generation: u64) {
        let mut slot = self.slot();
        if slot.generation == generation {
            *slot = Slot { generation: generation + 1, client: Arc::default() };
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.shared.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("url", &self.shared.config.cluster_url).finish_non_exhaustive()
    }
}

/// The parameters of a create or a replace.
fn writing() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) }
}

/// rustls chooses no provider by itself where two are compiled in, and panics at the first connection.
fn use_ring() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that somebody else installed one a moment ago, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
