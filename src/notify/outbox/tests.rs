//! On paused time: no sockets, couriers that do as they are told.

mod second;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::config::{Finding, Receiver, SmtpTls};
use crate::engine::{Notification, Severity};
use crate::notify::courier::{Courier, Failure, Made};
use crate::notify::testing::{addresses, email, email_receiver, notification, webhook_receiver};
use crate::notify::{Contents, DeliveryEvent, Entry, MAX_QUEUE, Outbox, Permit, Whom};

/// What a try comes to.
enum Outcome {
    Accept,
    Refuse,
    Fail,
    FailFor(u64),
    Slow(u64),
    Hang,
    Panic,
}

type Script = dyn Fn(&Entry, usize) -> Outcome + Send + Sync;

/// A try: the entry's id, what was sent, and when.
#[derive(Debug, Clone, PartialEq)]
struct Try {
    id: String,
    body: Vec<u8>,
    at: Duration,
}

/// What is behind all receivers of a test.
struct World {
    script: Mutex<Arc<Script>>,
    tries: Mutex<Vec<Try>>,
    began: Instant,
}

impl World {
    fn new(script: impl Fn(&Entry, usize) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(Arc::new(script)), tries: Mutex::default(), began: Instant::now() })
    }

    fn becomes(&self, script: impl Fn(&Entry, usize) -> Outcome + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    fn tries(&self) -> Vec<Try> {
        self.tries.lock().unwrap().clone()
    }

    fn start(self: &Arc<Self>, receivers: &[Receiver]) -> (Outbox, UnboundedReceiver<DeliveryEvent>) {
        self.start_permitted(receivers, Arc::new(|| true))
    }

    fn start_permitted(
        self: &Arc<Self>,
        receivers: &[Receiver],
        permit: Permit,
    ) -> (Outbox, UnboundedReceiver<DeliveryEvent>) {
        let (report, events) = unbounded_channel();
        let world = Arc::clone(self);
        let make = move |receiver: &Receiver, _: &_| -> Result<Arc<dyn Courier>, Vec<Finding>> {
            if receiver.name == "impossible" {
                return Err(vec![Finding::at("receivers.impossible".to_owned(), String::new())]);
            }
            Ok(Arc::new(Scripted(Arc::clone(&world))))
        };
        (Outbox::start_with(Box::new(make), receivers, addresses(), report, permit).unwrap(), events)
    }

    /// The ids of the entries in the order in which they were tried.
    fn tried(&self) -> Vec<String> {
        self.tries().into_iter().map(|t| t.id).collect()
    }
}

struct Scripted(Arc<World>);

impl Courier for Scripted {
    fn prepare(&self, entry: &Entry) -> Result<Made, Failure> {
        if entry.notification.summary == "unspeakable" {
            panic!("no words");
        }
        // Unlike a real body it would differ each time that it were made.
        Ok(fastrand::u64(..).to_le_bytes().to_vec().into())
    }

    fn deliver<'a>(&'a self, entry: &'a Entry, body: &'a [u8]) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            let at = self.0.began.elapsed();
            self.0.tries.lock().unwrap().push(Try { id: entry.id.clone(), body: body.to_vec(), at });
            let nth = self.0.tries().iter().filter(|t| t.id == entry.id).count();
            let script = Arc::clone(&self.0.script.lock().unwrap());
            match script(entry, nth) {
                Outcome::Accept => Ok(()),
                Outcome::Refuse => Err(Failure::Refused("refused".to_owned())),
                Outcome::Fail => Err(Failure::retry("it is away")),
                Outcome::FailFor(seconds) => {
                    let after = Some(Duration::from_secs(seconds));
                    Err(Failure::Retry { error: "it is busy".to_owned(), after })
                }
                Outcome::Slow(seconds) => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    Ok(())
                }
                Outcome::Hang => std::future::pending().await,
                Outcome::Panic => panic!("a defect"),
            }
        }
        .boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), Failure>> {
        unreachable!("an outbox probes nobody")
    }
}

fn hook(name: &str) -> Receiver {
    webhook_receiver(name, "http://unused.example/")
}

fn mail(name: &str, to: &[&str]) -> Receiver {
    email_receiver(name, email(25, SmtpTls::None, to))
}

/// A notification of this incident.
fn of(id: &str, incident: &str) -> Notification {
    Notification { incident: Some(incident.to_owned()), ..notification(id) }
}

/// What another process would read.
fn written(contents: &Contents) -> Contents {
    serde_json::from_str(&serde_json::to_string(contents).unwrap()).unwrap()
}

/// Lets the tasks do what they can do now.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn accepted_ids(events: &mut UnboundedReceiver<DeliveryEvent>) -> Vec<String> {
    let mut ids = vec![];
    while let Ok(event) = events.try_recv() {
        if let DeliveryEvent::Accepted { id, .. } = event {
            ids.push(id);
        }
    }
    ids
}

/// The next event that is not a failed try.
async fn next_outcome(events: &mut UnboundedReceiver<DeliveryEvent>) -> DeliveryEvent {
    loop {
        match events.recv().await.unwrap() {
            DeliveryEvent::Retrying { .. } => {}
            outcome => return outcome,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn entries_go_out_in_order_and_a_failing_one_is_not_overtaken() {
    let world = World::new(|e, nth| if e.id == "2/a" && nth <= 3 { Outcome::Fail } else { Outcome::Accept });
    let (outbox, mut events) = world.start(&[hook("a")]);
    for id in ["1", "2", "3"] {
        outbox.put(&notification(id), 0);
    }
    for (id, attempts) in [("1/a", 1), ("2/a", 4), ("3/a", 1)] {
        let event = next_outcome(&mut events).await;
        assert!(
            matches!(&event, DeliveryEvent::Accepted { id: i, attempts: n, .. } if i == id && *n == attempts),
            "{event:?}"
        );
    }
    let tries = world.tries();
    let ids: Vec<&str> = tries.iter().map(|t| t.id.as_str()).collect();
    assert_eq!(ids, ["1/a", "2/a", "2/a", "2/a", "2/a", "3/a"]);
    assert!(tries[1..5].iter().all(|t| t.body == tries[1].body), "each try sends the same bytes");
    assert!(tries[2].at <= Duration::from_millis(1010), "the first retry is quick: {:?}", tries[2].at);
}

#[tokio::test(start_paused = true)]
async fn delays_grow_to_a_minute_until_a_day_has_passed() {
    let world = World::new(|_, _| Outcome::Fail);
    let (outbox, mut events) = world.start(&[hook("a")]);
    outbox.put(&notification("1"), 0);
    let mut delays = vec![];
    let dead = loop {
        match events.recv().await.unwrap() {
            DeliveryEvent::Retrying { delay, attempt, .. } => {
                delays.push(delay.as_secs_f64());
                assert_eq!(attempt as usize, delays.len());
            }
            other => break other,
        }
    };
    for (i, delay) in delays.iter().enumerate() {
        let whole = f64::min(60.0, 2_f64.powi(i32::try_from(i).unwrap()));
        assert!((whole / 2.0..=whole).contains(delay), "delay {i} is {delay}");
    }
    let DeliveryEvent::Dead { reason, .. } = &dead else { panic!("{dead:?}") };
    assert_eq!(reason, "not accepted within 24 hours; last: it is away");
    let passed = world.began.elapsed().as_secs();
    assert!((86_400..86_402).contains(&passed), "{passed}");
    assert_eq!(outbox.depths()[0].length, 0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_may_say_when_within_limits() {
    let world = World::new(|_, nth| match nth {
        1 => Outcome::FailFor(30),
        2 => Outcome::FailFor(100_000),
        _ => Outcome::Accept,
    });
    let (outbox, mut events) = world.start(&[hook("a")]);
    outbox.put(&notification("1"), 0);
    next_outcome(&mut events).await;
    let at: Vec<u64> = world.tries().iter().map(|t| t.at.as_secs()).collect();
    assert_eq!(at, [0, 30, 150]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_somebody_else() {
    let world = World::new(|e, _| match e.recipient.as_deref() {
        Some("busy@example.org") => Outcome::Fail,
        Some(_) => Outcome::Accept,
        None if e.receiver == "hangs" => Outcome::Hang,
        None => Outcome::Accept,
    });
    let receivers = [hook("hangs"), hook("quick"), mail("sre", &["busy@example.org", "b@example.org"])];
    let (outbox, mut events) = world.start(&receivers);
    outbox.put(&notification("1"), 0);
    outbox.put(&notification("2"), 0);
    settle().await;
    let mut ids = accepted_ids(&mut events);
    ids.sort();
    assert_eq!(ids, ["1/quick", "1/sre/b@example.org", "2/quick", "2/sre/b@example.org"]);
    let lengths: Vec<usize> = outbox.depths().iter().map(|d| d.length).collect();
    assert_eq!(lengths, [2, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn depths_say_how_long_the_oldest_waits() {
    let world = World::new(|_, _| Outcome::Hang);
    let (outbox, _events) = world.start(&[hook("a"), hook("b")]);
    assert_eq!(outbox.depths()[0].oldest, None);
    outbox.put(&notification("1"), 0);
    tokio::time::sleep(Duration::from_secs(90)).await;
    outbox.put(&notification("2"), 0);
    let depth = &outbox.depths()[1];
    assert_eq!((depth.receiver.as_str(), depth.length, depth.oldest.unwrap().as_secs()), ("b", 2, 90));
}

#[tokio::test(start_paused = true)]
async fn a_refused_one_is_dead_at_once_and_the_next_goes_on() {
    let world = World::new(|e, _| if e.id == "1/a" { Outcome::Refuse } else { Outcome::Accept });
    let (outbox, mut events) = world.start(&[hook("a")]);
    outbox.put(&notification("1"), 0);
    outbox.put(&notification("2"), 0);
    settle().await;
    assert!(matches!(events.try_recv(), Ok(DeliveryEvent::Dead { reason, .. }) if reason == "refused"));
    assert_eq!(accepted_ids(&mut events), ["2/a"]);
    assert_eq!(world.tries().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_defect_in_sending_silences_nobody() {
    let world = World::new(|_, nth| if nth == 1 { Outcome::Panic } else { Outcome::Accept });
    let (outbox, mut events) = world.start(&[hook("a")]);
    let mut unspeakable = notification("1");
    unspeakable.summary = "unspeakable".to_owned();
    outbox.put(&unspeakable, 0);
    outbox.put(&notification("2"), 0);
    assert!(matches!(next_outcome(&mut events).await, DeliveryEvent::Dead { id, .. } if id == "1/a"));
    assert!(matches!(next_outcome(&mut events).await, DeliveryEvent::Accepted { id, attempts: 2, .. } if id == "2/a"));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_loses_the_oldest_of_least_severity() {
    let world = World::new(|_, _| Outcome::Hang);
    let (outbox, mut events) = world.start(&[hook("a")]);
    let send = |id: String, severity| {
        let mut n = notification(&id);
        n.severity = severity;
        outbox.put(&n, 0);
    };
    send("first".to_owned(), Severity::Critical);
    send("w1".to_owned(), Severity::Warning);
    send("i1".to_owned(), Severity::Info);
    send("i2".to_owned(), Severity::Info);
    for i in 4..MAX_QUEUE {
        send(format!("c{i}"), Severity::Critical);
    }
    settle().await;
    assert!(events.try_recv().is_err(), "it is full and nothing is lost yet");
    for (new, severity, lost) in [
        ("x1", Severity::Critical, "i1/a"),
        ("x2", Severity::Warning, "i2/a"),
        ("x3", Severity::Info, "x3/a"),
        ("x4", Severity::Critical, "w1/a"),
        ("x5", Severity::Critical, "x2/a"),
        ("x6", Severity::Critical, "first/a"),
    ] {
        send(new.to_owned(), severity);
        let event = events.try_recv().unwrap();
        assert!(matches!(&event, DeliveryEvent::Dropped { id, .. } if id == lost), "{lost}: {event:?}");
        assert_eq!(outbox.depths()[0].length, MAX_QUEUE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_queues_of_those_that_stay() {
    let world = World::new(|_, _| Outcome::Fail);
    let before = [hook("stays"), hook("goes"), mail("sre", &["a@example.org", "b@example.org"])];
    let (outbox, mut events) = world.start(&before);
    outbox.put(&notification("1"), 0);
    tokio::time::sleep(Duration::from_secs(300)).await;
    while events.try_recv().is_ok() {}

    let refused = outbox.reconfigure(&[hook("stays"), hook("impossible")], addresses());
    assert_eq!(refused.unwrap_err()[0].path, "receivers.impossible");
    assert_eq!(outbox.depths().len(), 3, "nothing changes on an error");

    world.becomes(|_, _| Outcome::Accept);
    let after = [mail("sre", &["b@example.org", "c@example.org"]), hook("new"), hook("stays")];
    let reloaded = world.began.elapsed();
    outbox.reconfigure(&after, addresses()).unwrap();
    settle().await;
    let (mut accepted, mut dropped) = (vec![], vec![]);
    while let Ok(event) = events.try_recv() {
        match event {
            DeliveryEvent::Accepted { id, .. } => accepted.push(id),
            DeliveryEvent::Dropped { id, reason, .. } => dropped.push((id, reason)),
            other => panic!("{other:?}"),
        }
    }
    accepted.sort();
    assert_eq!(accepted, ["1/sre/b@example.org", "1/stays"], "they are tried at once");
    assert!(world.tries().last().unwrap().at - reloaded < Duration::from_millis(5));
    let gone = |what: &str| format!("the {what} is no longer in the configuration");
    assert_eq!(
        dropped,
        [("1/sre/a@example.org".to_owned(), gone("recipient")), ("1/goes".to_owned(), gone("receiver"))]
    );

    outbox.put(&notification("2"), 0);
    settle().await;
    let mut ids = accepted_ids(&mut events);
    ids.sort();
    assert_eq!(ids, ["2/new", "2/sre/b@example.org", "2/sre/c@example.org", "2/stays"]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_reached_in_another_way_loses_nothing() {
    let world = World::new(|e, _| if e.recipient.is_none() { Outcome::Fail } else { Outcome::Accept });
    let (outbox, mut events) = world.start(&[hook("sre")]);
    outbox.put(&notification("1"), 0);
    outbox.put(&notification("2"), 0);
    settle().await;
    outbox.reconfigure(&[mail("sre", &["a@example.org"])], addresses()).unwrap();
    for id in ["1/sre/a@example.org", "2/sre/a@example.org"] {
        let event = next_outcome(&mut events).await;
        assert!(matches!(&event, DeliveryEvent::Accepted { id: i, .. } if i == id), "{event:?}");
    }
    assert_eq!(outbox.depths()[0].length, 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_gives_everything_one_more_chance() {
    let world = World::new(|_, _| Outcome::Fail);
    let (outbox, mut events) = world.start(&[hook("a"), hook("b")]);
    outbox.put(&notification("1"), 0);
    tokio::time::sleep(Duration::from_secs(600)).await;
    world.becomes(|e, _| if e.receiver == "a" { Outcome::Accept } else { Outcome::Hang });
    outbox.put(&notification("2"), 0);
    let before = Instant::now();
    let left = outbox.drain(Duration::from_secs(5)).await;
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    let left: Vec<String> = left.into_iter().map(|e| e.id).collect();
    assert_eq!(left, ["1/b", "2/b"]);
    assert_eq!(accepted_ids(&mut events), ["1/a", "2/a"]);

    outbox.put(&notification("3"), 0);
    let contents = written(&outbox.contents());
    drop(outbox);
    world.becomes(|_, _| Outcome::Accept);
    let (again, mut events) = world.start(&[hook("a"), hook("b")]);
    again.replace(contents);
    assert!(again.drain(Duration::from_secs(5)).await.is_empty());
    let mut ids = accepted_ids(&mut events);
    ids.sort();
    assert_eq!(ids, ["1/b", "2/b", "3/a", "3/b"], "a restart sends what was left, under the same ids");
}

#[tokio::test(start_paused = true)]
async fn an_end_with_nothing_to_do_takes_no_time() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, _events) = world.start(&[hook("a")]);
    let before = Instant::now();
    outbox.put(&notification("1"), 0);
    assert!(outbox.drain(Duration::from_secs(5)).await.is_empty());
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_a_start_finds_for_nobody_is_reported() {
    let world = World::new(|_, _| Outcome::Accept);
    let old = jiff::Timestamp::now() - Duration::from_secs(25 * 60 * 60);
    let entry = |receiver, id| Entry::new(receiver, None, old, Arc::new(notification(id)));
    let entries = vec![entry("gone", "1"), entry("a", "2")];
    let (outbox, mut events) = world.start(&[hook("a")]);
    outbox.replace(Contents { entries, ..Contents::default() });
    settle().await;
    assert!(matches!(events.try_recv(), Ok(DeliveryEvent::Dropped { id, .. }) if id == "1/gone"));
    assert!(matches!(events.try_recv(), Ok(DeliveryEvent::Dead { id, .. }) if id == "2/a"));
    assert!(world.tries().is_empty(), "what is older than a day is not sent as news");
    let dead: Vec<String> = outbox.dead_letters().into_iter().map(|d| d.id).collect();
    assert_eq!(dead, ["1/gone", "2/a"]);
}

#[tokio::test(start_paused = true)]
async fn only_those_get_it_who_want_it() {
    let world = World::new(|_, _| Outcome::Accept);
    let mut quiet = hook("quiet");
    quiet.filter.min_severity = Severity::Critical;
    let (outbox, mut events) = world.start(&[quiet, hook("all")]);
    let mut n = notification("1");
    n.severity = Severity::Warning;
    outbox.put(&n, 0);
    settle().await;
    assert_eq!(accepted_ids(&mut events), ["1/all"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_never_accepted_holds_up_no_other_incident() {
    let world = World::new(|e, _| if e.id == "1/a" { Outcome::Fail } else { Outcome::Accept });
    let (outbox, mut events) = world.start(&[hook("a")]);
    outbox.put(&of("1", "i"), 0);
    outbox.put(&of("2", "i"), 0);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let sent = world.began.elapsed();
    outbox.put(&of("3", "j"), 0);
    outbox.put(&of("4", "j"), 0);
    for id in ["3/a", "4/a"] {
        let event = next_outcome(&mut events).await;
        assert!(matches!(&event, DeliveryEvent::Accepted { id: i, .. } if i == id), "{event:?}");
    }
    assert!(world.tries().last().unwrap().at - sent <= Duration::from_secs(2));
    assert!(!world.tried().contains(&"2/a".to_owned()), "its own incident is told in order");
    for (lost, why) in [("1/a", "it is away"), ("2/a", "it was not tried in this time")] {
        let dead = next_outcome(&mut events).await;
        let DeliveryEvent::Dead { id, reason, .. } = &dead else { panic!("{dead:?}") };
        assert_eq!((id.as_str(), reason), (lost, &format!("not accepted within 24 hours; last: {why}")));
    }
}

#[tokio::test(start_paused = true)]
async fn each_incident_is_told_in_order_through_any_failures() {
    // Which tries fail follows no pattern that the order could hide behind.
    let world = World::new(|e, nth| {
        let seed = e.id.bytes().map(usize::from).sum::<usize>() + 7 * nth;
        if seed % 3 == 0 && nth < 4 { Outcome::Fail } else { Outcome::Accept }
    });
    let (outbox, mut events) = world.start(&[hook("a")]);
    for page in 1..=6 {
        for incident in ["i", "j", "k"] {
            outbox.put(&of(&format!("{incident}{page}"), incident), 0);
        }
    }
    let mut accepted = vec![];
    while accepted.len() < 18 {
        let DeliveryEvent::Accepted { id, .. } = next_outcome(&mut events).await else { panic!() };
        accepted.push(id);
    }
    assert!(world.tries().len() > 18, "some failed");
    for incident in ["i", "j", "k"] {
        let told: Vec<&String> = accepted.iter().filter(|id| id.starts_with(incident)).collect();
        assert_eq!(
            told,
            (1..=6).map(|page| format!("{incident}{page}/a")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_its_ticket_is_opened() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, _events) = world.start(&[hook("a")]);
    outbox.put(&of("1", "i"), 1);
    outbox.put(&of("2", "j"), 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.tries().is_empty());
    assert_eq!(outbox.depths()[0].length, 2);
    outbox.open(1);
    settle().await;
    assert_eq!(world.tried(), ["1/a"]);
    outbox.open(2);
    settle().await;
    assert_eq!(world.tried(), ["1/a", "2/a"]);
}

#[tokio::test(start_paused = true)]
async fn without_the_permit_nothing_is_sent_or_given_up() {
    let world = World::new(|_, _| Outcome::Fail);
    let allowed = Arc::new(AtomicBool::new(false));
    let permit = {
        let allowed = Arc::clone(&allowed);
        Arc::new(move || allowed.load(Ordering::SeqCst))
    };
    let (outbox, mut events) = world.start_permitted(&[hook("a")], permit);
    // It has ten minutes to live.
    let queued_at = jiff::Timestamp::now() - Duration::from_secs(24 * 3600 - 600);
    let entries = vec![Entry::new("a", None, queued_at, Arc::new(notification("1")))];
    outbox.replace(Contents { entries, ..Contents::default() });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.tries().is_empty());
    allowed.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(251)).await;
    assert_eq!(world.tries().len(), 1);

    allowed.store(false, Ordering::SeqCst);
    let before = world.tries().len();
    tokio::time::sleep(Duration::from_secs(1200)).await;
    assert_eq!(world.tries().len(), before, "it is asked before each try, not only the first");
    assert_eq!(outbox.depths()[0].length, 1, "it may be another's now, and not be lost");
    while let Ok(event) = events.try_recv() {
        assert!(matches!(event, DeliveryEvent::Retrying { .. }), "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_but_one_are_told_of_its_loss() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, mut events) = world.start(&[hook("a"), mail("sre", &["x@example.org", "y@example.org"]), hook("b")]);
    outbox.put_for(&notification("1"), 0, Whom::AllBut("sre"));
    settle().await;
    let mut ids = accepted_ids(&mut events);
    ids.sort();
    assert_eq!(ids, ["1/a", "1/b"]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_sends_while_the_queue_is_taken_away_reports_nothing() {
    let world = World::new(|e, _| if e.id == "1/a" { Outcome::Slow(5) } else { Outcome::Accept });
    let (outbox, mut events) = world.start(&[hook("a")]);
    outbox.put(&notification("1"), 0);
    settle().await;
    outbox.clear();
    assert_eq!(outbox.contents(), Contents::default());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(events.try_recv().is_err(), "it is another's to count");

    outbox.put(&notification("1"), 0);
    settle().await;
    let entries = vec![Entry::new("a", None, jiff::Timestamp::now(), Arc::new(notification("2")))];
    outbox.replace(Contents { entries, ..Contents::default() });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(accepted_ids(&mut events), ["2/a"]);
    assert_eq!(world.tried(), ["1/a", "1/a", "2/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_day_is_a_day_over_restarts() {
    let world = World::new(|_, _| Outcome::Fail);
    let (mut outbox, mut events) = world.start(&[hook("a")]);
    outbox.put(&notification("1"), 0);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(7 * 3600)).await;
        let contents = written(&outbox.contents());
        (outbox, events) = world.start(&[hook("a")]);
        outbox.replace(contents);
        assert!(outbox.depths()[0].oldest.unwrap() > Duration::from_secs(7 * 3600 - 2));
    }
    let dead = next_outcome(&mut events).await;
    assert!(matches!(&dead, DeliveryEvent::Dead { id, .. } if id == "1/a"), "{dead:?}");
    let passed = world.began.elapsed().as_secs();
    // What the real clock ran on meanwhile, the paused one did not.
    assert!((86_300..86_402).contains(&passed), "{passed}");
}

#[tokio::test(start_paused = true)]
async fn what_a_restart_finds_goes_where_the_settings_say_now() {
    let world = World::new(|_, _| Outcome::Fail);
    let (outbox, _events) = world.start(&[hook("sre"), mail("team", &["gone@example.org"])]);
    outbox.put(&of("1", "i"), 0);
    outbox.put(&of("2", "i"), 0);
    let contents = written(&outbox.contents());
    drop(outbox);
    world.becomes(|_, _| Outcome::Accept);
    let (outbox, mut events) = world.start(&[mail("sre", &["x@example.org"]), mail("team", &["y@example.org"])]);
    outbox.replace(contents);
    settle().await;
    assert_eq!(accepted_ids(&mut events), ["1/sre/x@example.org", "2/sre/x@example.org"]);
    let dead: Vec<String> = outbox.dead_letters().into_iter().map(|d| d.id).collect();
    assert_eq!(dead, ["1/team/gone@example.org", "2/team/gone@example.org"]);
}
