//! What Ripcord promises, each as a story through the real program: a real Prometheus that scrapes real metric names, a real API server
//! where Ripcord has the least rights of `deploy/`, real receivers.
//!
//! | module | about |
//! |---|---|
//! | `acts` | it acts when it should |
//! | `keeps_still` | it does not act when it should not |
//! | `faults` | the API server, Prometheus or a receiver fails |
//! | `signals` | what is measured, and with how few queries |
//! | `life` | signals, reload, the API, dry run |
//! | `replay` | what was missed is fetched as it was |
//! | `stage` | what the stories share |

mod acts;
mod faults;
mod keeps_still;
mod life;
mod replay;
mod signals;
mod stage;

use crate::support::Story;

pub fn trials() -> Vec<Story> {
    let all =
        [acts::trials(), keeps_still::trials(), faults::trials(), signals::trials(), life::trials(), replay::trials()];
    all.into_iter().flatten().collect()
}
