//! The engine against the same rules written a second time, over random histories.
//!
//! - `rules`: verdict, clock and firing from the design's text alone, worked out from the whole history at each tick
//! - `histories`: random triggers, and random readings, shares, gaps, repetitions and delays for them
//! - `coverage`: what must occur in them, and how often

mod coverage;
mod histories;
mod rules;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRunner};
use proptest::{prop_assert, prop_assert_eq};

use super::super::*;
use super::scenario::{guard, lasting, settings};
use coverage::Coverage;
use histories::{Sight, Step};
use rules::{Past, Says, Why};

/// Histories that are compared unless `RIPCORD_ORACLE_CASES` says otherwise: about twenty seconds of one core without optimisation. A
/// hundred thousand take some two minutes.
const CASES: u32 = 15_000;

/// Histories that it takes to say how often something occurs.
const JUDGED: u32 = 2000;

/// When the histories begin: 2026-01-02T00:00:00Z.
const START: i64 = 1_767_312_000_000;

/// How old a tick of now may be, in milliseconds, as `scenario::settings` has it.
const LIVE_FOR: i64 = 30_000;

type Told = Result<(), TestCaseError>;

#[test]
fn the_engine_agrees_with_the_oracle() {
    let cases = std::env::var("RIPCORD_ORACLE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    // The quickest generator: the usual one takes most of the time of an unoptimised build.
    let config =
        Config { cases, failure_persistence: None, rng_algorithm: RngAlgorithm::XorShift, ..Config::default() };
    let coverage = RefCell::new(Coverage::default());
    let compared = TestRunner::new(config).run(&histories::cases(), |(trigger, history)| {
        let mut pair = Pair::new(trigger, history.start);
        for step in &history.steps {
            pair.go(step)?;
        }
        coverage.borrow_mut().add(pair.occurred);
        Ok(())
    });
    if let Err(error) = compared {
        panic!("{error}");
    }
    let (table, rare) = coverage.into_inner().judge();
    println!("{cases} histories:\n{table}");
    assert!(rare.is_empty() || cases < JUDGED, "too rare to say that it was compared: {rare:#?}\n{table}");
}

/// The engine and the history that it was given. Times are in milliseconds.
struct Pair {
    engine: Engine,
    /// The trigger, the same that takes few requests literally, and the same without a confirm window.
    variants: [TriggerSettings; 3],
    hold_for: i64,
    clear_for: i64,
    history: Vec<Past>,
    held: Option<i64>,
    /// The youngest tick so far, and the present.
    at: i64,
    now: i64,
    share: Option<u8>,
    fired: bool,
    /// The reason that was last told for not acting, since there last was nothing to act on.
    told: Option<Why>,
    occurred: BTreeSet<&'static str>,
}

impl Pair {
    fn new(trigger: TriggerSettings, start: i64) -> Self {
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap();
        Self {
            engine: Engine::new(settings(vec![guard("terminal", vec![trigger.clone()])])),
            hold_for: milliseconds(trigger.hold_for),
            clear_for: milliseconds(trigger.clear_for),
            variants: [
                trigger.clone(),
                TriggerSettings { literal: true, ..trigger.clone() },
                TriggerSettings { confirm_window: None, ..trigger },
            ],
            history: Vec::new(),
            held: None,
            at: start,
            now: start,
            share: None,
            fired: false,
            told: None,
            occurred: BTreeSet::new(),
        }
    }

    fn occurs(&mut self, what: &'static str, does: bool) {
        if does {
            self.occurred.insert(what);
        }
    }

    /// One tick to both, and whether they agree.
    fn go(&mut self, step: &Step) -> Told {
        let at = self.at + step.gap;
        self.occurs("a tick comes again", step.gap == 0 && !self.history.is_empty());
        self.occurs("a tick comes out of order", step.gap < 0);
        self.at = self.at.max(at);
        self.now = self.now.max(at + step.lag);
        // A guard that is missing in a tick of now was not seen; in one of the past it is not spoken of.
        let news = rules::is_news(&self.history, at, step.live) && (step.live || step.seen.is_some());
        let mut comes = None;
        if news {
            let before = self.held;
            let last = self.expect(step, at);
            self.held = rules::held(&self.history, self.clear_for);
            comes = rules::fires(last, self.held, self.hold_for, self.now - at > LIVE_FOR, self.fired);
            self.note(before, comes);
        }

        let tick = tick(&self.variants[0], step, time(at));
        let actions = self.engine.handle(Input::Tick(tick), time(self.now));
        let changes = actions.iter().filter(|a| matches!(a, Action::Change(_))).count();
        let why: Vec<Why> = actions.iter().filter_map(withheld).collect();
        prop_assert_eq!(changes, usize::from(comes == Some(Ok(()))), "fires at {}", time(at));
        let status = &self.engine.status()[0].triggers[0];
        if let Some(last) = self.history.last().filter(|_| news) {
            prop_assert_eq!(status.verdict, last.says.word(), "at {}: {}", time(at), &status.reason());
        }
        let held = Duration::from_millis(self.held.unwrap_or_default().unsigned_abs());
        prop_assert_eq!(Duration::from_secs_f64(status.held_seconds), held, "held at {}", time(at));
        self.agree_on_why(news, comes, &why)?;
        self.fired |= changes > 0;
        Ok(())
    }

    /// Works out what a tick that is news says.
    fn expect(&mut self, step: &Step, at: i64) -> Past {
        let (old_share, live) = (self.share, step.live);
        let share = if step.seen.is_some() { step.share } else { None };
        // The past of the share is not known: it stays what it was.
        self.share = if live { share } else { share.or(old_share) };
        let says = match &step.seen {
            Some(Sight::Reading(reading)) => rules::verdict(&self.variants[0], reading, self.share),
            Some(Sight::NoReading) | None => Says::Unknown,
        };
        self.occurs("the guard is not in the tick", step.seen.is_none());
        self.occurs("its trigger is not in the tick", matches!(step.seen, Some(Sight::NoReading)));
        let younger = self.history.iter().any(|tick| tick.at > at);
        self.occurs("a tick of the past fills what nobody saw", younger);
        if let Some(Sight::Reading(reading)) = &step.seen {
            let running = self.held.is_some_and(|held| held > 0);
            let changed = rules::levels(&self.variants[0], old_share) != rules::levels(&self.variants[0], self.share);
            self.occurs("the levels change while held", running && changed && says != Says::Unknown);
            let otherwise = rules::verdict(&self.variants[0], reading, old_share);
            self.occurs("the levels change the verdict while held", running && otherwise != says);
            self.note_windows(reading, says);
        }
        let last = Past { at, says, live };
        self.history.push(last);
        last
    }

    /// What the windows had to do with the verdict.
    fn note_windows(&mut self, reading: &Reading, says: Says) {
        let [trigger, literal, alone] = &self.variants;
        let (threshold, _) = rules::levels(trigger, self.share);
        let sees = |t: &TriggerSettings| rules::window(t, &reading.window, reading.baseline.as_ref(), threshold, false);
        let says_of = |t: &TriggerSettings| rules::verdict(t, reading, self.share);
        let (if_literal, if_alone) = (says_of(literal), says_of(alone));
        let few = sees(trigger).is_some_and(|window| !window.enough);
        let too_few = sees(trigger).is_none() && sees(literal).is_some();
        let hidden = few && says != Says::Breach && if_literal == Says::Breach;
        self.occurs("little traffic breaches", few && says == Says::Breach);
        self.occurs("little traffic hides a ratio beyond the threshold", hidden);
        self.occurs("too few requests for a quantile", too_few);
        self.occurs("the confirm window clears", says == Says::Clear && if_alone != Says::Clear);
        self.occurs("the confirm window keeps from breaching", says == Says::Band && if_alone == Says::Breach);
    }

    /// What the last tick did to the clock, and what came of it.
    fn note(&mut self, before: Option<i64>, comes: Option<Result<(), Why>>) {
        let (last, held) = (self.history[self.history.len() - 1], self.held);
        let running = before.is_some_and(|held| held > 0);
        let advanced = before.is_some() && held > before;
        let gap = advanced && self.history.iter().all(|tick| tick.at == last.at || last.at - tick.at > 20_000);
        self.occurs(last.says.word(), true);
        self.occurs("unknown freezes a running clock", running && last.says == Says::Unknown);
        self.occurs("band advances a running clock", running && advanced && last.says == Says::Band);
        self.occurs("clear too short to reset", running && last.says == Says::Clear && held == before);
        self.occurs("clear resets", running && held.is_none());
        self.occurs("a gap is capped at two intervals", gap);
        self.occurs("a tick of the past advances the clock", advanced && !last.live);
        match comes {
            None => {}
            Some(Ok(())) => self.note_firing(),
            Some(Err(Why::Unknown)) => self.occurs("held back: unknown", true),
            Some(Err(Why::NotBreaching)) => self.occurs("held back: not breaching", true),
            Some(Err(Why::History)) => self.occurs("held back: of the past", true),
            Some(Err(Why::Late)) => self.occurs("held back: late", true),
            Some(Err(Why::Acting)) => self.occurs("held back: acting already", true),
        }
    }

    /// What lay between the beginning of the hold and the tick that fired.
    fn note_firing(&mut self) {
        let waited = self.hold_for > 0;
        self.occurs("fires", true);
        self.occurs("fires after a hold", waited);
        self.occurs("fires at the very end of its hold", waited && self.held == Some(self.hold_for));
        let nothing = |count: &usize| rules::held(&self.history[..*count], self.clear_for).is_none();
        let began = (0..self.history.len()).rev().find(nothing).unwrap_or_default();
        let within = self.history[began..].to_vec();
        let any = |says| waited && within.iter().any(|tick| tick.says == says);
        self.occurs("fires after unknown in its hold", any(Says::Unknown));
        self.occurs("fires after band in its hold", any(Says::Band));
        self.occurs("fires after clear in its hold", any(Says::Clear));
        self.occurs("fires after ticks of the past in its hold", waited && within.iter().any(|tick| !tick.live));
    }

    /// Not acting is told with its reason, once until that changes.
    fn agree_on_why(&mut self, news: bool, comes: Option<Result<(), Why>>, why: &[Why]) -> Told {
        prop_assert!(why.len() <= 1, "several reasons: {:?}", why);
        let why = why.first().copied();
        if let Some(Err(expected)) = comes {
            prop_assert!(why.is_none() || self.told != why, "told twice: {:?}", why);
            self.told = why.or(self.told);
            prop_assert_eq!(self.told, Some(expected), "why not");
        } else {
            prop_assert_eq!(why, None, "a reason not to act on nothing");
            if news {
                self.told = None;
            }
        }
        Ok(())
    }
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(START + milliseconds).unwrap()
}

fn withheld(action: &Action) -> Option<Why> {
    let Action::Record(Record::Withheld { reason, .. }) = action else { return None };
    Some(match reason {
        Withheld::Unknown(_) => Why::Unknown,
        Withheld::NotBreaching => Why::NotBreaching,
        Withheld::History => Why::History,
        Withheld::Late(_) => Why::Late,
        Withheld::RollingBack => Why::Acting,
        Withheld::Paused | Withheld::Latched | Withheld::AtTarget => panic!("nobody asked for {reason:?}"),
    })
}

fn tick(trigger: &TriggerSettings, step: &Step, at: Timestamp) -> Tick {
    let observation = step.seen.as_ref().map(|seen| Observation {
        share: step.share.ok_or(Unknown::NotObserved),
        readings: match seen {
            Sight::Reading(reading) => [(lasting(&trigger.name), reading.clone())].into(),
            Sight::NoReading => [].into(),
        },
        drift: Vec::new(),
    });
    let kind = if step.live { TickKind::Live } else { TickKind::History };
    Tick { at, kind, guards: observation.map(|seen| ("terminal", seen)).into_iter().collect() }
}
