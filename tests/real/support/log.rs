//! What a part says while a story runs. Each part writes a file in the story's `logs` folder; they are shown when the story fails.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// How many lines of each file are shown on failure; the files themselves are kept beside the build.
const SHOWN_LINES: usize = 60;

/// A log that a part inside the test writes to. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Log {
    file: Arc<Mutex<File>>,
    start: Instant,
}

impl Log {
    /// Opens `<dir>/<part>.log`, with a number behind the name when a story has several of one part.
    pub fn open(dir: &Path, part: &str) -> std::io::Result<Self> {
        let file = File::create_new(free_name(dir, part)?)?;
        Ok(Self { file: Arc::new(Mutex::new(file)), start: Instant::now() })
    }

    /// Writes one line with the time since the part started.
    pub fn line(&self, text: impl AsRef<str>) {
        let mut file = self.file.lock().expect("no writer panics");
        // A log that cannot be written must not fail the test.
        let _ = writeln!(file, "{:9.3} {}", self.start.elapsed().as_secs_f64(), text.as_ref());
    }
}

/// `<dir>/<part>.log`, or with `-2`, `-3`… when that is taken.
pub fn free_name(dir: &Path, part: &str) -> std::io::Result<std::path::PathBuf> {
    fs::create_dir_all(dir)?;
    let names = std::iter::once(format!("{part}.log")).chain((2..).map(|n| format!("{part}-{n}.log")));
    Ok(names.map(|name| dir.join(name)).find(|file| !file.exists()).expect("endless"))
}

/// The end of each log in a folder, for a failure's message.
pub fn tails(dir: &Path) -> String {
    let mut files: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).filter(|f| f.is_file()).collect();
    files.sort();
    let mut text = String::new();
    for file in files {
        let content = fs::read(&file).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<_> = content.lines().collect();
        if lines.is_empty() {
            continue;
        }
        let skipped = lines.len().saturating_sub(SHOWN_LINES);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!("\n--- {name}"));
        if skipped > 0 {
            text.push_str(&format!(" (the last {SHOWN_LINES} of {} lines)", lines.len()));
        }
        for line in &lines[skipped..] {
            text.push('\n');
            text.push_str(line);
        }
    }
    text
}
