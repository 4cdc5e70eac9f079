//! The present values of everything that has one.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use metrics::{Gauge, gauge};

use crate::engine::{GuardState, GuardStatus, TriggerStatus};
use crate::http::Queue;

use super::events::unix;
use super::{FORGET_GAUGES_AFTER, names};

/// The verdicts that a trigger can have, for the metric that has one series for each.
const VERDICTS: [&str; 4] = ["breach", "band", "clear", "unknown"];

/// Gauges that were not set for this long are looked up anew: well before `FORGET_GAUGES_AFTER`, because who holds one that is forgotten
/// sets what nobody sees.
const KEPT_FOR: Duration = Duration::from_secs(FORGET_GAUGES_AFTER.as_secs() / 2);

/// What there is to show.
#[derive(Debug)]
pub struct Status<'a> {
    /// The guards.
    pub guards: &'a [GuardStatus],
    /// What waits for each receiver.
    pub queues: &'a [Queue],
    /// Whether the last try to load a configuration worked.
    pub reload_success: bool,
    /// When the configuration in use was loaded.
    pub loaded_at: Timestamp,
    /// Whether this replica leads; one without others does.
    pub leads: bool,
}

/// The gauges of the guards, from one tick to the next. A thousand guards have forty thousand; to find one by its labels takes a hundred
/// times as long as to set it.
#[derive(Default)]
pub struct Gauges {
    guards: Vec<GuardGauges>,
    set_at: Option<Instant>,
}

struct GuardGauges {
    guard: String,
    states: [Gauge; GuardState::ALL.len()],
    ready: Gauge,
    percentage: Gauge,
    triggers: Vec<TriggerGauges>,
}

struct TriggerGauges {
    trigger: String,
    value: Gauge,
    threshold: Gauge,
    held: Gauge,
    hold_for: Gauge,
    verdicts: [Gauge; VERDICTS.len()],
    /// Only of a trigger that compares with a recorded baseline.
    recorded: Option<Gauge>,
}

impl Gauges {
    /// Sets every gauge anew, so that one that is no longer true is forgotten in time.
    pub fn publish(&mut self, status: &Status<'_>) {
        gauge!(names::BUILD_INFO, "version" => crate::VERSION).set(1.0);
        gauge!(names::LEADER).set(truth(status.leads));
        gauge!(names::RELOAD_SUCCESS).set(truth(status.reload_success));
        gauge!(names::RELOAD_TIMESTAMP).set(unix(status.loaded_at));
        #[allow(clippy::cast_precision_loss)]
        for queue in status.queues {
            gauge!(names::NOTIFICATION_QUEUE, "receiver" => queue.receiver.clone()).set(queue.waiting as f64);
            gauge!(names::NOTIFICATION_OLDEST, "receiver" => queue.receiver.clone()).set(queue.oldest_seconds);
        }
        let now = Instant::now();
        if self.set_at.replace(now).is_some_and(|last| now.duration_since(last) >= KEPT_FOR) {
            self.guards.clear();
        }
        let kept = self.guards.iter().zip(status.guards).take_while(|(gauges, guard)| gauges.are_of(guard)).count();
        self.guards.truncate(kept);
        self.guards.extend(status.guards[kept..].iter().map(GuardGauges::of));
        for (gauges, guard) in self.guards.iter().zip(status.guards) {
            gauges.set(guard);
        }
    }
}

impl GuardGauges {
    fn of(guard: &GuardStatus) -> Self {
        let name = &guard.guard;
        Self {
            guard: name.clone(),
            states: GuardState::ALL
                .map(|state| gauge!(names::GUARD_STATE, "guard" => name.clone(), "state" => state.as_str())),
            ready: gauge!(names::ROLLBACK_READY, "guard" => name.clone()),
            percentage: gauge!(names::TRAFFIC_PERCENTAGE, "guard" => name.clone()),
            triggers: guard.triggers.iter().map(|trigger| TriggerGauges::of(name, trigger)).collect(),
        }
    }

    fn are_of(&self, guard: &GuardStatus) -> bool {
        let same = |(gauges, trigger): (&TriggerGauges, &TriggerStatus)| {
            gauges.trigger == trigger.name() && gauges.recorded.is_some() == trigger.recorded.is_some()
        };
        self.guard == guard.guard
            && self.triggers.len() == guard.triggers.len()
            && self.triggers.iter().zip(&guard.triggers).all(same)
    }

    fn set(&self, guard: &GuardStatus) {
        for (state, gauge) in GuardState::ALL.iter().zip(&self.states) {
            gauge.set(truth(*state == guard.state));
        }
        self.ready.set(guard.ready.map_or(f64::NAN, truth));
        self.percentage.set(guard.percentage.map_or(f64::NAN, f64::from));
        for (gauges, trigger) in self.triggers.iter().zip(&guard.triggers) {
            gauges.set(trigger);
        }
    }
}

impl TriggerGauges {
    fn of(guard: &str, trigger: &TriggerStatus) -> Self {
        let labels = [("guard", guard.to_owned()), ("trigger", trigger.name().to_owned())];
        Self {
            trigger: trigger.name().to_owned(),
            value: gauge!(names::TRIGGER_VALUE, &labels),
            threshold: gauge!(names::TRIGGER_THRESHOLD, &labels),
            held: gauge!(names::TRIGGER_HELD, &labels),
            hold_for: gauge!(names::TRIGGER_FOR, &labels),
            verdicts: VERDICTS.map(|verdict| {
                gauge!(names::TRIGGER_VERDICT, "guard" => guard.to_owned(), "trigger" => trigger.name().to_owned(), "verdict" => verdict)
            }),
            recorded: trigger.recorded.as_ref().map(|_| gauge!(names::BASELINE_RECORDED, &labels)),
        }
    }

    fn set(&self, trigger: &TriggerStatus) {
        self.value.set(trigger.value.unwrap_or(f64::NAN));
        self.threshold.set(trigger.threshold);
        self.held.set(trigger.held_seconds);
        self.hold_for.set(trigger.for_seconds);
        if let (Some(gauge), Some(recorded)) = (&self.recorded, &trigger.recorded) {
            gauge.set(recorded.current().map_or(f64::NAN, |current| unix(current.recorded_at)));
        }
        for (verdict, gauge) in VERDICTS.iter().zip(&self.verdicts) {
            gauge.set(truth(*verdict == trigger.verdict));
        }
    }
}

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
