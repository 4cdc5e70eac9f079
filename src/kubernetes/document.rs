//! One ConfigMap as the place of a small document that must outlive the process.
//!
//! The resourceVersion is the fence: a write names the version that it goes over, and is refused once somebody else has
//! written. After a write whose answer was lost ([`Cause::TimedOut`](super::Cause::TimedOut),
//! [`Cause::Unreachable`](super::Cause::Unreachable)) nobody knows the version: read, and compare with what was sent.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch};
use serde_json::json;

use super::FIELD_MANAGER;
use super::cluster::{CALL_TIMEOUT, Cluster};
use super::error::{Call, CallError, Cause, Verb};
use super::object::ObjectRef;

/// What the ConfigMap is labelled with, so that it is found with the rest of Ripcord.
const LABELS: [(&str, &str); 2] =
    [("app.kubernetes.io/name", FIELD_MANAGER), ("app.kubernetes.io/managed-by", FIELD_MANAGER)];

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument {
    /// All keys of the ConfigMap, those of others too.
    pub data: BTreeMap<String, String>,
    /// The version to name when writing over it.
    pub resource_version: String,
}

impl Cluster {
    /// Reads a document. `None`: there is no such ConfigMap.
    pub async fn read_document(&self, object: &ObjectRef) -> Result<Option<StoredDocument>, CallError> {
        match self.get(object).await {
            Ok(found) => stored(&Call::new(Verb::Get, object), found).map(Some),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes keys of a document and returns all of it as it is then stored. `over` names the resourceVersion that is
    /// written over; `None` creates the ConfigMap. Keys, labels and annotations that are not Ripcord's stay as they are.
    ///
    /// When it is not the version named any more, or is there already, the cause is [`Cause::Conflict`]; when it is gone,
    /// [`Cause::NotFound`], and it is to be created anew.
    pub async fn write_document(
        &self,
        object: &ObjectRef,
        data: BTreeMap<String, String>,
        over: Option<&str>,
    ) -> Result<StoredDocument, CallError> {
        let Some(version) = over else {
            let new = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(object.name.clone()),
                    namespace: Some(object.namespace.clone()),
                    labels: Some(LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..ConfigMap::default()
            };
            let created = self.create_within(CALL_TIMEOUT, object, &new).await?;
            return stored(&Call::new(Verb::Create, object), created);
        };
        // An empty version would be no precondition at all.
        if version.is_empty() {
            let cause = Cause::Conflict("no version to write over is known: read it first".to_owned());
            return Err(CallError { doing: Call::new(Verb::Patch, object).doing, cause });
        }
        // A merge patch touches exactly what it names, and a resourceVersion in it is a precondition. A replace would
        // have to send along what others keep in the object, and what this version of Ripcord does not know of it.
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": version, "labels": BTreeMap::from(LABELS)},
            "data": data,
        }));
        let patched = self.patch_within(CALL_TIMEOUT, object, &patch, false).await?;
        stored(&Call::new(Verb::Patch, object), patched)
    }
}

fn stored(call: &Call, found: ConfigMap) -> Result<StoredDocument, CallError> {
    match found.metadata.resource_version.filter(|version| !version.is_empty()) {
        Some(resource_version) => Ok(StoredDocument { data: found.data.unwrap_or_default(), resource_version }),
        // Without it the next write could not be fenced.
        None => {
            let cause = Cause::Other("the API server's answer has no resourceVersion".to_owned());
            Err(CallError { doing: call.doing.clone(), cause })
        }
    }
}
