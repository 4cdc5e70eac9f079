//! A process group with an end.

use std::future::pending;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::output::Output;

/// How long a group has to end by itself after SIGTERM: enough to remove a lock file. The rollback waits for it.
const GRACE: Duration = Duration::from_secs(2);

/// How long what was written is waited for after the program's end. It is in the pipe by then; only what is left in the background can
/// keep the pipe open, and that is not waited for.
const LINGER: Duration = Duration::from_millis(500);

/// How long the end of a killed process is waited for. The kernel ends it at once, unless it hangs in a device.
const REAP: Duration = Duration::from_secs(1);

/// How much is read at once.
const CHUNK: usize = 4096;

/// How a program ended.
pub(super) enum End {
    /// By itself, or by somebody else's signal.
    Exited(ExitStatus),
    /// By its time-out.
    TimedOut,
}

/// A program that has ended.
pub(super) struct Ended {
    pub(super) end: End,
    /// What it and its children wrote to their outputs.
    pub(super) output: Output,
}

/// Kills the process group when it is dropped. It must be released as soon as its leader is waited for: until then the kernel keeps the
/// group's id for it, and after that the id may be another's.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // The error is that nobody is left in it.
            let _ = kill_process_group(pid, signal);
        }
    }

    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs a program in a process group of its own until it ends, for `limit` at most. `name` is what it sees as its own name. When this
/// future is dropped the whole group is killed.
pub(super) async fn run(file: &Path, name: &str, arguments: &[String], limit: Duration) -> io::Result<Ended> {
    let (reader, writer) = io::pipe()?;
    let (mut child, mut group) = start(file, name, arguments, writer)?;
    let mut pipe = receiver(reader)?;
    let mut output = Output::default();
    let mut deadline = pin!(sleep(limit));
    let exited = {
        let mut reading = pin!(drain(&mut pipe, &mut output));
        let mut open = true;
        loop {
            tokio::select! {
                status = child.wait() => break Some(status?),
                () = &mut deadline => break None,
                () = &mut reading, if open => open = false,
            }
        }
    };
    let end = match exited {
        Some(status) => {
            group.release();
            End::Exited(status)
        }
        None => {
            group.signal(Signal::TERM);
            let reading = async {
                drain(&mut pipe, &mut output).await;
                pending::<()>().await;
            };
            // The leader is not waited for before the last signal, so that the group keeps its id. What outlives its leader has its time too.
            let _ = timeout(GRACE, reading).await;
            group.signal(Signal::KILL);
            if let Ok(Ok(_)) = timeout(REAP, child.wait()).await {
                group.release();
            }
            End::TimedOut
        }
    };
    let _ = timeout(LINGER, drain(&mut pipe, &mut output)).await;
    Ok(Ended { end, output })
}

/// Starts it. The ends of the pipe that it writes to are closed here when this returns.
fn start(file: &Path, name: &str, arguments: &[String], writer: PipeWriter) -> io::Result<(Child, Group)> {
    let stderr = writer.try_clone()?;
    let child = Command::new(file)
        .arg0(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::from(writer))
        .stderr(Stdio::from(stderr))
        .process_group(0)
        .spawn()?;
    let group = Group::of(&child);
    Ok((child, group))
}

fn receiver(reader: PipeReader) -> io::Result<Receiver> {
    Receiver::from_owned_fd(OwnedFd::from(reader))
}

/// Reads until every writer has closed the pipe. What was read is kept when this future is dropped.
async fn drain(pipe: &mut Receiver, output: &mut Output) {
    let mut chunk = [0; CHUNK];
    while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
        output.push(&chunk[..read]);
    }
}
