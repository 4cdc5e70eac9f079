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
        /// where the metrics are
        prometheus: Prometheus,
        /// when they are looked at
        evaluation: Evaluation,
        /// what every guard has unless it says otherwise: the same keys as one of `guards`
        defaults: Guard,
        /// the components, by name
        guards: Named<Guard>,
        /// who is told, by name
        receivers: Named<Receiver>,
        /// what people are told in: `en` or `zh` (Chinese); see [Receivers](#receivers)
        language: String,
        /// addresses that the pages carry
        links: Links,
        /// Ripcord's own HTTP server
        http: Http,
        /// who is told that Ripcord is alive
        heartbeat: Heartbeat,
        /// how often it is tried whether a rollback would work
        readiness: Readiness,
        /// where incidents, latches and pages that wait are kept
        state: State,
        /// how replicas agree on who acts
        leader_election: LeaderElection,
    }
}

shape! {
    /// `prometheus`
    Prometheus {
        /// the base address, without `?` and `#`; `/api/v1/query` is put after it
        url: String,
        /// for all queries of one tick together; not `0s`; longer than the interval: a warning
        timeout: Duration,
        /// holds a bearer token; not together with `basic_auth`
        bearer_token_file: String,
        /// a login
        basic_auth: BasicAuth,
        /// how the server is recognised
        tls: Tls,
        /// headers to send, like `X-Scope-OrgID`; not `Authorization`, which is a secret
        headers: Named<String>,
    }
}

shape! {
    /// `prometheus.basic_auth`
    BasicAuth {
        /// without a colon
        username: String,
        /// holds the password
        password_file: String,
    }
}

shape! {
    /// `prometheus.tls`
    Tls {
        /// PEM certificates to trust besides the system's; at most 1 MiB
        ca_file: String,
    }
}

shape! {
    /// `evaluation`
    Evaluation {
        /// from one tick to the next; at least `1s`
        interval: Duration,
        /// how far behind now a tick measures, for a Prometheus that is filled late; at most `10m`
        offset: Duration,
        /// how long a trigger may be unknown before it is told; at least the interval
        blind_after: Duration,
    }
}

shape! {
    /// One of `guards`, and `defaults`.
    Guard {
        /// which metric names the built-in signals use
        metrics: String,
        /// labels and values: these series are the component's own
        r#match: Named<String>,
        /// the same for `availability`, from the caller's side; Istio without it: a warning
        caller_match: Named<String>,
        /// its own [variables](#variables)
        vars: Named<String>,
        /// what is bad, by name; at least one that is switched on
        triggers: Named<Trigger>,
        /// other levels while the share is small
        stages: List<Stage>,
        /// the steps that set its share, in order; at least one
        traffic: List<Step>,
        /// where to, and how long each part may take
        rollback: Rollback,
        /// what to do, for its pages
        runbook: String,
        /// its curves, for its pages
        dashboard: String,
    }
}

shape! {
    /// One of `triggers`.
    Trigger {
        /// `error_rate`, `availability`, `client_error_rate`, `latency` or `throughput`
        signal: String,
        /// a query that gives one number; variables are put in
        promql: String,
        /// which quantile of the latency
        quantile: Scalar,
        /// bad above this
        above: Scalar,
        /// bad below this
        below: Scalar,
        /// bad when worse than its `baseline` by more than this
        degraded_by: Scalar,
        /// bad when above its `baseline` by more than so many percentage points
        rises_by: Scalar,
        /// bad when an error budget is used up too fast; see [Burn rates](#burn-rates)
        slo: Slo,
        /// with `above`, `degraded_by`, `rises_by`: good below this; at most the threshold
        clear_below: Scalar,
        /// with `below`: good above this; at least the threshold
        clear_above: Scalar,
        /// what is measured over; at least the interval
        window: Duration,
        /// says whether it is still so; at least the interval, shorter than `window`
        confirm_window: Duration,
        /// how long it must be observed to be bad; at least the interval
        r#for: Duration,
        /// how long clear must last to reset that clock; without one, a fifth of `for`
        clear_for: Duration,
        /// what `degraded_by` and `rises_by` compare with
        baseline: Baseline,
        /// roll back, or tell people and change nothing
        action: String,
        /// of what it pages with `action: page`: `info`, `warning` or `critical`
        severity: String,
        /// `literal`: take the number as it is, however few the requests
        low_traffic: String,
        /// `false` switches it off
        enabled: bool,
    }
}

shape! {
    /// A trigger's `slo`.
    Slo {
        /// the part of the requests that is to be good, like `99.9%`
        objective: Scalar,
        /// bad when any one of them is; sorted by falling `above`
        burn_rates: List<BurnRate>,
    }
}

shape! {
    /// One of `burn_rates`.
    BurnRate {
        /// bad beyond this multiple of the budget
        above: Scalar,
        /// what is measured over; at least the interval
        window: Duration,
        /// says whether it is still so; at least the interval, shorter than `window`
        confirm_window: Duration,
    }
}

shape! {
    /// A trigger's `baseline`.
    Baseline {
        /// this number, above 0
        fixed: Scalar,
        /// the same signal this long ago; at least `window`; not for `promql`
        offset: Duration,
        /// the same signal of other series at the same time; not for `promql`
        control: Control,
        /// what `ripcord baseline record` took from the past; `{}` for the defaults
        recorded: Recording,
    }
}

shape! {
    /// `baseline.recorded`
    Recording {
        /// the period that it is measured over; `7d` unless written; at least `window`
        over: Duration,
        /// from which age on a page says that it is too old; `30d` unless written
        max_age: Duration,
    }
}

shape! {
    /// `baseline.control`
    Control {
        /// whose names they have; the guard's `metrics` unless written
        metrics: String,
        /// which series; required, and not the guard's own
        r#match: Named<String>,
    }
}

shape! {
    /// One of `stages`.
    Stage {
        /// holds up to this share, inclusive; the stages are written by rising `up_to`
        up_to: Percentage,
        /// the levels, by trigger; the trigger must exist
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
        /// sets environment variables of one container of a Deployment
        deployment_env: DeploymentEnv,
        /// sets keys of a ConfigMap
        config_map: ConfigMap,
        /// sets weights of a VirtualService's http routes
        virtual_service: VirtualService,
        /// runs a program
        command: Command,
    }
}

shape! {
    /// `deployment_env`
    DeploymentEnv {
        namespace: String,
        /// the Deployment
        name: String,
        /// the container; not an init container
        container: String,
        /// what every change sets
        env: Named<AnyText>,
        /// what a rollback sets besides; no name of `env`
        rollback_env: Named<AnyText>,
    }
}

shape! {
    /// `config_map`
    ConfigMap {
        namespace: String,
        /// the ConfigMap
        name: String,
        /// `true`: where the ConfigMap does not exist, the step is done
        optional: bool,
        /// what every change sets
        data: Named<AnyText>,
    }
}

shape! {
    /// `virtual_service`
    VirtualService {
        namespace: String,
        /// the VirtualService
        name: String,
        /// what each destination gets, at least two; see below
        weights: Named<AnyText>,
        /// the names of the http routes that are meant
        routes: Texts,
    }
}

shape! {
    /// `command`
    Command {
        /// the program and its arguments; see below
        argv: List<AnyText>,
        /// how long it may run; not `0s`, at most `30m`
        timeout: Duration,
    }
}

shape! {
    /// `rollback`
    Rollback {
        /// the share to go back to
        percentage: Percentage,
        /// a ladder in its place, falling: `[10, 0]`
        percentages: List<Percentage>,
        /// how long a rollout may take; not `0s`
        rollout_timeout: Duration,
        /// how it is checked that it helped
        verify: Verify,
        /// how long after the change it is paged that somebody undoes it (the share, or anything else that was set),
        /// with who; `0s`: never
        drift_watch: Duration,
    }
}

shape! {
    /// `rollback.verify`
    Verify {
        /// how long the triggers have to become clear; see below
        within: Duration,
    }
}

shape! {
    /// One of `receivers`.
    Receiver {
        /// an HTTP POST
        webhook: Webhook,
        /// a mail to each recipient
        email: Email,
        /// what it gets; all conditions must hold
        events: Events,
        /// the language of its texts for people, in every format; see below
        language: String,
        /// the time of a day in which only what is critical is told
        quiet: Quiet,
        /// it is told second: only when nobody acknowledges for so long; `1s` to `12h`
        escalate_after: Duration,
    }
}

shape! {
    /// A receiver's `quiet`.
    Quiet {
        /// when it begins: `"22:00"`
        from: String,
        /// when it is over, on the next day where that is earlier
        to: String,
        /// whose clocks these are: `Asia/Shanghai`, `UTC`
        time_zone: String,
    }
}

shape! {
    /// `webhook`
    Webhook {
        /// where to; redirects are not followed; a warning where it is a secret (a robot's, or with a `token=`)
        url: String,
        /// holds the address, where that is a secret itself
        url_file: String,
        /// `generic`, `pagerduty`, `slack`, `feishu`, `dingtalk`, `wecom`, `alertmanager`, `alertmanager_api` or
        /// `template`
        format: String,
        /// `generic`, `template`: the key that signs each body; `pagerduty`: the routing key; `feishu`, `dingtalk`:
        /// the robot's secret
        secret_file: String,
        /// a bearer token to send
        bearer_token_file: String,
        /// PEM certificates to trust besides the system's; at most 1 MiB
        ca_file: String,
        /// for one request; not `0s`
        timeout: Duration,
        /// whom the message of a chat calls when it is critical, as the service names them
        mention: Texts,
        /// the body of the format `template`
        template: String,
        /// holds it; UTF-8 text of at most 256 KiB
        template_file: String,
        /// the media type of that body
        content_type: String,
        /// headers to send with it; never a secret: a name like `X-Api-Key` is a warning
        headers: Named<String>,
    }
}

shape! {
    /// `email`
    Email {
        /// the server
        smtp: Smtp,
        /// the sender's address, alone: `ripcord@example.org`
        from: String,
        /// the recipients' addresses, each once; each gets a mail of its own
        to: Texts,
    }
}

shape! {
    /// `email.smtp`
    Smtp {
        /// its name, without `smtp://` and port
        host: String,
        /// `starttls` 587, `implicit` 465, `none` 25
        port: u16,
        /// `starttls` (never without it), `implicit` (TLS from the first byte) or `none`
        tls: String,
        /// together with `password_file`; not with `tls: none`
        username: String,
        /// holds the password
        password_file: String,
        /// PEM certificates to trust besides the system's; not with `tls: none`
        ca_file: String,
        /// for one exchange with the server; not `0s`
        timeout: Duration,
    }
}

shape! {
    /// A receiver's `events`.
    Events {
        /// this severity and above: `info`, `warning`, `critical`
        min_severity: String,
        /// these events, as [operations.md](operations.md) lists them
        only: Texts,
        /// these guards, and what concerns no guard
        guards: Texts,
    }
}

shape! {
    /// `links`
    Links {
        /// where people read Ripcord's status, for the pages
        status: String,
        /// what to do, for the pages of guards without a `runbook` of their own
        runbook: String,
        /// the curves, for the pages of guards without a `dashboard` of their own
        dashboard: String,
    }
}

shape! {
    /// `http`
    Http {
        /// where the HTTP server listens
        listen: String,
        /// holds the bearer token for what changes something; without it the API only reads, and the status page has no
        /// buttons
        token_file: String,
    }
}

shape! {
    /// `heartbeat`
    Heartbeat {
        /// the service's address; it gets a GET, and redirects are not followed
        url: String,
        /// holds the address, which is mostly a secret; read again for each heartbeat
        url_file: String,
        /// how often; at least `1s`
        interval: Duration,
        /// for one request; not `0s`
        timeout: Duration,
    }
}

shape! {
    /// `readiness`
    Readiness {
        /// how often, from `1s` to `6h`
        interval: Duration,
    }
}

shape! {
    /// `state`
    State {
        /// a ConfigMap; it is made when it is missing
        config_map: ObjectName,
        /// outside a cluster; the name of a file, not of a folder
        file: String,
    }
}

shape! {
    /// `leader_election`
    LeaderElection {
        /// the Lease; it is made when it is missing
        lease: ObjectName,
        /// how long a leader that does not renew stays one
        lease_duration: Duration,
    }
}

shape! {
    /// A namespaced object.
    ObjectName {
        /// its namespace
        namespace: String,
        /// its name
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
