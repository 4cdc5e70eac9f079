//! `deploy/base` against a real API server: every manifest is accepted, and its Role is what the stories run with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::api::{Api, DynamicObject, GroupVersionKind, PostParams};
use kube::discovery::ApiResource;
use ripcord::config::{self, LoadOptions, Settings};
use ripcord::kubernetes::Access;
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

/// Everything that the preset's configuration needs, and nothing else: not another verb, object, resource or namespace.
async fn the_role_is_the_least(world: World) -> anyhow::Result<()> {
    let needed: Vec<Access> = Access::of(&preset()?)
        .into_iter()
        .map(|access| {
            ensure!(access.namespace == "sealos-system", "{access}");
            Ok(Access { namespace: world.namespace.clone(), ..access })
        })
        .collect::<Result<_, _>>()?;
    ensure!(
        granted(&least_rules()?, &world.namespace)? == spelled(&needed),
        "the file is not what the configuration needs"
    );

    // What the rules come to is the API server's to say.
    let user = least_identity(&world).await?;
    let client = world.apiserver.client(&user).await?;
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let resources = [
        ("apps", "deployments"),
        ("", "configmaps"),
        ("coordination.k8s.io", "leases"),
        ("events.k8s.io", "events"),
        ("", "events"),
        ("", "secrets"),
        ("", "pods"),
        ("apps", "statefulsets"),
        ("rbac.authorization.k8s.io", "roles"),
    ];
    let mut names: BTreeSet<&str> = needed.iter().filter_map(|access| access.name.as_deref()).collect();
    // Somebody else's, and all of them.
    names.extend(["somebody-elses", ""]);
    let mut asked = Vec::new();
    for namespace in [world.namespace.as_str(), "default"] {
        for (group, resource) in resources {
            asked.extend(
                verbs.iter().flat_map(|verb| names.iter().map(move |name| (namespace, group, resource, *verb, *name))),
            );
        }
    }
    let answers = futures::stream::iter(asked).map(|(namespace, group, resource, verb, name)| {
        let (client, needed) = (&client, &needed);
        async move {
            let is = |access: &&Access| {
                (access.namespace.as_str(), access.group, access.resource, access.verb)
                    == (namespace, group, resource, verb)
                    && access.name.as_deref().is_none_or(|its| its == name)
            };
            let wanted = needed.iter().any(|access| is(&access));
            let allowed = may(client, verb, group, resource, name, namespace).await?;
            ensure!(allowed == wanted, "{verb} {resource}.{group} {name:?} in {namespace}: allowed is {allowed}");
            Ok(())
        }
    });
    answers.buffer_unordered(16).try_collect::<Vec<()>>().await?;
    Ok(())
}

/// The configuration that `deploy/base` is for.
fn preset() -> anyhow::Result<Settings> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ripcord.yaml");
    config::load(&[file], Vec::new(), LoadOptions { syntax_only: true }).map_err(|e| anyhow!("{e:?}"))
}

/// Group, resource, name (empty for all) and verb of each permission.
type Spelled = BTreeSet<[String; 4]>;

fn spelled(all: &[Access]) -> Spelled {
    let spell = |a: &Access| [a.group, a.resource, a.name.as_deref().unwrap_or_default(), a.verb].map(str::to_owned);
    all.iter().map(spell).collect()
}

/// The same of rules. One with more in it than that is an error.
fn granted(rules: &[PolicyRule], namespace: &str) -> anyhow::Result<Spelled> {
    let mut all = Spelled::new();
    for rule in rules {
        ensure!(rule.non_resource_urls.is_none(), "{namespace}: {rule:?}");
        let names = rule.resource_names.clone().unwrap_or_else(|| vec![String::new()]);
        ensure!(!names.is_empty(), "a list of names without any allows all of them: {rule:?}");
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for name in &names {
                    all.extend(rule.verbs.iter().map(|verb| [group, resource, name, verb].map(Clone::clone)));
                }
            }
        }
    }
    Ok(all)
}
