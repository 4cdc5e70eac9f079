//! `ripcord backup` and `restore`: what was there is put back, byte for byte, and nothing else is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use ripcord::config::ObjectName;
use ripcord::kubernetes::Cluster;
use ripcord::notify::Contents;
use ripcord::state::{ConfigMapPlace, FilePlace, Place as _};
use serde_json::{Value, json};

use super::stage::{COMPONENT, GUARD};
use crate::stories;
use crate::support::apiserver::{ApiProxy, Identity, rule};
use crate::support::controller::{Controller, Rollout, finished};
use crate::support::fixtures::{Config, config_map, create_deployment, set_data, set_share};
use crate::support::proxy::Fault;
use crate::support::ripcord::{Ended, run_to_end};
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![
        what_was_changed_is_put_back,
        what_was_deleted_is_created_again,
        what_others_wrote_meanwhile_stays,
        a_change_after_the_diff_is_left_alone,
        a_person_is_asked_on_a_terminal,
        a_folder_that_is_not_right_is_refused,
        what_cannot_be_read_is_named_and_nothing_is_written,
        the_routing_of_istio_belongs_to_it,
        a_cluster_without_istio_is_no_failure,
        what_an_incident_found_is_written_beside_the_daemon,
    ]
}

/// The ConfigMap of the component.
const SETTINGS: &str = "terminal-controller-config";

const INGRESS: &str = "terminal";

/// Enough for an API server that has to take up new kinds.
const SOON: Duration = Duration::from_secs(30);

/// What a reader of YAML could take for something else.
const STRANGE: [(&str, &str); 22] = [
    ("zero", "0"),
    ("on", "on"),
    ("y", "y"),
    ("NO", "No"),
    ("1e3", "1e3"),
    ("0x1F", "0x1F"),
    ("1_000", "1_000"),
    ("012", "012"),
    ("2026-01-02", "2026-01-02"),
    ("null", "null"),
    ("tilde", "~"),
    ("empty", ""),
    ("time", "1:30"),
    ("blanks", "  both ends  "),
    ("tab", "\tkey:\tvalue\n"),
    ("app.conf", "listen 80;\n  deep: yes\n\n# end\n"),
    ("no-end", "a\nb"),
    ("many-ends", "a\n\n\n"),
    ("windows", "a\r\nb\r\n"),
    ("quotes", "\"'\\ #x: - {a} [b] *c &d !e %f @g `h"),
    ("unicode", "Grüße 你好 \u{1f600}\u{85}\u{2028}\u{feff}"),
    ("---", "---\nkind: Secret\n"),
];

fn api(world: &World, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(world.kube.clone(), &world.namespace, &resource)
}

fn ingresses(world: &World) -> Api<DynamicObject> {
    api(world, "networking.k8s.io", "v1", "Ingress")
}

fn settings(world: &World) -> ConfigMap {
    let mut object = config_map(&world.namespace, COMPONENT);
    object.data.get_or_insert_default().extend(STRANGE.map(|(key, value)| (key.to_owned(), value.to_owned())));
    object.binary_data = Some([("blob".to_owned(), ByteString((0..=255).collect()))].into());
    object
}

fn ingress(world: &World) -> DynamicObject {
    let backend = json!({"service": {"name": COMPONENT, "port": {"number": 8080}}});
    let value = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": INGRESS,
            "namespace": world.namespace,
            "annotations": {"nginx.ingress.kubernetes.io/ssl-redirect": "true", "weight": "100"},
        },
        "spec": {
            "ingressClassName": "nginx",
            "rules": [{"host": "terminal.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    });
    serde_json::from_value(value).expect("an Ingress")
}

/// What the backup is of, in a namespace; and what the stories do with it.
struct Site<'a> {
    world: &'a World,
    config: PathBuf,
    kubeconfig: PathBuf,
    dir: PathBuf,
}

impl<'a> Site<'a> {
    /// A component with its objects, and somebody who may back them up and put them back, and no more.
    async fn set(world: &'a World) -> anyhow::Result<Self> {
        create_deployment(world, COMPONENT).await?;
        world.create(&settings(world)).await?;
        ingresses(world).create(&PostParams::default(), &ingress(world)).await?;
        let config = configuration(world);
        let who = keeper(world).await?;
        Ok(Self {
            world,
            config: world.write("ripcord.yaml", &config.to_string())?,
            kubeconfig: world.apiserver.kubeconfig(&world.dir, &who)?,
            dir: world.dir.join("backup"),
        })
    }

    async fn run(&self, command: &str, args: &[&str]) -> anyhow::Result<Ended> {
        self.run_on(&self.dir, command, args).await
    }

    async fn run_on(&self, dir: &Path, command: &str, args: &[&str]) -> anyhow::Result<Ended> {
        let dir = dir.to_str().context("a path that is text")?;
        let mut all = vec![command, dir];
        if command == "backup" {
            all.extend(["--config", self.config.to_str().context("a path that is text")?]);
        }
        all.extend(args);
        run_to_end(self.world, Some(&self.kubeconfig), &all).await
    }

    /// Makes the backup, which must work.
    async fn backup(&self) -> anyhow::Result<Ended> {
        let ended = self.run("backup", &[]).await?;
        ensure!(ended.code() == 0, "{ended:?}");
        Ok(ended)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(&self.world.namespace).join(name)
    }

    /// The three objects as they are.
    async fn live(&self) -> anyhow::Result<BTreeMap<&'static str, Value>> {
        let mut all = BTreeMap::new();
        for (group, kind, name) in
            [("apps", "Deployment", COMPONENT), ("", "ConfigMap", SETTINGS), ("networking.k8s.io", "Ingress", INGRESS)]
        {
            if let Some(found) = api(self.world, group, "v1", kind).get_opt(name).await? {
                all.insert(kind, serde_json::to_value(found)?);
            }
        }
        Ok(all)
    }

    /// Somebody changes all three.
    async fn change(&self) -> anyhow::Result<()> {
        set_share(&self.world.api(), COMPONENT, "0").await?;
        let data = json!({"istio_percentage": "0", "on": null, "new": "x", "app.conf": "listen 81;\n"});
        set_data(&self.world.api(), SETTINGS, "somebody", &data).await?;
        let metadata = json!({"annotations": {"weight": "0", "new": "x"}, "labels": {"new": "x"}});
        let patch = json!({"metadata": metadata, "spec": {"rules": [{"host": "other.example.com"}]}});
        ingresses(self.world).patch(INGRESS, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }
}

fn configuration(world: &World) -> Config {
    Config::new(world, "http://127.0.0.1:9").set("http.listen", "127.0.0.1:0").guard(GUARD, COMPONENT).with_config_map()
}

/// Somebody with the rights that both commands need.
async fn keeper(world: &World) -> anyhow::Result<Identity> {
    let user = world.apiserver.new_user();
    let verbs = &["get", "list", "create", "update"];
    let istio = &["virtualservices", "gateways", "destinationrules"];
    let rules = [
        rule("apps", &["deployments"], verbs),
        rule("", &["configmaps"], verbs),
        rule("networking.k8s.io", &["ingresses"], verbs),
        rule("networking.istio.io", istio, verbs),
    ];
    world.allow(&user, &rules).await?;
    Ok(user)
}

/// Without what the server counts up at every write.
fn written(objects: &BTreeMap<&'static str, Value>) -> BTreeMap<&'static str, Value> {
    without(objects, &["resourceVersion", "generation", "managedFields"])
}

fn without(objects: &BTreeMap<&'static str, Value>, keys: &[&str]) -> BTreeMap<&'static str, Value> {
    let mut objects = objects.clone();
    for metadata in objects.values_mut().filter_map(|object| object["metadata"].as_object_mut()) {
        metadata.retain(|key, _| !keys.contains(&key.as_str()));
    }
    objects
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

async fn what_was_changed_is_put_back(world: World) -> anyhow::Result<()> {
    let site = Site::set(&world).await?;
    let before = site.live().await?;
    let ended = site.backup().await?;
    let files =
        ["configmap-terminal-controller-config.yaml", "deployment-terminal-controller.yaml", "ingress-terminal.yaml"];
    for name in files {
        let file = site.file(name);
        ensure!(ended.stdout.contains(&format!("{}\n", file.display())), "{ended:?}");
        ensure!(mode(&file)? == 0o600, "{file:?}");
        let text = fs::read_to_string(&file)?;
        let head = text.lines().next().unwrap_or_default();
        ensure!(head.starts_with("# ") && head.contains("(context test) by ripcord"), "{text}");
        for word in ["uid:", "resourceVersion", "managedFields", "creationTimestamp: \"", "status:"] {
            ensure!(!text.contains(word), "{word} in {text}");
        }
    }
    ensure!(mode(&site.dir)? == 0o700 && mode(&site.dir.join(&world.namespace))? == 0o700);

    let unchanged = site.run("restore", &["--yes"]).await?;
    ensure!(unchanged.code() == 0 && unchanged.stdout.contains("0 put back, 0 created, 3 unchanged"), "{unchanged:?}");
    ensure!(site.live().await? == before, "nothing is written where nothing differs");

    site.change().await?;
    let changed = site.live().await?;
    let dry = site.run("restore", &["--dry-run"]).await?;
    ensure!(dry.code() == 0 && dry.stdout.contains("would be put back: the API server takes it\n"), "{dry:?}");
    ensure!(
        dry.stdout.contains("--- now\n+++ ")
            && dry.stdout.contains("\n-          value: \"0\"\n+          value: \"25\"\n"),
        "{dry:?}"
    );
    ensure!(dry.stdout.contains("\n+  \"on\": \"on\"\n") && dry.stdout.contains("\n-  new: x\n"), "{dry:?}");
    ensure!(site.live().await? == changed, "a dry run changes nothing");

    let silent = site.run("restore", &[]).await?;
    ensure!(silent.code() == 2 && silent.stderr.contains("add --yes"), "{silent:?}");
    ensure!(site.live().await? == changed, "without a terminal and --yes nothing is changed");

    let ended = site.run("restore", &["--yes", "--output", "json"]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    let result: Value = serde_json::from_str(&ended.stdout)?;
    for object in result["objects"].as_array().context("objects")? {
        ensure!(object["result"] == "replaced" && object["as_written"] == true, "{result}");
    }
    let after = site.live().await?;
    ensure!(written(&after) == written(&before), "before {before:?}\nafter {after:?}");
    let manager = |object: &Value| object["metadata"]["managedFields"].to_string().contains("\"ripcord\"");
    ensure!(after.values().all(manager), "{after:?}");
    Ok(())
}

async fn what_was_deleted_is_created_again(world: World) -> anyhow::Result<()> {
    let site = Site::set(&world).await?;
    let before = site.live().await?;
    site.backup().await?;
    world.api::<ConfigMap>().delete(SETTINGS, &DeleteParams::default()).await?;
    world.api::<Deployment>().delete(COMPONENT, &DeleteParams::background()).await?;
    ingresses(&world).delete(INGRESS, &DeleteParams::default()).await?;
    ensure!(site.live().await?.is_empty());

    let dry = site.run("restore", &["--dry-run"]).await?;
    ensure!(dry.code() == 0 && dry.stdout.contains("is missing: will be created\n"), "{dry:?}");
    ensure!(dry.stdout.contains("dry run, nothing was changed: 0 to put back, 3 to create, 0 unchanged"), "{dry:?}");
    ensure!(site.live().await?.is_empty(), "a dry run creates nothing");
    let ended = site.run("restore", &["--yes"]).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("0 put back, 3 created, 0 unchanged, 0 failed"), "{ended:?}");
    let after = site.live().await?;
    let new = ["uid", "creationTimestamp"];
    let (wanted, after) = (without(&written(&before), &new), without(&written(&after), &new));
    ensure!(after == wanted, "wanted {wanted:?}\nafter {after:?}");
    Ok(())
}

/// The status, finalizers, owners, and the annotations in which others remember what they did.
async fn what_others_wrote_meanwhile_stays(world: World) -> anyhow::Result<()> {
    let _controller = Controller::start(&world, Rollout::Finish(Duration::ZERO))?;
    let site = Site::set(&world).await?;
    finished(&world, COMPONENT).await?;
    site.backup().await?;
    let before = site.live().await?;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": SETTINGS, "uid": before["ConfigMap"]["metadata"]["uid"]}]);
    let annotations = json!({
        "kubectl.kubernetes.io/last-applied-configuration": "{\"theirs\": true}",
        "deployment.kubernetes.io/revision": "7",
        "somebody": "new",
    });
    let metadata = json!({"ownerReferences": owner, "finalizers": ["example.com/keep"], "annotations": annotations});
    let patch = Patch::Merge(json!({"metadata": metadata, "spec": {"replicas": 5}}));
    world.api::<Deployment>().patch(COMPONENT, &PatchParams::default(), &patch).await?;
    finished(&world, COMPONENT).await?;
    let changed = site.live().await?["Deployment"].clone();

    let ended = site.run("restore", &["--yes"]).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("1 put back, 0 created, 2 unchanged"), "{ended:?}");
    ensure!(!ended.stdout.contains("theirs"), "what stays is no difference: {ended:?}");
    let after = site.live().await?["Deployment"].clone();
    ensure!(after["spec"] == before["Deployment"]["spec"], "{after}");
    for key in ["uid", "ownerReferences", "finalizers", "creationTimestamp"] {
        ensure!(after["metadata"][key] == changed["metadata"][key], "{key}: {after}");
    }
    let annotations = &after["metadata"]["annotations"];
    ensure!(annotations["kubectl.kubernetes.io/last-applied-configuration"] == "{\"theirs\": true}", "{annotations}");
    ensure!(
        annotations["deployment.kubernetes.io/revision"] == "7" && annotations["somebody"].is_null(),
        "{annotations}"
    );
    ensure!(after["status"]["replicas"].is_number(), "{after}");

    // With its finalizer it stays while it is being deleted. What is put there would go with it.
    set_share(&world.api(), COMPONENT, "0").await?;
    world.api::<Deployment>().delete(COMPONENT, &DeleteParams::background()).await?;
    let going = site.live().await?;
    let ended = site.run("restore", &["--yes"]).await?;
    ensure!(ended.code() == 1 && ended.stderr.contains("is being deleted, so it was left alone"), "{ended:?}");
    ensure!(site.live().await?["Deployment"]["spec"] == going["Deployment"]["spec"]);
    Ok(())
}

async fn a_change_after_the_diff_is_left_alone(world: World) -> anyhow::Result<()> {
    let mut site = Site::set(&world).await?;
    site.backup().await?;
    site.change().await?;
    let proxy = ApiProxy::start(&world).await?;
    site.kubeconfig = proxy.kubeconfig(&world, &keeper(&world).await?)?;
    let deployments = world.api::<Deployment>();
    let sets = move || {
        let deployments = deployments.clone();
        async move { drop(set_share(&deployments, COMPONENT, "50").await.expect("to set a share")) }
    };
    let is_put = |r: &crate::support::proxy::Recorded| r.is("PUT", "/deployments/terminal-controller");
    proxy.rule_times(1, is_put, Fault::before(sets));

    let ended = site.run("restore", &["--yes"]).await?;
    ensure!(ended.code() == 1 && ended.stdout.contains("2 put back, 0 created, 0 unchanged, 1 failed"), "{ended:?}");
    let wanted =
        format!("Deployment {}/{COMPONENT} was changed since it was shown, so it was left alone", world.namespace);
    ensure!(ended.stderr.contains(&wanted), "{ended:?}");
    ensure!(proxy.count(is_put) == 1, "it is not tried again");
    let share = site.live().await?["Deployment"].to_string();
    ensure!(share.contains("\"value\":\"50\""), "{share}");
    // Its status is what the proxy is for; that the server takes part in a dry run is seen there too.
    let dry = site.run("restore", &["--dry-run"]).await?;
    ensure!(dry.code() == 0, "{dry:?}");
    ensure!(proxy.requests().iter().rfind(|r| is_put(r)).is_some_and(|r| r.is_dry_run()));
    Ok(())
}

async fn a_person_is_asked_on_a_terminal(world: World) -> anyhow::Result<()> {
    let site = Site::set(&world).await?;
    site.backup().await?;
    let before = site.live().await?;
    site.change().await?;
    let changed = site.live().await?;
    for (answer, code) in [("no", 1), ("yes", 0)] {
        let program = format!("{} restore {}", env!("CARGO_BIN_EXE_ripcord"), site.dir.display());
        let mut command = Command::new("sh");
        // `script` gives it a terminal, types what it is given, and ends as the program does.
        let typed = format!("echo {answer} | script -qec '{program}' {answer}.log");
        command.arg("-c").arg(typed).env("KUBECONFIG", &site.kubeconfig).current_dir(&world.dir);
        let mut child = world.spawn(&format!("terminal-{answer}"), &mut command)?;
        let ended = child.wait(SOON).await?;
        let shown = fs::read_to_string(world.dir.join(format!("{answer}.log")))?;
        ensure!(ended.code() == Some(code), "{ended:?}: {shown}");
        ensure!(shown.contains("Type yes to put back 3 objects on "), "{shown}");
        ensure!(shown.contains("--- now"), "it is asked after it was shown: {shown}");
        let wanted = if answer == "yes" { &before } else { &changed };
        ensure!(written(&site.live().await?) == written(wanted), "{answer}: {shown}");
    }
    Ok(())
}

async fn a_folder_that_is_not_right_is_refused(world: World) -> anyhow::Result<()> {
    let site = Site::set(&world).await?;
    site.backup().await?;
    let file = site.file("deployment-terminal-controller.yaml");
    let text = fs::read_to_string(&file)?;
    let again = site.run("backup", &[]).await?;
    ensure!(again.code() == 2 && again.stderr.contains("is not empty"), "{again:?}");
    ensure!(fs::read_to_string(&file)? == text, "the first backup is left alone");

    site.change().await?;
    let changed = site.live().await?;
    fs::write(site.dir.join("odd.yaml"), "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\n")?;
    fs::write(site.file("broken.yaml"), "a: [\n")?;
    let refused = site.run("restore", &["--yes"]).await?;
    ensure!(refused.code() == 2 && refused.stdout.is_empty(), "{refused:?}");
    for wanted in ["odd.yaml: is Secret of v1", "broken.yaml: is no YAML", "nothing was changed"] {
        ensure!(refused.stderr.contains(wanted), "{wanted}: {refused:?}");
    }
    ensure!(site.live().await? == changed);
    let gone = site.run_on(&world.dir.join("gone"), "restore", &["--yes"]).await?;
    ensure!(gone.code() == 2, "{gone:?}");
    let both = site.run("restore", &["--yes", "--dry-run"]).await?;
    ensure!(both.code() == 2, "{both:?}");
    Ok(())
}

async fn what_cannot_be_read_is_named_and_nothing_is_written(world: World) -> anyhow::Result<()> {
    let mut site = Site::set(&world).await?;
    let user = world.apiserver.new_user();
    world.allow(&user, &[rule("apps", &["deployments"], &["get"])]).await?;
    let able = std::mem::replace(&mut site.kubeconfig, world.apiserver.kubeconfig(&world.dir, &user)?);
    let refused = site.run("backup", &[]).await?;
    ensure!(refused.code() == 1 && refused.stdout.is_empty(), "{refused:?}");
    for right in [format!("get on configmaps/{SETTINGS}"), "list on ingresses".to_owned()] {
        let wanted = format!("grant {right} in namespace {}", world.namespace);
        ensure!(refused.stderr.contains(&wanted), "{wanted}: {refused:?}");
    }
    let left = fs::read_dir(&world.dir)?.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let left: Vec<String> = left.filter(|name| name.contains("backup")).collect();
    ensure!(left.is_empty(), "{left:?}");

    // One that is not there is a failure, unless it is optional.
    world.api::<ConfigMap>().delete(SETTINGS, &DeleteParams::default()).await?;
    site.kubeconfig = able;
    let refused = site.run("backup", &[]).await?;
    ensure!(refused.code() == 1 && refused.stderr.contains(&format!("{SETTINGS}: it does not exist")), "{refused:?}");
    ensure!(!site.dir.exists());
    let config = configuration(&world).set("defaults.traffic.1.config_map.optional", true);
    fs::write(&site.config, config.to_string())?;
    let ended = site.backup().await?;
    ensure!(ended.stderr.contains("does not exist; it is optional"), "{ended:?}");
    ensure!(ended.stdout.lines().count() == 2, "{ended:?}");

    // Nobody may put back what only others may write.
    set_share(&world.api(), COMPONENT, "0").await?;
    let reader = world.apiserver.new_user();
    let rules = [rule("apps", &["deployments"], &["get"]), rule("networking.k8s.io", &["ingresses"], &["get"])];
    world.allow(&reader, &rules).await?;
    site.kubeconfig = world.apiserver.kubeconfig(&world.dir, &reader)?;
    let refused = site.run("restore", &["--yes"]).await?;
    let wanted = format!("grant update on deployments/{COMPONENT} in namespace {}", world.namespace);
    ensure!(refused.code() == 1 && refused.stderr.contains(&wanted), "{refused:?}");
    Ok(())
}

/// Installs three of Istio's kinds, of any content, if nobody has.
async fn install_istio(world: &World) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(world.kube.clone());
    for kind in ["VirtualService", "Gateway", "DestinationRule"] {
        let (singular, plural) = (kind.to_lowercase(), format!("{}s", kind.to_lowercase()));
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let parts = json!({"spec": anything, "status": anything});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": parts}});
        let version =
            |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": schema});
        let definition: CustomResourceDefinition = serde_json::from_value(json!({
            "metadata": {"name": format!("{plural}.networking.istio.io")},
            "spec": {
                "group": "networking.istio.io",
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": singular, "listKind": format!("{kind}List")},
                "versions": [version("v1", true), version("v1beta1", false)],
            },
        }))?;
        match api.create(&PostParams::default(), &definition).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            other => drop(other?),
        }
    }
    eventually(SOON, "the API server has Istio's kinds", async || {
        let served = world.kube.list_api_group_resources("networking.istio.io/v1beta1").await?;
        let kinds = ["virtualservices", "gateways", "destinationrules"];
        ensure!(kinds.iter().all(|kind| served.resources.iter().any(|r| r.name == *kind)), "{served:?}");
        for kind in ["VirtualService", "Gateway", "DestinationRule"] {
            api_list(world, kind).await?;
        }
        anyhow::Ok(())
    })
    .await
}

async fn api_list(world: &World, kind: &str) -> anyhow::Result<Vec<DynamicObject>> {
    Ok(api(world, "networking.istio.io", "v1beta1", kind).list(&kube::api::ListParams::default()).await?.items)
}

async fn the_routing_of_istio_belongs_to_it(world: World) -> anyhow::Result<()> {
    install_istio(&world).await?;
    let site = Site::set(&world).await?;
    let specs = [
        (
            "VirtualService",
            json!({"hosts": ["terminal"], "http": [{"route": [{"destination": {"host": "a"}, "weight": 25}]}]}),
        ),
        ("Gateway", json!({"selector": {"istio": "ingressgateway"}, "servers": [{"hosts": ["*"]}]})),
        ("DestinationRule", json!({"host": "terminal", "subsets": [{"name": "v1", "labels": {"version": "1"}}]})),
    ];
    for (kind, spec) in &specs {
        let object = json!({
            "apiVersion": "networking.istio.io/v1beta1",
            "kind": kind,
            "metadata": {"name": "terminal"},
            "spec": spec,
            "status": {"seen": true},
        });
        api(&world, "networking.istio.io", "v1beta1", kind)
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
    }
    let ended = site.backup().await?;
    ensure!(ended.stdout.lines().count() == 6 && ended.stderr.is_empty(), "{ended:?}");

    let routes = api(&world, "networking.istio.io", "v1beta1", "VirtualService");
    let patch = json!({"spec": {"http": [{"route": [{"destination": {"host": "a"}, "weight": 99}]}]}});
    routes.patch("terminal", &PatchParams::default(), &Patch::Merge(patch)).await?;
    api(&world, "networking.istio.io", "v1beta1", "Gateway").delete("terminal", &DeleteParams::default()).await?;
    // A file of the older version is as good.
    let file = site.file("destinationrule-terminal.yaml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replace("networking.istio.io/v1\n", "networking.istio.io/v1beta1\n"))?;
    let ended = site.run("restore", &["--yes"]).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("1 put back, 1 created, 4 unchanged, 0 failed"), "{ended:?}");
    for (kind, spec) in &specs {
        let after = api(&world, "networking.istio.io", "v1beta1", kind).get("terminal").await?;
        ensure!(after.data["spec"] == *spec, "{after:?}");
    }
    let after = routes.get("terminal").await?;
    ensure!(after.data["status"] == json!({"seen": true}) || after.data["status"].is_null(), "{after:?}");
    Ok(())
}

async fn a_cluster_without_istio_is_no_failure(world: World) -> anyhow::Result<()> {
    let mut site = Site::set(&world).await?;
    let proxy = ApiProxy::start(&world).await?;
    site.kubeconfig = proxy.kubeconfig(&world, &keeper(&world).await?)?;
    // Other stories install it on the same API server.
    let hide = |answer: &mut Value| {
        if let Some(groups) = answer["groups"].as_array_mut() {
            groups.retain(|group| group["name"] != "networking.istio.io");
        }
    };
    proxy.rule(|r| r.method == "GET" && r.path == "/apis", Fault::edit(hide));
    let ended = site.backup().await?;
    let said: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("Istio")).collect();
    ensure!(said.len() == 1 && said[0].contains("CustomResourceDefinitions are not installed"), "{ended:?}");
    ensure!(ended.stdout.lines().count() == 3, "{ended:?}");
    Ok(())
}

/// A document of the state with an incident that kept these objects.
fn document(id: &str, snapshot: &Value) -> anyhow::Result<String> {
    let time = "2026-01-02T03:04:05Z";
    let incident = json!({
        "id": id, "guard": GUARD, "opened_at": time, "closed_at": time, "kind": "rollback", "reason": "error rate", "triggers": [],
        "from_percentage": 25, "to_percentage": 0, "attempt": 1, "steps": [], "error": null, "accepted_at": time, "completed_at": time,
        "verification": null, "acknowledged_at": null, "timeline": [], "failures": 0, "pages": 1, "fresh_clear_since": null,
        "seen_above_target": 0, "reverted": false, "snapshot": snapshot,
    });
    let document = json!({
        "version": 1, "writer": "the daemon", "saved_at": time,
        "engine": {"guards": {GUARD: {"closed": [incident]}}},
        "outbox": serde_json::to_value(Contents::default())?,
    });
    Ok(document.to_string())
}

async fn what_an_incident_found_is_written_beside_the_daemon(world: World) -> anyhow::Result<()> {
    let site = Site::set(&world).await?;
    let cluster = Cluster::from_config(world.apiserver.config(world.apiserver.admin_identity()).await?).await?;
    let steps = ripcord::config::load(std::slice::from_ref(&site.config), [], ripcord::config::LoadOptions::default())
        .map_err(|findings| anyhow::anyhow!("{findings:?}"))?
        .guards
        .remove(0)
        .steps;
    let (saved, errors) = cluster.snapshot(&steps, &[]).await;
    ensure!(saved.len() == 2 && errors.is_empty(), "{errors:?}");
    let before = site.live().await?;
    site.change().await?;

    let text = document("terminal-1", &serde_json::to_value(&saved)?)?;
    // The lock is held, as by a daemon that runs.
    let mut place = FilePlace::open(&world.dir.join("ripcord-state.json"))?;
    place.write(text.clone()).await?;
    let unknown = site.run("backup", &["--incident", "terminal-2"]).await?;
    ensure!(unknown.code() == 2 && unknown.stderr.contains("there are terminal-1"), "{unknown:?}");
    ensure!(!site.dir.exists());
    let ended = site.run("backup", &["--incident", "terminal-1"]).await?;
    ensure!(ended.code() == 0 && ended.stdout.lines().count() == 2, "{ended:?}");
    let head = fs::read_to_string(site.file("deployment-terminal-controller.yaml"))?;
    ensure!(head.contains(" as it was before incident terminal-1, kept"), "{head}");

    // The same from a ConfigMap, by who may only read it.
    let name = ObjectName { namespace: world.namespace.clone(), name: "ripcord-state".to_owned() };
    ConfigMapPlace::new(cluster, &name).write(text).await?;
    let config = configuration(&world)
        .unset("state.file")
        .set("state.config_map", json!({"namespace": world.namespace, "name": "ripcord-state"}));
    fs::write(&site.config, config.to_string())?;
    let other = world.dir.join("from-config-map");
    let ended = site.run_on(&other, "backup", &["--incident", "terminal-1", "--output", "json"]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    let result: Value = serde_json::from_str(&ended.stdout)?;
    ensure!(result["written"].as_array().is_some_and(|list| list.len() == 2), "{result}");
    for name in ["deployment-terminal-controller.yaml", "configmap-terminal-controller-config.yaml"] {
        let file = other.join(&world.namespace).join(name);
        ensure!(fs::read_to_string(file)? == fs::read_to_string(site.file(name))?, "{name}");
    }

    let ended = site.run("restore", &["--yes"]).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("2 put back"), "{ended:?}");
    let (before, after) = (written(&before), written(&site.live().await?));
    ensure!(after["Deployment"] == before["Deployment"] && after["ConfigMap"] == before["ConfigMap"], "{after:?}");
    Ok(())
}
