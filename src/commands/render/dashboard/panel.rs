//! Panels, and where they stand. The shape is that of Grafana's dashboard JSON model, schema version 41
//! (<https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>).

use serde_json::{Value, json};

/// The width of a dashboard, in columns.
const COLUMNS: u64 = 24;

/// The data source that the reader chooses.
pub fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A to Z, as Grafana names queries, and then A1 to Z1 and so on.
fn references() -> impl Iterator<Item = String> {
    let letters = |round: usize| {
        ('A'..='Z').map(move |letter| if round == 0 { letter.to_string() } else { format!("{letter}{round}") })
    };
    (0..).flat_map(letters)
}

/// What kind of panel it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Curves.
    Curves,
    /// One number for each series, large.
    Numbers,
    /// States over time, each with its colour.
    States,
}

/// One panel.
pub struct Panel {
    kind: Kind,
    title: String,
    description: String,
    unit: &'static str,
    between: (Option<f64>, Option<f64>),
    steps: Vec<(Option<f64>, &'static str)>,
    mappings: Vec<(f64, &'static str, &'static str)>,
    targets: Vec<(String, String)>,
    text: &'static str,
}

impl Panel {
    /// A panel without a query.
    pub fn new(kind: Kind, title: &str, unit: &'static str, description: &str) -> Self {
        Self {
            kind,
            title: title.to_owned(),
            description: description.to_owned(),
            unit,
            between: (None, None),
            steps: vec![(None, "green")],
            mappings: Vec::new(),
            targets: Vec::new(),
            text: "auto",
        }
    }

    /// The ends of its axis.
    pub fn between(mut self, least: f64, most: f64) -> Self {
        self.between = (Some(least), Some(most));
        self
    }

    /// It begins at zero.
    pub fn zero_based(mut self) -> Self {
        self.between.0 = Some(0.0);
        self
    }

    /// From this value on it has this colour.
    pub fn from(mut self, value: f64, color: &'static str) -> Self {
        self.steps.push((Some(value), color));
        self
    }

    /// Below the first of those it has this one.
    pub fn else_(mut self, color: &'static str) -> Self {
        self.steps[0].1 = color;
        self
    }

    /// This value is shown as this text, in this colour.
    pub fn means(mut self, value: f64, text: &'static str, color: &'static str) -> Self {
        self.mappings.push((value, text, color));
        self
    }

    /// Numbers are shown as the names of their series alone, or with them: without, a single one is shown without.
    pub fn text(mut self, mode: &'static str) -> Self {
        self.text = mode;
        self
    }

    /// One more query, and how its series are called.
    pub fn query(mut self, legend: &str, expr: impl Into<String>) -> Self {
        self.targets.push((legend.to_owned(), expr.into()));
        self
    }

    fn json(&self, id: u64, place: Value) -> Value {
        let targets: Vec<Value> = self
            .targets
            .iter()
            .zip(references())
            .map(|((legend, expr), reference)| {
                json!({
                    "refId": reference, "datasource": datasource(), "editorMode": "code", "expr": expr, "legendFormat": legend,
                    "range": self.kind != Kind::Numbers, "instant": self.kind == Kind::Numbers,
                })
            })
            .collect();
        let steps: Vec<Value> =
            self.steps.iter().map(|(value, color)| json!({"value": value, "color": color})).collect();
        let mut defaults = json!({
            "unit": self.unit,
            "color": {"mode": if self.kind == Kind::Curves { "palette-classic" } else { "thresholds" }},
            "thresholds": {"mode": "absolute", "steps": steps},
            "mappings": [],
            "custom": {},
        });
        if let (Some(least), _) = self.between {
            defaults["min"] = json!(least);
        }
        if let (_, Some(most)) = self.between {
            defaults["max"] = json!(most);
        }
        if !self.mappings.is_empty() {
            let texts: serde_json::Map<String, Value> = self
                .mappings
                .iter()
                .zip(0..)
                .map(|((value, text, color), index)| {
                    (value.to_string(), json!({"text": text, "color": color, "index": index}))
                })
                .collect();
            defaults["mappings"] = json!([{"type": "value", "options": texts}]);
        }
        let (kind, options) = match self.kind {
            Kind::Curves => {
                defaults["custom"] = json!({
                    "drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": false,
                    "thresholdsStyle": {"mode": "off"},
                });
                let options = json!({
                    "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": true},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                });
                ("timeseries", options)
            }
            Kind::Numbers => {
                let options = json!({
                    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                    "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": self.text, "orientation": "auto",
                });
                ("stat", options)
            }
            Kind::States => {
                defaults["custom"] = json!({"fillOpacity": 70, "lineWidth": 0});
                let options = json!({
                    "mergeValues": true, "showValue": "auto", "rowHeight": 0.8, "alignValue": "left",
                    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                    "tooltip": {"mode": "single"},
                });
                ("state-timeline", options)
            }
        };
        // Limits are no curves of the service's own: dashed and red.
        let limits = json!([{
            "matcher": {"id": "byRegexp", "options": "/^limit/"},
            "properties": [
                {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
                {"id": "custom.fillOpacity", "value": 0},
                {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}},
            ],
        }]);
        let overrides = if self.kind == Kind::Curves { limits } else { json!([]) };
        json!({
            "id": id, "type": kind, "title": self.title, "description": self.description, "gridPos": place, "datasource": datasource(),
            "targets": targets, "options": options, "fieldConfig": {"defaults": defaults, "overrides": overrides},
        })
    }
}

/// Panels, one row below the other.
#[derive(Default)]
pub struct Board {
    panels: Vec<Value>,
    x: u64,
    y: u64,
    height: u64,
}

impl Board {
    fn next_id(&self) -> u64 {
        self.panels.len() as u64 + 1
    }

    /// A heading over what follows.
    pub fn row(&mut self, title: &str) {
        self.wrap();
        let place = json!({"x": 0, "y": self.y, "w": COLUMNS, "h": 1});
        self.panels.push(json!({
            "id": self.next_id(), "type": "row", "title": title, "collapsed": false, "gridPos": place, "panels": [],
        }));
        self.y += 1;
    }

    /// A panel beside the last one, or below it where there is no room.
    pub fn add(&mut self, width: u64, height: u64, panel: &Panel) {
        if self.x + width > COLUMNS {
            self.wrap();
        }
        let place = json!({"x": self.x, "y": self.y, "w": width, "h": height});
        self.panels.push(panel.json(self.next_id(), place));
        self.x += width;
        self.height = self.height.max(height);
    }

    fn wrap(&mut self) {
        self.y += self.height;
        (self.x, self.height) = (0, 0);
    }

    /// All of them.
    pub fn panels(self) -> Vec<Value> {
        self.panels
    }
}
