//! The Kubernetes adapter against a real API server: what a change does to the objects, and what it says about it.
//!
//! | module | about |
//! |---|---|
//! | `deployments` | the step `deployment_env` |
//! | `config_maps` | the step `config_map` |
//! | `virtual_services` | the step `virtual_service` |
//! | `commands` | the step `command` |
//! | `rehearsals` | every step tried as a dry run |
//! | `drifts` | what becomes of a rollback, and who keeps its objects |
//! | `races` | somebody else writes at the same moment |
//! | `rollouts` | the wait for rollouts |
//! | `shares` | reading the share |
//! | `events` | Events on the objects |
//! | `documents` | a document in a ConfigMap |
//! | `elections` | who leads, by a Lease |
//! | `faults` | an API server that fails, hangs, or is not there |
//! | `stage` | what the stories share |

mod commands;
mod config_maps;
mod deployments;
mod documents;
mod drifts;
mod elections;
mod events;
mod faults;
mod races;
mod rehearsals;
mod rollouts;
mod shares;
mod stage;
mod virtual_services;

use crate::support::Story;

pub fn trials() -> Vec<Story> {
    let all = [
        deployments::trials(),
        config_maps::trials(),
        virtual_services::trials(),
        commands::trials(),
        rehearsals::trials(),
        drifts::trials(),
        races::trials(),
        rollouts::trials(),
        shares::trials(),
        events::trials(),
        documents::trials(),
        elections::trials(),
        faults::trials(),
    ];
    all.into_iter().flatten().collect()
}
