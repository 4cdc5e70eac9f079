//! The task that looks at the Lease, takes it, renews it and gives it back.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

use super::leadership::{Leadership, Term};
use super::record::{Standing, View};
use super::{ElectionEvent, LeaseSettings, LossReason, Times};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::error::{Call, CallError, Verb};
use crate::kubernetes::object::ObjectRef;

/// How long a clean stop may take to give the Lease back. A healthy API server needs milliseconds; without it the others
/// only wait a little longer.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time between two tries to give the Lease back.
const RELEASE_PAUSE: Duration = Duration::from_millis(200);

/// How much earlier than after a whole retry period a standby may look, as a part of it: several of them shall not all
/// look at the same moment.
const JITTER: f64 = 0.2;

/// One that stands for election.
pub(super) struct Candidate {
    cluster: Cluster,
    object: ObjectRef,
    times: Times,
    view: View,
    leadership: Leadership,
    events: mpsc::UnboundedSender<ElectionEvent>,
    /// The term of the last renewal that worked. `Some` until the leadership is lost, even if the wall clock jumped.
    term: Option<Term>,
    holder: Option<String>,
    /// The last failure, while the Lease cannot be read or written.
    failing: Option<String>,
}

impl Candidate {
    pub(super) fn new(
        cluster: Cluster,
        settings: LeaseSettings,
        leadership: Leadership,
        events: mpsc::UnboundedSender<ElectionEvent>,
    ) -> Self {
        let times = Times::of(settings.duration);
        let view = View::new(leadership.identity().to_owned(), times.duration);
        let object = settings.object;
        Self { cluster, object, times, view, leadership, events, term: None, holder: None, failing: None }
    }

    /// Stands for election until it is stopped, and then gives the Lease back.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Result<(), CallError> {
        loop {
            let began = Instant::now();
            let attempt = tokio::select! {
                biased;
                stopped = &mut stop => return self.end(stopped.is_ok()).await,
                attempt = self.attempt() => attempt,
            };
            self.tell_failure(attempt.err());
            let next = began + self.pause();
            loop {
                self.check_deadline();
                if Instant::now() >= next {
                    break;
                }
                let wake = self.term.map_or(next, |term| next.min(term.ends()));
                tokio::select! {
                    biased;
                    stopped = &mut stop => return self.end(stopped.is_ok()).await,
                    () = sleep_until(wake.into()) => {}
                }
            }
        }
    }

    /// Renews, or looks and takes what is free.
    async fn attempt(&mut self) -> Result<(), CallError> {
        self.check_deadline();
        if self.term.is_some() && self.view.is_ours() {
            match self.claim().await {
                Err(e) if e.is_conflict() || e.is_not_found() => {}
                other => return other,
            }
        }
        let standing = self.look().await?;
        // Nobody else holds what was deleted under its holder: that one creates it anew, the others wait.
        let deleted = self.view.is_absent() && self.term.is_some();
        if standing != Standing::Ours && !deleted {
            self.lose(self.view.holder().map_or(LossReason::Altered, |by| LossReason::Taken { by: by.to_owned() }));
        }
        if standing == Standing::Held && !deleted {
            return Ok(());
        }
        match self.claim().await {
            // Somebody was faster: the next look shows who.
            Err(e) if e.is_conflict() => Ok(()),
            other => other,
        }
    }

    async fn look(&mut self) -> Result<Standing, CallError> {
        let found = match self.cluster.get_within(self.limit(), &self.object).await {
            Ok(found) => Some(found),
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(e),
        };
        Ok(self.saw(found))
    }

    /// Takes in what the server has just answered.
    fn saw(&mut self, found: Option<Lease>) -> Standing {
        let standing = self.view.look(found, Instant::now());
        let holder = self.view.holder().map(str::to_owned);
        if holder != self.holder {
            self.holder.clone_from(&holder);
            self.leadership.set_holder(holder.clone());
            self.tell(ElectionEvent::Holder(holder));
        }
        standing
    }

    /// Writes our name into the Lease, over the state that was last seen.
    async fn claim(&mut self) -> Result<(), CallError> {
        let (began, wall) = (Instant::now(), SystemTime::now());
        let lease = self.view.claim(&self.object, timestamp(wall));
        let answer = if self.view.is_absent() {
            self.cluster.create_within(self.limit(), &self.object, &lease).await?
        } else {
            self.cluster.replace_within(self.limit(), &self.object, &lease).await?
        };
        let term = Term { began, wall, good_for: self.times.renew_deadline };
        // An answer that was too long on its way, or that came before the process was stopped and is read only now, says
        // nothing about this moment.
        if self.saw(Some(answer)) == Standing::Ours && term.holds(Instant::now(), SystemTime::now()) {
            self.leadership.set_term(Some(term));
            if self.term.replace(term).is_none() {
                self.tell(ElectionEvent::Elected);
            }
        }
        Ok(())
    }

    /// How long the next call may take: a holder must know at its deadline that it has lost.
    fn limit(&self) -> Duration {
        let left = self.term.map(|term| term.ends().saturating_duration_since(Instant::now()));
        left.map_or(self.times.call, |left| left.min(self.times.call))
    }

    /// The time between the beginnings of two attempts.
    fn pause(&self) -> Duration {
        match self.term {
            Some(_) => self.times.retry_period,
            None => self.times.retry_period.mul_f64(1.0 - JITTER * fastrand::f64()),
        }
    }

    fn check_deadline(&mut self) {
        if self.term.is_some_and(|term| term.ends() <= Instant::now()) {
            self.lose(LossReason::NotRenewed { error: self.failing.clone() });
        }
    }

    /// Ends the leadership, if there is one.
    fn lose(&mut self, reason: LossReason) {
        if self.term.take().is_some() {
            self.leadership.set_term(None);
            self.tell(ElectionEvent::Lost(reason));
        }
    }

    fn tell_failure(&mut self, error: Option<CallError>) {
        let error = error.map(|e| e.to_string());
        match (&self.failing, &error) {
            (None, Some(error)) => self.tell(ElectionEvent::Failing(error.clone())),
            (Some(_), None) => self.tell(ElectionEvent::Recovered),
            _ => {}
        }
        self.failing = error;
    }

    fn tell(&self, event: ElectionEvent) {
        // Nobody listens any more only when the process ends.
        let _ = self.events.send(event);
    }

    /// Ends, and gives the Lease back if that is wished.
    async fn end(mut self, give_back: bool) -> Result<(), CallError> {
        self.leadership.close();
        self.term = None;
        if !give_back || !self.view.has_claimed() {
            return Ok(());
        }
        let mut failure = None;
        match timeout(RELEASE_TIMEOUT, self.give_back(&mut failure)).await {
            Ok(()) => Ok(()),
            Err(_) => {
                let call = Call::new(Verb::Replace, &self.object);
                Err(failure.unwrap_or_else(|| CallError::timed_out(&call, RELEASE_TIMEOUT)))
            }
        }
    }

    /// Tries until the Lease does not name us. What was under way when the stop came may have changed it unseen; the
    /// resourceVersion tells.
    async fn give_back(&mut self, failure: &mut Option<CallError>) {
        loop {
            if let Some(lease) = self.view.give_back(timestamp(SystemTime::now())) {
                match self.cluster.replace_within::<Lease>(self.limit(), &self.object, &lease).await {
                    Ok(_) => return,
                    Err(e) if e.is_conflict() || e.is_not_found() => {}
                    Err(e) => *failure = Some(e),
                }
            }
            match self.look().await {
                Ok(Standing::Ours) => {}
                Ok(_) => return,
                Err(e) => *failure = Some(e),
            }
            sleep(RELEASE_PAUSE).await;
        }
    }
}

/// A time as it is written. One that no calendar holds is as good as any: nobody compares it with a clock.
fn timestamp(wall: SystemTime) -> Timestamp {
    Timestamp::try_from(wall).unwrap_or_default()
}
