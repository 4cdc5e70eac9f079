//! `receivers`: where notifications go, and which.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::field::{At, Field, Texts};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::suggest;
use crate::config::units::say;
use crate::config::{
    BasicAuth, Channel, Email, Filter, LoadOptions, Receiver, SecretFile, Smtp, SmtpTls, WebhookFormat, defaults,
    is_loopback_host,
};
use crate::engine::{Event, Language, Severity};

use super::triggers::SEVERITIES;
use super::{addresses, choose, names, quiet, webhooks};

/// Validates all receivers.
pub(super) fn receivers(
    raw: &raw::Root,
    language: Language,
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<Vec<Receiver>> {
    let named = match &raw.receivers {
        Field::Wrong => return None,
        Field::Given(at) if !at.value.0.is_empty() => &at.value,
        _ => {
            problems.warn(&Path::root().key("receivers"), "there is none: nobody is told of anything");
            return Some(Vec::new());
        }
    };
    let guards: Vec<&str> = raw.guards.value().map(|g| g.0.keys().map(String::as_str).collect()).unwrap_or_default();
    let receivers: Vec<Receiver> =
        named.given().filter_map(|(name, at)| receiver(name, at, &guards, language, options, problems)).collect();
    if receivers.len() == named.0.len() && receivers.iter().all(|r| r.escalate_after.is_some()) {
        let message =
            "have escalate_after, all of them: nobody is told first, and of what is not critical nobody at all";
        problems.warn(&Path::root().key("receivers"), message);
    }
    (receivers.len() == named.0.len()).then_some(receivers)
}

fn receiver(
    name: &str,
    at: &At<raw::Receiver>,
    guards: &[&str],
    general: Language,
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<Receiver> {
    names::own(name, "receiver", &at.path, problems);
    let channel = match (&at.value.webhook, &at.value.email) {
        (Field::Missing, Field::Missing) if at.value.has_unknown_keys => None,
        (Field::Missing, Field::Missing) => {
            problems.error(&at.path, "needs webhook: {…} or email: {…}");
            None
        }
        (webhook, Field::Missing) => {
            webhook.get().and_then(|at| webhooks::webhook(at, options, problems)).map(Channel::Webhook)
        }
        (Field::Missing, email) => email.get().and_then(|at| self::email(at, options, problems)).map(Channel::Email),
        _ => {
            problems.error(&at.path, "has both webhook and email; make two receivers of it");
            None
        }
    };
    let filter = filter(&at.value.events, guards, problems);
    let language = match &at.value.language {
        Field::Missing => Some(general),
        own => super::language(own, problems),
    };
    if let (Some(Channel::Webhook(webhook)), Some(filter), Some(written)) = (&channel, &filter, at.value.events.get())
        && webhook.format.keeps_alerts()
    {
        stays_open(webhook.format, filter, &written.path.key("only"), problems);
    }
    let quiet = quiet::quiet(&at.value.quiet, problems);
    let escalate_after = escalate_after(&at.value.escalate_after, problems);
    Some(Receiver {
        name: name.to_owned(),
        channel: channel?,
        filter: filter?,
        language: language?,
        quiet: quiet?,
        escalate_after: escalate_after?,
    })
}

/// What opens an alert where a service keeps it open, and what closes it again.
const CLOSED_BY: [(Event, &[Event]); 8] = [
    (Event::RollbackStarted, &[Event::RollbackVerified, Event::PageResolved, Event::GuardRearmed]),
    (Event::PageFiring, &[Event::PageResolved, Event::GuardRearmed]),
    (Event::RollbackFailed, &[Event::RollbackSucceeded, Event::PageResolved, Event::GuardRearmed]),
    (Event::RollbackNotRecovered, &[Event::RollbackVerified, Event::PageResolved, Event::GuardRearmed]),
    (Event::RollbackReverted, &[Event::PageResolved, Event::GuardRearmed]),
    (Event::WatchdogStopping, &[Event::WatchdogStarted]),
    (Event::WatchdogBlind, &[Event::WatchdogSees]),
    (Event::WatchdogNotReady, &[Event::WatchdogReady]),
];

/// Events that are chosen without those that close their alerts.
fn stays_open(format: WebhookFormat, filter: &Filter, path: &Path, problems: &mut Problems) {
    let chosen = |event: &Event| filter.events.is_empty() || filter.events.contains(event);
    let mut missing: Vec<Event> = Vec::new();
    for (_, closed_by) in CLOSED_BY.iter().filter(|(opens, _)| chosen(opens)) {
        missing.extend(closed_by.iter().filter(|event| !chosen(event)));
    }
    let names: Vec<&str> =
        Event::ALL.into_iter().filter(|event| missing.contains(event)).map(|event| event.as_str()).collect();
    if !names.is_empty() {
        let (format, names) = (format.as_str(), names.join(", "));
        problems.warn(path, format!("lets {format} open alerts that nothing closes there; choose also {names}"));
    }
}

fn escalate_after(field: &Field<Duration>, problems: &mut Problems) -> Option<Option<Duration>> {
    let at = match field {
        Field::Missing => return Some(None),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    let (least, most) = (defaults::MIN_ESCALATE_AFTER, defaults::MAX_ESCALATE_AFTER);
    if at.value < least {
        let message =
            format!("{} is too short; the least is {}: nobody could acknowledge before", say(at.value), say(least));
        problems.error(&at.path, message);
        return None;
    }
    if at.value > most {
        problems.error(&at.path, format!("{} is too long; the most is {}", say(at.value), say(most)));
        return None;
    }
    Some(Some(at.value))
}

fn filter(field: &Field<raw::Events>, guards: &[&str], problems: &mut Problems) -> Option<Filter> {
    let written = match field {
        Field::Wrong => return None,
        Field::Missing => raw::Events::default(),
        Field::Given(at) => at.value.clone(),
    };
    let min_severity = choose(&written.min_severity, &SEVERITIES, problems);
    let known: Vec<&str> = Event::ALL.iter().map(|e| e.as_str()).collect();
    let only = chosen(&written.only, &known, "event", problems);
    let guards = chosen(&written.guards, guards, "guard", problems);
    let only = only?;
    Some(Filter {
        min_severity: min_severity?.unwrap_or(Severity::Info),
        events: Event::ALL.into_iter().filter(|event| only.iter().any(|name| name == event.as_str())).collect(),
        guards: guards?,
    })
}

/// Names out of known ones. An empty list is refused: it would mean all of them where it says none.
fn chosen(field: &Field<Texts>, known: &[&str], what: &str, problems: &mut Problems) -> Option<Vec<String>> {
    let at = match field {
        Field::Missing => return Some(Vec::new()),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    let list = &at.value.0;
    if list.0.is_empty() {
        problems.error(&at.path, format!("is an empty list; write {what}s, or leave the key out for all of them"));
        return None;
    }
    let mut names = Vec::new();
    for name in list.given() {
        if known.contains(&name.value.as_str()) {
            names.push(name.value.clone());
        } else {
            let hint = suggest::hint(&name.value, known, &format!("the {what}s are"));
            problems.error(&name.path, format!("there is no {what} {:?}{hint}", name.value));
        }
    }
    (names.len() == list.0.len()).then_some(names)
}

fn email(at: &At<raw::Email>, options: LoadOptions, problems: &mut Problems) -> Option<Email> {
    let e = &at.value;
    let smtp = e.smtp.required(&at.path, "needs smtp, the server, like smtp: {host: smtp.example.org}", problems);
    let smtp = smtp.and_then(|smtp| self::smtp(smtp, options, problems));
    let from = e.from.required(&at.path, "needs from, the sender's address", problems);
    let from = from.and_then(|from| addresses::email(from, problems));
    let to = e.to.required(&at.path, "needs to, the recipients' addresses", problems);
    let to = to.and_then(|to| recipients(to, problems));
    Some(Email { smtp: smtp?, from: from?, to: to? })
}

fn recipients(at: &At<Texts>, problems: &mut Problems) -> Option<Vec<String>> {
    let list = &at.value.0;
    if list.0.is_empty() {
        problems.error(&at.path, "is an empty list; write at least one address");
        return None;
    }
    let mut to: Vec<String> = Vec::new();
    for entry in list.given() {
        if let Some(address) = addresses::email(entry, problems) {
            if to.contains(&address) {
                problems.error(&entry.path, format!("{address} is there twice; keep one"));
            }
            to.push(address);
        }
    }
    (to.len() == list.0.len()).then_some(to)
}

fn smtp(at: &At<raw::Smtp>, options: LoadOptions, problems: &mut Problems) -> Option<Smtp> {
    let s = &at.value;
    let host = s
        .host
        .required(&at.path, "needs host, the server's name", problems)
        .and_then(|host| problems.take(&host.path, check_host(&host.value)).map(|()| host.value.clone()));
    let kinds = [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
    let tls = choose(&s.tls, &kinds, problems).map(|tls| tls.unwrap_or(SmtpTls::Starttls));
    let port = s.port.or_default(match tls {
        Some(SmtpTls::Implicit) => defaults::SMTP_PORT_IMPLICIT,
        Some(SmtpTls::None) => defaults::SMTP_PORT_NONE,
        Some(SmtpTls::Starttls) | None => defaults::SMTP_PORT_STARTTLS,
    });
    let login = login(at, options, problems);
    if tls == Some(SmtpTls::None) {
        // On this very machine nobody listens in between.
        let nearby = s.host.get().is_some_and(|host| is_loopback_host(&host.value));
        if let Some(Some(_)) = &login
            && !nearby
        {
            problems.error(&at.path.key("tls"), "none would send the password in the clear; use starttls or implicit");
        }
        if let Some(ca) = s.ca_file.get() {
            problems.error(&ca.path, "is of no use with tls: none; leave one of the two out");
        }
    }
    let ca_file: Option<Option<PathBuf>> = addresses::ca_file(&s.ca_file, options, problems);
    let timeout = addresses::timeout(&s.timeout, defaults::SMTP_TIMEOUT, problems);
    Some(Smtp { host: host?, port: port?, tls: tls?, ca_file: ca_file?, login: login?, timeout: timeout? })
}

fn login(at: &At<raw::Smtp>, options: LoadOptions, problems: &mut Problems) -> Option<Option<BasicAuth>> {
    let s = &at.value;
    let file: Option<Option<SecretFile>> = addresses::secret(&s.password_file, options, problems);
    match (&s.username, &s.password_file) {
        (Field::Missing, Field::Missing) => Some(None),
        (Field::Missing, _) => {
            problems
                .error(&at.path, "has password_file and no username; write both, or none for a server without login");
            None
        }
        (_, Field::Missing) => {
            problems
                .error(&at.path, "has username and no password_file; write both, or none for a server without login");
            None
        }
        (username, _) => Some(Some(BasicAuth { username: username.value()?.clone(), password_file: file?? })),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.parse::<IpAddr>().is_ok() || host.chars().all(name) {
        Ok(())
    } else {
        Err(format!("{host:?} is no name of a server; write it alone, without smtp:// and with the port under port"))
    }
}
