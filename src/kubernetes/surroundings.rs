//! What is looked at before a configuration is relied on, and by nothing else: the API server itself, Istio's parts, certificates.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject, ListParams, ObjectList, Request};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};

use super::cluster::Cluster;
use super::error::{Call, CallError};
use super::object::{Kind, ObjectRef};

/// Objects that one listing brings. A page of Secrets is some hundred kB.
const LIST_PAGE: u32 = 100;

/// The API group of cert-manager.
const CERT_MANAGER: &str = "cert-manager.io";

/// How many pods of a Deployment are ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The Deployment.
    pub name: String,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that there should be.
    pub wanted: i32,
}

/// A Certificate of cert-manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its name.
    pub name: String,
    /// Until when what it has issued is valid; absent before the first.
    pub not_after: Option<Timestamp>,
}

/// The public half of a Secret of type `kubernetes.io/tls`. The key beside it is dropped when the answer is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsCertificate {
    /// The Secret's name.
    pub name: String,
    /// The certificate and its chain, PEM.
    pub pem: Vec<u8>,
}

impl Cluster {
    /// The API server's version.
    pub async fn version(&self) -> Result<String, CallError> {
        let ask = |client: Client| async move { client.apiserver_version().await };
        Ok(self.call(&version_call(), ask).await?.git_version)
    }

    /// What the API server's clock says, to the second, as the `Date` header of an answer has it.
    pub async fn date(&self) -> Result<Option<String>, CallError> {
        let ask = |client: Client| async move {
            let request = Request::new("/version").list(&ListParams::default()).map_err(kube::Error::BuildRequest)?;
            let response = client.send(request.map(Body::from)).await?;
            Ok(response.headers().get("date").and_then(|value| value.to_str().ok()).map(str::to_owned))
        };
        self.call(&version_call(), ask).await
    }

    /// The version in which the API server has Istio's routing. The error is that it has none.
    pub async fn istio(&self) -> Result<String, CallError> {
        self.resource(Kind::VirtualService).await.map(|resource| resource.api_version)
    }

    /// Whether an object is there.
    pub async fn exists(&self, object: &ObjectRef) -> Result<bool, CallError> {
        match self.get_dynamic(object).await {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The Deployments of a namespace with these labels, by name.
    pub async fn deployments(&self, namespace: &str, labels: &str) -> Result<Vec<Readiness>, CallError> {
        let params = ListParams::default().labels(labels);
        let list = |client, params| async move { Api::<Deployment>::namespaced(client, namespace).list(&params).await };
        let found = self.list_all(Call::list(Kind::Deployment, namespace), params, list).await?;
        let mut all: Vec<Readiness> = found
            .into_iter()
            .map(|deployment| Readiness {
                name: deployment.name_any(),
                ready: deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0),
                // One is the API server's default.
                wanted: deployment.spec.replicas.unwrap_or(1),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Whether the API server has cert-manager's objects.
    pub async fn has_cert_manager(&self) -> Result<bool, CallError> {
        let call = Call {
            doing: format!("find the API group {CERT_MANAGER}"),
            permission: "get on the API's discovery (the ClusterRole system:discovery)".to_owned(),
            writes: false,
        };
        let groups = self.call(&call, |client: Client| async move { client.list_api_groups().await }).await?;
        Ok(groups.groups.iter().any(|group| group.name == CERT_MANAGER))
    }

    /// The Certificates of a namespace, where cert-manager is installed.
    pub async fn certificates(&self, namespace: &str) -> Result<Vec<Certificate>, CallError> {
        let gvk = GroupVersionKind::gvk(CERT_MANAGER, "v1", "Certificate");
        let resource = &ApiResource::from_gvk_with_plural(&gvk, "certificates");
        let list = |client, params| async move {
            Api::<DynamicObject>::namespaced_with(client, namespace, resource).list(&params).await
        };
        let found =
            self.list_all(listing("certificates.cert-manager.io", namespace), ListParams::default(), list).await?;
        let certificate = |object: DynamicObject| Certificate {
            not_after: object.data["status"]["notAfter"].as_str().and_then(|time| time.parse().ok()),
            name: object.name_any(),
        };
        Ok(found.into_iter().map(certificate).collect())
    }

    /// The certificates of a namespace's TLS Secrets.
    pub async fn tls_certificates(&self, namespace: &str) -> Result<Vec<TlsCertificate>, CallError> {
        let params = ListParams::default().fields("type=kubernetes.io/tls");
        let list = |client, params| async move { Api::<Secret>::namespaced(client, namespace).list(&params).await };
        let found = self.list_all(listing("secrets", namespace), params, list).await?;
        let public = |mut secret: Secret| TlsCertificate {
            pem: secret.data.as_mut().and_then(|data| data.remove("tls.crt")).map(|bytes| bytes.0).unwrap_or_default(),
            name: secret.name_any(),
        };
        Ok(found.into_iter().map(public).collect())
    }

    /// All pages of a listing, each a call of its own.
    async fn list_all<K: Clone, F>(
        &self,
        call: Call,
        params: ListParams,
        list: impl Fn(Client, ListParams) -> F,
    ) -> Result<Vec<K>, CallError>
    where
        F: Future<Output = Result<ObjectList<K>, kube::Error>>,
    {
        let mut params = params.limit(LIST_PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.call(&call, |client| list(client, params.clone())).await?;
            all.extend(page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                return Ok(all);
            }
        }
    }
}

fn version_call() -> Call {
    Call {
        doing: "ask the API server for its version".to_owned(),
        permission: "get on /version (the ClusterRole system:public-info-viewer)".to_owned(),
        writes: false,
    }
}

fn listing(resource: &str, namespace: &str) -> Call {
    Call {
        doing: format!("list the {resource} in namespace {namespace}"),
        permission: format!("list on {resource} in namespace {namespace}"),
        writes: false,
    }
}
