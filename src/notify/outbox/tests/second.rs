//! Receivers that are told second, and receivers that are left alone at night.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Outcome, World, accepted_ids, hook, settle, written};
use crate::config::{Quiet, Receiver};
use crate::engine::{Event, Notification, Severity};
use crate::notify::testing::{addresses, notification};
use crate::notify::{Contents, DeliveryEvent, Outbox, Whom};

const MINUTE: Duration = Duration::from_secs(60);

fn second() -> Receiver {
    Receiver { escalate_after: Some(15 * MINUTE), ..hook("second") }
}

fn of(id: &str, event: Event) -> Notification {
    let severity = match event {
        Event::GuardAcknowledged | Event::GuardRearmed | Event::GuardPaused => Severity::Info,
        _ => Severity::Critical,
    };
    Notification { event, severity, ..notification(id) }
}

fn start(world: &std::sync::Arc<World>) -> (Outbox, UnboundedReceiver<DeliveryEvent>) {
    world.start(&[hook("first"), second()])
}

async fn pass(minutes: u32) {
    tokio::time::sleep(minutes * MINUTE).await;
    settle().await;
}

fn waits(outbox: &Outbox) -> Vec<(String, bool)> {
    outbox.contents().entries.into_iter().map(|e| (e.id, e.held)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_second_is_told_the_story_in_order_when_nobody_acknowledges() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, mut events) = start(&world);
    outbox.put(&of("1", Event::RollbackStarted), 0);
    pass(5).await;
    outbox.put(&of("2", Event::RollbackFailed), 0);
    pass(9).await;
    assert_eq!(world.tried(), ["1/first", "2/first"]);
    let depth = outbox.depths().remove(1);
    assert_eq!((depth.receiver.as_str(), depth.length, depth.oldest), ("second", 0, None), "nothing is stuck");
    pass(2).await;
    assert_eq!(world.tried(), ["1/first", "2/first", "1/second", "2/second"]);
    assert_eq!(world.tries()[2].at.as_secs(), 15 * 60);
    let told = std::iter::from_fn(|| events.try_recv().ok()).find_map(|event| match event {
        DeliveryEvent::Escalated { receiver, story } => Some((receiver, story)),
        _ => None,
    });
    assert_eq!(told, Some(("second".to_owned(), "terminal-20260102T030405Z".to_owned())));
    outbox.put(&of("3", Event::GuardAcknowledged), 0);
    outbox.put(&of("4", Event::RollbackVerified), 0);
    outbox.put(&of("5", Event::GuardRearmed), 0);
    settle().await;
    let after: Vec<String> = world.tried().into_iter().skip(4).filter(|id| id.ends_with("second")).collect();
    assert_eq!(after, ["3/second", "4/second", "5/second"], "everything that follows, good news too");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_keeps_the_second_asleep_until_another_page() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, mut events) = start(&world);
    outbox.put(&of("1", Event::RollbackStarted), 0);
    pass(10).await;
    outbox.put(&of("2", Event::GuardAcknowledged), 0);
    pass(60).await;
    assert!(waits(&outbox).is_empty());
    assert_eq!(world.tried(), ["1/first", "2/first"]);
    let seen: Vec<DeliveryEvent> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert!(seen.iter().any(|e| matches!(e, DeliveryEvent::Withdrawn { id, .. } if id == "1/second")), "{seen:?}");
    assert!(outbox.dead_letters().is_empty(), "nothing is lost");
    outbox.put(&of("3", Event::RollbackFailed), 0);
    pass(16).await;
    assert_eq!(world.tried()[2..], ["3/first", "3/second"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_outlives_the_process() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, _events) = start(&world);
    outbox.put(&of("1", Event::RollbackStarted), 0);
    pass(10).await;
    let journalled = written(&outbox.contents());
    assert_eq!(waits(&outbox), [("1/second".to_owned(), true)]);
    outbox.drain(MINUTE).await;

    let (outbox, _events) = start(&world);
    outbox.replace(journalled.clone());
    settle().await;
    assert_eq!(written(&outbox.contents()).stories, journalled.stories);
    pass(4).await;
    assert_eq!(world.tried(), ["1/first"]);
    // A paused clock does not move the wall clock, by which the next process counts.
    pass(12).await;
    assert_eq!(world.tried(), ["1/first", "1/second"]);

    // A held page whose story is not known is one all the same.
    let (outbox, _events) = start(&world);
    outbox.replace(Contents { stories: Default::default(), ..journalled });
    outbox.put(&of("2", Event::GuardAcknowledged), 0);
    settle().await;
    assert!(waits(&outbox).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_an_acknowledgement() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, _events) = start(&world);
    outbox.put(&of("1", Event::RollbackStarted), 0);
    let begun = tokio::time::Instant::now();
    assert!(outbox.drain(MINUTE).await.is_empty());
    assert!(begun.elapsed() < MINUTE);
    assert_eq!(waits(&outbox), [("1/second".to_owned(), true)], "it is another process's to tell");
}

#[tokio::test(start_paused = true)]
async fn a_reload_can_make_the_second_the_first_or_nobody() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, mut events) = start(&world);
    outbox.put(&of("1", Event::RollbackStarted), 0);
    settle().await;
    outbox.reconfigure(&[hook("first"), hook("second")], addresses()).unwrap();
    settle().await;
    assert_eq!(world.tried(), ["1/first", "1/second"]);

    outbox.reconfigure(&[hook("first"), second()], addresses()).unwrap();
    outbox.put(&Notification { incident: Some("other".to_owned()), ..of("2", Event::RollbackStarted) }, 0);
    settle().await;
    accepted_ids(&mut events);
    outbox.reconfigure(&[hook("first")], addresses()).unwrap();
    settle().await;
    assert!(waits(&outbox).is_empty() && outbox.dead_letters().is_empty(), "nobody was promised it yet");
    assert!(matches!(events.try_recv(), Ok(DeliveryEvent::Withdrawn { .. })));
}

#[tokio::test(start_paused = true)]
async fn whoever_becomes_the_second_still_hears_the_end_of_what_was_begun() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, _events) = world.start(&[hook("first"), hook("second")]);
    outbox.put(&of("1", Event::RollbackStarted), 0);
    outbox.put(&mild("2", "memory"), 0);
    settle().await;
    // The beginning is known to the process that goes on, too.
    let journalled = written(&outbox.contents());
    let (outbox, _events) = start(&world);
    outbox.replace(journalled);
    let over = |id, incident: &str, event, severity| Notification {
        event,
        severity,
        incident: Some(incident.to_owned()),
        ..notification(id)
    };
    outbox.put(&of("3", Event::RollbackVerified), 0);
    outbox.put(&over("4", "memory", Event::PageResolved, Severity::Warning), 0);
    outbox.put(&mild("5", "other"), 0);
    outbox.put(&over("6", "other", Event::PageResolved, Severity::Warning), 0);
    settle().await;
    let told: Vec<_> = world.tried().into_iter().filter(|id| id.ends_with("second")).collect();
    assert_eq!(told, ["1/second", "2/second", "3/second", "4/second"], "and nothing of what begins now");
}

#[tokio::test(start_paused = true)]
async fn a_lost_page_wakes_the_second_at_once() {
    let world = World::new(|e, _| if e.receiver == "first" { Outcome::Refuse } else { Outcome::Accept });
    let (outbox, _events) = start(&world);
    outbox.put(&of("1", Event::RollbackStarted), 0);
    settle().await;
    outbox.put_for(&of("notification.lost/1/first", Event::NotificationLost), 0, Whom::AllBut("first"));
    settle().await;
    assert_eq!(world.tried(), ["1/first", "notification.lost/1/first/second"]);
}

/// Quiet from an hour ago until in an hour.
fn left_alone() -> Receiver {
    let hour = SignedDuration::from_hours(1);
    let time = |at: Timestamp| at.to_zoned(TimeZone::UTC).time();
    let now = Timestamp::now();
    Receiver {
        quiet: Some(Quiet { from: time(now - hour), to: time(now + hour), time_zone: TimeZone::UTC }),
        ..hook("a")
    }
}

fn mild(id: &str, incident: &str) -> Notification {
    Notification {
        severity: Severity::Warning,
        incident: Some(incident.to_owned()),
        event: Event::PageFiring,
        ..notification(id)
    }
}

#[tokio::test(start_paused = true)]
async fn at_night_only_what_is_critical_is_told_and_what_belongs_to_it() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, _events) = world.start(&[left_alone()]);
    outbox.put(&mild("1", "i"), 0);
    outbox.put(&mild("2", "j"), 0);
    outbox.put(&of("3", Event::RollbackStarted), 0);
    settle().await;
    assert_eq!(world.tried(), ["3/a"]);
    assert_eq!((outbox.depths()[0].length, waits(&outbox).len()), (0, 2), "what waits on purpose is not stuck");
    // The story turns critical: what was said of it before goes with it, in order.
    outbox.put(&Notification { incident: Some("j".to_owned()), ..of("4", Event::RollbackStarted) }, 0);
    outbox.put(&mild("5", "j"), 0);
    settle().await;
    assert_eq!(world.tried(), ["3/a", "2/a", "4/a", "5/a"]);
    // It outlives the process: it follows from the settings and what is journalled.
    let journalled = written(&outbox.contents());
    let (outbox, _events) = world.start(&[left_alone()]);
    outbox.replace(journalled);
    settle().await;
    assert_eq!(world.tried().len(), 4);
    outbox.reconfigure(&[hook("a")], addresses()).unwrap();
    settle().await;
    assert_eq!(world.tried()[4..], ["1/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_night_does_not_wait_for_the_morning() {
    let world = World::new(|_, _| Outcome::Accept);
    let (outbox, _events) = world.start(&[left_alone()]);
    outbox.put(&mild("1", "i"), 0);
    let begun = tokio::time::Instant::now();
    assert!(outbox.drain(10 * MINUTE).await.is_empty());
    assert!(begun.elapsed() < MINUTE, "{:?}", begun.elapsed());
    assert_eq!(waits(&outbox), [("1/a".to_owned(), false)], "it is in the journal");
}
