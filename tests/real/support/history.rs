//! What became of the objects of components, change by change, as the server tells those who watch.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail};
use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::World;

/// Only what has this label: the objects of the fixtures.
const LABEL: &str = "app";

/// Shows each version of each object of a kind, in order. It ends when dropped.
pub struct Follower {
    broken: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Starts it. What is there already is shown too.
    pub async fn start<K>(world: &World, see: impl Fn(K) + Send + Sync + 'static) -> anyhow::Result<Self>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let api: Api<K> = world.api();
        let there = api.list(&ListParams::default().labels(LABEL)).await?;
        let mut since = there.metadata.resource_version.clone().context("a list has a version")?;
        there.items.into_iter().for_each(&see);
        let broken = Arc::new(Mutex::new(None));
        let told = broken.clone();
        let task = tokio::spawn(async move {
            let error = follow(&api, &mut since, &see).await;
            *told.lock().expect("no holder panics") = Some(error);
        });
        Ok(Self { broken, task })
    }

    /// An error when something may not have been shown.
    pub fn check(&self) -> anyhow::Result<()> {
        match &*self.broken.lock().expect("no holder panics") {
            Some(why) => bail!("not everything was seen that became of the objects: {why}"),
            None => Ok(()),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Watches until that is not possible, and says why.
async fn follow<K>(api: &Api<K>, since: &mut String, see: impl Fn(K)) -> String
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let params = WatchParams::default().labels(LABEL);
    loop {
        let events = match api.watch(&params, since).await {
            Ok(events) => events,
            Err(error) => return error.to_string(),
        };
        let mut events = pin!(events);
        // A watch that ends goes on where it was.
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    *since = object.resource_version().unwrap_or_default();
                    see(object);
                }
                Ok(WatchEvent::Deleted(object)) => *since = object.resource_version().unwrap_or_default(),
                Ok(WatchEvent::Bookmark(bookmark)) => *since = bookmark.metadata.resource_version,
                Ok(WatchEvent::Error(error)) => return format!("{error:?}"),
                Err(error) => return error.to_string(),
            }
        }
    }
}

type Data = BTreeMap<String, String>;

/// What became of ConfigMaps. They have no generation that counts changes as Deployments have; but a write that changes nothing makes no
/// version, so that each one here is a change.
pub struct History {
    versions: Arc<Mutex<BTreeMap<String, Vec<Data>>>>,
    follower: Follower,
}

impl History {
    /// Starts it.
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let log = world.log("history")?;
        let versions = Arc::<Mutex<BTreeMap<String, Vec<Data>>>>::default();
        let shared = versions.clone();
        let see = move |map: ConfigMap| {
            let (name, data) = (map.name_any(), map.data.unwrap_or_default());
            log.line(format!("{name}: {data:?}"));
            shared.lock().expect("no holder panics").entry(name).or_default().push(data);
        };
        let follower = Follower::start(world, see).await?;
        Ok(Self { versions, follower })
    }

    /// The versions of one ConfigMap so far, the first one included.
    pub fn of(&self, name: &str) -> anyhow::Result<Vec<Data>> {
        self.follower.check()?;
        Ok(self.versions.lock().expect("no holder panics").get(name).cloned().unwrap_or_default())
    }
}
