//! What is written to stdout: lines with a time, and one that changes.

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::time::Duration;

use jiff::Timestamp;

/// The width of the line that changes, in characters. One that goes on in the next row of the terminal could not be written over.
const WIDTH: usize = 79;

/// Who says a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A person who moves traffic.
    Operator,
    /// The simulated cluster and its mesh.
    World,
    /// Ripcord.
    Ripcord,
    /// Whoever gets the pages.
    Oncall,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::World => "world",
            Self::Ripcord => "ripcord",
            Self::Oncall => "oncall",
        }
    }

    /// The number of its colour (ECMA-48, SGR).
    fn colour(self) -> u8 {
        match self {
            Self::Operator => 34,
            Self::World => 33,
            Self::Ripcord => 36,
            Self::Oncall => 35,
        }
    }
}

/// Stdout. Times are shown as minutes and seconds since the beginning.
pub struct Screen {
    out: Stdout,
    begun: Timestamp,
    terminal: bool,
    colours: bool,
    /// How long the changing line is that stands there now.
    changing: usize,
    /// The time of the last line: a changing one never shows an earlier one.
    last: Timestamp,
    /// The minute of the last changing line, where it cannot change.
    minute: Option<u64>,
}

impl Screen {
    /// Stdout, for a story that begins at a time.
    pub fn stdout(begun: Timestamp) -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colours = terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { out, begun, terminal, colours, changing: 0, last: begun, minute: None }
    }

    /// A line without a time.
    pub fn plain(&mut self, text: &str) -> io::Result<()> {
        self.end_changing()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// A line of the story.
    pub fn say(&mut self, at: Timestamp, who: Who, text: &str) -> io::Result<()> {
        self.end_changing()?;
        self.last = at;
        let (on, off) = if self.colours { (format!("\x1b[{}m", who.colour()), "\x1b[0m") } else { (String::new(), "") };
        writeln!(self.out, "{}  {on}{:<8}{off}  {text}", self.time(at), who.name())?;
        self.out.flush()
    }

    /// The line that changes: written over the one before on a terminal, once a minute elsewhere.
    pub fn change(&mut self, at: Timestamp, text: &str) -> io::Result<()> {
        self.last = self.last.max(at);
        let at = self.last;
        let mut line = format!("{}  {text}", self.time(at));
        if self.terminal {
            line.truncate(line.char_indices().nth(WIDTH).map_or(line.len(), |(end, _)| end));
            // What is longer in the old line is written over with spaces.
            write!(self.out, "\r{line:<width$}", width = self.changing)?;
            self.changing = line.chars().count();
        } else {
            let minute = Some(self.since(at).as_secs() / 60);
            if self.minute == minute {
                return Ok(());
            }
            self.minute = minute;
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    /// Leaves the changing line as it is; what comes next begins a new one.
    fn end_changing(&mut self) -> io::Result<()> {
        self.minute = None;
        if std::mem::take(&mut self.changing) > 0 {
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn since(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.begun)).unwrap_or_default()
    }

    fn time(&self, at: Timestamp) -> String {
        let seconds = self.since(at).as_secs();
        format!("{:>2}:{:02}", seconds / 60, seconds % 60)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody sees it where stdout is gone.
        let _ = self.end_changing();
    }
}

/// A bar of so many characters: `[####----]`.
pub fn bar(done: f64, width: usize) -> String {
    // The cast saturates, and a part beyond the whole is the whole.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let full = ((done * width as f64) as usize).min(width);
    format!("[{}{}]", "#".repeat(full), "-".repeat(width - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_what_is_done() {
        assert_eq!(bar(0.0, 4), "[----]");
        assert_eq!(bar(0.5, 4), "[##--]");
        assert_eq!(bar(1.0, 4), "[####]");
        assert_eq!(bar(7.0, 4), "[####]");
        assert_eq!(bar(f64::NAN, 4), "[----]");
    }
}
