//! An exporter of the test's own that speaks the metric names, labels and buckets of Istio and of ingress-nginx.
//!
//! Counters grow continuously with time: at each scrape, and whenever the traffic changes, what has happened since the last time is
//! added (requests per second times seconds), fractions included, and what is shown is the whole part. Nothing is random. What the
//! caller's side and the destination's side show comes from the same numbers, so they agree to the last request.

mod counts;
mod render;
mod traffic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use futures::FutureExt;

use super::World;
use super::server::{HttpServer, Reply};
use counts::Counts;
pub use traffic::Traffic;

/// Which names a workload's series have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Names {
    Istio,
    IngressNginx,
}

struct Source {
    traffic: Traffic,
    service: String,
    counts: Counts,
    since: Instant,
}

impl Source {
    /// Adds what has happened until now.
    fn catch_up(&mut self, now: Instant) {
        self.counts.add(&self.traffic, now.duration_since(self.since).as_secs_f64());
        self.since = now;
    }
}

struct State {
    namespace: String,
    sources: BTreeMap<(Names, String), Source>,
    /// Series as written, with their values.
    gauges: BTreeMap<String, f64>,
    down: bool,
    scrapes: u64,
}

/// The exporter.
pub struct Mesh {
    state: Arc<Mutex<State>>,
    server: HttpServer,
}

/// One workload's traffic: a Deployment behind Istio, or an Ingress of ingress-nginx.
pub struct Workload {
    state: Arc<Mutex<State>>,
    key: (Names, String),
}

impl Mesh {
    /// Starts it without any series. `destination_workload_namespace` is the story's namespace.
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let state = Arc::new(Mutex::new(State {
            namespace: world.namespace.clone(),
            sources: BTreeMap::new(),
            gauges: BTreeMap::new(),
            down: false,
            scrapes: 0,
        }));
        let shared = state.clone();
        let server = HttpServer::start(move |parts, _| {
            let reply = if parts.uri.path() == "/metrics" { scrape(&shared) } else { Reply::text(404, "no such page") };
            async move { reply }.boxed()
        })
        .await?;
        Ok(Self { state, server })
    }

    /// Where it is scraped (`/metrics`).
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A workload behind Istio: `destination_workload`, `destination_app` and, unless `service` says otherwise,
    /// `destination_service_name` have this name. Its series appear with `set`.
    pub fn workload(&self, name: &str) -> Workload {
        Workload { state: self.state.clone(), key: (Names::Istio, name.to_owned()) }
    }

    /// An Ingress of ingress-nginx: `ingress` and, unless `service` says otherwise, `service` have this name.
    pub fn ingress(&self, name: &str) -> Workload {
        Workload { state: self.state.clone(), key: (Names::IngressNginx, name.to_owned()) }
    }

    /// Sets any other series: `mesh.gauge("container_memory_working_set_bytes", &[("container", "istio-proxy")], 1e8)`.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        lock(&self.state).gauges.insert(render::series(name, labels), value);
    }

    /// Takes such a series away.
    pub fn remove_gauge(&self, name: &str, labels: &[(&str, &str)]) {
        lock(&self.state).gauges.remove(&render::series(name, labels));
    }

    /// Scrapes fail from now on. The traffic itself goes on.
    pub fn down(&self) {
        lock(&self.state).down = true;
    }

    /// Scrapes succeed again.
    pub fn up(&self) {
        lock(&self.state).down = false;
    }

    /// How many scrapes there were, failed ones included.
    pub fn scrapes(&self) -> u64 {
        lock(&self.state).scrapes
    }
}

impl Workload {
    /// From now on, this is its traffic. What was counted so far stays.
    pub fn set(&self, traffic: Traffic) {
        traffic.check();
        let now = Instant::now();
        let mut state = lock(&self.state);
        match state.sources.get_mut(&self.key) {
            Some(source) => {
                source.catch_up(now);
                source.traffic = traffic;
                // So that series that appear do so with the change.
                source.counts.add(&source.traffic, 0.0);
            }
            None => {
                let mut counts = Counts::new(match self.key.0 {
                    Names::Istio => &render::ISTIO_BUCKETS,
                    Names::IngressNginx => &render::INGRESS_BUCKETS,
                });
                counts.add(&traffic, 0.0);
                let source = Source { traffic, service: self.key.1.clone(), counts, since: now };
                state.sources.insert(self.key.clone(), source);
            }
        }
    }

    /// Its present traffic; none before the first `set`.
    pub fn traffic(&self) -> Traffic {
        lock(&self.state).sources.get(&self.key).map_or_else(Traffic::none, |s| s.traffic.clone())
    }

    /// Gives its Service another name than its own. To be said after the first `set`.
    pub fn service(&self, name: &str) {
        if let Some(source) = lock(&self.state).sources.get_mut(&self.key) {
            source.service = name.to_owned();
        }
    }

    /// Its counters start again from zero, as with a new pod.
    pub fn reset(&self) {
        if let Some(source) = lock(&self.state).sources.get_mut(&self.key) {
            source.counts.reset();
            source.since = Instant::now();
        }
    }

    /// Its series are gone.
    pub fn remove(&self) {
        lock(&self.state).sources.remove(&self.key);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no holder panics")
}

fn scrape(state: &Mutex<State>) -> Reply {
    let mut state = lock(state);
    state.scrapes += 1;
    if state.down {
        return Reply::text(500, "down, as told by the story");
    }
    let now = Instant::now();
    for source in state.sources.values_mut() {
        source.catch_up(now);
    }
    Reply::text(200, render::page(&state))
}
