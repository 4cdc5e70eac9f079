//! An object as it is kept outside the cluster: YAML that `kubectl apply` takes, without what the server adds.

use std::collections::BTreeMap;
use std::fmt;

use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use super::object::{ISTIO, Kind, ObjectRef};
use super::yaml;

/// The kinds that are kept: what moves traffic, and what it moves between.
const KEPT: [Kind; 6] =
    [Kind::Deployment, Kind::ConfigMap, Kind::Ingress, Kind::VirtualService, Kind::Gateway, Kind::DestinationRule];

/// What the server or a controller writes into `metadata`. Of another object of the same name, or of this one an hour later, it is wrong.
const OF_THE_SERVER: [&str; 10] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
    "ownerReferences",
    "finalizers",
];

/// Annotations that tell what others did: what was applied last, which revision a rollout is.
const OF_OTHERS: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"];

/// The keys that come first in a file.
const FIRST: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// An object without what the server adds.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    /// Which object it is.
    pub object: ObjectRef,
    content: Map<String, Value>,
}

impl Manifest {
    /// A live object, without what the server adds. The error is an object that cannot be written as JSON.
    pub(super) fn of(object: &ObjectRef, api_version: &str, live: &DynamicObject) -> Result<Self, String> {
        let value = serde_json::to_value(live).map_err(|e| format!("{object} cannot be written as JSON: {e}"))?;
        let Value::Object(mut content) = value else { return Err(format!("{object} is no JSON object")) };
        // In a list the items of the server's own kinds do not say what they are.
        content.insert("apiVersion".to_owned(), json!(api_version));
        content.insert("kind".to_owned(), json!(object.kind.as_str()));
        strip(&mut content);
        Ok(Self { object: object.clone(), content })
    }

    /// Reads a file's text. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The lines around an error may hold secrets, and the error is only one line of many.
        let options = serde_saphyr::options! { with_snippet: false };
        let value: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|e| format!("is no YAML with one object: {}", first_line(&e.to_string())))?;
        let Value::Object(mut content) = value else { return Err("is no Kubernetes object".to_owned()) };
        let object = object_of(&content)?;
        strip(&mut content);
        let manifest = Self { object, content };
        manifest.dynamic().map_err(|e| format!("is no Kubernetes object: {e}"))?;
        Ok(manifest)
    }

    /// The object as YAML that `kubectl apply` takes.
    pub fn yaml(&self) -> String {
        yaml::write(&self.content, &FIRST)
    }

    /// The same in another version of its API, which must have the same shape.
    pub(super) fn in_version(mut self, api_version: &str) -> Self {
        self.content.insert("apiVersion".to_owned(), json!(api_version));
        self
    }

    /// The same in the version of its API that another one is in.
    pub(super) fn in_version_of(mut self, other: &Self) -> Self {
        if let Some(version) = other.content.get("apiVersion") {
            self.content.insert("apiVersion".to_owned(), version.clone());
        }
        self
    }

    /// What to send to the server.
    pub(super) fn dynamic(&self) -> Result<DynamicObject, serde_json::Error> {
        serde_json::from_value(Value::Object(self.content.clone()))
    }

    /// What to send to the server to put it in the place of a live object, and only of that: with what the server and others wrote there.
    pub(super) fn over(&self, live: &DynamicObject) -> Result<DynamicObject, serde_json::Error> {
        let mut new = self.dynamic()?;
        let there = &live.metadata;
        new.metadata.uid.clone_from(&there.uid);
        new.metadata.resource_version.clone_from(&there.resource_version);
        new.metadata.owner_references.clone_from(&there.owner_references);
        new.metadata.finalizers.clone_from(&there.finalizers);
        let of_others: BTreeMap<String, String> = there
            .annotations
            .iter()
            .flatten()
            .filter(|(key, _)| OF_OTHERS.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !of_others.is_empty() {
            new.metadata.annotations.get_or_insert_default().extend(of_others);
        }
        // Where the status is a part of its own the server takes it from nowhere else; where it is not, it must not be lost.
        if let (Some(status), Value::Object(data)) = (live.data.get("status"), &mut new.data) {
            data.insert("status".to_owned(), status.clone());
        }
        Ok(new)
    }
}

/// Without the content: it may hold secrets.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").field("object", &self.object).finish_non_exhaustive()
    }
}

/// Which object a file is about.
fn object_of(content: &Map<String, Value>) -> Result<ObjectRef, String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text(content.get("apiVersion")), text(content.get("kind")));
    let known = KEPT.into_iter().find(|known| known.as_str() == kind && is_served_as(*known, &api_version));
    let Some(kind) = known else {
        let kept: Vec<String> = KEPT.iter().map(|kind| format!("{} ({})", kind.as_str(), kind.api_version())).collect();
        return Err(format!(
            "is {} of {}, which is none of those that a backup holds: {}",
            or_nothing(&kind),
            or_nothing(&api_version),
            kept.join(", ")
        ));
    };
    let metadata = content.get("metadata");
    let (name, namespace) =
        (text(metadata.and_then(|m| m.get("name"))), text(metadata.and_then(|m| m.get("namespace"))));
    for (key, value) in [("name", &name), ("namespace", &namespace)] {
        if value.is_empty() {
            return Err(format!("has no metadata.{key}: say which object it is"));
        }
        if !is_name(value) {
            return Err(format!("has the metadata.{key} {value:?}; write lower case letters, digits, '-' and '.'"));
        }
    }
    Ok(ObjectRef { kind, namespace, name })
}

/// Whether the server would take it for a name. It becomes a part of a path, of the API's and of a file's.
fn is_name(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    text.chars().all(is_inner) && !text.starts_with(['.', '-']) && !text.ends_with(['.', '-'])
}

/// Istio's kinds have the same shape in every version that Ripcord speaks.
fn is_served_as(kind: Kind, api_version: &str) -> bool {
    api_version == kind.api_version() || (kind.group() == ISTIO && api_version == format!("{ISTIO}/v1beta1"))
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Takes away what the server adds.
fn strip(content: &mut Map<String, Value>) {
    content.remove("status");
    let Some(Value::Object(metadata)) = content.get_mut("metadata") else { return };
    for key in OF_THE_SERVER {
        metadata.remove(key);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        for key in OF_OTHERS {
            annotations.remove(key);
        }
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> DynamicObject {
        let value = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "ns", "uid": "u-1", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "selfLink": "/x",
                "managedFields": [{"manager": "kubectl", "operation": "Update"}],
                "ownerReferences": [{"apiVersion": "v1", "kind": "Owner", "name": "o", "uid": "u-0"}],
                "finalizers": ["example.com/keep"],
                "labels": {"app": "web"},
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "deployment.kubernetes.io/revision": "4",
                    "owner": "on",
                },
            },
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"replicas": 2},
        });
        serde_json::from_value(value).unwrap()
    }

    fn deployment() -> ObjectRef {
        ObjectRef { kind: Kind::Deployment, namespace: "ns".into(), name: "web".into() }
    }

    const STRIPPED: &str = concat!(
        "apiVersion: apps/v1\n",
        "kind: Deployment\n",
        "metadata:\n",
        "  annotations:\n",
        "    owner: \"on\"\n",
        "  labels:\n",
        "    app: web\n",
        "  name: web\n",
        "  namespace: ns\n",
        "spec:\n",
        "  replicas: 2\n",
        "  selector:\n",
        "    matchLabels:\n",
        "      app: web\n",
    );

    #[test]
    fn what_the_server_adds_is_left_out() {
        let manifest = Manifest::of(&deployment(), "apps/v1", &live()).unwrap();
        assert_eq!(manifest.yaml(), STRIPPED);
        assert_eq!(Manifest::parse(&format!("# a comment\n{STRIPPED}")), Ok(manifest));
    }

    #[test]
    fn annotations_of_others_alone_are_none() {
        let mut live = live();
        live.metadata.annotations.as_mut().unwrap().remove("owner");
        assert!(!Manifest::of(&deployment(), "apps/v1", &live).unwrap().yaml().contains("annotations"));
    }

    #[test]
    fn what_others_wrote_stays_when_it_is_put_back() {
        let manifest = Manifest::parse(&STRIPPED.replace("replicas: 2", "replicas: 5")).unwrap();
        let mut wanted = live();
        wanted.data["spec"]["replicas"] = json!(5);
        // The server keeps these by itself, and takes them from nobody.
        wanted.metadata.generation = None;
        wanted.metadata.creation_timestamp = None;
        wanted.metadata.self_link = None;
        wanted.metadata.managed_fields = None;
        assert_eq!(manifest.over(&live()).unwrap(), wanted);
    }

    #[test]
    fn a_file_that_is_no_such_object_says_why() {
        let cases = [
            ("a: [", "is no YAML with one object: "),
            ("- a", "is no Kubernetes object"),
            ("", "is no "),
            (&format!("{STRIPPED}---\n{STRIPPED}"), "is no YAML with one object: "),
            ("kind: Secret\napiVersion: v1", "is Secret of v1, which is none of those that a backup holds: Deployment"),
            ("kind: Ingress\napiVersion: extensions/v1beta1", "is Ingress of extensions/v1beta1, which is none"),
            ("apiVersion: apps/v1", "is nothing of apps/v1"),
            (&STRIPPED.replace("  name: web\n", ""), "has no metadata.name"),
            (&STRIPPED.replace("  namespace: ns\n", ""), "has no metadata.namespace"),
            (&STRIPPED.replace("name: web\n", "name: ../web\n"), "has the metadata.name \"../web\""),
            (&STRIPPED.replace("namespace: ns\n", "namespace: ..\n"), "has the metadata.namespace \"..\""),
            (&STRIPPED.replace("app: web", "app: [1]"), "is no Kubernetes object: "),
        ];
        for (text, wanted) in cases {
            let error = Manifest::parse(text).unwrap_err();
            assert!(error.starts_with(wanted) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_version_of_istio_is_as_good_as_another() {
        let text = "apiVersion: networking.istio.io/v1beta1\nkind: Gateway\nmetadata: {name: g, namespace: ns}\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(
            manifest.clone().in_version("networking.istio.io/v1").yaml().lines().next(),
            Some("apiVersion: networking.istio.io/v1")
        );
    }

    #[test]
    fn its_debug_text_holds_no_content() {
        assert!(!format!("{:?}", Manifest::parse(STRIPPED).unwrap()).contains("owner"));
    }
}
