//! The objects that the cases work on, and the part of the controller manager that they need.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use ripcord::config::template::Template;
use ripcord::config::{self, DeploymentEnv, Step};
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::{ChangePlan, Cluster, Outcome, variables};
use serde_json::{Value, json};

use crate::api_server::ApiServer;

/// Where everything is.
pub const NAMESPACE: &str = "default";

pub struct World {
    pub server: ApiServer,
    /// May do everything.
    pub admin: Client,
    /// Ripcord with the rights that it needs and no others.
    pub cluster: Cluster,
}

impl World {
    pub async fn new() -> Self {
        let server = ApiServer::start().await;
        let admin = Client::try_from(server.config("admin")).expect("a client");
        let cluster = Cluster::from_config(server.config("ripcord")).await.expect("a cluster");
        let this = Self { server, admin, cluster };
        this.grant("ripcord", &["get", "patch"]).await;
        this.grant("reader", &["get"]).await;
        this
    }

    async fn grant(&self, user: &str, verbs: &[&str]) {
        let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
        let role = json!({
            "metadata": {"name": user},
            "rules": [
                {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs},
                {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs},
                {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": if verbs.contains(&"patch") { vec!["create"] } else { vec![] }},
            ],
        });
        let binding = json!({
            "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        // A rule needs a verb.
        let mut role = role;
        role["rules"].as_array_mut().expect("rules").retain(|r| r["verbs"].as_array().is_some_and(|v| !v.is_empty()));
        self.post(&format!("{rbac}/roles"), &role).await;
        self.post(&format!("{rbac}/rolebindings"), &binding).await;
        // The authorizer learns of a new role from a watch.
        let probe = Client::try_from(self.server.config(user)).expect("a client");
        let deployments: Api<Deployment> = Api::namespaced(probe, NAMESPACE);
        while deployments.get_opt("nothing").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn post(&self, path: &str, body: &Value) {
        let request = axum::http::Request::post(path)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body).expect("JSON"))
            .expect("a request");
        let _: Value = self.admin.request(request).await.unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    pub fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.admin.clone(), NAMESPACE)
    }

    pub fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.admin.clone(), NAMESPACE)
    }

    /// Creates [`manifest`], after `adjust` has had its way with it.
    pub async fn deployment(&self, name: &str, adjust: impl FnOnce(&mut Value)) {
        create_deployment(&self.deployments(), name, adjust).await;
    }

    pub async fn config_map(&self, name: &str, object: Value) {
        let mut object = object;
        object["metadata"] = json!({"name": name});
        let object = serde_json::from_value(object).expect("a ConfigMap");
        self.config_maps().create(&PostParams::default(), &object).await.expect("to create a ConfigMap");
    }

    /// The object as the server stores it, less what differs at every write.
    pub async fn raw(&self, path: &str) -> Value {
        let request = axum::http::Request::get(path).body(Vec::new()).expect("a request");
        self.admin.request(request).await.expect("an object")
    }

    pub async fn raw_deployment(&self, name: &str) -> Value {
        self.raw(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")).await
    }

    /// Plays the controller: writes a Deployment's status.
    pub async fn status(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let params = PatchParams { field_manager: Some("kube-controller-manager".into()), ..Default::default() };
        self.deployments().patch_status(name, &params, &patch).await.expect("to write a status");
    }

    /// Plays the controller: says that what is wanted is there.
    pub async fn settle(&self, name: &str) {
        let generation = self.deployments().get(name).await.expect("a Deployment").metadata.generation;
        self.status(name, json!({"observedGeneration": generation, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3}))
            .await;
    }

    /// Plays the controller for a Deployment from now on.
    pub fn keep_settled(&self, name: &str) -> tokio::task::JoinHandle<()> {
        let (api, name) = (self.deployments(), name.to_owned());
        tokio::spawn(async move {
            loop {
                if let Ok(found) = api.get(&name).await {
                    let generation = found.metadata.generation;
                    if found.status.and_then(|s| s.observed_generation) != generation {
                        let status = json!({"status": {"observedGeneration": generation, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3}});
                        let _ = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    }
}

pub async fn create_deployment(api: &Api<Deployment>, name: &str, adjust: impl FnOnce(&mut Value)) {
    let mut object = manifest(name);
    adjust(&mut object);
    let object = serde_json::from_value(object).expect("a Deployment");
    api.create(&PostParams::default(), &object).await.expect("to create a Deployment");
}

pub async fn delete_deployment(api: &Api<Deployment>, name: &str) {
    api.delete(name, &DeleteParams::background()).await.expect("to delete a Deployment");
    while api.get_opt(name).await.expect("an answer").is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Somebody else's write, which changes nothing that matters and the resourceVersion.
pub fn touch(api: Api<Deployment>, name: &'static str, count: usize) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"touched": count.to_string()}}}));
        api.patch(name, &PatchParams::default(), &patch).await.expect("to touch a Deployment");
    })
}

/// Somebody else sets env variables of the container `controller`.
pub fn set_env(api: Api<Deployment>, name: &'static str, manager: &'static str, env: Value) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "controller", "env": env}]}}}});
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..Default::default() };
        api.patch(name, &params, &Patch::Strategic(patch)).await.expect("to set env");
    })
}

/// A Deployment with everything that a careless patch would lose.
pub fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"team": "web"}, "annotations": {"owner": "somebody"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {"sidecar.istio.io/inject": "true"}},
                "spec": {
                    "initContainers": [{"name": "migrate", "image": "registry.example/migrate:3", "env": [{"name": "ISTIO_PERCENTAGE", "value": "7"}]}],
                    "containers": [
                        {"name": "log-shipper", "image": "registry.example/shipper:1", "env": [{"name": "ISTIO_PERCENTAGE", "value": "8"}]},
                        {
                            "name": "controller",
                            "image": "registry.example/controller@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                            "args": ["--leader-elect"],
                            "env": [
                                {"name": "FIRST", "value": "1"},
                                {"name": "NETWORKING_MODE", "value": "dual"},
                                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                                {"name": "ISTIO_PERCENTAGE", "value": "25"},
                                {"name": "EMPTY"},
                                {"name": "LAST", "value": "$(FIRST)"},
                            ],
                            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                            "resources": {"limits": {"memory": "128Mi"}},
                        },
                    ],
                    "volumes": [{"name": "data", "emptyDir": {}}],
                },
            },
        },
    })
}

fn templates(pairs: &[(&str, &str)]) -> BTreeMap<String, Template> {
    pairs.iter().map(|(key, text)| ((*key).to_owned(), Template::parse(text).expect("a template"))).collect()
}

/// The step that the Sealos scripts carry out.
pub fn env_step(name: &str) -> DeploymentEnv {
    DeploymentEnv {
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
        container: "controller".to_owned(),
        env: templates(&[("NETWORKING_MODE", "${mode}"), ("ISTIO_PERCENTAGE", "${percentage}")]),
        rollback_env: templates(&[("EMERGENCY_ROLLBACK", "true"), ("ROLLBACK_TIMESTAMP", "${time}")]),
    }
}

pub fn config_map_step(name: &str, optional: bool) -> config::ConfigMap {
    config::ConfigMap {
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
        optional,
        data: templates(&[("networking_mode", "${mode}"), ("istio_percentage", "${percentage}")]),
    }
}

/// A rollback to 0 %.
pub fn rollback(steps: impl IntoIterator<Item = Step>) -> ChangePlan {
    let time = "2026-01-02T03:04:05Z".parse().expect("a time stamp");
    ChangePlan {
        steps: steps.into_iter().collect(),
        vars: variables("terminal", &BTreeMap::new(), 0, "error rate 3.1 %", "terminal-1", time),
        rollback: true,
        rollout_timeout: Duration::from_secs(20),
        dry_run: false,
    }
}

pub fn env_rollback(name: &str) -> ChangePlan {
    rollback([Step::DeploymentEnv(env_step(name))])
}

/// Carries a change out to its end.
pub async fn carry_out(cluster: &Cluster, plan: &ChangePlan) -> (Outcome, Vec<Progress>) {
    let mut reports = Vec::new();
    let outcome = cluster.carry_out(plan, |progress| reports.push(progress), pending()).await;
    (outcome, reports)
}

/// Carries out a change that must fail in its last step tried, and says with which error.
pub async fn failure(cluster: &Cluster, plan: &ChangePlan) -> String {
    let (outcome, reports) = carry_out(cluster, plan).await;
    assert_eq!(outcome, Outcome::Failed, "{reports:?}");
    let [.., Progress::Step(step), Progress::Failed { step: name, error }] = reports.as_slice() else {
        panic!("no failed step at the end: {reports:?}");
    };
    assert_eq!((step.result, &step.step, step.detail.as_ref()), (StepResult::Failed, name, Some(error)));
    error.clone()
}

/// The results of the steps, with their details.
pub fn results(reports: &[Progress]) -> Vec<(StepResult, Option<&str>)> {
    let steps = reports.iter().filter_map(|report| match report {
        Progress::Step(step) => Some((step.result, step.detail.as_deref())),
        _ => None,
    });
    steps.collect()
}
