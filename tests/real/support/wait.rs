//! Waiting for a condition, never for luck.

use std::fmt::Display;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep, timeout_at};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What a look at a condition gives: `bool`, `Option<T>` or `Result<T, E>`, whose error is the state to show when time is up.
pub trait Seen {
    /// What there is when the condition holds.
    type Value;
    /// The value, or the state in words.
    fn seen(self) -> Result<Self::Value, String>;
}

impl Seen for bool {
    type Value = ();
    fn seen(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "it is not so".to_owned())
    }
}

impl<T> Seen for Option<T> {
    type Value = T;
    fn seen(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing is there".to_owned())
    }
}

impl<T, E: Display> Seen for Result<T, E> {
    type Value = T;
    fn seen(self) -> Result<T, String> {
        self.map_err(|e| format!("{e:#}"))
    }
}

/// Looks until the condition holds and gives its value. Fails after `timeout`, saying what was waited for and what was seen last.
pub async fn eventually<S: Seen>(
    timeout: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> S,
) -> anyhow::Result<S::Value> {
    let end = Instant::now() + timeout;
    let mut last = "the first look never ended".to_owned();
    loop {
        match timeout_at(end, look()).await.map(S::seen) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) => last = state,
            Err(_) => bail!("Waited {timeout:?} in vain until {what}; last: {last}"),
        }
        if Instant::now() >= end {
            bail!("Waited {timeout:?} in vain until {what}; last: {last}");
        }
        sleep(PAUSE).await;
    }
}

/// Looks for the whole of `duration` and fails at once when the condition holds. A look that fails counts as "not so".
pub async fn never<S: Seen>(duration: Duration, what: &str, mut look: impl AsyncFnMut() -> S) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < duration {
        if look().await.seen().is_ok() {
            bail!("It happened after {:?}, and must not: {what}", start.elapsed());
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
