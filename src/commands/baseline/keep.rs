//! Has baselines kept: by the daemon, or by one in this process for as long as it takes. The engine judges what it is given once more.

use serde_json::Value;

use crate::cli::{Daemon, Keeping};
use crate::commands::control::{call, token_file};
use crate::commands::here::{self, Here};
use crate::commands::{Failure, load_apart};
use crate::config::Settings;
use crate::engine::GuardState;
use crate::kubernetes::Cluster;

use super::kept::{self, Kept};

/// A change of what is kept for one guard.
pub struct Change {
    /// The guard.
    pub guard: String,
    /// The body of the request.
    pub body: Value,
}

/// Who keeps it.
pub enum Keeper {
    /// A daemon that runs.
    Daemon(Daemon),
    /// The state, as nobody runs.
    State {
        settings: Box<Settings>,
        /// A person knows that no daemon runs.
        take_over: bool,
    },
}

impl Keeper {
    /// As it was asked for.
    pub async fn of(keeping: &Keeping) -> Result<Self, Failure> {
        match &keeping.url {
            Some(url) => {
                let token_file = token_file(keeping.token_file.as_deref(), &keeping.configured)?;
                Ok(Self::Daemon(Daemon { url: url.clone(), token_file }))
            }
            None => {
                let settings = load_apart(&keeping.configured)?;
                let document = kept::document(&settings).await?;
                // Taking the state up means to go on with what is under way.
                let moving = settings.guards.iter().find(|guard| {
                    document.as_ref().is_some_and(|d| d.engine.state_of(&guard.name) == Some(GuardState::RollingBack))
                });
                if let Some(guard) = moving {
                    return Err(anyhow::anyhow!(
                        "the rollback of {} is not done, and without the daemon this command would go on with it: start the daemon and ask \
                         it with --url. Nothing was recorded",
                        guard.name
                    )
                    .into());
                }
                Ok(Self::State { settings: Box::new(settings), take_over: keeping.take_over })
            }
        }
    }

    /// What is kept now.
    pub async fn kept(&self) -> Result<Kept, Failure> {
        match self {
            Self::Daemon(daemon) => kept::of_the_daemon(daemon).await,
            Self::State { settings, .. } => kept::of_the_state(settings).await,
        }
    }

    /// Carries the changes out, one after the other, and says of each what came of it.
    pub async fn carry_out(self, changes: Vec<Change>) -> Result<Vec<Result<(), Failure>>, Failure> {
        match self {
            Self::Daemon(daemon) => Ok(ask(&daemon, changes).await),
            Self::State { settings, take_over } => {
                let cluster = Cluster::connect().await.map_err(|e| {
                    let why = std::error::Error::source(&e).map(|why| format!(" ({why})")).unwrap_or_default();
                    anyhow::anyhow!("cannot record without a daemon: {e}{why}")
                })?;
                if !take_over {
                    here::refuse_beside_a_daemon(&settings, &cluster).await?;
                }
                let mut here = Here::start(*settings, cluster).await?;
                let done = here.while_it_runs(async |daemon| Ok(ask(daemon, changes).await)).await;
                here.stop().await;
                done
            }
        }
    }
}

async fn ask(daemon: &Daemon, changes: Vec<Change>) -> Vec<Result<(), Failure>> {
    let mut done = Vec::new();
    for change in changes {
        let path = ["api", "v1", "guards", change.guard.as_str(), "baselines"];
        done.push(call(daemon, &path, Some(change.body)).await.map(|_| ()));
    }
    done
}
