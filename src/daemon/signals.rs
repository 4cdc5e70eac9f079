//! What the operating system says.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook_tokio::Signals as Stream;

/// The exit code of a stop that was cut short by a second signal: 128 and SIGTERM, as shells count.
const CUT_SHORT: i32 = 143;

/// A second signal this soon is the first one again: a terminal or `timeout` sends it to the process and to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(20);

/// A signal, by what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT: stop.
    Stop,
    /// SIGHUP: load the configuration again.
    Reload,
    /// SIGUSR1: log the status.
    Status,
}

/// The signals of this process.
pub struct Signals {
    stream: Stream,
    abort: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> io::Result<Self> {
        let abort = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // Registered first, so that the signal that sets the flag is not the one that it ends the process for.
            flag::register_conditional_shutdown(signal, CUT_SHORT, Arc::clone(&abort))?;
        }
        Ok(Self { stream: Stream::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?, abort })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        loop {
            match self.stream.next().await {
                Some(SIGTERM | SIGINT) => return Signal::Stop,
                Some(SIGHUP) => return Signal::Reload,
                Some(SIGUSR1) => return Signal::Status,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// From a moment on, SIGTERM or SIGINT ends the process at once.
    pub fn abort_on_next(&self) {
        let abort = Arc::clone(&self.abort);
        tokio::spawn(async move {
            tokio::time::sleep(SAME_SIGNAL).await;
            abort.store(true, Ordering::SeqCst);
        });
    }
}
