//! What a test is here: a story, told in a world of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::apiserver::Apiserver;
use super::binaries::Binaries;
use super::child::Child;
use super::log::{self, Log};

/// How long a story may take before it counts as hung.
const STORY_TIMEOUT: Duration = Duration::from_secs(180);

type Telling = dyn Fn(World) -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>> + Send + Sync;

/// One test.
pub struct Story {
    pub(super) name: String,
    pub(super) timeout: Duration,
    pub(super) tell: Arc<Telling>,
}

impl Story {
    /// A story from an `async fn(World) -> anyhow::Result<()>`; `stories!` makes a list of them.
    pub fn new<F>(name: &str, tell: impl Fn(World) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + 'static,
    {
        let name = name.strip_prefix("real::").unwrap_or(name).to_owned();
        Self { name, timeout: STORY_TIMEOUT, tell: Arc::new(move |world| Box::pin(tell(world))) }
    }

    /// The same with another time limit.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// What one story has to itself, and the API server that it shares.
#[derive(Clone)]
pub struct World {
    /// The story's name.
    pub name: String,
    /// A Kubernetes namespace of its own.
    pub namespace: String,
    /// A folder of its own, removed at the end.
    pub dir: PathBuf,
    /// The shared API server.
    pub apiserver: Arc<Apiserver>,
    /// A client of it that may do everything.
    pub kube: kube::Client,
    /// Where the real programs are.
    pub binaries: Arc<Binaries>,
    /// The folder of the whole run.
    pub(super) run_dir: PathBuf,
}

impl World {
    /// The objects of one kind in the story's namespace, for the one who may do everything.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// Creates an object in the story's namespace.
    pub async fn create<K>(&self, object: &K) -> anyhow::Result<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        Ok(self.api().create(&PostParams::default(), object).await?)
    }

    /// Opens a log that is shown when the story fails.
    pub fn log(&self, part: &str) -> anyhow::Result<Log> {
        Ok(Log::open(&log_dir(&self.dir), part)?)
    }

    /// A new folder in the story's own one.
    pub fn new_dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}-{n}")));
        let dir = names.map(|name| self.dir.join(name)).find(|dir| !dir.exists()).expect("endless");
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// The same world with a folder of its own, for one of many parts of a story. The part's logs are shown with the story's only when
    /// `keep_logs_of` says so.
    pub fn part(&self, name: &str) -> anyhow::Result<Self> {
        Ok(Self { name: format!("{}/{name}", self.name), dir: self.new_dir(name)?, ..self.clone() })
    }

    /// Puts a part's logs so far beside the story's own.
    pub fn keep_logs_of(&self, part: &Self) -> anyhow::Result<()> {
        let name = part.dir.file_name().unwrap_or_default().to_string_lossy();
        for entry in std::fs::read_dir(log_dir(&part.dir))? {
            let entry = entry?;
            let kept = format!("{name}-{}", entry.file_name().to_string_lossy());
            std::fs::copy(entry.path(), log_dir(&self.dir).join(kept))?;
        }
        Ok(())
    }

    /// Writes a file into the story's folder, for secrets and configurations.
    pub fn write(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let file = self.dir.join(name);
        std::fs::write(&file, content)?;
        Ok(file)
    }

    /// Starts a program whose output is shown when the story fails.
    pub fn spawn(&self, part: &str, command: &mut Command) -> anyhow::Result<Child> {
        let out = File::create_new(log::free_name(&log_dir(&self.dir), part)?)?;
        Child::start(part, &self.run_dir, command, out.try_clone()?, out)
    }
}

/// Where a story's logs are.
pub(super) fn log_dir(story_dir: &Path) -> PathBuf {
    story_dir.join("logs")
}
