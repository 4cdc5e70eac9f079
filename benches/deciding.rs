//! How often "more than 1 % fail, for 5 minutes" trips by mistake, and how soon it trips when it should: as an alerting rule, and as
//! Ripcord's engine decides. The tables of `docs/deciding.md`.
//!
//! `cargo bench --bench deciding`. No clock and no network: requests are made from seeds, so that the tables are the same each time.

#[path = "../tests/deciding/figures.rs"]
mod figures;
#[path = "../tests/deciding/rules.rs"]
mod rules;
#[path = "../tests/deciding/traffic.rs"]
mod traffic;

use std::fmt::Write as _;
use std::thread;

/// The parts of the requests that really fail and are no reason to trip.
const HARMLESS: [f64; 3] = [0.0, 0.005, 0.01];

fn main() {
    println!("Trips per day in {} days, although no more than 1 % fail:\n", figures::DAYS);
    let trips = |per_second| {
        figures::row(per_second, &HARMLESS, |reads, failing| figures::trips_cell(reads, per_second, failing))
    };
    println!("{}\n", table(&HARMLESS, trips));
    println!("Minutes to the trip, median (95 %) of {} outages:\n", figures::OUTAGES);
    println!("{}\n", table(&figures::HARMFUL, figures::times_row));
    println!("Trips for a burst of 30 s in which half of the requests fail, of {} bursts:\n", figures::BURSTS);
    println!("{}", table(&[0.5], figures::bursts_row));
}

/// A table: its rows are worked out side by side.
fn table(failing: &[f64], row: impl Fn(f64) -> String + Sync) -> String {
    let mut table = "| requests/s |".to_owned();
    for failing in failing {
        for name in ["plain", "literal", "Ripcord"] {
            let _ = write!(table, " {} %: {name} |", failing * 100.0);
        }
    }
    let _ = write!(table, "\n|---|{}\n", "---|".repeat(failing.len() * 3));
    let rows: Vec<String> = thread::scope(|scope| {
        let working: Vec<_> = figures::TRAFFIC.iter().map(|traffic| scope.spawn(|| row(*traffic))).collect();
        working.into_iter().map(|row| row.join().expect("a row")).collect()
    });
    table + &rows.join("\n")
}
