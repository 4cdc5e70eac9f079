//! A folder of temporary files, gone with the command.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;

/// What nobody but the user of this process may enter.
const ONLY_FOR_ITS_OWNER: u32 = 0o700;

/// Where a container whose own files only read can still write.
const IN_MEMORY: &str = "/dev/shm";

/// A folder that is removed with what is in it when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder among the temporary files.
    pub fn create() -> anyhow::Result<Self> {
        let name = format!("ripcord-{}-{}", std::process::id(), Timestamp::now().as_nanosecond());
        let make = |path: PathBuf| {
            let made = DirBuilder::new().mode(ONLY_FOR_ITS_OWNER).create(&path);
            made.with_context(|| format!("cannot create the folder {}", path.display())).map(|()| Self(path))
        };
        make(std::env::temp_dir().join(&name)).or_else(|error| make(Path::new(IN_MEMORY).join(name)).map_err(|_| error))
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is among the temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
