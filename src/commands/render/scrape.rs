//! How Prometheus knows Ripcord's own series.

use crate::cli::Scrape;
use crate::telemetry::names;

/// What all of Ripcord's own series have in common.
pub struct Own {
    matchers: String,
}

impl Own {
    /// As it was typed.
    pub fn of(scrape: &Scrape) -> Self {
        let job = format!("job=\"{}\"", scrape.job);
        Self { matchers: scrape.selector.as_ref().map_or(job.clone(), |more| format!("{job},{more}")) }
    }

    /// A metric of Ripcord's.
    pub fn all(&self, metric: &str) -> String {
        format!("{metric}{{{}}}", self.matchers)
    }

    /// Those of its series with these labels besides.
    pub fn with(&self, metric: &str, more: &str) -> String {
        format!("{metric}{{{},{more}}}", self.matchers)
    }

    /// What the replica says that leads: another one says what it knew when it led. `labels` are those that the series has and
    /// `ripcord_leader` has not.
    pub fn leaders(&self, series: &str, labels: &str) -> String {
        // In brackets: a comparison behind it would bind to the last part.
        format!("({series} and ignoring ({labels}) ({} == 1))", self.all(names::LEADER))
    }
}
