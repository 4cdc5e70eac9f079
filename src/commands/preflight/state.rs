//! Whether the place of the state can be read, and written to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use crate::config::{ObjectName, Settings, StatePlace};
use crate::kubernetes::Cluster;
use crate::state::{ConfigMapPlace, Document, Place as _};

use super::check::{Area, Check};

/// What is said of.
const WHAT: &str = "place";

/// How long a file system may take. One that hangs would hold up the daemon's memory, not its decisions.
const FILE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads what is there. Of a file's folder it is tried whether it can be written to.
pub(super) async fn look(cluster: Option<&Cluster>, settings: &Settings) -> Vec<Check> {
    vec![match (&settings.state, cluster) {
        (None, _) => Area::State.warn(
            WHAT,
            "there is none: a restart forgets incidents, latches and pages that wait",
            "set state.file, or in a cluster state.config_map",
        ),
        (Some(StatePlace::File(path)), _) => {
            let path = path.clone();
            let looked = timeout(FILE_TIMEOUT, tokio::task::spawn_blocking(move || in_file(&path))).await;
            match looked {
                Ok(Ok(check)) => check,
                Ok(Err(e)) => Area::State.fail(WHAT, format!("looking at the file broke off: {e}"), "try again"),
                Err(_) => {
                    let detail = format!("the file system did not answer within {FILE_TIMEOUT:?}");
                    Area::State.fail(WHAT, detail, "put state.file on a disk that answers")
                }
            }
        }
        (Some(StatePlace::ConfigMap(_)), None) => Area::State.not_looked_at(),
        (Some(StatePlace::ConfigMap(name)), Some(cluster)) => in_config_map(cluster, name).await,
    }]
}

async fn in_config_map(cluster: &Cluster, name: &ObjectName) -> Check {
    let mut place = ConfigMapPlace::new(cluster.clone(), name);
    match place.read().await {
        Ok(text) => said(&format!("the ConfigMap {name}"), text.as_deref()),
        Err(error) => Area::State.fail(WHAT, error, "Ripcord does not act before it has read its state"),
    }
}

fn in_file(path: &Path) -> Check {
    let name = format!("the file {}", path.display());
    let text = match fs::read(path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => {
            let hint = "let the user that Ripcord runs as read it: it does not act before it has read its state";
            return Area::State.fail(WHAT, format!("cannot read {name}: {e}"), hint);
        }
    };
    if let Err((folder, e)) = try_to_write_beside(path) {
        let hint = "let the user that Ripcord runs as write there, or name another place in state.file";
        return Area::State.fail(WHAT, format!("cannot write into {}: {e}", folder.display()), hint);
    }
    said(&name, text.as_deref())
}

/// Makes a file in the folder and takes it away again: where the folder is not there yet, in the one that it would be made in.
fn try_to_write_beside(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    let folders = path.ancestors().skip(1).map(|f| if f.as_os_str().is_empty() { Path::new(".") } else { f });
    let folder = folders.into_iter().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let probe = folder.join(format!(".ripcord-preflight-{}", std::process::id()));
    let tried = File::create_new(&probe).and_then(|_| fs::remove_file(&probe));
    tried.map_err(|e| (folder.to_owned(), e))
}

fn said(name: &str, text: Option<&str>) -> Check {
    match text.map(Document::read) {
        None => Area::State.ok(WHAT, format!("{name}: nothing there yet, it is made at the first start")),
        Some(Ok(document)) => Area::State.ok(WHAT, format!("{name}: saved at {:.0}", document.saved_at)),
        Some(Err(why)) => Area::State.warn(
            WHAT,
            format!("{name} cannot be used: {why}"),
            "Ripcord would set it aside and begin anew, without its latches: see docs/operations.md, \"State, restarts and replicas\"",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Result;
    use super::*;

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/state.json");
        assert_eq!(in_file(&path).result, Result::Ok);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
        fs::create_dir(folder.path().join("deeper")).unwrap();
        fs::write(&path, "{").unwrap();
        let check = in_file(&path);
        assert_eq!(check.result, Result::Warn);
        assert!(check.detail.contains("it is damaged"), "{}", check.detail);
        // The kernel's own folder: nobody can make a file there, root included.
        let check = in_file(Path::new("/proc/self/ripcord/state.json"));
        assert_eq!(check.result, Result::Fail);
        assert!(check.detail.starts_with("cannot write into /proc/self"), "{}", check.detail);
    }
}
