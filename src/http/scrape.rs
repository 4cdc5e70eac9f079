//! The metrics as text. To render them takes a while where there are hundreds of guards, and `/metrics` is never limited: so those who ask
//! at the same time share one rendering. It begins after each of them has asked, so that nobody gets what was true before.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// From the beginning of one rendering to that of the next. Who comes between waits: ten a second leave the processor to deciding, and a scrape
/// has ten seconds.
const APART: Duration = Duration::from_millis(100);

/// The last rendering, which who waits for it shares.
#[derive(Clone, Default)]
pub(super) struct Scrapes(Arc<Mutex<Last>>);

#[derive(Default)]
struct Last {
    began: Option<Instant>,
    text: Bytes,
}

impl Scrapes {
    /// A rendering that begins after this call. Who goes away leaves it to the next one.
    pub async fn text(&self, render: impl FnOnce() -> String) -> Bytes {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(began) = last.began {
            if began > asked {
                return last.text.clone();
            }
            sleep_until(began + APART).await;
        }
        last.began = Some(Instant::now());
        last.text = render().into();
        last.text.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_share_one_and_nobody_gets_what_was_before() {
        let (scrapes, count) = (Scrapes::default(), AtomicU32::new(0));
        let ask = || scrapes.text(|| (count.fetch_add(1, Ordering::SeqCst) + 1).to_string());
        let start = Instant::now();
        assert_eq!((ask().await, start.elapsed()), ("1".into(), Duration::ZERO));
        let all = futures::future::join_all((0..500).map(|_| ask())).await;
        assert!(all.iter().all(|text| text == "2"), "{all:?}");
        assert_eq!(start.elapsed(), APART);
        // Later the next one is made at once.
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!((ask().await, start.elapsed()), ("3".into(), APART + Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_holds_nobody_up() {
        let scrapes = Scrapes::default();
        scrapes.text(|| "1".to_owned()).await;
        let gone = tokio::time::timeout(APART / 2, scrapes.text(|| "2".to_owned())).await;
        assert!(gone.is_err());
        assert_eq!(scrapes.text(|| "3".to_owned()).await, "3");
    }
}
