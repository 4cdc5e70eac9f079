//! Whether Istio is there, where the configuration has to do with it.

use crate::config::{Baseline, MetricNames, Selector, Settings};
use crate::kubernetes::{CallError, Cause, Cluster, Kind, ObjectRef, Readiness};

use super::check::{Area, Check, Result};

/// Where the control plane runs, unless somebody chose otherwise.
pub(super) const ISTIO_SYSTEM: &str = "istio-system";

/// Where gateways run: beside the control plane (istioctl), or in a namespace of their own (the Helm chart's documentation).
const GATEWAY_NAMESPACES: [&str; 2] = [ISTIO_SYSTEM, "istio-ingress"];

/// The labels of gateways: istioctl's, and the Helm chart's for a release of the usual name.
const GATEWAY_LABELS: [&str; 2] = ["istio=ingressgateway", "app=istio-ingressgateway"];

/// The labels of the control plane.
const CONTROL_PLANE_LABELS: &str = "app=istiod";

/// Looks at the control plane and the gateways.
pub(super) async fn look(cluster: Option<&Cluster>, settings: &Settings) -> Vec<Check> {
    let steps = has_steps(settings);
    if !steps && !measures(settings) {
        return Vec::new();
    }
    let Some(cluster) = cluster else { return vec![Area::Istio.not_looked_at()] };
    let (routing, control_plane, gateways) =
        futures::join!(cluster.istio(), cluster.deployments(ISTIO_SYSTEM, CONTROL_PLANE_LABELS), gateways(cluster),);
    let mut checks = vec![said_of_routing(routing, steps)];
    checks.extend(said_of_deployments(
        "control plane",
        &format!("{ISTIO_SYSTEM}, {CONTROL_PLANE_LABELS}"),
        control_plane,
    ));
    let places = format!("{}, {}", GATEWAY_NAMESPACES.join(" or "), GATEWAY_LABELS.join(" or "));
    checks.extend(said_of_deployments("gateway", &places, gateways));
    checks
}

/// Whether a step changes an object of Istio's.
fn has_steps(settings: &Settings) -> bool {
    let mut objects = settings.guards.iter().flat_map(|guard| guard.steps.iter().filter_map(ObjectRef::of));
    objects.any(|object| object.kind == Kind::VirtualService)
}

/// Whether a guard is measured by Istio's metrics.
fn measures(settings: &Settings) -> bool {
    let istio = |selector: &Selector| selector.names == MetricNames::Istio;
    settings.guards.iter().flat_map(|guard| guard.signals.values()).any(|signal| {
        let control = matches!(&signal.baseline, Some(Baseline::Control(selector)) if istio(selector));
        control || signal.kind.selector().is_some_and(istio)
    })
}

/// The gateways of all places and labels, each once. A place that may not be looked at counts only where nothing else was found.
async fn gateways(cluster: &Cluster) -> std::result::Result<Vec<Readiness>, CallError> {
    let places = GATEWAY_NAMESPACES.iter().flat_map(|ns| GATEWAY_LABELS.map(|labels| (*ns, labels)));
    let lists = futures::future::join_all(places.map(|(ns, labels)| cluster.deployments(ns, labels))).await;
    let mut all: Vec<Readiness> = Vec::new();
    let mut refused = None;
    for list in lists {
        match list {
            Ok(list) => all.extend(list),
            Err(e) => refused = refused.or(Some(e)),
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.dedup();
    match refused {
        Some(e) if all.is_empty() => Err(e),
        _ => Ok(all),
    }
}

fn said_of_routing(found: std::result::Result<String, CallError>, steps: bool) -> Check {
    let what = "CustomResourceDefinitions";
    match found {
        Ok(version) => Area::Istio.ok(what, version),
        Err(e) if steps => {
            Area::Istio.fail(what, e.to_string(), "a virtual_service step cannot work without them: install Istio")
        }
        Err(e) => Area::Istio.warn(
            what,
            e.to_string(),
            "no step needs them, but guards go by Istio's metrics: is this the cluster that is meant?",
        ),
    }
}

fn said_of_deployments(what: &str, place: &str, found: std::result::Result<Vec<Readiness>, CallError>) -> Vec<Check> {
    let found = match found {
        Ok(found) => found,
        Err(e) => {
            let hint = match e.cause {
                Cause::Forbidden { .. } => {
                    "Ripcord itself does not need to see it: run preflight as somebody who may list Deployments there"
                }
                _ => "look at it yourself",
            };
            return vec![Area::Istio.warn(what, e.to_string(), hint)];
        }
    };
    if found.is_empty() {
        let hint = "where it runs under other names or outside this cluster, look at it there";
        return vec![Area::Istio.warn(what, format!("no Deployment is there ({place})"), hint)];
    }
    found
        .into_iter()
        .map(|Readiness { name, ready, wanted }| {
            let detail = format!("{ready} of {wanted} pods ready");
            let result = match ready {
                0 => Result::Fail,
                ready if ready < wanted => Result::Warn,
                _ => return Area::Istio.ok(format!("{what} {name}"), detail),
            };
            Area::Istio.amiss(result, format!("{what} {name}"), detail, "see its pods and their events")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pod_serves_and_none_does_not() {
        let said = |ready, wanted| {
            let found = vec![Readiness { name: "istiod".to_owned(), ready, wanted }];
            said_of_deployments("control plane", "somewhere", Ok(found)).remove(0).result
        };
        assert_eq!(said(2, 2), Result::Ok);
        assert_eq!(said(3, 2), Result::Ok);
        assert_eq!(said(1, 2), Result::Warn);
        assert_eq!(said(0, 2), Result::Fail);
        assert_eq!(said(0, 0), Result::Fail);
        assert_eq!(said_of_deployments("gateway", "somewhere", Ok(vec![]))[0].result, Result::Warn);
    }
}
