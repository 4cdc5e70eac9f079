//! Manifests as data, and what an API server says of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use kube::api::{Api, DynamicObject, GroupVersionKind, PostParams};
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::support::World;

/// The kinds of the Prometheus Operator: no API server knows them that has not been taught.
const FOREIGN: &str = "monitoring.coreos.com/v1";

/// A file or folder of `deploy/`.
pub fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// The documents of a YAML text, as JSON. Empty ones are left out.
pub fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    fn json_of(yaml: &Yaml) -> anyhow::Result<Value> {
        Ok(match yaml {
            Yaml::String(s) => json!(s),
            Yaml::Integer(i) => json!(i),
            Yaml::Real(r) => json!(r.parse::<f64>()?),
            Yaml::Boolean(b) => json!(b),
            Yaml::Null => Value::Null,
            Yaml::Array(list) => Value::Array(list.iter().map(json_of).collect::<Result<_, _>>()?),
            Yaml::Hash(map) => {
                let mut object = serde_json::Map::new();
                for (key, value) in map {
                    object.insert(key.as_str().context("a key that is no text")?.to_owned(), json_of(value)?);
                }
                Value::Object(object)
            }
            other => anyhow::bail!("unexpected YAML: {other:?}"),
        })
    }
    let all: Vec<Value> = YamlLoader::load_from_str(text)?.iter().map(json_of).collect::<anyhow::Result<_>>()?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

/// The kinds of the manifests, sorted.
pub fn kinds(manifests: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = manifests.iter().map(|m| m["kind"].as_str().unwrap_or_default()).collect();
    kinds.sort_unstable();
    kinds
}

/// The manifest of a kind.
pub fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> anyhow::Result<&'a Value> {
    manifests.iter().find(|m| m["kind"] == kind).with_context(|| format!("there is no {kind}"))
}

/// Creates each manifest in the story's namespace. An API server drops what it does not know: everything that was written must have stayed.
pub async fn are_accepted(world: &World, manifests: &[Value], namespace: &str) -> anyhow::Result<()> {
    for manifest in manifests {
        let kind = manifest["kind"].as_str().context("kind")?;
        if manifest["apiVersion"] == FOREIGN {
            continue;
        }
        let mut manifest = manifest.clone();
        ensure!(manifest["metadata"]["namespace"] == namespace, "{manifest}");
        manifest["metadata"]["namespace"] = json!(world.namespace);
        // The API server of the tests is of the last version that has this kind as a beta only, of the same shape.
        if kind == "PodDisruptionBudget" {
            manifest["apiVersion"] = json!("policy/v1beta1");
        }
        let (group, version) =
            manifest["apiVersion"].as_str().context("apiVersion")?.rsplit_once('/').unwrap_or(("", "v1"));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(world.kube.clone(), &world.namespace, &resource);
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let created =
            api.create(&PostParams::default(), &object).await.with_context(|| format!("{kind} is refused"))?;
        let lost = lost(&manifest, &serde_json::to_value(&created)?, String::new());
        ensure!(lost.is_empty(), "{kind}: the API server dropped {lost:?}");
    }
    Ok(())
}

/// The paths of `written` that `kept` has not.
fn lost(written: &Value, kept: &Value, path: String) -> Vec<String> {
    match written {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match kept.get(key) {
                None if !value.is_null() => vec![format!("{path}.{key}")],
                None => Vec::new(),
                Some(other) => lost(value, other, format!("{path}.{key}")),
            })
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .flat_map(|(i, value)| lost(value, kept.get(i).unwrap_or(&Value::Null), format!("{path}[{i}]")))
            .collect(),
        _ => Vec::new(),
    }
}

/// What every way to install has in common: a pod that may do little and is looked after.
pub fn check_deployment(deployment: &Value) -> anyhow::Result<()> {
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    ensure!(pod["securityContext"]["runAsNonRoot"] == true);
    ensure!(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault");
    ensure!(container["securityContext"]["readOnlyRootFilesystem"] == true);
    ensure!(container["securityContext"]["allowPrivilegeEscalation"] == false);
    ensure!(container["securityContext"]["capabilities"]["drop"] == json!(["ALL"]));
    ensure!(container["readinessProbe"]["httpGet"]["path"] == "/readyz");
    ensure!(container["livenessProbe"]["httpGet"]["path"] == "/healthz");
    ensure!(container["resources"]["limits"]["memory"].is_string());
    Ok(())
}
