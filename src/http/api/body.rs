//! The bodies of requests, each field known and nothing else.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

use crate::config;
use crate::engine::{Command, NewBaseline};
use crate::http::problem::Problem;

/// The longest pause: a guard that is paused for longer is one that somebody forgot.
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);

/// `rollback`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// Why.
    reason: Option<String>,
    /// To which share, in percent; the guard's own target when absent.
    #[serde(deserialize_with = "whole")]
    percentage: Option<u8>,
}

/// `shift`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shift {
    /// Why.
    reason: Option<String>,
    /// To which share, in percent.
    #[serde(deserialize_with = "whole")]
    percentage: Option<u8>,
    /// Up even where not all is well.
    force: bool,
}

/// `pause`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pause {
    /// For how long, like `30m`.
    #[serde(rename = "for")]
    length: Option<String>,
}

/// `baselines`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Baselines {
    /// Those to compare with from now on.
    baselines: Vec<NewBaseline>,
    /// The trigger that goes back to a version before.
    trigger: Option<String>,
    /// Which version.
    #[serde(deserialize_with = "whole")]
    version: Option<u32>,
}

/// `rearm`, `resume`, `ack`: nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A whole number. JSON knows numbers only: 10.0 is one.
fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let written_with_a_point = || {
        let float = number.as_f64().filter(|f| f.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(f))?;
        // Whole, not negative and far below 2^53: the conversion is exact.
        Some(float as u64)
    };
    let found = number.as_u64().or_else(written_with_a_point).and_then(|whole| T::try_from(whole).ok());
    found.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is no whole number that fits here")))
}

/// The body as text. JSON is JSON also where a client sends it as something else by itself, as curl does with `-d`.
pub fn text(headers: &HeaderMap, body: &Bytes) -> Result<String, Problem> {
    if !body.is_empty()
        && let Some(kind) = headers.get(header::CONTENT_TYPE)
    {
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let taken = ["", "application/json", "application/x-www-form-urlencoded"].contains(&kind.as_str())
            || (kind.starts_with("application/") && kind.ends_with("+json"));
        if !taken {
            let detail = format!("the body is {kind}: send application/json");
            return Err(Problem::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
    }
    String::from_utf8(body.to_vec()).map_err(|_| Problem::bad_request("the body is no UTF-8 text".to_owned()))
}

/// The body as what it is for this command.
pub fn parse<T: DeserializeOwned + Default>(text: &str) -> Result<T, Problem> {
    match text.trim() {
        "" => Ok(T::default()),
        text => serde_json::from_str(text).map_err(|e| Problem::bad_request(format!("the body is no request: {e}"))),
    }
}

impl Rollback {
    /// What is asked for.
    pub fn command(self) -> Result<Command, Problem> {
        match self.reason.filter(|reason| !reason.trim().is_empty()) {
            None => bad("a rollback needs a reason: {\"reason\": \"…\"}"),
            Some(_) if self.percentage.is_some_and(|p| p > 100) => bad("percentage goes from 0 to 100"),
            Some(reason) => Ok(Command::Rollback { reason, percentage: self.percentage, once: false }),
        }
    }
}

impl Shift {
    /// What is asked for.
    pub fn command(self) -> Result<Command, Problem> {
        match (self.reason.filter(|reason| !reason.trim().is_empty()), self.percentage) {
            (None, _) => bad("a shift needs a reason: {\"reason\": \"…\", \"percentage\": 25}"),
            (_, None) => bad("a shift needs a percentage: {\"reason\": \"…\", \"percentage\": 25}"),
            (_, Some(percentage)) if percentage > 100 => bad("percentage goes from 0 to 100"),
            (Some(reason), Some(percentage)) => Ok(Command::Shift { reason, percentage, force: self.force }),
        }
    }
}

impl Pause {
    /// What is asked for.
    pub fn command(self, now: Timestamp) -> Result<Command, Problem> {
        let Some(text) = self.length else { return bad("a pause needs a length: {\"for\": \"30m\"}") };
        match config::parse_duration(&text) {
            Ok(length) if length > LONGEST_PAUSE => bad("a pause lasts at most 7d"),
            Ok(length) => Ok(Command::Pause { until: now.checked_add(length).unwrap_or(Timestamp::MAX) }),
            Err(e) => bad(&format!("for: {e}")),
        }
    }
}

impl Baselines {
    /// What is asked for.
    pub fn command(self) -> Result<Command, Problem> {
        match (self.baselines, self.trigger, self.version) {
            (baselines, None, None) if !baselines.is_empty() => Ok(Command::RecordBaselines { baselines }),
            (baselines, Some(trigger), Some(version)) if baselines.is_empty() => {
                Ok(Command::UseBaseline { trigger, version })
            }
            _ => bad(
                "this needs what to compare with: {\"baselines\": [{\"trigger\": \"…\", …}]}, as ripcord baseline record \
                      sends it, or {\"trigger\": \"…\", \"version\": 2}",
            ),
        }
    }
}

fn bad(detail: &str) -> Result<Command, Problem> {
    Err(Problem::bad_request(detail.to_owned()))
}
