//! A report as one file for a browser: nothing in it is fetched from anywhere, nothing in it runs, and what came from outside is text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::engine::TriggerAction;
use crate::notify::{escape_html, single_line};

use super::chart::{self, Chart, Marker};
use super::curve::Excerpt;
use super::report::{GuardReport, NearMiss, Replay, Report, TriggerReport, Trip};
use super::text::{course, deed, differences, heading, rows, sentence};
use super::words::{count, seconds, time};

const STYLE: &str = include_str!("style.css");

/// Near misses of a guard that a page lists, the closest first. The JSON has all.
const NEAR_MISSES: usize = 50;

/// What the backgrounds of the charts are made of, so that they are told apart without colours.
const PATTERNS: &str = "<svg class=\"defs\" aria-hidden=\"true\"><defs>\
    <pattern id=\"p-unknown\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect width=\"6\" height=\"6\"/><path d=\"M0 6L6 0\"/></pattern>\
    <pattern id=\"p-band\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\"><rect width=\"7\" height=\"7\"/><circle cx=\"2\" cy=\"2\" r=\".9\"/></pattern>\
    </defs></svg>\n";

const LEGEND: &str = "<ul class=\"legend\">\
    <li><svg aria-hidden=\"true\" viewBox=\"0 0 26 14\"><path class=\"signal\" d=\"M0 9L8 4L16 10L26 5\"/></svg>signal</li>\
    <li><svg aria-hidden=\"true\" viewBox=\"0 0 26 14\"><path class=\"threshold\" d=\"M0 7H26\"/></svg>limit</li>\
    <li><svg aria-hidden=\"true\" viewBox=\"0 0 26 14\"><path class=\"clear\" d=\"M0 7H26\"/></svg>clear level</li>\
    <li><svg aria-hidden=\"true\" viewBox=\"0 0 26 14\"><rect class=\"breach\" width=\"26\" height=\"14\"/></svg>plain: in breach</li>\
    <li><svg aria-hidden=\"true\" viewBox=\"0 0 26 14\"><rect class=\"band\" width=\"26\" height=\"14\"/></svg>dotted: between the levels</li>\
    <li><svg aria-hidden=\"true\" viewBox=\"0 0 26 14\"><rect class=\"unknown\" width=\"26\" height=\"14\"/></svg>hatched: unknown</li>\
    <li><svg aria-hidden=\"true\" viewBox=\"0 0 26 14\"><g class=\"trip\"><path d=\"M13 13l-6 -11h12z\"/></g></svg>would have fired</li>\
    <li><svg aria-hidden=\"true\" viewBox=\"0 0 26 14\"><g class=\"near\"><path d=\"M13 13l-5 -6l5 -6l5 6z\"/></g></svg>near miss</li>\
    <li>below each signal: for how long a breach was held, up to its <b>for</b></li></ul>\n";

/// A text from outside, as text.
pub fn escaped(text: &str) -> String {
    escape_html(&single_line(text))
}

/// The page.
pub fn write(report: &Report) -> String {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        STANDARD.encode(Sha256::digest(STYLE))
    );
    let guards = report.replays.first().map_or(&[][..], |replay| &replay.guards);
    let what = match guards {
        [only] => only.guard.clone(),
        several => count(several.len(), "guard", "guards"),
    };
    let title = format!("Replay of {what} from {}", time(report.from));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"referrer\" content=\"no-referrer\"><title>{}</title><style>{STYLE}</style></head>\n<body>\n{PATTERNS}<main>\n\
         <h1>What Ripcord would have done</h1>\n<p class=\"soft\">{} to {} UTC, from {}. Nothing was changed.</p>\n",
        escape_html(&policy),
        escaped(&title),
        stamp(report.from),
        stamp(report.to),
        escaped(&report.source),
    );
    compared(&mut page, report);
    page.push_str(LEGEND);
    report.replays.iter().for_each(|replay| replayed(&mut page, replay, report.replays.len() > 1));
    page.push_str(
        "<p class=\"soft\">Times are UTC. What a rollback would have changed in what came after it, history does not know.</p>\n\
         </main></body></html>\n",
    );
    page
}

fn stamp(at: Timestamp) -> String {
    format!("<time datetime=\"{at}\">{}</time>", time(at))
}

fn compared(page: &mut String, report: &Report) {
    let Some(comparison) = &report.comparison else { return };
    page.push_str("<h2>Side by side</h2>\n");
    for replay in &report.replays {
        page.push_str(&format!("<p>{}</p>\n", escaped(&heading(replay, true))));
    }
    for guard in &comparison.guards {
        page.push_str(&format!(
            "{}<table><thead><tr><th scope=\"col\">{}</th><th scope=\"col\">A</th><th scope=\"col\">B</th></tr></thead><tbody>",
            scrolling(&format!("{}: A and B", guard.guard)),
            escaped(&guard.guard)
        ));
        for (what, a, b) in rows(guard) {
            page.push_str(&format!("<tr><td>{what}</td><td>{}</td><td>{}</td></tr>", escaped(&a), escaped(&b)));
        }
        page.push_str("</tbody></table></div>\n");
        page.push_str(&list(&differences(guard)));
    }
}

fn list(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let items: String = lines.iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
    format!("<ul>{items}</ul>\n")
}

fn replayed(page: &mut String, replay: &Replay, one_of_several: bool) {
    let has_heading = one_of_several || !replay.overrides.is_empty();
    // The headings below it are one level deeper.
    let level = if has_heading { 3 } else { 2 };
    if has_heading {
        page.push_str(&format!("<h2>{}</h2>\n", escaped(&heading(replay, one_of_several))));
    }
    for (index, guard) in replay.guards.iter().enumerate() {
        let id = format!("{}{index}", replay.name);
        page.push_str(&format!(
            "<h{level}>{}</h{level}>\n<p class=\"lead\">{}</p>\n",
            escaped(&guard.guard),
            escaped(&sentence(guard))
        ));
        happened(page, guard, &id);
        for (number, trigger) in guard.triggers.iter().enumerate() {
            charted(page, guard, trigger, &id, number, level + 1);
        }
    }
    if !replay.watchdog.is_empty() {
        page.push_str(&format!("<h{level}>The watchdog itself</h{level}>\n"));
        let lines: Vec<_> = replay.watchdog.iter().map(|p| format!("{}  {}", time(p.time), p.summary)).collect();
        page.push_str(&list(&lines));
    }
}

/// Where more of a breach is seen: the excerpt around it, or the chart of its trigger.
fn target(guard: &GuardReport, id: &str, trigger: &str, began: Timestamp) -> String {
    let Some(number) = guard.triggers.iter().position(|t| t.trigger == trigger) else { return id.to_owned() };
    match guard.triggers[number].excerpts.iter().position(|excerpt| excerpt.began == began) {
        Some(excerpt) => format!("{id}-c{number}-{excerpt}"),
        None => format!("{id}-c{number}"),
    }
}

/// A row of the table of what happened, and its id.
fn happened(page: &mut String, guard: &GuardReport, id: &str) {
    let near_misses = guard.near_misses();
    if guard.trips.is_empty() && near_misses.is_empty() {
        return;
    }
    page.push_str(&format!(
        "{}<table><thead><tr><th scope=\"col\">When</th><th scope=\"col\">What</th><th scope=\"col\">Why, or why not</th></tr></thead><tbody>\n",
        scrolling(&format!("{}: what happened", guard.guard)),
    ));
    for (number, trip) in guard.trips.iter().enumerate() {
        page.push_str(&tripped(guard, trip, id, number));
    }
    for (trigger, near) in near_misses.iter().take(NEAR_MISSES) {
        page.push_str(&nearly(guard, trigger, near, id));
    }
    page.push_str("</tbody></table></div>\n");
    if near_misses.len() > NEAR_MISSES {
        let more = count(near_misses.len() - NEAR_MISSES, "more near miss", "more near misses");
        page.push_str(&format!("<p class=\"soft\">And {more}.</p>\n"));
    }
}

fn tripped(guard: &GuardReport, trip: &Trip, id: &str, number: usize) -> String {
    let charts = trip.triggers.iter().map(|facts| {
        let target = target(guard, id, &facts.name, trip.first_breach);
        format!("<a href=\"#{target}\">{}</a>", escaped(&facts.name))
    });
    let pages = trip
        .pages
        .iter()
        .skip(1)
        .map(|page| format!("<li>{} {}: {}</li>", time(page.time), page.severity.as_str(), escaped(&page.summary)));
    format!(
        "<tr id=\"{id}-t{number}\"><td class=\"when\">{}</td><td><span class=\"fired\">{}</span><br>{}</td><td>{}<br><span class=\"soft\">{}</span><ul>{}</ul></td></tr>\n",
        stamp(trip.time),
        escaped(&deed(trip)),
        charts.collect::<Vec<_>>().join(", "),
        escaped(&trip.summary),
        escaped(&course(trip)),
        pages.collect::<String>(),
    )
}

fn near_id(guard: &GuardReport, trigger: &TriggerReport, near: &NearMiss, id: &str) -> String {
    let number = guard.triggers.iter().position(|t| t.trigger == trigger.trigger).unwrap_or_default();
    format!("{id}-n{number}-{}", near.from.as_second())
}

fn nearly(guard: &GuardReport, trigger: &TriggerReport, near: &NearMiss, id: &str) -> String {
    format!(
        "<tr id=\"{}\"><td class=\"when\">{}</td><td><span class=\"nearly\">near miss</span><br><a href=\"#{}\">{}</a></td>\
         <td>held {} of {}, worst {}{}</td></tr>\n",
        near_id(guard, trigger, near, id),
        stamp(near.from),
        target(guard, id, &trigger.trigger, near.from),
        escaped(&trigger.trigger),
        seconds(near.held_seconds),
        seconds(near.for_seconds),
        escaped(&near.worst_text),
        list(&near.why_not),
    )
}

fn charted(page: &mut String, guard: &GuardReport, trigger: &TriggerReport, id: &str, number: usize, level: u8) {
    let id_of_chart = format!("{id}-c{number}");
    let markers = markers(guard, trigger, id);
    page.push_str(&format!("<h{level}>{}</h{level}>\n", escaped(&trigger.trigger)));
    figure(page, guard, trigger, &id_of_chart, None, &markers);
    for (excerpt_number, excerpt) in trigger.excerpts.iter().enumerate() {
        let what = if excerpt.fired { "Around the trip" } else { "Around the near miss" };
        page.push_str(&format!(
            "<details{}><summary>{what}: the breach that began at {}</summary>\n",
            if excerpt.fired { " open" } else { "" },
            stamp(excerpt.began)
        ));
        figure(page, guard, trigger, &format!("{id_of_chart}-{excerpt_number}"), Some(excerpt), &markers);
        page.push_str("</details>\n");
    }
}

fn markers(guard: &GuardReport, trigger: &TriggerReport, id: &str) -> Vec<Marker> {
    let trips =
        guard.trips.iter().enumerate().filter(|(_, trip)| trip.triggers.iter().any(|f| f.name == trigger.trigger));
    let trips = trips.map(|(number, trip)| Marker {
        at: trip.time,
        target: format!("{id}-t{number}"),
        title: format!("{}: {}", time(trip.time), trip.summary),
        fired: true,
    });
    let near = trigger.near_misses.iter().map(|near| Marker {
        at: near.held_at,
        target: near_id(guard, trigger, near, id),
        title: format!(
            "{}: near miss, held {} of {}: {}",
            time(near.held_at),
            seconds(near.held_seconds),
            seconds(near.for_seconds),
            near.why_not.join("; ")
        ),
        fired: false,
    });
    near.chain(trips).collect()
}

fn figure(
    page: &mut String,
    guard: &GuardReport,
    trigger: &TriggerReport,
    id: &str,
    excerpt: Option<&Excerpt>,
    markers: &[Marker],
) {
    let description = caption(trigger);
    let chart = Chart {
        id,
        title: format!("{}: {}", guard.guard, trigger.trigger),
        description: description.clone(),
        settings: &trigger.settings,
        curve: excerpt.map_or(&trigger.curve, |excerpt| &excerpt.curve),
        markers,
    };
    page.push_str(&format!("<figure id=\"{id}\">{}{}</div>", scrolling(&chart.title), chart::draw(&chart)));
    if excerpt.is_none() {
        page.push_str(&format!("<figcaption>{}</figcaption>", escaped(&description)));
    }
    page.push_str("</figure>\n");
}

/// The beginning of a part that may be wider than a phone: the keyboard gets there to scroll it.
fn scrolling(label: &str) -> String {
    format!("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{}\">", escaped(label))
}

/// What the numbers of a trigger are: `In breach 12 m, between the levels 3 m, …`.
fn caption(trigger: &TriggerReport) -> String {
    let mut parts = vec![
        format!("In breach {}", seconds(trigger.time.breach_seconds)),
        format!("between the levels {}", seconds(trigger.time.band_seconds)),
        format!("clear {}", seconds(trigger.time.clear_seconds)),
    ];
    let unknown = trigger.time.unknown.iter().map(|u| format!("{}: {}", seconds(u.seconds), u.example));
    parts.push(match trigger.time.unknown.is_empty() {
        true => "never unknown".to_owned(),
        false => {
            format!("unknown {} ({})", seconds(trigger.time.unknown_seconds), unknown.collect::<Vec<_>>().join("; "))
        }
    });
    let worst = match (&trigger.worst_text, trigger.worst_at) {
        (Some(text), Some(at)) => format!(" Worst {text} at {}.", time(at)),
        _ => String::new(),
    };
    let does = match trigger.action {
        TriggerAction::Rollback => "rolls back",
        TriggerAction::Page => "pages",
    };
    format!(
        "{}.{worst} Longest hold {} of {}; then it {does}.",
        parts.join(", "),
        seconds(trigger.longest_hold_seconds),
        seconds(trigger.for_seconds)
    )
}
