//! `ripcord restore`: puts the objects of a folder back, after it has shown what that changes.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::cli::{self, Output};
use crate::kubernetes::{Cluster, Live, ObjectRef, PutBack};

use super::folder::{self, Kept};
use super::patience::patiently;
use super::{Failure, ask_to_go_on, print, runtime};

/// Unchanged lines around a change, as `diff -u` has them.
const CONTEXT_LINES: usize = 3;

/// One object of the folder beside the live one.
struct Item {
    kept: Kept,
    live: Option<Live>,
    difference: Difference,
}

/// How the live object differs from the file.
enum Difference {
    None,
    /// The unified diff from the live one to the file.
    Changed(String),
    Missing,
    BeingDeleted,
}

/// What became of an object; none where it was to stay as it is.
type Outcome = Option<Result<PutBack, String>>;

/// Shows what would change, asks, and puts the objects back.
pub fn restore(options: &cli::Restore) -> Result<(), Failure> {
    let kept = folder::read(&options.dir).map_err(|problems| {
        Failure::BadInput(format!("{}\nnothing was changed: mend these files, or take them away", problems.join("\n")))
    })?;
    if !options.dry_run && !options.yes && !std::io::stdin().is_terminal() {
        let text = "nothing was changed: there is no terminal to ask on; look at what --dry-run shows, then add --yes";
        return Err(Failure::BadInput(text.to_owned()));
    }
    runtime()?.block_on(async {
        let cluster = Cluster::connect().await.context("cannot restore")?;
        let items = compare(&cluster, kept).await?;
        if options.output == Output::Text {
            print(&items.iter().map(Item::shown).collect::<String>())?;
        }
        let number = items.iter().filter(|item| item.is_to_be_put_back()).count();
        if number > 0 && !options.dry_run && !options.yes {
            if options.output == Output::Json {
                eprint!("{}", items.iter().map(Item::shown).collect::<String>());
            }
            ask_to_go_on(&format!("Type yes to put back {} on {}: ", objects(number), cluster.name()))?;
        }
        let mut outcomes = Vec::with_capacity(items.len());
        for item in &items {
            let outcome = item.put_back(&cluster, options.dry_run).await;
            if options.output == Output::Text
                && let Some(outcome) = &outcome
            {
                print(&told(&item.kept.manifest.object, outcome, options.dry_run))?;
            }
            outcomes.push(outcome);
        }
        summary(options, &items, &outcomes)
    })
}

/// Reads the live objects. When one cannot be read nothing is done.
async fn compare(cluster: &Cluster, kept: Vec<Kept>) -> Result<Vec<Item>, Failure> {
    let objects: Vec<ObjectRef> = kept.iter().map(|kept| kept.manifest.object.clone()).collect();
    let what = format!("Reading {} objects from {}", objects.len(), cluster.name());
    let found = patiently(&what, cluster.live(&objects)).await;
    let (mut items, mut errors) = (Vec::new(), Vec::new());
    for (kept, live) in kept.into_iter().zip(found) {
        match live {
            Ok(live) => items.push(Item::new(kept, live)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        return Ok(items);
    }
    Err(anyhow!("nothing was changed, because not everything could be read:\n  {}", errors.join("\n  ")).into())
}

impl Item {
    fn new(kept: Kept, live: Option<Live>) -> Self {
        let difference = match &live {
            None => Difference::Missing,
            Some(live) if live.is_being_deleted() => Difference::BeingDeleted,
            Some(live) => match live.against(&kept.manifest) {
                None => Difference::None,
                Some((now, then)) => Difference::Changed(diff(&now, &then, &kept.file)),
            },
        };
        Self { kept, live, difference }
    }

    fn is_to_be_put_back(&self) -> bool {
        matches!(self.difference, Difference::Changed(_) | Difference::Missing)
    }

    /// What putting it back would change.
    fn shown(&self) -> String {
        let object = &self.kept.manifest.object;
        match &self.difference {
            Difference::None => format!("{object}: unchanged\n"),
            Difference::Missing => format!("{object}: is missing: will be created\n"),
            Difference::BeingDeleted => format!("{object}: is being deleted: cannot be put back before it is gone\n"),
            Difference::Changed(diff) => format!("{object}:\n{diff}"),
        }
    }

    async fn put_back(&self, cluster: &Cluster, dry_run: bool) -> Outcome {
        let object = &self.kept.manifest.object;
        match self.difference {
            Difference::None => None,
            Difference::BeingDeleted => {
                Some(Err(format!("{object} is being deleted, so it was left alone; restore again when it is gone")))
            }
            Difference::Changed(_) | Difference::Missing => {
                let work = cluster.put_back(&self.kept.manifest, self.live.as_ref(), dry_run);
                Some(patiently(&format!("Putting back {object}"), work).await)
            }
        }
    }
}

/// The change as `diff -u` shows it. The YAML has no control characters that a terminal would obey.
fn diff(now: &str, then: &str, file: &Path) -> String {
    let diff = TextDiff::from_lines(now, then);
    diff.unified_diff().context_radius(CONTEXT_LINES).header("now", &file.display().to_string()).to_string()
}

/// What became of one object, in a line.
fn told(object: &ObjectRef, outcome: &Result<PutBack, String>, dry_run: bool) -> String {
    match outcome {
        Err(error) => format!("{object}: FAILED: {error}\n"),
        Ok(put_back) => {
            let done = match (dry_run, put_back.created) {
                (false, false) => "put back",
                (false, true) => "created",
                (true, false) => "would be put back: the API server takes it",
                (true, true) => "would be created: the API server takes it",
            };
            let differs = if put_back.as_written {
                ""
            } else {
                "; the API server makes more or something else of it than the file says (its defaults, or an admission webhook)"
            };
            format!("{object}: {done}{differs}\n")
        }
    }
}

/// What was done with all of them.
fn summary(options: &cli::Restore, items: &[Item], outcomes: &[Outcome]) -> Result<(), Failure> {
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let replaced = count(|o| matches!(o, Some(Ok(put_back)) if !put_back.created));
    let created = count(|o| matches!(o, Some(Ok(put_back)) if put_back.created));
    let (unchanged, failed) = (count(Option::is_none), count(|o| matches!(o, Some(Err(_)))));
    match options.output {
        Output::Text => {
            let done = if options.dry_run {
                format!("dry run, nothing was changed: {replaced} to put back, {created} to create")
            } else {
                format!("{replaced} put back, {created} created")
            };
            print(&format!("{done}, {unchanged} unchanged, {failed} failed\n"))?;
        }
        Output::Json => {
            let objects: Vec<Value> =
                items.iter().zip(outcomes).map(|(item, outcome)| as_json(item, outcome)).collect();
            print(&format!("{:#}\n", json!({"dry_run": options.dry_run, "objects": objects})))?;
        }
    }
    if failed == 0 {
        return Ok(());
    }
    let errors: Vec<&str> = outcomes.iter().flatten().filter_map(|o| o.as_ref().err().map(String::as_str)).collect();
    Err(anyhow!("{} of {} not put back:\n  {}", failed, objects(items.len()), errors.join("\n  ")).into())
}

/// Without the diff, which may show secrets: what a script writes ends up in logs.
fn as_json(item: &Item, outcome: &Outcome) -> Value {
    let result = match outcome {
        None => "unchanged",
        Some(Ok(PutBack { created: true, .. })) => "created",
        Some(Ok(_)) => "replaced",
        Some(Err(_)) => "failed",
    };
    let done = outcome.as_ref().and_then(|o| o.as_ref().ok());
    json!({
        "object": item.kept.manifest.object.to_string(),
        "file": item.kept.file.display().to_string(),
        "result": result,
        "as_written": done.map(|put_back| put_back.as_written),
        "error": outcome.as_ref().and_then(|o| o.as_ref().err()),
    })
}

fn objects(number: usize) -> String {
    format!("{number} object{}", if number == 1 { "" } else { "s" })
}
