//! Before Ripcord is relied on: what would not work tonight is said this afternoon, and nobody is paged for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::stage::{COMPONENT, GUARD, LONG, Stage};
use crate::deploy;
use crate::stories;
use crate::support::apiserver::rule;
use crate::support::fixtures::{self, Config, LISTEN};
use crate::support::hook::Behaviour;
use crate::support::mailbox::{Mailbox, PASSWORD, Security};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::Fault;
use crate::support::ripcord::{Ended, run_to_end};
use crate::support::tls::Authority;
use crate::support::{Story, World, eventually, ports};

const TO: [&str; 2] = ["a@sealos.test", "b@sealos.test"];

pub fn trials() -> Vec<Story> {
    stories![
        all_is_well_and_nobody_is_paged,
        whatever_is_broken_is_named,
        an_expired_certificate_is_named_and_its_key_is_not_shown,
        what_cert_manager_could_not_renew_is_named,
        a_permission_that_is_missing_is_named,
        a_control_plane_that_is_not_ready_is_named,
        a_test_is_sent_when_it_is_asked_for,
        what_is_typed_wrong_is_bad_input,
    ]
}

/// The stage, a mailbox with a login, and a configuration that has everything.
async fn set(world: &World) -> anyhow::Result<(Stage<'_>, Mailbox, Config)> {
    let stage = Stage::set(world).await?;
    let mailbox = Mailbox::start(world, Security::StartTls, true).await?;
    let namespace = &world.namespace;
    let config = stage
        .config()
        .email(world, "sre", &mailbox, Security::StartTls, true, &TO)?
        .set("heartbeat", json!({"url": stage.hook.url("/beat"), "interval": "1m"}))
        .unset("state.file")
        .set("state.config_map", json!({"namespace": namespace, "name": "ripcord-state"}))
        .set("leader_election", json!({"lease": {"namespace": namespace, "name": "ripcord"}}));
    // The shortest window must hold enough of them, now that they have only just begun.
    let scrapes = format!("min(count_over_time(istio_requests_total{{destination_workload=\"{COMPONENT}\"}}[4s]))");
    eventually(LONG, "the windows are filled", async || {
        let count = stage.prometheus.query_opt(&scrapes).await.map_err(|e| e.to_string())?;
        if count.is_some_and(|count| count >= 4.0) { Ok(()) } else { Err(format!("{count:?}")) }
    })
    .await?;
    Ok((stage, mailbox, config))
}

/// Runs it.
async fn preflight(world: &World, kubeconfig: Option<&Path>, config: &Config, more: &[&str]) -> anyhow::Result<Ended> {
    let text = config.to_string().replace(LISTEN, "127.0.0.1:0");
    let file = world.new_dir("preflight")?.join("ripcord.yaml");
    std::fs::write(&file, text)?;
    let file = file.display().to_string();
    let args: Vec<&str> = ["preflight", "--config", &file].into_iter().chain(more.iter().copied()).collect();
    run_to_end(world, kubeconfig, &args).await
}

/// What it found, as a script reads it.
async fn found(world: &World, kubeconfig: Option<&Path>, config: &Config) -> anyhow::Result<(i32, Vec<Value>)> {
    let ended = preflight(world, kubeconfig, config, &["--output", "json"]).await?;
    let list: Vec<Value> = serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    for check in &list {
        let hint = check["hint"].as_str().unwrap_or_default();
        ensure!((check["result"] == "ok") == hint.is_empty(), "what is not well says what to do: {check}");
    }
    Ok((ended.code(), list))
}

/// The areas that have a failure.
fn failed(list: &[Value]) -> BTreeSet<&str> {
    list.iter().filter(|check| check["result"] == "fail").filter_map(|check| check["area"].as_str()).collect()
}

/// Whether a failure says all of this, in whatever field.
fn says(list: &[Value], words: &[&str]) -> bool {
    list.iter()
        .filter(|check| check["result"] == "fail")
        .any(|check| words.iter().all(|word| check.to_string().contains(word)))
}

/// It must fail in just these areas, and say these words in one failure.
async fn fails(
    world: &World,
    kubeconfig: Option<&Path>,
    config: &Config,
    areas: &[&str],
    words: &[&str],
) -> anyhow::Result<()> {
    let (code, list) = found(world, kubeconfig, config).await?;
    ensure!(code == 1, "exit code {code}");
    ensure!(failed(&list) == areas.iter().copied().collect(), "{:?}, not {areas:?}: {list:#?}", failed(&list));
    ensure!(says(&list, words), "no failure says {words:?}: {list:#?}");
    Ok(())
}

async fn all_is_well_and_nobody_is_paged(world: World) -> anyhow::Result<()> {
    let (stage, mailbox, config) = set(&world).await?;
    let ended = preflight(&world, Some(&stage.kubeconfig), &config, &[]).await?;
    ensure!(ended.code() == 0, "{}\n{}", ended.stdout, ended.stderr);
    ensure!(!ended.stdout.contains("FAIL") && ended.stdout.trim_end().ends_with(", 0 failed"), "{}", ended.stdout);
    for line in [
        "terminal: error_rate",
        "terminal: scrapes in a window",
        "terminal: share",
        &format!("terminal: deployment_env {}/{COMPONENT}", world.namespace),
        "11 of 11 that the configuration needs",
    ] {
        ensure!(ended.stdout.contains(line), "nothing about {line:?}:\n{}", ended.stdout);
    }
    ensure!(!format!("{ended:?}").contains(PASSWORD), "a password is told");
    ensure!(ended.stderr.contains("prometheus: looked at"), "whoever waits is told how far it is: {}", ended.stderr);

    // It asked as a rollback would, and changed nothing.
    ensure!(stage.api.count(|r| r.method == "PATCH" && r.is_dry_run()) == 2, "both steps are rehearsed");
    ensure!(stage.api.count(|r| !matches!(r.method.as_str(), "GET" | "PATCH" | "POST")) == 0);
    ensure!(stage.api.count(|r| r.method == "POST" && !r.path.contains("selfsubjectaccessreviews")) == 0);
    ensure!(stage.patches() == 0);
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("25"));

    // Nobody heard of it.
    ensure!(mailbox.messages().is_empty(), "{:?}", mailbox.messages());
    ensure!(stage.hook.calls().is_empty());
    let calls = stage.hook.probes();
    let [call] = &calls[..] else { anyhow::bail!("{} calls of the hook", calls.len()) };
    ensure!((call.method.as_str(), call.path.as_str()) == ("OPTIONS", "/oncall"), "{call:?}");
    ensure!(call.raw.is_empty() && call.header("authorization").is_empty(), "{call:?}");
    Ok(())
}

async fn whatever_is_broken_is_named(world: World) -> anyhow::Result<()> {
    let (stage, mailbox, config) = set(&world).await?;
    let kubeconfig = Some(stage.kubeconfig.as_path());
    let check = async |config: &Config, areas: &[&str], words: &[&str]| {
        fails(&world, kubeconfig, config, areas, words).await.with_context(|| format!("{words:?}"))
    };

    let gone = format!("http://{}", ports::free_address());
    check(&config.clone().set("prometheus.url", gone.clone()), &["prometheus"], &["answers", &gone]).await?;
    let wrong_labels = config.clone().set(&format!("guards.{GUARD}.match"), json!({"destination_workload": "nobody"}));
    check(&wrong_labels, &["prometheus"], &["terminal: error_rate", "no series", "match"]).await?;
    let several = json!({"promql": "istio_requests_total", "above": 1e9, "action": "rollback"});
    let several = config.clone().set("defaults.triggers.several", several);
    check(&several, &["prometheus"], &["terminal: several", "series where one number is wanted"]).await?;
    // The confirm window is 4 s and holds one scrape at most; no rate can be made of that.
    let rare = Prometheus::builder(&world).target("mesh", stage.mesh.address()).interval(Duration::from_secs(5));
    let rare = rare.start().await?;
    let narrow = config.clone().set("prometheus.url", rare.url());
    check(&narrow, &["prometheus"], &["scrapes in a window", "in the confirm_window of", "widen"]).await?;

    let renamed = config.clone().set("defaults.traffic.0.deployment_env.container", "manager");
    check(&renamed, &["cluster"], &[&format!("deployment_env {}/{COMPONENT}", world.namespace), "manager"]).await?;
    let (code, list) = found(&world, None, &config).await?;
    ensure!(code == 1 && failed(&list) == ["cluster"].into(), "{list:#?}");
    ensure!(says(&list, &["API server", "no Kubernetes configuration"]), "{list:#?}");

    stage.hook.set(Behaviour::Status(503, None));
    check(&config, &["receivers"], &["oncall", "answered 503"]).await?;
    stage.hook.gone();
    check(&config, &["receivers"], &["oncall", "OPTIONS to"]).await?;
    stage.hook.back().await?;
    stage.hook.set(Behaviour::Accept);
    world.write("mail-password", "not the password")?;
    check(&config, &["receivers"], &["sre", "the login failed"]).await?;
    world.write("mail-password", PASSWORD)?;
    mailbox.gone();
    check(&config, &["receivers"], &["sre", "the connection failed"]).await?;
    mailbox.back().await?;

    let nowhere = config.clone().unset("leader_election").set("state", json!({"file": "/proc/self/x/state.json"}));
    check(&nowhere, &["state"], &["cannot write into /proc/self"]).await?;

    // It was each of these, and nothing else.
    let (code, list) = found(&world, kubeconfig, &config).await?;
    ensure!(code == 0, "{list:#?}");
    ensure!(mailbox.messages().is_empty() && stage.hook.calls().is_empty());
    ensure!(stage.patches() == 0);
    Ok(())
}

async fn an_expired_certificate_is_named_and_its_key_is_not_shown(world: World) -> anyhow::Result<()> {
    let (stage, _mailbox, config) = set(&world).await?;
    let authority = Authority::new("ripcord test authority")?;
    let kubeconfig = Some(stage.kubeconfig.as_path());
    let mut keys = Vec::new();
    for (name, year) in [("old", 2020), ("new", 2090)] {
        let made = authority.issue_until(&["shop.example"], year)?;
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": name},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": made.certificate, "tls.key": made.key},
        }))?;
        world.create(&secret).await?;
        keys.push(made.key);
    }
    // Who may not list Secrets is told so, and it is no failure: Ripcord has no need to.
    let (code, list) = found(&world, kubeconfig, &config).await?;
    ensure!(code == 0, "{list:#?}");
    let forbidden = |check: &&Value| check["area"] == "certificates" && check.to_string().contains("not permitted");
    ensure!(list.iter().any(|check| forbidden(&check) && check["result"] == "warn"), "{list:#?}");
    // Nobody is told to grant what should not be granted.
    ensure!(list.iter().filter(forbidden).all(|check| !check["detail"].to_string().contains("grant")), "{list:#?}");

    let user = deploy::least_identity(&world).await?;
    world.allow(&user, &[rule("", &["secrets"], &["list"])]).await?;
    let kubeconfig = world.apiserver.kubeconfig(&world.dir, &user)?;
    fails(&world, Some(&kubeconfig), &config, &["certificates"], &[": old", "expired at 2020-01-02"]).await?;
    let ended = preflight(&world, Some(&kubeconfig), &config, &[]).await?;
    ensure!(ended.stdout.contains("1 valid, the first one until 2090-01-02"), "{}", ended.stdout);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let secret_lines = keys.iter().flat_map(|key| key.lines());
    for line in secret_lines.filter(|line| !line.starts_with("-----")) {
        ensure!(!said.contains(line), "a part of a key is told");
    }
    ensure!(!said.contains("PRIVATE KEY"), "{said}");
    Ok(())
}

/// The API server of the tests has no cert-manager; the proxy in front of it answers in its place.
async fn what_cert_manager_could_not_renew_is_named(world: World) -> anyhow::Result<()> {
    let (stage, _mailbox, config) = set(&world).await?;
    let group = json!({
        "name": "cert-manager.io",
        "versions": [{"groupVersion": "cert-manager.io/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "cert-manager.io/v1", "version": "v1"},
    });
    let add = Fault::edit(move |groups| {
        if let Some(list) = groups["groups"].as_array_mut() {
            list.push(group.clone());
        }
    });
    stage.api.rule(|r| r.path == "/apis", add);
    let certificate = |name: &str, status: Value| {
        json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": name}, "spec": {"secretName": name}, "status": status,
        })
    };
    let list = json!({
        "apiVersion": "cert-manager.io/v1", "kind": "CertificateList", "metadata": {},
        "items": [
            certificate("renewed", json!({"notAfter": "2090-01-02T00:00:00Z"})),
            certificate("stuck", json!({"notAfter": "2020-01-02T00:00:00Z"})),
            certificate("new", json!({})),
        ],
    });
    let path = format!("/apis/cert-manager.io/v1/namespaces/{}/certificates", world.namespace);
    stage.api.rule(move |r| r.path == path, Fault::answer(200, &list.to_string()));
    let kubeconfig = Some(stage.kubeconfig.as_path());
    fails(&world, kubeconfig, &config, &["certificates"], &[": stuck", "expired at 2020-01-02"]).await?;
    let ended = preflight(&world, kubeconfig, &config, &[]).await?;
    for words in ["1 valid, the first one until 2090-01-02", ": new", "it was never issued"] {
        ensure!(ended.stdout.contains(words), "nothing about {words:?}:\n{}", ended.stdout);
    }
    Ok(())
}

/// One verb on one object is taken away after the other.
async fn a_permission_that_is_missing_is_named(world: World) -> anyhow::Result<()> {
    let (_stage, _mailbox, config) = set(&world).await?;
    let object = format!("{COMPONENT}-config");
    let ns = &world.namespace;
    let cases = [
        ("configmaps", object.as_str(), "patch", format!("patch on configmaps/{object} in namespace {ns}"), "cluster"),
        ("leases", "ripcord", "update", format!("update on leases/ripcord in namespace {ns}"), "permissions"),
        (
            "events",
            "",
            "create",
            format!("create on events (API group events.k8s.io) in namespace {ns}"),
            "permissions",
        ),
    ];
    for (resource, name, verb, wanted, also) in cases {
        let mut rules = deploy::least_rules()?;
        for rule in &mut rules {
            let has_name = rule.resource_names.iter().flatten().any(|n| n == name) || name.is_empty();
            if has_name && rule.resources.iter().flatten().any(|r| r == resource) {
                rule.verbs.retain(|v| v != verb);
            }
        }
        rules.retain(|rule| !rule.verbs.is_empty());
        let user = world.apiserver.new_user();
        world.allow(&user, &rules).await?;
        let kubeconfig = world.apiserver.kubeconfig(&world.dir, &user)?;
        let areas = BTreeSet::from(["permissions", also]).into_iter().collect::<Vec<_>>();
        let account = format!("--service-account {ns}/ripcord");
        let said = [wanted.as_str(), "not granted", "ripcord render rbac", &account];
        fails(&world, Some(&kubeconfig), &config, &areas, &said).await?;
    }
    Ok(())
}

async fn a_control_plane_that_is_not_ready_is_named(world: World) -> anyhow::Result<()> {
    let (_stage, _mailbox, config) = set(&world).await?;
    let kubeconfig = world.admin_kubeconfig()?;
    let all: Api<Namespace> = Api::all(world.kube.clone());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "istio-system"}}))?;
    match all.create(&PostParams::default(), &namespace).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(e) => return Err(e.into()),
    }
    // No other story looks into this namespace with rights to see it.
    let name = "istiod";
    let api: Api<Deployment> = Api::namespaced(world.kube.clone(), "istio-system");
    let mut istiod = fixtures::deployment("istio-system", name);
    istiod.metadata.labels = Some(BTreeMap::from([("app".to_owned(), "istiod".to_owned())]));
    api.create(&PostParams::default(), &istiod).await?;
    fails(&world, Some(&kubeconfig), &config, &["istio"], &[name, "0 of 2 pods ready"]).await?;
    let status = Patch::Merge(
        json!({"status": {"replicas": 2, "readyReplicas": 2, "updatedReplicas": 2, "availableReplicas": 2}}),
    );
    api.patch_status(name, &PatchParams::default(), &status).await?;
    let (code, list) = found(&world, Some(&kubeconfig), &config).await?;
    ensure!(code == 0, "{list:#?}");
    ensure!(list.iter().any(|check| check["area"] == "istio" && check["detail"] == "2 of 2 pods ready"), "{list:#?}");
    Ok(())
}

async fn a_test_is_sent_when_it_is_asked_for(world: World) -> anyhow::Result<()> {
    let (stage, mailbox, config) = set(&world).await?;
    // Whatever a receiver filters.
    let config = config.set("receivers.oncall.events", json!({"min_severity": "critical"}));
    let ended = preflight(&world, Some(&stage.kubeconfig), &config, &["--send-test"]).await?;
    ensure!(ended.code() == 0, "{}", ended.stdout);
    let sent: Vec<_> = stage.hook.calls().into_iter().filter(|call| call.method == "POST").collect();
    let [call] = &sent[..] else { anyhow::bail!("{} pages", sent.len()) };
    ensure!(call.body["severity"] == "info" && call.body["summary"].as_str().is_some_and(|s| s.starts_with("TEST ")));
    let messages = mailbox.messages();
    let to: Vec<&str> = messages.iter().flat_map(|m| m.to.iter().map(String::as_str)).collect();
    ensure!(BTreeSet::from_iter(to.iter().copied()) == BTreeSet::from(TO) && to.len() == TO.len(), "{to:?}");
    ensure!(messages.iter().all(|m| m.header("subject").contains("TEST of Ripcord")), "{messages:?}");

    // One that refuses it is a failure, and is not asked again.
    stage.hook.set_for(|body| !body.is_null(), Behaviour::Status(403, None));
    let ended = preflight(&world, Some(&stage.kubeconfig), &config, &["--send-test"]).await?;
    ensure!(ended.code() == 1 && ended.stdout.contains("oncall: test"), "{}", ended.stdout);
    ensure!(ended.stdout.contains("answered 403"), "{}", ended.stdout);
    ensure!(stage.hook.calls().iter().filter(|call| call.method == "POST").count() == 2);
    Ok(())
}

async fn what_is_typed_wrong_is_bad_input(world: World) -> anyhow::Result<()> {
    let config = Config::new(&world, "http://127.0.0.1:1").set("evaluation.interval", "soon");
    let ended = preflight(&world, None, &config, &[]).await?;
    ensure!(ended.code() == 2 && ended.stderr.contains("evaluation.interval"), "{ended:?}");
    ensure!(ended.stdout.is_empty(), "{ended:?}");
    let file = world.write("x.yaml", "guards: 1\n")?.display().to_string();
    for args in [
        &["render", "rbac", "--config", &file][..],
        &["render", "rbac", "--service-account", "no-slash"],
        &["preflight", "--config", "/nowhere/ripcord.yaml"],
    ] {
        let ended = run_to_end(&world, None, args).await?;
        ensure!(ended.code() == 2 && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
    Ok(())
}
