//! What is counted of one trigger, tick by tick.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{TriggerSettings, TriggerView, Unknown, Verdict, Withheld};

use super::curve::{Band, Curve, Excerpt, Point};
use super::episode::{Episode, worse};
use super::report::{NearMiss, Time, TriggerReport, UnknownTime, WithheldOnce};

/// Ticks that an excerpt shows before and after its breach.
const MARGIN: usize = 40;

/// Ticks of a breach that an excerpt shows at most: a breach of days is seen as well in the whole curve.
const LONGEST_EXCERPT: usize = 5000;

/// Excerpts that are kept of one trigger: those that fired, then those that came closest. More would make the file large, and nobody looks
/// at the fortieth.
const MOST_EXCERPTS: usize = 12;

/// Which part of history is told about, and in what steps.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first instant that is told about. Before it clocks run and nothing is counted.
    pub from: Timestamp,
    /// Seconds from one tick to the next.
    pub step: f64,
    /// Ticks that are told about.
    pub ticks: usize,
}

/// One trigger.
#[derive(Debug)]
pub struct Tally {
    settings: TriggerSettings,
    span: Span,
    seconds: [f64; 4],
    unknown: BTreeMap<&'static str, (f64, String)>,
    worst: Option<(f64, Timestamp)>,
    longest: Duration,
    /// What the engine said when the verdict last changed.
    reason: String,
    episode: Option<Episode>,
    near_misses: Vec<NearMiss>,
    withheld: Vec<WithheldOnce>,
    curve: Curve,
    recent: VecDeque<Point>,
    open: Vec<Point>,
    /// The excerpt whose breach is over, while what came after it is still being added.
    closing: Option<(Excerpt, Vec<Point>)>,
    /// Ticks that were added to it.
    after: usize,
    excerpts: Vec<Excerpt>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(settings: TriggerSettings, span: Span) -> Self {
        Self {
            settings,
            span,
            seconds: [0.0; 4],
            unknown: BTreeMap::new(),
            worst: None,
            longest: Duration::ZERO,
            reason: String::new(),
            episode: None,
            near_misses: Vec::new(),
            withheld: Vec::new(),
            curve: Curve::new(span.ticks, span.step),
            recent: VecDeque::new(),
            open: Vec::new(),
            closing: None,
            after: 0,
            excerpts: Vec::new(),
        }
    }

    /// The trigger's settings.
    pub fn settings(&self) -> &TriggerSettings {
        &self.settings
    }

    /// The engine said why the verdict is another one.
    pub fn explain(&mut self, reason: String) {
        self.reason = reason;
    }

    /// What the trigger is after a tick. Returns since when it is clear, where that ends a breach.
    pub fn tick(&mut self, view: &TriggerView<'_>, at: Timestamp) -> Option<Timestamp> {
        let counts = at >= self.span.from;
        if counts {
            self.count(view, at);
        }
        let point = Point::of(view, at);
        let mut cleared = None;
        match (&mut self.episode, view.held) {
            (None, None) => {}
            (None, Some(_)) => {
                let mut episode = Episode::begin(at);
                episode.tick(view, at, self.span.step, &self.reason);
                self.episode = Some(episode);
                self.open = self.recent.iter().copied().collect();
            }
            (Some(episode), Some(_)) => episode.tick(view, at, self.span.step, &self.reason),
            (Some(episode), None) => {
                cleared = Some(episode.cleared(at, &self.reason));
                self.end(true, at);
            }
        }
        self.remember(point);
        if counts {
            self.curve.add(point);
        }
        cleared
    }

    fn count(&mut self, view: &TriggerView<'_>, at: Timestamp) {
        self.seconds[Band::of(view.verdict) as usize] += self.span.step;
        match view.verdict {
            Some(Verdict::Unknown(unknown)) => self.note_unknown(unknown),
            None => self.note_unknown(&Unknown::NotObserved),
            Some(_) => {}
        }
        if let Some(value) = view.value
            && self.worst.is_none_or(|(worst, _)| worse(&self.settings, Some(worst), Some(value)) != Some(worst))
        {
            self.worst = Some((value, at));
        }
        self.longest = self.longest.max(view.held.unwrap_or_default());
    }

    fn note_unknown(&mut self, unknown: &Unknown) {
        self.unknown.entry(unknown.kind()).or_insert_with(|| (0.0, unknown.to_string())).0 += self.span.step;
    }

    /// When the breach began that goes on, and that something is done about it now.
    pub fn fire(&mut self, at: Timestamp) -> Timestamp {
        let Some(episode) = &mut self.episode else { return at };
        episode.fired = true;
        episode.began
    }

    /// It holds for long enough, and nothing is done.
    pub fn withhold(&mut self, why: &Withheld, at: Timestamp) {
        if let Some(episode) = &mut self.episode {
            episode.withhold(why, at);
        }
        if at >= self.span.from {
            self.withheld.push(WithheldOnce { time: at, reason: why.kind(), text: why.to_string() });
        }
    }

    fn remember(&mut self, point: Point) {
        if self.episode.is_some() && self.open.len() < LONGEST_EXCERPT {
            self.open.push(point);
        }
        if let Some((_, points)) = &mut self.closing {
            points.push(point);
            self.after += 1;
            if self.after == MARGIN {
                self.close();
            }
        }
        if self.recent.len() == MARGIN {
            self.recent.pop_front();
        }
        self.recent.push_back(point);
    }

    /// The breach is over, or the history.
    fn end(&mut self, over: bool, at: Timestamp) {
        let Some(episode) = self.episode.take() else { return };
        let points = std::mem::take(&mut self.open);
        let near_miss = episode.near_miss(&self.settings, over);
        if at < self.span.from || (!episode.fired && near_miss.is_none()) {
            return;
        }
        let began = episode.began;
        self.near_misses.extend(near_miss);
        // A curve that shows each tick needs no excerpts.
        if self.curve.is_thinned() {
            self.close();
            let (fired, closeness) = (episode.fired, episode.closeness(&self.settings));
            let excerpt = Excerpt { began, fired, closeness, curve: Curve::new(0, self.span.step) };
            self.closing = Some((excerpt, points));
            self.after = 0;
        }
    }

    /// Keeps the excerpt that is open, where there is room for it.
    fn close(&mut self) {
        let Some((excerpt, points)) = self.closing.take() else { return };
        self.excerpts.push(Excerpt { curve: Curve::of(&points, self.span.step), ..excerpt });
        if self.excerpts.len() > MOST_EXCERPTS {
            self.excerpts.sort_by(|a, b| b.fired.cmp(&a.fired).then(b.closeness.total_cmp(&a.closeness)));
            self.excerpts.truncate(MOST_EXCERPTS);
        }
    }

    /// Everything that was counted.
    pub fn finish(mut self, at: Timestamp) -> TriggerReport {
        self.end(false, at);
        self.close();
        self.excerpts.sort_by_key(|excerpt| excerpt.began);
        let [clear, band, unknown, breach] = self.seconds;
        let mut reasons: Vec<_> = self
            .unknown
            .into_iter()
            .map(|(reason, (seconds, example))| UnknownTime { reason, seconds, example })
            .collect();
        reasons.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        TriggerReport {
            trigger: self.settings.name.clone(),
            action: self.settings.action,
            for_seconds: self.settings.hold_for.as_secs_f64(),
            threshold: self.settings.in_words(self.settings.levels.threshold),
            worst: self.worst.map(|(value, _)| value),
            worst_text: self.worst.map(|(value, _)| self.settings.in_words(value)),
            worst_at: self.worst.map(|(_, at)| at),
            time: Time {
                breach_seconds: breach,
                band_seconds: band,
                clear_seconds: clear,
                unknown_seconds: unknown,
                unknown: reasons,
            },
            longest_hold_seconds: self.longest.as_secs_f64(),
            near_misses: self.near_misses,
            withheld: self.withheld,
            settings: self.settings,
            curve: self.curve,
            excerpts: self.excerpts,
        }
    }
}
