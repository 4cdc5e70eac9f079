//! The document in a file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::place::{Place, WriteError};

/// The largest document in a file. Ten thousand closed incidents are some 30 MB; this only bounds what a defect could fill a disk with.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Only for who runs Ripcord: it holds objects as they were, and a Deployment can have secrets in its environment.
const FILE_MODE: u32 = 0o600;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "another Ripcord uses the state file {}: ask that one (--url), or stop it first. Only one with other guards has a file of its own",
        .0.display()
    )]
    InUse(PathBuf),
}

/// A document in a file, which no other process can have at the same time.
#[derive(Debug)]
pub struct FilePlace {
    path: PathBuf,
    /// Held as long as the place lives; the system lets go of it when the process ends, however it ends. None where the folder lets
    /// nobody make a lock file.
    _lock: Option<File>,
}

impl FilePlace {
    /// The file at a path, locked against other processes. The folder is made where there is none.
    ///
    /// A folder that cannot be written to is no error here: a watchdog without a memory is better than none, and the first write says it.
    pub fn open(path: &Path) -> Result<Self, LockError> {
        if let Err(error) = fs::create_dir_all(folder(path)) {
            tracing::warn!(path = %path.display(), %error, "The folder of the state file cannot be made");
        }
        let lock = match lock(&beside(path, "lock")) {
            Ok(lock) => Some(lock),
            Err(TryLockError::WouldBlock) => return Err(LockError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "The state file cannot be locked: see to it that no second Ripcord uses it"
                );
                None
            }
        };
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

impl Place for FilePlace {
    fn limit(&self) -> usize {
        MAX_BYTES
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Option<String>, String>> {
        read_at(self.path.clone()).boxed()
    }

    fn write(&mut self, text: String) -> BoxFuture<'_, Result<(), WriteError>> {
        let path = self.path.clone();
        let written = blocking(move || {
            replace(&path, text.as_bytes()).map_err(|e| {
                format!("cannot write the state file {}: {e}; check the disk's room and permissions", path.display())
            })
        });
        async move { written.await.map_err(WriteError::Failed) }.boxed()
    }

    fn set_aside(&mut self, suffix: String) -> BoxFuture<'_, Result<String, String>> {
        let path = self.path.clone();
        let to = beside(&path, &suffix);
        blocking(move || match fs::rename(&path, &to) {
            Ok(()) => Ok(to.display().to_string()),
            Err(e) => Err(format!("cannot rename {} to {}: {e}", path.display(), to.display())),
        })
        .boxed()
    }
}

/// What the file at a path holds; `None` where there is none. It takes no lock: a file is replaced as a whole.
pub(super) async fn read_at(path: PathBuf) -> Result<Option<String>, String> {
    blocking(move || match fs::read(&path) {
        // What is no text is damaged, which is found out by who reads the document.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("cannot read the state file {}: {e}; check its permissions", path.display())),
    })
    .await
}

/// Replaces a file's content, so that after a crash at any moment the file is the old one or the new one, whole.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder(path))?;
    let new = beside(path, "new");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&new)?;
        file.write_all(content)?;
        file.sync_all()
    })();
    if let Err(error) = written {
        // On a full disk even half a file is in the way. That it is gone is all that matters.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    fs::rename(&new, path)?;
    // The rename itself is on the disk only when the folder is.
    File::open(folder(path))?.sync_all()
}

fn lock(path: &Path) -> Result<File, TryLockError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `state/ripcord.json` and `lock` make `state/ripcord.json.lock`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// File systems can hang; nothing else may wait for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(format!("the task of the state file broke off: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/state.json");
        let mut place = FilePlace::open(&path).unwrap();
        assert_eq!(place.read().await, Ok(None));
        for text in ["one", "two"] {
            place.write(text.to_owned()).await.unwrap();
            assert_eq!(place.read().await, Ok(Some(text.to_owned())));
        }
        let mut names: Vec<_> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["state.json", "state.json.lock"]);
    }

    #[tokio::test]
    async fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let first = FilePlace::open(&path).unwrap();
        let refused = FilePlace::open(&path).unwrap_err();
        assert!(refused.to_string().contains("another Ripcord"), "{refused}");
        drop(first);
        FilePlace::open(&path).unwrap();
    }

    #[tokio::test]
    async fn set_aside_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut place = FilePlace::open(&path).unwrap();
        place.write("odd".to_owned()).await.unwrap();
        let aside = place.set_aside("damaged".to_owned()).await.unwrap();
        assert_eq!(fs::read_to_string(aside).unwrap(), "odd");
        assert_eq!(place.read().await, Ok(None));
    }

    /// A write that was broken off leaves a file beside the old one; the old one is what counts.
    #[tokio::test]
    async fn half_a_write_is_no_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut place = FilePlace::open(&path).unwrap();
        place.write("old".to_owned()).await.unwrap();
        fs::write(folder.path().join("state.json.new"), "ne").unwrap();
        assert_eq!(place.read().await, Ok(Some("old".to_owned())));
        place.write("new".to_owned()).await.unwrap();
        assert_eq!(place.read().await, Ok(Some("new".to_owned())));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_to_is_said_by_the_write() {
        // The kernel's own folder: nobody can make a file there, root included.
        let mut place = FilePlace::open(Path::new("/proc/self/ripcord/state.json")).unwrap();
        assert_eq!(place.read().await, Ok(None));
        let error = place.write("x".to_owned()).await.unwrap_err();
        assert!(matches!(&error, WriteError::Failed(e) if e.contains("/proc/self/ripcord/state.json")), "{error}");
    }
}
