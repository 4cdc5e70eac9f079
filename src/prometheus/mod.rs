//! Prometheus: what to ask for all guards at once, and what the answers mean.
//!
//! - `expression`: a built-in query as data, and its text
//! - `promql`: the built-in queries
//! - `plan`: the queries of a tick; those of guards that differ only in label values are one
//! - `judged`: the same for one guard, for rules and dashboards
//! - `client`: one query over HTTP, and every way in which it can fail told apart
//! - `body`: what a response says
//! - `range`: the same for many instants at once
//! - `file`: measurements of a file in a server's place

mod body;
mod client;
mod expression;
pub mod file;
mod judged;
mod plan;
mod promql;
mod range;
#[cfg(test)]
mod tests;

pub use body::{answer_of, range_of};
pub use client::{Client, ClientError, QueryOutcome};
pub use expression::Matcher;
pub use file::{Csv, OpenMetrics};
pub use judged::{Judged, judged, request_rate};
pub use plan::{Answer, Plan, Query, Row};
pub use promql::Steps;
pub use range::{Instants, Range};
