//! Events on the objects.

use k8s_openapi::api::core::v1;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use ripcord::config::Step;
use ripcord::kubernetes::{Announcement, AnnouncementType, Cluster, Kind, ObjectRef};
use serde_json::json;

use crate::world::{NAMESPACE, World, config_map_step, env_step};

pub async fn all(world: &World) {
    world.deployment("told", |_| ()).await;
    world.config_map("told", json!({})).await;
    let announcement = Announcement {
        type_: AnnouncementType::Warning,
        reason: "RipcordRollbackStarted".into(),
        note: format!("error rate 3.1 % (limit 1 %), rolling back 25 % -> 0 %: {}", "回".repeat(1000)),
        time: "2026-01-02T03:04:05.678901Z".parse().expect("a time stamp"),
    };
    for step in [Step::DeploymentEnv(env_step("told")), Step::ConfigMap(config_map_step("told", false))] {
        let object = ObjectRef::from(&step);
        let (cluster, about, what) = (world.cluster.clone(), object.clone(), announcement.clone());
        let told = tokio::spawn(async move { cluster.tell(&about, &what).await });
        told.await.expect("no panic").expect("to tell");
        let uid = match object.kind {
            Kind::Deployment => world.deployments().get("told").await.expect("it").metadata.uid,
            Kind::ConfigMap => world.config_maps().get("told").await.expect("it").metadata.uid,
        };
        let uid = uid.expect("a uid");

        let events: Api<Event> = Api::namespaced(world.admin.clone(), NAMESPACE);
        let all = events.list(&ListParams::default()).await.expect("events").items;
        let ours: Vec<_> =
            all.into_iter().filter(|e| e.regarding.as_ref().is_some_and(|r| r.uid.as_ref() == Some(&uid))).collect();
        let [event] = ours.as_slice() else { panic!("{ours:?}") };
        assert_eq!(event.reason.as_deref(), Some("RipcordRollbackStarted"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.action.as_deref(), Some("MoveTraffic"));
        assert_eq!(event.reporting_controller.as_deref(), Some("ripcord"));
        assert!(event.reporting_instance.as_ref().is_some_and(|i| !i.is_empty()));
        assert_eq!(event.event_time.as_ref().map(|t| t.0), Some(announcement.time));
        let note = event.note.as_deref().expect("a note");
        assert!(note.len() <= 1024 && announcement.note.starts_with(note), "{note}");

        // As `kubectl describe` looks for them.
        let fields = format!("involvedObject.name=told,involvedObject.namespace={NAMESPACE},involvedObject.uid={uid}");
        let described: Api<v1::Event> = Api::namespaced(world.admin.clone(), NAMESPACE);
        let found = described.list(&ListParams::default().fields(&fields)).await.expect("events").items;
        assert_eq!(found.len(), 1);
    }

    let object = ObjectRef::from(&Step::DeploymentEnv(env_step("told")));
    let reader = Cluster::from_config(world.server.config("reader")).await.expect("a cluster");
    let error = reader.tell(&object, &announcement).await.expect_err("no right to create").to_string();
    assert!(error.contains("grant create on events (API group events.k8s.io) in namespace default"), "{error}");
    let gone = ObjectRef { name: "nothing".into(), ..object };
    let error = world.cluster.tell(&gone, &announcement).await.expect_err("nothing there").to_string();
    assert!(error.contains("it does not exist"), "{error}");
}
