//! A whole change: all steps in order, then all rollouts; and its rehearsal.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::config::{Guard, Step};
use crate::engine::{Progress, StepReport, StepResult};

use super::cluster::Cluster;
use super::rollout::{self, Target};
use super::step::{Done, StepError};
use super::{Permit, command, config_map, deployment_env, variables, virtual_service};

/// How long the rehearsal of one step may take. It is one look and one dry run, which admission webhooks may hold up for 30 s; the rest is
/// for tries that somebody else's writing came in the way of.
const REHEARSAL_LIMIT: Duration = Duration::from_secs(60);

/// What to change.
#[derive(Clone)]
pub struct ChangePlan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The variables of their texts, as [`super::variables`] makes them.
    pub vars: BTreeMap<String, String>,
    /// Whether it is a rollback, so that what belongs to a rollback only is set too.
    pub rollback: bool,
    /// How long each rollout may take.
    pub rollout_timeout: Duration,
    /// Whether the API server shall only say what it would do.
    pub dry_run: bool,
    /// How long the API server may take to accept one change. Its admission webhooks may need up to 30 s.
    pub patience: Duration,
    /// Asked right before every write, dry runs included. Once it says no nothing more is sent.
    pub permit: Permit,
}

/// How long the API server may take to accept one dry run of a rehearsal: its admission webhooks may need up to 30 s, and nobody waits.
const REHEARSAL_PATIENCE: Duration = Duration::from_secs(35);

/// What stands for the reason and the incident in the texts of a rehearsal.
const REHEARSAL: &str = "rehearsal";

impl ChangePlan {
    /// The rehearsal of a guard's rollback to its last rung.
    pub fn rehearsal(guard: &Guard, now: Timestamp, permit: Permit) -> Self {
        let lowest = guard.engine.rollback.percentages.last().copied().unwrap_or_default();
        Self {
            steps: guard.steps.clone(),
            vars: variables(&guard.name, &guard.vars, lowest, REHEARSAL, REHEARSAL, now),
            rollback: true,
            rollout_timeout: guard.rollout_timeout,
            dry_run: true,
            patience: REHEARSAL_PATIENCE,
            permit,
        }
    }
}

impl std::fmt::Debug for ChangePlan {
    /// All but the permit, which has nothing to show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangePlan")
            .field("steps", &self.steps)
            .field("vars", &self.vars)
            .field("rollback", &self.rollback)
            .field("rollout_timeout", &self.rollout_timeout)
            .field("dry_run", &self.dry_run)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// How a step is done.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) rollback: bool,
    pub(super) dry_run: bool,
    /// Whether a step is sent even when it is done already, as a dry run: to see that it would be accepted.
    pub(super) rehearsal: bool,
    pub(super) patience: Duration,
    pub(super) gate: &'a Gate,
}

/// What every write of a change passes: closed by the cancelling of the change, or by its permit.
pub(super) struct Gate {
    cancelled: AtomicBool,
    closing: Notify,
    permit: Permit,
}

impl Gate {
    fn new(permit: Permit) -> Self {
        Self { cancelled: AtomicBool::new(false), closing: Notify::new(), permit }
    }

    fn close(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.closing.notify_one();
    }

    /// Ends when the change is cancelled.
    pub(super) async fn cancelled(&self) {
        if !self.is_cancelled() {
            self.closing.notified().await;
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Whether a write may be sent now.
    pub(super) fn is_open(&self) -> bool {
        !self.is_cancelled() && (self.permit)()
    }
}

/// How a change ended. The reports say the same in more detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is changed and rolled out.
    Completed,
    /// A step or a rollout failed.
    Failed,
    /// It was cancelled, or the permit was withdrawn. What was sent stays sent.
    Cancelled,
}

impl Cluster {
    /// Carries out a change and reports what happens as it happens. Nothing is tried after a step that failed.
    /// Repeating it is safe: a step that is done already changes nothing, and its rollout is waited for again.
    ///
    /// When `cancel` ends, nothing more is written. A step that has sent its write already is finished (each of its
    /// calls has a time-out) and reported; nothing else is begun or reported. The plan's permit is asked before every
    /// write, and its no ends the change in the same way.
    pub async fn carry_out(
        &self,
        plan: &ChangePlan,
        mut report: impl FnMut(Progress) + Send,
        cancel: impl Future<Output = ()> + Send,
    ) -> Outcome {
        let mut cancel = pin!(cancel.fuse());
        let gate = Gate::new(plan.permit.clone());
        let how = How {
            rollback: plan.rollback,
            dry_run: plan.dry_run,
            rehearsal: false,
            patience: plan.patience,
            gate: &gate,
        };
        let mut rollouts = Vec::new();
        for step in &plan.steps {
            if (&mut cancel).now_or_never().is_some() {
                return Outcome::Cancelled;
            }
            let name = step.name();
            let ended = {
                let mut under_way = pin!(self.step(step, &plan.vars, how));
                // The cancelling is looked at whenever the step goes on, so the gate is closed before its next write.
                loop {
                    tokio::select! {
                        biased;
                        () = &mut cancel => gate.close(),
                        ended = &mut under_way => break ended,
                    }
                }
            };
            match ended {
                Ok(Done { result, detail, rollout }) => {
                    report(Progress::Step(StepReport { step: name, result, detail }));
                    rollouts.extend(rollout);
                }
                Err(StepError::HeldBack) => return Outcome::Cancelled,
                Err(StepError::Failed(error) | StepError::Conflict(error)) => {
                    let (result, detail) = (StepResult::Failed, Some(error.clone()));
                    report(Progress::Step(StepReport { step: name.clone(), result, detail }));
                    report(Progress::Failed { step: name, error });
                    return Outcome::Failed;
                }
            }
            if gate.is_cancelled() {
                return Outcome::Cancelled;
            }
        }
        report(Progress::Accepted);
        if !plan.dry_run {
            let waited = tokio::select! {
                biased;
                () = cancel => return Outcome::Cancelled,
                waited = self.wait_for(&rollouts, plan.rollout_timeout) => waited,
            };
            if let Err((step, error)) = waited {
                report(Progress::Failed { step, error });
                return Outcome::Failed;
            }
        }
        report(Progress::Completed);
        Outcome::Completed
    }

    /// Tries every step as a dry run of the API server, also one that is done already, so that permissions and admission are proven. A
    /// step that fails keeps no other from being tried, and no rollout is waited for; `plan.dry_run` is of no account.
    ///
    /// The reports are in the order of the steps: [`StepResult::WouldChange`] with what would change or that it is there already,
    /// [`StepResult::Absent`] for an optional object, [`StepResult::Failed`] with the error that a real change would meet, and
    /// [`StepResult::Planned`] where the plan's permit said no before it was tried, so that nothing is known of it.
    pub async fn rehearse(&self, plan: &ChangePlan) -> Vec<StepReport> {
        let gate = &Gate::new(plan.permit.clone());
        let how = How { rollback: plan.rollback, dry_run: true, rehearsal: true, patience: plan.patience, gate };
        join_all(plan.steps.iter().map(|step| async move {
            let (result, detail) = match timeout(REHEARSAL_LIMIT, self.step(step, &plan.vars, how)).await {
                Ok(Ok(Done { result, detail, .. })) => (result, detail),
                Ok(Err(StepError::HeldBack)) => {
                    (StepResult::Planned, Some("not rehearsed: this Ripcord may not act any more".to_owned()))
                }
                Ok(Err(StepError::Failed(error) | StepError::Conflict(error))) => (StepResult::Failed, Some(error)),
                Err(_) => {
                    let error = format!(
                        "its dry run did not end within {REHEARSAL_LIMIT:?}; see whether the API server and its admission webhooks are \
                         overloaded"
                    );
                    (StepResult::Failed, Some(error))
                }
            };
            StepReport { step: step.name(), result, detail }
        }))
        .await
    }

    async fn step(&self, step: &Step, vars: &BTreeMap<String, String>, how: How<'_>) -> Result<Done, StepError> {
        match step {
            Step::DeploymentEnv(step) => deployment_env::Change::new(step, vars, how).carry_out(self).await,
            Step::ConfigMap(step) => config_map::Change::new(step, vars, how).carry_out(self).await,
            Step::VirtualService(step) => virtual_service::Change::new(step, vars, how).carry_out(self).await,
            Step::Command(step) => command::carry_out(step, vars, how).await,
        }
    }

    /// Waits for all rollouts at once, until the last is complete or the first has failed.
    async fn wait_for(&self, rollouts: &[Target], limit: Duration) -> Result<(), (String, String)> {
        let waits = rollouts.iter().map(|target| async move {
            rollout::wait(self, target, limit).await.map_err(|error| (target.step.clone(), error))
        });
        try_join_all(waits).await.map(|_| ())
    }
}
