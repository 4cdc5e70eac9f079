//! One trigger over time as SVG: the signal with its levels over what was said of it, and the held clock below.
//!
//! Drawn by hand: it is a handful of paths, and colours come from the page's own style sheet. What is said of the signal is told by a
//! pattern and by words as well, not by its colour alone.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::engine::TriggerSettings;
use crate::http;

use super::curve::{Band, Bucket, Curve};
use super::html::escaped;
use super::words;

const WIDTH: f64 = 960.0;
/// Room for the words of the levels, at the left.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 18.0;
const SIGNAL: f64 = 170.0;
const GAP: f64 = 22.0;
const HELD: f64 = 48.0;
/// Room for the times, at the bottom.
const BOTTOM: f64 = 24.0;

/// Places between two times at the bottom, in seconds. The first that leaves room is taken.
const TIME_STEPS: [i64; 13] =
    [60, 300, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000];

/// Times at the bottom, at most.
const MOST_TIMES: i64 = 8;

/// Something to point at.
pub struct Marker {
    /// When.
    pub at: Timestamp,
    /// The element of the page that says more.
    pub target: String,
    /// What it is, in words.
    pub title: String,
    /// Whether it fired. Else it was a near miss.
    pub fired: bool,
}

/// What is drawn.
pub struct Chart<'a> {
    /// Unique in the page.
    pub id: &'a str,
    /// What it shows.
    pub title: String,
    /// The same in a sentence or two, for who does not see it.
    pub description: String,
    /// The trigger.
    pub settings: &'a TriggerSettings,
    /// The signal.
    pub curve: &'a Curve,
    /// What is pointed at.
    pub markers: &'a [Marker],
}

/// The part of the plane that is drawn.
struct Frame {
    from: f64,
    to: f64,
    low: f64,
    high: f64,
}

impl Frame {
    fn x(&self, at: f64) -> f64 {
        LEFT + (at - self.from) / (self.to - self.from).max(1e-9) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low).max(1e-12);
        TOP + SIGNAL * (1.0 - part)
    }
}

/// Draws it.
pub fn draw(chart: &Chart<'_>) -> String {
    let buckets = chart.curve.buckets();
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else { return String::new() };
    let (low, high) = reach(chart.settings, buckets);
    let to = seconds(last.at) + chart.curve.bucket_seconds();
    let frame = Frame { from: seconds(first.at), to, low, high };
    let height = TOP + SIGNAL + GAP + HELD + BOTTOM;
    let id = escaped(chart.id);
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        svg,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"group\" aria-labelledby=\"{id}-t {id}-d\">\
         <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
        escaped(&chart.title),
        escaped(&chart.description)
    );
    bands(&mut svg, chart, &frame);
    times(&mut svg, &frame);
    levels(&mut svg, chart, &frame);
    signal(&mut svg, chart, &frame);
    held(&mut svg, chart, &frame);
    markers(&mut svg, chart, &frame);
    svg.push_str("</svg>");
    svg
}

/// From which value to which it is drawn.
fn reach(settings: &TriggerSettings, buckets: &[Bucket]) -> (f64, f64) {
    let ends = buckets.iter().filter_map(|b| b.ends).flat_map(|(a, b)| [a, b]);
    http::reach(settings.side, settings.measure, ends, buckets.iter().flat_map(|b| b.levels))
}

/// What was said, as the background: runs of buckets that say the same.
fn bands(svg: &mut String, chart: &Chart<'_>, frame: &Frame) {
    let buckets = chart.curve.buckets();
    let wide = chart.curve.bucket_seconds();
    let mut index = 0;
    while index < buckets.len() {
        let run = buckets[index..].iter().take_while(|b| b.band == buckets[index].band).count();
        let class = match buckets[index].band {
            Band::Clear => None,
            Band::Between => Some(("band", "between the levels")),
            Band::Unknown => Some(("unknown", "unknown")),
            Band::Breach => Some(("breach", "in breach")),
        };
        if let Some((class, word)) = class {
            let (from, to) = (seconds(buckets[index].at), seconds(buckets[index + run - 1].at) + wide);
            let (x, width) = (frame.x(from), (frame.x(to) - frame.x(from)).max(0.8));
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{SIGNAL}\"><title>{word}: {} for {}</title></rect>",
                words::time(buckets[index].at),
                words::seconds(to - from)
            );
        }
        index += run;
    }
}

/// The times at the bottom.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn times(svg: &mut String, frame: &Frame) {
    let length = (frame.to - frame.from) as i64;
    let step = TIME_STEPS.into_iter().find(|step| length / step < MOST_TIMES).unwrap_or(TIME_STEPS[12]);
    let format = if step >= 86_400 {
        "%m-%d"
    } else if length > 86_400 {
        "%m-%d %H:%M"
    } else {
        "%H:%M"
    };
    let bottom = TOP + SIGNAL + GAP + HELD;
    let mut at = (frame.from as i64).div_euclid(step) * step;
    while (at as f64) <= frame.to {
        if at as f64 >= frame.from
            && let Ok(time) = Timestamp::from_second(at)
        {
            let x = frame.x(at as f64);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 16.0,
                time.strftime(format)
            );
        }
        at += step;
    }
}

/// The threshold and the clear level. They move with the share where there are stages.
fn levels(svg: &mut String, chart: &Chart<'_>, frame: &Frame) {
    let buckets = chart.curve.buckets();
    let mut said: Vec<f64> = Vec::new();
    for (index, class, word) in [(0, "threshold", "limit"), (1, "clear", "clear")] {
        let mut path = String::new();
        let mut before = None;
        for bucket in buckets {
            let (x, y) = (frame.x(seconds(bucket.at)), frame.y(bucket.levels[index]));
            if before != Some(bucket.levels[index]) {
                let _ = if before.is_none() { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
                before = Some(bucket.levels[index]);
            }
        }
        let _ = write!(svg, "<path class=\"{class}\" d=\"{path}H{}\"/>", WIDTH - RIGHT);
        if let Some(level) = before {
            let y = frame.y(level) + 3.5;
            // Two that are too close would be written over each other.
            if said.iter().all(|other| (other - y).abs() > 11.0) {
                let text = escaped(&chart.settings.in_words(level));
                let _ = write!(svg, "<text class=\"level\" x=\"{}\" y=\"{y:.1}\">{word} {text}</text>", LEFT - 5.0);
                said.push(y);
            }
        }
    }
}

fn signal(svg: &mut String, chart: &Chart<'_>, frame: &Frame) {
    let mut path = String::new();
    let mut drawing = false;
    let half = chart.curve.bucket_seconds() / 2.0;
    for bucket in chart.curve.buckets() {
        let Some((a, b)) = bucket.ends else {
            drawing = false;
            continue;
        };
        let at = seconds(bucket.at);
        let _ = write!(path, "{}{:.1} {:.1}", if drawing { 'L' } else { 'M' }, frame.x(at), frame.y(a));
        if a.to_bits() != b.to_bits() {
            let _ = write!(path, "L{:.1} {:.1}", frame.x(at + half), frame.y(b));
        } else if !drawing {
            // One point alone is seen as a dot.
            path.push_str("h.1");
        }
        drawing = true;
    }
    let _ = write!(svg, "<path class=\"signal\" d=\"{path}\"/>");
}

/// The held clock, up to `for`.
fn held(svg: &mut String, chart: &Chart<'_>, frame: &Frame) {
    let hold_for = chart.settings.hold_for.as_secs_f64();
    let (top, bottom) = (TOP + SIGNAL + GAP, TOP + SIGNAL + GAP + HELD);
    let y = |held: f64| bottom - HELD * if hold_for > 0.0 { (held / hold_for).min(1.0) } else { f64::from(held > 0.0) };
    let mut path = format!("M{LEFT} {bottom}");
    let mut before = 0.0;
    for bucket in chart.curve.buckets() {
        let x = frame.x(seconds(bucket.at));
        if bucket.held > 0.0 && before == 0.0 {
            let _ = write!(path, "H{x:.1}");
        }
        if bucket.held > before {
            let _ = write!(path, "L{x:.1} {:.1}", y(bucket.held));
        } else if bucket.held < before {
            // It falls at once.
            let _ = write!(path, "H{x:.1}V{:.1}", y(bucket.held));
        } else if bucket.held > 0.0 {
            // It stands still.
            let _ = write!(path, "H{x:.1}");
        }
        before = bucket.held;
    }
    let _ = write!(path, "H{}V{bottom}Z", WIDTH - RIGHT);
    let _ = write!(
        svg,
        "<path class=\"grid\" d=\"M{LEFT} {top}H{right}M{LEFT} {bottom}H{right}\"/><path class=\"held\" d=\"{path}\"/>\
         <text class=\"level\" x=\"{at}\" y=\"{:.1}\">for {}</text><text class=\"level\" x=\"{at}\" y=\"{:.1}\">held</text>",
        top + 4.0,
        words::seconds(hold_for),
        bottom,
        right = WIDTH - RIGHT,
        at = LEFT - 5.0,
    );
}

fn markers(svg: &mut String, chart: &Chart<'_>, frame: &Frame) {
    let bottom = TOP + SIGNAL + GAP + HELD;
    for marker in chart.markers {
        let at = seconds(marker.at);
        if at < frame.from || at > frame.to {
            continue;
        }
        let x = frame.x(at);
        let (class, sign) = if marker.fired {
            ("trip", format!("M{x:.1} {TOP}l-6 -11h12z"))
        } else {
            ("near", format!("M{x:.1} {TOP}l-5 -6l5 -6l5 6z"))
        };
        let _ = write!(
            svg,
            "<a href=\"#{}\" class=\"{class}\"><title>{}</title><path class=\"line\" d=\"M{x:.1} {TOP}V{bottom}\"/><path d=\"{sign}\"/></a>",
            escaped(&marker.target),
            escaped(&marker.title)
        );
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
