//! The last resort: whatever ends the test run (Ctrl-C, SIGKILL, an abort), its processes and its temporary folder go with it.
//!
//! The reaper is a shell that waits for its standard input to end, which it does when the run is over in whatever way. Then it kills
//! the process groups listed in the run's `pids` folder and removes the run's folder. Each child is listed there from its start until
//! somebody has waited for it, so that a number is never used after it may have gone to another process.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"
cat >/dev/null
for entry in "$1"/pids/*; do
    [ -e "$entry" ] && kill -KILL "-${entry##*/}" 2>/dev/null
done
rm -rf "$1"
"#;

/// Ends with the run; see the module.
#[derive(Debug)]
pub struct Reaper {
    shell: Child,
    root: PathBuf,
}

impl Reaper {
    /// Starts it for a run whose temporary folder is `root`.
    pub fn start(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("pids"))?;
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "reaper"])
            .arg(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of a Ctrl-C meant for the run.
            .process_group(0)
            .spawn()?;
        Ok(Self { shell, root: root.to_owned() })
    }

    /// The folder of the run.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
