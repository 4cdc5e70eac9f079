//! A disk of a few pages that a story can fill or make read-only: a tmpfs in a mount namespace of its own. The namespace lives as long as
//! the process that holds it, so that nothing stays mounted however the story ends.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::child::Child;
use super::{World, eventually};

/// How long mounting may take; it takes milliseconds.
const MOUNT_TIMEOUT: Duration = Duration::from_secs(10);

/// What holds the namespace: it mounts, says so by a file, and sleeps until it is killed.
const HOLDER: &str =
    r#"mount -t tmpfs -o "size=$1,mode=777" ripcord-story "$2" && : > "$2/mounted" && exec sleep infinity"#;

/// The file that takes all room.
const FILLER: &str = "filler";

/// The disk. Dropping it unmounts it.
pub struct SmallDisk {
    holder: Child,
    /// The folder as the namespace knows it.
    inside: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of this many KiB. It fails where nobody may mount: a story about disks proves nothing without one.
    pub async fn mount(world: &World, kib: u32) -> anyhow::Result<Self> {
        let inside = world.new_dir("disk")?;
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "sh", "-c", HOLDER, "holder"]).arg(format!("{kib}k")).arg(&inside);
        let needs = "this story needs a small disk: mounting a tmpfs in a mount namespace (`unshare --mount`) must be permitted, as \
                     root or with user namespaces";
        let mut disk = Self { holder: world.spawn("disk", &mut command).context(needs)?, inside };
        let sign = disk.path().join("mounted");
        eventually(MOUNT_TIMEOUT, "the small disk is mounted", async || {
            // Its end is seen below, and not waited for.
            sign.exists() || disk.holder.try_wait().is_ok_and(|ended| ended.is_some())
        })
        .await?;
        disk.holder.check_alive().context(needs)?;
        fs::remove_file(sign)?;
        Ok(disk)
    }

    /// Its folder, as every process sees it while the disk is there.
    pub fn path(&self) -> PathBuf {
        let inside = self.inside.strip_prefix("/").unwrap_or(&self.inside);
        Path::new("/proc").join(self.holder.pid().to_string()).join("root").join(inside)
    }

    /// Leaves no byte free.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path().join(FILLER))?;
        loop {
            match file.write(&[b'x'; 1024]) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(e) => return Err(e).context("Filling the small disk"),
            }
        }
    }

    /// Frees what `fill` took.
    pub fn make_room(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.path().join(FILLER))?)
    }

    /// From now on nobody can write to it, or everybody again.
    pub fn read_only(&self, read_only: bool) -> anyhow::Result<()> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.pid().to_string(), "--mount"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        let how = if read_only { "remount,ro" } else { "remount,rw" };
        let out = command.args(["mount", "-o", how]).arg(&self.inside).output().context("Starting nsenter")?;
        ensure!(out.status.success(), "{how}: {}", String::from_utf8_lossy(&out.stderr));
        match fs::write(self.path().join("probe"), "") {
            Err(e) if read_only && e.kind() == ErrorKind::ReadOnlyFilesystem => Ok(()),
            Ok(()) if !read_only => Ok(fs::remove_file(self.path().join("probe"))?),
            other => bail!("after {how} a write gives {other:?}"),
        }
    }
}
