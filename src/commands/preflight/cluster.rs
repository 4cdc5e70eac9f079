//! Whether the API server answers, where each guard's traffic is, and whether its rollback would be accepted now.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use jiff::Timestamp;

use crate::config::{Guard, Settings};
use crate::engine::{StepReport, StepResult, Unknown};
use crate::kubernetes::{ChangePlan, Cluster};

use super::CONCURRENT_CALLS;
use super::check::{Area, Check};
use super::clock::{self, Asked};

/// What is said of the guards.
#[derive(Default)]
pub(super) struct Guards {
    pub(super) checks: Vec<Check>,
    /// The shares that could be read, by guard.
    pub(super) shares: BTreeMap<String, u8>,
}

/// The cluster, if its API server answers.
pub(super) async fn reach() -> (Option<Cluster>, Vec<Check>) {
    let what = "API server";
    let cluster = match Cluster::connect().await {
        Ok(cluster) => cluster,
        Err(e) => {
            let source = std::error::Error::source(&e).map(|source| format!(" ({source})")).unwrap_or_default();
            let hint = "run preflight where Ripcord runs, or with a kubeconfig of its ServiceAccount";
            return (None, vec![Area::Cluster.fail(what, format!("{e}{source}"), hint)]);
        }
    };
    let version = match cluster.version().await {
        Ok(version) => version,
        Err(e) => {
            let hint = "nothing in the cluster can be read or changed until this works";
            return (None, vec![Area::Cluster.fail(what, e.to_string(), hint)]);
        }
    };
    let sent = Timestamp::now();
    let date = cluster.date().await.ok().flatten();
    let asked = Asked { sent, answered: Timestamp::now() };
    let checks = vec![
        Area::Cluster.ok(what, format!("answers, version {version}")),
        // Nothing is decided by its clock: the times of the Lease are compared with nobody's.
        clock::check(Area::Cluster, date.as_deref(), asked, false),
    ];
    (Some(cluster), checks)
}

/// The shares, and a rehearsal of every rollback.
pub(super) async fn look(cluster: Option<&Cluster>, settings: &Settings) -> Guards {
    let Some(cluster) = cluster else { return Guards::default() };
    let each = settings.guards.iter().map(|guard| async move {
        let plan = ChangePlan::rehearsal(guard, Timestamp::now(), Arc::new(|| true));
        let (share, steps, warnings) =
            futures::join!(cluster.share(&guard.steps), cluster.rehearse(&plan), cluster.gitops(&guard.steps));
        (guard, share, steps, warnings)
    });
    let mut guards = Guards::default();
    let mut all = futures::stream::iter(each).buffered(CONCURRENT_CALLS);
    while let Some((guard, share, steps, warnings)) = all.next().await {
        guards.checks.push(said_of_share(guard, &share));
        guards.shares.extend(share.ok().map(|share| (guard.name.clone(), share)));
        guards.checks.extend(steps.iter().map(|report| said_of_step(&guard.name, report)));
        guards.checks.extend(warnings.into_iter().map(|warning| {
            let hint = "Ripcord pages when its rollback is undone, and does not fight over it";
            Area::Cluster.warn(format!("{}: GitOps", guard.name), warning, hint)
        }));
    }
    guards
}

fn said_of_share(guard: &Guard, share: &Result<u8, Unknown>) -> Check {
    let what = format!("{}: share", guard.name);
    match share {
        Ok(share) => Area::Cluster.ok(what, format!("{share} %")),
        // Most often the rehearsal fails for the same reason. A rollback is carried out all the same where only this fails.
        Err(unknown) => Area::Cluster.warn(
            what,
            unknown.to_string(),
            "see the object that is named; without a share there are no stages, and it is not seen when the traffic is back already",
        ),
    }
}

fn said_of_step(guard: &str, report: &StepReport) -> Check {
    let what = format!("{guard}: {}", report.step);
    let detail = report.detail.clone();
    match report.result {
        StepResult::Failed | StepResult::Planned => Area::Cluster.fail(
            what,
            detail.unwrap_or_else(|| report.result.as_str().to_owned()),
            "a rollback would fail here tonight: mend the object, the permission or the step",
        ),
        result => {
            let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            Area::Cluster.ok(what, format!("{}{detail}", result.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn a_step_that_fails_is_not_well() {
        let report = |result, detail: Option<&str>| StepReport {
            step: "s".to_owned(),
            result,
            detail: detail.map(str::to_owned),
        };
        let said = |report: &StepReport| {
            let check = said_of_step("shop", report);
            (check.result, check.detail)
        };
        for result in [StepResult::WouldChange, StepResult::AlreadyThere, StepResult::Absent] {
            assert_eq!(said(&report(result, None)), (check::Result::Ok, result.as_str().to_owned()));
        }
        let failed = report(StepResult::Failed, Some("no container x"));
        assert_eq!(said(&failed), (check::Result::Fail, "no container x".to_owned()));
    }
}
