//! The share of each guard's traffic, and whether its last rollback is still there, read from the cluster again and again, beside the
//! ticks: a slow API server delays no tick.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::config::Guard;
use crate::engine::{Drift, Unknown, Watched};
use crate::kubernetes::{self, Cluster};

use super::clock::Clock;
use super::world::World;

/// Guards that are read at once. An API server limits the requests of one client; these are small.
const CONCURRENT_READS: usize = 16;

/// A share is believed for this many intervals after it was read.
const BELIEVED_INTERVALS: u32 = 3;

/// And for this long besides: one read may take its whole time-out.
const BELIEVED_BESIDES: Duration = Duration::from_secs(10);

/// What is known of each guard's objects.
#[derive(Debug, Clone)]
pub struct Shares {
    known: Arc<Mutex<HashMap<String, Known>>>,
    /// The rollbacks that are done and watched.
    watched: watch::Receiver<Vec<Watched>>,
}

/// What a guard's objects show.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The share.
    pub share: Result<u8, Unknown>,
    /// What of the watched rollback is not there any more.
    pub drift: Vec<Drift>,
}

#[derive(Debug, Clone)]
struct Known {
    seen: Seen,
    /// The rollback that was watched when they were read.
    watched: Option<Watched>,
    read_at: Timestamp,
}

impl Shares {
    /// Nothing is known yet; `watched` says which rollbacks are.
    pub fn new(watched: watch::Receiver<Vec<Watched>>) -> Self {
        Self { known: Arc::default(), watched }
    }

    /// What is known at `now` of each guard's objects, in the order of the guards.
    pub fn at(&self, guards: &[Guard], now: Timestamp, interval: Duration) -> Vec<Seen> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let watched: HashMap<String, Watched> =
            self.watched.borrow().iter().map(|watched| (watched.guard.clone(), watched.clone())).collect();
        guards.iter().map(|guard| seen(known.get(&guard.name), watched.get(&guard.name), now, interval)).collect()
    }

    fn set(&self, guard: &str, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(guard.to_owned(), known);
    }

    fn watched(&self, guard: &str) -> Option<Watched> {
        self.watched.borrow().iter().find(|watched| watched.guard == guard).cloned()
    }

    async fn read(&self, cluster: &Cluster, guard: &Guard, read_at: Timestamp) -> Known {
        let watched = self.watched(&guard.name);
        let drift = async {
            let Some(watched) = &watched else { return Vec::new() };
            let Watched { percentage, reason, incident, decided_at, .. } = watched;
            let vars = kubernetes::variables(&guard.name, &guard.vars, *percentage, reason, incident, *decided_at);
            // What cannot be read is no drift; that the share is not known is said elsewhere.
            cluster.drift(&guard.steps, &vars).await.unwrap_or_default()
        };
        let (share, drift) = futures::join!(cluster.share(&guard.steps), drift);
        Known { seen: Seen { share, drift }, watched, read_at }
    }

    /// Reads every guard's objects, once per interval, for ever.
    pub async fn keep_reading(self, cluster: Cluster, world: watch::Receiver<Arc<World>>, clock: Clock) {
        loop {
            let present = world.borrow().clone();
            let interval = present.settings.evaluation.interval;
            let mut guards = present.settings.guards.iter();
            let mut under_way = FuturesUnordered::new();
            loop {
                while under_way.len() < CONCURRENT_READS {
                    let Some(guard) = guards.next() else { break };
                    let (shares, cluster, read_at) = (&self, &cluster, clock.now());
                    under_way.push(async move { (guard.name.as_str(), shares.read(cluster, guard, read_at).await) });
                }
                match under_way.next().await {
                    Some((guard, known)) => self.set(guard, known),
                    None => break,
                }
            }
            clock.sleep(interval).await;
        }
    }
}

fn seen(known: Option<&Known>, watched: Option<&Watched>, now: Timestamp, interval: Duration) -> Seen {
    let unknown = |why| Seen { share: Err(why), drift: Vec::new() };
    let Some(known) = known else { return unknown(Unknown::NotObserved) };
    let age = Duration::try_from(now.duration_since(known.read_at)).unwrap_or_default();
    if age > interval * BELIEVED_INTERVALS + BELIEVED_BESIDES {
        return unknown(Unknown::Stale(age));
    }
    match watched {
        watched if watched == known.watched.as_ref() => known.seen.clone(),
        // Read before the change that is watched now: it says nothing of what is there since.
        Some(_) => unknown(Unknown::NotObserved),
        None => Seen { drift: Vec::new(), ..known.seen.clone() },
    }
}
