//! `ripcord baseline record`: measures over a period of the past, shows what that changes, and has it kept.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::{self, Output};
use crate::commands::patience::patiently;
use crate::commands::{Failure, ask_to_go_on, load_apart, print, runtime, say};
use crate::config::{Baseline, Settings};
use crate::engine::{Measurement, NewBaseline, RecordedBaselines, period_in_words};

use super::keep::{Change, Keeper};
use super::measure::{self, Wanted};
use super::table;

/// What was measured for one trigger, or why it is refused.
pub struct Row<'a> {
    pub wanted: &'a Wanted<'a>,
    /// What is recorded now.
    pub before: Option<RecordedBaselines>,
    pub measured: Option<Measurement>,
    /// Why it is not recorded; empty where it is.
    pub refused: Vec<String>,
}

/// Records the baselines.
pub fn record(options: &cli::BaselineRecord) -> Result<(), Failure> {
    let settings = load_apart(&options.keeping.configured)?;
    let wanted = wanted(&settings, options).map_err(|problems| Failure::BadInput(problems.join("\n")))?;
    if !options.yes && !options.dry_run && !std::io::stdin().is_terminal() {
        let text =
            "ripcord baseline record replaces what is compared with, and there is no terminal to ask on; add --yes";
        return Err(Failure::BadInput(text.to_owned()));
    }
    let runtime = runtime()?;
    let ended = runtime.block_on(record_all(&settings, &wanted, options));
    // What still hangs in a file system or a name server must not hold up the end.
    runtime.shutdown_background();
    ended
}

/// Whose baselines are asked for, or everything that is wrong with what was asked.
fn wanted<'a>(settings: &'a Settings, options: &cli::BaselineRecord) -> Result<Vec<Wanted<'a>>, Vec<String>> {
    let mut problems = Vec::new();
    let known: Vec<&str> = settings.guards.iter().map(|guard| guard.name.as_str()).collect();
    for name in options.guards.iter().filter(|name| !known.contains(&name.as_str())) {
        problems.push(format!("--guard {name}: there is no such guard (there are: {})", known.join(", ")));
    }
    let mut wanted = Vec::new();
    let meant = |name: &String| options.guards.is_empty() || options.guards.contains(name);
    for guard in settings.guards.iter().filter(|guard| meant(&guard.name)) {
        for trigger in &guard.engine.triggers {
            let Some(signal) = guard.signals.get(&trigger.name) else { continue };
            let Some(Baseline::Recorded(recording)) = signal.baseline else { continue };
            let over = options.over.unwrap_or(recording.over);
            if over < signal.window.max(settings.evaluation.interval) {
                problems.push(format!(
                    "--over {}: shorter than the window of {}: {} ({})",
                    period_in_words(over),
                    guard.name,
                    trigger.name,
                    period_in_words(signal.window)
                ));
            }
            wanted.push(Wanted { guard, trigger, signal, over });
        }
    }
    if wanted.is_empty() && problems.is_empty() {
        problems.push(
            "no trigger that is meant has a recorded baseline; write baseline: {recorded: {over: 7d}} for it in the configuration"
                .to_owned(),
        );
    }
    if problems.is_empty() { Ok(wanted) } else { Err(problems) }
}

async fn record_all(settings: &Settings, wanted: &[Wanted<'_>], options: &cli::BaselineRecord) -> Result<(), Failure> {
    let keeper = Keeper::of(&options.keeping).await?;
    let kept = keeper.kept().await?;
    let client = measure::client(settings).map_err(|e| anyhow!("{e}"))?;
    client.greet().await.map_err(|unknown| anyhow!("{unknown}")).context("nothing was recorded")?;
    let now = Timestamp::now();
    // A Prometheus that is filled late has nothing of the last moments.
    let to = options.to.0.unwrap_or_else(|| now.checked_sub(settings.evaluation.offset).unwrap_or(now));
    let mut rows = Vec::new();
    let all = wanted.len();
    for (number, wanted) in wanted.iter().enumerate() {
        let of = (wanted.guard.name.clone(), wanted.trigger.name.clone());
        let before = kept.get(&of).map(|of| of.recorded.clone());
        let mut row = Row { wanted, before, measured: None, refused: Vec::new() };
        if row.before.is_none() {
            row.refused.push(
                "the daemon's configuration has no recorded baseline for it: give it the same configuration first"
                    .to_owned(),
            );
            rows.push(row);
            continue;
        }
        let what =
            format!("Measuring {} over {} ({} of {all})", wanted.name(), period_in_words(wanted.over), number + 1);
        match patiently(&what, measure::measure(&client, wanted, settings.evaluation.interval, to)).await {
            Ok(measured) => {
                row.refused = wanted.trigger.refuses(&measured, now);
                row.measured = Some(measured);
            }
            Err(why) => row.refused.push(why),
        }
        rows.push(row);
    }
    let table = table::of_rows(&rows, now);
    match options.output {
        Output::Text => print(&table)?,
        // Who is asked must see what for.
        Output::Json if !options.yes && !options.dry_run => say(table.trim_end()),
        Output::Json => {}
    }
    let good = rows.iter().any(|row| row.refused.is_empty());
    if good && !options.dry_run {
        if !options.yes {
            ask_to_go_on("Type yes to compare with these from now on: ")?;
        }
        let changes = changes(&rows);
        let guards: Vec<String> = changes.iter().map(|change| change.guard.clone()).collect();
        let done = keeper.carry_out(changes).await?;
        for (guard, done) in guards.iter().zip(done) {
            let Err(failure) = done else { continue };
            let why = match failure {
                Failure::BadInput(why) => why,
                Failure::Failed(error) => format!("{error:#}"),
            };
            say(&format!("{guard}: {why}"));
            for row in rows.iter_mut().filter(|row| row.wanted.guard.name == *guard && row.refused.is_empty()) {
                row.refused.push(why.clone());
            }
        }
    }
    report(&rows, options)
}

/// What is kept of each guard, in one request: all of it or nothing.
fn changes(rows: &[Row<'_>]) -> Vec<Change> {
    let mut by_guard: BTreeMap<&str, Vec<NewBaseline>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.refused.is_empty()) {
        let Some(measured) = row.measured.clone() else { continue };
        let new = NewBaseline { trigger: row.wanted.trigger.name.clone(), measured };
        by_guard.entry(&row.wanted.guard.name).or_default().push(new);
    }
    let change = |(guard, baselines): (&str, Vec<NewBaseline>)| Change {
        guard: guard.to_owned(),
        body: json!({ "baselines": baselines }),
    };
    by_guard.into_iter().map(change).collect()
}

/// The result, for a script; and that not all of it was recorded.
fn report(rows: &[Row<'_>], options: &cli::BaselineRecord) -> Result<(), Failure> {
    let recorded = rows.iter().filter(|row| row.refused.is_empty()).count();
    match options.output {
        Output::Json => {
            let baselines: Vec<Value> = rows.iter().map(Row::json).collect();
            let report = json!({ "dry_run": options.dry_run, "done": recorded == rows.len(), "baselines": baselines });
            print(&format!("{report:#}\n"))?;
        }
        Output::Text if options.dry_run => print(&format!("{recorded} of {} would be recorded\n", rows.len()))?,
        Output::Text => print(&format!("{recorded} of {} recorded\n", rows.len()))?,
    }
    if recorded == rows.len() {
        return Ok(());
    }
    let refused: Vec<String> = rows.iter().filter(|row| !row.refused.is_empty()).map(|row| row.wanted.name()).collect();
    Err(anyhow!("not recorded: {}", refused.join(", ")).into())
}

impl Row<'_> {
    /// How much it differs from the one in use, as a part of that.
    pub fn change(&self) -> Option<f64> {
        let old = self.before.as_ref()?.current()?.measured.value;
        let new = self.measured.as_ref()?.value;
        (old > 0.0).then(|| new / old - 1.0)
    }

    fn json(&self) -> Value {
        let before = self.before.as_ref().and_then(RecordedBaselines::current);
        json!({
            "guard": self.wanted.guard.name, "trigger": self.wanted.trigger.name,
            "result": if self.refused.is_empty() { "recorded" } else { "refused" }, "reasons": self.refused,
            "before": before, "measured": self.measured, "change": self.change(),
        })
    }
}

/// A period, for the words of a table.
pub fn period(measured: &Measurement) -> String {
    let length = Duration::try_from(measured.to.duration_since(measured.from)).unwrap_or_default();
    format!("{} to {:.0}", period_in_words(length), measured.to)
}
