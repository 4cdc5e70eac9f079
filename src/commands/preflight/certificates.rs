//! Until when certificates are valid: those of cert-manager and those in TLS Secrets, in the namespaces that the guards' steps and Istio's
//! gateways are in. Only the public half of a Secret is looked at.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use x509_parser::pem::Pem;

use crate::config::Settings;
use crate::kubernetes::{CallError, Cause, Cluster, ObjectRef};

use super::CONCURRENT_CALLS;
use super::check::{Area, Check, Result};
use super::istio::ISTIO_SYSTEM;

/// Below this it will not last over a long weekend on which nobody looks.
const TOO_SOON: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Below this nobody renews it: certificates by ACME are valid for 90 days and are renewed 30 days before, so that one with less has been
/// failing for more than a week.
const SOON: SignedDuration = SignedDuration::from_hours(21 * 24);

/// A certificate, and until when it is valid or why that cannot be told.
struct Seen {
    name: String,
    not_after: std::result::Result<Timestamp, String>,
}

/// Looks at all namespaces.
pub(super) async fn look(cluster: Option<&Cluster>, settings: &Settings) -> Vec<Check> {
    let Some(cluster) = cluster else { return vec![Area::Certificates.not_looked_at()] };
    let steps = settings.guards.iter().flat_map(|guard| guard.steps.iter().filter_map(ObjectRef::of));
    let mut namespaces: BTreeSet<String> = steps.map(|object| object.namespace).collect();
    namespaces.insert(ISTIO_SYSTEM.to_owned());
    let now = Timestamp::now();
    let (managed, why) = match cluster.has_cert_manager().await {
        Ok(there) => (there, None),
        Err(e) => (false, Some(e)),
    };
    let mut checks: Vec<Check> = why.map(|e| not_seen("cert-manager", &e)).into_iter().collect();
    let each = namespaces.iter().map(|namespace| async move {
        let secrets = said_of(&format!("TLS Secrets of {namespace}"), in_secrets(cluster, namespace).await, now);
        let certificates = match managed {
            true => said_of(&format!("Certificates of {namespace}"), in_certificates(cluster, namespace).await, now),
            false => Vec::new(),
        };
        [certificates, secrets].concat()
    });
    let all: Vec<Vec<Check>> = futures::stream::iter(each).buffered(CONCURRENT_CALLS).collect().await;
    checks.extend(all.into_iter().flatten());
    checks
}

async fn in_certificates(cluster: &Cluster, namespace: &str) -> std::result::Result<Vec<Seen>, CallError> {
    let found = cluster.certificates(namespace).await?;
    let seen = found.into_iter().map(|certificate| Seen {
        name: certificate.name,
        not_after: certificate.not_after.ok_or_else(|| "it was never issued".to_owned()),
    });
    Ok(seen.collect())
}

async fn in_secrets(cluster: &Cluster, namespace: &str) -> std::result::Result<Vec<Seen>, CallError> {
    let found = cluster.tls_certificates(namespace).await?;
    Ok(found.into_iter().map(|secret| Seen { name: secret.name, not_after: not_after(&secret.pem) }).collect())
}

/// Until when the server's own certificate is valid, which comes first. Those behind it are the issuer's to renew, and one of them may have
/// expired on purpose, as a second way to an older root.
fn not_after(pem: &[u8]) -> std::result::Result<Timestamp, String> {
    let first = Pem::iter_from_buffer(pem).find(|part| part.as_ref().map_or(true, |pem| pem.label == "CERTIFICATE"));
    let pem = match first {
        Some(Ok(pem)) => pem,
        Some(Err(e)) => return Err(format!("its tls.crt is no PEM: {e}")),
        None => return Err("its tls.crt holds no certificate in PEM".to_owned()),
    };
    let certificate = pem.parse_x509().map_err(|e| format!("its tls.crt holds no certificate: {e}"))?;
    let seconds = certificate.validity().not_after.timestamp();
    Timestamp::from_second(seconds).map_err(|e| format!("its end is no time: {e}"))
}

/// Everything that is not well, each by its name, and one line for all others.
fn said_of(what: &str, seen: std::result::Result<Vec<Seen>, CallError>, now: Timestamp) -> Vec<Check> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(e) => return vec![not_seen(what, &e)],
    };
    let mut checks = Vec::new();
    let mut well: Vec<Timestamp> = Vec::new();
    for Seen { name, not_after } in seen {
        let what = format!("{what}: {name}");
        match not_after {
            Ok(end) => match expiry(end, now) {
                Result::Ok => well.push(end),
                result => checks.push(Area::Certificates.amiss(result, what, in_words(end, now), hint(result))),
            },
            Err(why) => {
                checks.push(Area::Certificates.warn(what, why, "see who should have issued it, and why that failed"))
            }
        }
    }
    if let Some(first) = well.iter().min() {
        let detail = format!("{} valid, the first one {}", well.len(), in_words(*first, now));
        checks.insert(0, Area::Certificates.ok(what, detail));
    } else if checks.is_empty() {
        checks.push(Area::Certificates.ok(what, "there are none"));
    }
    checks
}

fn expiry(not_after: Timestamp, now: Timestamp) -> Result {
    match not_after.duration_since(now) {
        left if left < TOO_SOON => Result::Fail,
        left if left < SOON => Result::Warn,
        _ => Result::Ok,
    }
}

fn in_words(not_after: Timestamp, now: Timestamp) -> String {
    let days = not_after.duration_since(now).as_hours() / 24;
    let date = not_after.strftime("%Y-%m-%d %H:%M UTC");
    if not_after <= now { format!("expired at {date}") } else { format!("until {date}, {days} days") }
}

fn hint(result: Result) -> &'static str {
    match result {
        Result::Fail => "renew it now, and see why nobody has: who moves traffic through it moves it into errors",
        _ => "renew it, and see why nobody has: automatic renewal is 30 days before the end",
    }
}

fn not_seen(what: &str, error: &CallError) -> Check {
    let hint = match error.cause {
        Cause::Forbidden { .. } => {
            "run preflight as a person who may see them, or look yourself; Ripcord's ServiceAccount does without, and should not be granted it"
        }
        _ => "look at them yourself",
    };
    // The usual words of that error ask for a permission, which is not wanted here.
    let detail = match &error.cause {
        Cause::Forbidden { message, .. } => {
            format!("could not {}: not permitted (the server says: {message})", error.doing)
        }
        _ => error.to_string(),
    };
    Area::Certificates.warn(what, detail, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn in_hours(hours: i64) -> Timestamp {
        now() + SignedDuration::from_hours(hours)
    }

    #[test]
    fn expiry_is_judged_by_what_is_left() {
        for (hours, wanted) in [
            (-1, Result::Fail),
            (0, Result::Fail),
            (3 * 24 - 1, Result::Fail),
            (3 * 24, Result::Warn),
            (21 * 24 - 1, Result::Warn),
            (21 * 24, Result::Ok),
            (90 * 24, Result::Ok),
        ] {
            assert_eq!(expiry(in_hours(hours), now()), wanted, "{hours} h");
        }
        assert_eq!(in_words(in_hours(-2), now()), "expired at 2026-01-02 01:04 UTC");
        assert_eq!(in_words(in_hours(49), now()), "until 2026-01-04 04:04 UTC, 2 days");
    }

    #[test]
    fn what_is_well_is_one_line_and_what_is_not_is_named() {
        let seen = |name: &str, hours| Seen { name: name.to_owned(), not_after: Ok(in_hours(hours)) };
        let broken = Seen { name: "d".to_owned(), not_after: Err("no PEM".to_owned()) };
        let checks = said_of("s", Ok(vec![seen("a", 999), seen("b", 1), seen("c", 800), broken]), now());
        let found: Vec<(&str, Result)> = checks.iter().map(|c| (c.what.as_str(), c.result)).collect();
        assert_eq!(found, [("s", Result::Ok), ("s: b", Result::Fail), ("s: d", Result::Warn)]);
        assert!(checks[0].detail.starts_with("2 valid, the first one until 2026-02-04"), "{}", checks[0].detail);
        assert_eq!(said_of("s", Ok(vec![]), now())[0].detail, "there are none");
    }

    #[test]
    fn the_end_is_that_of_the_first_certificate() {
        let made = |year| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 5, 6);
            (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        };
        let ((first, key), (second, _)) = (made(2031), made(2020));
        let end: Timestamp = "2031-05-06T00:00:00Z".parse().unwrap();
        assert_eq!(not_after(format!("{first}{second}").as_bytes()), Ok(end));
        assert_eq!(not_after(format!("{key}{first}").as_bytes()), Ok(end), "what is no certificate is passed over");
        for odd in
            [&b""[..], b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key.as_bytes()]
        {
            let error = not_after(odd).unwrap_err();
            assert!(error.starts_with("its tls.crt"), "{error}");
            assert!(!error.contains("PRIVATE"), "{error}");
        }
    }
}
