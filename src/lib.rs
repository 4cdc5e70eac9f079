//! Ripcord watches a service's metrics in Prometheus while its traffic is being moved, and pulls the traffic back when they stay bad.
//!
//! ARCHITECTURE.md says how the parts hang together. In short: `engine` decides and is pure, the adapters (`prometheus`, `kubernetes`,
//! `notify`, `http`) do, and `daemon` is the one place that knows both.

pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod http;
pub mod kubernetes;
pub mod notify;
pub mod prometheus;
pub mod state;
pub mod telemetry;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What Ripcord calls itself in HTTP requests.
pub const USER_AGENT: &str = concat!("ripcord/", env!("CARGO_PKG_VERSION"));
