//! Proves that the test bed itself works: each part does what the other stories rely on.

mod kubernetes;
mod metrics;
mod processes;
mod receivers;
mod runner;

use crate::support::Story;
pub use runner::{DOOMED, doomed};

pub fn trials() -> Vec<Story> {
    let all = [kubernetes::trials(), metrics::trials(), processes::trials(), receivers::trials(), runner::trials()];
    all.into_iter().flatten().collect()
}
