//! Both languages say the same: every sentence there is, with the same numbers.

use std::collections::BTreeSet;

use super::*;
use crate::engine::tests::scenario::{error_rate, memory, seconds};
use crate::engine::{BaselineSource, Difference, Differences, Held, Measure, Unit};

fn measured(settings: TriggerSettings, reading: &crate::engine::Reading) -> Measured {
    let assessment = Some(settings.assess(reading, Some(25)));
    Measured { settings: settings.for_words(), assessment, held: seconds(330) }
}

fn reading(window: Result<crate::engine::Evidence, Unknown>, baseline: Option<f64>) -> crate::engine::Reading {
    crate::engine::Reading { confirm: Some(window.clone()), window, baseline: baseline.map(Ok), burn: Vec::new() }
}

/// Each kind of number, and none.
fn all_measured() -> Vec<Measured> {
    use crate::engine::Evidence::{Counts, Quantile, Value};
    let counts = Ok(Counts { failed: 31.0, total: 1000.0 });
    let named = |name: &str, measure| TriggerSettings { name: name.to_owned(), measure, ..error_rate() };
    let value = |unit, measure| TriggerSettings { unit, measure, ..memory() };
    let mut all = vec![
        measured(error_rate(), &reading(counts.clone(), None)),
        measured(
            TriggerSettings {
                levels: crate::engine::Levels { threshold: 0.99, clear: 0.995 },
                side: crate::engine::Side::Below,
                ..named("availability", Measure::Availability)
            },
            &reading(counts.clone(), None),
        ),
        measured(
            TriggerSettings {
                baseline: Some(BaselineSource::Offset(seconds(7 * 86_400))),
                ..named("client_error_rate", Measure::FailureRise)
            },
            &reading(counts.clone(), Some(0.002)),
        ),
        measured(
            TriggerSettings {
                unit: Unit::Seconds,
                baseline: Some(BaselineSource::Control("ingress_nginx {ingress=\"shop\"}".to_owned())),
                ..named("latency", Measure::QuantileDegradation { q: 0.95 })
            },
            &reading(Ok(Quantile { value: 0.195, requests: 10_000.0 }), Some(0.12)),
        ),
        measured(
            TriggerSettings { unit: Unit::Seconds, ..named("slow", Measure::Quantile { q: 0.99 }) },
            &reading(Ok(Quantile { value: 1.95, requests: 10_000.0 }), None),
        ),
        measured(value(Unit::Bytes, Measure::Value), &reading(Ok(Value(137_000.0)), None)),
        measured(
            TriggerSettings {
                baseline: Some(BaselineSource::Fixed),
                levels: crate::engine::Levels { threshold: 0.3, clear: 0.2 },
                name: "throughput".to_owned(),
                ..value(Unit::PerSecond, Measure::ValueDrop)
            },
            &reading(Ok(Value(12.5)), Some(40.0)),
        ),
    ];
    let burn = TriggerSettings {
        burn_rates: vec![crate::engine::BurnRate { above: 14.4, window: seconds(3600), confirm_window: seconds(300) }],
        ..named("budget", Measure::BurnRate { budget: 0.001 })
    };
    let rates =
        crate::engine::Reading { burn: vec![(counts.clone(), counts)], ..reading(Err(Unknown::NotObserved), None) };
    all.push(measured(burn, &rates));
    all.push(Measured { assessment: None, ..all[0].clone() });
    all
}

/// Every reason.
fn unknowns() -> Vec<Unknown> {
    let all = vec![
        Unknown::NoSeries,
        Unknown::NoTraffic,
        Unknown::TooFewRequests { requests: 3.0, needed: 200.0 },
        Unknown::NotANumber,
        Unknown::SeveralSeries(7),
        Unknown::QueryFailed("503".to_owned()),
        Unknown::TimedOut(seconds(5)),
        Unknown::Warning("PW1".to_owned()),
        Unknown::Stale(seconds(360)),
        Unknown::Baseline(Box::new(Unknown::NotANumber)),
        Unknown::Baseline(Box::new(Unknown::NotRecorded)),
        Unknown::NotRecorded,
        Unknown::RecordedOfOther,
        Unknown::NotObserved,
        Unknown::Cluster("E1".to_owned()),
        Unknown::TooEarly,
    ];
    let kinds: BTreeSet<_> = all.iter().map(Unknown::kind).collect();
    assert_eq!(kinds.len(), 14, "{kinds:?}");
    all
}

/// Every sentence.
fn all_said() -> Vec<Said> {
    let way = Movement { from: Some(25), to: 10 };
    let dark = Movement { from: None, to: 10 };
    let within = seconds(600);
    let one = all_measured()[0].clone();
    let unseen = |guard: &str, unknown| Unseen { guard: guard.to_owned(), settings: error_rate(), unknown };
    let blind: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(|guard| unseen(guard, Unknown::NoSeries)).into();
    let drift = |who: Option<&str>| Drift {
        step: "deployment_env ns/x".to_owned(),
        what: Differences(vec![
            Difference::Is { field: "X".to_owned(), is: Held::of(Some("25")), not: "10".to_owned() },
            Difference::Deleted("Deployment ns/x".to_owned()),
        ]),
        who: who.map(str::to_owned),
    };
    let problem = |n: u8| Problem { step: format!("config_map ns/x{n}"), error: format!("E{n}") };
    let until = "2026-01-02T03:04:05Z".parse().unwrap();
    let old = |guard: &str| TooOld {
        guard: guard.to_owned(),
        settings: TriggerSettings { measure: Measure::Quantile { q: 0.95 }, ..error_rate() },
        age: seconds(41 * 86_400 + 3 * 3600),
        max_age: seconds(30 * 86_400),
    };
    let mut all = vec![
        Said::RollbackStarted { cause: Cause::ByHand("E1".to_owned()), way: dark },
        Said::RollbackStarted { cause: Cause::Triggers(vec![one.clone(), one.clone()]), way },
        Said::WouldHaveRolledBack { way },
        Said::RolledBack { way, took: seconds(72) },
        Said::FoundThere { to: 10 },
        Said::WasThere { to: 10 },
        Said::RollbackFails { way, accepted: true, error: "E1".to_owned() },
        Said::RollbackFails { way: dark, accepted: false, error: "E2".to_owned() },
        Said::RollbackAbandoned { way },
        Said::Helped { at: 10 },
        Said::ClearThoughUndone { at: 0, share: Some(40) },
        Said::ClearThoughUndone { at: 0, share: None },
        Said::CannotSee { at: 10, within, unseen: Vec::new() },
        Said::CannotSee { at: 10, within, unseen: vec![unseen("a", Unknown::NoTraffic)] },
        Said::DidNotHelp { at: 10, within, bad: vec![one.clone()], next: Some(5) },
        Said::DidNotHelp { at: 10, within, bad: vec![one.clone()], next: None },
        Said::Undone { to: 10, share: Some(25), drift: vec![drift(Some("kubectl")), drift(None)] },
        Said::FiringWhileLatched(vec![one.clone()]),
        Said::FiringAtTarget { firing: vec![one.clone()], share: Some(10) },
        Said::FiringAtTarget { firing: vec![one.clone()], share: None },
        Said::Clear(one.clone()),
        Said::ClearWhileLatched,
        Said::ClearUnchanged,
        Said::Superseded { by: "E1".to_owned() },
        Said::DryRunOver,
        Said::TriggerGone(Gone::Changed(Box::new(error_rate()))),
        Said::TriggerGone(Gone::Removed("proxy_memory".to_owned())),
        Said::GuardGone { verifying: true },
        Said::GuardGone { verifying: false },
        Said::Blind { quiet: true, after: seconds(120), unseen: vec![unseen("a", Unknown::NoTraffic)] },
        Said::Blind { quiet: false, after: seconds(125), unseen: blind },
        Said::Sees,
        Said::NotReady { problems: (1..=6).map(problem).collect() },
        Said::Ready,
        Said::NotTried,
        Said::BaselinesTooOld(vec![old("a"), old("b")]),
        Said::BaselinesFresh,
        Said::Rearmed,
        Said::Paused { until, halts: false },
        Said::Paused { until, halts: true },
        Said::Acknowledged { gives_up: true },
        Said::Acknowledged { gives_up: false },
    ];
    all.extend(all_measured().into_iter().map(Said::Firing));
    let unseen = unknowns().into_iter().map(|unknown| unseen("a", unknown)).collect();
    all.push(Said::CannotSee { at: 10, within, unseen });
    all
}

/// The numbers of a text, in order of their size. Times count as seconds, so that `5m30s` and `5 分 30 秒` are the same one.
fn numbers(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let units = [("天", 86_400), ("小时", 3600), ("分钟", 60), ("分", 60), ("秒", 1)];
    let short = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let chars: Vec<char> = text.chars().collect();
    let rest = |at: usize| chars[at.min(chars.len())..].iter().collect::<String>();
    let (mut at, mut time) = (0, None);
    while at < chars.len() {
        if !chars[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while at < chars.len()
            && (chars[at].is_ascii_digit() || (chars[at] == '.' && chars.get(at + 1).is_some_and(char::is_ascii_digit)))
        {
            at += 1;
        }
        let number: String = chars[start..at].iter().collect();
        let after = rest(at);
        let spaced = after.strip_prefix(' ').unwrap_or(&after).to_owned();
        let unit =
            units.iter().find(|(name, _)| spaced.starts_with(name)).map(|(name, size)| (spaced.clone(), *name, *size));
        let unit = unit.or_else(|| {
            let (name, size) = short.iter().find(|(name, _)| after.starts_with(name))?;
            let end = after.chars().nth(1).is_none_or(|c| !c.is_alphabetic());
            end.then(|| (after.clone(), *name, *size))
        });
        match (unit, number.parse::<u64>()) {
            (Some((_, name, size)), Ok(number)) => {
                time = Some(time.unwrap_or(0) + number * size);
                at += usize::from(after.starts_with(' ')) + name.chars().count();
                let goes_on = rest(at).trim_start().starts_with(|c: char| c.is_ascii_digit());
                if !goes_on {
                    found.extend(time.take().map(|seconds| format!("{seconds} s")));
                }
            }
            _ => found.push(number),
        }
    }
    found.sort();
    found
}

#[test]
fn numbers_are_found_in_both_languages() {
    assert_eq!(numbers("error rate 3.1 % (limit 1 %) for 5m30s, P95"), ["1", "3.1", "330 s", "95"]);
    assert_eq!(numbers("错误率 3.1 %（阈值 1 %），已持续 5 分 30 秒，P95"), ["1", "3.1", "330 s", "95"]);
    assert_eq!(numbers("41d3h old, 5m0s, 7/s"), numbers("已有 41 天 3 小时，5 分钟，7/s"));
}

/// Words of English that may stand in a Chinese text: names, what one types, and what others said.
const MAY_STAND: &[&str] = &[
    "Ripcord",
    "ripcord",
    "rearm",
    "resume",
    "ack",
    "rollback",
    "component",
    "reason",
    "terminal",
    "baseline",
    "record",
    "preflight",
    "kubectl",
    "GitOps",
    "operator",
    "Pod",
    "Prometheus",
    "dry",
    "run",
    "max",
    "deployment",
    "env",
    "config",
    "map",
    "ns",
    "memory",
    "proxy",
    "slow",
    "budget",
    "ingress",
    "nginx",
    "shop",
    "Deployment",
    "ms",
    "s",
    "Ki",
    "B",
    "X",
    "x",
    "P",
    "E",
    "PW",
    "T",
    "Z",
    "a",
    "b",
    "c",
    "d",
    "e",
];

fn foreign(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.filter(|word| !MAY_STAND.contains(word)).collect()
}

#[test]
fn both_languages_name_the_same_numbers_and_no_english_is_left_in_the_chinese() {
    for said in all_said() {
        let english = said.words("terminal", Language::English);
        let chinese = said.words("terminal", Language::Chinese);
        assert_eq!(numbers(&english.summary), numbers(&chinese.summary), "{}\n{}", english.summary, chinese.summary);
        assert_eq!(numbers(&english.advice), numbers(&chinese.advice), "{}\n{}", english.advice, chinese.advice);
        for text in [&chinese.summary, &chinese.advice] {
            assert!(foreign(text).is_empty(), "{:?} in {text}", foreign(text));
            assert!(!text.contains([',', ';', '(', ')']) || text.contains("max()"), "{text}");
            assert!(!text.contains("  ") && !text.contains("：："), "{text}");
        }
        // What is to be typed is the same in both.
        let typed = |text: &str| text.matches("ripcord ").count();
        assert_eq!(typed(&english.advice), typed(&chinese.advice), "{}\n{}", english.advice, chinese.advice);
    }
}

#[test]
fn the_facts_name_the_same_numbers() {
    let unknown = unknowns().into_iter().map(|unknown| measured(error_rate(), &reading(Err(unknown), None)));
    for measured in all_measured().into_iter().chain(unknown) {
        let Some(assessment) = &measured.assessment else { continue };
        let facts = assessment.facts(&measured.settings, Some(measured.held));
        let words = trigger_words(&measured, &[]).expect("something was measured");
        assert_eq!(numbers(&facts.text), numbers(&words.text), "{}\n{}", facts.text, words.text);
        assert_eq!(numbers(&facts.threshold_text), numbers(&words.threshold_text), "{}", words.threshold_text);
        assert!(foreign(&words.text).is_empty(), "{}", words.text);
        let source = measured.settings.baseline_source(&[]);
        assert_eq!(source.as_deref().map(numbers), words.baseline_source.as_deref().map(numbers), "{source:?}");
    }
}

/// All of it, to be read.
#[test]
fn every_sentence_is_as_it_was_read() {
    let mut text = String::new();
    for said in all_said() {
        for language in Language::ALL {
            let Words { summary, advice } = said.words("terminal", language);
            text.push_str(&format!("{summary}\n    {advice}\n"));
        }
        text.push('\n');
    }
    let expected = include_str!("sentences.txt");
    if text != expected {
        let place = std::env::temp_dir().join("ripcord-sentences.txt");
        std::fs::write(&place, &text).unwrap();
        panic!("the sentences are others now; read {} and put it in the place of sentences.txt", place.display());
    }
}
