//! Objects of any kind, read and written as they are: what Ripcord has no type of its own for (Istio's), and what it only keeps and puts back.

use std::time::Duration;

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde::Serialize;

use super::FIELD_MANAGER;
use super::change::How;
use super::cluster::Cluster;
use super::error::{Call, CallError, Cause, Verb};
use super::object::{ISTIO, Kind, ObjectRef};

/// The versions of Istio's kinds that Ripcord speaks, the best first. They have the same shape.
const ISTIO_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Objects that one listing brings. A namespace with more of one routing kind is served in several pages.
const LIST_PAGE: u32 = 200;

impl Cluster {
    /// Where the API server has the objects of a kind. For Istio's it is asked which versions there are.
    pub(super) async fn resource(&self, kind: Kind) -> Result<ApiResource, CallError> {
        let version = match kind.group() {
            // It does not change while Istio is installed, and an upgrade serves the old one too.
            ISTIO => self.shared.istio_version.get_or_try_init(|| self.istio_version()).await?.clone(),
            _ => kind.api_version().rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let gvk = GroupVersionKind::gvk(kind.group(), &version, kind.as_str());
        Ok(ApiResource::from_gvk_with_plural(&gvk, kind.resource()))
    }

    /// The version in which the API server serves Istio's kinds. The error is that it serves none: Istio is not installed.
    async fn istio_version(&self) -> Result<String, CallError> {
        let call = Call {
            doing: format!("find the API group {ISTIO}"),
            permission: "get on the API's discovery (the ClusterRole system:discovery)".to_owned(),
            writes: false,
        };
        let groups = self.call(&call, |client| async move { client.list_api_groups().await }).await?;
        let group = groups.groups.into_iter().find(|group| group.name == ISTIO);
        let served: Vec<String> = group.into_iter().flat_map(|g| g.versions).map(|v| v.version).collect();
        let known = ISTIO_VERSIONS.into_iter().find(|known| served.iter().any(|version| version == known));
        known.map(str::to_owned).ok_or_else(|| {
            let there = if served.is_empty() { "none".to_owned() } else { served.join(", ") };
            let text = format!(
                "the API server has no {ISTIO}/{} (versions there: {there}); install Istio's CustomResourceDefinitions",
                ISTIO_VERSIONS.join(" or "),
            );
            CallError { doing: call.doing, cause: Cause::Other(text) }
        })
    }

    /// Reads an object of any kind.
    pub(super) async fn get_dynamic(&self, object: &ObjectRef) -> Result<DynamicObject, CallError> {
        let resource = self.resource(object.kind).await?;
        let ObjectRef { namespace, name, .. } = object;
        let resource = &resource;
        let get =
            |client| async move { Api::<DynamicObject>::namespaced_with(client, namespace, resource).get(name).await };
        self.call(&Call::new(Verb::Get, object), get).await
    }

    /// Reads all objects of a kind in a namespace.
    pub(super) async fn list_dynamic(&self, kind: Kind, namespace: &str) -> Result<Vec<DynamicObject>, CallError> {
        let resource = self.resource(kind).await?;
        let call = Call::list(kind, namespace);
        let mut all = Vec::new();
        let mut next = None;
        loop {
            let mut params = ListParams::default().limit(LIST_PAGE);
            params.continue_token = next.take();
            let (resource, params) = (&resource, &params);
            let list = |client| async move {
                Api::<DynamicObject>::namespaced_with(client, namespace, resource).list(params).await
            };
            let page = self.call(&call, list).await?;
            all.extend(page.items);
            next = page.metadata.continue_.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// Patches an object of any kind for a change, if its gate still lets it through, and returns it as the server then has it.
    pub(super) async fn patch_dynamic<P: Serialize + std::fmt::Debug>(
        &self,
        object: &ObjectRef,
        patch: &Patch<P>,
        how: How<'_>,
    ) -> Result<DynamicObject, CallError> {
        let call = Call::new(Verb::Patch, object);
        let resource = self.resource(object.kind).await?;
        if !how.gate.is_open() {
            return Err(CallError::held_back(&call));
        }
        let ObjectRef { namespace, name, .. } = object;
        let field_manager = Some(FIELD_MANAGER.to_owned());
        let params = PatchParams { dry_run: how.dry_run, field_manager, ..PatchParams::default() };
        let (resource, params) = (&resource, &params);
        let send = |client| async move {
            Api::<DynamicObject>::namespaced_with(client, namespace, resource).patch(name, params, patch).await
        };
        self.call_within(how.patience, &call, send).await
    }

    /// Creates an object of any kind, and returns it as the server then has it.
    pub(super) async fn create_dynamic(
        &self,
        object: &ObjectRef,
        new: &DynamicObject,
        dry_run: bool,
    ) -> Result<DynamicObject, CallError> {
        let resource = self.resource(object.kind).await?;
        let ObjectRef { namespace, .. } = object;
        let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let (resource, params) = (&resource, &params);
        let send = |client| async move {
            Api::<DynamicObject>::namespaced_with(client, namespace, resource).create(params, new).await
        };
        self.call_within(WRITE_TIMEOUT, &Call::new(Verb::Create, object), send).await
    }

    /// Replaces an object of any kind in the state that its own resourceVersion names, and returns it as the server then has it.
    pub(super) async fn replace_dynamic(
        &self,
        object: &ObjectRef,
        by: &DynamicObject,
        dry_run: bool,
    ) -> Result<DynamicObject, CallError> {
        let resource = self.resource(object.kind).await?;
        let ObjectRef { namespace, name, .. } = object;
        let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let (resource, params) = (&resource, &params);
        let send = |client| async move {
            Api::<DynamicObject>::namespaced_with(client, namespace, resource).replace(name, params, by).await
        };
        self.call_within(WRITE_TIMEOUT, &Call::new(Verb::Replace, object), send).await
    }
}

/// How long the writing of one object by hand may take. A person waits for it, and admission webhooks may need up to 30 s.
const WRITE_TIMEOUT: Duration = Duration::from_secs(35);
