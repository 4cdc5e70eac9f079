//! Who leads, where there are several replicas: election by a Lease, with the semantics of client-go's `leaderelection`.
//!
//! - `record`: what is known of the Lease and what may be done with it. Pure; read this first
//! - `leadership`: whether this process may act right now
//! - `candidate`: the task that looks, takes, renews and gives back
//!
//! Times of different machines are never compared. A candidate that sees the Lease's record unchanged for the holder's
//! duration, by its own monotonic clock, may take it. The holder stops to act after two thirds of that duration without a
//! renewal, counted from the *start* of the last one that worked, so it has stopped before anybody else begins. Every
//! write names the resourceVersion that it goes over, so of several who try one wins.
//!
//! An election is no fence for a write that is on its way already; the preconditions of the writes are.

mod candidate;
mod leadership;
mod record;

use std::fmt;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::engine::{Language, Sentence};

use super::announce::instance;
use super::cluster::{CALL_TIMEOUT, Cluster};
use super::error::CallError;
use super::object::ObjectRef;

use candidate::Candidate;
pub use leadership::Leadership;

/// The shortest time that a Lease can be held for: its duration is kept in whole seconds.
pub const SHORTEST_DURATION: Duration = Duration::from_secs(1);

/// The longest time that a Lease is held for, and waited for. Nobody leads for so long after a crash. A Lease that claims
/// more was not written by Ripcord, and must not keep it from ever acting.
pub const LONGEST_DURATION: Duration = Duration::from_secs(60 * 60);

/// The part of the duration within which the holder must renew, or stop: that of client-go (10 s of 15 s). The rest is
/// for clocks that do not run equally fast.
const RENEW_DEADLINE: f64 = 2.0 / 3.0;

/// The part of the duration between two looks or renewals: that of client-go (2 s of 15 s), so that a holder can fail
/// several times within its deadline.
const RETRY_PERIOD: f64 = 2.0 / 15.0;

/// The least time between two looks: a few replicas that look more often would be a load for nothing.
const MIN_RETRY_PERIOD: Duration = Duration::from_millis(200);

/// The most: a Lease that was given back is taken within this time, however long it is held for otherwise.
const MAX_RETRY_PERIOD: Duration = Duration::from_secs(2);

/// How many calls in a row may get no answer within the renew deadline. With three, one dead connection costs no
/// leadership: the second call opens a new one.
const CALLS_PER_DEADLINE: u32 = 3;

/// Where the Lease is and how long it is held for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The Lease.
    pub object: ObjectRef,
    /// How long the others wait after the last sign of life of the holder. Kept between [`SHORTEST_DURATION`] and
    /// [`LONGEST_DURATION`].
    pub duration: Duration,
}

/// The times that follow from the duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
    call: Duration,
}

impl Times {
    fn of(duration: Duration) -> Self {
        let duration = duration.clamp(SHORTEST_DURATION, LONGEST_DURATION);
        let renew_deadline = duration.mul_f64(RENEW_DEADLINE);
        Self {
            duration,
            renew_deadline,
            retry_period: duration.mul_f64(RETRY_PERIOD).clamp(MIN_RETRY_PERIOD, MAX_RETRY_PERIOD),
            call: CALL_TIMEOUT.min(renew_deadline / CALLS_PER_DEADLINE),
        }
    }
}

/// A name for this process that no other has: that of the pod or host, and eight random hexadecimal digits.
pub fn new_identity() -> String {
    format!("{}_{:08x}", instance(), fastrand::u32(..))
}

/// What happens in an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElectionEvent {
    /// This process leads from now on.
    Elected,
    /// It does not lead any more. It goes on trying.
    Lost(LossReason),
    /// Another holder is seen, or none.
    Holder(Option<String>),
    /// The Lease cannot be read or written since now; said once until [`Self::Recovered`].
    Failing(String),
    /// The Lease can be read and written again.
    Recovered,
}

/// Why a leadership ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LossReason {
    /// The Lease names another holder.
    Taken {
        /// Who holds it.
        by: String,
    },
    /// Somebody wrote into the Lease, and it names no holder.
    Altered,
    /// No renewal worked within the renew deadline.
    NotRenewed {
        /// The last failure, if there was one: a process that was stopped for a while had none.
        error: Option<String>,
    },
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { by } => write!(f, "{by} holds the Lease"),
            Self::Altered => f.write_str("the Lease was altered by somebody and names no holder"),
            Self::NotRenewed { error: Some(error) } => write!(f, "the Lease was not renewed in time: {error}"),
            Self::NotRenewed { error: None } => {
                f.write_str("the Lease was not renewed in time: this process was stopped or starved for a while")
            }
        }
    }
}

impl LossReason {
    /// The same in every language.
    pub fn in_words(&self) -> Sentence {
        Sentence::of(|language| match (language, self) {
            (Language::English, _) => self.to_string(),
            (Language::Chinese, Self::Taken { by }) => format!("Lease 已由 {by} 持有"),
            (Language::Chinese, Self::Altered) => "Lease 被人改动，上面没有持有者".to_owned(),
            (Language::Chinese, Self::NotRenewed { error: Some(error) }) => format!("Lease 未能按时续期：{error}"),
            (Language::Chinese, Self::NotRenewed { error: None }) => {
                "Lease 未能按时续期：本进程曾被暂停，或长时间分不到 CPU".to_owned()
            }
        })
    }
}

/// A running election. Dropping it ends it as a crash would: the Lease is not given back, and the others wait it out.
#[derive(Debug)]
pub struct Election {
    leadership: Leadership,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), CallError>>,
}

impl Election {
    /// Begins to stand for election, under a name from [`new_identity`]. What happens is sent to `events`; when that
    /// channel closes, the election has ended, and nobody renews any more.
    pub fn start(
        cluster: Cluster,
        settings: LeaseSettings,
        identity: String,
        events: mpsc::UnboundedSender<ElectionEvent>,
    ) -> Self {
        let leadership = Leadership::new(identity);
        let (stop, stopped) = oneshot::channel();
        let candidate = Candidate::new(cluster, settings, leadership.clone(), events);
        Self { leadership, stop: Some(stop), task: tokio::spawn(candidate.run(stopped)) }
    }

    /// Whether this process leads; see there.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// For a clean stop: does not lead from now on, and gives the Lease back if this process holds it, so that the next
    /// one takes it at its next look. Takes at most five seconds; an error means that the others wait it out.
    pub async fn release(mut self) -> Result<(), CallError> {
        self.leadership.close();
        if let Some(stop) = self.stop.take() {
            // An error means that the task has ended, and the wait for it says how.
            let _ = stop.send(());
        }
        // A task that panicked holds nothing back: the others wait the Lease out.
        (&mut self.task).await.unwrap_or(Ok(()))
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.leadership.close();
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: the duration, the renew deadline, the retry period and the time of a call, in milliseconds.
    #[test]
    fn the_times_are_those_of_client_go() {
        let cases = [
            (15_000, [15_000, 10_000, 2_000, 3_333]),
            (3_000, [3_000, 2_000, 400, 666]),
            (1_000, [1_000, 666, 200, 222]),
            (0, [1_000, 666, 200, 222]),
            (60_000, [60_000, 40_000, 2_000, 5_000]),
            (u64::MAX, [3_600_000, 2_400_000, 2_000, 5_000]),
        ];
        for (duration, wanted) in cases {
            let times = Times::of(Duration::from_millis(duration));
            let all = [times.duration, times.renew_deadline, times.retry_period, times.call];
            assert_eq!(all.map(|time| time.as_millis()), wanted, "{duration} ms");
        }
    }

    #[test]
    fn no_two_identities_are_equal() {
        let (one, other) = (new_identity(), new_identity());
        assert_ne!(one, other);
        let (name, digits) = one.rsplit_once('_').expect("a separator");
        assert!(name == instance() && digits.len() == 8, "{one}");
    }
}
