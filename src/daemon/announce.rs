//! Events on the Deployments of a rollback's guard, beside everything else: `kubectl describe` tells who moved the traffic.

use crate::config::Step;
use crate::engine::{Event, Notification};
use crate::kubernetes::{Announcement, AnnouncementType, Cluster, Kind, ObjectRef};
use crate::telemetry;

use super::world::World;

/// Leaves an Event for a notification about a rollback. Nothing waits for it.
pub fn announce(cluster: &Cluster, world: &World, notification: &Notification) {
    let (Some(guard), Some(_)) = (&notification.guard, &notification.rollback) else { return };
    if !notification.event.as_str().starts_with("rollback.") {
        return;
    }
    let warning = !matches!(notification.event, Event::RollbackSucceeded | Event::RollbackVerified);
    let announcement = Announcement {
        type_: if warning { AnnouncementType::Warning } else { AnnouncementType::Normal },
        reason: reason_word(notification.event),
        note: notification.summary.clone(),
        time: notification.time,
    };
    let steps = world.guard(guard).map(|g| g.steps.as_slice()).unwrap_or_default();
    for step in steps {
        let Step::DeploymentEnv(step) = step else { continue };
        let object = ObjectRef { kind: Kind::Deployment, namespace: step.namespace.clone(), name: step.name.clone() };
        let (cluster, announcement) = (cluster.clone(), announcement.clone());
        tokio::spawn(async move {
            if let Err(error) = cluster.tell(&object, &announcement).await {
                telemetry::Event::NotAnnounced { object: &object.to_string(), error: &error }.emit();
            }
        });
    }
}

/// `rollback.not_recovered` as Kubernetes writes reasons: `RipcordRollbackNotRecovered`.
fn reason_word(event: Event) -> String {
    let words = event.as_str().split(['.', '_']).map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
    });
    std::iter::once("Ripcord".to_owned()).chain(words).collect()
}
