//! Defaults and limits of the configuration, each with its reason.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::engine::BurnRate;

/// The largest configuration file. A thousand guards written out fit several times; a file beyond it is the wrong file.
pub const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// How deep maps and lists may nest. The deepest thing that means something is 8 deep; deeper ones only cost stack.
pub const MAX_DEPTH: usize = 32;

/// The largest secret file: longer than any token, password or signed URL in use.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The largest file of certificates: every public root together is a quarter of it.
pub const MAX_CA_BYTES: u64 = 1024 * 1024;

/// The longest duration that can be written. Anything longer is a slip, and sums of such durations stay far from
/// overflow.
pub const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The longest name of a guard, trigger or receiver: that of a DNS label, so that a name fits wherever Kubernetes wants
/// one.
pub const MAX_NAME: usize = 63;

/// The time between two ticks: a shorter one sees nothing new, because Prometheus scrapes every 15 to 60 seconds.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// The shortest time between two ticks: below it the queries of one tick do not end before the next begins.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// How far behind now a tick measures: nothing, because Prometheus answers with what it has scraped.
pub const OFFSET: Duration = Duration::ZERO;

/// The longest way behind now: older data would decide about traffic that has long gone elsewhere.
pub const MAX_OFFSET: Duration = Duration::from_secs(10 * 60);

/// How long a trigger may be unknown before the watchdog is called blind: longer than a restart of Prometheus usually
/// takes, shorter than a hold.
pub const BLIND_AFTER: Duration = Duration::from_secs(2 * 60);

/// How long the queries of a tick may take, all together: half an interval, so that a slow Prometheus costs no tick.
pub const PROMETHEUS_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the HTTP server listens: on every address, because the kubelet, Prometheus and people come from outside the
/// pod. Without a token it only answers, it changes nothing.
pub const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 8080));

/// The window of a built-in signal: it holds five scrapes even where Prometheus scrapes only once a minute.
pub const WINDOW: Duration = Duration::from_secs(5 * 60);

/// The confirm window of a ratio or a quantile: the shortest that holds two scrapes where Prometheus scrapes every 30
/// s.
pub const CONFIRM_WINDOW: Duration = Duration::from_secs(60);

/// The burn rates of an objective, where none are written: those that page in the SRE workbook (table 5-8), which use up 2 % of a month's
/// error budget in an hour and 5 % in six.
pub const BURN_RATES: [BurnRate; 2] = [
    BurnRate { above: 14.4, window: Duration::from_secs(3600), confirm_window: Duration::from_secs(5 * 60) },
    BurnRate { above: 6.0, window: Duration::from_secs(6 * 3600), confirm_window: Duration::from_secs(30 * 60) },
];

/// How long burn rates must be observed: their windows do what `for` does for others, and one odd scrape shall still page nobody.
pub const SLO_HOLD_FOR: Duration = Duration::from_secs(60);

/// How long a breach must be observed: what the migration plan asks for.
pub const HOLD_FOR: Duration = Duration::from_secs(5 * 60);

/// The part of `for` that is `clear_for` where there is no confirm window: long enough that one good reading does not
/// reset the clock, short against the hold.
pub const CLEAR_FOR_PART: u32 = 5;

/// The period that a baseline is recorded over: a week has every hour of every weekday once, and Prometheus keeps 15 days by default.
pub const RECORDED_OVER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// From which age on a recorded baseline is too old: most services are another one after a month of releases and of growth.
pub const RECORDED_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The quantile of a latency: the one that the migration plan judges by.
pub const QUANTILE: f64 = 0.95;

/// The target of a rollback: everything goes back to where it came from.
pub const ROLLBACK_PERCENTAGE: u8 = 0;

/// How long a rollout may take: what the Sealos scripts wait in an emergency.
pub const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(180);

/// How long a command may run: what a rollout may take, which scripts like to wait for, and a minute for their own calls.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(240);

/// The longest time for a command: the steps after it wait, and a rollback that takes longer than this helps nobody.
pub const MAX_COMMAND_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How long the triggers have to become clear after the change: two windows of the default length.
pub const VERIFY_WITHIN: Duration = Duration::from_secs(10 * 60);

/// For how long after the change an undone rollback is paged: GitOps tools reconcile every few minutes.
pub const DRIFT_WATCH: Duration = Duration::from_secs(10 * 60);

/// How long one webhook request may take: receivers answer at once or are overloaded.
pub const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// The media type of a body that the configuration writes: what nearly all services take.
pub const TEMPLATE_CONTENT_TYPE: &str = "application/json";

/// The largest template of a body: no service takes a body that large.
pub const MAX_TEMPLATE_BYTES: u64 = 256 * 1024;

/// The shortest time that others have to acknowledge: a page is a second under way, and people need more than that. Tests use it too.
pub const MIN_ESCALATE_AFTER: Duration = Duration::from_secs(1);

/// The longest such time: after it a page would be as old as one that is given up.
pub const MAX_ESCALATE_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// How long one exchange with an SMTP server may take: greylisting servers make a client wait on purpose.
pub const SMTP_TIMEOUT: Duration = Duration::from_secs(30);

/// The port of mail submission with STARTTLS (RFC 6409).
pub const SMTP_PORT_STARTTLS: u16 = 587;

/// The port of mail submission with TLS from the first byte (RFC 8314).
pub const SMTP_PORT_IMPLICIT: u16 = 465;

/// The port of a relay in the clear.
pub const SMTP_PORT_NONE: u16 = 25;

/// How often the heartbeat's service is told: the services count missed minutes.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);

/// The shortest time between two heartbeats: that between two ticks, which send them.
pub const MIN_HEARTBEAT_INTERVAL: Duration = MIN_INTERVAL;

/// How long one heartbeat may take: the services answer at once, or the next tick tries again.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// The time between two tries whether a rollback would work: what breaks it (a permission taken away, a renamed container) is known
/// long before it is needed, and a few dry runs every five minutes are no load.
pub const READINESS_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The shortest such time: that between two ticks.
pub const MIN_READINESS_INTERVAL: Duration = MIN_INTERVAL;

/// The longest such time: a day's work must not end without one.
pub const MAX_READINESS_INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);

/// How long a leader that does not renew its Lease stays one: client-go's default.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// The shortest such time: a Lease counts in whole seconds, and one of them leaves no time to renew it twice.
pub const MIN_LEASE_DURATION: Duration = Duration::from_secs(2);

/// The longest such time: nobody acts for so long after a leader dies, and a breach that is held for the default time
/// must not wait longer than that again.
pub const MAX_LEASE_DURATION: Duration = HOLD_FOR;
