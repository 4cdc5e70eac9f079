//! What is known of the Lease, and what may be done with it. Pure: times are arguments.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::LONGEST_DURATION;
use crate::kubernetes::FIELD_MANAGER;
use crate::kubernetes::object::ObjectRef;

/// The duration that a Lease says when it was given back, in seconds: client-go's. Together with the missing holder it
/// tells it from one that somebody emptied by hand.
const GIVEN_BACK: i32 = 1;

/// Whose the Lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ours, by our own writing.
    Ours,
    /// Nobody's: it may be taken.
    Free,
    /// Somebody's who may be alive, or not to be told yet.
    Held,
}

/// The Lease as one candidate sees it.
#[derive(Debug)]
pub(super) struct View {
    identity: String,
    /// How long we hold it for.
    duration: Duration,
    /// Whether we have ever tried to write our name. Before, a Lease with our name is somebody else's.
    claimed: bool,
    seen: Option<Seen>,
}

/// What was seen last.
#[derive(Debug)]
struct Seen {
    /// `None`: there was none.
    lease: Option<Lease>,
    /// When this record was first seen, by the local monotonic clock. Other machines' clocks mean nothing here.
    since: Instant,
    /// How long it keeps others away, from `since` on.
    valid_for: Duration,
}

impl View {
    /// Nothing is known yet.
    pub(super) fn new(identity: String, duration: Duration) -> Self {
        Self { identity, duration, claimed: false, seen: None }
    }

    /// Takes in what the server has just answered, and says whose the Lease is.
    pub(super) fn look(&mut self, lease: Option<Lease>, now: Instant) -> Standing {
        let before = self.seen.take();
        // Only the record is a sign of life of its holder. Labels and annotations are other people's, and change the
        // resourceVersion too.
        let seen = match before {
            Some(seen) if record(&seen.lease) == record(&lease) => Seen { lease, ..seen },
            before => {
                let valid_for = match &lease {
                    Some(lease) if is_given_back(lease) => Duration::ZERO,
                    Some(lease) => held_for(lease).unwrap_or(self.duration),
                    // A holder that is alive creates it anew, and the others must not be faster. Where there never was
                    // one, there is no holder.
                    None => before.map_or(Duration::ZERO, |seen| seen.valid_for.max(self.duration)),
                };
                Seen { lease, since: now, valid_for }
            }
        };
        let is_over = now.saturating_duration_since(seen.since) >= seen.valid_for;
        self.seen = Some(seen);
        match is_over {
            _ if self.is_ours() => Standing::Ours,
            true => Standing::Free,
            false => Standing::Held,
        }
    }

    /// Whether the Lease was ours when last seen.
    pub(super) fn is_ours(&self) -> bool {
        self.claimed && self.holder() == Some(self.identity.as_str())
    }

    /// Whether there was no Lease when last looked.
    pub(super) fn is_absent(&self) -> bool {
        self.lease().is_none()
    }

    /// Whether the Lease may be ours.
    pub(super) fn has_claimed(&self) -> bool {
        self.claimed
    }

    /// Who held the Lease when last seen.
    pub(super) fn holder(&self) -> Option<&str> {
        holder(self.lease()?)
    }

    /// The Lease with our name in it, to be written over the one last seen. What is not ours in it stays.
    pub(super) fn claim(&mut self, object: &ObjectRef, now: Timestamp) -> Lease {
        let renewing = self.is_ours();
        self.claimed = true;
        let mut lease = self.lease().cloned().unwrap_or_else(|| new(object));
        let is_new = self.is_absent();
        let spec = lease.spec.get_or_insert_default();
        let now = time_to_write(spec.renew_time.as_ref().filter(|_| renewing), now);
        if !renewing {
            let before = spec.lease_transitions.unwrap_or_default().max(0);
            spec.lease_transitions = Some(if is_new { 0 } else { before.saturating_add(1) });
            spec.acquire_time = Some(now.clone());
        }
        spec.acquire_time.get_or_insert_with(|| now.clone());
        spec.renew_time = Some(now);
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(whole_seconds(self.duration));
        lease
    }

    /// The Lease given back, if it is ours.
    pub(super) fn give_back(&self, now: Timestamp) -> Option<Lease> {
        let mut lease = self.lease().filter(|_| self.is_ours())?.clone();
        let spec = lease.spec.get_or_insert_default();
        let now = time_to_write(None, now);
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(GIVEN_BACK);
        (spec.acquire_time, spec.renew_time) = (Some(now.clone()), Some(now));
        Some(lease)
    }

    fn lease(&self) -> Option<&Lease> {
        self.seen.as_ref()?.lease.as_ref()
    }
}

/// What is compared to see a change: whether there is a Lease, and what it says.
fn record(lease: &Option<Lease>) -> Option<Option<&LeaseSpec>> {
    lease.as_ref().map(|lease| lease.spec.as_ref())
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|name| !name.is_empty())
}

fn is_given_back(lease: &Lease) -> bool {
    let marked = |spec: &LeaseSpec| spec.lease_duration_seconds == Some(GIVEN_BACK) && spec.renew_time.is_some();
    holder(lease).is_none() && lease.spec.as_ref().is_some_and(marked)
}

/// How long its holder says that it holds it. `None`: it has no holder, or says nothing that makes sense.
fn held_for(lease: &Lease) -> Option<Duration> {
    holder(lease)?;
    let seconds = u64::try_from(lease.spec.as_ref()?.lease_duration_seconds?).ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds).min(LONGEST_DURATION))
}

/// The duration as it is written, never less than it is.
fn whole_seconds(duration: Duration) -> i32 {
    let up = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs().saturating_add(up)).unwrap_or(i32::MAX)
}

/// The time to write: later than that of the renewal before, even if the wall clock stands still or was set back, or the
/// others might see no sign of life.
fn time_to_write(renewed: Option<&MicroTime>, now: Timestamp) -> MicroTime {
    let after = renewed.map_or(i64::MIN, |before| before.0.as_microsecond().saturating_add(1));
    // Beyond the end of the calendar there is no later time.
    MicroTime(Timestamp::from_microsecond(now.as_microsecond().max(after)).unwrap_or(now))
}

fn new(object: &ObjectRef) -> Lease {
    let labels = ["app.kubernetes.io/name", "app.kubernetes.io/managed-by"];
    Lease {
        metadata: ObjectMeta {
            name: Some(object.name.clone()),
            namespace: Some(object.namespace.clone()),
            labels: Some(labels.map(|key| (key.to_owned(), FIELD_MANAGER.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::Kind;
    use serde_json::{Value, json};

    const OWN: Duration = Duration::from_secs(15);

    fn object() -> ObjectRef {
        ObjectRef { kind: Kind::Lease, namespace: "ns".into(), name: "ripcord".into() }
    }

    fn lease(version: u32, spec: &Value) -> Option<Lease> {
        let value = json!({"metadata": {"name": "ripcord", "resourceVersion": version.to_string()}, "spec": spec});
        Some(serde_json::from_value(value).expect("a Lease"))
    }

    fn spec(holder: &str, seconds: i32, renewed: &str) -> Value {
        json!({
            "holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": 3,
            "acquireTime": "2026-01-02T03:00:00.000000Z", "renewTime": format!("2026-01-02T{renewed}.000000Z"),
        })
    }

    fn view() -> View {
        View::new("me".to_owned(), OWN)
    }

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// A second, and the record that is found then; `None`: no Lease.
    type Look = (u64, Option<Value>);

    /// Each row: looks, as the second at which they are made and the record that is found; whose the Lease is at the last.
    #[test]
    fn a_record_that_stays_the_same_for_the_holders_duration_is_free() {
        use Standing::{Free, Held};
        let alive = |renewed| spec("other", 15, renewed);
        let released =
            json!({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": "2026-01-02T03:04:00.000000Z"});
        let released_by_client_go = json!({"leaseDurationSeconds": 1, "renewTime": "2026-01-02T03:04:00.000000Z"});
        let no_renewal = json!({"holderIdentity": "other", "leaseDurationSeconds": 15});
        let no_duration = json!({"holderIdentity": "other", "renewTime": "2026-01-02T03:04:00.000000Z"});
        let emptied = spec("", 15, "03:04:00");
        let cases: Vec<(&str, Vec<Look>, Standing)> = vec![
            ("none, at the first look", vec![(0, None)], Free),
            ("still none", vec![(0, None), (2, None)], Free),
            ("the first look at one long dead: that is not known yet", vec![(0, Some(alive("03:04:00")))], Held),
            ("unchanged, nearly long enough", vec![(0, Some(alive("03:04:00"))), (14, Some(alive("03:04:00")))], Held),
            ("unchanged for its duration", vec![(0, Some(alive("03:04:00"))), (15, Some(alive("03:04:00")))], Free),
            (
                "renewed in between",
                vec![(0, Some(alive("03:04:00"))), (10, Some(alive("03:04:10"))), (24, Some(alive("03:04:10")))],
                Held,
            ),
            (
                "renewed in between, and then no more",
                vec![(0, Some(alive("03:04:00"))), (10, Some(alive("03:04:10"))), (25, Some(alive("03:04:10")))],
                Free,
            ),
            (
                "renewed with a clock that goes backwards",
                vec![(0, Some(alive("03:04:00"))), (14, Some(alive("01:00:00"))), (28, Some(alive("00:30:00")))],
                Held,
            ),
            (
                "it says a longer duration",
                vec![(0, Some(spec("o", 60, "03:04:00"))), (59, Some(spec("o", 60, "03:04:00")))],
                Held,
            ),
            (
                "that is over too",
                vec![(0, Some(spec("o", 60, "03:04:00"))), (60, Some(spec("o", 60, "03:04:00")))],
                Free,
            ),
            (
                "it says a shorter duration",
                vec![(0, Some(spec("o", 5, "03:04:00"))), (5, Some(spec("o", 5, "03:04:00")))],
                Free,
            ),
            (
                "it says a hundred years",
                vec![(0, Some(spec("o", i32::MAX, "03:04:00"))), (3599, Some(spec("o", i32::MAX, "03:04:00")))],
                Held,
            ),
            (
                "nobody waits for a hundred years",
                vec![(0, Some(spec("o", i32::MAX, "03:04:00"))), (3600, Some(spec("o", i32::MAX, "03:04:00")))],
                Free,
            ),
            ("given back", vec![(0, Some(alive("03:04:00"))), (1, Some(released.clone()))], Free),
            ("given back, at the first look", vec![(0, Some(released))], Free),
            ("given back, as client-go writes it", vec![(0, Some(released_by_client_go))], Free),
            (
                "emptied by hand, while its holder may act",
                vec![(0, Some(emptied.clone())), (14, Some(emptied.clone()))],
                Held,
            ),
            ("emptied by hand, long enough", vec![(0, Some(emptied.clone())), (15, Some(emptied))], Free),
            ("deleted, while its holder may act", vec![(0, Some(alive("03:04:00"))), (14, None), (28, None)], Held),
            ("deleted, and nobody creates it", vec![(0, Some(alive("03:04:00"))), (14, None), (29, None)], Free),
            (
                "deleted, held for a minute before",
                vec![(0, Some(spec("o", 60, "03:04:00"))), (1, None), (60, None)],
                Held,
            ),
            ("never renewed", vec![(0, Some(no_renewal.clone())), (14, Some(no_renewal.clone()))], Held),
            ("never renewed, long enough", vec![(0, Some(no_renewal.clone())), (15, Some(no_renewal))], Free),
            ("no spec", vec![(0, Some(Value::Null)), (14, Some(Value::Null))], Held),
            ("no spec, long enough", vec![(0, Some(Value::Null)), (15, Some(Value::Null))], Free),
            ("no duration", vec![(0, Some(no_duration.clone())), (14, Some(no_duration.clone()))], Held),
            ("no duration, long enough", vec![(0, Some(no_duration.clone())), (15, Some(no_duration))], Free),
            ("a duration of 0", vec![(0, Some(spec("o", 0, "03:04:00"))), (14, Some(spec("o", 0, "03:04:00")))], Held),
            (
                "a duration of 0, long enough",
                vec![(0, Some(spec("o", 0, "03:04:00"))), (15, Some(spec("o", 0, "03:04:00")))],
                Free,
            ),
            ("less than 0", vec![(0, Some(spec("o", -9, "03:04:00"))), (14, Some(spec("o", -9, "03:04:00")))], Held),
            (
                "less than 0, long enough",
                vec![(0, Some(spec("o", -9, "03:04:00"))), (15, Some(spec("o", -9, "03:04:00")))],
                Free,
            ),
            ("our own name, which we never wrote", vec![(0, Some(spec("me", 15, "03:04:00")))], Held),
        ];
        let start = Instant::now();
        for (what, looks, wanted) in cases {
            let mut view = view();
            let mut last = None;
            // Each look finds another resourceVersion: it alone is no sign of life.
            for (version, (second, found)) in (1..).zip(looks) {
                let found = found.and_then(|spec| lease(version, &spec));
                last = Some(view.look(found, start + Duration::from_secs(second)));
            }
            assert_eq!(last, Some(wanted), "{what}");
        }
    }

    /// The wall clock of the test is that of 2020: what the times in the Lease say does not matter.
    #[test]
    fn taking_counts_a_transition_and_renewing_does_not() {
        let start = Instant::now();
        let mut view = view();
        view.look(lease(7, &spec("other", 15, "03:04:00")), start);
        assert_eq!(view.look(lease(8, &spec("other", 15, "03:04:00")), start + OWN), Standing::Free);
        let taken = view.claim(&object(), time("2020-01-01T00:00:00Z"));
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("8"));
        let wanted = json!({
            "holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 4,
            "acquireTime": "2020-01-01T00:00:00.000000Z", "renewTime": "2020-01-01T00:00:00.000000Z",
        });
        assert_eq!(json!(taken.spec), wanted);

        assert_eq!(view.look(Some(taken), start + OWN), Standing::Ours);
        let renewed = view.claim(&object(), time("2020-01-01T00:00:02.5Z"));
        let mut wanted = wanted;
        wanted["renewTime"] = json!("2020-01-01T00:00:02.500000Z");
        assert_eq!(json!(renewed.spec), wanted);
    }

    #[test]
    fn a_new_one_begins_with_no_transition() {
        let mut view = view();
        view.look(None, Instant::now());
        let new = view.claim(&object(), time("2020-01-01T00:00:00Z"));
        assert!(new.metadata.resource_version.is_none() && new.metadata.namespace.as_deref() == Some("ns"));
        assert_eq!(new.metadata.name.as_deref(), Some("ripcord"));
        assert_eq!(new.spec.expect("a spec").lease_transitions, Some(0));
    }

    #[test]
    fn what_is_odd_is_overwritten_and_what_is_others_stays() {
        let mut odd: Lease = serde_json::from_value(json!({
            "metadata": {"name": "ripcord", "resourceVersion": "1", "labels": {"a": "b"}, "annotations": {"c": "d"}},
            "spec": {"leaseTransitions": -5, "preferredHolder": "x", "strategy": "y"},
        }))
        .expect("a Lease");
        let metadata = odd.metadata.clone();
        for (before, after) in [(Some(-5), 1), (Some(i32::MAX), i32::MAX), (None, 1)] {
            let mut view = view();
            odd.spec.as_mut().expect("a spec").lease_transitions = before;
            view.look(Some(odd.clone()), Instant::now());
            let claimed = view.claim(&object(), time("2020-01-01T00:00:00Z"));
            let spec = claimed.spec.expect("a spec");
            assert_eq!((spec.lease_transitions, &claimed.metadata), (Some(after), &metadata));
            assert_eq!((spec.preferred_holder.as_deref(), spec.strategy.as_deref()), (Some("x"), Some("y")));
        }
    }

    #[test]
    fn a_renewal_is_seen_even_if_the_wall_clock_stands_still_or_goes_back() {
        let mut view = view();
        view.look(None, Instant::now());
        let mut times = Vec::new();
        for now in ["2020-01-01T00:00:00.0000004Z", "2020-01-01T00:00:00.0000004Z", "2019-01-01T00:00:00Z"] {
            let claimed = view.claim(&object(), time(now));
            times.push(json!(claimed.spec.as_ref().expect("a spec").renew_time));
            view.look(Some(claimed), Instant::now());
        }
        let wanted = ["2020-01-01T00:00:00.000000Z", "2020-01-01T00:00:00.000001Z", "2020-01-01T00:00:00.000002Z"];
        assert_eq!(json!(times), json!(wanted));
    }

    #[test]
    fn only_what_is_ours_is_given_back() {
        let now = time("2020-01-01T00:00:00Z");
        let mut view = view();
        assert!(view.give_back(now).is_none());
        view.look(lease(1, &spec("other", 15, "03:04:00")), Instant::now());
        view.claim(&object(), now);
        assert!(view.give_back(now).is_none(), "the claim has not been answered");
        view.look(lease(2, &spec("me", 15, "03:04:00")), Instant::now());
        let given = view.give_back(now).expect("ours");
        assert_eq!(given.metadata.resource_version.as_deref(), Some("2"));
        let wanted = json!({
            "holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 3,
            "acquireTime": "2020-01-01T00:00:00.000000Z", "renewTime": "2020-01-01T00:00:00.000000Z",
        });
        assert_eq!(json!(given.spec), wanted);
        let mut next = View::new("next".to_owned(), OWN);
        assert_eq!(next.look(Some(given), Instant::now()), Standing::Free);
    }

    #[test]
    fn the_written_duration_is_never_less_than_the_real_one() {
        for (millis, wanted) in [(1_000, 1), (1_001, 2), (15_000, 15), (u64::MAX, i32::MAX)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), wanted, "{millis}");
        }
    }
}
