//! What Ripcord promises, each as a story through the real program: a real Prometheus that scrapes real metric names, a real API server
//! where Ripcord has the least rights of `deploy/`, real receivers.
//!
//! | module | about |
//! |---|---|
//! | `acts` | it acts when it should |
//! | `keeps_still` | it does not act when it should not |
//! | `faults` | the API server, Prometheus or a receiver fails |
//! | `outages` | they fail for long, and Ripcord with them |
//! | `storage` | the place of the state fails |
//! | `baselines` | what is compared with, recorded from the past |
//! | `signals` | what is measured, and with how few queries |
//! | `languages` | one is told in Chinese, another in English |
//! | `life` | signals, reload, the API, dry run |
//! | `proven` | a rollback is proven beforehand, saved, and watched afterwards |
//! | `by_hand` | traffic is moved by hand, and by other systems |
//! | `receivers` | who is told, how and when |
//! | `alerting` | the same series through alerting rules, and where that differs |
//! | `api` | the API, held against its own document |
//! | `monitoring` | rendered rules and dashboards, in a real Prometheus |
//! | `replay` | what was missed is fetched as it was |
//! | `files` | a file in Prometheus' place says what Prometheus says |
//! | `history` | what would have happened over days |
//! | `page` | the status page, in a real browser |
//! | `preflight` | what would not work tonight is said this afternoon |
//! | `crashes` | it is killed at every point of a rollback |
//! | `restarts` | what a restart keeps |
//! | `replicas` | one leads, the other goes on |
//! | `backups` | `backup` and `restore` |
//! | `scale` | a thousand components at once |
//! | `stage`, `site` | what the stories share: one component, and many at once |

mod acts;
mod alerting;
mod api;
mod backups;
mod baselines;
mod by_hand;
mod crashes;
mod faults;
mod files;
mod history;
mod keeps_still;
mod languages;
mod life;
mod monitoring;
mod outages;
mod page;
mod preflight;
mod proven;
mod receivers;
mod replay;
mod replicas;
mod restarts;
mod scale;
mod signals;
mod site;
mod stage;
mod storage;

use crate::support::Story;

pub fn trials() -> Vec<Story> {
    let all = [
        acts::trials(),
        alerting::trials(),
        api::trials(),
        monitoring::trials(),
        by_hand::trials(),
        proven::trials(),
        receivers::trials(),
        keeps_still::trials(),
        faults::trials(),
        languages::trials(),
        files::trials(),
        outages::trials(),
        storage::trials(),
        signals::trials(),
        baselines::trials(),
        life::trials(),
        replay::trials(),
        history::trials(),
        page::trials(),
        preflight::trials(),
        crashes::trials(),
        restarts::trials(),
        replicas::trials(),
        backups::trials(),
        scale::trials(),
    ];
    all.into_iter().flatten().collect()
}
