//! Whether somebody would learn that Ripcord itself is gone. Nothing is sent: a beat says that the daemon's ticks succeed.

use crate::config::Settings;
use crate::engine::duration_in_words;

use super::check::{Area, Check};

/// Looks at the settings.
pub(super) fn look(settings: &Settings) -> Vec<Check> {
    vec![match &settings.heartbeat {
        Some(heartbeat) => Area::Heartbeat.ok("heartbeat", format!("every {}", duration_in_words(heartbeat.interval))),
        None => Area::Heartbeat.warn(
            "heartbeat",
            "there is none: nobody learns when Ripcord itself is gone",
            "name an address under heartbeat that pages when it hears nothing, or alert on Ripcord's own metrics",
        ),
    }]
}
