//! The Kubernetes adapter against a real API server, started once for all cases. There is no controller manager: the
//! cases write the status of Deployments themselves.

#[path = "kubernetes/api_server.rs"]
mod api_server;
#[path = "kubernetes/front.rs"]
mod front;
#[path = "kubernetes/world.rs"]
mod world;

#[path = "kubernetes/config_maps.rs"]
mod config_maps;
#[path = "kubernetes/deployments.rs"]
mod deployments;
#[path = "kubernetes/events.rs"]
mod events;
#[path = "kubernetes/faults.rs"]
mod faults;
#[path = "kubernetes/races.rs"]
mod races;
#[path = "kubernetes/rollouts.rs"]
mod rollouts;
#[path = "kubernetes/shares.rs"]
mod shares;

use std::time::Instant;

use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_against_a_real_api_server() {
    let world = World::new().await;
    macro_rules! cases {
        ($($module:ident),*) => {$(
            let began = Instant::now();
            $module::all(&world).await;
            println!("{}: {:?}", stringify!($module), began.elapsed());
        )*};
    }
    cases!(deployments, config_maps, races, rollouts, shares, events, faults);
}
