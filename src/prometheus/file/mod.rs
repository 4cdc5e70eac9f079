//! Measurements of a file in a Prometheus' place.
//!
//! - `openmetrics`: samples as Prometheus scraped them; the built-in queries are evaluated over them as Prometheus 2 does it
//! - `csv`: a table with a row per instant; the readings are made of its columns
//! - `problems`: everything that is wrong with a file, with its lines

mod csv;
mod openmetrics;
mod problems;

use std::path::Path;

pub use csv::Csv;
pub use openmetrics::{OpenMetrics, Prepared};
pub use problems::Problem;

/// The largest file that is read. Thirty days of 36 series with a sample every 15 s are some 900 MB of text; of these a sixth stays in memory.
pub const MAX_FILE_BYTES: usize = 1 << 30;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Samples, in OpenMetrics' or Prometheus' text format.
    OpenMetrics,
    /// A table of comma-separated values.
    Csv,
}

/// What a file holds, by its name or else by its first line that says something: a table begins with the names of its columns.
pub fn kind_of(name: &Path, text: &str) -> Kind {
    let extension = name.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "csv" => return Kind::Csv,
        "prom" | "om" | "openmetrics" => return Kind::OpenMetrics,
        _ => {}
    }
    let first = text.trim_start_matches('\u{feff}').lines().map(str::trim).find(|line| !line.is_empty());
    match first {
        Some(line) if !line.starts_with('#') && !line.contains('{') && line.contains(',') => Kind::Csv,
        _ => Kind::OpenMetrics,
    }
}

/// Milliseconds, which is how exactly Prometheus keeps time.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name_or_its_first_line() {
        let cases = [
            ("night.csv", "# EOF", Kind::Csv),
            ("night.CSV", "", Kind::Csv),
            ("night.prom", "time,requests", Kind::OpenMetrics),
            ("night.txt", "\u{feff}\n time,requests,failed\n", Kind::Csv),
            ("night", "# TYPE a counter\na,b", Kind::OpenMetrics),
            ("night", "up{job=\"a,b\"} 1 1700000000\n", Kind::OpenMetrics),
            ("night", "up 1 1700000000\n", Kind::OpenMetrics),
            ("night", "", Kind::OpenMetrics),
        ];
        for (name, text, kind) in cases {
            assert_eq!(kind_of(Path::new(name), text), kind, "{name}: {text:?}");
        }
    }
}
