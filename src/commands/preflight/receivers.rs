//! Whether those who are to be told can be reached.

use crate::config::Settings;
use crate::notify::{self, Addresses};

use super::check::{Area, Check};

/// Goes to each as far as nobody is paged, and sends each a test where that was asked for.
pub(super) async fn look(settings: &Settings, send_test: bool) -> Vec<Check> {
    if settings.receivers.is_empty() {
        let hint = "name at least one under receivers: a rollback that nobody hears of is found out by the users";
        return vec![Area::Receivers.warn("receivers", "there are none: nobody is told of anything", hint)];
    }
    let probed = notify::probe(&settings.receivers).await;
    let mut checks: Vec<Check> =
        probed.into_iter().map(|(name, reached)| said(name, reached, "can be reached")).collect();
    if send_test {
        let sent = notify::send_test(&settings.receivers, Addresses::of_settings(settings)).await;
        checks.extend(sent.into_iter().map(|(name, sent)| said(format!("{name}: test"), sent, "accepted")));
    }
    checks
}

fn said(what: String, result: Result<(), String>, well: &str) -> Check {
    match result {
        Ok(()) => Area::Receivers.ok(what, well),
        Err(error) => Area::Receivers.fail(
            what,
            error,
            "correct the receiver's address, secrets and certificates, and let it through (the NetworkPolicy)",
        ),
    }
}
