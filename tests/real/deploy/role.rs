//! The Role of the preset: what the stories run with, and neither more nor less than the configuration needs.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use ripcord::config::{self, LoadOptions, Settings};
use ripcord::kubernetes::Access;

use super::manifests;
use crate::stories;
use crate::support::apiserver::{Identity, may};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![the_role_is_the_least]
}

/// The rights that the preset's overlay gives to Ripcord.
pub fn least_rules() -> anyhow::Result<Vec<PolicyRule>> {
    let text = std::fs::read_to_string(manifests::deploy("overlays/sealos/rbac.yaml"))?;
    let role = manifests::documents(&text)?.into_iter().find(|m| m["kind"] == "Role").context("a Role")?;
    let role: Role = serde_json::from_value(role)?;
    role.rules.context("rules")
}

/// A user with the rights that `deploy/overlays/sealos` gives to Ripcord, in the story's namespace, and no others.
pub async fn least_identity(world: &World) -> anyhow::Result<Identity> {
    least_identity_of(world, |rule| rule).await
}

/// The same for these components, each with a state and a Lease of its own, in the place of those that `deploy/overlays/sealos` names.
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

/// The configuration that `deploy/overlays/sealos` is for.
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
