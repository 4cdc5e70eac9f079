//! What is meant: the validated settings. What was written is in `raw`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::{self, Event, Language, Severity};

use super::template::Template;

/// Everything that a configuration says.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the metrics are.
    pub prometheus: Prometheus,
    /// When to evaluate.
    pub evaluation: Evaluation,
    /// The guards, in the order of their names.
    pub guards: Vec<Guard>,
    /// The receivers, in the order of their names.
    pub receivers: Vec<Receiver>,
    /// The language that people are told in, where a receiver says no other.
    pub language: Language,
    /// The HTTP server.
    pub http: Http,
    /// Addresses that the pages carry.
    pub links: Links,
    /// Who is told that Ripcord is alive.
    pub heartbeat: Option<Heartbeat>,
    /// How it is tried whether a rollback would work.
    pub readiness: Readiness,
    /// Where the state is kept; without it, in memory.
    pub state: Option<StatePlace>,
    /// How replicas agree on who acts; without it there is one. Then the state is in a ConfigMap, which they share.
    pub leader_election: Option<LeaderElection>,
    /// What is valid and still worth a second look, each with its path.
    pub warnings: Vec<super::Finding>,
}

impl Settings {
    /// Whether a receiver is told in this language.
    pub fn wants(&self, language: Language) -> bool {
        self.receivers.iter().any(|receiver| receiver.language == language)
    }
}

/// Where the metrics are.
#[derive(Debug, Clone, PartialEq)]
pub struct Prometheus {
    /// The base address of the HTTP API.
    pub url: String,
    /// How long the queries of one tick may take, all together.
    pub timeout: Duration,
    /// A file with a bearer token.
    pub bearer_token_file: Option<SecretFile>,
    /// User name and the file with its password.
    pub basic_auth: Option<BasicAuth>,
    /// A file with the certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Headers to send, like `X-Scope-OrgID`.
    pub headers: BTreeMap<String, String>,
}

/// HTTP basic authentication.
#[derive(Debug, Clone, PartialEq)]
pub struct BasicAuth {
    /// The user's name.
    pub username: String,
    /// The file with the password.
    pub password_file: SecretFile,
}

/// A file that holds a secret. Its content is read when it is needed and is never kept in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(pub PathBuf);

/// When to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The time from one tick to the next.
    pub interval: Duration,
    /// How far behind now the measured instant lies, for a Prometheus that is filled late.
    pub offset: Duration,
    /// How long a trigger may be unknown before the watchdog is called blind.
    pub blind_after: Duration,
}

/// One guard: what to decide, what to measure, what to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// The guard's name.
    pub name: String,
    /// What the engine knows of it.
    pub engine: engine::GuardSettings,
    /// What to measure for each trigger of `engine`, by trigger name.
    pub signals: BTreeMap<String, Signal>,
    /// How the share is set, in this order.
    pub steps: Vec<Step>,
    /// How long a rollout may take.
    pub rollout_timeout: Duration,
    /// The guard's own variables (not the built-in ones).
    pub vars: BTreeMap<String, String>,
    /// Where oncall reads what to do.
    pub runbook: Option<String>,
    /// Where oncall sees its curves.
    pub dashboard: Option<String>,
}

/// Which names the built-in signals use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricNames {
    /// `istio_requests_total` and its like.
    Istio,
    /// `nginx_ingress_controller_requests` and its like.
    IngressNginx,
}

impl MetricNames {
    /// The names as a configuration writes them.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::IngressNginx => "ingress_nginx",
        }
    }
}

/// What to measure for one trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// The kind of the number.
    pub kind: SignalKind,
    /// The window; zero for `Promql`.
    pub window: Duration,
    /// The confirm window.
    pub confirm_window: Option<Duration>,
    /// What it is compared with, for a degradation or a rise.
    pub baseline: Option<Baseline>,
    /// The burn rates, whose windows are measured in place of the others.
    pub burn_rates: Vec<engine::BurnRate>,
}

impl Signal {
    /// The shortest window that is measured.
    pub fn shortest_window(&self) -> Duration {
        let of_burn_rates = self.burn_rates.iter().map(|rate| rate.confirm_window).min();
        of_burn_rates.or(self.confirm_window).unwrap_or(self.window)
    }
}

/// The kind of a signal.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalKind {
    /// Failed requests of all, as the service's own side sees them.
    ErrorRate(Selector),
    /// Failed requests of all, as the caller sees them.
    Availability(Selector),
    /// Requests that were refused as the client's fault (404, 401, 403) of all, as the caller sees them.
    ClientErrorRate(Selector),
    /// A latency quantile.
    Latency {
        /// The series.
        selector: Selector,
        /// Which quantile, between 0 and 1.
        quantile: f64,
    },
    /// Requests per second.
    Throughput(Selector),
    /// Any PromQL, its variables put in already.
    Promql(String),
}

impl SignalKind {
    /// What is measured, as a text that differs when that does and never by itself: recorded baselines are told apart by it.
    pub fn identity(&self) -> String {
        let of = |word: &str, selector: &Selector| {
            let side = if selector.caller { " caller" } else { "" };
            format!("{word} {}{side} {}", selector.names.as_str(), selector.labels_text())
        };
        match self {
            Self::ErrorRate(selector) => of("error_rate", selector),
            Self::Availability(selector) => of("availability", selector),
            Self::ClientErrorRate(selector) => of("client_error_rate", selector),
            Self::Latency { selector, quantile } => of(&format!("latency {quantile}"), selector),
            Self::Throughput(selector) => of("throughput", selector),
            Self::Promql(query) => format!("promql {query}"),
        }
    }

    /// Which series it is made of; none for written PromQL, which says that itself.
    pub fn selector(&self) -> Option<&Selector> {
        match self {
            Self::ErrorRate(selector)
            | Self::Availability(selector)
            | Self::ClientErrorRate(selector)
            | Self::Latency { selector, .. }
            | Self::Throughput(selector) => Some(selector),
            Self::Promql(_) => None,
        }
    }
}

/// Which series of the built-in metrics belong to a guard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// Whose names.
    pub names: MetricNames,
    /// Label values that a series must have, by label name.
    pub labels: BTreeMap<String, String>,
    /// Whether the series of the caller's side are meant (Istio: `reporter="source"`).
    pub caller: bool,
}

impl Selector {
    /// The labels as PromQL has them: `{ingress="shop"}`.
    fn labels_text(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{{{}}}", labels.join(","))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.names.as_str(), self.labels_text())
    }
}

/// What a degradation compares with.
#[derive(Debug, Clone, PartialEq)]
pub enum Baseline {
    /// A number: seconds for a latency, requests per second for a throughput.
    Fixed(f64),
    /// The same signal this long ago.
    Offset(Duration),
    /// The same signal of other series at the same time.
    Control(Selector),
    /// What `ripcord baseline record` took from the past.
    Recorded(Recording),
}

/// How a baseline is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording {
    /// The period that it is measured over.
    pub over: Duration,
    /// From which age on it is too old.
    pub max_age: Duration,
}

/// One way in which a guard's share is set.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Environment variables of a Deployment's container.
    DeploymentEnv(DeploymentEnv),
    /// Keys of a ConfigMap.
    ConfigMap(ConfigMap),
    /// Weights of a VirtualService.
    VirtualService(VirtualService),
    /// A program to run.
    Command(Command),
}

/// Environment variables of a Deployment's container.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentEnv {
    /// The namespace.
    pub namespace: String,
    /// The Deployment.
    pub name: String,
    /// The container.
    pub container: String,
    /// What to set on every change.
    pub env: BTreeMap<String, Template>,
    /// What to set besides on a rollback.
    pub rollback_env: BTreeMap<String, Template>,
}

/// Keys of a ConfigMap.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigMap {
    /// The namespace.
    pub namespace: String,
    /// The ConfigMap.
    pub name: String,
    /// Whether the step is done when the ConfigMap does not exist.
    pub optional: bool,
    /// What to set.
    pub data: BTreeMap<String, Template>,
}

/// Weights of a VirtualService's destinations.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualService {
    /// The namespace.
    pub namespace: String,
    /// The VirtualService.
    pub name: String,
    /// What each destination gets, by its subset or its host as the VirtualService writes it. They add up to 100.
    pub weights: BTreeMap<String, Template>,
    /// The http routes that are meant, by name; all that have every one of those destinations when empty.
    pub routes: Vec<String>,
}

/// A program to run, without a shell.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The program and its arguments. The program holds no variable any more.
    pub argv: Vec<Template>,
    /// How long it may run.
    pub timeout: Duration,
}

impl Step {
    /// The step as pages, logs and errors name it: `deployment_env sealos-system/terminal-controller`.
    pub fn name(&self) -> String {
        match self {
            Self::DeploymentEnv(s) => format!("deployment_env {}/{}", s.namespace, s.name),
            Self::ConfigMap(s) => format!("config_map {}/{}", s.namespace, s.name),
            Self::VirtualService(s) => format!("virtual_service {}/{}", s.namespace, s.name),
            // Without its folder and its arguments, which may be long.
            Self::Command(s) => {
                let program = s.argv.first().map(Template::to_string).unwrap_or_default();
                format!("command {}", program.rsplit('/').next().unwrap_or_default())
            }
        }
    }
}

/// Where notifications go.
#[derive(Debug, Clone, PartialEq)]
pub struct Receiver {
    /// The receiver's name.
    pub name: String,
    /// How it is reached.
    pub channel: Channel,
    /// Which notifications it wants.
    pub filter: Filter,
    /// The language that it is told in.
    pub language: Language,
    /// When it is left alone by what is not critical.
    pub quiet: Option<Quiet>,
    /// How long others have to acknowledge what is critical before it is told; without it, it is told at once.
    pub escalate_after: Option<Duration>,
}

/// The time of a day in which only what is critical is told; the rest waits until it is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Quiet {
    /// When it begins.
    pub from: jiff::civil::Time,
    /// When it is over: on the next day, where that is earlier than `from`.
    pub to: jiff::civil::Time,
    /// Whose clocks these are.
    pub time_zone: jiff::tz::TimeZone,
}

/// Which notifications a receiver wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The least severity.
    pub min_severity: Severity,
    /// Only these events; all when empty.
    pub events: Vec<Event>,
    /// Only these guards (and what concerns no guard); all when empty.
    pub guards: Vec<String>,
}

/// How a receiver is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Channel {
    /// An HTTP request.
    Webhook(Webhook),
    /// An e-mail to each recipient.
    Email(Email),
}

/// A webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// The address.
    pub url: WebhookUrl,
    /// The shape of the body.
    pub format: WebhookFormat,
    /// The file with the key of the signature; for `Pagerduty`, which needs it, with the integration's routing key; for `Feishu` and
    /// `Dingtalk` with the secret of the bot.
    pub secret_file: Option<SecretFile>,
    /// A file with a bearer token.
    pub bearer_token_file: Option<SecretFile>,
    /// A file with the certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whom the message of a chat calls when it is critical, as the service names them.
    pub mention: Vec<String>,
    /// The body for `Template`.
    pub template: Option<TemplateSettings>,
}

/// A body that the configuration writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSettings {
    /// The template. Empty where its file was not looked for.
    pub text: String,
    /// The body's media type.
    pub content_type: String,
    /// Headers to send.
    pub headers: BTreeMap<String, String>,
}

impl TemplateSettings {
    /// Whether the body has to be JSON.
    pub fn is_json(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    }
}

/// Where a webhook or a heartbeat goes. The address is often a secret itself.
#[derive(Debug, Clone, PartialEq)]
pub enum WebhookUrl {
    /// Written in the configuration.
    Plain(String),
    /// In a file.
    File(SecretFile),
}

/// The shape of a webhook's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookFormat {
    /// Ripcord's own.
    Generic,
    /// PagerDuty's Events API v2.
    Pagerduty,
    /// A message for an incoming webhook of Slack.
    Slack,
    /// A card for a custom bot of Feishu or Lark.
    Feishu,
    /// A message for a custom robot of DingTalk.
    Dingtalk,
    /// A message for a robot of a group of WeCom.
    Wecom,
    /// What Alertmanager sends to a webhook, version 4.
    Alertmanager,
    /// What an Alertmanager takes at `/api/v2/alerts`.
    AlertmanagerApi,
    /// The configuration's own.
    Template,
}

impl WebhookFormat {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::Generic,
        Self::Pagerduty,
        Self::Slack,
        Self::Feishu,
        Self::Dingtalk,
        Self::Wecom,
        Self::Alertmanager,
        Self::AlertmanagerApi,
        Self::Template,
    ];

    /// The format as a configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Pagerduty => "pagerduty",
            Self::Slack => "slack",
            Self::Feishu => "feishu",
            Self::Dingtalk => "dingtalk",
            Self::Wecom => "wecom",
            Self::Alertmanager => "alertmanager",
            Self::AlertmanagerApi => "alertmanager_api",
            Self::Template => "template",
        }
    }

    /// Whether it takes a `secret_file`: the key of a signature, or what the service wants to be shown.
    pub fn takes_a_secret(self) -> bool {
        matches!(self, Self::Generic | Self::Pagerduty | Self::Feishu | Self::Dingtalk | Self::Template)
    }

    /// Whether it keeps alerts open that good news closes.
    pub fn keeps_alerts(self) -> bool {
        matches!(self, Self::Pagerduty | Self::Alertmanager | Self::AlertmanagerApi)
    }
}

/// E-mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Email {
    /// The server.
    pub smtp: Smtp,
    /// The sender's address.
    pub from: String,
    /// The recipients' addresses.
    pub to: Vec<String>,
}

/// An SMTP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Smtp {
    /// The host name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// A file with the certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// User name and the file with its password.
    pub login: Option<BasicAuth>,
    /// How long one exchange may take.
    pub timeout: Duration,
}

/// How an SMTP connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// In the clear, then STARTTLS; refused when the server has none.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// In the clear.
    None,
}

/// The HTTP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The file with the token that the writing endpoints want; without one they refuse.
    pub token_file: Option<SecretFile>,
}

/// Addresses that the pages carry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Links {
    /// Ripcord's own status page, as oncall reaches it.
    pub status: Option<String>,
    /// Where oncall reads what to do; a guard's own comes first.
    pub runbook: Option<String>,
    /// Where oncall sees the curves; a guard's own comes first.
    pub dashboard: Option<String>,
}

/// An outside address that is told that Ripcord is alive, so that somebody learns when it is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// The address.
    pub url: WebhookUrl,
    /// How often it is told, in the rhythm of the ticks.
    pub interval: Duration,
    /// How long one request may take.
    pub timeout: Duration,
}

/// How it is tried whether a rollback would work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The time from one try to the next.
    pub interval: Duration,
}

/// Where the state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// In a file. A relative name starts at the working directory.
    File(PathBuf),
    /// In a ConfigMap.
    ConfigMap(ObjectName),
}

impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::ConfigMap(object) => write!(f, "the ConfigMap {object}"),
        }
    }
}

/// The name of an object in a namespace of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The object.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How replicas agree on who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElection {
    /// The Lease.
    pub lease: ObjectName,
    /// How long a leader that does not renew stays one; whole seconds.
    pub lease_duration: Duration,
}
