//! The parts of a tick, in their order: answers, readings, the tick, the engine, what is shown.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use jiff::Timestamp;
use ripcord::daemon::{Seen, World, observe};
use ripcord::engine::{Engine, Input, Tick, TickKind};
use ripcord::http::{Curves, Snapshot};
use ripcord::prometheus::{Answer, Plan, answer_of};
use ripcord::telemetry::{Gauges, Metrics, Status};

use crate::guards;
use crate::measurement::ProcessorTime;

const INTERVAL: Duration = Duration::from_secs(10);

/// Ticks that an engine has seen before it is measured: a breach is held, and a rollback is ordered.
const WARM_UP: u32 = 60;

/// A thousand guards, and what Prometheus says of them.
struct Bed {
    world: Arc<World>,
    well: Vec<String>,
    bad: Vec<String>,
    shares: Vec<Seen>,
    started: Timestamp,
}

impl Bed {
    fn new() -> anyhow::Result<Self> {
        let world = World::new(guards::settings(guards::name)?)?;
        let bodies = |bad| world.plan.queries().iter().map(|q| guards::answer(&q.promql, guards::name, bad)).collect();
        let shares = vec![Seen { share: Ok(25), drift: Vec::new() }; guards::COUNT];
        let started = "2026-01-02T03:04:00Z".parse()?;
        Ok(Self { well: bodies(false), bad: bodies(true), world, shares, started })
    }

    fn answers(&self, bodies: &[String]) -> Vec<Answer> {
        answers(&self.world.plan, bodies)
    }

    fn at(&self, n: u32) -> Timestamp {
        self.started + INTERVAL * n
    }

    fn tick(&self, answers: &[Answer], n: u32) -> Tick {
        observe(&self.world, self.at(n), TickKind::Live, answers, &self.shares)
    }

    /// An engine that has seen ticks whose guards are bad or not, by `bad`.
    fn engine(&self, bad: impl Fn(u32) -> bool) -> Engine {
        let mut engine = Engine::new(self.world.engine_settings(false));
        let (well, ill) = (self.answers(&self.well), self.answers(&self.bad));
        for n in 0..WARM_UP {
            engine.handle(Input::Tick(self.tick(if bad(n) { &ill } else { &well }, n)), self.at(n));
        }
        engine
    }
}

fn answers(plan: &Plan, bodies: &[String]) -> Vec<Answer> {
    let pairs = plan.queries().iter().zip(bodies);
    pairs.map(|(query, body)| answer_of(query, body.as_bytes())).collect()
}

fn show(engine: &Engine, gauges: &mut Gauges) -> Snapshot {
    let guards = engine.status();
    gauges.publish(&Status {
        guards: &guards,
        queues: &[],
        reload_success: true,
        loaded_at: Timestamp::UNIX_EPOCH,
        leads: true,
    });
    Snapshot { guards, incidents: engine.incidents(), ..Snapshot::default() }
}

/// Everything that a tick does between the answers and what is shown.
fn whole(bed: &Bed, bodies: &[String], engine: &mut Engine, n: u32, gauges: &mut Gauges) -> Snapshot {
    let answers = bed.answers(bodies);
    let tick = bed.tick(&answers, n);
    black_box(engine.handle(Input::Tick(tick), bed.at(n)));
    show(engine, gauges)
}

/// Whether all is bad at a tick.
type Night = fn(u32) -> bool;

/// Measures the time of each, and then its allocations.
pub fn measure(criterion: &mut Criterion<ProcessorTime>) -> anyhow::Result<()> {
    let _metrics = Metrics::start()?;
    let bed = Bed::new()?;
    println!("{} guards, 4 triggers each: {} queries a tick", guards::COUNT, bed.world.plan.queries().len());

    let one = Plan::new(&guards::settings(guards::short_name)?.guards);
    let body = guards::answer(&one.queries()[0].promql, guards::short_name, false);
    criterion.bench_function("an answer of 1,000 series", |b| {
        b.iter(|| answer_of(&one.queries()[0], body.as_bytes()));
    });
    criterion.bench_function("all answers", |b| b.iter(|| bed.answers(&bed.well)));
    let (well, ill) = (bed.answers(&bed.well), bed.answers(&bed.bad));
    criterion.bench_function("readings", |b| b.iter(|| bed.world.plan.readings(&well)));
    criterion.bench_function("readings and shares", |b| b.iter(|| bed.tick(&well, 0)));

    let nights: [(&str, Night); 3] =
        [("all clear", |_| false), ("all in breach", |_| true), ("now bad, now not", |n| n % 2 == 0)];
    for (name, bad) in nights {
        let mut engine = bed.engine(bad);
        let mut n = WARM_UP;
        criterion.bench_function(&format!("engine, {name}"), |b| {
            b.iter_batched(
                || {
                    n += 1;
                    (bed.tick(if bad(n) { &ill } else { &well }, n), bed.at(n))
                },
                |(tick, at)| engine.handle(Input::Tick(tick), at),
                BatchSize::PerIteration,
            );
        });
        let mut gauges = Gauges::default();
        criterion.bench_function(&format!("shown, {name}"), |b| b.iter(|| show(&engine, &mut gauges)));
        let (curves, at) = (Curves::default(), bed.at(n));
        criterion
            .bench_function(&format!("charts, {name}"), |b| b.iter(|| curves.note(at, INTERVAL, engine.triggers())));
        criterion.bench_function(&format!("memory, {name}"), |b| b.iter(|| engine.memory()));
        let mut tick = || {
            n += 1;
            let shown = whole(&bed, if bad(n) { &bed.bad } else { &bed.well }, &mut engine, n, &mut gauges);
            curves.note(bed.at(n), INTERVAL, engine.triggers());
            shown
        };
        criterion.bench_function(&format!("a tick, {name}"), |b| b.iter(&mut tick));
        println!("a tick, {name}: {} allocations", allocation_counter::measure(|| drop(black_box(tick()))).count_total);
    }
    let count = |what: &dyn Fn()| allocation_counter::measure(what).count_total;
    println!("all answers: {} allocations", count(&|| drop(black_box(bed.answers(&bed.well)))));
    println!("readings: {} allocations", count(&|| drop(black_box(bed.world.plan.readings(&well)))));
    Ok(())
}
