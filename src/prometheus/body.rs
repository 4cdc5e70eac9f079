//! What the body of a response says. Pure, so that any bytes can be tried.

use std::collections::HashMap;

use prometheus_http_query::response::{Data, InstantVector, PromqlResult};
use serde::Deserialize;

use crate::engine::Unknown;

use super::plan::{Answer, Plan, Query};
use super::range::{Instants, Range, Series};

/// What is kept of an answer that is not understood.
const MAX_ERROR_TEXT: usize = 200;

/// The envelope of the HTTP API. The library's own leaves out the warnings.
#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<PromqlResult>,
    error: Option<String>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    /// VictoriaMetrics' way to say that a storage node did not answer.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

/// The data of a response with this status. An error's text goes on after the server's name: `answered 503 …`.
pub(super) fn data(status: &str, body: &[u8]) -> Result<Data, Unknown> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(e) => {
            let text: String = String::from_utf8_lossy(body).chars().take(MAX_ERROR_TEXT).collect();
            return Err(failed(format!("answered {status} with what is no Prometheus answer ({e}): {text:?}")));
        }
    };
    if envelope.status != "success" {
        let kind = envelope.error_type.unwrap_or_else(|| "error".to_owned());
        let error = envelope.error.unwrap_or_else(|| format!("status {status}, no reason given"));
        return Err(failed(format!("answered {status}: {kind}: {error}")));
    }
    if let Some(first) = envelope.warnings.into_iter().next() {
        return Err(Unknown::Warning(first));
    }
    if envelope.is_partial {
        return Err(Unknown::Warning("the answer is partial: some storage did not answer".to_owned()));
    }
    let data = envelope.data.ok_or_else(|| failed("answered success without data".to_owned()))?;
    Ok(data.into_inner().0)
}

/// The rows of an answer to a query for one instant. Those that nobody asked for come along where several labels select, each with each;
/// they are left out.
pub(super) fn rows(query: &Query, data: Data) -> Answer {
    match data {
        Data::Vector(all) => {
            let row = |row: &InstantVector| Some((number(query, row.metric())?, row.sample().value()));
            Ok(all.iter().filter_map(row).collect())
        }
        Data::Scalar(sample) => Ok(query.number(|_| "").map(|number| (number, sample.value())).into_iter().collect()),
        Data::Matrix(_) => Err(failed("answered with a range of samples where a number is wanted".to_owned())),
    }
}

/// The series of an answer to a query for several instants.
pub(super) fn series(query: &Query, data: Data, instants: Instants) -> Result<Vec<Series>, Unknown> {
    let Data::Matrix(all) = data else {
        return Err(failed("answered with one number where a range of samples is wanted".to_owned()));
    };
    let mut series = Vec::with_capacity(all.len());
    for one in &all {
        let Some(number) = number(query, one.metric()) else { continue };
        let samples = one.samples().iter().map(|sample| (sample.timestamp(), sample.value())).collect();
        series.push(Series::new(number, samples, instants).map_err(failed)?);
    }
    Ok(series)
}

/// Which number of the plan a row is. A label that is not there is empty, which is the same to Prometheus.
fn number(query: &Query, labels: &HashMap<String, String>) -> Option<usize> {
    query.number(|label| labels.get(label).map_or("", String::as_str))
}

/// The answer that the body of a successful response to a query for one instant is.
pub fn answer_of(query: &Query, body: &[u8]) -> Answer {
    data(SUCCESS, body).and_then(|data| rows(query, data))
}

/// The answers that the bodies of successful responses to a plan's queries for several instants are.
pub fn range_of(plan: &Plan, bodies: &[&[u8]], instants: Instants) -> Range {
    let of = |(query, body): (&Query, &&[u8])| data(SUCCESS, body).and_then(|data| series(query, data, instants));
    Range::new(instants, plan.queries().iter().zip(bodies).map(of).collect())
}

/// The status of a successful response.
const SUCCESS: &str = "200 OK";

fn failed(text: String) -> Unknown {
    Unknown::QueryFailed(text)
}
