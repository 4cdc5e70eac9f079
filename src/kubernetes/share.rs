//! Where the traffic is now.

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap as ConfigMapObject;

use crate::config::template::Template;
use crate::config::{ConfigMap, DeploymentEnv, Step, VirtualService};
use crate::engine::Unknown;

use super::cluster::Cluster;
use super::config_map::value_of;
use super::deployment_env::{container, entries, origin};
use super::object::ObjectRef;
use super::virtual_service;

impl Cluster {
    /// The share of the traffic on the new path, in percent, read from the fields that hold `${percentage}`. Where
    /// there are several, the highest: it says how many users may be exposed. A field that cannot be read, or that
    /// holds no percentage, makes the share unknown.
    pub async fn share(&self, steps: &[Step]) -> Result<u8, Unknown> {
        let reads = steps.iter().map(|step| async move {
            let Some(object) = ObjectRef::of(step) else { return Ok(None) };
            match step {
                Step::DeploymentEnv(s) => self.share_of_deployment(s, object).await,
                Step::ConfigMap(s) => self.share_of_config_map(s, object).await,
                Step::VirtualService(s) => self.share_of_virtual_service(s, object).await,
                Step::Command(_) => Ok(None),
            }
        });
        let shares = try_join_all(reads).await.map_err(Unknown::Cluster)?;
        shares.into_iter().flatten().max().ok_or_else(|| {
            Unknown::Cluster("no object of the guard's steps holds the percentage: none has a field that is just ${percentage}, or it is absent".into())
        })
    }

    async fn share_of_deployment(&self, step: &DeploymentEnv, object: ObjectRef) -> Result<Option<u8>, String> {
        let fields: Vec<&String> = percentages(&step.env).collect();
        if fields.is_empty() {
            return Ok(None);
        }
        let deployment: Deployment = self.get(&object).await.map_err(|e| e.to_string())?;
        let container = container(&deployment, &object, &step.container)?;
        let shares = fields.into_iter().map(|variable| {
            let place = format!("env {variable} of container {} of {object}", step.container);
            let mut found = entries(container, variable);
            match (found.next(), found.next()) {
                (None, _) => Err(format!("{place} is not set")),
                (Some(_), Some(_)) => Err(format!("{place} is there more than once")),
                (Some(entry), None) => match &entry.value_from {
                    Some(source) => Err(format!("{place} is no literal value: it comes from {}", origin(source))),
                    None => percentage(entry.value.as_deref().unwrap_or(""), &place),
                },
            }
        });
        shares.collect::<Result<Vec<u8>, String>>().map(|all| all.into_iter().max())
    }

    async fn share_of_virtual_service(&self, step: &VirtualService, object: ObjectRef) -> Result<Option<u8>, String> {
        if percentages(&step.weights).next().is_none() {
            return Ok(None);
        }
        let found = self.get_dynamic(&object).await.map_err(|e| e.to_string())?;
        virtual_service::share(step, &object, &found)
    }

    async fn share_of_config_map(&self, step: &ConfigMap, object: ObjectRef) -> Result<Option<u8>, String> {
        let fields: Vec<&String> = percentages(&step.data).collect();
        if fields.is_empty() {
            return Ok(None);
        }
        let config_map: ConfigMapObject = match self.get(&object).await {
            Err(e) if e.is_not_found() && step.optional => return Ok(None),
            other => other.map_err(|e| e.to_string())?,
        };
        let shares = fields.into_iter().map(|key| {
            let place = format!("key {key} of {object}");
            match value_of(&config_map, key) {
                Some(value) => percentage(value, &place),
                None => Err(format!("{place} is not set")),
            }
        });
        shares.collect::<Result<Vec<u8>, String>>().map(|all| all.into_iter().max())
    }
}

fn percentages(templates: &std::collections::BTreeMap<String, Template>) -> impl Iterator<Item = &String> {
    templates.iter().filter(|(_, template)| template.is_percentage()).map(|(field, _)| field)
}

fn percentage(text: &str, place: &str) -> Result<u8, String> {
    let digits = text.trim();
    let number = digits.chars().all(|c| c.is_ascii_digit()).then(|| digits.parse::<u8>().ok()).flatten();
    number.filter(|n| *n <= 100).ok_or_else(|| format!("{place} is {text:?}, not a whole number from 0 to 100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_whole_number_from_0_to_100() {
        for (text, wanted) in [("0", 0), ("100", 100), ("25\n", 25), ("007", 7)] {
            assert_eq!(percentage(text, "it"), Ok(wanted), "{text:?}");
        }
        for text in ["", " ", "101", "256", "-1", "+5", "2.5", "25%", "dual", "99999999999999999999"] {
            assert_eq!(percentage(text, "it"), Err(format!("it is {text:?}, not a whole number from 0 to 100")));
        }
    }
}
