//! What `docs/deciding.md` says of how the engine decides, worked out again: a small part of what `cargo bench --bench deciding` prints.

mod figures;
mod rules;
mod traffic;

use figures::{bursts_that_trip, quantile, seconds_to_trip, trips_per_day};
use rules::Reads;
use traffic::{CONFIRM, Poisson, Traffic, WINDOW};

fn document() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deciding.md");
    std::fs::read_to_string(path).expect("docs/deciding.md")
}

#[test]
fn few_requests_trip_the_plain_rule_every_few_hours_and_ripcord_never() {
    // Half of what is allowed fails: every trip is a false one.
    let per_day = |reads| trips_per_day(reads, 0.5, 0.005, 20);
    assert!(per_day(Reads::Plain) > 5.0, "{}", per_day(Reads::Plain));
    assert!(per_day(Reads::Ripcord) == 0.0, "{}", per_day(Reads::Ripcord));
}

#[test]
fn being_careful_costs_a_minute_where_it_counts_and_nothing_elsewhere() {
    let median = |reads, per_second| quantile(&seconds_to_trip(reads, per_second, 0.05), 50);
    for (per_second, cost) in [(2.0, 90), (10.0, 0)] {
        let (plain, ripcord) = (median(Reads::Plain, per_second), median(Reads::Ripcord, per_second));
        assert!((300..420).contains(&plain), "{per_second} requests/s: {plain} s");
        assert!(ripcord <= plain + cost, "{per_second} requests/s: {ripcord} s, the plain rule {plain} s");
    }
}

#[test]
fn when_everything_fails_it_trips_however_few_the_requests() {
    for per_second in figures::TRAFFIC {
        let worst = quantile(&seconds_to_trip(Reads::Ripcord, per_second, 1.0), 95);
        assert!((300..600).contains(&worst), "{per_second} requests/s: {worst} s");
    }
}

#[test]
fn a_burst_that_is_over_trips_only_the_plain_rule() {
    for per_second in [1.0, 10.0] {
        assert!(bursts_that_trip(Reads::Plain, per_second) > figures::BURSTS / 2, "{per_second} requests/s");
        assert_eq!(bursts_that_trip(Reads::Ripcord, per_second), 0, "{per_second} requests/s");
    }
}

/// Rows and cells of each table that do not take long without optimisation.
#[test]
fn the_document_has_the_figures_of_this_program() {
    let document = document();
    for row in [figures::times_row(10.0), figures::bursts_row(0.5), figures::bursts_row(10.0)] {
        assert!(document.contains(&row), "docs/deciding.md lacks {row}\nRun cargo bench --bench deciding");
    }
    for (per_second, failing, column) in [(0.5, 0.005, 4), (10.0, 0.01, 7)] {
        let begins = format!("| {per_second} |");
        let row = document.lines().find(|line| line.starts_with(&begins)).expect("the table of false trips is first");
        let cell = row.split('|').nth(column + 1).expect("a cell").trim();
        assert_eq!(cell, figures::trips_cell(Reads::Plain, per_second, failing), "{row}");
    }
}

#[test]
fn the_numbers_are_those_of_the_distribution() {
    // 3^2 e^-3 / 2 = 0.2240, and the sum of the first three is 0.4232: any table of the distribution has them.
    let three = Poisson::new(3.0);
    assert!((three.cumulative[2] - 0.423_190).abs() < 1e-6);
    let mut random = fastrand::Rng::with_seed(1);
    for mean in [0.0, 0.05, 3.0, 500.0] {
        let poisson = Poisson::new(mean);
        let draws: Vec<f64> = (0..40_000).map(|_| f64::from(poisson.draw(&mut random))).collect();
        let average = draws.iter().sum::<f64>() / 40_000.0;
        let variance = draws.iter().map(|d| (d - average).powi(2)).sum::<f64>() / 40_000.0;
        assert!((average - mean).abs() <= 0.03 * mean.sqrt(), "mean {mean}: {average}");
        assert!((variance - mean).abs() <= 0.05 * mean, "variance {mean}: {variance}");
    }
}

#[test]
fn the_windows_hold_their_own_minutes() {
    let mut traffic = Traffic::new(10.0, 0.0, 1);
    for _ in 0..100 {
        traffic.pass();
    }
    traffic.fails(1.0);
    for passed in 1..100 {
        let (window, confirm) = traffic.pass();
        assert_eq!(confirm.failed == confirm.total, passed >= CONFIRM, "confirm after {passed}");
        assert_eq!(window.failed == window.total, passed >= WINDOW, "window after {passed}");
    }
}
