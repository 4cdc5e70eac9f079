//! `ripcord render dashboard`: dashboards for Grafana 11 and later, as JSON to import. What they show of the guards comes from the recording
//! rules of `ripcord render rules`; the rest is Ripcord's own metrics.
//!
//! - `panel`: panels, and where they stand
//! - `migration`: the guarded services while their traffic moves
//! - `own`: Ripcord itself

mod migration;
mod own;
mod panel;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::cli::Dashboard;
use crate::config::Settings;
use crate::engine::GuardState;
use crate::telemetry::names;

use super::scrape::Own;
use panel::{Board, datasource};

/// The version of the JSON model that is written: Grafana 11.6. Later ones read it and write their own.
const SCHEMA_VERSION: u64 = 41;

/// Those of the guards that the reader has chosen.
const CHOSEN: &str = "guard=~\"$guard\"";

/// One dashboard.
pub fn dashboard(which: Dashboard, settings: &Settings, own: &Own) -> Value {
    let (uid, title, description, board) = match which {
        Dashboard::Migration => (
            "ripcord-migration",
            "Migration",
            "The guarded services while their traffic moves, by the numbers that Ripcord decides by",
            migration::board(settings, own),
        ),
        Dashboard::Ripcord => ("ripcord", "Ripcord", "Ripcord itself: what it sees, does and tells", own::board(own)),
    };
    whole(uid, title, description, board, own)
}

fn whole(uid: &str, title: &str, description: &str, board: Board, own: &Own) -> Value {
    let guards = format!("label_values({}, guard)", own.all(names::GUARD_STATE));
    // Until it is verified: the rollout alone can be over between two scrapes.
    let states = [GuardState::RollingBack, GuardState::Verifying].map(GuardState::as_str).join("|");
    let rolling_back = own.with(names::GUARD_STATE, &format!("{CHOSEN},state=~\"{states}\""));
    json!({
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["ripcord"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "links": [{
            "type": "dashboards", "title": "Ripcord", "tags": ["ripcord"], "asDropdown": false, "includeVars": true, "keepTime": true,
            "targetBlank": false, "icon": "external link", "tooltip": "", "url": "",
        }],
        "__inputs": [],
        "__elements": {},
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "11.0.0"},
            {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        ],
        "annotations": {"list": [
            {
                "builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": true, "hide": true,
                "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard",
            },
            {
                "datasource": datasource(), "enable": true, "hide": false, "iconColor": "red", "name": "Rollbacks",
                "expr": format!("max by (guard) ({rolling_back}) == 1"), "step": "30s", "titleFormat": "Rollback", "textFormat": "{{guard}}",
                "tagKeys": "guard", "useValueForTime": false,
            },
        ]},
        "templating": {"list": [
            {
                "type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "regex": "", "refresh": 1, "hide": 0,
                "multi": false, "includeAll": false, "current": {}, "options": [],
            },
            {
                "type": "query", "name": "guard", "label": "Guard", "datasource": datasource(), "definition": guards,
                "query": {"qryType": 1, "query": guards, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
                "regex": "", "refresh": 2, "sort": 1, "hide": 0, "multi": true, "includeAll": true, "allValue": ".+",
                "current": {"text": ["All"], "value": ["$__all"]}, "options": [],
            },
        ]},
        "panels": board.panels(),
    })
}
