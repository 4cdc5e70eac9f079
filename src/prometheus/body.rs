//! What the body of a response says. Pure, so that any bytes can be tried.

use prometheus_http_query::response::{Data, PromqlResult};
use serde::Deserialize;

use crate::engine::Unknown;

use super::plan::{Answer, Labels};
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

/// The rows of an answer for one instant.
pub(super) fn rows(data: Data) -> Answer {
    match data {
        Data::Vector(rows) => Ok(rows
            .into_iter()
            .map(|row| {
                let (labels, sample) = row.into_inner();
                (labels.into(), sample.value())
            })
            .collect()),
        Data::Scalar(sample) => Ok(vec![(Labels::default(), sample.value())]),
        Data::Matrix(_) => Err(failed("answered with a range of samples where a number is wanted".to_owned())),
    }
}

/// The series of an answer for several instants.
pub(super) fn series(data: Data, instants: Instants) -> Result<Vec<Series>, Unknown> {
    let Data::Matrix(all) = data else {
        return Err(failed("answered with one number where a range of samples is wanted".to_owned()));
    };
    all.into_iter().map(|series| Series::new(series, instants).map_err(failed)).collect()
}

/// The answer that the body of a successful response to a query for one instant is.
pub fn answer_of(body: &[u8]) -> Answer {
    data(SUCCESS, body).and_then(rows)
}

/// The answers that the bodies of successful responses to queries for several instants are.
pub fn range_of(bodies: &[&[u8]], instants: Instants) -> Range {
    let of = |body: &&[u8]| data(SUCCESS, body).and_then(|data| series(data, instants));
    Range::new(instants, bodies.iter().map(of).collect())
}

/// The status of a successful response.
const SUCCESS: &str = "200 OK";

fn failed(text: String) -> Unknown {
    Unknown::QueryFailed(text)
}
