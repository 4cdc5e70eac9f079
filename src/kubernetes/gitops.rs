//! Whether an object is kept by a GitOps tool, which undoes what others change.

use futures::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::config::Step;

use super::cluster::Cluster;
use super::object::ObjectRef;

/// What Argo CD writes on its objects, in the way that is configured: an annotation that begins with the application's name and a colon …
const ARGO_TRACKING: &str = "argocd.argoproj.io/tracking-id";

/// … or a label or an annotation with its name …
const ARGO_INSTANCE: &str = "argocd.argoproj.io/instance";

/// … or this label, which Helm charts and people write too.
const COMMON_INSTANCE: &str = "app.kubernetes.io/instance";

/// The field managers of Argo CD.
const ARGO_MANAGERS: [&str; 2] = ["argocd-controller", "argocd-application-controller"];

/// The label of Flux's kustomize-controller, and its switch: a label or an annotation.
const KUSTOMIZE_NAME: &str = "kustomize.toolkit.fluxcd.io/name";
const KUSTOMIZE_RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";

/// The value of a switch that is off.
const DISABLED: &str = "disabled";

/// The label of Flux's helm-controller.
const HELM_NAME: &str = "helm.toolkit.fluxcd.io/name";

impl Cluster {
    /// One sentence for each GitOps tool that keeps an object of the steps: what it will do to a change, and what to do about that. An
    /// object that cannot be read gives none; a rehearsal tells why.
    pub async fn gitops(&self, steps: &[Step]) -> Vec<String> {
        let mut objects: Vec<ObjectRef> = Vec::new();
        for object in steps.iter().filter_map(ObjectRef::of) {
            if !objects.contains(&object) {
                objects.push(object);
            }
        }
        let looks = objects.iter().map(|object| async move {
            self.metadata(object).await.map(|metadata| warnings(object, &metadata)).unwrap_or_default()
        });
        join_all(looks).await.into_iter().flatten().collect()
    }
}

fn warnings(object: &ObjectRef, metadata: &ObjectMeta) -> Vec<String> {
    [argo(object, metadata), kustomize(object, metadata), helm(object, metadata)].into_iter().flatten().collect()
}

fn argo(object: &ObjectRef, metadata: &ObjectMeta) -> Option<String> {
    let tracked = annotation(metadata, ARGO_TRACKING).map(|id| id.split(':').next().unwrap_or(id));
    let marked = tracked.or_else(|| marked(metadata, ARGO_INSTANCE));
    let managed = managed_by(metadata, &ARGO_MANAGERS);
    let application = marked.or_else(|| label(metadata, COMMON_INSTANCE).filter(|_| managed));
    if application.is_none() && !managed {
        return None;
    }
    Some(format!(
        "{object} is kept by Argo CD{}, which undoes a change within seconds where self-heal is on, and at the next sync otherwise: exclude \
         the fields that Ripcord sets (ignoreDifferences, with the sync option RespectIgnoreDifferences=true)",
        named("application", application)
    ))
}

fn kustomize(object: &ObjectRef, metadata: &ObjectMeta) -> Option<String> {
    let name = label(metadata, KUSTOMIZE_NAME);
    if name.is_none() && !managed_by(metadata, &["kustomize-controller"]) {
        return None;
    }
    if marked(metadata, KUSTOMIZE_RECONCILE) == Some(DISABLED) {
        return None;
    }
    Some(format!(
        "{object} is kept by Flux{}, which undoes a change at its next reconciliation: leave the fields that Ripcord sets out of its manifest, \
         annotate the object with {KUSTOMIZE_RECONCILE}: {DISABLED}, or suspend the Kustomization while traffic moves",
        named("Kustomization", name)
    ))
}

fn helm(object: &ObjectRef, metadata: &ObjectMeta) -> Option<String> {
    let name = label(metadata, HELM_NAME);
    if name.is_none() && !managed_by(metadata, &["helm-controller"]) {
        return None;
    }
    Some(format!(
        "{object} is kept by Flux{}, which undoes a change at its next upgrade, and at once where drift detection is on: exclude the fields that \
         Ripcord sets (spec.driftDetection.ignore), or suspend the HelmRelease while traffic moves",
        named("HelmRelease", name)
    ))
}

/// ` (application shop)`, where it is known.
fn named(what: &str, name: Option<&str>) -> String {
    name.map(|name| format!(" ({what} {name})")).unwrap_or_default()
}

fn label<'m>(metadata: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn annotation<'m>(metadata: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The value of a label or an annotation.
fn marked<'m>(metadata: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    label(metadata, key).or_else(|| annotation(metadata, key))
}

fn managed_by(metadata: &ObjectMeta, managers: &[&str]) -> bool {
    let mut all = metadata.managed_fields.iter().flatten().filter_map(|fields| fields.manager.as_deref());
    all.any(|manager| managers.contains(&manager))
}

#[cfg(test)]
mod tests {
    use super::super::object::Kind;
    use super::*;
    use serde_json::{Value, json};

    fn told(metadata: Value) -> Vec<String> {
        let object = ObjectRef { kind: Kind::Deployment, namespace: "ns".into(), name: "web".into() };
        warnings(&object, &serde_json::from_value(metadata).expect("metadata"))
    }

    fn by(manager: &str) -> Value {
        json!([{"manager": "kubectl", "operation": "Update"}, {"manager": manager, "operation": "Update"}])
    }

    #[test]
    fn a_tool_is_known_by_its_marks() {
        let argo = "Deployment ns/web is kept by Argo CD (application shop), which undoes a change";
        let nameless = "Deployment ns/web is kept by Argo CD, which undoes a change";
        let kustomize =
            "Deployment ns/web is kept by Flux (Kustomization apps), which undoes a change at its next reconciliation";
        let helm = "Deployment ns/web is kept by Flux (HelmRelease web), which undoes a change at its next upgrade";
        let instance = json!({COMMON_INSTANCE: "shop"});
        let cases = [
            (json!({"annotations": {ARGO_TRACKING: "shop:apps/Deployment:ns/web"}}), argo),
            (json!({"annotations": {ARGO_INSTANCE: "shop"}}), argo),
            (json!({"labels": {ARGO_INSTANCE: "shop"}}), argo),
            (json!({"labels": instance, "managedFields": by("argocd-controller")}), argo),
            (json!({"labels": instance, "managedFields": by("argocd-application-controller")}), argo),
            (json!({"managedFields": by("argocd-controller")}), nameless),
            (json!({"labels": {KUSTOMIZE_NAME: "apps"}}), kustomize),
            (
                json!({"managedFields": by("kustomize-controller")}),
                "is kept by Flux, which undoes a change at its next",
            ),
            (json!({"labels": {HELM_NAME: "web"}}), helm),
            (
                json!({"managedFields": by("helm-controller")}),
                "is kept by Flux, which undoes a change at its next upgrade",
            ),
        ];
        for (metadata, wanted) in cases {
            let told = told(metadata.clone());
            assert!(told.len() == 1 && told[0].contains(wanted), "{metadata}: {told:?} and not {wanted}");
        }
    }

    #[test]
    fn what_is_nobodys_or_let_go_gives_no_warning() {
        for metadata in [
            json!({}),
            json!({"labels": {COMMON_INSTANCE: "shop"}, "managedFields": by("helm")}),
            json!({"labels": {KUSTOMIZE_NAME: "apps"}, "annotations": {KUSTOMIZE_RECONCILE: DISABLED}}),
            json!({"labels": {KUSTOMIZE_NAME: "apps", KUSTOMIZE_RECONCILE: DISABLED}}),
            json!({"managedFields": by("ripcord")}),
        ] {
            assert_eq!(told(metadata.clone()), Vec::<String>::new(), "{metadata}");
        }
    }
}
