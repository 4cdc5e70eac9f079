//! Replays of nights that were made by hand: each tick is a ratio of 1000 requests, or nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::config::{self, LoadOptions, Override, Settings};
use crate::engine::{Event, Evidence, Name, Reading, Unknown};

use super::compare::compare;
use super::report::{GuardReport, Replay, Report, TripKind, VERSION};
use super::run::{Readings, Run, Shares};
use super::tally::Span;
use super::{html, text};

const STEP: Duration = Duration::from_secs(10);

const CONFIG: &str = r#"
prometheus: {url: "http://prometheus:9090"}
evaluation: {interval: 10s}
guards:
  shop:
    match: {destination_workload: shop}
    triggers:
      error_rate: {signal: error_rate, above: 1%, clear_below: 0.5%, for: 5m}
      memory: {promql: "memory", above: 128Mi, for: 1m, action: page, severity: warning}
    traffic:
      - config_map: {namespace: shop, name: shop, data: {share: "${percentage}"}}
receivers: {people: {webhook: {url: "http://receiver/"}}}
"#;

fn settings(typed: &[&str]) -> Settings {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ripcord.yaml");
    std::fs::write(&file, CONFIG).expect("a file in it");
    let typed: Vec<_> = typed.iter().map(|text| Override { option: "--set", text: (*text).to_owned() }).collect();
    config::load_with(&[file], [], &typed, LoadOptions { syntax_only: true }).expect("a valid configuration")
}

fn beginning() -> Timestamp {
    "2026-01-02T03:00:00Z".parse().expect("a time")
}

/// What is measured for some ticks: the part of the requests that fails, in percent, or nothing.
type Stretch = (usize, Option<f64>);

fn reading(percent: Option<f64>) -> Reading {
    let evidence = || match percent {
        Some(percent) => Ok(Evidence::Counts { failed: percent * 10.0, total: 1000.0 }),
        None => Err(Unknown::QueryFailed("<b>no</b> route".to_owned())),
    };
    Reading { window: evidence(), confirm: Some(evidence()), baseline: None, burn: Vec::new() }
}

/// Replays a night; `lead` ticks of it come before what is told about.
fn night(typed: &[&str], stretches: &[Stretch], lead: usize, share: Option<u8>) -> Replay {
    let settings = settings(typed);
    let ticks: usize = stretches.iter().map(|(ticks, _)| ticks).sum();
    let at = |tick: usize| beginning() + STEP * u32::try_from(tick).expect("few ticks");
    let span = Span { from: at(lead), step: 10.0, ticks: ticks - lead };
    let mut run = Run::new(&settings.guards, &settings.evaluation, STEP, span);
    let shares: Shares = share.map(|share| ("shop", share)).into_iter().collect();
    let each = stretches.iter().flat_map(|(ticks, percent)| std::iter::repeat_n(*percent, *ticks));
    for (tick, percent) in each.enumerate() {
        let memory = Reading { window: Ok(Evidence::Value(1.0)), confirm: None, baseline: None, burn: Vec::new() };
        let of_shop: BTreeMap<Name, Reading> = [("error_rate", reading(percent)), ("memory", memory)].into();
        let readings: Readings = [("shop", of_shop)].into();
        run.tick(at(tick), readings, &shares);
    }
    run.finish("a", typed.iter().map(|&text| text.to_owned()).collect())
}

fn only(replay: &Replay) -> &GuardReport {
    &replay.guards[0]
}

#[test]
fn a_breach_that_holds_is_a_rollback_with_its_times() {
    // Bad from 03:10:00 to 03:19:50, in breach for ten minutes.
    let replay = night(&[], &[(60, Some(0.1)), (60, Some(5.0)), (60, Some(0.1))], 0, Some(25));
    let guard = only(&replay);
    assert_eq!(guard.trips.len(), 1);
    let trip = &guard.trips[0];
    assert_eq!(trip.kind, TripKind::Rollback);
    assert_eq!(trip.first_breach.to_string(), "2026-01-02T03:10:00Z");
    assert_eq!(trip.time.to_string(), "2026-01-02T03:15:00Z");
    assert_eq!(trip.time_to_trip_seconds, 300.0);
    assert_eq!((trip.from_percentage, trip.to_percentage), (Some(25), Some(0)));
    assert_eq!(trip.lasted_seconds, Some(600.0), "until it was clear again");
    // It closes once it has been clear for its `for`.
    assert_eq!(trip.closed.map(|at| at.to_string()).as_deref(), Some("2026-01-02T03:25:00Z"));
    assert_eq!(trip.summary, "shop: error rate 5 % (limit 1 %) for 5m0s, rolling back 25 % -> 0 %");
    let pages: Vec<_> = trip.pages.iter().map(|page| (page.event.as_str(), page.severity.as_str())).collect();
    let expected =
        [("rollback.started", "critical"), ("rollback.succeeded", "critical"), ("page.resolved", "critical")];
    assert_eq!(pages, expected, "as urgent as for real");
    assert_eq!(guard.breach_seconds, 600.0);
    let error_rate = &guard.triggers[0];
    assert_eq!(error_rate.time.clear_seconds, 1200.0);
    assert_eq!(error_rate.worst, Some(0.05));
    assert_eq!(error_rate.near_misses, []);
    assert_eq!(replay.ticks, 180);
    assert_eq!(text::sentence(guard), "shop: 1 rollback, 10 m in breach");
}

#[test]
fn each_trouble_of_a_week_is_told() {
    let trouble = [(60, Some(0.1)), (40, Some(5.0)), (60, Some(0.1))];
    let replay = night(&[], &[trouble, trouble, trouble].concat(), 0, Some(25));
    assert_eq!(only(&replay).of(TripKind::Rollback).count(), 3, "a dry run does not latch");
}

/// A file has nothing before its first sample: that what is seen from there on was not seen before is no news.
#[test]
fn what_was_not_seen_before_the_beginning_is_not_told() {
    let events = |replay: &Replay| replay.watchdog.iter().map(|page| page.event).collect::<Vec<_>>();
    let replay = night(&[], &[(60, None), (60, Some(0.1))], 60, Some(25));
    assert_eq!(events(&replay), []);
    let replay = night(&[], &[(60, Some(0.1)), (60, None), (60, Some(0.1))], 10, Some(25));
    assert_eq!(events(&replay), [Event::WatchdogBlind, Event::WatchdogSees]);
}

#[test]
fn why_it_did_not_fire() {
    // Four minutes in breach, and a burst that is not half of `for`.
    let replay =
        night(&[], &[(60, Some(0.1)), (25, Some(5.0)), (60, Some(0.1)), (6, Some(5.0)), (60, Some(0.1))], 0, None);
    let guard = only(&replay);
    assert!(guard.trips.is_empty());
    let [near] = guard.triggers[0].near_misses.as_slice() else { panic!("{:?}", guard.triggers[0].near_misses) };
    assert_eq!((near.held_seconds, near.for_seconds), (240.0, 300.0));
    assert_eq!(near.to.map(|at| at.to_string()).as_deref(), Some("2026-01-02T03:14:10Z"));
    assert_eq!(near.worst_text, "5 %");
    assert!(near.why_not[0].starts_with("at 2026-01-02 03:14:10 it was clear: 0.1 %"), "{:?}", near.why_not);

    // Three minutes, then nothing is known for four, then clear.
    let replay = night(&[], &[(60, Some(0.1)), (19, Some(5.0)), (24, None), (60, Some(0.1))], 0, None);
    let near = &only(&replay).triggers[0].near_misses[0];
    assert_eq!((near.held_seconds, near.unknown_seconds), (180.0, 240.0));
    assert!(near.why_not[1].starts_with("for 4 m the clock stood still: the query failed: <b>no</b>"), "{near:?}");
    assert_eq!(only(&replay).mostly_unknown.as_deref(), Some("query failed"));

    // It holds for long enough only while it is not in breach.
    let replay = night(&[], &[(60, Some(0.1)), (25, Some(5.0)), (12, Some(0.7)), (60, Some(0.1))], 0, None);
    let guard = only(&replay);
    assert!(guard.trips.is_empty());
    let near = &guard.triggers[0].near_misses[0];
    assert!(near.why_not[0].contains("and then: at this tick it is not breaching"), "{near:?}");
    assert_eq!(guard.triggers[0].withheld[0].reason, "not_breaching");

    // The history ends.
    let replay = night(&[], &[(60, Some(0.1)), (25, Some(5.0))], 0, None);
    let near = &only(&replay).triggers[0].near_misses[0];
    assert_eq!((near.to, near.why_not.as_slice()), (None, &["the history ends 1m0s before it".to_owned()][..]));
}

#[test]
fn what_was_before_runs_the_clocks_and_is_not_told() {
    // In breach since before the beginning: it fires when the daemon would have fired.
    let stretches = [(10, Some(0.1)), (40, Some(5.0)), (60, Some(0.1))];
    let replay = night(&[], &stretches, 30, Some(25));
    let guard = only(&replay);
    assert_eq!(guard.trips[0].time_to_trip_seconds, 300.0);
    assert!(!guard.trips[0].before_from);
    assert_eq!((guard.breach_seconds, replay.ticks), (200.0, 80));
    // It fired before the beginning, and is not over.
    let open = night(&[], &stretches, 45, Some(25));
    assert!(only(&open).trips[0].before_from);
    // It was over before.
    let over = night(&[], &stretches, 105, Some(25));
    assert!(only(&over).trips.is_empty());
}

#[test]
fn with_nothing_to_move_it_pages() {
    let replay = night(&[], &[(60, Some(0.1)), (40, Some(5.0)), (60, Some(0.1))], 0, Some(0));
    let trip = &only(&replay).trips[0];
    assert_eq!((trip.kind, text::deed(trip).as_str()), (TripKind::AtTarget, "page: nothing to roll back"));
}

#[test]
fn a_trigger_that_only_pages_is_a_page() {
    let replay = night(&["guards.shop.triggers.memory.above=0.5"], &[(60, Some(0.1))], 0, None);
    let trip = &only(&replay).trips[0];
    assert_eq!((trip.kind, trip.from_percentage, trip.time_to_trip_seconds), (TripKind::Page, None, 60.0));
    assert_eq!(trip.pages[0].severity.as_str(), "warning");
    assert_eq!(only(&replay).breach_seconds, 0.0, "the guard's own time is that of what rolls back");
}

fn two() -> Report {
    // Four minutes of trouble, then eight.
    let stretches = [(60, Some(0.1)), (25, Some(5.0)), (90, Some(0.1)), (49, Some(5.0)), (6, None), (90, Some(0.1))];
    let a = night(&[], &stretches, 0, Some(25));
    let b = Replay { name: "b", ..night(&["guards.shop.triggers.error_rate.for=2m"], &stretches, 0, Some(25)) };
    let comparison = Some(compare(&a, &b));
    let to = beginning() + STEP * 319;
    Report { version: VERSION, source: "night".to_owned(), from: beginning(), to, replays: vec![a, b], comparison }
}

#[test]
fn two_settings_side_by_side() {
    let report = two();
    let guard = &report.comparison.as_ref().expect("two").guards[0];
    let (a, b) = (guard.a.expect("a"), guard.b.expect("b"));
    assert_eq!((a.rollbacks, b.rollbacks, a.near_misses, b.near_misses), (1, 2, 1, 0));
    assert_eq!((a.mean_time_to_trip_seconds, b.mean_time_to_trip_seconds), (Some(300.0), Some(120.0)));
    assert_eq!((a.breach_seconds, b.breach_seconds, a.unknown_seconds), (740.0, 740.0, 60.0));
    assert_eq!((guard.both.len(), guard.only_a.len(), guard.only_b.len()), (1, 0, 1));
    assert_eq!(guard.both[0].b_later_seconds, -180.0);
    assert_eq!(
        text::differences(guard),
        [
            "B trips 3 m earlier: A at 2026-01-02 03:34:10, B at 2026-01-02 03:31:10",
            "only B: 2026-01-02 03:12:00  shop: error rate 5 % (limit 1 %) for 2m0s, rolling back 25 % -> 0 %",
        ]
    );
}

#[test]
fn the_text_is_short_and_fits_a_terminal() {
    let written = text::write(&two());
    assert!(written.contains("A: as configured\n"), "{written}");
    assert!(written.contains("B: guards.shop.triggers.error_rate.for=2m\n"), "{written}");
    assert!(
        written.contains("shop: 1 rollback, 1 near miss, 12 m 20 s in breach, 1 m unknown (mostly query failed)"),
        "{written}"
    );
    assert!(written.contains("  2026-01-02 03:34:10  roll back 25 % -> 0 %\n"), "{written}");
    assert!(written.lines().all(|line| line.chars().count() <= 110), "{written}");
}

#[test]
fn the_json_has_a_version_and_the_facts() {
    let json: Value = serde_json::to_value(two()).expect("JSON");
    assert_eq!(json["version"], "1");
    assert_eq!(json["replays"][0]["guards"][0]["trips"][0]["kind"], "rollback");
    assert_eq!(json["replays"][0]["guards"][0]["trips"][0]["triggers"][0]["name"], "error_rate");
    assert_eq!(json["replays"][0]["guards"][0]["triggers"][0]["near_misses"][0]["held_seconds"], 240.0);
    assert_eq!(json["comparison"]["guards"][0]["only_b"][0]["time"], "2026-01-02T03:12:00Z");
    assert!(json["replays"][0]["guards"][0]["triggers"][0].get("curve").is_none(), "charts are no facts");
}

#[test]
fn a_page_refers_to_nothing_outside_and_everything_in_it_is_text() {
    let mut report = two();
    "<script>alert(1)</script>\"'&".clone_into(&mut report.source);
    "</svg><img src=x onerror=alert(1)>".clone_into(&mut report.replays[0].guards[0].guard);
    "shop: <b onclick='x'>\u{202e}".clone_into(&mut report.replays[0].guards[0].trips[0].summary);
    let page = html::write(&report);
    // Only elements of ours, and none of them can fetch or run anything.
    const OURS: [&str; 40] = [
        "!DOCTYPE",
        "a",
        "body",
        "br",
        "b",
        "circle",
        "defs",
        "desc",
        "details",
        "div",
        "figcaption",
        "figure",
        "g",
        "h1",
        "h2",
        "h3",
        "h4",
        "head",
        "html",
        "li",
        "main",
        "meta",
        "p",
        "path",
        "pattern",
        "rect",
        "span",
        "style",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "ul",
    ];
    for tag in page.split('<').skip(1) {
        let name =
            tag.trim_start_matches('/').split(|c: char| !c.is_alphanumeric() && c != '!').next().unwrap_or_default();
        assert!(OURS.contains(&name) && !name.is_empty(), "<{tag}");
        // What stands between quotes is text, which may say anything.
        let attributes: String = tag.split('>').next().unwrap_or_default().split('"').step_by(2).collect();
        assert!(!attributes.contains(" src") && !attributes.contains(" on"), "<{tag}");
    }
    for outside in ["http://", "https://", "@import", "\u{202e}"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
    assert!(page.contains("&lt;b&gt;no&lt;/b&gt; route"), "a reason is text too");
    assert!(page.contains("Content-Security-Policy") && page.contains("default-src &#39;none&#39;"));
    // Every place that is pointed at is there, once.
    let targets = page.split("href=\"#").skip(1).filter_map(|rest| rest.split_once('"')).map(|(id, _)| id);
    let mut pointed_at = 0;
    for id in targets {
        pointed_at += 1;
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
    assert_eq!(pointed_at, 8, "one from the table and one from a chart for each trip and near miss");
    assert!(page.contains("class=\"breach\"") && page.contains("class=\"unknown\""));
}
