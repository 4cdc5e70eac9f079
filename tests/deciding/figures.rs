//! How often the rules trip, how soon, and the rows of the tables of `docs/deciding.md`. Each cell has a seed of its own, so that any of them can be
//! worked out alone; the three rules of a cell see the same requests.

use std::fmt::Write as _;

use super::rules::Reads;
use super::traffic::{INTERVAL, Traffic, WINDOW};

/// Requests per second: the rows of every table.
pub const TRAFFIC: [f64; 7] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0];

/// The parts of the requests that fail in the outages: the columns of the table of times.
pub const HARMFUL: [f64; 3] = [0.02, 0.05, 1.0];

/// Days of every cell of the table of false trips.
pub const DAYS: u32 = 300;

/// Outages of every cell of the table of times, and how long each of them lasts.
pub const OUTAGES: u32 = 300;
const PATIENCE: u32 = 2 * 60 * 60;

/// Bursts of every cell of the table of bursts: half of the requests fail for 30 s.
pub const BURSTS: u32 = 300;

/// The seed of a cell: any number that differs.
fn seed(per_second: f64, failing: f64, run: u32) -> u64 {
    per_second.to_bits() ^ failing.to_bits().rotate_left(17) ^ u64::from(run).rotate_left(40)
}

/// Trips per day, over so many days.
pub fn trips_per_day(reads: Reads, per_second: f64, failing: f64, days: u32) -> f64 {
    let mut traffic = Traffic::new(per_second, failing, seed(per_second, failing, 0));
    let mut rule = reads.rule();
    let ticks = days * (24 * 60 * 60 / INTERVAL);
    let trips = (0..ticks).filter(|_| {
        let (window, confirm) = traffic.pass();
        rule.trips(window, confirm)
    });
    f64::from(u32::try_from(trips.count()).expect("fewer than ticks")) / f64::from(days)
}

/// Seconds from the beginning of each outage to the trip, sorted. A service without any failure begins to fail; one that is not noticed
/// within two hours counts as that long.
pub fn seconds_to_trip(reads: Reads, per_second: f64, failing: f64) -> Vec<u32> {
    let mut seconds: Vec<u32> = (0..OUTAGES)
        .map(|run| {
            let (mut traffic, mut rule) = (Traffic::new(per_second, 0.0, seed(per_second, failing, run)), reads.rule());
            for _ in 0..WINDOW {
                let (window, confirm) = traffic.pass();
                rule.trips(window, confirm);
            }
            traffic.fails(failing);
            let mut passed = (1..PATIENCE / INTERVAL).map(|ticks| ticks * INTERVAL);
            let trip = passed.find(|_| {
                let (window, confirm) = traffic.pass();
                rule.trips(window, confirm)
            });
            trip.unwrap_or(PATIENCE)
        })
        .collect();
    seconds.sort_unstable();
    seconds
}

/// The value that this part of a sorted list does not exceed.
pub fn quantile(sorted: &[u32], percent: usize) -> u32 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// How many of `BURSTS` trip the rule although they are over after 30 s.
pub fn bursts_that_trip(reads: Reads, per_second: f64) -> u32 {
    let trips = (0..BURSTS).filter(|run| {
        let (mut traffic, mut rule) = (Traffic::new(per_second, 0.0, seed(per_second, 0.5, *run)), reads.rule());
        (0..4 * WINDOW).any(|tick| {
            traffic.fails(if (WINDOW..WINDOW + 3).contains(&tick) { 0.5 } else { 0.0 });
            let (window, confirm) = traffic.pass();
            rule.trips(window, confirm)
        })
    });
    u32::try_from(trips.count()).expect("few")
}

fn frequency(per_day: f64) -> String {
    match per_day {
        0.0 => "0".to_owned(),
        rare if rare < 1.0 => format!("{rare:.3}"),
        often if often < 10.0 => format!("{often:.1}"),
        always => format!("{always:.0}"),
    }
}

fn minutes(seconds: u32) -> String {
    if seconds >= PATIENCE { "-".to_owned() } else { format!("{}:{:02}", seconds / 60, seconds % 60) }
}

/// One cell of the table of false trips.
pub fn trips_cell(reads: Reads, per_second: f64, failing: f64) -> String {
    frequency(trips_per_day(reads, per_second, failing, DAYS))
}

/// One row of the table of times.
pub fn times_row(per_second: f64) -> String {
    row(per_second, &HARMFUL, |reads, failing| {
        let seconds = seconds_to_trip(reads, per_second, failing);
        format!("{} ({})", minutes(quantile(&seconds, 50)), minutes(quantile(&seconds, 95)))
    })
}

/// One row of the table of bursts.
pub fn bursts_row(per_second: f64) -> String {
    row(per_second, &[0.5], |reads, _| {
        let part = f64::from(bursts_that_trip(reads, per_second)) / f64::from(BURSTS);
        format!("{:.0} %", part * 100.0)
    })
}

/// A row: for each of these parts of failing requests what the three rules do.
pub fn row(per_second: f64, failing: &[f64], cell: impl Fn(Reads, f64) -> String) -> String {
    let mut row = format!("| {per_second} |");
    for failing in failing {
        for reads in Reads::ALL {
            let _ = write!(row, " {} |", cell(reads, *failing));
        }
    }
    row
}
