//! The task that reads and writes the document. Whoever wants it saved goes on at once and is told later.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::engine::{Language, Sentence};

use super::document::{Document, Unreadable};
use super::place::{Place, WriteError};

/// The first wait after a read or write that failed, and the longest. A place that is back is used within seconds; one that is gone for
/// a night is not asked ten times a second.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// How often it is tried to set aside what cannot be used, before it is written over all the same: where nothing can be renamed nothing
/// can be written either, and a watchdog that waits for ever protects nobody.
const TRIES_TO_SET_ASIDE: u32 = 6;

/// What the keeper tells.
#[derive(Debug)]
pub enum Report {
    /// The document was read, to be taken over.
    Taken(Box<Taken>),
    /// It could not be read; it is tried again.
    NotTaken {
        /// What was tried, on what, and what to do.
        error: Sentence,
    },
    /// The document as somebody else wrote it, for showing.
    Seen(Option<Box<Document>>),
    /// Everything up to this ticket is saved.
    Saved {
        /// The ticket.
        ticket: u64,
        /// How many things were left out to keep it small.
        left_out: usize,
    },
    /// It is not saved, and is tried again.
    Failed {
        /// The ticket.
        ticket: u64,
        /// What was tried, on what, and what to do.
        error: String,
    },
    /// Somebody else has written: nothing is saved any more until the document is taken over again.
    Conflict {
        /// Who, and where.
        error: String,
    },
}

/// What was found where the document should be.
#[derive(Debug, Default)]
pub struct Taken {
    /// The document; none where there was none that can be used.
    pub document: Option<Document>,
    /// What was there and cannot be used, and where it was put, or why it could not be put there.
    pub set_aside: Option<(Unreadable, Result<String, String>)>,
}

/// A handle to the task. It ends with the last handle.
#[derive(Clone)]
pub struct Keeper {
    shared: Arc<Shared>,
    _alive: mpsc::Sender<()>,
}

#[derive(Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    changed: Notify,
}

/// What is to be done. Only the newest document is worth writing.
#[derive(Default)]
struct Wanted {
    take_up: bool,
    look: bool,
    save: Option<(u64, Arc<Document>)>,
}

impl Keeper {
    /// Starts the task. Nothing is written before the document was taken up.
    pub fn start(place: impl Place, reports: mpsc::UnboundedSender<Report>) -> Self {
        let shared = Arc::new(Shared::default());
        let (alive, gone) = mpsc::channel(1);
        let task = Task { place, shared: shared.clone(), reports, taken: false, not_set_aside: 0 };
        tokio::spawn(task.run(gone));
        Self { shared, _alive: alive }
    }

    /// Reads the document, again and again until it works; what was to be saved before is dropped.
    pub fn take_up(&self) {
        self.want(|wanted| *wanted = Wanted { take_up: true, ..Wanted::default() });
    }

    /// Reads the document once, for showing.
    pub fn look(&self) {
        self.want(|wanted| wanted.look = true);
    }

    /// Saves this document, unless a newer one comes first.
    pub fn save(&self, ticket: u64, document: Document) {
        self.want(|wanted| wanted.save = Some((ticket, Arc::new(document))));
    }

    /// Saves nothing any more: another leads.
    pub fn forget(&self) {
        self.want(|wanted| *wanted = Wanted::default());
    }

    fn want(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.changed.notify_one();
    }
}

struct Task<P> {
    place: P,
    shared: Arc<Shared>,
    reports: mpsc::UnboundedSender<Report>,
    /// Whether the document was read by this process, so that it may be written over.
    taken: bool,
    not_set_aside: u32,
}

impl<P: Place> Task<P> {
    async fn run(mut self, mut gone: mpsc::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                // Nothing is ever sent: it ends when the last handle is dropped.
                _ = gone.recv() => return,
                () = self.work() => {}
            }
        }
    }

    async fn work(&mut self) {
        let mut failures = 0;
        loop {
            if self.take(|wanted| wanted.take_up) {
                self.taken = false;
                if let Err(error) = self.take_up().await {
                    self.report(Report::NotTaken { error });
                    failures += 1;
                    self.wait(failures).await;
                    continue;
                }
            } else if self.take(|wanted| std::mem::take(&mut wanted.look)) {
                // What cannot be read now is shown as it was read last.
                if let Ok(text) = self.place.read().await {
                    self.report(Report::Seen(text.and_then(|t| Document::read(&t).ok()).map(Box::new)));
                }
            } else if let Some((ticket, document)) = self.take(|wanted| wanted.save.clone()).filter(|_| self.taken) {
                match self.save(&document).await {
                    Ok(left_out) => {
                        self.take(|w| {
                            w.save.take_if(|(newest, _)| *newest == ticket);
                        });
                        self.report(Report::Saved { ticket, left_out });
                    }
                    Err(WriteError::Conflict(error)) => {
                        self.taken = false;
                        self.take(|wanted| wanted.save = None);
                        self.report(Report::Conflict { error });
                    }
                    Err(WriteError::Failed(error)) => {
                        self.report(Report::Failed { ticket, error });
                        failures += 1;
                        self.wait(failures).await;
                        continue;
                    }
                }
            } else {
                self.shared.changed.notified().await;
            }
            failures = 0;
        }
    }

    fn take<T>(&self, change: impl FnOnce(&mut Wanted) -> T) -> T {
        change(&mut self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits a while after a failure, or until something new is wanted.
    async fn wait(&self, failures: u32) {
        let longest = RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_LONGEST);
        tokio::select! {
            () = sleep_until(Instant::now() + longest) => {}
            () = self.shared.changed.notified() => {}
        }
    }

    async fn take_up(&mut self) -> Result<(), Sentence> {
        let taken = match self.place.read().await? {
            None => Taken::default(),
            Some(text) => match Document::read(&text) {
                Ok(document) => Taken { document: Some(document), set_aside: None },
                Err(unreadable) => {
                    let word = match unreadable {
                        Unreadable::Newer(_) => "newer",
                        Unreadable::Damaged(_) => "damaged",
                    };
                    let suffix = format!("{word}-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
                    let to = self.place.set_aside(suffix).await;
                    if let Err(error) = &to
                        && self.not_set_aside < TRIES_TO_SET_ASIDE
                    {
                        self.not_set_aside += 1;
                        let why = unreadable.in_words();
                        return Err(Sentence::of(|language| match (language, why.in_language(language)) {
                            (Language::English, why) => format!("{why}, and it cannot be set aside: {error}"),
                            (Language::Chinese, why) => format!("{why}，也无法另存：{error}"),
                        }));
                    }
                    Taken { document: None, set_aside: Some((unreadable, to)) }
                }
            },
        };
        self.taken = true;
        self.take(|wanted| wanted.take_up = false);
        self.report(Report::Taken(Box::new(taken)));
        Ok(())
    }

    async fn save(&mut self, document: &Document) -> Result<usize, WriteError> {
        let (text, left_out) = document.text(self.place.limit()).map_err(WriteError::Failed)?;
        self.place.write(text).await?;
        Ok(left_out)
    }

    fn report(&self, report: Report) {
        // Nobody listens any more only when the process ends.
        let _ = self.reports.send(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Memory;
    use crate::notify::Contents;
    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    /// A place whose faults come when they are wanted, which no real one's do.
    #[derive(Clone, Default)]
    struct Shelf(Arc<Mutex<Held>>);

    #[derive(Default)]
    struct Held {
        text: Option<String>,
        aside: Vec<String>,
        faults: Vec<Option<WriteError>>,
        writes: usize,
    }

    impl Shelf {
        fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
            work(&mut self.0.lock().unwrap())
        }

        fn fault(held: &mut Held) -> Option<WriteError> {
            if held.faults.is_empty() { None } else { held.faults.remove(0) }
        }
    }

    impl Place for Shelf {
        fn limit(&self) -> usize {
            10_000
        }

        fn read(&mut self) -> BoxFuture<'_, Result<Option<String>, String>> {
            let read = self.with(|held| match Self::fault(held) {
                Some(error) => Err(error.to_string()),
                None => Ok(held.text.clone()),
            });
            std::future::ready(read).boxed()
        }

        fn write(&mut self, text: String) -> BoxFuture<'_, Result<(), WriteError>> {
            let written = self.with(|held| {
                held.writes += 1;
                match Self::fault(held) {
                    Some(error) => Err(error),
                    None => {
                        held.text = Some(text);
                        Ok(())
                    }
                }
            });
            std::future::ready(written).boxed()
        }

        fn set_aside(&mut self, suffix: String) -> BoxFuture<'_, Result<String, String>> {
            self.with(|held| {
                let text = held.text.take().unwrap();
                held.aside.push(text);
            });
            std::future::ready(Ok(suffix)).boxed()
        }
    }

    fn document(writer: &str) -> Document {
        Document::new(writer, Timestamp::UNIX_EPOCH, Memory::default(), Contents::default())
    }

    fn failed() -> Option<WriteError> {
        Some(WriteError::Failed("disk full".to_owned()))
    }

    fn start(shelf: &Shelf) -> (Keeper, mpsc::UnboundedReceiver<Report>) {
        let (reports, told) = mpsc::unbounded_channel();
        (Keeper::start(shelf.clone(), reports), told)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_written_before_it_was_taken_up() {
        let shelf = Shelf::default();
        let (keeper, mut told) = start(&shelf);
        keeper.save(1, document("early"));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(shelf.with(|held| held.writes), 0);
        keeper.take_up();
        assert!(matches!(told.recv().await, Some(Report::Taken(taken)) if taken.document.is_none()));
        keeper.save(2, document("now"));
        assert!(matches!(told.recv().await, Some(Report::Saved { ticket: 2, .. })));
        assert_eq!(shelf.with(|held| held.text.as_deref().and_then(Document::writer)).as_deref(), Some("now"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_and_only_the_newest_is_written() {
        let shelf = Shelf::default();
        let (keeper, mut told) = start(&shelf);
        keeper.take_up();
        told.recv().await;
        shelf.with(|held| held.faults = vec![failed()]);
        keeper.save(1, document("one"));
        assert!(matches!(told.recv().await, Some(Report::Failed { ticket: 1, error }) if error == "disk full"));
        keeper.save(2, document("two"));
        keeper.save(3, document("three"));
        assert!(matches!(told.recv().await, Some(Report::Saved { ticket: 3, .. })));
        assert_eq!(shelf.with(|held| held.writes), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_read_later() {
        let shelf = Shelf::default();
        shelf.with(|held| held.faults = vec![failed(), failed()]);
        let (keeper, mut told) = start(&shelf);
        keeper.take_up();
        for _ in 0..2 {
            assert!(matches!(told.recv().await, Some(Report::NotTaken { .. })));
        }
        assert!(matches!(told.recv().await, Some(Report::Taken(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_conflict_nothing_is_written_until_it_is_taken_up_again() {
        let shelf = Shelf::default();
        let (keeper, mut told) = start(&shelf);
        keeper.take_up();
        told.recv().await;
        shelf.with(|held| held.faults = vec![Some(WriteError::Conflict("another".to_owned()))]);
        keeper.save(1, document("one"));
        assert!(matches!(told.recv().await, Some(Report::Conflict { .. })));
        keeper.save(2, document("two"));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(shelf.with(|held| held.writes), 1);
        keeper.take_up();
        assert!(matches!(told.recv().await, Some(Report::Taken(_))));
        keeper.save(3, document("three"));
        assert!(matches!(told.recv().await, Some(Report::Saved { ticket: 3, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_used_is_set_aside() {
        let shelf = Shelf::default();
        shelf.with(|held| held.text = Some("{half".to_owned()));
        let (keeper, mut told) = start(&shelf);
        keeper.take_up();
        let Some(Report::Taken(taken)) = told.recv().await else { panic!("it is taken up all the same") };
        assert!(taken.document.is_none());
        let (why, to) = taken.set_aside.unwrap();
        assert!(matches!(why, Unreadable::Damaged(_)));
        assert!(to.unwrap().starts_with("damaged-"));
        assert_eq!(shelf.with(|held| held.aside.clone()), ["{half"]);
    }
}
