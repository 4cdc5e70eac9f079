//! Every page that there is, as it comes out of the engine and of the daemon, in both languages, to be read in one go: `pages.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Links, ObjectName, StatePlace};
use crate::engine::tests::scenario::{Scenario, error_rate, guard, memory, plain, seconds, settings};
use crate::engine::{
    BaselineSource, Event, Language, Levels, Measure, Notification, Settings, TriggerAction, TriggerSettings,
};
use crate::notify::{Addresses, DeliveryEvent, Losses, message};
use crate::state::{self, Unreadable};

use super::notices::{self, GoesOn};
use super::trouble::{Kind, Troubles};

/// What happened, and what was told of it.
type Story = (&'static str, Vec<Notification>);

fn of(title: &'static str, settings: Settings, script: &str) -> Story {
    let mut scenario = Scenario::new(settings);
    scenario.run(script);
    (title, scenario.notifications)
}

fn of_engine() -> Vec<Story> {
    let with = |edit: fn(&mut Settings)| {
        let mut settings = plain();
        edit(&mut settings);
        settings
    };
    let ladder = with(|s| s.guards[0].rollback.percentages = vec![10, 0]);
    let dry = with(|s| s.dry_run = true);
    let and_memory = settings(vec![guard("terminal", vec![error_rate(), memory()])]);
    let two = settings(vec![guard("db", vec![error_rate()]), guard("terminal", vec![error_rate(), memory()])]);
    let day = 86_400;
    let load = TriggerSettings {
        name: "load".to_owned(),
        action: TriggerAction::Rollback,
        measure: Measure::ValueDegradation,
        levels: Levels { threshold: 0.5, clear: 0.25 },
        baseline: Some(BaselineSource::Recorded { of: "load".to_owned(), max_age: seconds(30 * day) }),
        ..memory()
    };
    let mut stories = vec![
        of("it helps", plain(), "5m10s 3.1 %\n saved\n changed\n accepted\n wait 40s\n completed\n 3m 0 %\n rearm"),
        of(
            "a ladder, and it does not help",
            ladder.clone(),
            "5m10s 5 %\n changed\n completed\n 10m10s 5 %\n changed\n completed\n 10m10s 5 %\n ack",
        ),
        of("a ladder whose first rung helps", ladder, "5m10s 5 %\n changed\n completed\n 7m 0 %"),
        of("whether it helped cannot be seen", plain(), "5m10s 5 %\n changed\n completed\n 10m10s failing"),
        of("by hand", plain(), "10s 0 %\n by hand 10\n changed\n completed\n 7m 0 %"),
        of("by hand, with a share that is not known", plain(), "share ?\n 10s 0 %\n by hand"),
        of("it fails, and a person takes over", plain(), "5m10s 5 %\n failed\n wait 1s\n failed\n ack"),
        of("it fails, and works at last", plain(), "5m10s 5 %\n failed\n changed\n completed"),
        of("it is accepted, and the pods do not start", plain(), "5m10s 5 %\n changed\n accepted\n failed"),
        of("a restart in the middle", plain(), "5m10s 5 %\n restart\n already there\n completed"),
        of("everything was there already", plain(), "5m10s 5 %\n already there\n completed"),
        of("somebody undoes it", plain(), "5m10s 5 %\n changed\n completed\n drift kubectl\n share 25\n 3m 0 %"),
        of("at the target already", plain(), "share 0\n 5m10s 5 %\n 12m 0 %"),
        of("bad again while latched", plain(), "5m10s 5 %\n changed\n completed\n 7m 0 %\n 6m 5 %\n 7m 0 %"),
        of("paused", plain(), "pause 30m\n 10s 0 %\n resume"),
        of("paused in an incident that failed, and acknowledged", plain(), "5m10s 5 %\n failed\n pause 30m\n ack"),
        of("a dry run", dry, "5m10s 5 %\n would change\n completed\n 12m 0 %"),
        of("a trigger that only pages", and_memory.clone(), "6m value 130\n 3m value 1"),
        of("Prometheus is gone", two.clone(), "3m failing | failing\n 10s 0 % | 0 %"),
        of("one guard has no series", plain(), "3m no series\n 10s 0 %"),
        of("a quiet night", plain(), "3m few"),
        of("a rollback would fail", plain(), "not ready step_a step_b\n not ready step_a step_b\n ready"),
        of(
            "a baseline is too old",
            settings(vec![guard("terminal", vec![load])]),
            "record 100\n wait 745h\n 10s value 100\n record 110\n 10s value 100",
        ),
    ];
    let reconfigured = |title, before: Settings, script: &str, after: Settings| {
        let mut scenario = Scenario::new(before);
        scenario.run(script);
        scenario.reconfigure(after);
        (title, scenario.notifications)
    };
    stories.extend([
        reconfigured("the guard goes in the middle of its rollback", two.clone(), "5m10s 0 % | 5 %", {
            let mut one = two.clone();
            one.guards.pop();
            one
        }),
        reconfigured("the guard goes while latched", two.clone(), "5m10s 5 % | 0 %\n db: changed\n db: completed", {
            let mut one = two;
            one.guards.remove(0);
            one
        }),
        reconfigured("a trigger that pages goes", and_memory, "6m value 130", plain()),
    ]);
    stories
}

fn of_daemon() -> Vec<Story> {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let many = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let damaged = Unreadable::Damaged("E1".to_owned());
    let file = state::name(&StatePlace::File("/var/lib/ripcord/state.json".into()));
    let object = ObjectName { namespace: "sealos-system".to_owned(), name: "ripcord-state".to_owned() };
    let config_map = state::name(&StatePlace::ConfigMap(object));
    let mut stories: Vec<Story> = vec![
        (
            "it starts",
            vec![notices::started(&["db", "terminal"], &names(&["terminal"]), now), notices::started(&many, &[], now)],
        ),
        (
            "it stops",
            vec![
                notices::stopping(vec![], GoesOn::Elsewhere, now),
                notices::stopping(vec![], GoesOn::NextTime, now),
                notices::stopping(names(&["terminal"]), GoesOn::Elsewhere, now),
                notices::stopping(names(&["terminal"]), GoesOn::NextTime, now),
                notices::stopping(names(&["terminal"]), GoesOn::Never, now),
            ],
        ),
        (
            "the state cannot be used",
            vec![
                notices::set_aside(&damaged, &file, &Ok("state.json.damaged".to_owned()), now),
                notices::set_aside(&Unreadable::Newer(7), &config_map, &Err("E2".to_owned()), now),
            ],
        ),
    ];
    for kind in [Kind::NotSaved, Kind::NotRead, Kind::CutOff, Kind::OutOfSight, Kind::NotReached] {
        let mut troubles = Troubles::default();
        troubles.note(kind, "E1", now);
        let later = now + Duration::from_secs(600);
        let mut told = troubles.due(Duration::from_secs(120), later);
        told.extend(troubles.over(kind, later));
        stories.push(("something is wrong with Ripcord itself", told));
    }
    let mut losses = Losses::default();
    let lost = of("", plain(), "5m10s 5 %").1.remove(0);
    for n in 1..=2 {
        let (receiver, id, reason) =
            ("oncall".to_owned(), format!("n{n}/oncall"), "POST to host answered 401".to_owned());
        losses.note(&DeliveryEvent::Dead { receiver, id, notification: Arc::new(lost.clone()), reason });
    }
    stories.push((
        "a receiver does not get its page",
        losses.due(now).into_iter().map(|lost| lost.notification).collect(),
    ));
    stories
}

fn addresses() -> Addresses {
    let link = |path: &str| Some(format!("https://{path}"));
    Addresses {
        links: Links {
            status: link("ripcord.example/"),
            runbook: link("wiki.example/${guard}"),
            dashboard: link("grafana.example/d/ripcord?var-guard=${guard}"),
        },
        ..Addresses::default()
    }
}

/// The first two incidents show their links and ids; they are the same in all.
fn without_the_end(text: &str) -> String {
    let ends = ["\nRunbook: ", "\nStatus: ", "\nEvent: ", "\n处理手册：", "\n状态页：", "\n类型："];
    let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text[..end].trim_end().to_owned()
}

#[test]
fn every_page_reads_as_it_was_read() {
    let addresses = addresses();
    let mut text = String::new();
    let mut events = BTreeSet::new();
    let mut shown = BTreeSet::new();
    let mut whole = BTreeMap::from([(Language::English.as_str(), 2_u32), (Language::Chinese.as_str(), 2)]);
    for (title, notifications) in of_engine().into_iter().chain(of_daemon()) {
        text.push_str(&format!("{:=<110}\n", format!("== {title} ")));
        assert!(!notifications.is_empty(), "{title}");
        for notification in notifications {
            events.insert(notification.event);
            assert!(notification.chinese.is_some(), "{}", notification.summary);
            for language in Language::ALL {
                let message = message::compose(&notification, &addresses, language);
                let left = whole.get_mut(language.as_str()).unwrap();
                let body = if *left > 0 { message.text.trim_end().to_owned() } else { without_the_end(&message.text) };
                *left = left.saturating_sub(1);
                let what = format!("-- {}, {} ", notification.event.as_str(), language.as_str());
                let page = format!("{}\n\n{body}\n", message.subject);
                // Many a story begins like another.
                let page =
                    if shown.insert(page.clone()) { page } else { format!("{}\n\n(as above)\n", message.subject) };
                text.push_str(&format!("{what:-<110}\n{page}\n"));
            }
        }
    }
    let all: BTreeSet<_> = Event::ALL.into();
    assert_eq!(events, all, "every event is among them");
    let text = text.replace(crate::VERSION, "VERSION");
    if text != include_str!("pages.txt") {
        let place = std::env::temp_dir().join("ripcord-pages.txt");
        std::fs::write(&place, &text).unwrap();
        panic!("the pages are others now; read {} and put it in the place of pages.txt", place.display());
    }
}
