//! Reading what is to be kept: the objects of steps before a change, and all that has to do with them for a backup.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};
use kube::api::DynamicObject;

use crate::config::Step;
use crate::engine::SavedObject;

use super::cluster::Cluster;
use super::error::{Call, CallError};
use super::manifest::Manifest;
use super::object::{ISTIO, Kind, ObjectRef};

/// The most bytes of one object's YAML in a snapshot. The snapshot is a part of the state, which may have 800 KiB in all; a Deployment
/// is a tenth of this, and only a ConfigMap with whole files in it is more.
const MAX_SAVED_BYTES: usize = 96 * 1024;

/// Calls that are under way at the same time: enough to be done soon, too few to be throttled.
const AT_ONCE: usize = 8;

/// The kinds that a backup holds all objects of, in the namespaces of the steps: what routes traffic there.
const ROUTING: [Kind; 4] = [Kind::Ingress, Kind::VirtualService, Kind::Gateway, Kind::DestinationRule];

/// What a backup found.
#[derive(Debug, Default)]
pub struct Backup {
    /// The objects, each once, in the order of namespaces, kinds and names.
    pub found: Vec<Manifest>,
    /// The optional objects that are not there.
    pub absent: Vec<ObjectRef>,
    /// The kinds of Istio that the API server does not have: their CustomResourceDefinitions are not installed.
    pub not_installed: Vec<Kind>,
    /// What could not be read, and why.
    pub errors: Vec<String>,
}

impl Cluster {
    /// The objects of the steps as they are now, but for those whose names ([`SavedObject::object`]) are in `except`; and for each that
    /// could not be saved, why. An optional object that is not there is neither.
    pub async fn snapshot(&self, steps: &[Step], except: &[String]) -> (Vec<SavedObject>, Vec<String>) {
        let wanted = objects_of(steps).into_iter().filter(|(object, _)| !except.contains(&object.to_string()));
        let read = stream::iter(wanted).map(async |(object, optional)| self.keep(&object, optional).await);
        let (mut saved, mut errors) = (Vec::new(), Vec::new());
        for result in read.buffered(AT_ONCE).collect::<Vec<_>>().await {
            match result.and_then(|found| found.map(|manifest| save(&manifest)).transpose()) {
                Ok(object) => saved.extend(object),
                Err(error) => errors.push(error),
            }
        }
        (saved, errors)
    }

    /// The objects of the steps, and all objects that route traffic in their namespaces; none of those in `except`.
    pub async fn backup(&self, steps: &[Step], except: &[ObjectRef]) -> Backup {
        let mut backup = Backup::default();
        let named: Vec<_> = objects_of(steps).into_iter().filter(|(object, _)| !except.contains(object)).collect();
        let namespaces: BTreeSet<&str> = named.iter().map(|(object, _)| object.namespace.as_str()).collect();

        let read = stream::iter(&named).map(async |(object, optional)| (object, self.keep(object, *optional).await));
        for (object, result) in read.buffered(AT_ONCE).collect::<Vec<_>>().await {
            match result {
                Ok(Some(manifest)) => backup.found.push(manifest),
                Ok(None) => backup.absent.push(object.clone()),
                Err(error) => backup.errors.push(error),
            }
        }

        let kinds = match self.without_istio().await {
            Ok(missing) => {
                backup.not_installed = missing;
                ROUTING.into_iter().filter(|kind| !backup.not_installed.contains(kind)).collect()
            }
            Err(error) => {
                backup.errors.push(error.to_string());
                vec![Kind::Ingress]
            }
        };
        let lists: Vec<(&str, Kind)> =
            namespaces.iter().flat_map(|namespace| kinds.iter().map(|kind| (*namespace, *kind))).collect();
        let read = stream::iter(lists).map(async |(namespace, kind)| self.keep_all(kind, namespace).await);
        for result in read.buffered(AT_ONCE).collect::<Vec<_>>().await {
            match result {
                Ok(manifests) => backup.found.extend(manifests),
                Err(error) => backup.errors.push(error),
            }
        }

        let key = |m: &Manifest| (m.object.namespace.clone(), m.object.kind.as_str(), m.object.name.clone());
        backup.found.retain(|manifest| !except.contains(&manifest.object));
        backup.found.sort_by_key(key);
        backup.found.dedup_by_key(|manifest| key(manifest));
        backup
    }

    /// Reads one object. `None`: it is optional, and not there.
    async fn keep(&self, object: &ObjectRef, optional: bool) -> Result<Option<Manifest>, String> {
        match self.get_dynamic(object).await {
            Ok(live) => self.manifest(object, &live).await.map(Some),
            Err(e) if e.is_not_found() && optional => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    async fn keep_all(&self, kind: Kind, namespace: &str) -> Result<Vec<Manifest>, String> {
        let found = self.list_dynamic(kind, namespace).await.map_err(|e| e.to_string())?;
        let mut manifests = Vec::with_capacity(found.len());
        let api_version = self.resource(kind).await.map_err(|e| e.to_string())?.api_version;
        for live in &found {
            let name = live.metadata.name.clone().unwrap_or_default();
            let object = ObjectRef { kind, namespace: namespace.to_owned(), name };
            manifests.push(Manifest::of(&object, &api_version, live)?);
        }
        Ok(manifests)
    }

    /// A live object that was read by itself, which says in which version it is.
    pub(super) async fn manifest(&self, object: &ObjectRef, live: &DynamicObject) -> Result<Manifest, String> {
        match &live.types {
            Some(types) => Manifest::of(object, &types.api_version, live),
            None => Manifest::of(object, object.kind.api_version(), live),
        }
    }

    /// The kinds of Istio that the API server does not have.
    async fn without_istio(&self) -> Result<Vec<Kind>, CallError> {
        let call = Call {
            doing: format!("find the kinds of the API group {ISTIO}"),
            permission: "get on the API's discovery (the ClusterRole system:discovery)".to_owned(),
            writes: false,
        };
        let of_istio = ROUTING.into_iter().filter(|kind| kind.group() == ISTIO);
        let groups = self.call(&call, |client| async move { client.list_api_groups().await }).await?;
        if !groups.groups.iter().any(|group| group.name == ISTIO) {
            return Ok(of_istio.collect());
        }
        let version = &self.resource(Kind::VirtualService).await?.api_version;
        let ask = |client: kube::Client| async move { client.list_api_group_resources(version).await };
        let served = self.call(&call, ask).await?.resources;
        Ok(of_istio.filter(|kind| !served.iter().any(|r| r.name == kind.resource())).collect())
    }
}

/// The objects that steps change, each once, and whether it may be absent.
fn objects_of(steps: &[Step]) -> Vec<(ObjectRef, bool)> {
    let mut objects: Vec<(ObjectRef, bool)> = Vec::new();
    for step in steps {
        let Some(object) = ObjectRef::of(step) else { continue };
        let optional = matches!(step, Step::ConfigMap(config_map) if config_map.optional);
        match objects.iter_mut().find(|(known, _)| *known == object) {
            // Where one step needs it, it must be there.
            Some((_, all_optional)) => *all_optional &= optional,
            None => objects.push((object, optional)),
        }
    }
    objects
}

fn save(manifest: &Manifest) -> Result<SavedObject, String> {
    let (object, yaml) = (manifest.object.to_string(), manifest.yaml());
    if yaml.len() > MAX_SAVED_BYTES {
        return Err(format!(
            "{object} was not saved: it is {} bytes as YAML, and a snapshot keeps at most {MAX_SAVED_BYTES} of one object; \
             keep it by ripcord backup",
            yaml.len()
        ));
    }
    Ok(SavedObject { object, yaml })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(text: &str) -> Result<SavedObject, String> {
        let head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: big\n  namespace: ns\n";
        save(&Manifest::parse(&format!("{head}data:\n  text: {text:?}\n")).unwrap())
    }

    #[test]
    fn what_is_too_large_says_so() {
        assert_eq!(saved("small").unwrap().object, "ConfigMap ns/big");
        let error = saved(&"a".repeat(MAX_SAVED_BYTES)).unwrap_err();
        assert!(error.starts_with("ConfigMap ns/big was not saved: it is 98"), "{error}");
    }

    /// The daemon reads a snapshot in a task of its own.
    #[test]
    fn a_snapshot_can_be_awaited_by_a_task() {
        fn can_move<T: Send>(_: impl Fn(Cluster) -> T) {}
        can_move(|cluster| async move { cluster.snapshot(&[], &[]).await });
    }
}
