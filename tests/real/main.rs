//! Stories with real parts: a real Prometheus, a real API server, a real SMTP server, and the real binary of Ripcord.
//!
//! Run with `cargo test --test real`; `cargo test --test real -- <part of a name>` runs some. `support` is the test bed.

mod deploy;
mod kubernetes;
mod selftest;
mod stories;
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(selftest::DOOMED).is_some() {
        return support::run::run(selftest::doomed());
    }
    let stories = [selftest::trials(), kubernetes::trials(), deploy::trials(), stories::trials()];
    support::run::run(stories.into_iter().flatten().collect())
}
