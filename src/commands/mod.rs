//! One file or folder per subcommand, and what they share: `folder` (backups), `patience` (saying what is waited for), `scratch` (temporary
//! files), `here` (a daemon in this process).

mod backup;
mod baseline;
mod check;
mod control;
mod demo;
mod folder;
mod here;
mod moving;
mod patience;
mod preflight;
mod render;
mod replay;
mod restore;
mod run;
mod scratch;

use std::path::PathBuf;

use crate::cli::Configured;
use crate::config::{self, Finding, LoadOptions, Settings, StatePlace};

pub use backup::backup;
pub use baseline::{list as baseline_list, record as baseline_record, use_version as baseline_use};
pub use check::check;
pub use control::{ask, status};
pub use demo::demo;
pub use moving::{rollback, shift};
pub use preflight::preflight;
pub use render::render;
pub use replay::replay;
pub use restore::restore;
pub use run::run;

/// Stands for a namespace that is not known, in commands that a person is to type.
const UNKNOWN_NAMESPACE: &str = "NAMESPACE";

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// What was typed or configured is wrong: exit code 2.
    BadInput(String),
    /// It could not be done: exit code 1.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Writes a result to stdout. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write as _};
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow::anyhow!("cannot write the result: {e}")))
        }
        _ => Ok(()),
    }
}

/// Tells something beside the result, on stderr. That nobody reads it any more must not end what is being done.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Asks the person at the terminal whether to go on.
fn ask_to_go_on(question: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut stderr = std::io::stderr();
    let mut answer = String::new();
    let asked = write!(stderr, "{question}")
        .and_then(|()| stderr.flush())
        .and_then(|()| std::io::stdin().read_line(&mut answer));
    match (asked, answer.trim()) {
        (Ok(_), "yes") => Ok(()),
        (Ok(_), _) => Err(Failure::Failed(anyhow::anyhow!("not confirmed: nothing was changed"))),
        (Err(e), _) => Err(Failure::Failed(anyhow::anyhow!("cannot ask whether to go on; nothing was changed: {e}"))),
    }
}

/// Loads a configuration as the daemon does, environment included.
fn load(files: &[PathBuf]) -> Result<Settings, Vec<Finding>> {
    config::load(files, environment(), LoadOptions::default())
}

/// Loads a configuration without the files that it names: secrets and certificates may be on another machine, and whatever needs them
/// says so.
fn load_apart(configured: &Configured) -> Result<Settings, Failure> {
    config::load(&configured.files, environment(), LoadOptions { syntax_only: true })
        .map_err(|findings| Failure::BadInput(check::explain(&configured.files, &findings)))
}

/// The namespace that Ripcord runs in, as far as its configuration tells: that of its Lease, or of its state. For commands that a person is to
/// type.
fn namespace(settings: &Settings) -> &str {
    let lease = settings.leader_election.as_ref().map(|election| &election.lease);
    let place = lease.or(match &settings.state {
        Some(StatePlace::ConfigMap(name)) => Some(name),
        _ => None,
    });
    place.map_or(UNKNOWN_NAMESPACE, |name| &name.namespace)
}

/// The environment variables that are text. Ripcord's own are.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The runtime of a command, and ring as everybody's source of cryptography: where two are compiled in, rustls picks none by itself.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // An error means that there is one already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| anyhow::anyhow!("cannot start the runtime: {e}"))
}
