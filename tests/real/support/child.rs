//! A child process: in a process group of its own, its output in files, killed when dropped.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use super::wait::eventually;

/// A running program. Dropping it kills its whole process group and waits for it.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    pid: Pid,
    entry: PathBuf,
    ended: Option<ExitStatus>,
    killer: Killer,
}

/// Kills a program from wherever something happens, as a crash at that very moment would. Once the program was waited for it does
/// nothing: the number may be another's.
#[derive(Debug, Clone)]
pub struct Killer(Arc<Mutex<Option<Pid>>>);

impl Killer {
    /// Kills it (SIGKILL, the whole group). When this returns it does nothing any more.
    pub fn kill(&self) {
        if let Some(pid) = *self.lock() {
            // An error means that it has ended by itself, which is all the same.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Child {
    /// Starts a program. `run_dir` is the folder of the run, where its number is written down for the reaper.
    pub fn start(
        name: &str,
        run_dir: &Path,
        command: &mut Command,
        stdout: File,
        stderr: File,
    ) -> anyhow::Result<Self> {
        let process = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .with_context(|| format!("Starting {name} ({command:?})"))?;
        let pid = Pid::from_child(&process);
        let entry = run_dir.join("pids").join(pid.to_string());
        let killer = Killer(Arc::new(Mutex::new(Some(pid))));
        let child = Self { name: name.to_owned(), process, pid, entry, ended: None, killer };
        fs::write(&child.entry, name).with_context(|| format!("Writing {}", child.entry.display()))?;
        Ok(child)
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Kills it from elsewhere.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Sends a signal to the program itself; an error when it has ended.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if let Some(status) = self.try_wait()? {
            bail!("{} has ended already ({status})", self.name);
        }
        kill_process(self.pid, signal).with_context(|| format!("Sending {signal:?} to {}", self.name))
    }

    /// How it ended, if it has. What else is left of its group is killed then.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() && self.has_exited()? {
            self.kill();
        }
        Ok(self.ended)
    }

    /// Whether it has exited, without taking note of it: its number stays its own.
    fn has_exited(&self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.pid), look)?.is_some())
    }

    /// Waits for it to end by itself.
    pub async fn wait(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        eventually(timeout, &what, async || self.try_wait().ok().flatten()).await
    }

    /// An error when it has ended: for loops that wait until it is ready.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.try_wait()? {
            Some(status) => bail!("{} ended while it was waited for ({status})", self.name),
            None => Ok(()),
        }
    }

    /// Kills it (SIGKILL, the whole group) and waits until it is gone.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            let mut killable = self.killer.lock();
            // In this order: as long as nobody has waited for it, its number is given to nobody else.
            let _ = kill_process_group(self.pid, Signal::KILL);
            self.ended = self.process.wait().ok();
            *killable = None;
            drop(killable);
            let _ = fs::remove_file(&self.entry);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
