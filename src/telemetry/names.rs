//! Every metric, with its help text. Nothing else in the program names one.

use metrics::{describe_counter, describe_gauge, describe_histogram};

pub const BUILD_INFO: &str = "ripcord_build_info";
pub const EVALUATIONS: &str = "ripcord_evaluations_total";
pub const EVALUATION_DURATION: &str = "ripcord_evaluation_duration_seconds";
pub const LAST_EVALUATION: &str = "ripcord_last_evaluation_timestamp_seconds";
pub const QUERIES: &str = "ripcord_queries_total";
pub const QUERY_DURATION: &str = "ripcord_query_duration_seconds";
pub const TRIGGER_VALUE: &str = "ripcord_trigger_value";
pub const TRIGGER_THRESHOLD: &str = "ripcord_trigger_threshold";
pub const TRIGGER_HELD: &str = "ripcord_trigger_held_seconds";
pub const TRIGGER_FOR: &str = "ripcord_trigger_for_seconds";
pub const TRIGGER_VERDICT: &str = "ripcord_trigger_verdict";
pub const BASELINE_RECORDED: &str = "ripcord_baseline_recorded_timestamp_seconds";
pub const GUARD_STATE: &str = "ripcord_guard_state";
/// The share of a guard's traffic on the new path, in percent. A replay reads it back from Prometheus.
pub const TRAFFIC_PERCENTAGE: &str = "ripcord_traffic_percentage";
pub const ROLLBACK_READY: &str = "ripcord_rollback_ready";
pub const SHIFTS: &str = "ripcord_shifts_total";
pub const ROLLBACKS: &str = "ripcord_rollbacks_total";
pub const ROLLBACK_DURATION: &str = "ripcord_rollback_duration_seconds";
pub const NOTIFICATIONS: &str = "ripcord_notifications_total";
pub const NOTIFICATION_QUEUE: &str = "ripcord_notification_queue";
pub const NOTIFICATION_OLDEST: &str = "ripcord_notification_oldest_seconds";
pub const LEADER: &str = "ripcord_leader";
pub const JOURNAL_WRITES: &str = "ripcord_journal_writes_total";
pub const HEARTBEATS: &str = "ripcord_heartbeats_total";
pub const REPLAYED_TICKS: &str = "ripcord_replayed_ticks_total";
pub const RELOAD_SUCCESS: &str = "ripcord_config_reload_success";
pub const RELOAD_TIMESTAMP: &str = "ripcord_config_reload_timestamp_seconds";

pub fn describe() {
    describe_gauge!(BUILD_INFO, "Always 1; the labels say which build this is");
    describe_counter!(
        EVALUATIONS,
        "Ticks, by result: ok, partly (some triggers unknown), unknown (all of them), missed"
    );
    describe_histogram!(EVALUATION_DURATION, "Seconds from a tick's instant to its decision");
    describe_gauge!(LAST_EVALUATION, "When the last tick that was decided on was due, as Unix time");
    describe_counter!(QUERIES, "Queries to Prometheus, by result: ok, or why nothing is known");
    describe_histogram!(QUERY_DURATION, "Seconds that a query to Prometheus took");
    describe_gauge!(TRIGGER_VALUE, "The measured value, in the unit of the threshold; NaN while unknown");
    describe_gauge!(TRIGGER_THRESHOLD, "The threshold that holds at the present share");
    describe_gauge!(TRIGGER_HELD, "Seconds for which a breach has been observed");
    describe_gauge!(TRIGGER_FOR, "Seconds for which a breach must be observed before the trigger fires");
    describe_gauge!(TRIGGER_VERDICT, "1 for the present verdict: breach, band, clear or unknown; 0 for the others");
    describe_gauge!(
        BASELINE_RECORDED,
        "When the recorded baseline in use was recorded, as Unix time; NaN while there is none"
    );
    describe_gauge!(GUARD_STATE, "1 for the present state of the guard, 0 for the others");
    describe_gauge!(TRAFFIC_PERCENTAGE, "The share of the traffic on the new path, in percent; NaN while unknown");
    describe_gauge!(
        ROLLBACK_READY,
        "1 when a rollback would work, as it was last tried, 0 when it would fail; NaN until it was tried"
    );
    describe_counter!(SHIFTS, "Steps of the migration, by result: shifted, failed, cut_short");
    describe_counter!(
        ROLLBACKS,
        "Rollbacks, by result: started, succeeded, failed, verified, not_recovered, cannot_see, at_target, resumed, abandoned"
    );
    describe_histogram!(ROLLBACK_DURATION, "Seconds from the decision to the end of the last rollout");
    describe_counter!(NOTIFICATIONS, "Notifications, by receiver and result: accepted, retried, lost");
    describe_gauge!(NOTIFICATION_QUEUE, "Notifications that wait for a receiver");
    describe_gauge!(NOTIFICATION_OLDEST, "Seconds that the oldest waiting notification has waited");
    describe_gauge!(LEADER, "1 when this replica leads, 0 when it stands by");
    describe_counter!(
        JOURNAL_WRITES,
        "Writes of the state, by result: ok, failed, conflict (another replica has written it)"
    );
    describe_counter!(HEARTBEATS, "Heartbeats to the outside address, by result: ok, failed");
    describe_counter!(REPLAYED_TICKS, "Missed ticks that were fetched afterwards");
    describe_gauge!(
        RELOAD_SUCCESS,
        "1 when the configuration was loaded the last time it was tried, 0 when it was refused"
    );
    describe_gauge!(RELOAD_TIMESTAMP, "When the configuration in use was loaded, as Unix time");
}
