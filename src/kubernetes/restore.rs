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

/// What putting an object back came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutBack {
    /// It was replaced.
    Replaced,
    /// It was missing and was created.
    Created,
}

impl Live {
    /// Whether it is on its way out, so that what is put into its place would go with it.
    pub fn is_being_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
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
    /// server and others write there stays. A dry run only asks the server whether it would.
    ///
    /// Returns how the server then has it, which is more than was sent where it has defaults, and something else where an admission webhook
    /// changes it.
    pub async fn put_back(
        &self,
        manifest: &Manifest,
        live: Option<&Live>,
        dry_run: bool,
    ) -> Result<(PutBack, Manifest), String> {
        let object = &manifest.object;
        // The version that the server has its kind in; that of the file may be another one of the same shape.
        let version = self.resource(object.kind).await.map_err(|e| e.to_string())?.api_version;
        let manifest = manifest.clone().in_version(&version);
        let not_json = |e: serde_json::Error| format!("{object} cannot be written as JSON: {e}");
        let (done, result) = match live {
            Some(live) => {
                let new = manifest.over(&live.object).map_err(not_json)?;
                (PutBack::Replaced, self.replace_dynamic(object, &new, dry_run).await)
            }
            None => {
                let new = manifest.dynamic().map_err(not_json)?;
                (PutBack::Created, self.create_dynamic(object, &new, dry_run).await)
            }
        };
        let now = result.map_err(|error| in_words(object, &done, error))?;
        Ok((done, Manifest::of(object, &version, &now)?))
    }
}

/// Why an object was not put back.
fn in_words(object: &ObjectRef, what: &PutBack, error: CallError) -> String {
    match (&error.cause, what) {
        (Cause::Conflict(_), PutBack::Replaced) => {
            format!("{object} was changed since it was shown, so it was left alone; restore again to see how it is now")
        }
        (Cause::NotFound(_), PutBack::Replaced) => {
            format!("{object} was deleted since it was shown; restore again to create it")
        }
        (Cause::Conflict(_), PutBack::Created) => {
            format!(
                "{object} was created since it was shown missing, so it was left alone; restore again to see how it is now"
            )
        }
        _ => error.to_string(),
    }
}
