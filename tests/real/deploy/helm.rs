//! The Helm chart, by Helm's own code.

use std::process::Stdio;

use anyhow::{Context, anyhow, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::kustomize;
use super::manifests::{self, are_accepted, check_deployment, documents, kinds, of_kind};
use crate::stories;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        the_chart_is_clean_and_accepted,
        everything_that_can_be_switched_on_is_accepted,
        wrong_values_are_refused_by_the_schema,
        what_cannot_work_is_refused_with_what_to_do,
        one_without_a_lease_never_runs_beside_another,
        it_installs_what_kustomize_installs,
        a_release_is_installed_upgraded_put_back_and_removed,
    ]
}

/// What Helm does with the chart, or its error.
async fn helm(world: &World, mut request: Value) -> anyhow::Result<Result<Value, String>> {
    request["chart"] = json!(manifests::deploy("helm/ripcord"));
    let mut child = Command::new(&world.binaries.python)
        .arg(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/deploy/helm.py"))
        // What it caches is of no use to anybody.
        .env("HELM_CACHE_HOME", &world.dir)
        .env("HELM_CONFIG_HOME", &world.dir)
        .env("HELM_DATA_HOME", &world.dir)
        .env("HOME", &world.dir)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin")?;
    stdin.write_all(request.to_string().as_bytes()).await?;
    drop(stdin);
    let out = child.wait_with_output().await?;
    let answer: Value = serde_json::from_slice(&out.stdout)
        .with_context(|| format!("helm.py: {}", String::from_utf8_lossy(&out.stderr)))?;
    match answer["error"].as_str() {
        Some(error) => Ok(Err(error.to_owned())),
        None => Ok(Ok(answer["done"].clone())),
    }
}

/// The two files that every installation needs, here those of the preset.
fn preset() -> anyhow::Result<Value> {
    Ok(json!({
        "config": std::fs::read_to_string(manifests::deploy("../config/ripcord.yaml"))?,
        "roles": std::fs::read_to_string(manifests::deploy("overlays/sealos/rbac.yaml"))?,
    }))
}

/// The preset's values with others besides.
fn with(extra: Value) -> anyhow::Result<Value> {
    let mut values = preset()?;
    let Value::Object(extra) = extra else { bail!("no object") };
    values.as_object_mut().context("an object")?.extend(extra);
    Ok(values)
}

/// The manifests that Helm makes of these values; each is put into the release's namespace, as Helm does when it installs.
async fn rendered(world: &World, name: &str, values: &Value) -> anyhow::Result<Result<Vec<Value>, String>> {
    let made = match helm(world, json!({"do": "manifest", "name": name, "values": values})).await? {
        Ok(made) => made,
        Err(error) => return Ok(Err(error)),
    };
    let mut all = Vec::new();
    for text in made["manifests"].as_array().context("manifests")? {
        all.extend(documents(text.as_str().context("a text")?)?);
    }
    for manifest in &mut all {
        let metadata = manifest["metadata"].as_object_mut().context("metadata")?;
        metadata.entry("namespace").or_insert_with(|| json!("sealos-system"));
    }
    Ok(Ok(all))
}

async fn accepted(world: &World, name: &str, values: &Value) -> anyhow::Result<Vec<Value>> {
    let all = rendered(world, name, values).await?.map_err(|e| anyhow!(e))?;
    are_accepted(world, &all, "sealos-system").await?;
    Ok(all)
}

async fn the_chart_is_clean_and_accepted(world: World) -> anyhow::Result<()> {
    let lint = helm(&world, json!({"do": "lint", "values": preset()?})).await?.map_err(|e| anyhow!(e))?;
    ensure!(lint["errors"] == json!([]), "{lint}");
    let findings = lint["messages"].as_array().context("messages")?;
    let grave: Vec<_> = findings.iter().filter(|m| m["severity"].as_u64() > Some(1)).collect();
    ensure!(grave.is_empty(), "{grave:?}");

    let all = accepted(&world, "ripcord", &preset()?).await?;
    ensure!(kinds(&all) == kustomize::WHOLE, "{:?}", kinds(&all));
    check_deployment(of_kind(&all, "Deployment")?)
}

async fn everything_that_can_be_switched_on_is_accepted(world: World) -> anyhow::Result<()> {
    let values = with(json!({
        "image": {"repository": "registry.example.org/ripcord", "digest": format!("sha256:{}", "a".repeat(64))},
        "imagePullSecrets": [{"name": "registry"}],
        "dryRun": true,
        "serviceAccount": {"annotations": {"note": "x"}},
        "service": {"type": "NodePort", "annotations": {"note": "x"}},
        "ingress": {"enabled": true, "host": "ripcord.example.org", "className": "nginx", "tlsSecret": "tls", "annotations": {"note": "x"}},
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": true, "rules": "groups:\n  - name: ripcord\n    rules:\n      - {record: a, expr: b}\n"},
        "dashboards": {"enabled": true, "files": {"migration": "{\"title\": \"{{ not a template }}\"}"}},
        "podAnnotations": {"note": "x"},
        "podLabels": {"team": "sre"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}}
        ]}},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.org:3128"}],
    }))?;
    // Of another name, whose objects must not be mistaken for those of the first.
    let all = accepted(&world, "canary", &values).await?;
    for kind in ["Ingress", "ServiceMonitor", "PrometheusRule"] {
        of_kind(&all, kind)?;
    }
    ensure!(!kinds(&all).contains(&"PodDisruptionBudget"), "a budget for one replica");
    let deployment = of_kind(&all, "Deployment")?;
    ensure!(deployment["metadata"]["name"] == "canary-ripcord");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    ensure!(deployment["spec"]["replicas"] == 1, "a dry run takes no Lease");
    ensure!(container["args"] == json!(["run", "--config", "/etc/ripcord/ripcord.yaml", "--dry-run"]));
    ensure!(container["image"].as_str().is_some_and(|i| i.starts_with("registry.example.org/ripcord@sha256:")));
    let rules = &of_kind(&all, "PrometheusRule")?["spec"];
    ensure!(rules == &json!({"groups": [{"name": "ripcord", "rules": [{"record": "a", "expr": "b"}]}]}), "{rules}");
    let dashboard = all.iter().find(|m| m["metadata"]["name"] == "canary-ripcord-dashboard-migration");
    let dashboard = dashboard.context("a dashboard")?;
    ensure!(
        dashboard["data"]["ripcord-migration.json"].as_str().map(str::trim)
            == Some(r#"{"title": "{{ not a template }}"}"#)
    );
    ensure!(dashboard["metadata"]["labels"]["grafana_dashboard"] == "1");
    let monitor = &of_kind(&all, "ServiceMonitor")?["spec"];
    let service = of_kind(&all, "Service")?;
    let selector = monitor["selector"]["matchLabels"].as_object().context("matchLabels")?;
    ensure!(selector.iter().all(|(key, value)| &service["metadata"]["labels"][key] == value), "{monitor}");
    ensure!(monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"], "{monitor}");
    Ok(())
}

async fn wrong_values_are_refused_by_the_schema(world: World) -> anyhow::Result<()> {
    ensure!(helm(&world, json!({"do": "validate", "values": preset()?})).await?.is_ok());
    for (wrong, named) in [
        (json!({"replicas": 0}), "replicas"),
        (json!({"replicas": "two"}), "replicas"),
        (json!({"replica": 1}), "replica"),
        (json!({"image": {"repository": "x", "tag": "a b"}}), "tag"),
        (json!({"image": {"repository": "x", "digest": "latest"}}), "digest"),
        (json!({"image": {"repository": "x", "pullPolicy": "Sometimes"}}), "pullPolicy"),
        (json!({"service": {"port": 99999}}), "port"),
        (json!({"dryRun": "yes"}), "dryRun"),
        (json!({"config": {"guards": {}}}), "config"),
        (json!({"dashboards": {"files": {"Not A Name": "{}"}}}), "Not A Name"),
        (json!({"networkPolicy": {"egressPorts": []}}), "egressPorts"),
        (json!({"podAnnotations": {"a": 1}}), "podAnnotations"),
        (json!({"env": [{"value": "x"}]}), "env"),
    ] {
        let error = helm(&world, json!({"do": "validate", "values": with(wrong.clone())?})).await?;
        let Err(error) = error else { bail!("{wrong} was accepted") };
        ensure!(error.contains(named), "{wrong}: {error}");
    }
    Ok(())
}

async fn what_cannot_work_is_refused_with_what_to_do(world: World) -> anyhow::Result<()> {
    let another = std::fs::read_to_string(manifests::deploy("overlays/example/rbac.yaml"))?;
    let alone = std::fs::read_to_string(manifests::deploy("../config/minimal.yaml"))?;
    let preset = std::fs::read_to_string(manifests::deploy("overlays/sealos/rbac.yaml"))?;
    let for_another = preset.replace(
        "kind: ServiceAccount, name: ripcord, namespace: sealos-system",
        "kind: ServiceAccount, name: ripcord, namespace: x",
    );
    ensure!(for_another != preset);
    let object = std::fs::read_to_string(manifests::deploy("prometheus/prometheusrule.yaml"))?;
    for (wrong, said) in [
        (json!({"config": ""}), "install with --set-file config=ripcord.yaml"),
        (json!({"config": "a: [b"}), "config is no YAML"),
        (json!({"roles": ""}), "ripcord render rbac"),
        (json!({"roles": another}), "make it anew with --service-account sealos-system/ripcord"),
        (json!({"serviceAccount": {"name": "other"}}), "grants nothing to the ServiceAccount other"),
        // The Role's own name and namespace are not whom it is for.
        (json!({"roles": for_another}), "grants nothing to the ServiceAccount ripcord of the namespace sealos-system"),
        (json!({"config": alone}), "replicas is more than 1, and config has no leader_election"),
        (json!({"ingress": {"enabled": true}}), "ingress.host is empty"),
        (json!({"prometheusRule": {"enabled": true}}), "ripcord render rules"),
        (json!({"prometheusRule": {"enabled": true, "rules": "groups: [a"}}), "prometheusRule.rules is no YAML"),
        // The whole object, which the chart makes itself.
        (json!({"prometheusRule": {"enabled": true, "rules": object}}), "prometheusRule.rules has no groups"),
    ] {
        let Err(error) = rendered(&world, "ripcord", &with(wrong)?).await? else { bail!("{said}: it was rendered") };
        ensure!(error.contains(said), "{error}");
    }
    // What others grant need not be given.
    let all = rendered(&world, "ripcord", &with(json!({"roles": "none"}))?).await?.map_err(|e| anyhow!(e))?;
    ensure!(!kinds(&all).contains(&"Role"));
    Ok(())
}

/// Without `leader_election` nothing keeps two from acting: an upgrade must not run the old pod beside the new one.
async fn one_without_a_lease_never_runs_beside_another(world: World) -> anyhow::Result<()> {
    let alone = std::fs::read_to_string(manifests::deploy("../config/minimal.yaml"))?;
    let values = with(json!({"config": alone, "replicas": 1}))?;
    let all = accepted(&world, "ripcord", &values).await?;
    let strategy = &of_kind(&all, "Deployment")?["spec"]["strategy"];
    ensure!(strategy == &json!({"type": "Recreate"}), "{strategy}");
    // One that takes its turn by the Lease can overlap.
    let all = rendered(&world, "ripcord", &with(json!({"replicas": 1}))?).await?.map_err(|e| anyhow!(e))?;
    let strategy = &of_kind(&all, "Deployment")?["spec"]["strategy"];
    ensure!(strategy["type"] == "RollingUpdate", "{strategy}");
    Ok(())
}

/// Two descriptions of one thing: they may differ in labels and in what the chart can set and the base cannot.
async fn it_installs_what_kustomize_installs(world: World) -> anyhow::Result<()> {
    let chart = rendered(&world, "ripcord", &preset()?).await?.map_err(|e| anyhow!(e))?;
    let base = kustomize::rendered(&world, "overlays/sealos").await?;
    for kind in
        ["Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "ServiceAccount"]
    {
        let (mut chart, mut base) = (of_kind(&chart, kind)?.clone(), of_kind(&base, kind)?.clone());
        for manifest in [&mut chart, &mut base] {
            forget(manifest, &["labels", "selector", "matchLabels", "labelSelector", "podSelector"]);
            if kind == "Deployment" {
                let pod = &mut manifest["spec"]["template"];
                pod["metadata"]["annotations"].as_object_mut().context("annotations")?.remove("checksum/config");
                let container = &mut pod["spec"]["containers"][0];
                container["env"].as_array_mut().context("env")?.retain(|v| v["name"] != "RIPCORD_LOG");
                container.as_object_mut().context("a container")?.remove("imagePullPolicy");
                pod["spec"]["volumes"][0]["projected"]["sources"][0]["configMap"]["name"] = json!("ripcord-config");
            }
        }
        ensure!(
            chart == base,
            "{kind}: {}",
            similar::TextDiff::from_lines(format!("{base:#}"), format!("{chart:#}")).unified_diff()
        );
    }
    Ok(())
}

/// Takes keys out, wherever they are.
fn forget(value: &mut Value, keys: &[&str]) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !keys.contains(&key.as_str()));
            map.values_mut().for_each(|v| forget(v, keys));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| forget(v, keys)),
        _ => {}
    }
}

async fn a_release_is_installed_upgraded_put_back_and_removed(world: World) -> anyhow::Result<()> {
    let kubeconfig = world.apiserver.kubeconfig(&world.dir, world.apiserver.admin_identity())?;
    let here = |text: &Value| json!(text.as_str().unwrap_or_default().replace("sealos-system", &world.namespace));
    let mut values = preset()?;
    values["config"] = here(&values["config"]);
    values["roles"] = here(&values["roles"]);
    let run = async |what: &str, values: &Value| {
        let request = json!({
            "do": what, "name": "ripcord", "namespace": world.namespace, "kubeconfig": kubeconfig, "values": values,
        });
        helm(&world, request).await?.map_err(|e| anyhow!("{what}: {e}"))
    };
    let checksum = async || -> anyhow::Result<Option<String>> {
        let template = world.api::<Deployment>().get("ripcord").await?.spec.template;
        Ok(template.metadata.and_then(|m| m.annotations).and_then(|a| a.get("checksum/config").cloned()))
    };

    run("install", &values).await?;
    let first = checksum().await?;
    ensure!(first.is_some());
    ensure!(
        world.api::<ConfigMap>().get("ripcord-config").await?.data.context("data")?["ripcord.yaml"] == values["config"]
    );

    let changed = json!(format!("{}\n# changed\n", values["config"].as_str().unwrap_or_default()));
    values["config"] = changed;
    run("upgrade", &values).await?;
    let second = checksum().await?;
    ensure!(second != first, "a change of the configuration must restart the pods");

    run("rollback", &values).await?;
    ensure!(checksum().await? == first, "the release before");

    run("uninstall", &values).await?;
    ensure!(world.api::<Deployment>().get_opt("ripcord").await?.is_none());
    ensure!(world.api::<ConfigMap>().get_opt("ripcord-config").await?.is_none());
    ensure!(world.api::<Service>().get_opt("ripcord").await?.is_none());
    ensure!(world.api::<ServiceAccount>().get_opt("ripcord").await?.is_none());
    ensure!(world.api::<NetworkPolicy>().get_opt("ripcord").await?.is_none());
    ensure!(world.api::<Role>().get_opt("ripcord").await?.is_none());
    ensure!(world.api::<RoleBinding>().get_opt("ripcord").await?.is_none());
    Ok(())
}
