//! A real API server with its etcd, and nothing else of a cluster: no controller moves a Deployment's status (see `controller`), and
//! a namespace never ends.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::binaries::Binaries;
use super::child::Child;
use super::proxy::{FaultProxy, Upstream};
use super::tls::Authority;
use super::{World, eventually, log, ports};

/// How long it may take until the API server is ready; it takes about five seconds on a quiet machine.
const READY_TIMEOUT: Duration = Duration::from_secs(90);

/// How long it may take until a new Role counts: the authorizer learns of it from a watch.
const ROLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Users without any rights, handed out one by one. The file of tokens is read only at start.
const USERS: usize = 512;

/// Somebody the API server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, as RBAC subjects have it.
    pub name: String,
    /// The bearer token.
    pub token: String,
}

/// The API server. Dropping it ends it and its etcd.
pub struct Apiserver {
    url: String,
    ca: String,
    ca_file: PathBuf,
    admin: Identity,
    client: kube::Client,
    next_user: AtomicUsize,
    // Dropped in this order.
    _server: Child,
    _etcd: Child,
}

impl Apiserver {
    /// Starts etcd and the API server and waits until it is ready, its RBAC roles included.
    pub async fn start(run_dir: &Path, binaries: &Binaries) -> anyhow::Result<Self> {
        let dir = run_dir.join("apiserver");
        let logs = dir.join("logs");
        fs::create_dir_all(&dir)?;
        let started = start(run_dir, &dir, &logs, binaries).await;
        started.with_context(|| format!("Starting the API server failed{}", log::tails(&logs)))
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("https://").parse().expect("made of an address")
    }

    /// The certificate of its authority, PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// A client that may do everything.
    pub fn admin(&self) -> kube::Client {
        self.client.clone()
    }

    /// Who may do everything.
    pub fn admin_identity(&self) -> &Identity {
        &self.admin
    }

    /// A user that nobody else has and that may do nothing yet: see `World::allow`.
    pub fn new_user(&self) -> Identity {
        let n = self.next_user.fetch_add(1, Ordering::Relaxed);
        assert!(n < USERS, "a run has {USERS} users: raise USERS");
        user(n)
    }

    /// A client for somebody.
    pub async fn client(&self, who: &Identity) -> anyhow::Result<kube::Client> {
        Ok(kube::Client::try_from(self.config(who).await?)?)
    }

    /// The configuration of a client for somebody.
    pub async fn config(&self, who: &Identity) -> anyhow::Result<kube::Config> {
        config(&kubeconfig(&self.url, Some(&self.ca_file), who)).await
    }

    /// Writes a kubeconfig for somebody into a folder.
    pub fn kubeconfig(&self, dir: &Path, who: &Identity) -> anyhow::Result<PathBuf> {
        write_kubeconfig(dir, &kubeconfig(&self.url, Some(&self.ca_file), who), who)
    }
}

fn write_kubeconfig(dir: &Path, kubeconfig: &Value, who: &Identity) -> anyhow::Result<PathBuf> {
    let mut names = (1..).map(|n| dir.join(format!("kubeconfig-{}-{n}.yaml", who.name)));
    let file = names.find(|f| !f.exists()).expect("endless");
    // JSON is YAML.
    fs::write(&file, kubeconfig.to_string())?;
    Ok(file)
}

async fn start(run_dir: &Path, dir: &Path, logs: &Path, binaries: &Binaries) -> anyhow::Result<Apiserver> {
    let output = |part: &str| -> anyhow::Result<File> { Ok(File::create(log::free_name(logs, part)?)?) };
    let etcd_url = format!("http://{}", ports::free_address());
    let peer_url = format!("http://{}", ports::free_address());
    let out = output("etcd")?;
    let etcd = Child::start(
        "etcd",
        run_dir,
        Command::new(&binaries.etcd)
            .arg("--data-dir")
            .arg(dir.join("etcd"))
            .args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("default={peer_url}"), "--logger", "zap", "--log-level", "warn"])
            // Nothing here outlives the machine. Older versions do not know it and say so.
            .env("ETCD_UNSAFE_NO_FSYNC", "true"),
        out.try_clone()?,
        out,
    )?;

    let authority = Authority::new("ripcord test authority")?;
    let served = authority.issue(&["localhost", "127.0.0.1"])?;
    let account_keys = authority.issue(&["accounts"])?;
    let file = |name: &str, content: &str| -> anyhow::Result<PathBuf> {
        let file = dir.join(name);
        fs::write(&file, content)?;
        Ok(file)
    };
    let admin = Identity { name: "admin".to_owned(), token: "token-admin".to_owned() };
    let mut tokens = format!("{},{},{},\"system:masters\"\n", admin.token, admin.name, admin.name);
    for user in (0..USERS).map(user) {
        tokens.push_str(&format!("{},{},{}\n", user.token, user.name, user.name));
    }
    let port = ports::free();
    let out = output("kube-apiserver")?;
    let mut server = Child::start(
        "kube-apiserver",
        run_dir,
        Command::new(&binaries.kube_apiserver)
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"])
            .arg(format!("--secure-port={port}"))
            .arg(format!("--etcd-servers={etcd_url}"))
            .arg("--service-cluster-ip-range=10.0.0.0/24")
            .arg("--authorization-mode=RBAC")
            .arg("--disable-admission-plugins=ServiceAccount")
            .arg("--service-account-issuer=https://127.0.0.1/")
            .arg(flag("--tls-cert-file", &file("server.crt", &served.certificate)?))
            .arg(flag("--tls-private-key-file", &file("server.key", &served.key)?))
            .arg(flag("--token-auth-file", &file("tokens.csv", &tokens)?))
            .arg(flag("--service-account-key-file", &file("accounts.pub", &account_keys.public_key)?))
            .arg(flag("--service-account-signing-key-file", &file("accounts.key", &account_keys.key)?))
            .arg(flag("--cert-dir", dir)),
        out.try_clone()?,
        out,
    )?;

    let url = format!("https://127.0.0.1:{port}");
    let http = https_client(&authority.pem())?;
    let ready = eventually(READY_TIMEOUT, "the API server is ready", async || {
        let answer = http.get(format!("{url}/readyz")).bearer_auth(&admin.token).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
        Ok(())
    });
    tokio::select! {
        ready = ready => ready?,
        ended = server.wait(READY_TIMEOUT * 2) => anyhow::bail!("kube-apiserver ended ({})", ended?),
    }
    let ca_file = authority.write(&dir.join("ca.crt"))?;
    let client = kube::Client::try_from(config(&kubeconfig(&url, Some(&ca_file), &admin)).await?)?;
    Ok(Apiserver {
        url,
        ca: authority.pem(),
        ca_file,
        admin,
        client,
        next_user: AtomicUsize::new(0),
        _server: server,
        _etcd: etcd,
    })
}

fn flag(name: &str, file: &Path) -> String {
    format!("{name}={}", file.display())
}

fn user(n: usize) -> Identity {
    Identity { name: format!("user-{n}"), token: format!("token-user-{n}") }
}

/// A kubeconfig. The file of the authority is for HTTPS; the proxy has no need of it.
fn kubeconfig(url: &str, ca_file: Option<&Path>, who: &Identity) -> Value {
    let mut cluster = json!({"server": url});
    if let Some(file) = ca_file {
        cluster["certificate-authority"] = json!(file);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": who.name, "user": {"token": who.token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": who.name}}],
        "current-context": "test",
    })
}

async fn config(kubeconfig: &Value) -> anyhow::Result<kube::Config> {
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig.clone())?;
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

fn https_client(ca: &str) -> anyhow::Result<reqwest::Client> {
    let ca = reqwest::Certificate::from_pem(ca.as_bytes())?;
    Ok(reqwest::Client::builder()
        .tls_certs_only([ca])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?)
}

/// A fault proxy in front of the API server, spoken to in plain HTTP. It stands for what a story alone must not do to the shared
/// server: it can be gone, hang or refuse for one story while the others go on.
pub struct ApiProxy {
    proxy: FaultProxy,
}

impl ApiProxy {
    /// Starts it for one story.
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let client = https_client(world.apiserver.ca())?;
        let upstream = Upstream { url: world.apiserver.url().to_owned(), client };
        Ok(Self { proxy: FaultProxy::start(upstream, world.log("api-proxy")?).await? })
    }

    /// Writes a kubeconfig for somebody who goes through the proxy.
    pub fn kubeconfig(&self, world: &World, who: &Identity) -> anyhow::Result<PathBuf> {
        write_kubeconfig(&world.dir, &kubeconfig(&self.proxy.url(), None, who), who)
    }

    /// A client for somebody who goes through the proxy.
    pub async fn client(&self, who: &Identity) -> anyhow::Result<kube::Client> {
        Ok(kube::Client::try_from(self.config(who).await?)?)
    }

    /// The configuration of a client for somebody who goes through the proxy.
    pub async fn config(&self, who: &Identity) -> anyhow::Result<kube::Config> {
        config(&kubeconfig(&self.proxy.url(), None, who)).await
    }
}

impl std::ops::Deref for ApiProxy {
    type Target = FaultProxy;
    fn deref(&self) -> &FaultProxy {
        &self.proxy
    }
}

impl World {
    /// A kubeconfig of the one who may do everything.
    pub fn admin_kubeconfig(&self) -> anyhow::Result<PathBuf> {
        self.apiserver.kubeconfig(&self.dir, self.apiserver.admin_identity())
    }

    /// Allows somebody something in the story's namespace, with a Role and a RoleBinding, and waits until it counts. It can be said several
    /// times and adds up.
    pub async fn allow(&self, who: &Identity, rules: &[PolicyRule]) -> anyhow::Result<()> {
        let role: Role = serde_json::from_value(json!({
            "metadata": {"generateName": format!("{}-", who.name)},
            "rules": rules,
        }))?;
        let role = self.create(&role).await?;
        self.bind(who, role.metadata.name.as_deref().unwrap_or_default()).await?;
        let client = self.apiserver.client(who).await?;
        for rule in rules {
            let first = |list: &Option<Vec<String>>| list.iter().flatten().next().cloned().unwrap_or_default();
            let (group, resource, name) =
                (first(&rule.api_groups), first(&rule.resources), first(&rule.resource_names));
            eventually(ROLE_TIMEOUT, &format!("the Role of {} counts", who.name), async || {
                ensure!(may(&client, &rule.verbs[0], &group, &resource, &name, &self.namespace).await?);
                anyhow::Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Creates a ServiceAccount in the story's namespace, with a token for it: what a pod would be. RBAC rules may name it as a
    /// ServiceAccount, and `allow` and `bind` work with it too.
    pub async fn service_account(&self, name: &str) -> anyhow::Result<Identity> {
        let api: Api<ServiceAccount> = self.api();
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        api.create(&PostParams::default(), &account).await?;
        let request: TokenRequest = serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": []}}))?;
        let answer = serde_json::to_value(api.create_token_request(name, &PostParams::default(), &request).await?)?;
        let token = answer["status"]["token"].as_str().context("The API server made no token")?.to_owned();
        Ok(Identity { name: format!("system:serviceaccount:{}:{name}", self.namespace), token })
    }

    /// Binds somebody to a Role that is there already.
    pub async fn bind(&self, who: &Identity, role: &str) -> anyhow::Result<()> {
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"generateName": format!("{}-", who.name)},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who.name}],
        }))?;
        self.create(&binding).await?;
        Ok(())
    }
}

/// Whether somebody is permitted this: on the object of this name, or on all of them when there is none.
pub async fn may(
    client: &kube::Client,
    verb: &str,
    group: &str,
    resource: &str,
    name: &str,
    namespace: &str,
) -> anyhow::Result<bool> {
    let review: SelfSubjectAccessReview =
        serde_json::from_value(json!({"metadata": {}, "spec": {"resourceAttributes": {
            "verb": verb, "group": group, "resource": resource, "name": name, "namespace": namespace,
        }}}))?;
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// A rule of a Role: `rule("apps", &["deployments"], &["get", "patch"])`.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}
