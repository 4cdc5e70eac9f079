//! When each alert fires: series in, by `promtool test rules`, which is Prometheus' own rule engine without the waiting.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::render;
use crate::support::World;

/// A case: the alert, series with their samples (one each 10 s), when it is looked at, and whether it fires then. `LEADS` stands for
/// `ripcord_leader` of the replica `a`, which is 1.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, bool);

/// `1x30` is a sample and 30 more, `0+10x30` grows by 10 each, `_` is none. Series have `job="ripcord"` put in.
const CASES: [Case; 54] = [
    ("RipcordGone", &[("ripcord_build_info{instance='a'}", "1x100")], "10m", false),
    ("RipcordGone", &[("ripcord_build_info{instance='a'}", "1x30 stale")], "6m", false),
    ("RipcordGone", &[("ripcord_build_info{instance='a'}", "1x30 stale")], "8m", true),
    (
        "RipcordGone",
        &[("ripcord_build_info{instance='a'}", "1x10 stale"), ("ripcord_build_info{instance='b'}", "1x100")],
        "8m",
        false,
    ),
    // Other pods of the same job.
    ("RipcordGone", &[("up{instance='c'}", "1x100")], "3m", true),
    ("RipcordGone", &[], "3m", true),
    ("RipcordNotEvaluating", &[LEADS, (LAST, "0+10x100")], "10m", false),
    ("RipcordNotEvaluating", &[LEADS, (LAST, "0+10x10 100x100")], "3m", false),
    ("RipcordNotEvaluating", &[LEADS, (LAST, "0+10x10 100x100")], "10m", true),
    ("RipcordNotEvaluating", &[LEADS], "3m", true),
    ("RipcordNotEvaluating", &[LEADS, (LAST, "0x100"), STANDS_BY, (LAST_OF_B, "0+10x100")], "10m", true),
    ("RipcordNotEvaluating", &[LEADS, (LAST, "0+10x100"), STANDS_BY, (LAST_OF_B, "0x100")], "10m", false),
    ("RipcordNoLeader", &[STANDS_BY, ("ripcord_leader{instance='c'}", "0x100")], "10m", true),
    ("RipcordNoLeader", &[STANDS_BY, LEADS], "10m", false),
    ("RipcordNoLeader", &[("ripcord_leader{instance='a'}", "1x20 0x2 1x100")], "6m", false),
    ("RipcordTwoLeaders", &[LEADS, ("ripcord_leader{instance='b'}", "1x100")], "10m", true),
    ("RipcordTwoLeaders", &[LEADS, STANDS_BY], "10m", false),
    ("RipcordTwoLeaders", &[LEADS, ("ripcord_leader{instance='b'}", "0x20 1x6 0x100")], "5m", false),
    ("RipcordConfigReloadFailed", &[("ripcord_config_reload_success{instance='a'}", "0x100")], "5m", true),
    ("RipcordConfigReloadFailed", &[("ripcord_config_reload_success{instance='a'}", "1x100")], "5m", false),
    ("RipcordBlind", &[LEADS, SHARE, (UNKNOWN, "1x200")], "15m", true),
    ("RipcordBlind", &[LEADS, SHARE, (UNKNOWN, "1x200")], "5m", false),
    ("RipcordBlind", &[LEADS, SHARE, (UNKNOWN, "0x200")], "15m", false),
    ("RipcordBlind", &[LEADS, (SHARE.0, "0x200"), (UNKNOWN, "1x200")], "15m", false),
    ("RipcordBlind", &[(LEADS.0, "0x200"), SHARE, (UNKNOWN, "1x200")], "15m", false),
    (
        "RipcordBlind",
        &[
            LEADS,
            SHARE,
            (
                "ripcord_trigger_verdict{instance='a',guard='terminal',trigger='proxy_memory',verdict='unknown'}",
                "1x200",
            ),
        ],
        "15m",
        false,
    ),
    ("RipcordQueriesFail", &[(OK, "0+10x100"), (FAILED, "0+5x100")], "10m", true),
    ("RipcordQueriesFail", &[(OK, "0+100x100"), (FAILED, "0+5x100")], "10m", false),
    ("RipcordQueriesFail", &[("ripcord_queries_total{instance='a',result='timed_out'}", "0+5x100")], "10m", true),
    ("RipcordQueriesFail", &[("ripcord_queries_total{instance='a',result='no_series'}", "0+5x100")], "10m", false),
    ("RipcordBaselineTooOld", &[(RECORDED, "-2600000x100")], "10m", true),
    ("RipcordBaselineTooOld", &[(RECORDED, "-2500000x100")], "10m", false),
    ("RipcordNotificationsStuck", &[(OLDEST, "0+10x100")], "6m", false),
    ("RipcordNotificationsStuck", &[(OLDEST, "0+10x100")], "8m", true),
    ("RipcordNotificationsStuck", &[(OLDEST, "0+10x35 0x100")], "8m", false),
    // A counter that begins with its first loss.
    ("RipcordNotificationsLost", &[(LOST, "_x30 1x700")], "4m", false),
    ("RipcordNotificationsLost", &[(LOST, "_x30 1x700")], "10m", true),
    ("RipcordNotificationsLost", &[(LOST, "_x30 1x700")], "80m", false),
    ("RipcordNotificationsLost", &[(LOST, "3x400 4x300")], "65m", false),
    ("RipcordNotificationsLost", &[(LOST, "3x400 4x300")], "70m", true),
    // A scrape that failed so long ago makes no new series of an old one.
    ("RipcordNotificationsLost", &[(LOST, "1x79 stale 1x700")], "80m10s", false),
    ("RipcordStateNotSaved", &[(NOT_SAVED, "_x30 1+1x100")], "10m", true),
    ("RipcordStateNotSaved", &[(NOT_SAVED, "7x200")], "20m", false),
    ("RipcordStateNotSaved", &[(NOT_SAVED, "_x30 1x200")], "8m", false),
    ("RipcordNotReady", &[LEADS, (READY, "0x200")], "5m", false),
    ("RipcordNotReady", &[LEADS, (READY, "0x200")], "12m", true),
    ("RipcordNotReady", &[LEADS, (READY, "1x200")], "12m", false),
    ("RipcordNotReady", &[(LEADS.0, "0x200"), (READY, "0x200")], "12m", false),
    (
        "RipcordRollbackFailed",
        &[("ripcord_rollbacks_total{instance='a',guard='terminal',result='failed'}", "_x10 1x200")],
        "5m",
        true,
    ),
    (
        "RipcordRollbackFailed",
        &[("ripcord_rollbacks_total{instance='a',guard='terminal',result='not_recovered'}", "1x60 2x90")],
        "15m",
        true,
    ),
    (
        "RipcordRollbackFailed",
        &[("ripcord_rollbacks_total{instance='a',guard='terminal',result='failed'}", "_x10 1x200")],
        "20m",
        false,
    ),
    (
        "RipcordRollbackFailed",
        &[("ripcord_rollbacks_total{instance='a',guard='terminal',result='failed'}", "1x120 stale 1x200")],
        "30m10s",
        false,
    ),
    // Nor does an hour in which Prometheus itself was away.
    (
        "RipcordRollbackFailed",
        &[("ripcord_rollbacks_total{instance='a',guard='terminal',result='failed'}", "1x30 _x360 1x200")],
        "65m20s",
        false,
    ),
    (
        "RipcordRollbackFailed",
        &[("ripcord_rollbacks_total{instance='a',guard='terminal',result='succeeded'}", "_x10 1x200")],
        "5m",
        false,
    ),
];

const LEADS: (&str, &str) = ("ripcord_leader{instance='a'}", "1x200");
const STANDS_BY: (&str, &str) = ("ripcord_leader{instance='b'}", "0x200");
const LAST: &str = "ripcord_last_evaluation_timestamp_seconds{instance='a'}";
const LAST_OF_B: &str = "ripcord_last_evaluation_timestamp_seconds{instance='b'}";
const SHARE: (&str, &str) = ("ripcord_traffic_percentage{instance='a',guard='terminal'}", "25x200");
const UNKNOWN: &str = "ripcord_trigger_verdict{instance='a',guard='terminal',trigger='error_rate',verdict='unknown'}";
const OK: &str = "ripcord_queries_total{instance='a',result='ok'}";
const FAILED: &str = "ripcord_queries_total{instance='a',result='query_failed'}";
const RECORDED: &str = "ripcord_baseline_recorded_timestamp_seconds{instance='a',guard='terminal',trigger='compared'}";
const OLDEST: &str = "ripcord_notification_oldest_seconds{instance='a',receiver='oncall'}";
const LOST: &str = "ripcord_notifications_total{instance='a',receiver='oncall',result='lost'}";
const NOT_SAVED: &str = "ripcord_journal_writes_total{instance='a',result='failed'}";
const READY: &str = "ripcord_rollback_ready{instance='a',guard='terminal'}";

/// The preset compares with nothing that is recorded.
const MORE: &str =
    "defaults: {triggers: {compared: {signal: latency, degraded_by: 50%, baseline: {recorded: {}}, action: page}}}\n";

pub async fn each_fires_when_it_should_and_not_otherwise(world: World) -> anyhow::Result<()> {
    let preset = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ripcord.yaml");
    let more = world.write("more.yaml", MORE)?;
    let rendered = render(&world, &["rules"], &[&preset, &more]).await?;
    world.write("rules.yaml", &rendered)?;
    promtool(&world, &["check", "rules", "rules.yaml"])?;

    // Every alert that there is has a case in which it fires, and one in which it does not.
    let rules: Value = serde_saphyr::from_str(&rendered)?;
    let all = rules["groups"].as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array());
    let mut open: BTreeMap<&str, [bool; 2]> =
        all.flatten().filter_map(|rule| rule["alert"].as_str()).map(|alert| (alert, [false; 2])).collect();
    for (alert, _, _, fires) in CASES {
        open.get_mut(alert).with_context(|| format!("there is no alert {alert}"))?[usize::from(fires)] = true;
    }
    ensure!(open.values().all(|seen| *seen == [true; 2]), "{open:?}");

    let tests: Vec<Value> = CASES
        .iter()
        .map(|(alert, series, at, fires)| {
            let series = input(series);
            let expected = if *fires { json!([{"labels": "{}", "value": 1}]) } else { json!([]) };
            json!({
                "name": format!("{alert} at {at}: {series:?}"), "interval": "10s", "input_series": series,
                "promql_expr_test": [{
                    "expr": format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})"), "eval_time": at, "exp_samples": expected,
                }],
            })
        })
        .collect();
    let file = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "10s", "tests": tests});
    world.write("tests.json", &file.to_string())?;
    promtool(&world, &["test", "rules", "tests.json"])
}

/// Series as promtool has them.
fn input(series: &[(&str, &str)]) -> Vec<Value> {
    let of = |(name, values): &(&str, &str)| {
        let name = name.replace('\'', "\"").replace("{", "{job=\"ripcord\",");
        json!({"series": name, "values": values})
    };
    series.iter().map(of).collect()
}

/// A panel, the beginning of the legend of one of its queries, series, and what it shows of them after five minutes.
type Shown = (&'static str, &'static str, &'static [(&'static str, &'static str)], f64);

const SHOWN: [Shown; 5] = [
    ("Rollbacks that would fail", "guards", &[LEADS, (READY, "0x200")], 1.0),
    ("Rollbacks that would fail", "guards", &[LEADS, (READY, "1x200")], 0.0),
    ("Rollbacks that would fail", "guards", &[(LEADS.0, "0x200"), (READY, "0x200")], 0.0),
    // The baseline is 120 ms, whatever the short window says.
    ("Latency", "baseline", &[SHORT, LONG, DEGRADED, LIMIT], 0.12),
    ("Latency", "limit", &[SHORT, LONG, DEGRADED, LIMIT], 0.18),
];

const SHORT: (&str, &str) = (
    "guard_trigger:request_duration_seconds:quantile{guard='terminal',trigger='latency',window='1m',quantile='0.95'}",
    "0.3x200",
);
const LONG: (&str, &str) = (
    "guard_trigger:request_duration_seconds:quantile{guard='terminal',trigger='latency',window='5m',quantile='0.95'}",
    "0.15x200",
);
const DEGRADED: (&str, &str) = ("ripcord_trigger_value{instance='a',guard='terminal',trigger='latency'}", "0.25x200");
const LIMIT: (&str, &str) = ("ripcord_trigger_threshold{instance='a',guard='terminal',trigger='latency'}", "0.5x200");

pub async fn panels_show_what_they_say(world: World) -> anyhow::Result<()> {
    let preset = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ripcord.yaml");
    let mut queries = BTreeMap::new();
    for which in ["migration", "ripcord"] {
        let dashboard: Value = serde_json::from_str(&render(&world, &["dashboard", which], &[&preset]).await?)?;
        for panel in dashboard["panels"].as_array().context("panels")? {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
                let legend = text(&target["legendFormat"]).split(' ').next().unwrap_or_default().to_owned();
                queries.insert((text(&panel["title"]), legend), text(&target["expr"]).replace("$guard", ".+"));
            }
        }
    }
    let mut tests = Vec::new();
    for (panel, legend, series, wanted) in SHOWN {
        let query = queries.get(&(panel.to_owned(), legend.to_owned()));
        let query = query.with_context(|| format!("{panel} has no {legend}"))?;
        tests.push(json!({
            "name": format!("{panel}, {legend}: {series:?}"), "interval": "10s", "input_series": input(series),
            "promql_expr_test": [{"expr": format!("sum({query})"), "eval_time": "5m", "exp_samples": [{"labels": "{}", "value": wanted}]}],
        }));
    }
    world.write("tests.json", &json!({"tests": tests, "evaluation_interval": "10s"}).to_string())?;
    promtool(&world, &["test", "rules", "tests.json"])
}

fn promtool(world: &World, args: &[&str]) -> anyhow::Result<()> {
    let out = Command::new(&world.binaries.promtool).args(args).current_dir(&world.dir).output()?;
    let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "promtool {args:?}: {told}");
    Ok(())
}
