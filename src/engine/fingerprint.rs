//! What a trigger decides by, in sixteen digits: a clock belongs to it, and not to the trigger's name.

use std::fmt::Write as _;

use super::settings::{Levels, Measure, Side, TriggerAction, TriggerSettings};

/// The form of the rendering below. Another number makes every clock start from nothing once.
const FORM: u32 = 1;

/// FNV-1a, 64 bits (Fowler, Noll, Vo). Stable for ever, unlike the hashers of the standard library.
pub(super) fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.into_iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

impl TriggerSettings {
    /// Differs where what was observed says nothing about the trigger any more: other series, levels, windows, or another action, since
    /// nobody shall be rolled back by what was seen when the trigger only paged. `hold_for` is not in it, because the clock is only
    /// compared with that; nor is what makes words.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:016x}", fnv1a(self.rendering().into_bytes()))
    }

    /// Every part is told apart from the next by its name, and the free text stands at the end. Numbers are written as their bits.
    fn rendering(&self) -> String {
        let action = match self.action {
            TriggerAction::Rollback => "rollback",
            TriggerAction::Page => "page",
        };
        let measure = match self.measure {
            Measure::FailureRatio => "failure_ratio".to_owned(),
            Measure::Availability => "availability".to_owned(),
            Measure::FailureRise => "failure_rise".to_owned(),
            Measure::BurnRate { budget } => format!("burn_rate {:x}", budget.to_bits()),
            Measure::Quantile { q } => format!("quantile {:x}", q.to_bits()),
            Measure::QuantileDegradation { q } => format!("quantile_degradation {:x}", q.to_bits()),
            Measure::Value => "value".to_owned(),
            Measure::ValueDegradation => "value_degradation".to_owned(),
            Measure::ValueDrop => "value_drop".to_owned(),
        };
        let side = match self.side {
            Side::Above => "above",
            Side::Below => "below",
        };
        let mut text = format!("{FORM};action {action};measure {measure};side {side};levels {}", bits(self.levels));
        for stage in &self.stages {
            // Writing into a String cannot fail.
            let _ = write!(text, ";stage {} {}", stage.up_to, bits(stage.levels));
        }
        for rate in &self.burn_rates {
            let (window, confirm) = (rate.window.as_nanos(), rate.confirm_window.as_nanos());
            let _ = write!(text, ";burn {:x} {window} {confirm}", rate.above.to_bits());
        }
        let confirm = self.confirm_window.map_or_else(|| "none".to_owned(), |window| window.as_nanos().to_string());
        let _ = write!(
            text,
            ";window {};confirm_window {confirm};clear_for {};literal {};source {}",
            self.window.as_nanos(),
            self.clear_for.as_nanos(),
            self.literal,
            self.source
        );
        text
    }
}

fn bits(levels: Levels) -> String {
    format!("{:x} {:x}", levels.threshold.to_bits(), levels.clear.to_bits())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::settings::{Stage, Unit};
    use super::super::tests::scenario::error_rate;
    use super::super::{Levels, Measure, Severity, Side, TriggerAction, TriggerSettings};
    use super::fnv1a;

    /// The published vectors of FNV-1a, 64 bits.
    #[test]
    fn the_hash_is_the_published_one() {
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(fnv1a(text.bytes()), hash, "{text}");
        }
    }

    /// A document that another version wrote is read by this one: the digits must not change by themselves.
    #[test]
    fn the_fingerprint_is_stable() {
        assert_eq!(
            error_rate().rendering(),
            "1;action rollback;measure failure_ratio;side above;levels 3f847ae147ae147b 3f747ae147ae147b;window 300000000000;\
             confirm_window 60000000000;clear_for 60000000000;literal false;source "
        );
        assert_eq!(error_rate().fingerprint(), format!("{:016x}", fnv1a(error_rate().rendering().bytes())));
        assert_eq!(error_rate().fingerprint().len(), 16);
    }

    #[test]
    fn it_differs_by_what_decides_and_by_nothing_else() {
        let base = error_rate;
        let stage = |up_to| Stage { up_to, levels: Levels { threshold: 0.005, clear: 0.002 } };
        let seconds = Duration::from_secs;
        let others = [
            TriggerSettings { source: "other".to_owned(), ..base() },
            TriggerSettings { action: TriggerAction::Page, ..base() },
            TriggerSettings { measure: Measure::Availability, ..base() },
            TriggerSettings { measure: Measure::Quantile { q: 0.95 }, ..base() },
            TriggerSettings { measure: Measure::Quantile { q: 0.99 }, ..base() },
            TriggerSettings { measure: Measure::QuantileDegradation { q: 0.95 }, ..base() },
            TriggerSettings { side: Side::Below, ..base() },
            TriggerSettings { levels: Levels { threshold: 0.02, clear: 0.005 }, ..base() },
            TriggerSettings { levels: Levels { threshold: 0.01, clear: 0.004 }, ..base() },
            TriggerSettings { stages: vec![stage(5)], ..base() },
            TriggerSettings { stages: vec![stage(6)], ..base() },
            TriggerSettings { window: seconds(301), ..base() },
            TriggerSettings { confirm_window: Some(seconds(61)), ..base() },
            TriggerSettings { confirm_window: None, ..base() },
            TriggerSettings { clear_for: seconds(61), ..base() },
            TriggerSettings { literal: true, ..base() },
        ];
        let mut all: Vec<_> = others.iter().map(TriggerSettings::fingerprint).collect();
        all.push(base().fingerprint());
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        let same = TriggerSettings {
            name: "other".to_owned(),
            severity: Severity::Info,
            hold_for: seconds(1),
            unit: Unit::None,
            ..base()
        };
        assert_eq!(same.fingerprint(), base().fingerprint());
    }
}
