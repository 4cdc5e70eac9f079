//! Events on the objects that a change touches, so that `kubectl describe` tells who moved the traffic.

use std::sync::OnceLock;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, DynamicObject, PostParams};

use super::FIELD_MANAGER;
use super::cluster::Cluster;
use super::error::{Call, CallError, Verb};
use super::object::ObjectRef;

/// The most bytes of a note that the API server takes.
const MAX_NOTE: usize = 1024;

/// The most bytes of a reason or an instance that the API server takes.
const MAX_WORD: usize = 128;

/// What every Event of Ripcord is about, as a machine reads it.
const ACTION: &str = "MoveTraffic";

/// The type of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnouncementType {
    /// As it should be.
    Normal,
    /// Somebody may have to look.
    Warning,
}

impl AnnouncementType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its type.
    pub type_: AnnouncementType,
    /// Why, in one CamelCase word: `RipcordRollbackStarted`.
    pub reason: String,
    /// A sentence for a person. What goes beyond 1 kB is cut off.
    pub note: String,
    /// When it happened.
    pub time: Timestamp,
}

impl Cluster {
    /// Leaves an Event on an object. Best effort: nothing may wait for it, and its error is for the log. It takes two
    /// calls, since an Event that shall be found with its object needs the object's uid.
    pub async fn tell(&self, object: &ObjectRef, announcement: &Announcement) -> Result<(), CallError> {
        let ObjectRef { kind, namespace, name } = object;
        let metadata = self.metadata(object).await?;
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some("ripcord-".to_owned()),
                namespace: Some(namespace.clone()),
                ..Default::default()
            },
            event_time: Some(MicroTime(announcement.time)),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(instance().to_owned()),
            action: Some(ACTION.to_owned()),
            reason: Some(cut(&announcement.reason, MAX_WORD).to_owned()),
            note: Some(cut(&announcement.note, MAX_NOTE).to_owned()),
            type_: Some(announcement.type_.as_str().to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some(kind.api_version().to_owned()),
                kind: Some(kind.as_str().to_owned()),
                namespace: Some(namespace.clone()),
                name: Some(name.clone()),
                uid: metadata.uid,
                ..Default::default()
            }),
            ..Default::default()
        };
        let call = Call {
            doing: format!("create an Event on {object}"),
            permission: format!("create on events (API group events.k8s.io) in namespace {namespace}"),
            writes: true,
        };
        let params = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let (params, event) = (&params, &event);
        let create = |client| async move { Api::<Event>::namespaced(client, namespace).create(params, event).await };
        self.call(&call, create).await?;
        Ok(())
    }

    /// Reads an object's metadata.
    pub(super) async fn metadata(&self, object: &ObjectRef) -> Result<ObjectMeta, CallError> {
        let ObjectRef { kind, namespace, name } = object;
        let resource = self.resource(*kind).await?;
        let resource = &resource;
        // Read as its metadata alone.
        let get = |client| async move {
            let api = Api::<DynamicObject>::namespaced_with(client, namespace, resource);
            api.get_metadata(name).await.map(|found| found.metadata)
        };
        self.call(&Call::new(Verb::Get, object), get).await
    }
}

/// The pod's name, or the host's.
pub(super) fn instance() -> &'static str {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let named =
            ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        let name = named.or_else(|| std::fs::read_to_string("/etc/hostname").ok()).unwrap_or_default();
        match name.trim() {
            "" => FIELD_MANAGER.to_owned(),
            name => cut(name, MAX_WORD).to_owned(),
        }
    })
}

/// The beginning of a text, at most `bytes` long, whole characters only.
fn cut(text: &str, bytes: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    &text[..ends.take_while(|end| *end <= bytes).last().unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("short", MAX_NOTE), "short");
        assert_eq!(cut(&"回".repeat(500), MAX_NOTE).len(), 1023);
    }
}
