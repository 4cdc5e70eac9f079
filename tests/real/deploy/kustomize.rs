//! The kustomize base and its overlays, rendered by kubectl.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::rbac::v1::PolicyRule;
use ripcord::config::{self, LoadOptions};
use serde_json::{Value, json};
use tokio::process::Command;

use super::manifests::{self, are_accepted, check_deployment, documents, kinds, of_kind};
use crate::stories;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        the_preset_is_accepted,
        a_dry_run_changes_nothing_else,
        the_example_is_accepted_and_valid,
        each_role_stays_where_its_objects_are,
        the_configuration_is_the_file,
        monitoring_is_the_preset_and_what_watches_it,
    ]
}

/// What an installation consists of.
pub const WHOLE: [&str; 8] = [
    "ConfigMap",
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
];

/// What `kubectl kustomize` makes of a folder of `deploy/`.
pub async fn rendered(world: &World, folder: &str) -> anyhow::Result<Vec<Value>> {
    rendered_from(world, &manifests::deploy(folder)).await
}

async fn rendered_from(world: &World, folder: &Path) -> anyhow::Result<Vec<Value>> {
    let out = Command::new(&world.binaries.kubectl)
        .arg("kustomize")
        .arg(folder)
        .output()
        .await
        .context("kubectl kustomize")?;
    if !out.status.success() || !out.stderr.is_empty() {
        bail!("kubectl kustomize {}: {}", folder.display(), String::from_utf8_lossy(&out.stderr));
    }
    documents(&String::from_utf8(out.stdout)?)
}

async fn the_preset_is_accepted(world: World) -> anyhow::Result<()> {
    let all = rendered(&world, "overlays/sealos").await?;
    ensure!(kinds(&all) == WHOLE, "{:?}", kinds(&all));
    let deployment = of_kind(&all, "Deployment")?;
    check_deployment(deployment)?;
    ensure!(deployment["spec"]["replicas"] == 2, "one leads and one stands by");
    // kustomize gives the hash in a ConfigMap's name to what it takes for a reference to it, names in a Role among them.
    let rules: Vec<PolicyRule> = serde_json::from_value(of_kind(&all, "Role")?["rules"].clone())?;
    ensure!(rules == super::least_rules()?, "{rules:?}");
    are_accepted(&world, &all, "sealos-system").await
}

/// A change of the configuration must restart the pods: the ConfigMap's name has a hash of it, and the Deployment names that one.
async fn the_configuration_is_the_file(world: World) -> anyhow::Result<()> {
    for (folder, file) in
        [("overlays/sealos", "../config/ripcord.yaml"), ("overlays/example", "overlays/example/ripcord.yaml")]
    {
        let all = rendered(&world, folder).await?;
        let config = of_kind(&all, "ConfigMap")?;
        let written = std::fs::read_to_string(manifests::deploy(file))?;
        ensure!(config["data"] == json!({"ripcord.yaml": written}), "{folder}");
        let name = &config["metadata"]["name"];
        ensure!(name.as_str().is_some_and(|name| name.starts_with("ripcord-config-")), "{name}");
        let volume = &of_kind(&all, "Deployment")?["spec"]["template"]["spec"]["volumes"][0];
        ensure!(&volume["projected"]["sources"][0]["configMap"]["name"] == name, "{volume}");
    }
    Ok(())
}

async fn a_dry_run_changes_nothing_else(world: World) -> anyhow::Result<()> {
    let mut real = rendered(&world, "overlays/sealos").await?;
    let dry = rendered(&world, "overlays/dry-run").await?;
    real.retain(|m| m["kind"] != "PodDisruptionBudget");
    let deployment = real.iter_mut().find(|m| m["kind"] == "Deployment").context("a Deployment")?;
    deployment["spec"]["replicas"] = json!(1);
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array_mut().context("args")?;
    arguments.push(json!("--dry-run"));
    ensure!(real == dry, "{dry:#?}");
    are_accepted(&world, &dry, "sealos-system").await
}

async fn the_example_is_accepted_and_valid(world: World) -> anyhow::Result<()> {
    let all = rendered(&world, "overlays/example").await?;
    ensure!(kinds(&all) == WHOLE, "{:?}", kinds(&all));
    check_deployment(of_kind(&all, "Deployment")?)?;
    are_accepted(&world, &all, "shop").await?;

    let file = manifests::deploy("overlays/example/ripcord.yaml");
    let settings = config::load(&[file], Vec::new(), LoadOptions { syntax_only: true })
        .map_err(|findings| anyhow::anyhow!("{findings:?}"))?;
    ensure!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    let render = ["render", "rbac", "--service-account", "shop/ripcord", "--config"];
    let named = Path::new("deploy/overlays/example/ripcord.yaml");
    let out = Command::new(env!("CARGO_BIN_EXE_ripcord"))
        .args(render)
        .arg(named)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .await?;
    let shipped = std::fs::read_to_string(manifests::deploy("overlays/example/rbac.yaml"))?;
    ensure!(String::from_utf8(out.stdout)? == shipped, "make deploy/overlays/example/rbac.yaml anew");
    Ok(())
}

/// Guards in two namespaces, and Ripcord in a third: the overlay gives its own namespace to what has none, and leaves the roles where
/// `ripcord render rbac` puts them.
async fn each_role_stays_where_its_objects_are(world: World) -> anyhow::Result<()> {
    let mine = world.dir.join("deploy/overlays/mine");
    for (from, to) in [("base", world.dir.join("deploy/base")), ("overlays/example", mine.clone())] {
        std::fs::create_dir_all(&to)?;
        for file in std::fs::read_dir(manifests::deploy(from))? {
            let file = file?;
            std::fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    let config = mine.join("ripcord.yaml");
    let example = std::fs::read_to_string(&config)?;
    let guard = |name: &str, namespace: &str| {
        json!({
            "match": {"destination_workload": name},
            "triggers": {"error_rate": {"signal": "error_rate", "above": "1%"}},
            "traffic": [{"config_map": {"namespace": namespace, "name": name, "data": {"share": "${percentage}"}}}],
        })
    };
    let others = format!("guards:\n  one: {}\n  two: {}\n", guard("one", "default"), guard("two", "other"));
    std::fs::write(&config, example.replace("guards:\n", &others))?;
    let out = Command::new(env!("CARGO_BIN_EXE_ripcord"))
        .args(["render", "rbac", "--service-account", "shop/ripcord", "--config"])
        .arg(&config)
        .output()
        .await?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let roles = String::from_utf8(out.stdout)?;
    std::fs::write(mine.join("rbac.yaml"), &roles)?;

    let all = rendered_from(&world, &mine).await?;
    let of_rbac = |m: &&Value| m["apiVersion"] == "rbac.authorization.k8s.io/v1";
    let told = |m: &Value| {
        let subject = &m["subjects"][0];
        [&m["kind"], &m["metadata"]["namespace"], &m["rules"], subject].map(Value::to_string)
    };
    let mut wanted: Vec<_> = documents(&roles)?.iter().map(told).collect();
    let mut found: Vec<_> = all.iter().filter(of_rbac).map(told).collect();
    wanted.sort();
    found.sort();
    ensure!(wanted.len() == 6, "{wanted:?}");
    ensure!(found == wanted, "{found:#?}\n{wanted:#?}");
    for rest in all.iter().filter(|m| !of_rbac(m)) {
        ensure!(rest["metadata"]["namespace"] == "shop", "{rest}");
    }
    Ok(())
}

async fn monitoring_is_the_preset_and_what_watches_it(world: World) -> anyhow::Result<()> {
    let all = rendered(&world, "overlays/monitoring").await?;
    for part in rendered(&world, "overlays/sealos").await? {
        ensure!(all.contains(&part), "{part} is not in it");
    }
    let mut wanted = WHOLE.to_vec();
    wanted.extend(["ConfigMap", "ConfigMap", "PrometheusRule", "ServiceMonitor"]);
    wanted.sort_unstable();
    ensure!(kinds(&all) == wanted, "{:?}", kinds(&all));
    are_accepted(&world, &all, "sealos-system").await?;

    for (name, file) in [("migration", "grafana/migration.json"), ("ripcord", "grafana/ripcord.json")] {
        let map = all.iter().find(|m| m["metadata"]["name"] == format!("ripcord-dashboard-{name}").as_str());
        let map = map.with_context(|| format!("no dashboard {name}"))?;
        ensure!(map["metadata"]["labels"]["grafana_dashboard"] == "1", "{name}: the sidecar would not find it");
        ensure!(map["data"][format!("ripcord-{name}.json")] == std::fs::read_to_string(manifests::deploy(file))?);
        // An object is at most 1 MiB, and kubectl apply keeps a copy of it in an annotation of at most 256 KiB.
        ensure!(map.to_string().len() < 256 * 1024, "{name}: kubectl apply would refuse it");
    }
    let rule = of_kind(&all, "PrometheusRule")?;
    ensure!(rule.to_string().len() < 256 * 1024, "kubectl apply would refuse it");
    let monitor = &of_kind(&all, "ServiceMonitor")?["spec"];
    let service = of_kind(&all, "Service")?;
    let wanted = monitor["selector"]["matchLabels"].as_object().context("matchLabels")?;
    ensure!(wanted.iter().all(|(key, value)| &service["metadata"]["labels"][key] == value), "{monitor}");
    Ok(())
}
