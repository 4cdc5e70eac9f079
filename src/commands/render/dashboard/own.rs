//! Ripcord itself.

use crate::engine::GuardState;
use crate::telemetry::names;

use super::super::scrape::Own;
use super::CHOSEN;
use super::panel::{Board, Kind, Panel};

/// The panels.
pub fn board(own: &Own) -> Board {
    let mut board = Board::default();
    at_a_glance(&mut board, own);
    guards(&mut board, own);
    acting(&mut board, own);
    looking(&mut board, own);
    telling(&mut board, own);
    process(&mut board, own);
    board
}

/// A counter's rate, by some labels.
fn rate(series: &str, by: &str) -> String {
    format!("sum by ({by}) (rate({series}[5m]))")
}

/// A quantile of a histogram.
fn quantile(own: &Own, histogram: &str, quantile: f64) -> String {
    let buckets = own.all(&format!("{histogram}_bucket"));
    format!("histogram_quantile({quantile}, sum by (le) (rate({buckets}[5m])))")
}

fn at_a_glance(board: &mut Board, own: &Own) {
    board.row("At a glance");
    let leads = own.all(names::LEADER);
    let numbers = [
        Panel::new(Kind::Numbers, "Replicas", "none", "That Prometheus reaches")
            .else_("red")
            .from(1.0, "green")
            .query("up", format!("count({})", own.all(names::BUILD_INFO))),
        Panel::new(Kind::Numbers, "Leaders", "none", "One, always")
            .else_("red")
            .from(1.0, "green")
            .from(2.0, "red")
            .query("lead", format!("sum({leads})")),
        Panel::new(Kind::Numbers, "Last tick", "s", "How long ago the replica that leads has decided")
            .from(60.0, "orange")
            .from(120.0, "red")
            .query("ago", format!("time() - max({} and ({leads} == 1))", own.all(names::LAST_EVALUATION))),
        Panel::new(Kind::Numbers, "Rollbacks that would fail", "none", "As they were last tried, as dry runs")
            .from(1.0, "red")
            .query(
                "guards",
                format!("count({} == 0) or vector(0)", own.leaders(&own.with(names::ROLLBACK_READY, CHOSEN), "guard")),
            ),
        Panel::new(Kind::Numbers, "Pages that wait", "none", "For all receivers")
            .from(1.0, "orange")
            .from(10.0, "red")
            .query("wait", format!("sum({})", own.all(names::NOTIFICATION_QUEUE))),
        Panel::new(Kind::Numbers, "Configuration", "none", "Whether the last one was taken")
            .means(0.0, "refused", "red")
            .means(1.0, "in use", "green")
            .query("configuration", format!("min({})", own.all(names::RELOAD_SUCCESS))),
    ];
    for panel in &numbers {
        board.add(4, 4, panel);
    }
}

/// The number of the one of several words that holds, from 0: as one series, so that it can be drawn as a band.
fn which(own: &Own, metric: &str, label: &str, words: &[&str], by: &str) -> String {
    let cases = words.iter().enumerate().map(|(number, word)| {
        let series = own.leaders(&own.with(metric, &format!("{CHOSEN},{label}=\"{word}\"")), &format!("{by}, {label}"));
        format!("(max by ({by}) ({series}) == 1) * 0 + {number}")
    });
    cases.collect::<Vec<_>>().join("\nor\n")
}

fn guards(board: &mut Board, own: &Own) {
    board.row("Guards");
    let states = GuardState::ALL.map(GuardState::as_str);
    let colors = ["green", "orange", "yellow", "blue", "red", "gray"];
    let mut panel = Panel::new(Kind::States, "States", "none", "What each guard is at")
        .query("{{guard}}", which(own, names::GUARD_STATE, "state", &states, "guard"));
    for (number, (state, color)) in states.into_iter().zip(colors).enumerate() {
        panel = panel.means(number as f64, state, color);
    }
    board.add(12, 8, &panel);
    let verdicts = [("clear", "green"), ("band", "yellow"), ("breach", "red"), ("unknown", "gray")];
    let words = verdicts.map(|(verdict, _)| verdict);
    let mut panel = Panel::new(Kind::States, "Verdicts", "none", "What each trigger says")
        .query("{{guard}} {{trigger}}", which(own, names::TRIGGER_VERDICT, "verdict", &words, "guard, trigger"));
    for (number, (verdict, color)) in verdicts.into_iter().enumerate() {
        panel = panel.means(number as f64, verdict, color);
    }
    board.add(12, 8, &panel);
    let of = |metric: &str| own.leaders(&own.with(metric, CHOSEN), "guard, trigger");
    let panel = Panel::new(
        Kind::Curves,
        "Held",
        "s",
        "For how long a breach has been observed, and after how long the trigger fires",
    )
    .zero_based()
    .query("{{guard}} {{trigger}}", format!("max by (guard, trigger) ({})", of(names::TRIGGER_HELD)))
    .query("limit {{guard}} {{trigger}}", format!("max by (guard, trigger) ({})", of(names::TRIGGER_FOR)));
    board.add(12, 8, &panel);
    let panel = Panel::new(Kind::States, "Ready", "none", "Whether a rollback would work, as it was last tried")
        .means(0.0, "would fail", "red")
        .means(1.0, "would work", "green")
        .query(
            "{{guard}}",
            format!("max by (guard) ({})", own.leaders(&own.with(names::ROLLBACK_READY, CHOSEN), "guard")),
        );
    board.add(12, 8, &panel);
}

fn acting(board: &mut Board, own: &Own) {
    board.row("Acting");
    let panel = Panel::new(Kind::Curves, "Rollbacks", "none", "Since each replica was started, by what came of them")
        .zero_based()
        .query("{{guard}} {{result}}", format!("sum by (guard, result) ({})", own.with(names::ROLLBACKS, CHOSEN)));
    board.add(8, 8, &panel);
    let part = |part: &str| own.all(&format!("{}_{part}", names::ROLLBACK_DURATION));
    let panel = Panel::new(
        Kind::Curves,
        "Duration of a rollback",
        "s",
        "From the decision to the end of the last rollout, on average since the start",
    )
    .zero_based()
    .query("mean", format!("sum({}) / sum({})", part("sum"), part("count")));
    board.add(8, 8, &panel);
    let panel = Panel::new(
        Kind::Curves,
        "Steps of the migration",
        "none",
        "Since each replica was started, by what came of them",
    )
    .zero_based()
    .query("{{guard}} {{result}}", format!("sum by (guard, result) ({})", own.with(names::SHIFTS, CHOSEN)));
    board.add(8, 8, &panel);
}

fn looking(board: &mut Board, own: &Own) {
    board.row("Looking");
    let panel = Panel::new(
        Kind::Curves,
        "Ticks",
        "ops",
        "Per second: ok, partly (some triggers unknown), unknown (all of them), missed",
    )
    .zero_based()
    .query("{{result}}", rate(&own.all(names::EVALUATIONS), "result"));
    board.add(8, 8, &panel);
    let panel = Panel::new(Kind::Curves, "Duration of a tick", "s", "From its instant to its decision")
        .zero_based()
        .query("median", quantile(own, names::EVALUATION_DURATION, 0.5))
        .query("99 %", quantile(own, names::EVALUATION_DURATION, 0.99));
    board.add(8, 8, &panel);
    let panel =
        Panel::new(Kind::Curves, "Missed ticks that were fetched", "none", "After restarts and changes of the leader")
            .zero_based()
            .query("{{instance}}", format!("sum by (instance) ({})", own.all(names::REPLAYED_TICKS)));
    board.add(8, 8, &panel);
    let panel = Panel::new(Kind::Curves, "Queries", "ops", "To Prometheus, per second: ok, or why nothing is known")
        .zero_based()
        .query("{{result}}", rate(&own.all(names::QUERIES), "result"));
    board.add(12, 8, &panel);
    let panel = Panel::new(Kind::Curves, "Duration of a query", "s", "Prometheus' time to answer")
        .zero_based()
        .query("median", quantile(own, names::QUERY_DURATION, 0.5))
        .query("99 %", quantile(own, names::QUERY_DURATION, 0.99));
    board.add(12, 8, &panel);
}

fn telling(board: &mut Board, own: &Own) {
    board.row("Telling and remembering");
    let panel = Panel::new(
        Kind::Curves,
        "Pages",
        "none",
        "Since each replica was started, by receiver: accepted, retried, lost",
    )
    .zero_based()
    .query("{{receiver}} {{result}}", format!("sum by (receiver, result) ({})", own.all(names::NOTIFICATIONS)));
    board.add(8, 8, &panel);
    let panel = Panel::new(Kind::Curves, "Pages that wait", "none", "By receiver")
        .zero_based()
        .query("{{receiver}}", format!("max by (receiver) ({})", own.all(names::NOTIFICATION_QUEUE)));
    board.add(8, 8, &panel);
    let panel = Panel::new(Kind::Curves, "The oldest that waits", "s", "By receiver")
        .zero_based()
        .query("{{receiver}}", format!("max by (receiver) ({})", own.all(names::NOTIFICATION_OLDEST)));
    board.add(8, 8, &panel);
    let panel = Panel::new(
        Kind::Curves,
        "Writes of the state",
        "ops",
        "Per second: ok, failed, conflict (another replica has written it)",
    )
    .zero_based()
    .query("{{result}}", rate(&own.all(names::JOURNAL_WRITES), "result"));
    board.add(8, 8, &panel);
    let panel = Panel::new(Kind::Curves, "Heartbeats", "ops", "Per second, to the outside address, where there is one")
        .zero_based()
        .query("{{result}}", rate(&own.all(names::HEARTBEATS), "result"));
    board.add(8, 8, &panel);
    let panel = Panel::new(Kind::States, "Who leads", "none", "By replica")
        .means(0.0, "stands by", "gray")
        .means(1.0, "leads", "green")
        .query("{{instance}}", format!("max by (instance) ({})", own.all(names::LEADER)));
    board.add(8, 8, &panel);
}

fn process(board: &mut Board, own: &Own) {
    board.row("Process");
    let panel = Panel::new(Kind::Curves, "Processor", "none", "In cores, by replica")
        .zero_based()
        .query("{{instance}}", rate(&own.all("process_cpu_seconds_total"), "instance"));
    board.add(8, 8, &panel);
    let panel = Panel::new(Kind::Curves, "Memory", "bytes", "Resident, by replica")
        .zero_based()
        .query("{{instance}}", format!("max by (instance) ({})", own.all("process_resident_memory_bytes")));
    board.add(8, 8, &panel);
    let panel =
        Panel::new(Kind::Curves, "File descriptors", "none", "Open ones, by replica, and how many there may be")
            .zero_based()
            .query("{{instance}}", format!("max by (instance) ({})", own.all("process_open_fds")))
            .query("limit {{instance}}", format!("max by (instance) ({})", own.all("process_max_fds")));
    board.add(8, 8, &panel);
    let panel = Panel::new(Kind::Numbers, "Version", "none", "Of each replica")
        .text("name")
        .query("{{version}} on {{instance}}", format!("max by (version, instance) ({})", own.all(names::BUILD_INFO)));
    board.add(12, 4, &panel);
    let panel = Panel::new(Kind::Numbers, "Configuration in use since", "dateTimeAsIso", "By replica")
        .text("value_and_name")
        .query("{{instance}}", format!("1000 * max by (instance) ({})", own.all(names::RELOAD_TIMESTAMP)));
    board.add(12, 4, &panel);
}
