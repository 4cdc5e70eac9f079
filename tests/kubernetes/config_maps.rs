//! The step `config_map`.

use ripcord::config::Step;
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::{Cluster, Outcome};
use serde_json::json;

use crate::world::{World, carry_out, config_map_step, failure, results, rollback};

pub async fn all(world: &World) {
    let of = |name: &str| rollback([Step::ConfigMap(config_map_step(name, false))]);
    let there = json!({"networking_mode": "dual", "istio_percentage": "25", "other": "stays"});
    world.config_map("settings", json!({"data": there, "binaryData": {"blob": "AAEC"}})).await;
    world.config_map("frozen", json!({"data": there, "immutable": true})).await;
    world
        .config_map(
            "frozen-there",
            json!({"data": {"networking_mode": "ingress", "istio_percentage": "0"}, "immutable": true}),
        )
        .await;
    world.config_map("bare", json!({})).await;

    // A dry run first, so that it has something to change.
    let before = world.raw("/api/v1/namespaces/default/configmaps/settings").await;
    let mut dry = of("settings");
    dry.dry_run = true;
    let (outcome, reports) = carry_out(&world.cluster, &dry).await;
    let detail = Some("istio_percentage: 25 -> 0, networking_mode: dual -> ingress");
    assert_eq!((outcome, results(&reports)), (Outcome::Completed, vec![(StepResult::WouldChange, detail)]));
    assert_eq!(world.raw("/api/v1/namespaces/default/configmaps/settings").await, before);

    let (outcome, reports) = carry_out(&world.cluster, &of("settings")).await;
    assert_eq!((outcome, results(&reports)), (Outcome::Completed, vec![(StepResult::Changed, detail)]));
    assert_eq!(reports[1..], [Progress::Accepted, Progress::Completed]);
    let after = world.raw("/api/v1/namespaces/default/configmaps/settings").await;
    assert_eq!(after["data"], json!({"networking_mode": "ingress", "istio_percentage": "0", "other": "stays"}));
    assert_eq!(after["binaryData"], before["binaryData"]);
    assert!(after["metadata"]["managedFields"].to_string().contains(r#""manager":"ripcord""#), "{after}");

    let (_, reports) = carry_out(&world.cluster, &of("settings")).await;
    assert_eq!(results(&reports), [(StepResult::AlreadyThere, None)]);
    assert_eq!(world.raw("/api/v1/namespaces/default/configmaps/settings").await, after);

    let (_, reports) = carry_out(&world.cluster, &of("frozen-there")).await;
    assert_eq!(results(&reports), [(StepResult::AlreadyThere, None)]);
    let error = failure(&world.cluster, &of("frozen")).await;
    assert!(error.starts_with("ConfigMap default/frozen is immutable; nothing was changed"), "{error}");

    let (_, reports) = carry_out(&world.cluster, &of("bare")).await;
    let detail = Some("istio_percentage: (not set) -> 0, networking_mode: (not set) -> ingress");
    assert_eq!(results(&reports), [(StepResult::Changed, detail)]);

    let optional = rollback([Step::ConfigMap(config_map_step("absent", true))]);
    let (outcome, reports) = carry_out(&world.cluster, &optional).await;
    assert_eq!((outcome, results(&reports)), (Outcome::Completed, vec![(StepResult::Absent, None)]));
    let error = failure(&world.cluster, &of("absent")).await;
    assert!(error.starts_with("could not read ConfigMap default/absent: it does not exist"), "{error}");

    // Missing rights are no absence.
    let nobody = Cluster::from_config(world.server.config("reader")).await.expect("a cluster");
    let mut elsewhere = config_map_step("absent", true);
    elsewhere.namespace = "kube-system".into();
    let error = failure(&nobody, &rollback([Step::ConfigMap(elsewhere)])).await;
    assert!(error.contains("grant get on configmaps/absent in namespace kube-system"), "{error}");
}
