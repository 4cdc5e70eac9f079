//! A dry run: what would change, field by field, as the API server says it would take it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::Output;
use crate::commands::patience::patiently;
use crate::commands::{Failure, print};
use crate::config::Guard;
use crate::engine::{Progress, StepReport, StepResult};
use crate::kubernetes::{self, ChangePlan, Cluster};

use super::{Component, Order};

/// Shows what the move would do, and moves nothing. The error is that a part of it would fail.
pub async fn preview(
    order: &Order,
    cluster: &Cluster,
    guards: &[&Guard],
    components: &[Component],
    output: Output,
) -> Result<(), Failure> {
    let tries = guards.iter().zip(components).map(|(guard, component)| steps(order, cluster, guard, component));
    let all: Vec<Vec<StepReport>> = patiently("Asking the API server", futures::future::join_all(tries)).await;
    match output {
        Output::Json => {
            let components: Vec<Value> = components
                .iter()
                .zip(&all)
                .map(|(c, steps)| {
                    let share = c.share.as_ref().ok();
                    json!({"component": c.name, "from_percentage": share, "to_percentage": c.target, "steps": steps})
                })
                .collect();
            let report = json!({
                "command": order.command, "reason": order.reason, "percentage": order.percentage, "dry_run": true,
                "components": components,
            });
            print(&format!("{report:#}\n"))?;
        }
        Output::Text => {
            let mut text = String::new();
            for (component, steps) in components.iter().zip(&all) {
                text.push_str(&format!("{}: {}\n", component.name, component.movement()));
                for step in steps {
                    text.push_str(&format!("  {}: {}\n", step.step, step.result.as_str()));
                    let fields = |detail: &String| match step.result {
                        // A sentence has commas of its own.
                        StepResult::Failed => vec![detail.clone()],
                        _ => detail.split(", ").map(str::to_owned).collect(),
                    };
                    for line in step.detail.iter().flat_map(fields) {
                        text.push_str(&format!("    {line}\n"));
                    }
                }
            }
            text.push_str("Nothing was changed: this is a dry run.\n");
            print(&text)?;
        }
    }
    let failing: Vec<&str> = components
        .iter()
        .zip(&all)
        .filter(|(_, steps)| steps.iter().any(|step| step.result == StepResult::Failed))
        .map(|(component, _)| component.name.as_str())
        .collect();
    if failing.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(anyhow::anyhow!("this would fail for {}", failing.join(", "))))
}

async fn steps(order: &Order, cluster: &Cluster, guard: &Guard, component: &Component) -> Vec<StepReport> {
    let target = component.target.unwrap_or_default();
    let now = Timestamp::now();
    let plan = ChangePlan {
        vars: kubernetes::variables(&guard.name, &guard.vars, target, &order.reason, "dry-run", now),
        rollback: order.command == "rollback",
        ..ChangePlan::rehearsal(guard, now, Arc::new(|| true))
    };
    let mut steps = Vec::new();
    let report = |progress| {
        if let Progress::Step(step) = progress {
            steps.push(step);
        }
    };
    cluster.carry_out(&plan, report, std::future::pending()).await;
    steps
}
