//! The simulated Prometheus: it answers the queries that the demo's configuration leads to, and no others.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Form, Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::mesh::{Counts, Mesh};

/// The label by which the demo's guards select their series.
const LABEL: &str = "destination_workload";

/// What every query selects besides.
const SIDE: &str = r#"reporter="destination",response_flags!~"(.*,)?DC(,.*)?""#;

/// The parameters of an instant query that are used here.
#[derive(Deserialize)]
struct Parameters {
    query: String,
    time: f64,
}

/// The parameters of a range query.
#[derive(Deserialize)]
struct RangeParameters {
    query: String,
    start: f64,
    end: f64,
    step: f64,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq)]
struct Question {
    number: Number,
    workloads: Vec<String>,
    window: Duration,
}

/// The number that is asked for, of each workload.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Requests,
    Failed,
    Rate,
    Timed,
    /// Which quantile, between 0 and 1. The answer is in seconds.
    Quantile(f64),
}

/// The server.
pub fn app(mesh: Arc<Mesh>) -> Router {
    Router::new().route("/api/v1/query", post(query)).route("/api/v1/query_range", post(query_range)).with_state(mesh)
}

async fn query(State(mesh): State<Arc<Mesh>>, Form(parameters): Form<Parameters>) -> (StatusCode, Json<Value>) {
    let rows = Question::read(&parameters.query).map(|question| {
        let row = |workload: &String| {
            let value = question.sample(&mesh, workload, parameters.time)?;
            Some(json!({"metric": {LABEL: workload}, "value": value}))
        };
        question.workloads.iter().filter_map(row).collect()
    });
    answer("vector", rows)
}

async fn query_range(
    State(mesh): State<Arc<Mesh>>,
    Form(parameters): Form<RangeParameters>,
) -> (StatusCode, Json<Value>) {
    let rows = Question::read(&parameters.query).map(|question| {
        let row = |workload: &String| {
            let steps = (0..).map(|n| parameters.start + f64::from(n) * parameters.step);
            let steps = steps.take_while(|time| *time <= parameters.end + parameters.step / 2.0);
            let values: Vec<Value> = steps.filter_map(|time| question.sample(&mesh, workload, time)).collect();
            (!values.is_empty()).then(|| json!({"metric": {LABEL: workload}, "values": values}))
        };
        question.workloads.iter().filter_map(row).collect()
    });
    answer("matrix", rows)
}

fn answer(kind: &str, rows: Result<Vec<Value>, String>) -> (StatusCode, Json<Value>) {
    match rows {
        Ok(result) => {
            let data = json!({"resultType": kind, "result": result});
            (StatusCode::OK, Json(json!({"status": "success", "data": data})))
        }
        Err(error) => {
            (StatusCode::BAD_REQUEST, Json(json!({"status": "error", "errorType": "bad_data", "error": error})))
        }
    }
}

impl Number {
    fn of(self, counts: &Counts, window: Duration) -> f64 {
        match self {
            Self::Requests | Self::Timed => counts.requests,
            Self::Failed => counts.failed,
            Self::Rate => counts.requests / window.as_secs_f64(),
            Self::Quantile(q) => counts.quantile(q) / 1000.0,
        }
    }

    /// The one query that asks for it.
    fn query(self, selected: &str, window: &str) -> String {
        let series = |metric: &str, more: &str| format!("{metric}{{{SIDE}{more},{selected}}}[{window}]");
        match self {
            Self::Requests => format!("sum by ({LABEL}) (increase({}))", series("istio_requests_total", "")),
            Self::Rate => format!("sum by ({LABEL}) (rate({}))", series("istio_requests_total", "")),
            Self::Timed => {
                format!("sum by ({LABEL}) (increase({}))", series("istio_request_duration_milliseconds_count", ""))
            }
            Self::Failed => format!(
                "sum by ({LABEL}) (increase({}) or increase({}))",
                series("istio_requests_total", r#",response_code=~"5..|0""#),
                series("istio_requests_total", r#",response_code!~"5..|0",grpc_response_status=~"2|4|12|13|14|15""#),
            ),
            Self::Quantile(q) => format!(
                "histogram_quantile({q}, sum by (le, {LABEL}) (rate({}))) / 1000",
                series("istio_request_duration_milliseconds_bucket", "")
            ),
        }
    }
}

impl Question {
    /// The number of a workload at a time, as the API gives it.
    fn sample(&self, mesh: &Mesh, workload: &str, time: f64) -> Option<Value> {
        // Milliseconds of the present fit a float exactly.
        #[allow(clippy::cast_possible_truncation)]
        let at = Timestamp::from_millisecond((time * 1000.0).round() as i64).ok()?;
        let counts = mesh.counts(workload, at, self.window)?;
        Some(json!([time, self.number.of(&counts, self.window).to_string()]))
    }

    /// Takes the parts that vary out of the text, and sees which of the known queries they make that very text.
    fn read(query: &str) -> Result<Self, String> {
        let unknown = || format!("the simulated Prometheus does not know this query: {query}");
        let (_, window) = query.split_once('[').ok_or_else(unknown)?;
        let (window, _) = window.split_once(']').ok_or_else(unknown)?;
        let (_, selected) = query.split_once(&format!(",{LABEL}=")).ok_or_else(unknown)?;
        let (selected, _) = selected.split_once('}').ok_or_else(unknown)?;
        let quantile = query.strip_prefix("histogram_quantile(").and_then(|rest| rest.split_once(',')?.0.parse().ok());

        let numbers = [Number::Requests, Number::Failed, Number::Rate, Number::Timed];
        let mut numbers = numbers.into_iter().chain(quantile.map(Number::Quantile));
        let matcher = format!("{LABEL}={selected}");
        let number = numbers.find(|number| number.query(&matcher, window) == query).ok_or_else(unknown)?;
        let seconds = window.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).ok_or_else(unknown)?;
        let values = selected.trim_start_matches('~').trim_matches('"');
        if values.contains(['\\', '.', '*', '"']) {
            return Err(unknown());
        }
        let workloads = values.split('|').map(str::to_owned).collect();
        Ok(Self { number, workloads, window: Duration::from_secs(seconds) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::setting;
    use crate::prometheus::Plan;

    #[test]
    fn every_query_of_the_demo_is_known() {
        let plan = Plan::new(&setting::tests::settings().guards);
        let questions: Vec<Question> = plan
            .queries()
            .iter()
            .map(|query| Question::read(&query.promql).unwrap_or_else(|error| panic!("{error}")))
            .collect();
        let numbers = [Number::Requests, Number::Failed, Number::Timed, Number::Quantile(0.95)];
        for window in [60, 300].map(Duration::from_secs) {
            for number in numbers {
                let asked = questions.iter().find(|q| (q.number, q.window) == (number, window));
                let asked = asked.unwrap_or_else(|| panic!("nobody asks for {number:?} over {window:?}"));
                assert_eq!(asked.workloads, ["db-adminer-controller", "terminal-controller"]);
            }
        }
        assert_eq!(questions.len(), 8);
    }

    #[test]
    fn other_queries_are_refused() {
        let good = Number::Requests.query(r#"destination_workload="a""#, "300s");
        assert!(Question::read(&good).is_ok());
        for bad in [
            "up".to_owned(),
            format!("{good} > 1"),
            good.replace("sum", "max"),
            good.replace("300s", "5 m"),
            good.replace("\"a\"", "~\"a.*\""),
        ] {
            assert!(Question::read(&bad).is_err(), "{bad}");
        }
    }
}
