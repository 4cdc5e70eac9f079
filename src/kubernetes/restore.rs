//! Putting objects back as they were kept.

use futures::{StreamExt as _, stream};
use kube::api::DynamicObject;

use super::cluster::Cluster;
use super::error::{CallError, Cause};
use super::manifest::Manifest;
use super::object::ObjectRef;

/// Objects that are read at the same time: enough to be done soon, too few to be throttled.
const AT_ONCE: usize = 8;

/// An object as it is in the cluster now.
#[derive(Debug)]
pub struct Live {
    /// Without what the server adds.
    pub manifest: Manifest,
    object: DynamicObject,
}

/// An object that was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutBack {
    /// Whether it was missing and was created; else it was replaced.
    pub created: bool,
    /// Whether the server has it just so. It has more where it fills in defaults, and something else where an admission webhook changes it.
    pub as_written: bool,
}

impl Live {
    /// Whether it is on its way out, so that what is put into its place would go with it.
    pub fn is_being_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// Where it differs from a manifest: its own YAML and the manifest's.
    pub fn against(&self, manifest: &Manifest) -> Option<(String, String)> {
        let wanted = manifest.clone().in_version_of(&self.manifest);
        (wanted != self.manifest).then(|| (self.manifest.yaml(), wanted.yaml()))
    }
}

impl Cluster {
    /// The objects as they are now, in the same order; `None` for each that is not there. The error says what was tried, on what, and what
    /// to do.
    pub async fn live(&self, objects: &[ObjectRef]) -> Vec<Result<Option<Live>, String>> {
        stream::iter(objects).map(async |object| self.live_one(object).await).buffered(AT_ONCE).collect().await
    }

    async fn live_one(&self, object: &ObjectRef) -> Result<Option<Live>, String> {
        match self.get_dynamic(object).await {
            Ok(live) => Ok(Some(Live { manifest: self.manifest(object, &live).await?, object: live })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Puts an object back: into the place of the live one, if that is still as it was read, or as a new one where there was none. What the
    /// server and others write there stays. A dry run only asks the server whether it would. The error says what was tried, on what, and
    /// what to do.
    pub async fn put_back(&self, manifest: &Manifest, live: Option<&Live>, dry_run: bool) -> Result<PutBack, String> {
        let object = &manifest.object;
        // The version that the server has its kind in; that of the file may be another one of the same shape.
        let version = self.resource(object.kind).await.map_err(|e| e.to_string())?.api_version;
        let manifest = manifest.clone().in_version(&version);
        let not_json = |e: serde_json::Error| format!("{object} cannot be written as JSON: {e}");
        let result = match live {
            Some(live) => {
                let new = manifest.over(&live.object).map_err(not_json)?;
                self.replace_dynamic(object, &new, dry_run).await
            }
            None => {
                let new = manifest.dynamic().map_err(not_json)?;
                self.create_dynamic(object, &new, dry_run).await
            }
        };
        let created = live.is_none();
        let now = result.map_err(|error| in_words(object, created, &error))?;
        Ok(PutBack { created, as_written: Manifest::of(object, &version, &now)? == manifest })
    }
}

/// Why an object was not put back.
fn in_words(object: &ObjectRef, created: bool, error: &CallError) -> String {
    let what = match (&error.cause, created) {
        (Cause::Conflict(_), false) => "was changed",
        (Cause::NotFound(_), false) => "was deleted",
        (Cause::Conflict(_), true) => "was created",
        _ => return error.to_string(),
    };
    format!("{object} {what} since it was shown, so it was left alone; restore again to see how it is now")
}
