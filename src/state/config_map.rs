//! The document in a ConfigMap.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::config::ObjectName;
use crate::kubernetes::{CallError, Cluster, Kind, ObjectRef};

use super::document::Document;
use super::place::{Place, WriteError};

/// The key that holds the document.
const KEY: &str = "state.json";

/// The largest document: an object may have 1 MiB, with its metadata and what others keep in it.
const MAX_BYTES: usize = 800 * 1024;

/// How often a write is tried again when only something about the object changed that is not the document: its labels, say.
const MAX_ADOPTIONS: u32 = 5;

/// A document in a ConfigMap. Its resourceVersion is the fence.
pub struct ConfigMapPlace {
    cluster: Cluster,
    object: ObjectRef,
    /// The resourceVersion that was read or written last; none while there is no object.
    version: Option<String>,
}

impl ConfigMapPlace {
    /// The document in this ConfigMap.
    pub fn new(cluster: Cluster, name: &ObjectName) -> Self {
        let object = ObjectRef { kind: Kind::ConfigMap, namespace: name.namespace.clone(), name: name.name.clone() };
        Self { cluster, object, version: None }
    }

    async fn load(&mut self) -> Result<Option<String>, CallError> {
        let found = self.cluster.read_document(&self.object).await?;
        self.version = found.as_ref().map(|f| f.resource_version.clone());
        Ok(found.and_then(|mut f| f.data.remove(KEY)))
    }

    async fn put(&mut self, text: String) -> Result<(), CallError> {
        let data = [(KEY.to_owned(), text)].into();
        let stored = self.cluster.write_document(&self.object, data, self.version.as_deref()).await?;
        self.version = Some(stored.resource_version);
        Ok(())
    }

    async fn save(&mut self, text: String) -> Result<(), WriteError> {
        let me = Document::writer(&text);
        let mut adoptions = 0;
        loop {
            let error = match self.put(text.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.is_not_found() {
                // Somebody deleted it. All that it held is here too; who else makes it anew is found out by that.
                tracing::warn!(object = %self.object, "The ConfigMap with the state is gone: it is made anew");
                self.version = None;
            } else if error.is_conflict() {
                self.adopt(me.as_deref(), &error).await?;
            } else {
                return Err(WriteError::Failed(error.to_string()));
            }
            adoptions += 1;
            if adoptions > MAX_ADOPTIONS {
                return Err(WriteError::Failed(format!("{error}; somebody changes it again and again")));
            }
        }
    }

    /// After a conflict: takes over the object's new version, unless another writer has written the document in it. None has where an
    /// answer was lost, where only labels were changed, and where somebody broke or took away the document by hand: all of it is here.
    async fn adopt(&mut self, me: Option<&str>, conflict: &CallError) -> Result<(), WriteError> {
        let there = self.load().await.map_err(|e| WriteError::Failed(e.to_string()))?;
        match there.as_deref().and_then(Document::writer) {
            Some(by) if Some(by.as_str()) != me => {
                Err(WriteError::Conflict(format!("{by} has written the state in {}: {conflict}", self.object)))
            }
            _ => Ok(()),
        }
    }
}

impl Place for ConfigMapPlace {
    fn limit(&self) -> usize {
        MAX_BYTES
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<String>, String>> {
        async { self.load().await.map_err(|e| e.to_string()) }.boxed()
    }

    fn write(&mut self, text: String) -> BoxFuture<'_, Result<(), WriteError>> {
        self.save(text).boxed()
    }

    fn set_aside(&mut self, suffix: String) -> BoxFuture<'_, Result<String, String>> {
        async move {
            let text = self.load().await.map_err(|e| e.to_string())?.unwrap_or_default();
            // An object of its own: beside the next document there may be no room for it.
            let name = format!("{}-{}", self.object.name, suffix.to_lowercase());
            let aside = ObjectRef { name, ..self.object.clone() };
            let data = [(KEY.to_owned(), text)].into();
            self.cluster.write_document(&aside, data, None).await.map_err(|e| e.to_string())?;
            Ok(aside.to_string())
        }
        .boxed()
    }
}
