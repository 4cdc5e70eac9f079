//! Prometheus: what to ask for all guards at once, and what the answers mean.
//!
//! - `promql`: the text of one query
//! - `plan`: the queries of a tick; those of guards that differ only in label values are one
//! - `client`: one query over HTTP, and every way in which it can fail told apart
//! - `range`: the same for many instants at once

mod client;
mod plan;
mod promql;
mod range;

pub use client::{Client, ClientError, QueryOutcome};
pub use plan::{Answer, Labels, Plan, Query};
pub use range::{Instants, Range};
