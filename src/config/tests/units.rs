//! Units.

use std::time::Duration;

use proptest::prelude::*;

use crate::config::units::{Scalar, duration, latency, quantity, rate, ratio, say, share};
use crate::engine::Unit;

fn text(text: &str) -> Scalar {
    Scalar::Text(text.to_owned())
}

#[test]
fn durations() {
    for (written, millis) in
        [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0s", 0)]
    {
        assert_eq!(duration(written), Ok(Duration::from_millis(millis)), "{written}");
    }
    for written in ["", "0", "5", "1.5", "1.5h", "5 m", "m", "5M", "30m1h", "5m5m", "-5m", "1min", "5m ", "µs", "5µs"]
    {
        let error = duration(written).expect_err(written);
        assert!(error.contains("is no duration; write it with a unit, like 90s or 5m"), "{error}");
    }
    for written in ["367d", "99999999999999999999y", "18446744073709551615ms", "300000000y"] {
        assert!(duration(written).expect_err(written).contains("longer than a year"), "{written}");
    }
}

#[test]
fn a_message_stays_one_short_line() {
    let error = duration(&"x\n".repeat(1000)).expect_err("no duration");
    assert!(error.starts_with("\"x\\nx\\n") && error.len() < 300 && !error.contains('\n'), "{error}");
}

#[test]
fn ratios() {
    assert_eq!(ratio(&text("1%")), Ok(0.01));
    assert_eq!(ratio(&text("0.5%")), Ok(0.005));
    assert_eq!(ratio(&text("99.5%")), Ok(0.995));
    assert_eq!(ratio(&Scalar::Number(0.01)), Ok(0.01));
    for written in ["", "%", "1 percent", "inf", "NaN%", "1%%"] {
        assert!(ratio(&text(written)).is_err(), "{written}");
    }
    for written in [text("0%"), text("100%"), text("-1%"), Scalar::Number(1.0), Scalar::Number(5.0)] {
        assert!(share(&written).expect_err("out of range").contains("out of range"));
    }
}

#[test]
fn latencies_and_rates() {
    assert_eq!(latency(&text("120ms")), Ok(0.12));
    assert_eq!(latency(&text("1.2s")), Ok(1.2));
    assert_eq!(latency(&text("1m")), Ok(60.0));
    for written in [Scalar::Number(0.12), text("120"), text("0ms"), text("-1s"), text("1.2")] {
        assert!(latency(&written).is_err(), "{written}");
    }
    assert_eq!(rate(&text("20/s")), Ok(20.0));
    assert_eq!(rate(&Scalar::Number(0.5)), Ok(0.5));
    for written in [text("20/m"), text("0/s"), Scalar::Number(-1.0)] {
        assert!(rate(&written).is_err(), "{written}");
    }
}

#[test]
fn quantities() {
    for (written, value, unit) in [
        (text("128Mi"), 134_217_728.0, Unit::Bytes),
        (text("1Gi"), 1_073_741_824.0, Unit::Bytes),
        (text("500M"), 5e8, Unit::Bytes),
        (text("200m"), 0.2, Unit::None),
        (text("5m"), 0.005, Unit::None),
        (text("150ms"), 0.15, Unit::Seconds),
        (text("1.5s"), 1.5, Unit::Seconds),
        (text("14d"), 1_209_600.0, Unit::Seconds),
        (text("20/s"), 20.0, Unit::PerSecond),
        (text("80%"), 0.8, Unit::Ratio),
        (Scalar::Number(-3.0), -3.0, Unit::None),
        (text("12"), 12.0, Unit::None),
    ] {
        assert_eq!(quantity(&written), Ok((value, unit)), "{written}");
    }
    for written in ["", "Mi", "128 MB", "128mi", "inf", "1e999", "x"] {
        assert!(quantity(&text(written)).is_err(), "{written}");
    }
}

proptest! {
    #[test]
    fn what_is_said_of_a_duration_reads_back(millis in 0_u64..31_000_000_000) {
        let said = say(Duration::from_millis(millis));
        prop_assert_eq!(duration(&said), Ok(Duration::from_millis(millis)));
    }

    #[test]
    fn no_text_panics(any in "\\PC{0,12}") {
        let _ = duration(&any);
        let _ = (ratio(&text(&any)), latency(&text(&any)), rate(&text(&any)), quantity(&text(&any)));
    }
}
