//! The test bed: real parts on 127.0.0.1, each with free ports, a folder of its own and an end that does not depend on how the test ends.
//!
//! | module | part |
//! |---|---|
//! | `story`, `run` | what a test is, and how all of them are run |
//! | `apiserver` | a real kube-apiserver with its etcd, users, RBAC |
//! | `prometheus` | a real Prometheus |
//! | `alertmanager` | a real Alertmanager |
//! | `mesh` | an exporter that speaks the metric names of Istio and ingress-nginx |
//! | `mailbox` | a real SMTP server |
//! | `hook` | a real HTTP receiver |
//! | `proxy` | a reverse proxy that injects faults, in front of the API server or of Prometheus |
//! | `wire` | a way to a server whose open connections can go dead |
//! | `history` | what became of objects, change by change |
//! | `controller` | plays the Deployment controller, which a bare API server lacks |
//! | `browser` | a real Chromium |
//! | `ripcord` | the program under test |
//! | `disk` | a small disk that can be full or read-only |
//! | `fixtures` | Deployments, ConfigMaps, Istio's routing kinds and configurations |
//! | `wait` | `eventually` and `never` |
//! | `child`, `reaper`, `ports`, `binaries`, `log`, `server`, `tls` | what the parts are made of |
#![allow(dead_code, unused_imports, reason = "a shared bed: each story takes what it needs")]

pub mod alertmanager;
pub mod apiserver;
pub mod binaries;
pub mod browser;
pub mod child;
pub mod controller;
pub mod disk;
pub mod fixtures;
pub mod history;
pub mod hook;
pub mod log;
pub mod mailbox;
pub mod mesh;
pub mod ports;
pub mod prometheus;
pub mod proxy;
pub mod reaper;
pub mod ripcord;
pub mod run;
pub mod server;
pub mod story;
pub mod tls;
pub mod wait;
pub mod wire;

pub use story::{Story, World};
pub use wait::{eventually, never};

/// Makes the list of a module's stories: `stories![first, second]`, each an `async fn(World) -> anyhow::Result<()>`.
#[macro_export]
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        vec![$($crate::support::Story::new(concat!(module_path!(), "::", stringify!($story)), $story)),*]
    };
}
