//! Runs the stories: in parallel, each in its own world, with everything taken down at the end whatever happened.

use std::any::Any;
use std::cell::RefCell;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;

use super::apiserver::Apiserver;
use super::binaries::Binaries;
use super::log;
use super::reaper::Reaper;
use super::story::{Story, World, log_dir};

/// Stories mostly wait, so more of them run at once than there are cores.
const THREADS: usize = 6;

/// What all stories share.
struct Shared {
    run_dir: PathBuf,
    binaries: Arc<Binaries>,
    /// Started by the first story that runs. A failure is kept too: starting again would fail again.
    apiserver: OnceCell<Result<Arc<Apiserver>, String>>,
}

/// Runs them as `cargo test` arguments say; the exit code is that of a test.
pub fn run(stories: Vec<Story>) -> ExitCode {
    run_with(Arguments::from_args(), stories)
}

/// Runs all of them, whatever the arguments: `cargo bench` passes `--bench`, which a test runner takes for a reason to leave tests out.
pub fn run_all(stories: Vec<Story>) -> ExitCode {
    run_with(Arguments { nocapture: true, ..Arguments::default() }, stories)
}

fn run_with(mut arguments: Arguments, stories: Vec<Story>) -> ExitCode {
    if arguments.test_threads.is_none() {
        let asked = std::env::var("RUST_TEST_THREADS").ok().and_then(|n| n.parse().ok());
        arguments.test_threads = Some(asked.unwrap_or(THREADS));
    }
    if arguments.list {
        let trials = stories.into_iter().map(|s| Trial::test(s.name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    match set_up() {
        Ok((runtime, reaper, shared)) => {
            let trials =
                stories.into_iter().map(|story| trial(story, runtime.handle().clone(), shared.clone())).collect();
            let conclusion = libtest_mimic::run(&arguments, trials);
            drop(shared);
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            drop(reaper);
            conclusion.exit_code()
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn set_up() -> anyhow::Result<(Runtime, Reaper, Arc<Shared>)> {
    let binaries = Binaries::find().map_err(anyhow::Error::msg)?;
    // Two providers may be compiled in, and then rustls picks none. An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _ = fs::remove_dir_all(kept_logs());
    let root = tempfile::Builder::new().prefix("ripcord-real-").tempdir()?.keep();
    let reaper = Reaper::start(&root)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let kept = PANIC.with_borrow_mut(|kept| match kept {
            Some(text) => {
                *text = info.to_string();
                true
            }
            None => false,
        });
        if !kept {
            hook(info);
        }
    }));
    let shared = Shared { run_dir: reaper.root().to_owned(), binaries: Arc::new(binaries), apiserver: OnceCell::new() };
    Ok((runtime, reaper, Arc::new(shared)))
}

thread_local! {
    /// The words of a panic on a thread that tells a story: they belong into the story's failure, not between others' output.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where the logs of failed stories are kept: beside the build, or where `RIPCORD_TEST_LOGS` says.
fn kept_logs() -> PathBuf {
    let set = std::env::var_os("RIPCORD_TEST_LOGS").filter(|v| !v.is_empty());
    set.map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-failed"), PathBuf::from)
}

fn trial(story: Story, runtime: Handle, shared: Arc<Shared>) -> Trial {
    Trial::test(story.name.clone(), move || {
        let slug = slug(&story.name);
        let dir = shared.run_dir.join(&slug);
        PANIC.set(Some(String::new()));
        let told = runtime.block_on(async {
            let telling = async {
                let world = shared.world(&story.name, &slug, &dir).await?;
                (story.tell)(world).await
            };
            match tokio::time::timeout(story.timeout, AssertUnwindSafe(telling).catch_unwind()).await {
                Ok(Ok(told)) => told.map_err(|e| in_words(&e)),
                Ok(Err(payload)) => Err(panic_text(payload.as_ref())),
                Err(_) => Err(format!("The story took longer than {:?}", story.timeout)),
            }
        });
        PANIC.set(None);
        let result = told.map_err(|error| {
            let logs = log_dir(&dir);
            let kept = kept_logs().join(&slug);
            let where_kept = match copy_files(&logs, &kept) {
                Ok(()) => format!("\n--- whole logs: {}", kept.display()),
                Err(_) => String::new(),
            };
            Failed::from(format!("{error}\n{}{where_kept}", log::tails(&logs)))
        });
        let _ = fs::remove_dir_all(&dir);
        result
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let kept = PANIC.with_borrow(|kept| kept.clone().unwrap_or_default());
    if kept.is_empty() {
        // `resume_unwind` calls no hook: the panic of a task that a story waited for.
        let text = payload.downcast_ref::<String>().cloned();
        return text.or_else(|| payload.downcast_ref::<&str>().map(|t| (*t).to_owned())).unwrap_or_default();
    }
    kept
}

/// An error with its causes and, where `RUST_BACKTRACE` is set, the places in the stories that it came through.
fn in_words(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  caused by: {cause}"));
    }
    let backtrace = error.backtrace().to_string();
    for place in
        backtrace.lines().map(str::trim).filter(|l| l.contains("/tests/real/") && !l.contains("/support/run.rs"))
    {
        text.push_str(&format!("\n  {place}"));
    }
    text
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A name that is a folder's and a namespace's: `selftest::an_rbac_user` gives `selftest-an-rbac-user`.
fn slug(name: &str) -> String {
    let words: Vec<_> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let mut slug = words.join("-").to_ascii_lowercase();
    slug.truncate(60);
    slug.trim_end_matches('-').to_owned()
}

impl Shared {
    async fn world(&self, name: &str, namespace: &str, dir: &Path) -> anyhow::Result<World> {
        fs::create_dir_all(dir)?;
        let start = || async {
            let started = Apiserver::start(&self.run_dir, &self.binaries).await;
            started.map(Arc::new).map_err(|e| in_words(&e))
        };
        let apiserver = self.apiserver.get_or_init(start).await.clone().map_err(anyhow::Error::msg)?;
        let kube = apiserver.admin();
        let mut object = Namespace::default();
        object.metadata.name = Some(namespace.to_owned());
        Api::all(kube.clone()).create(&PostParams::default(), &object).await?;
        Ok(World {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            dir: dir.to_owned(),
            apiserver,
            kube,
            binaries: self.binaries.clone(),
            run_dir: self.run_dir.clone(),
        })
    }
}
