//! The queries of a tick, and who gets which number of the answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::config::{Baseline, Guard, Selector, Signal, SignalKind, lasting};
use crate::engine::{Evidence, Name, Reading, Unknown, needed_for_quantile, needed_for_ratio};

use super::expression::Expression;
use super::promql::{self, Number, Shape, Steps};

/// The longest query that is sent for several guards at once: what VictoriaMetrics takes by default (`-search.maxQueryLen`). Prometheus
/// itself has no such limit, and takes alternatives that are plain texts as a set, however many they are.
pub(super) const MAX_QUERY_BYTES: usize = 16 * 1024;

/// One query of a tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The text.
    pub promql: String,
    /// The labels that tell the rows of the answer apart. Without any, the answer must be one number.
    pub labels: Vec<String>,
    /// What the text was rendered from; none for PromQL that a person wrote.
    pub(super) built_in: Option<Expression>,
    /// The number that each row is, by the key of its label values in the order of `labels`.
    rows: HashMap<Vec<u8>, usize>,
}

impl Query {
    fn new(promql: String, labels: Vec<String>, rows: &[(Vec<String>, usize)], built_in: Option<Expression>) -> Self {
        let rows = rows.iter().map(|(values, at)| (key(values.iter().map(String::as_str)), *at)).collect();
        Self { promql, labels, built_in, rows }
    }

    /// Which number of the plan the row is whose labels have these values; none where nobody asked for it.
    pub(super) fn number<'a>(&self, value_of: impl Fn(&str) -> &'a str) -> Option<usize> {
        match self.labels.as_slice() {
            // Mostly, and the key is the value then.
            [only] => self.rows.get(value_of(only).as_bytes()),
            several => self.rows.get(&key(several.iter().map(|label| value_of(label)))),
        }
        .copied()
    }
}

/// Label values as one, with what is in no text between them.
fn key<'a>(values: impl Iterator<Item = &'a str>) -> Vec<u8> {
    const BETWEEN: u8 = 0xff;
    let mut key = Vec::new();
    for (index, value) in values.enumerate() {
        if index > 0 {
            key.push(BETWEEN);
        }
        key.extend_from_slice(value.as_bytes());
    }
    key
}

/// A row of an answer: which number of the plan it is, and what it says.
pub type Row = (usize, f64);

/// What a query gave: its rows, or why it gave none.
pub type Answer = Result<Vec<Row>, Unknown>;

/// The queries of a tick and the readings that are made of their answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    queries: Vec<Query>,
    numbers: usize,
    readings: Vec<PlannedReading>,
}

#[derive(Debug, Clone, PartialEq)]
struct PlannedReading {
    guard: Name,
    trigger: Name,
    window: PlannedEvidence,
    confirm: Option<PlannedEvidence>,
    baseline: Option<PlannedBaseline>,
    burn: Vec<(PlannedEvidence, PlannedEvidence)>,
}

/// Which numbers a piece of evidence is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum PlannedEvidence {
    Counts { failed: usize, total: usize },
    Quantile { value: usize, requests: usize },
    Value(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum PlannedBaseline {
    Fixed(f64),
    Number(usize),
    /// A quantile of other requests needs enough of them, like any quantile.
    Quantile {
        q: f64,
        value: usize,
        requests: usize,
    },
    /// A ratio needs enough requests, like any ratio.
    Ratio {
        failed: usize,
        total: usize,
        needed: f64,
    },
}

/// A number that is wanted: what, and of which label values. The values' order is that of the shape's labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Wanted {
    BuiltIn(Shape, Vec<String>),
    /// What a built-in number is at each step of a period, put into one function.
    Over(&'static str, Steps, Shape, Vec<String>),
    Promql(String),
}

/// Gives each wanted number its index, the same one to the same number.
#[derive(Default)]
struct Numbers {
    known: BTreeMap<Wanted, usize>,
}

impl Numbers {
    fn index(&mut self, wanted: Wanted) -> usize {
        let next = self.known.len();
        *self.known.entry(wanted).or_insert(next)
    }

    fn built_in(&mut self, number: Number, selector: &Selector, window: Duration, offset: Duration) -> usize {
        let values = selector.labels.values().cloned().collect();
        self.index(Wanted::BuiltIn(shape(number, selector, window, offset), values))
    }

    fn over(
        &mut self,
        function: &'static str,
        steps: Steps,
        number: Number,
        selector: &Selector,
        window: Duration,
    ) -> usize {
        let values = selector.labels.values().cloned().collect();
        self.index(Wanted::Over(function, steps, shape(number, selector, window, Duration::ZERO), values))
    }

    fn evidence(&mut self, kind: &SignalKind, window: Duration, offset: Duration) -> PlannedEvidence {
        match kind {
            SignalKind::ErrorRate(selector) | SignalKind::Availability(selector) => PlannedEvidence::Counts {
                failed: self.built_in(Number::Failed, selector, window, offset),
                total: self.built_in(Number::Requests, selector, window, offset),
            },
            SignalKind::ClientErrorRate(selector) => PlannedEvidence::Counts {
                failed: self.built_in(Number::ClientErrors, selector, window, offset),
                total: self.built_in(Number::Requests, selector, window, offset),
            },
            SignalKind::Latency { selector, quantile } => PlannedEvidence::Quantile {
                value: self.built_in(Number::Quantile(millionths(*quantile)), selector, window, offset),
                requests: self.built_in(Number::Timed, selector, window, offset),
            },
            SignalKind::Throughput(selector) => {
                PlannedEvidence::Value(self.built_in(Number::Rate, selector, window, offset))
            }
            SignalKind::Promql(query) => PlannedEvidence::Value(self.index(Wanted::Promql(query.clone()))),
        }
    }

    fn burn(&mut self, signal: &Signal) -> Vec<(PlannedEvidence, PlannedEvidence)> {
        let mut over = |window| self.evidence(&signal.kind, window, Duration::ZERO);
        signal.burn_rates.iter().map(|rate| (over(rate.window), over(rate.confirm_window))).collect()
    }

    /// `threshold` is the trigger's: a ratio must be told from it.
    fn baseline(&mut self, baseline: &Baseline, signal: &Signal, threshold: f64) -> Option<PlannedBaseline> {
        let evidence = match baseline {
            Baseline::Fixed(value) => return Some(PlannedBaseline::Fixed(*value)),
            // The engine has it.
            Baseline::Recorded(_) => return None,
            Baseline::Offset(offset) => self.evidence(&signal.kind, signal.window, *offset),
            Baseline::Control(selector) => {
                let kind = match &signal.kind {
                    SignalKind::Latency { quantile, .. } => {
                        SignalKind::Latency { selector: selector.clone(), quantile: *quantile }
                    }
                    SignalKind::ClientErrorRate(_) => SignalKind::ClientErrorRate(selector.clone()),
                    _ => SignalKind::Throughput(selector.clone()),
                };
                self.evidence(&kind, signal.window, Duration::ZERO)
            }
        };
        Some(match (evidence, &signal.kind) {
            (PlannedEvidence::Quantile { value, requests }, SignalKind::Latency { quantile, .. }) => {
                PlannedBaseline::Quantile { q: *quantile, value, requests }
            }
            (PlannedEvidence::Counts { failed, total }, _) => {
                PlannedBaseline::Ratio { failed, total, needed: needed_for_ratio(threshold) }
            }
            (PlannedEvidence::Value(number) | PlannedEvidence::Quantile { value: number, .. }, _) => {
                PlannedBaseline::Number(number)
            }
        })
    }
}

impl Plan {
    /// Plans the queries of all guards.
    pub fn new(guards: &[Guard]) -> Self {
        let mut numbers = Numbers::default();
        let mut readings = Vec::new();
        for guard in guards {
            let name = lasting(&guard.name);
            for (trigger, signal) in &guard.signals {
                readings.push(PlannedReading {
                    guard: name,
                    trigger: lasting(trigger),
                    window: numbers.evidence(&signal.kind, signal.window, Duration::ZERO),
                    confirm: signal.confirm_window.map(|w| numbers.evidence(&signal.kind, w, Duration::ZERO)),
                    baseline: signal
                        .baseline
                        .as_ref()
                        .and_then(|b| numbers.baseline(b, signal, threshold(guard, trigger))),
                    burn: numbers.burn(signal),
                });
            }
        }
        let count = numbers.known.len();
        Self { queries: queries(numbers), numbers: count, readings }
    }

    /// Plans the questions how many samples the shortest window of each trigger holds. Each reading's window is that number; a trigger
    /// on written PromQL has none, as its windows are its own.
    pub fn of_scrapes(guards: &[Guard]) -> Self {
        let mut numbers = Numbers::default();
        let mut readings = Vec::new();
        for guard in guards {
            let name = lasting(&guard.name);
            for (trigger, signal) in &guard.signals {
                let Some(selector) = signal.kind.selector() else { continue };
                let window = signal.shortest_window();
                let number = numbers.built_in(Number::Scrapes, selector, window, Duration::ZERO);
                readings.push(PlannedReading {
                    guard: name,
                    trigger: lasting(trigger),
                    window: PlannedEvidence::Value(number),
                    confirm: None,
                    baseline: None,
                    burn: Vec::new(),
                });
            }
        }
        let count = numbers.known.len();
        Self { queries: queries(numbers), numbers: count, readings }
    }

    /// Plans the one question what a gauge that has a series for each guard said of these. Each reading is named `name`, and its window is the
    /// highest value: of several replicas only those that know one say a number.
    pub fn of_gauge(metric: &str, guards: &[Guard], name: Name) -> Self {
        let label = "guard";
        let promql = format!("max by ({label}) ({metric} >= 0)");
        let row = |(at, guard): (usize, &Guard)| (vec![guard.name.clone()], at);
        let rows: Vec<_> = guards.iter().enumerate().map(row).collect();
        let readings = guards.iter().enumerate().map(|(at, guard)| PlannedReading {
            guard: lasting(&guard.name),
            trigger: name,
            window: PlannedEvidence::Value(at),
            confirm: None,
            baseline: None,
            burn: Vec::new(),
        });
        let readings = readings.collect();
        let queries = vec![Query::new(promql, vec![label.to_owned()], &rows, None)];
        Self { queries, numbers: guards.len(), readings }
    }

    /// Plans what a period that ends at the instant of the asking says of one trigger, for its baseline: the window of its reading is the
    /// measurement, the confirm window the number of `steps` at which there was something to measure.
    ///
    /// A quantile and a ratio are taken over the whole period at once. A throughput is the mean of what a tick measures: over a period with
    /// gaps in it, a rate would be too low.
    pub fn of_period(guard: &str, trigger: &str, signal: &Signal, steps: Steps) -> Self {
        let mut numbers = Numbers::default();
        let now = Duration::ZERO;
        let covered = |selector: &Selector, number, numbers: &mut Numbers| {
            PlannedEvidence::Value(numbers.over("count_over_time", steps, number, selector, signal.window))
        };
        let (window, confirm) = match &signal.kind {
            SignalKind::Promql(query) => {
                let mut over = |function| numbers.index(Wanted::Promql(steps.over(function, query)));
                let (mean, count) = (over("avg_over_time"), over("count_over_time"));
                (PlannedEvidence::Value(mean), PlannedEvidence::Value(count))
            }
            SignalKind::Throughput(selector) => (
                PlannedEvidence::Value(numbers.over("avg_over_time", steps, Number::Rate, selector, signal.window)),
                covered(selector, Number::Rate, &mut numbers),
            ),
            SignalKind::Latency { selector, .. } => {
                (numbers.evidence(&signal.kind, steps.period, now), covered(selector, Number::Timed, &mut numbers))
            }
            SignalKind::ErrorRate(selector)
            | SignalKind::Availability(selector)
            | SignalKind::ClientErrorRate(selector) => {
                (numbers.evidence(&signal.kind, steps.period, now), covered(selector, Number::Rate, &mut numbers))
            }
        };
        let (guard, trigger) = (lasting(guard), lasting(trigger));
        let reading =
            PlannedReading { guard, trigger, window, confirm: Some(confirm), baseline: None, burn: Vec::new() };
        let count = numbers.known.len();
        Self { queries: queries(numbers), numbers: count, readings: vec![reading] }
    }

    /// The queries, to be asked for one and the same instant.
    pub fn queries(&self) -> &[Query] {
        &self.queries
    }

    /// Makes the readings, by guard and trigger, of one answer per query, in the order of the queries.
    pub fn readings(&self, answers: &[Answer]) -> BTreeMap<Name, BTreeMap<Name, Reading>> {
        let numbers = self.share_out(answers);
        let reading = |planned: &PlannedReading| Reading {
            window: evidence(planned.window, &numbers),
            confirm: planned.confirm.map(|c| evidence(c, &numbers)),
            baseline: planned.baseline.map(|b| baseline(b, &numbers)),
            burn: planned.burn.iter().map(|(w, c)| (evidence(*w, &numbers), evidence(*c, &numbers))).collect(),
        };
        // Those of one guard stand together.
        let guards = self.readings.chunk_by(|a, b| a.guard == b.guard);
        let readings = guards.map(|all| {
            let triggers = all.iter().map(|planned| (planned.trigger, reading(planned)));
            (all[0].guard, triggers.collect())
        });
        readings.collect()
    }

    /// Each number of the plan: what its row says, that there is no such row, or why its query gave nothing.
    fn share_out(&self, answers: &[Answer]) -> Vec<Result<Option<f64>, Unknown>> {
        let mut numbers = vec![Err(Unknown::NotObserved); self.numbers];
        for (query, answer) in self.queries.iter().zip(answers) {
            let all = query.rows.values().copied();
            match answer {
                Err(unknown) => all.for_each(|at| numbers[at] = Err(unknown.clone())),
                // Without labels to tell them apart, several rows are no number.
                Ok(rows) if query.labels.is_empty() && rows.len() > 1 => {
                    all.for_each(|at| numbers[at] = Err(Unknown::SeveralSeries(rows.len())));
                }
                Ok(rows) => {
                    all.for_each(|at| numbers[at] = Ok(None));
                    for (at, value) in rows {
                        numbers[*at] = Ok(Some(*value));
                    }
                }
            }
        }
        numbers
    }
}

/// The least threshold that a trigger can have, stages included.
pub(super) fn threshold(guard: &Guard, trigger: &str) -> f64 {
    let settings = guard.engine.triggers.iter().find(|settings| settings.name == trigger);
    let levels = settings.into_iter().flat_map(|s| s.stages.iter().map(|stage| stage.levels).chain([s.levels]));
    levels.map(|levels| levels.threshold).fold(f64::INFINITY, f64::min)
}

/// Everything but the label values of a number.
pub(super) fn shape(number: Number, selector: &Selector, window: Duration, offset: Duration) -> Shape {
    let labels = selector.labels.keys().cloned().collect();
    Shape { number, names: selector.names, caller: selector.caller, window, offset, labels }
}

/// Merges the wanted numbers into queries: one per shape, in pieces where it would get too long.
fn queries(numbers: Numbers) -> Vec<Query> {
    let mut shapes: BTreeMap<Shape, Vec<(Vec<String>, usize)>> = BTreeMap::new();
    let mut queries = Vec::new();
    let mut written = Vec::new();
    for (wanted, at) in numbers.known {
        match wanted {
            Wanted::BuiltIn(shape, values) => shapes.entry(shape).or_default().push((values, at)),
            Wanted::Over(function, steps, shape, values) => {
                let of =
                    shape.labels.iter().zip(&values).map(|(label, value)| (label.as_str(), [value.as_str()].into()));
                let promql = steps.over(function, &promql::expression(&shape, &of.collect()).to_string());
                written.push(Query::new(promql, shape.labels, &[(values, at)], None));
            }
            Wanted::Promql(promql) => {
                written.push(Query::new(promql, Vec::new(), &[(Vec::new(), at)], None));
            }
        }
    }
    for (shape, rows) in shapes {
        in_pieces(&shape, &rows, &mut queries);
    }
    // The ones that people wrote come last: some of them are slow, and most of them only page.
    queries.extend(written);
    queries
}

/// One query for all rows of a shape, or half of them each where that is too long. The rows are in the order of their values.
fn in_pieces(shape: &Shape, rows: &[(Vec<String>, usize)], queries: &mut Vec<Query>) {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (row, _) in rows {
        for (label, value) in shape.labels.iter().zip(row) {
            values.entry(label).or_default().insert(value);
        }
    }
    let expression = promql::expression(shape, &values);
    let promql = expression.to_string();
    if promql.len() > MAX_QUERY_BYTES && rows.len() > 1 {
        let (first, second) = rows.split_at(rows.len() / 2);
        in_pieces(shape, first, queries);
        in_pieces(shape, second, queries);
    } else {
        queries.push(Query::new(promql, shape.labels.clone(), rows, Some(expression)));
    }
}

fn evidence(planned: PlannedEvidence, numbers: &[Result<Option<f64>, Unknown>]) -> Result<Evidence, Unknown> {
    match planned {
        PlannedEvidence::Counts { failed, total } => {
            let total = numbers[total].clone()?.ok_or(Unknown::NoSeries)?;
            // Missing failures with traffic present are zero failures: the series of a status begins with its first request.
            let failed = numbers[failed].clone()?.unwrap_or(0.0);
            Ok(Evidence::Counts { failed, total })
        }
        PlannedEvidence::Quantile { value, requests } => {
            let requests = numbers[requests].clone()?.ok_or(Unknown::NoSeries)?;
            let value = numbers[value].clone()?.ok_or(Unknown::NoSeries)?;
            Ok(Evidence::Quantile { value, requests })
        }
        PlannedEvidence::Value(value) => Ok(Evidence::Value(numbers[value].clone()?.ok_or(Unknown::NoSeries)?)),
    }
}

fn baseline(planned: PlannedBaseline, numbers: &[Result<Option<f64>, Unknown>]) -> Result<f64, Unknown> {
    match planned {
        PlannedBaseline::Fixed(value) => Ok(value),
        PlannedBaseline::Number(number) => numbers[number].clone()?.ok_or(Unknown::NoSeries),
        PlannedBaseline::Ratio { failed, total, needed } => {
            let requests = numbers[total].clone()?.ok_or(Unknown::NoSeries)?;
            if requests < needed {
                return Err(Unknown::TooFewRequests { requests, needed });
            }
            Ok(numbers[failed].clone()?.unwrap_or(0.0) / requests)
        }
        PlannedBaseline::Quantile { q, value, requests } => {
            let requests = numbers[requests].clone()?.ok_or(Unknown::NoSeries)?;
            let needed = needed_for_quantile(q);
            if requests < needed {
                return Err(Unknown::TooFewRequests { requests, needed });
            }
            numbers[value].clone()?.ok_or(Unknown::NoSeries)
        }
    }
}

/// A quantile as a whole number of millionths, which can be compared and hashed.
pub(super) fn millionths(quantile: f64) -> u32 {
    // Validated to lie between 0 and 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let millionths = (quantile * 1e6).round() as u32;
    millionths
}
