//! A real etcd and a real API server, on free loopback ports, gone with the value.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::config::AuthInfo;
use kube::{Client, Config};
use tempfile::TempDir;

/// How long both may take to start. About 10 s on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// The users, each its own token: one that may do everything, Ripcord with what it needs, one that only reads.
const USERS: &str = "admin,admin,1,system:masters\nripcord,ripcord,2\nreader,reader,3\n";

pub struct ApiServer {
    // Ends before etcd does, and the folder goes last.
    server: Process,
    etcd: Process,
    folder: TempDir,
    url: String,
    certificate: Vec<u8>,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl ApiServer {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("to write a file");

        let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])
            .expect("a certificate");
        write("tls.crt", &identity.cert.pem());
        write("tls.key", &identity.signing_key.serialize_pem());
        write("tokens.csv", USERS);

        let [client, peer, secure] = free_ports();
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let etcd = spawn(
            &binary("etcd"),
            folder.path(),
            &[
                ("--data-dir", &path("etcd").display().to_string()),
                ("--listen-client-urls", &client),
                ("--advertise-client-urls", &client),
                ("--listen-peer-urls", &peer),
                ("--initial-advertise-peer-urls", &peer),
                ("--initial-cluster", &format!("default={peer}")),
            ],
        );
        let file = |name: &str| path(name).display().to_string();
        let server = spawn(
            &binary("kube-apiserver"),
            folder.path(),
            &[
                ("--etcd-servers", &client),
                ("--bind-address", "127.0.0.1"),
                ("--secure-port", &secure.to_string()),
                ("--cert-dir", &file("certs")),
                ("--tls-cert-file", &file("tls.crt")),
                ("--tls-private-key-file", &file("tls.key")),
                ("--service-account-issuer", "https://kubernetes.default.svc"),
                ("--service-account-signing-key-file", &file("tls.key")),
                ("--service-account-key-file", &file("tls.crt")),
                ("--service-cluster-ip-range", "10.0.0.0/24"),
                ("--token-auth-file", &file("tokens.csv")),
                ("--authorization-mode", "RBAC"),
                ("--disable-admission-plugins", "ServiceAccount"),
            ],
        );
        let mut this = Self {
            server,
            etcd,
            url: format!("https://127.0.0.1:{secure}"),
            certificate: identity.cert.der().to_vec(),
            folder,
        };
        this.until_ready().await;
        this
    }

    /// The configuration of one of the users.
    pub fn config(&self, user: &str) -> Config {
        let mut config = Config::new(self.url.parse().expect("an address"));
        config.root_cert = Some(vec![self.certificate.clone()]);
        config.auth_info = AuthInfo { token: Some(user.to_owned().into()), ..AuthInfo::default() };
        config.default_retry = false;
        config
    }

    async fn until_ready(&mut self) {
        let client = Client::try_from(self.config("admin")).expect("a client");
        let started = Instant::now();
        loop {
            let request = axum::http::Request::get("/readyz").body(Vec::new()).expect("a request");
            match client.request_text(request).await {
                Ok(_) => return,
                Err(e) if started.elapsed() > START_LIMIT => {
                    panic!("the API server is not ready after {START_LIMIT:?}: {e}\n{}", self.log())
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            let ended =
                [&mut self.etcd, &mut self.server].map(|process| process.0.try_wait().expect("a process of ours"));
            if let Some(status) = ended.iter().flatten().next() {
                panic!("etcd or the API server ended with {status}\n{}", self.log());
            }
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("kube-apiserver.log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }
}

fn spawn(binary: &Path, folder: &Path, flags: &[(&str, &str)]) -> Process {
    let name = binary.file_name().expect("a name").to_string_lossy();
    let log = std::fs::File::create(folder.join(format!("{name}.log"))).expect("a log file");
    let child = Command::new(binary)
        .args(flags.iter().map(|(flag, value)| format!("{flag}={value}")))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    Process(child.unwrap_or_else(|e| panic!("{} did not start ({e}): run tests/install.sh", binary.display())))
}

/// A binary of `KUBEBUILDER_ASSETS`, of Ripcord's cache, or on `PATH`.
fn binary(name: &str) -> PathBuf {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = var("RIPCORD_TEST_CACHE")
        .or_else(|| var("XDG_CACHE_HOME").map(|c| c.join("ripcord")))
        .or_else(|| var("HOME").map(|h| h.join(".cache/ripcord")))
        .unwrap_or_default();
    let candidate = var("KUBEBUILDER_ASSETS").unwrap_or_else(|| cache.join("kubernetes")).join(name);
    if candidate.exists() { candidate } else { PathBuf::from(name) }
}

fn free_ports<const N: usize>() -> [u16; N] {
    // All are bound before the first is given back, so that they differ.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|l| l.local_addr().expect("an address").port())
}
