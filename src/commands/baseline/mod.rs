//! `ripcord baseline`: what a service is compared with is measured, looked at, and gone back to.
//!
//! - here: `list` and `use`; `record`: measures and has it kept
//! - `measure`: what a period says of a trigger; `kept`: what is recorded already; `keep`: has something kept, by the daemon or without
//! - `table`: all of it for a person

mod keep;
mod kept;
mod measure;
mod record;
mod table;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::{self, Output};

use super::{Failure, load_apart, print, runtime};

use keep::{Change, Keeper};
use kept::Kept;
pub use kept::document;
pub use record::record;

/// Shows what is recorded.
pub fn list(options: &cli::BaselineList) -> Result<(), Failure> {
    let kept = runtime()?.block_on(async {
        match &options.url {
            Some(url) => kept::of_the_daemon(&cli::Daemon { url: url.clone(), token_file: None }).await,
            None => kept::of_the_state(&load_apart(&options.configured)?).await,
        }
    })?;
    let now = Timestamp::now();
    match options.output {
        Output::Json => print(&format!("{:#}\n", listed(&kept, now))),
        Output::Text if kept.is_empty() => {
            print("No trigger has a recorded baseline (baseline: {recorded: {}}): there is nothing to list\n")
        }
        Output::Text => print(&table::of_kept(&kept, now)),
    }
}

/// Goes back to a version that is kept.
pub fn use_version(options: &cli::BaselineUse) -> Result<(), Failure> {
    let (guard, trigger, version) = (&options.guard, &options.trigger, options.version);
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let keeper = Keeper::of(&options.keeping).await?;
        let change = Change { guard: guard.clone(), body: json!({"trigger": trigger, "version": version}) };
        keeper.carry_out(vec![change]).await?.into_iter().next().unwrap_or(Ok(()))
    });
    runtime.shutdown_background();
    done?;
    print(&format!("{guard}: {trigger} is compared with version {version} from now on\n"))
}

fn listed(kept: &Kept, now: Timestamp) -> Value {
    let triggers: Vec<Value> = kept
        .iter()
        .map(|((guard, trigger), of)| {
            let age = of.recorded.current().map(|current| current.age(now).as_secs());
            json!({
                "guard": guard, "trigger": trigger, "in_use": of.recorded.in_use, "age_seconds": age,
                "too_old": of.recorded.is_too_old(now), "max_age_seconds": of.recorded.max_age_seconds,
                "versions": of.recorded.versions,
            })
        })
        .collect();
    json!({ "baselines": triggers })
}
