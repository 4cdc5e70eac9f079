//! The step `virtual_service`.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail, ensure};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use ripcord::config::Step;
use ripcord::engine::{Progress, StepResult, Unknown};
use ripcord::kubernetes::{ChangePlan, Outcome};
use serde_json::{Value, json};

use super::stage::{
    COMPONENT, behind_a_proxy, carry_out, cluster, cluster_of, env_step, failure, gets, patches, reader, results,
    rollback, templates, to_percentage, weights_rollback, weights_step,
};
use crate::stories;
use crate::support::fixtures::create_deployment;
use crate::support::fixtures::istio::{
    self, create_virtual_service, set_routes, shop_routes, to, virtual_service, virtual_services,
};
use crate::support::proxy::Fault;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        only_the_weights_of_the_routes_change,
        only_the_named_routes_change,
        destinations_are_told_apart_by_host_too,
        what_is_there_already_is_not_written,
        a_dry_run_changes_nothing,
        what_cannot_be_right_is_refused,
        a_missing_weight_is_what_istio_takes_it_for,
        a_rollback_never_raises_the_share_of_a_route,
        a_write_in_between_is_met_by_beginning_anew,
        whoever_never_stops_writing_wins,
        what_the_server_finds_invalid_is_no_conflict,
        a_change_that_does_not_stay_is_told,
        missing_rights_are_named,
        the_older_version_will_do,
        without_istio_it_is_told,
        the_highest_share_of_the_routes_is_read,
    ]
}

const SHOP: &str = "shop";

async fn get(world: &World, name: &str) -> anyhow::Result<DynamicObject> {
    Ok(virtual_services(world).get(name).await?)
}

/// What somebody wrote of it.
fn written(object: &DynamicObject) -> Value {
    json!([object.metadata.labels, object.metadata.annotations, object.data["spec"]])
}

fn routes(object: &DynamicObject) -> Value {
    object.data["spec"]["http"].clone()
}

async fn only_the_weights_of_the_routes_change(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let before = create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let (outcome, reports) = carry_out(&cluster, &weights_rollback(&world, SHOP)).await;
    let detail =
        "primary ingress: 75 -> 100, primary istio: 25 -> 0, http[1] ingress: 75 -> 100, http[1] istio: 25 -> 0";
    let wanted = vec![(StepResult::Changed, Some(detail))];
    ensure!((outcome, results(&reports)) == (Outcome::Completed, wanted), "{reports:?}");
    ensure!(reports[1..] == [Progress::Accepted, Progress::Completed], "{reports:?}");
    let after = get(&world, SHOP).await?;
    let mut wanted = before.clone();
    wanted.data["spec"]["http"] = shop_routes(0);
    ensure!(written(&after) == written(&wanted), "{}\n{}", written(&after), written(&wanted));
    let managers = after.metadata.managed_fields.iter().flatten();
    ensure!(managers.filter(|m| m.manager.as_deref() == Some("ripcord")).count() == 1, "{after:?}");
    Ok(())
}

async fn only_the_named_routes_change(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let mut step = weights_step(&world, SHOP);
    step.routes = vec!["primary".to_owned()];
    let (outcome, reports) = carry_out(&cluster, &rollback([Step::VirtualService(step)])).await;
    let wanted = vec![(StepResult::Changed, Some("primary ingress: 75 -> 100, primary istio: 25 -> 0"))];
    ensure!((outcome, results(&reports)) == (Outcome::Completed, wanted), "{reports:?}");
    let mut wanted = shop_routes(25);
    wanted[0] = shop_routes(0)[0].clone();
    ensure!(routes(&get(&world, SHOP).await?) == wanted);
    Ok(())
}

/// One by its subset, the other by its host.
async fn destinations_are_told_apart_by_host_too(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let host = "shop.old.svc.cluster.local";
    let http = |old: u8| json!([{"route": [to(host, "", Some(old)), to("shop", "istio", Some(100 - old)), to("spare", "", Some(0))]}]);
    create_virtual_service(&world, SHOP, &http(75)).await?;
    let mut step = weights_step(&world, SHOP);
    step.weights = templates(&[("istio", "${percentage}"), (host, "${rest}")]);
    let (_, reports) = carry_out(&cluster, &rollback([Step::VirtualService(step)])).await;
    let detail = "http[0] istio: 25 -> 0, http[0] shop.old.svc.cluster.local: 75 -> 100";
    ensure!(results(&reports) == [(StepResult::Changed, Some(detail))], "{reports:?}");
    ensure!(routes(&get(&world, SHOP).await?) == http(100));
    Ok(())
}

async fn what_is_there_already_is_not_written(world: World) -> anyhow::Result<()> {
    let before = create_virtual_service(&world, SHOP, &shop_routes(0)).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    for dry_run in [false, true] {
        let mut plan = weights_rollback(&world, SHOP);
        plan.dry_run = dry_run;
        let (outcome, reports) = carry_out(&cluster, &plan).await;
        let wanted = vec![(StepResult::AlreadyThere, None)];
        ensure!((outcome, results(&reports)) == (Outcome::Completed, wanted), "{reports:?}");
    }
    ensure!(proxy.count(patches) == 0 && proxy.count(gets) > 0, "{:?}", proxy.requests());
    ensure!(get(&world, SHOP).await? == before);
    Ok(())
}

async fn a_dry_run_changes_nothing(world: World) -> anyhow::Result<()> {
    let before = create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let mut plan = weights_rollback(&world, SHOP);
    plan.dry_run = true;
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!((outcome, results(&reports)[0].0) == (Outcome::Completed, StepResult::WouldChange), "{reports:?}");
    ensure!(proxy.count(patches) == 1 && proxy.count(|r| patches(r) && r.is_dry_run()) == 1);
    ensure!(get(&world, SHOP).await? == before);
    Ok(())
}

async fn what_cannot_be_right_is_refused(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let ns = &world.namespace;
    create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    create_virtual_service(&world, "empty", &json!([])).await?;
    let hosts = json!([{"name": "only", "route": [to("a", "istio", Some(40)), to("b", "ingress", Some(60))]}]);
    create_virtual_service(&world, "hosts", &hosts).await?;
    let third = json!([{"route": [to("s", "ingress", Some(70)), to("s", "istio", Some(20)), to("t", "", Some(10))]}]);
    create_virtual_service(&world, "third", &third).await?;
    let mut controlled = virtual_service("controlled", &shop_routes(25));
    let owner = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "shop", "uid": "1", "controller": true}]);
    controlled.metadata.owner_references = serde_json::from_value(owner)?;
    let mut leaving = virtual_service("leaving", &shop_routes(25));
    leaving.metadata.finalizers = Some(vec!["example.com/keep".to_owned()]);
    for object in [&controlled, &leaving] {
        virtual_services(&world).create(&PostParams::default(), object).await?;
    }
    virtual_services(&world).delete("leaving", &Default::default()).await?;

    let of = |name: &str| weights_rollback(&world, name);
    let with = |name: &str, weights: [(&str, &str); 2], routes: &[&str]| {
        let mut step = weights_step(&world, name);
        step.weights = templates(&weights);
        step.routes = routes.iter().map(|route| (*route).to_owned()).collect();
        rollback([Step::VirtualService(step)])
    };
    let usual = [("istio", "${percentage}"), ("ingress", "${rest}")];
    let shop = "its routes: primary with shop/ingress = 75, shop/istio = 25; http[1] with shop/ingress = 75, shop/istio = 25; \
                old with shop/ingress = 100; blog with blog/v1 = 60, blog/v2 = 40";
    let cases: [(ChangePlan, String); 11] = [
        (
            of("nothing"),
            format!("could not read VirtualService {ns}/nothing: it does not exist; correct the namespace"),
        ),
        (of("empty"), format!("VirtualService {ns}/empty has no http routes; nothing was changed. Weights are set on")),
        (of("leaving"), format!("VirtualService {ns}/leaving is being deleted; nothing was changed")),
        (
            of("controlled"),
            format!("VirtualService {ns}/controlled is controlled by Canary shop (flagger.app/v1beta1), which"),
        ),
        (
            with(SHOP, usual, &["primary", "nope"]),
            format!(
                "VirtualService {ns}/shop has no http route named nope ({shop}); nothing was changed. Correct routes"
            ),
        ),
        (
            with(SHOP, usual, &["old"]),
            format!(
                "the http route old of VirtualService {ns}/shop has no destination istio (it has shop/ingress = 100); nothing was"
            ),
        ),
        (
            with(SHOP, [("new", "${percentage}"), ("ingress", "${rest}")], &[]),
            format!(
                "VirtualService {ns}/shop has no http route with all of the destinations ingress, new ({shop}); nothing was"
            ),
        ),
        // A short name is another text than the whole one.
        (
            with("hosts", [("a.svc", "${percentage}"), ("b", "${rest}")], &[]),
            format!(
                "VirtualService {ns}/hosts has no http route with all of the destinations a.svc, b (its routes: only with"
            ),
        ),
        (
            with(SHOP, [("shop", "${percentage}"), ("ingress", "${rest}")], &["primary"]),
            format!(
                "shop means 2 destinations of the http route primary of VirtualService {ns}/shop (it has shop/ingress = 75, "
            ),
        ),
        (
            with("hosts", [("a", "${percentage}"), ("istio", "${rest}")], &[]),
            format!(
                "a and istio mean the same destination of the http route only of VirtualService {ns}/hosts (it has a/istio = 40"
            ),
        ),
        (
            of("third"),
            format!(
                "the http route http[0] of VirtualService {ns}/third sends traffic to t = 10 too, so that the weights would not add"
            ),
        ),
    ];
    for (mut plan, wanted) in cases {
        let Step::VirtualService(step) = &plan.steps[0] else { unreachable!() };
        let (api, name) = (virtual_services(&world), step.name.clone());
        let before = api.get_opt(&name).await?;
        ensure!(before.is_some() == (name != "nothing"), "{name}");
        for dry_run in [false, true] {
            plan.dry_run = dry_run;
            let error = failure(&cluster, &plan).await?;
            ensure!(error.starts_with(&wanted), "{error:?} does not begin with {wanted:?}");
        }
        ensure!(api.get_opt(&name).await? == before, "{name} was changed");
    }
    Ok(())
}

async fn a_missing_weight_is_what_istio_takes_it_for(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let http = json!([{"route": [to("shop", "istio", None), to("shop", "ingress", Some(100)), to("spare", "", None)]}]);
    create_virtual_service(&world, SHOP, &http).await?;
    ensure!(cluster.share(&weights_rollback(&world, SHOP).steps).await == Ok(0));
    let (_, reports) = carry_out(&cluster, &weights_rollback(&world, SHOP)).await;
    ensure!(results(&reports) == [(StepResult::AlreadyThere, None)], "{reports:?}");
    let mut plan = to_percentage(weights_rollback(&world, SHOP), 10);
    plan.rollback = false;
    let (_, reports) = carry_out(&cluster, &plan).await;
    let detail = "http[0] ingress: 100 -> 90, http[0] istio: 0 -> 10";
    ensure!(results(&reports) == [(StepResult::Changed, Some(detail))], "{reports:?}");
    let wanted =
        json!([{"route": [to("shop", "istio", Some(10)), to("shop", "ingress", Some(90)), to("spare", "", None)]}]);
    ensure!(routes(&get(&world, SHOP).await?) == wanted);
    Ok(())
}

/// Somebody moved one route back further than the rollback would.
async fn a_rollback_never_raises_the_share_of_a_route(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let mut http = shop_routes(25);
    http[0] = shop_routes(3)[0].clone();
    create_virtual_service(&world, SHOP, &http).await?;
    let plan = to_percentage(weights_rollback(&world, SHOP), 10);
    let (_, reports) = carry_out(&cluster, &plan).await;
    let detail = "http[1] ingress: 75 -> 90, http[1] istio: 25 -> 10";
    ensure!(results(&reports) == [(StepResult::Changed, Some(detail))], "{reports:?}");
    http[1] = shop_routes(10)[1].clone();
    ensure!(routes(&get(&world, SHOP).await?) == http);
    let (_, reports) = carry_out(&cluster, &plan).await;
    let detail = "primary istio is 3 already, below 10";
    ensure!(results(&reports) == [(StepResult::AlreadyThere, Some(detail))], "{reports:?}");
    Ok(())
}

/// Somebody writes ahead of a patch what changes nothing that matters but the resourceVersion.
fn touching(world: &World) -> Fault {
    let (api, count) = (virtual_services(world), AtomicUsize::new(0));
    Fault::before(move || {
        let (api, count) = (api.clone(), count.fetch_add(1, Ordering::SeqCst));
        async move {
            let patch = Patch::Merge(json!({"metadata": {"labels": {"touched": count.to_string()}}}));
            api.patch(SHOP, &PatchParams::default(), &patch).await.expect("to touch a VirtualService");
        }
    })
}

async fn a_write_in_between_is_met_by_beginning_anew(world: World) -> anyhow::Result<()> {
    create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    proxy.rule_times(5, patches, touching(&world));
    let (outcome, reports) = carry_out(&cluster, &weights_rollback(&world, SHOP)).await;
    ensure!((outcome, results(&reports)[0].0) == (Outcome::Completed, StepResult::Changed), "{reports:?}");
    ensure!(proxy.count(patches) == 6, "{} patches", proxy.count(patches));
    let after = get(&world, SHOP).await?;
    ensure!(routes(&after) == shop_routes(0), "{}", routes(&after));
    let labels = after.metadata.labels.context("labels")?;
    ensure!(labels["touched"] == "4", "somebody's write was lost: {labels:?}");
    Ok(())
}

async fn whoever_never_stops_writing_wins(world: World) -> anyhow::Result<()> {
    create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    proxy.rule(patches, touching(&world));
    let error = failure(&cluster, &weights_rollback(&world, SHOP)).await?;
    let ns = &world.namespace;
    let wanted = format!("could not patch VirtualService {ns}/shop: somebody else changed it at the same moment");
    ensure!(error.starts_with(&wanted), "{error}");
    ensure!(error.ends_with("6 tries in a row met such a write: find out who keeps writing it"), "{error}");
    ensure!(routes(&get(&world, SHOP).await?) == shop_routes(25));
    Ok(())
}

async fn what_the_server_finds_invalid_is_no_conflict(world: World) -> anyhow::Result<()> {
    create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    proxy.rule(patches, Fault::kubernetes(422));
    let error = failure(&cluster, &weights_rollback(&world, SHOP)).await?;
    ensure!(error.contains("the API server finds the change invalid: "), "{error}");
    ensure!(proxy.count(patches) == 1, "{} patches", proxy.count(patches));
    Ok(())
}

async fn a_change_that_does_not_stay_is_told(world: World) -> anyhow::Result<()> {
    create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let api = virtual_services(&world);
    let undoes_it = move || {
        let api = api.clone();
        async move {
            let mut http = shop_routes(0);
            http[1] = shop_routes(25)[1].clone();
            set_routes(&api, SHOP, "flagger", &http).await.expect("to write routes");
        }
    };
    proxy.rule(patches, Fault::after(undoes_it));
    let error = failure(&cluster, &weights_rollback(&world, SHOP)).await?;
    let wanted = format!(
        "the change of VirtualService {}/shop was accepted and did not stay: http[1] ingress is 75, not 100, http[1] istio is 25, not 0. \
         flagger has set it since; stop that first",
        world.namespace
    );
    ensure!(error == wanted, "{error}");
    Ok(())
}

async fn missing_rights_are_named(world: World) -> anyhow::Result<()> {
    create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let cluster = cluster_of(&world, &reader(&world).await?).await?;
    let error = failure(&cluster, &weights_rollback(&world, SHOP)).await?;
    let wanted = format!("not permitted; grant patch on virtualservices/shop in namespace {}", world.namespace);
    ensure!(error.contains(&wanted), "{error}");
    Ok(())
}

/// An Istio before 1.22 has no v1.
async fn the_older_version_will_do(world: World) -> anyhow::Result<()> {
    create_virtual_service(&world, SHOP, &shop_routes(25)).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let older = Fault::edit(|answer| {
        for group in answer["groups"].as_array_mut().into_iter().flatten().filter(|g| g["name"] == istio::GROUP) {
            group["versions"].as_array_mut().expect("versions").retain(|version| version["version"] == "v1beta1");
        }
    });
    proxy.rule(|request| request.path == "/apis", older);
    let (_, reports) = carry_out(&cluster, &weights_rollback(&world, SHOP)).await;
    ensure!(results(&reports)[0].0 == StepResult::Changed, "{reports:?}");
    ensure!(
        proxy.count(|r| patches(r) && r.path.contains("/networking.istio.io/v1beta1/")) == 1,
        "{:?}",
        proxy.requests()
    );
    ensure!(routes(&get(&world, SHOP).await?) == shop_routes(0));
    Ok(())
}

async fn without_istio_it_is_told(world: World) -> anyhow::Result<()> {
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let none = Fault::edit(|answer| {
        answer["groups"].as_array_mut().expect("groups").retain(|group| group["name"] != istio::GROUP);
    });
    proxy.rule(|request| request.path == "/apis", none);
    let error = failure(&cluster, &weights_rollback(&world, SHOP)).await?;
    ensure!(error.contains("install Istio's CustomResourceDefinitions"), "{error}");
    Ok(())
}

async fn the_highest_share_of_the_routes_is_read(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let mut http = shop_routes(25);
    http[1] = shop_routes(40)[1].clone();
    create_virtual_service(&world, SHOP, &http).await?;
    create_deployment(&world, COMPONENT).await?;
    let all = Step::VirtualService(weights_step(&world, SHOP));
    let mut named = weights_step(&world, SHOP);
    named.routes = vec!["primary".to_owned()];
    let named = Step::VirtualService(named);
    let mut fixed = weights_step(&world, SHOP);
    fixed.weights = templates(&[("istio", "0"), ("ingress", "100")]);
    let fixed = Step::VirtualService(fixed);
    let env = Step::DeploymentEnv(env_step(&world, COMPONENT));
    for (steps, wanted) in [
        (vec![all.clone()], 40),
        (vec![named.clone()], 25),
        (vec![env.clone(), all.clone()], 40),
        (vec![fixed.clone(), env], 25),
    ] {
        let share = cluster.share(&steps).await;
        ensure!(share == Ok(wanted), "{share:?} and not {wanted} for {steps:?}");
    }

    let odd = json!([{"route": [to("shop", "ingress", Some(1)), to("shop", "istio", Some(1))]}]);
    create_virtual_service(&world, "odd", &odd).await?;
    let of = |name: &str| vec![Step::VirtualService(weights_step(&world, name))];
    let ns = &world.namespace;
    for (steps, wanted) in [
        (
            of("odd"),
            format!(
                "the weights of http[0] of VirtualService {ns}/odd are shop/ingress = 1, shop/istio = 1, which is no percentage"
            ),
        ),
        (of("nothing"), format!("could not read VirtualService {ns}/nothing: it does not exist")),
        (vec![fixed], "no object of the guard's steps holds the percentage".to_owned()),
    ] {
        match cluster.share(&steps).await {
            Err(Unknown::Cluster(reason)) => ensure!(reason.contains(&wanted), "{reason:?} does not hold {wanted:?}"),
            other => bail!("{other:?} for {steps:?}"),
        }
    }
    Ok(())
}
