//! What is wrong with Ripcord itself: the alerts for the night on which it is not there to page by itself.
//!
//! Each is explained in docs/monitoring.md, under its own name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::{Baseline, Settings};
use crate::engine::TriggerAction;
use crate::prometheus::Matcher;
use crate::telemetry::names;

use super::super::scrape::Own;
use super::rule::{Alert, Rule, duration};

/// The same as `/healthz` allows for ticks that are missing: then Kubernetes restarts the pod, and somebody should know.
const MISSED_INTERVALS: u32 = 6;
const MISSED_BESIDES: Duration = Duration::from_secs(30);

/// What a restart, a rollout or a slow scrape may take.
const PASSING: Duration = Duration::from_secs(120);

/// Ripcord itself pages after `blind_after`. This one is for when its pages do not arrive, and for nights with little traffic it is patient.
const BLIND_TIMES: u32 = 5;

/// A try that fails is repeated after half a minute, and paged then. So many intervals later somebody should have mended it.
const NOT_READY_INTERVALS: u32 = 2;

/// How long a page may wait for its receiver. A receiver that is restarted is back by then.
const STUCK_AFTER: Duration = Duration::from_secs(300);

/// How long a loss is shown.
const LOSS_SHOWN_FOR: Duration = Duration::from_secs(3600);

/// How long a failed rollback is shown.
const FAILURE_SHOWN_FOR: Duration = Duration::from_secs(600);

/// Leases' lengths after which a change of the leader is over.
const LEASES: u32 = 4;

/// Part of the queries that may fail. One of a dozen fails for a reason of its own; more is the server.
const FAILING_QUERIES: f64 = 0.1;

/// Collects alerts.
struct Alerts<'a> {
    settings: &'a Settings,
    rules: Vec<Rule>,
}

impl Alerts<'_> {
    fn add(&mut self, name: &str, severity: &str, hold: Duration, expr: String, summary: &str, description: String) {
        let mut annotations = vec![("summary", summary.to_owned()), ("description", description)];
        if let Some(runbook) = &self.settings.links.runbook {
            // A part of the page that has the alert's name, unless the address names one already. Braces begin a template.
            let part = if runbook.contains('#') { String::new() } else { format!("#{}", name.to_lowercase()) };
            annotations.push(("runbook_url", format!("{}{part}", runbook.replace('{', "%7B"))));
        }
        let labels = vec![("severity", severity.to_owned())];
        self.rules.push(Rule { name: name.to_owned(), expr, alert: Some(Alert { hold, annotations }), labels });
    }
}

/// How long Prometheus may miss a series without taking it for a new one: a restart of its own, a night's trouble with the network.
const AWAY: Duration = Duration::from_secs(6 * 3600);

/// How much a counter grew, by some labels. A series that is new counts from zero: `increase` would not see its first step, of a version that
/// does not begin at 0 say. It is not new because a scrape failed just so long ago.
fn grown(series: &str, by: &str, within: Duration) -> String {
    let (within, away) = (duration(within), duration(AWAY));
    format!(
        "sum by ({by}) (\n  ({series} unless max_over_time({series}[{away}] offset {within}))\n  or\n  increase({series}[{within}])\n) > 0"
    )
}

/// All of them.
pub fn rules(settings: &Settings, own: &Own) -> Vec<Rule> {
    let mut alerts = Alerts { settings, rules: Vec::new() };
    of_life(&mut alerts, own);
    of_sight(&mut alerts, own);
    of_telling(&mut alerts, own);
    of_acting(&mut alerts, own);
    alerts.rules
}

/// Whether somebody watches.
fn of_life(alerts: &mut Alerts<'_>, own: &Own) {
    let evaluation = alerts.settings.evaluation.clone();
    alerts.add(
        "RipcordGone",
        "critical",
        PASSING,
        // Not by up: a job by the annotations of pods has the pods of everybody in it.
        format!("absent({})", own.all(names::BUILD_INFO)),
        "Ripcord is gone: nobody watches, nobody rolls back",
        "Prometheus reaches no replica of Ripcord. Until one is back, bad metrics roll nothing back and page nobody: watch the services yourself, and roll back by hand if need be."
            .to_owned(),
    );
    let missed = evaluation.interval * MISSED_INTERVALS + MISSED_BESIDES;
    let leads = format!("({} == 1)", own.all(names::LEADER));
    let last = own.all(names::LAST_EVALUATION);
    alerts.add(
        "RipcordNotEvaluating",
        "critical",
        evaluation.interval * MISSED_INTERVALS,
        format!(
            "time() - max({last} and {leads}) > {}\nor\ncount({leads} unless {last}) > 0",
            (missed + evaluation.offset).as_secs_f64()
        ),
        "Ripcord runs, and evaluates nothing",
        format!(
            "The replica that leads has decided on no tick for more than {}. Nothing is rolled back meanwhile.",
            duration(missed)
        ),
    );
    let lease = alerts.settings.leader_election.as_ref().map_or(PASSING, |election| election.lease_duration * LEASES);
    alerts.add(
        "RipcordNoLeader",
        "critical",
        lease.max(PASSING),
        format!("sum({}) == 0", own.all(names::LEADER)),
        "No replica of Ripcord leads: nobody decides",
        "The replicas run, and none of them has the Lease: they reach the API server not at all, or may not change the Lease. Nothing is rolled back meanwhile."
            .to_owned(),
    );
    alerts.add(
        "RipcordTwoLeaders",
        "critical",
        lease.max(PASSING),
        format!("sum({}) > 1", own.all(names::LEADER)),
        "{{ $value }} replicas of Ripcord lead",
        "Two that share no Lease both decide and page. Several replicas need leader_election; two installations need guards of their own."
            .to_owned(),
    );
    alerts.add(
        "RipcordConfigReloadFailed",
        "warning",
        PASSING,
        format!("{} == 0", own.all(names::RELOAD_SUCCESS)),
        "Ripcord has refused its new configuration",
        "The one before is in use. The log of {{ $labels.instance }} names every problem with its line; ripcord check FILE does too.".to_owned(),
    );
}

/// Whether it sees.
fn of_sight(alerts: &mut Alerts<'_>, own: &Own) {
    let evaluation = alerts.settings.evaluation.clone();
    let acting: BTreeSet<&str> = alerts
        .settings
        .guards
        .iter()
        .flat_map(|guard| &guard.engine.triggers)
        .filter(|trigger| trigger.action == TriggerAction::Rollback)
        .map(|trigger| trigger.name.as_str())
        .collect();
    if !acting.is_empty() {
        let acting = Matcher::one_of("trigger", &acting.into_iter().collect::<Vec<_>>());
        let unknown = own.with(names::TRIGGER_VERDICT, &format!("verdict=\"unknown\",{acting}"));
        alerts.add(
            "RipcordBlind",
            "warning",
            evaluation.blind_after * BLIND_TIMES,
            format!(
                "max by (guard, trigger) (\n  {}\n) == 1\nand on (guard)\nmax by (guard) ({} >= 0) > 0",
                own.leaders(&unknown, "guard, trigger, verdict"),
                own.all(names::TRAFFIC_PERCENTAGE)
            ),
            "Ripcord cannot see {{ $labels.trigger }} of {{ $labels.guard }}",
            format!(
                "It has been unknown for {}, with traffic on the new path. What cannot be seen is not rolled back. ripcord status says why; where that is too little traffic, nothing is wrong.",
                duration(evaluation.blind_after * BLIND_TIMES)
            ),
        );
    }
    let queries = |more: &str| format!("sum(rate({}[5m]))", own.with(names::QUERIES, more));
    alerts.add(
        "RipcordQueriesFail",
        "warning",
        evaluation.blind_after.max(PASSING),
        format!(
            "{} / sum(rate({}[5m])) > {FAILING_QUERIES}",
            queries("result=~\"query_failed|timed_out|warning\""),
            own.all(names::QUERIES)
        ),
        "{{ $value | humanizePercentage }} of Ripcord's queries fail",
        "Prometheus answers them with errors or warnings, or not in time. What is not answered is unknown, and unknown rolls nothing back.".to_owned(),
    );
    // Guards whose baselines get too old at the same age, by that age and the trigger's name.
    let mut recorded: BTreeMap<(Duration, &str), Vec<&str>> = BTreeMap::new();
    for guard in &alerts.settings.guards {
        for (trigger, signal) in &guard.signals {
            if let Some(Baseline::Recorded(recording)) = signal.baseline {
                recorded.entry((recording.max_age, trigger)).or_default().push(&guard.name);
            }
        }
    }
    if !recorded.is_empty() {
        let too_old = recorded.iter().map(|((max_age, trigger), guards)| {
            let (trigger, guards) = (Matcher::one_of("trigger", &[*trigger]), Matcher::one_of("guard", guards));
            let of = own.with(names::BASELINE_RECORDED, &format!("{trigger},{guards}"));
            format!("time() - max by (guard, trigger) ({of}) > {}", max_age.as_secs())
        });
        let expr = too_old.collect::<Vec<_>>().join("\nor\n");
        alerts.add(
            "RipcordBaselineTooOld",
            "warning",
            PASSING,
            expr,
            "What {{ $labels.trigger }} of {{ $labels.guard }} is compared with is too old",
            "The baseline was recorded {{ $value | humanizeDuration }} ago. It is still compared with. Record it anew while the service is well: ripcord baseline record.".to_owned(),
        );
    }
}

/// Whether it is heard.
fn of_telling(alerts: &mut Alerts<'_>, own: &Own) {
    alerts.add(
        "RipcordNotificationsStuck",
        "critical",
        PASSING,
        format!("max by (receiver) ({}) > {}", own.all(names::NOTIFICATION_OLDEST), STUCK_AFTER.as_secs()),
        "Pages for {{ $labels.receiver }} do not get through",
        "The oldest has waited for {{ $value | humanizeDuration }}. It is tried again for a day, and the other receivers are told. ripcord status and the log say what the receiver answers.".to_owned(),
    );
    alerts.add(
        "RipcordNotificationsLost",
        "critical",
        Duration::ZERO,
        grown(&own.with(names::NOTIFICATIONS, "result=\"lost\""), "receiver", LOSS_SHOWN_FOR),
        "A page for {{ $labels.receiver }} is lost",
        "Somebody was not told. ripcord status has what, and why the receiver refused it.".to_owned(),
    );
    if alerts.settings.state.is_some() {
        alerts.add(
            "RipcordStateNotSaved",
            "warning",
            PASSING,
            // It is tried at least every 10 s. One failure that was made good is over before the alert's own time is.
            grown(&own.with(names::JOURNAL_WRITES, "result=\"failed\""), "instance", PASSING / 2),
            "Ripcord cannot write its state",
            "It goes on deciding, rolling back and paging; a restart would forget what is not written. ripcord status says why.".to_owned(),
        );
    }
}

/// Whether it acts.
fn of_acting(alerts: &mut Alerts<'_>, own: &Own) {
    let readiness = alerts.settings.readiness.interval;
    alerts.add(
        "RipcordNotReady",
        "critical",
        readiness * NOT_READY_INTERVALS,
        format!("max by (guard) (\n  {}\n) == 0", own.leaders(&own.all(names::ROLLBACK_READY), "guard")),
        "A rollback of {{ $labels.guard }} would fail",
        "It was tried as a dry run, and has failed ever since. Mend it before the night: ripcord status names the step and the reason.".to_owned(),
    );
    alerts.add(
        "RipcordRollbackFailed",
        "critical",
        Duration::ZERO,
        grown(
            &own.with(names::ROLLBACKS, "result=~\"failed|not_recovered|cannot_see|abandoned\""),
            "guard, result",
            FAILURE_SHOWN_FOR,
        ),
        "The rollback of {{ $labels.guard }} did not do what it should ({{ $labels.result }})",
        "failed: a step or a rollout failed, and is tried again. not_recovered: it did not help. cannot_see: there is no data to tell by. abandoned: the guard was taken out of the configuration. Look at the service now.".to_owned(),
    );
}
