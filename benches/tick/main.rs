//! What a tick costs: a thousand guards, four built-in triggers each, every ten seconds. The goal is less than 10 ms of CPU.
//!
//!     cargo bench --bench tick                  # the parts, their allocations, and then the whole program
//!     cargo bench --bench tick -- "a tick"      # one part only
//!     cargo bench --bench tick -- program       # the whole program only
//!
//! The parts are measured one by one (criterion), from the bodies of Prometheus' answers to what is shown: the time that the thread ran,
//! not that of the wall, which a busy machine stretches. The whole program is measured last, from outside: the time that all its
//! threads ran, over half a minute of ticks, with HTTP and everything else in it.
//! Where Prometheus is asked for less (a baseline that is fixed, no confirm window), a tick is cheaper; a trigger on written PromQL has a
//! query of its own.

mod guards;
mod measurement;
mod parts;
mod process;

use criterion::Criterion;
use measurement::ProcessorTime;

/// What to ask for to have it alone.
const PROGRAM: &str = "program";

fn main() -> anyhow::Result<()> {
    // As `ripcord` itself does it: several crates bring a provider of cryptography each.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if filter.as_deref() != Some(PROGRAM) {
        let mut criterion = Criterion::default().with_measurement(ProcessorTime).sample_size(30).configure_from_args();
        parts::measure(&mut criterion)?;
        criterion.final_summary();
    }
    if filter.is_none_or(|filter| filter == PROGRAM) {
        process::measure()?;
    }
    Ok(())
}
