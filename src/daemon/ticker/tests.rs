//! The ticker before a server that answers with the time it is asked for, at fifty times the usual speed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::{Form, Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::config::{self, LoadOptions};
use crate::daemon::clock::Clock;
use crate::daemon::shares::Shares;
use crate::daemon::world::World;
use crate::engine::{Evidence, TickKind, Unknown};

use super::{CatchUp, Measured, tick};

/// The usual interval, and what the clock makes of it: a fifth of a second.
const INTERVAL: Duration = Duration::from_secs(10);
const SPEED: f64 = 50.0;

/// Longer than any of these stories takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answer,
    Fail,
    /// Three intervals and a half later.
    Late,
}

/// Decides that; it is told whether the request is for a range.
type Decide = Box<dyn FnMut(bool) -> Fate + Send>;

#[derive(Clone)]
struct Server {
    fate: Arc<Mutex<Decide>>,
    ranges: Arc<Mutex<usize>>,
}

#[derive(Deserialize)]
struct Parameters {
    time: Option<f64>,
    start: Option<f64>,
    end: Option<f64>,
    step: Option<String>,
}

async fn answer(State(server): State<Server>, uri: Uri, Form(asked): Form<Parameters>) -> (StatusCode, Json<Value>) {
    let range = uri.path() == "/api/v1/query_range";
    let fate = (*server.fate.lock().unwrap())(range);
    *server.ranges.lock().unwrap() += usize::from(range);
    match fate {
        Fate::Fail => return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "error", "error": "away"}))),
        Fate::Late => tokio::time::sleep(INTERVAL.mul_f64(3.5 / SPEED)).await,
        Fate::Answer => {}
    }
    let sample = |at: f64| json!([at, at.to_string()]);
    let data = if range {
        let step: f64 = asked.step.unwrap().strip_suffix("ms").unwrap().parse().unwrap();
        let (mut at, mut samples) = (asked.start.unwrap(), Vec::new());
        while at <= asked.end.unwrap() {
            samples.push(sample(at));
            at += step / 1000.0;
        }
        json!({"resultType": "matrix", "result": [{"metric": {}, "values": samples}]})
    } else {
        json!({"resultType": "vector", "result": [{"metric": {}, "value": sample(asked.time.unwrap())}]})
    };
    (StatusCode::OK, Json(json!({"status": "success", "data": data})))
}

struct Stage {
    server: Server,
    clock: Clock,
    orders: watch::Sender<CatchUp>,
    _world: watch::Sender<Arc<World>>,
    measured: mpsc::Receiver<Measured>,
}

impl Stage {
    /// A ticker that owes so many ticks from the start.
    async fn set(owed: u32, fate: impl FnMut(bool) -> Fate + Send + 'static) -> Self {
        // The other tests of this process may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server { fate: Arc::new(Mutex::new(Box::new(fate))), ranges: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

        let text = format!(
            r#"
prometheus: {{url: "http://{address}"}}
guards:
  shop:
    triggers: {{memory: {{promql: max(memory), above: 1Mi, action: page}}}}
    traffic: [{{deployment_env: {{namespace: shop, name: web, container: web, env: {{SHARE: "${{percentage}}"}}}}}}]
receivers: {{people: {{webhook: {{url: "http://{address}/"}}}}}}
"#
        );
        let folder = tempfile::tempdir().unwrap();
        let file: PathBuf = folder.path().join("ripcord.yaml");
        std::fs::write(&file, text).unwrap();
        let settings = config::load(&[file], [], LoadOptions::default()).unwrap_or_else(|f| panic!("{}", f[0]));
        assert_eq!(settings.evaluation.interval, INTERVAL);

        let clock = Clock::fast(SPEED);
        let since = Clock::aligned_after(clock.now(), INTERVAL) - INTERVAL * (owed + 1);
        let (_world, worlds) = watch::channel(World::new(settings).unwrap());
        let (orders, taken) = watch::channel(CatchUp { generation: 0, since: (owed > 0).then_some(since) });
        let (out, measured) = mpsc::channel(1);
        tokio::spawn(tick(clock, worlds, taken, Shares::new(watch::channel(Vec::new()).1), out));
        Self { server, clock, orders, _world, measured }
    }

    async fn next(&mut self) -> Measured {
        tokio::time::timeout(LONG, self.measured.recv()).await.expect("a tick in time").expect("the ticker runs")
    }

    /// History, and the live tick after it.
    async fn round(&mut self) -> (Vec<Measured>, Measured) {
        let mut history = Vec::new();
        loop {
            let measured = self.next().await;
            match measured.tick.kind {
                TickKind::History => history.push(measured),
                TickKind::Live => return (history, measured),
            }
        }
    }
}

/// What the server said at that tick: when.
fn value(measured: &Measured) -> Result<Timestamp, Unknown> {
    match &measured.tick.guards["shop"].readings["memory"].window {
        #[allow(clippy::cast_possible_truncation)]
        Ok(Evidence::Value(seconds)) => Ok(Timestamp::from_second(*seconds as i64).unwrap()),
        Ok(other) => panic!("{other:?}"),
        Err(unknown) => Err(unknown.clone()),
    }
}

/// Every tick after `since` up to the live one is there once, in order, with its own measurement.
fn complete(since: Timestamp, history: &[Measured], live: &Measured) {
    let mut expected = since;
    for measured in history.iter().chain([live]) {
        expected += INTERVAL;
        assert_eq!(measured.tick.at, expected);
        assert_eq!(measured.due, expected);
        assert_eq!(value(measured), Ok(expected));
    }
}

#[tokio::test]
async fn what_is_owed_comes_before_the_first_live_tick() {
    let mut stage = Stage::set(100, |_| Fate::Answer).await;
    let since = stage.orders.borrow().since.unwrap();
    let (history, live) = stage.round().await;
    assert!(history.len() >= 100, "{}", history.len());
    complete(since, &history, &live);
    assert_eq!(live.missed, 0, "it did not run then");
    let (history, next) = stage.round().await;
    complete(live.tick.at, &history, &next);
}

#[tokio::test]
async fn a_prometheus_that_is_away_at_the_start_is_asked_again_when_it_is_back() {
    let mut live_tries = 0;
    let mut stage = Stage::set(20, move |range| {
        live_tries += usize::from(!range);
        if live_tries <= 3 { Fate::Fail } else { Fate::Answer }
    })
    .await;
    let since = stage.orders.borrow().since.unwrap();
    for _ in 0..3 {
        let (history, live) = stage.round().await;
        assert!(history.is_empty(), "{}", history.len());
        assert!(matches!(value(&live), Err(Unknown::QueryFailed(_))));
    }
    assert_eq!(*stage.server.ranges.lock().unwrap(), 1, "live ticks find out when it is back");
    let (history, live) = stage.round().await;
    assert!(history.len() >= 23, "{}", history.len());
    complete(since, &history, &live);
}

#[tokio::test]
async fn history_that_is_never_answered_does_not_hold_up_live_ticks() {
    let mut stage = Stage::set(20, |range| if range { Fate::Fail } else { Fate::Answer }).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (history, live) = stage.round().await;
        assert!(history.is_empty(), "{}", history.len());
        assert_eq!(value(&live), Ok(live.tick.at));
        seen.push(live.due);
    }
    // On a machine that stands still for more than a second it is time for another try.
    let tries = 1 + (seen[3] - seen[0]).get_seconds() / 60;
    let ranges = i64::try_from(*stage.server.ranges.lock().unwrap()).unwrap();
    assert!(
        (2..=2 * tries).contains(&ranges),
        "{ranges} in {tries} tries of two: at first, and when a live tick is answered"
    );
}

#[tokio::test]
async fn ticks_that_were_missed_in_a_run_are_fetched() {
    let mut live_tries = 0;
    let mut stage = Stage::set(0, move |range| {
        live_tries += usize::from(!range);
        if live_tries == 2 && !range { Fate::Late } else { Fate::Answer }
    })
    .await;
    let (history, first) = stage.round().await;
    assert!(history.is_empty());
    let (history, late) = stage.round().await;
    complete(first.tick.at, &history, &late);
    let (history, next) = stage.round().await;
    assert!(history.len() >= 3, "{}", history.len());
    complete(late.tick.at, &history, &next);
    assert_eq!(next.missed, i64::try_from(history.len()).unwrap());
}

#[tokio::test]
async fn a_new_order_is_followed_at_once() {
    let mut stage = Stage::set(0, |_| Fate::Answer).await;
    let (history, live) = stage.round().await;
    assert!(history.is_empty());
    assert_eq!(live.generation, 0);
    let since = live.tick.at - INTERVAL * 30;
    stage.orders.send_replace(CatchUp { generation: 1, since: Some(since) });
    // One of the old order may have been on its way.
    let mut first = stage.next().await;
    if first.generation == 0 {
        first = stage.next().await;
    }
    assert_eq!((first.generation, first.tick.at), (1, since + INTERVAL));
    let (mut history, live) = stage.round().await;
    history.insert(0, first);
    complete(since, &history, &live);
    assert!(live.tick.at <= stage.clock.now());
}
