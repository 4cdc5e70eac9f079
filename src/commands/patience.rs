//! Saying what is waited for.

use std::time::Duration;

use tokio::time::sleep;

use super::say;

/// Who waits longer than this wants to know what for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does some work, and says on stderr what it is when it takes long.
pub(super) async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = sleep(PATIENCE) => {}
    }
    say(&format!("{what} …"));
    work.await
}
