//! The share of each guard's traffic, read from the cluster again and again, beside the ticks: a slow API server delays no tick.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::engine::Unknown;
use crate::kubernetes::Cluster;

use super::clock::Clock;
use super::world::World;

/// Guards that are read at once. An API server limits the requests of one client; these are small.
const CONCURRENT_READS: usize = 16;

/// A share is believed for this many intervals after it was read.
const BELIEVED_INTERVALS: u32 = 3;

/// And for this long besides: one read may take its whole time-out.
const BELIEVED_BESIDES: Duration = Duration::from_secs(10);

/// The last known share of each guard.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    known: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Debug, Clone)]
struct Known {
    share: Result<u8, Unknown>,
    read_at: Timestamp,
}

impl Shares {
    /// A guard's share at `now`.
    pub fn get(&self, guard: &str, now: Timestamp, interval: Duration) -> Result<u8, Unknown> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.get(guard) else { return Err(Unknown::NotObserved) };
        let age = Duration::try_from(now.duration_since(known.read_at)).unwrap_or_default();
        if age > interval * BELIEVED_INTERVALS + BELIEVED_BESIDES {
            return Err(Unknown::Stale(age));
        }
        known.share.clone()
    }

    fn set(&self, guard: &str, share: Result<u8, Unknown>, read_at: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(guard.to_owned(), Known { share, read_at });
    }

    /// Reads every guard's share, once per interval, for ever.
    pub async fn keep_reading(self, cluster: Cluster, world: watch::Receiver<Arc<World>>, clock: Clock) {
        loop {
            let present = world.borrow().clone();
            let interval = present.settings.evaluation.interval;
            let mut guards = present.settings.guards.iter();
            let mut under_way = FuturesUnordered::new();
            loop {
                while under_way.len() < CONCURRENT_READS {
                    let Some(guard) = guards.next() else { break };
                    let (cluster, read_at) = (&cluster, clock.now());
                    under_way.push(async move { (guard.name.as_str(), cluster.share(&guard.steps).await, read_at) });
                }
                match under_way.next().await {
                    Some((guard, share, read_at)) => self.set(guard, share, read_at),
                    None => break,
                }
            }
            clock.sleep(interval).await;
        }
    }
}
