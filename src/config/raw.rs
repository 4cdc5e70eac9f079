//! The shapes of a configuration as it is written. Nothing here knows what a value means; `validate` does.

use std::time::Duration;

use serde_json::Value;

use super::field::{
    AnyText, Defined, Field, List, Named, Over, Percentage, Read, Texts, read_field, read_map, shape, shape_schema,
    written,
};
use super::node::Node;
use super::problems::Problems;
use super::units::Scalar;

shape! {
    /// The whole.
    Root {
        prometheus: Prometheus,
        evaluation: Evaluation,
        defaults: Guard,
        guards: Named<Guard>,
        receivers: Named<Receiver>,
        language: String,
        links: Links,
        http: Http,
        heartbeat: Heartbeat,
        readiness: Readiness,
        state: State,
        leader_election: LeaderElection,
    }
}

shape! {
    /// `prometheus`
    Prometheus {
        url: String,
        timeout: Duration,
        bearer_token_file: String,
        basic_auth: BasicAuth,
        tls: Tls,
        headers: Named<String>,
    }
}

shape! {
    /// `prometheus.basic_auth`
    BasicAuth {
        username: String,
        password_file: String,
    }
}

shape! {
    /// `prometheus.tls`
    Tls {
        ca_file: String,
    }
}

shape! {
    /// `evaluation`
    Evaluation {
        interval: Duration,
        offset: Duration,
        blind_after: Duration,
    }
}

shape! {
    /// One of `guards`, and `defaults`.
    Guard {
        metrics: String,
        r#match: Named<String>,
        caller_match: Named<String>,
        vars: Named<String>,
        triggers: Named<Trigger>,
        stages: List<Stage>,
        traffic: List<Step>,
        rollback: Rollback,
        runbook: String,
        dashboard: String,
    }
}

shape! {
    /// One of `triggers`.
    Trigger {
        signal: String,
        promql: String,
        quantile: Scalar,
        above: Scalar,
        below: Scalar,
        degraded_by: Scalar,
        rises_by: Scalar,
        slo: Slo,
        clear_below: Scalar,
        clear_above: Scalar,
        window: Duration,
        confirm_window: Duration,
        r#for: Duration,
        clear_for: Duration,
        baseline: Baseline,
        action: String,
        severity: String,
        low_traffic: String,
        enabled: bool,
    }
}

shape! {
    /// A trigger's `slo`.
    Slo {
        objective: Scalar,
        burn_rates: List<BurnRate>,
    }
}

shape! {
    /// One of `burn_rates`.
    BurnRate {
        above: Scalar,
        window: Duration,
        confirm_window: Duration,
    }
}

shape! {
    /// A trigger's `baseline`.
    Baseline {
        fixed: Scalar,
        offset: Duration,
        control: Control,
        recorded: Recording,
    }
}

shape! {
    /// `baseline.recorded`
    Recording {
        over: Duration,
        max_age: Duration,
    }
}

shape! {
    /// `baseline.control`
    Control {
        metrics: String,
        r#match: Named<String>,
    }
}

shape! {
    /// One of `stages`.
    Stage {
        up_to: Percentage,
        triggers: Named<StageLevels>,
    }
}

shape! {
    /// What a stage says of one trigger.
    StageLevels {
        above: Scalar,
        below: Scalar,
        degraded_by: Scalar,
        rises_by: Scalar,
        clear_below: Scalar,
        clear_above: Scalar,
    }
}

shape! {
    /// One of `traffic`.
    Step {
        deployment_env: DeploymentEnv,
        config_map: ConfigMap,
        virtual_service: VirtualService,
        command: Command,
    }
}

shape! {
    /// `deployment_env`
    DeploymentEnv {
        namespace: String,
        name: String,
        container: String,
        env: Named<AnyText>,
        rollback_env: Named<AnyText>,
    }
}

shape! {
    /// `config_map`
    ConfigMap {
        namespace: String,
        name: String,
        optional: bool,
        data: Named<AnyText>,
    }
}

shape! {
    /// `virtual_service`
    VirtualService {
        namespace: String,
        name: String,
        weights: Named<AnyText>,
        routes: Texts,
    }
}

shape! {
    /// `command`
    Command {
        argv: List<AnyText>,
        timeout: Duration,
    }
}

shape! {
    /// `rollback`
    Rollback {
        percentage: Percentage,
        percentages: List<Percentage>,
        rollout_timeout: Duration,
        verify: Verify,
        drift_watch: Duration,
    }
}

shape! {
    /// `rollback.verify`
    Verify {
        within: Duration,
    }
}

shape! {
    /// One of `receivers`.
    Receiver {
        webhook: Webhook,
        email: Email,
        events: Events,
        language: String,
        quiet: Quiet,
        escalate_after: Duration,
    }
}

shape! {
    /// A receiver's `quiet`.
    Quiet {
        from: String,
        to: String,
        time_zone: String,
    }
}

shape! {
    /// `webhook`
    Webhook {
        url: String,
        url_file: String,
        format: String,
        secret_file: String,
        bearer_token_file: String,
        ca_file: String,
        timeout: Duration,
        mention: Texts,
        template: String,
        template_file: String,
        content_type: String,
        headers: Named<String>,
    }
}

shape! {
    /// `email`
    Email {
        smtp: Smtp,
        from: String,
        to: Texts,
    }
}

shape! {
    /// `email.smtp`
    Smtp {
        host: String,
        port: u16,
        tls: String,
        username: String,
        password_file: String,
        ca_file: String,
        timeout: Duration,
    }
}

shape! {
    /// A receiver's `events`.
    Events {
        min_severity: String,
        only: Texts,
        guards: Texts,
    }
}

shape! {
    /// `links`
    Links {
        status: String,
        runbook: String,
        dashboard: String,
    }
}

shape! {
    /// `http`
    Http {
        listen: String,
        token_file: String,
    }
}

shape! {
    /// `heartbeat`
    Heartbeat {
        url: String,
        url_file: String,
        interval: Duration,
        timeout: Duration,
    }
}

shape! {
    /// `readiness`
    Readiness {
        interval: Duration,
    }
}

shape! {
    /// `state`
    State {
        config_map: ObjectName,
        file: String,
    }
}

shape! {
    /// `leader_election`
    LeaderElection {
        lease: ObjectName,
        lease_duration: Duration,
    }
}

shape! {
    /// A namespaced object.
    ObjectName {
        namespace: String,
        name: String,
    }
}

impl Over for Recording {}
impl Over for Baseline {}
impl Over for BasicAuth {}
impl Over for Tls {}
impl Over for Prometheus {}
impl Over for Evaluation {}
impl Over for Control {}
impl Over for Slo {}
impl Over for BurnRate {}
impl Over for StageLevels {}
impl Over for DeploymentEnv {}
impl Over for ConfigMap {}
impl Over for VirtualService {}
impl Over for Command {}
impl Over for Webhook {}
impl Over for Email {}
impl Over for Smtp {}
impl Over for Events {}
impl Over for Receiver {}
impl Over for Quiet {}
impl Over for Links {}
impl Over for Http {}
impl Over for Heartbeat {}
impl Over for Readiness {}
impl Over for State {}
impl Over for LeaderElection {}
impl Over for ObjectName {}

impl Over for Guard {
    fn over(&self, base: &Self) -> Self {
        self.fieldwise(base)
    }
}

impl Over for Verify {
    fn over(&self, base: &Self) -> Self {
        self.fieldwise(base)
    }
}

impl Over for Rollback {
    /// A target written here replaces the default's, whichever of the two ways each is written in.
    fn over(&self, base: &Self) -> Self {
        let mut merged = self.fieldwise(base);
        if self.percentage.is_written() || self.percentages.is_written() {
            merged.percentage = self.percentage.clone();
            merged.percentages = self.percentages.clone();
        }
        merged
    }
}

impl Over for Trigger {
    /// A trigger that measures something else takes nothing from the default of its name. Keys that exclude one another
    /// replace one another. A threshold of another kind takes the default's clear level and baseline away with the
    /// default's threshold: they would be in another unit.
    fn over(&self, base: &Self) -> Self {
        if self.measures_other_than(base) {
            return self.clone();
        }
        let mut merged = self.fieldwise(base);
        if self.clear_below.is_written() || self.clear_above.is_written() {
            merged.clear_below = self.clear_below.clone();
            merged.clear_above = self.clear_above.clone();
        }
        if self.has_threshold() {
            merged.above = self.above.clone();
            merged.below = self.below.clone();
            merged.degraded_by = self.degraded_by.clone();
            merged.rises_by = self.rises_by.clone();
            merged.slo = self.slo.clone();
            if self.kinds() != base.kinds() {
                merged.clear_below = self.clear_below.clone();
                merged.clear_above = self.clear_above.clone();
                if self.degraded_by.is_missing() && self.rises_by.is_missing() {
                    merged.baseline = self.baseline.clone();
                }
                if self.slo.is_written() {
                    // Burn rates have windows of their own.
                    merged.window = self.window.clone();
                    merged.confirm_window = self.confirm_window.clone();
                }
            }
        }
        merged
    }
}

impl Trigger {
    fn measures_other_than(&self, base: &Self) -> bool {
        let base_says = base.signal.is_written() || base.promql.is_written();
        let other_signal = self.signal.is_written() && self.signal.value() != base.signal.value();
        let other_way = self.promql.is_written() && base.signal.is_written();
        base_says && (other_signal || other_way)
    }

    fn has_threshold(&self) -> bool {
        self.kinds() != [false; 5]
    }

    fn kinds(&self) -> [bool; 5] {
        [
            self.above.is_written(),
            self.below.is_written(),
            self.degraded_by.is_written(),
            self.rises_by.is_written(),
            self.slo.is_written(),
        ]
    }
}
