//! How numbers are said in Chinese, and what they belong to. The counterpart of `words`.

use std::time::Duration;

use jiff::Timestamp;

use super::super::assessment::{Assessment, Basis};
use super::super::input::Unknown;
use super::super::recorded::{Counted, Recorded};
use super::super::settings::{BaselineSource, Measure, TriggerSettings};
use super::super::trigger::{Verdict, since};
use super::super::words;

/// What people call the signals that have a name of their own. Other names are the user's, and stay as they are.
const NAMES: [(&str, &str); 5] = [
    ("error_rate", "错误率"),
    ("availability", "可用性"),
    ("latency", "延迟"),
    ("throughput", "吞吐量"),
    ("client_error_rate", "客户端错误率"),
];

/// A trigger's name as people call it.
pub(super) fn name(name: &str) -> String {
    NAMES.iter().find(|(known, _)| *known == name).map_or_else(|| name.to_owned(), |(_, said)| (*said).to_owned())
}

/// The same; a latency says its quantile: `P95 延迟`, `slow P99`.
pub(super) fn label(settings: &TriggerSettings) -> String {
    let name = name(&settings.name);
    match settings.measure {
        Measure::Quantile { q } | Measure::QuantileDegradation { q } => {
            let quantile = format!("P{}", words::rounded(q * 100.0));
            if name == settings.name { format!("{name} {quantile}") } else { format!("{quantile} {name}") }
        }
        _ => name,
    }
}

/// A trigger's threshold: `1 %`, `+50 %`, `14.4 倍`.
pub(super) fn threshold(settings: &TriggerSettings, threshold: f64) -> String {
    match settings.measure {
        Measure::FailureRise => points(threshold),
        Measure::BurnRate { .. } => multiple(threshold),
        _ => words::threshold(settings, threshold),
    }
}

/// The value: `3.1 %（31/1000 个请求失败）`.
pub(super) fn text(assessment: &Assessment, settings: &TriggerSettings) -> String {
    match (&assessment.verdict, assessment.basis) {
        (_, Some(basis)) => of_basis(basis, settings, assessment.recorded_at),
        (Verdict::Unknown(why), None) => unknown(why),
        (_, None) => String::new(),
    }
}

fn of_basis(basis: Basis, settings: &TriggerSettings, recorded_at: Option<Timestamp>) -> String {
    match basis {
        Basis::Counted { ratio, failed, total, .. } => {
            let ratio = if settings.measure == Measure::Availability { 1.0 - ratio } else { ratio };
            format!("{}（{}）", words::percent(ratio), counted(failed, total))
        }
        Basis::Burn { rate, ratio, failed, total, window } => {
            let (over, ratio) = (duration(window), words::percent(ratio));
            format!("{}（{over}内 {ratio}，{}）", multiple(rate), counted(failed, total))
        }
        Basis::Rise { rise, ratio, total, base, .. } => {
            let base = baseline(words::percent(base), settings, recorded_at);
            format!("{}（{total:.0} 个请求中 {}，{base}）", points(rise), words::percent(ratio))
        }
        Basis::Plain { value } => words::quantity(value, settings.unit),
        Basis::Degraded { worse, now, base } => {
            let shown = if settings.measure == Measure::ValueDrop { -worse } else { worse };
            let base = baseline(words::quantity(base, settings.unit), settings, recorded_at);
            format!("{}（{}，{base}）", words::signed_percent(shown), words::quantity(now, settings.unit))
        }
    }
}

fn counted(failed: f64, total: f64) -> String {
    format!("{failed:.0}/{total:.0} 个请求失败")
}

fn points(difference: f64) -> String {
    let sign = if difference < 0.0 { "-" } else { "+" };
    format!("{sign}{} 个百分点", words::rounded(difference.abs() * 100.0))
}

fn multiple(rate: f64) -> String {
    format!("{} 倍", words::rounded(rate))
}

/// `基线 120 ms，记录于 2026-01-02`.
fn baseline(value: String, settings: &TriggerSettings, recorded_at: Option<Timestamp>) -> String {
    match (&settings.baseline, recorded_at) {
        (Some(BaselineSource::Recorded { .. }), Some(at)) => format!("基线 {value}，记录于 {}", words::day(at)),
        (Some(BaselineSource::Offset(offset)), _) => format!("{}的基线 {value}", ago(*offset)),
        (Some(BaselineSource::Control(series)), _) => format!("同一时刻 {series} 的基线 {value}"),
        _ => format!("基线 {value}"),
    }
}

/// Where the baseline comes from; `None` without one.
pub(super) fn baseline_source(settings: &TriggerSettings, kept: &[Recorded]) -> Option<String> {
    Some(match settings.baseline.as_ref()? {
        BaselineSource::Fixed => "固定值".to_owned(),
        BaselineSource::Offset(offset) => ago(*offset),
        BaselineSource::Control(series) => format!("同一时刻的 {series}"),
        BaselineSource::Recorded { .. } => match settings.in_use(kept) {
            Some(recorded) => source(recorded),
            None => "尚未记录".to_owned(),
        },
    })
}

/// `记录于 2026-01-02，时段 7 天，120345 个请求，版本 3`.
fn source(recorded: &Recorded) -> String {
    let measured = &recorded.measured;
    let (day, period) = (words::day(recorded.recorded_at), period(since(measured.from, measured.to)));
    let of = match measured.counted {
        Counted::Requests => "个请求",
        Counted::Samples => "个样本",
    };
    format!("记录于 {day}，时段 {period}，{:.0} {of}，版本 {}", measured.count, recorded.version)
}

fn ago(time: Duration) -> String {
    if time == Duration::from_secs(24 * 3600) { "一天前".to_owned() } else { format!("{}前", period(time)) }
}

/// `41 天 3 小时`. Of more than a day the minutes are left out.
pub(super) fn period(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86400, seconds % 86400 / 3600) {
        (0, _) => duration(time),
        (days, 0) => format!("{days} 天"),
        (days, hours) => format!("{days} 天 {hours} 小时"),
    }
}

/// `5 分钟`, `1 分 30 秒`, `250 毫秒`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 && duration.subsec_millis() > 0 {
        return format!("{} 毫秒", duration.subsec_millis());
    }
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} 秒"),
        (0, minutes, 0) => format!("{minutes} 分钟"),
        (0, minutes, seconds) => format!("{minutes} 分 {seconds} 秒"),
        (hours, 0, 0) => format!("{hours} 小时"),
        (hours, minutes, 0) => format!("{hours} 小时 {minutes} 分"),
        (hours, minutes, seconds) => format!("{hours} 小时 {minutes} 分 {seconds} 秒"),
    }
}

/// Why something is not known.
pub(super) fn unknown(why: &Unknown) -> String {
    match why {
        Unknown::NoSeries => "查询没有返回序列（标签匹配不到，或窗口内抓取不足两次）".to_owned(),
        Unknown::NoTraffic => "窗口内没有请求".to_owned(),
        Unknown::TooFewRequests { requests, needed } => {
            format!("窗口内只有 {requests:.0} 个请求，不足以判断（需要 {needed:.0} 个）")
        }
        Unknown::NotANumber => "结果不是数字".to_owned(),
        Unknown::SeveralSeries(n) => {
            format!("查询返回了 {n} 条序列，这里只要一个数字；请聚合，例如用 max()")
        }
        Unknown::QueryFailed(e) => format!("查询失败：{e}"),
        Unknown::TimedOut(after) => format!("Prometheus 在 {after:?} 内没有应答"),
        Unknown::Warning(w) => format!("Prometheus 对结果给出警告：{w}"),
        Unknown::Stale(age) => format!("数据是 {age:?} 前的"),
        Unknown::Baseline(inner) => match **inner {
            Unknown::NotRecorded | Unknown::RecordedOfOther => unknown(inner),
            _ => format!("基线未知：{}", unknown(inner)),
        },
        Unknown::NotRecorded => "还没有记录基线：请执行 ripcord baseline record".to_owned(),
        Unknown::RecordedOfOther => "记录的基线属于别的序列或别的分位数：请执行 ripcord baseline record".to_owned(),
        Unknown::NotObserved => "这一次没有取到值".to_owned(),
        Unknown::Cluster(e) => format!("无法读取集群：{e}"),
        Unknown::TooEarly => "窗口里还有变更之前的数据".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_the_way_people_say_them() {
        let said = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([0, 45, 300, 90].map(said), ["0 秒", "45 秒", "5 分钟", "1 分 30 秒"]);
        assert_eq!([3600, 5400, 3661].map(said), ["1 小时", "1 小时 30 分", "1 小时 1 分 1 秒"]);
        assert_eq!(duration(Duration::from_millis(250)), "250 毫秒");
        let day = 86400;
        let said = |seconds| period(Duration::from_secs(seconds));
        assert_eq!([day * 7, day * 41 + 3 * 3600 + 60, 300].map(said), ["7 天", "41 天 3 小时", "5 分钟"]);
    }
}
