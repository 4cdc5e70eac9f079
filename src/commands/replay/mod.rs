//! `ripcord replay`: what the engine would have done over history, and why not.
//!
//! - here: what is asked for, and the way from there to a report
//! - `source`, `fetch`: where history comes from; `progress` says how far it is
//! - `run`: the engine over it; `tally`, `episode`, `curve`: what is collected of a trigger
//! - `report`: the facts, which are the JSON; `compare`: two of them side by side
//! - `text`, `html`, `chart`: how they are shown; `words`: times and numbers of things
//!
//! There is no rule of deciding in here: all of them are the engine's, and what is shown is what the engine said.

mod chart;
mod compare;
mod curve;
mod episode;
mod fetch;
mod html;
mod progress;
mod report;
mod run;
mod source;
mod tally;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::cli::{self, Format, Moment};
use crate::config::{self, Baseline, LoadOptions, Override, Settings, Signal};
use crate::engine::Memory;
use crate::prometheus::{Client, Instants, Plan};

use super::check::explain;
use super::{Failure, baseline, environment, print, runtime, say};

use progress::Progress;
use report::{Replay, Report, VERSION};
use run::Run;
use source::{AssumedShare, Member, Source};
use tally::Span;

/// How long the queries of a chunk may take: nobody waits for a decision, and a chunk is hours of history.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);

/// The most ticks of a replay: a year of ticks every ten seconds. Beyond it, it is a mistyped date.
const MOST_TICKS: usize = 3_200_000;

/// One setting to replay by.
struct Setting {
    name: &'static str,
    overrides: Vec<String>,
    settings: Settings,
    step: Duration,
    plan: Plan,
}

/// What is replayed.
struct Task {
    from: Timestamp,
    to: Timestamp,
    settings: Vec<Setting>,
    share: AssumedShare,
    source: Source,
    /// The source as a reader knows it.
    called: String,
}

/// Replays history and tells what would have happened.
pub fn replay(options: &cli::Replay) -> Result<(), Failure> {
    // It comes first: what speaks TLS needs it.
    let runtime = runtime()?;
    let task = task(options)?;
    let report = runtime.block_on(task.run());
    // What still hangs in a name server must not hold up the result.
    runtime.shutdown_background();
    let report = report?;
    let text = match options.format {
        Format::Text => text::write(&report),
        Format::Json => {
            format!("{}\n", serde_json::to_string_pretty(&report).context("cannot write the report as JSON")?)
        }
        Format::Html => html::write(&report),
    };
    match &options.out {
        None => print(&text),
        Some(file) => {
            Ok(fs::write(file, text).with_context(|| format!("cannot write the report to {}", file.display()))?)
        }
    }
}

/// What is asked for, or everything that is wrong with it.
fn task(options: &cli::Replay) -> Result<Task, Failure> {
    let mut wrong = Vec::new();
    let mut settings = settings(options, &mut wrong);
    let source = match (&options.input, settings.first()) {
        (Some(file), Some(first)) => source::read(file, &first.settings.guards).map_err(|found| wrong.push(found)).ok(),
        _ => None,
    };
    for setting in &mut settings {
        setting.settings.guards.retain(|guard| options.guards.is_empty() || options.guards.contains(&guard.name));
        setting.plan = Plan::new(&setting.settings.guards);
    }
    let (from, to) = span(options, source.as_ref().map(Source::span), &mut wrong);
    if from < to {
        wrong.extend(settings.iter().filter_map(|setting| wrong_with_ticks(from, to, setting.step)).take(1));
    }
    if !wrong.is_empty() {
        return Err(Failure::BadInput(wrong.join("\n")));
    }
    let prometheus = &settings[0].settings.prometheus;
    let (source, called) = match (source, &options.input) {
        (Some(source), Some(file)) => (source, file.display().to_string()),
        _ => {
            let patient = config::Prometheus { timeout: prometheus.timeout.max(CHUNK_TIMEOUT), ..prometheus.clone() };
            (Source::Prometheus(Client::new(&patient).context("cannot replay")?), prometheus.url.clone())
        }
    };
    let share = options.share.map_or(AssumedShare::AsRecorded, AssumedShare::Always);
    Ok(Task { from, to, settings, share, source, called })
}

/// The one or two settings to replay by.
fn settings(options: &cli::Replay, wrong: &mut Vec<String>) -> Vec<Setting> {
    if options.step.is_some_and(|step| step.is_zero()) {
        wrong.push("--step 0s: write the time from one tick to the next, like 15s".to_owned());
    }
    let mut settings = Vec::new();
    let mut found = None;
    let against = (!options.against.is_empty()).then_some(("b", &options.against[..]));
    for (name, against) in [("a", &[][..])].into_iter().chain(against) {
        match setting(name, options, against) {
            Ok(setting) => settings.push(setting),
            // What is wrong with both is said once: the second has all that the first has.
            Err(lines) => found = Some(lines),
        }
    }
    wrong.extend(found);
    let Some(first) = settings.first() else { return settings };
    for name in &options.guards {
        if !settings.iter().any(|setting| setting.settings.guards.iter().any(|guard| guard.name == *name)) {
            let names: Vec<_> = first.settings.guards.iter().map(|guard| guard.name.as_str()).collect();
            wrong.push(format!("--guard {name}: there is no such guard; there are: {}", names.join(", ")));
        }
    }
    settings
}

/// From when to when. `known` is the span of the file, where there is one.
fn span(
    options: &cli::Replay,
    known: Option<Option<(Timestamp, Timestamp)>>,
    wrong: &mut Vec<String>,
) -> (Timestamp, Timestamp) {
    let now = match known {
        Some(Some((_, last))) => last,
        _ => Timestamp::now(),
    };
    if let (Some(None), Some(file)) = (known, &options.input) {
        wrong.push(format!("--input {}: holds no sample", file.display()));
        return (now, now);
    }
    let at = |moment: Moment| match moment {
        Moment::At(at) => at,
        Moment::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
    };
    let first = known.flatten().map(|(first, _)| first);
    let (from, to) = (options.from.map(at).or(first).unwrap_or(now), at(options.to));
    if options.from.is_some() && from >= to {
        wrong.push(format!("--from ({}) is not before --to ({})", words::time(from), words::time(to)));
    } else if options.from.is_some() && from >= now {
        wrong.push(format!("--from ({}) lies after the last that is known ({})", words::time(from), words::time(now)));
    }
    (from, to.min(now))
}

/// What is wrong with so many ticks.
fn wrong_with_ticks(from: Timestamp, to: Timestamp, step: Duration) -> Option<String> {
    match source::aligned(from, to, step).len() {
        0 => Some("there is no tick in this time: take a longer one, or a shorter --step".to_owned()),
        ticks if ticks > MOST_TICKS => Some(format!(
            "{ticks} ticks are more than the {MOST_TICKS} that a replay has at most: take a later --from, or a longer --step"
        )),
        _ => None,
    }
}

/// The configuration with what was typed over it.
fn setting(name: &'static str, options: &cli::Replay, against: &[String]) -> Result<Setting, String> {
    let typed = |option: &'static str, texts: &[String]| -> Vec<Override> {
        texts.iter().map(|text| Override { option, text: text.clone() }).collect()
    };
    let overrides = [typed("--set", &options.set), typed("--against", against)].concat();
    let files = &options.configured.files;
    // The secrets and certificates for receivers are of no use here; the way to Prometheus says itself what it lacks.
    let settings = config::load_with(files, environment(), &overrides, LoadOptions { syntax_only: true })
        .map_err(|findings| explain(files, &findings))?;
    Ok(Setting {
        name,
        overrides: overrides.into_iter().map(|typed| typed.text).collect(),
        step: options.step.unwrap_or(settings.evaluation.interval),
        plan: Plan::default(),
        settings,
    })
}

impl Task {
    async fn run(self) -> Result<Report, Failure> {
        let mut replays: Vec<Replay> = Vec::new();
        let memory = recorded(&self.settings).await;
        let mut rest = self.settings;
        while !rest.is_empty() {
            // What asks the same at the same instants shares its answers.
            let alike = |s: &Setting| s.step == rest[0].step && s.plan.queries() == rest[0].plan.queries();
            let (together, others): (Vec<_>, Vec<_>) = {
                let alike: Vec<bool> = rest.iter().map(alike).collect();
                let (together, others): (Vec<_>, Vec<_>) = rest.into_iter().zip(alike).partition(|(_, alike)| *alike);
                (together.into_iter().map(|(s, _)| s).collect(), others.into_iter().map(|(s, _)| s).collect())
            };
            replays.extend(walk(&self.source, together, self.from, self.to, self.share, memory.as_ref()).await?);
            rest = others;
        }
        let comparison = match replays.as_slice() {
            [a, b] => Some(compare::compare(a, b)),
            _ => None,
        };
        Ok(Report { version: VERSION, source: self.called, from: self.from, to: self.to, replays, comparison })
    }
}

/// What the daemon remembers, where a trigger compares with what it has recorded. Without it such a trigger is unknown, and that is said.
async fn recorded(settings: &[Setting]) -> Option<Memory> {
    let takes = |signal: &Signal| matches!(signal.baseline, Some(Baseline::Recorded(_)));
    let setting = settings.iter().find(|s| s.settings.guards.iter().any(|guard| guard.signals.values().any(takes)))?;
    let why = match baseline::document(&setting.settings).await {
        Ok(Some(document)) => return Some(document.engine),
        Ok(None) => "nothing is kept there yet".to_owned(),
        Err(Failure::BadInput(why)) => why,
        Err(Failure::Failed(error)) => format!("{error:#}"),
    };
    say(&format!("The recorded baselines are not known, and what compares with them is unknown: {why}"));
    None
}

/// Replays by several settings that ask the same.
async fn walk(
    source: &Source,
    settings: Vec<Setting>,
    from: Timestamp,
    to: Timestamp,
    share: AssumedShare,
    memory: Option<&Memory>,
) -> Result<Vec<Replay>, Failure> {
    let Some(step) = settings.first().map(|setting| setting.step) else { return Ok(Vec::new()) };
    let told: Instants = source::aligned(from, to, step);
    let span = Span { from: told.first(), step: step.as_secs_f64(), ticks: told.len() };
    let begins = settings.iter().map(|s| Run::begins(&s.settings.guards, &s.settings.evaluation, step, told.first()));
    let begin = begins.min().unwrap_or(from);
    let (mut members, mut names) = (Vec::new(), Vec::new());
    for setting in settings {
        let (guards, evaluation) = (&setting.settings.guards, &setting.settings.evaluation);
        let mut run = Run::new(guards, evaluation, step, span);
        if let Some(memory) = memory {
            run.remember(guards, evaluation, memory.clone());
        }
        members.push(Member { run, guards: setting.settings.guards, plan: setting.plan });
        names.push((setting.name, setting.overrides));
    }
    let mut progress = Progress::new(begin, to);
    source.walk(&mut members, source::aligned(begin, to, step), share, &mut progress).await?;
    Ok(members.into_iter().zip(names).map(|(member, (name, overrides))| member.run.finish(name, overrides)).collect())
}
