//! A trigger's last hour as a small drawing: the signal, the threshold, and when it was in breach or could not be seen.

use std::fmt::Write as _;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::engine::TriggerStatus;

use super::super::curves::{Band, Curve, CurvePoint, reach};
use super::words;

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 64.0;
const TOP: f64 = 3.0;
/// Room for the times, at the bottom.
const BOTTOM: f64 = 50.0;

/// What it shows, in seconds.
const HOUR: i64 = 3600;

/// Every quarter of an hour has a line.
const QUARTER: i64 = 900;

/// Where it is drawn.
struct Frame {
    from: i64,
    low: f64,
    high: f64,
}

impl Frame {
    #[allow(clippy::cast_precision_loss)]
    fn x(&self, at: i64) -> f64 {
        ((at - self.from) as f64 / HOUR as f64).clamp(0.0, 1.0) * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low).max(1e-12);
        TOP + (BOTTOM - TOP) * (1.0 - part)
    }
}

/// Draws it. `id` is unique in the page.
pub(super) fn draw(id: &str, trigger: &TriggerStatus, curve: Option<&Curve>, now: Timestamp) -> Markup {
    let Some(curve) = curve.filter(|curve| !curve.points.is_empty()) else {
        return html! { p.soft { "Nothing was measured in the last hour." } };
    };
    let settings = trigger.settings();
    let slot = curve.slot_seconds.max(1);
    // The slot that is being filled is the last one.
    let to = (now.as_second().div_euclid(slot) + 1) * slot;
    let points: Vec<&CurvePoint> = curve.points.iter().filter(|p| p.at >= to - HOUR).collect();
    let values = points.iter().filter_map(|p| p.value);
    let levels = points.iter().map(|p| p.threshold).chain(std::iter::once(trigger.threshold));
    let (low, high) = reach(settings.side, settings.measure, values.clone(), levels);
    let frame = Frame { from: to - HOUR, low, high };
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), v| (l.min(v), m.max(v)));
    let range = (least <= most).then(|| (settings.in_words(least), settings.in_words(most)));
    let last = trigger.value.map_or_else(|| "not known".to_owned(), |value| settings.in_words(value));
    let shaded = |band: Band| runs(&points, slot, band);
    let (title, description) = in_words(trigger, range.as_ref(), &last, slot, &points);
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby={ (id) "-t " (id) "-d" } {
                title id={ (id) "-t" } { (title) }
                desc id={ (id) "-d" } { (description) }
                @for (from, until) in shaded(Band::Breach) { (shade("breach", &frame, from, until)) }
                @for (from, until) in shaded(Band::Unknown) { (shade("unseen", &frame, from, until)) }
                path.grid d=(grid(&frame, to)) {}
                path.limit d=(limit(&frame, &points, slot, trigger.threshold)) {}
                path.signal d=(signal(&frame, &points, slot)) {}
                text.axis x="0" y=(HEIGHT - 3.0) { "1 h ago" }
                text.axis.middle x=(WIDTH / 2.0) y=(HEIGHT - 3.0) { "30 min" }
                text.axis.end x=(WIDTH) y=(HEIGHT - 3.0) { "now" }
            }
            figcaption {
                @if let Some((least, most)) = &range {
                    "min " b { (words::tied(least)) } " · max " b { (words::tied(most)) } " · last " b { (words::tied(&last)) }
                } @else {
                    "no value was known"
                }
            }
        }
    }
}

/// The same for who does not see it.
fn in_words(
    trigger: &TriggerStatus,
    range: Option<&(String, String)>,
    last: &str,
    slot: i64,
    points: &[&CurvePoint],
) -> (String, String) {
    let title = format!("{}, the last hour", trigger.label());
    let mut text = match range {
        Some((least, most)) => {
            format!("From {least} to {most}, last {last}. The limit is {}.", trigger.threshold_text())
        }
        None => format!("No value was known. The limit is {}.", trigger.threshold_text()),
    };
    for (band, word) in [(Band::Breach, "In breach"), (Band::Unknown, "Not known")] {
        let count = points.iter().filter(|p| p.band == band).count();
        #[allow(clippy::cast_precision_loss)]
        if count > 0 {
            let _ = write!(text, " {word} for about {}.", words::seconds((count as i64 * slot) as f64));
        }
    }
    (title, text)
}

/// When something was said without a break: from, until.
fn runs(points: &[&CurvePoint], slot: i64, band: Band) -> Vec<(i64, i64)> {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for point in points.iter().filter(|p| p.band == band) {
        match runs.last_mut() {
            Some((_, until)) if *until == point.at => *until = point.at + slot,
            _ => runs.push((point.at, point.at + slot)),
        }
    }
    runs
}

fn shade(class: &str, frame: &Frame, from: i64, until: i64) -> Markup {
    let (x, end) = (frame.x(from), frame.x(until));
    html! {
        rect class=(class) x=(rounded(x)) y=(TOP) width=(rounded(end - x)) height=(BOTTOM - TOP) {}
    }
}

fn grid(frame: &Frame, to: i64) -> String {
    let mut path = format!("M0 {BOTTOM}H{WIDTH}");
    for quarter in 1..4 {
        let _ = write!(path, "M{:.1} {TOP}V{BOTTOM}", frame.x(to - quarter * QUARTER));
    }
    path
}

/// The threshold. It moves with the share where there are stages; where nothing was measured it is what it was next.
fn limit(frame: &Frame, points: &[&CurvePoint], slot: i64, threshold: f64) -> String {
    let first = points.first().map_or(threshold, |p| p.threshold);
    let mut path = format!("M0 {:.1}", frame.y(first));
    let mut before = first;
    for point in points {
        if point.threshold.to_bits() != before.to_bits() {
            let _ = write!(path, "H{:.1}V{:.1}", frame.x(point.at), frame.y(point.threshold));
            before = point.threshold;
        }
    }
    if let Some(last) = points.last() {
        let _ = write!(path, "H{:.1}", frame.x(last.at + slot));
    }
    let _ = write!(path, "V{:.1}H{WIDTH}", frame.y(threshold));
    path
}

/// The signal, with a gap where it was not known.
fn signal(frame: &Frame, points: &[&CurvePoint], slot: i64) -> String {
    let mut path = String::new();
    let mut before = None;
    for point in points {
        let Some(value) = point.value else { continue };
        let (x, y) = (frame.x(point.at + slot / 2), frame.y(value));
        let goes_on = before == Some(point.at - slot);
        let _ = write!(path, "{}{x:.1} {y:.1}", if goes_on { 'L' } else { 'M' });
        if !goes_on {
            // One point alone is seen as a dot.
            path.push_str("h.1");
        }
        before = Some(point.at);
    }
    path
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
