//! `deploy/base` against a real API server: every manifest is accepted, and its Role is what the stories run with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::api::{Api, DynamicObject, GroupVersionKind, PostParams};
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::stories;
use crate::support::apiserver::{Identity, may};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![every_manifest_is_accepted, the_role_is_the_least]
}

fn base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base")
}

/// The documents of a YAML file, as JSON.
fn documents(file: &Path) -> anyhow::Result<Vec<Value>> {
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
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    YamlLoader::load_from_str(&text)?.iter().map(json_of).collect()
}

/// Every object that the base makes, but for the ConfigMap that kustomize generates.
fn manifests() -> anyhow::Result<Vec<Value>> {
    let kustomization = documents(&base().join("kustomization.yaml"))?.remove(0);
    let mut all = Vec::new();
    for resource in kustomization["resources"].as_array().context("resources")? {
        let file = resource.as_str().context("a file")?;
        if file.ends_with(".yaml") {
            all.extend(documents(&base().join(file))?);
        }
    }
    Ok(all)
}

/// The rights that `deploy/base` gives to Ripcord.
pub fn least_rules() -> anyhow::Result<Vec<PolicyRule>> {
    let role = manifests()?.into_iter().find(|m| m["kind"] == "Role").context("a Role")?;
    let role: Role = serde_json::from_value(role)?;
    role.rules.context("rules")
}

/// A user with the rights that `deploy/base` gives to Ripcord, in the story's namespace, and no others.
pub async fn least_identity(world: &World) -> anyhow::Result<Identity> {
    least_identity_of(world, |rule| rule).await
}

/// The same for these components, each with a state and a Lease of its own, in the place of those that `deploy/base` names.
pub async fn least_identity_for(world: &World, components: &[String]) -> anyhow::Result<Identity> {
    let named = |suffix: &str| components.iter().map(|name| format!("{name}{suffix}")).collect::<Vec<_>>();
    least_identity_of(world, |mut rule| {
        if let Some(names) = &mut rule.resource_names {
            *names = match names[0].as_str() {
                "ripcord-state" => named("-state"),
                "ripcord" => named("-lease"),
                name => named(if name.ends_with("-config") { "-config" } else { "" }),
            };
        }
        rule
    })
    .await
}

async fn least_identity_of(world: &World, edit: impl Fn(PolicyRule) -> PolicyRule) -> anyhow::Result<Identity> {
    let rules: Vec<_> = least_rules()?.into_iter().map(edit).collect();
    let user = world.apiserver.new_user();
    world.allow(&user, &rules).await?;
    Ok(user)
}

async fn every_manifest_is_accepted(world: World) -> anyhow::Result<()> {
    let manifests = manifests()?;
    let kinds: BTreeMap<&str, usize> = manifests.iter().fold(BTreeMap::new(), |mut kinds, m| {
        *kinds.entry(m["kind"].as_str().unwrap_or("")).or_default() += 1;
        kinds
    });
    let wanted =
        ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "Service", "ServiceAccount"];
    ensure!(kinds.keys().copied().eq(wanted), "{kinds:?}");
    for mut manifest in manifests {
        ensure!(manifest["metadata"]["namespace"] == "sealos-system", "{manifest}");
        manifest["metadata"]["namespace"] = json!(world.namespace);
        // The priority class exists in a cluster, not on a bare API server.
        if manifest["kind"] == "Deployment" {
            check_deployment(&manifest)?;
        }
        // The API server of the tests is of the last version that has this kind as a beta only, of the same shape.
        if manifest["kind"] == "PodDisruptionBudget" {
            manifest["apiVersion"] = json!("policy/v1beta1");
        }
        let (group, version) =
            manifest["apiVersion"].as_str().context("apiVersion")?.rsplit_once('/').unwrap_or(("", "v1"));
        let kind = manifest["kind"].as_str().context("kind")?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(world.kube.clone(), &world.namespace, &resource);
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let created =
            api.create(&PostParams::default(), &object).await.with_context(|| format!("{kind} is refused"))?;
        // What an API server does not know it drops: everything that was written must have stayed.
        let kept = serde_json::to_value(&created)?;
        let lost = lost(&manifest, &kept, String::new());
        ensure!(lost.is_empty(), "{kind}: the API server dropped {lost:?}");
    }
    Ok(())
}

/// The paths of `written` that `kept` has not.
fn lost(written: &Value, kept: &Value, path: String) -> Vec<String> {
    match written {
        Value::Object(map) => map
            .iter()
            // A Deployment's scheme is the server's own for a rolling update only.
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

fn check_deployment(deployment: &Value) -> anyhow::Result<()> {
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    ensure!(deployment["spec"]["replicas"] == 2, "one leads and one stands by");
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

/// The Role names the objects of the preset's guards, and what it gives suffices for nothing else.
async fn the_role_is_the_least(world: World) -> anyhow::Result<()> {
    let user = least_identity(&world).await?;
    let client = world.apiserver.client(&user).await?;
    let ns = world.namespace.as_str();
    for component in ["terminal-controller", "db-adminer-controller", "resources-controller", "webhook-admission"] {
        for verb in ["get", "patch"] {
            ensure!(may(&client, verb, "apps", "deployments", component, ns).await?, "{verb} {component}");
            ensure!(
                may(&client, verb, "", "configmaps", &format!("{component}-config"), ns).await?,
                "{verb} {component}-config"
            );
        }
        for verb in ["delete", "update", "create", "list", "watch"] {
            ensure!(!may(&client, verb, "apps", "deployments", component, ns).await?, "{verb} {component}");
        }
    }
    // The state and the Lease. A create has no name.
    for (verbs, group, resource, name) in [
        (["get", "patch"], "", "configmaps", "ripcord-state"),
        (["get", "update"], "coordination.k8s.io", "leases", "ripcord"),
    ] {
        for verb in verbs {
            ensure!(may(&client, verb, group, resource, name, ns).await?, "{verb} {resource} {name}");
            ensure!(!may(&client, verb, group, resource, "", ns).await?, "{verb} any {resource}");
        }
        ensure!(may(&client, "create", group, resource, "", ns).await?, "create {resource}");
        ensure!(!may(&client, "create", group, resource, "", "default").await?, "create {resource} elsewhere");
        for verb in ["delete", "list", "watch"] {
            ensure!(!may(&client, verb, group, resource, name, ns).await?, "{verb} {resource} {name}");
        }
    }
    ensure!(may(&client, "create", "events.k8s.io", "events", "", ns).await?);
    for (verb, group, resource, name, namespace) in [
        ("patch", "apps", "deployments", "somebody-elses", ns),
        ("patch", "apps", "deployments", "terminal-controller", "default"),
        ("get", "", "secrets", "", ns),
        ("patch", "", "configmaps", "somebody-elses", ns),
        ("create", "", "pods", "", ns),
        ("update", "", "configmaps", "ripcord-state", ns),
        ("update", "coordination.k8s.io", "leases", "somebody-elses", ns),
        ("patch", "apps", "statefulsets", "terminal-controller", ns),
    ] {
        ensure!(
            !may(&client, verb, group, resource, name, namespace).await?,
            "{verb} {resource} {name} in {namespace}"
        );
    }
    Ok(())
}
