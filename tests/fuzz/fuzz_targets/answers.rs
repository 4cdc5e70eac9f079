//! Any bytes as the body of each answer of a Prometheus, for one instant and for several. Each query of the plan gets a part of them. What is
//! made of it is judged by the triggers, too: nothing may panic, and no number that is none may come through as one.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use ripcord::prometheus::{Instants, Plan, answer_of, range_of};
use ripcord_fuzz::SETTINGS;

/// What stands between two bodies. A single one is every query's.
const BETWEEN: u8 = 0;

static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan::new(&SETTINGS.guards));

fuzz_target!(|data: &[u8]| {
    let parts: Vec<&[u8]> = data.split(|byte| *byte == BETWEEN).collect();
    let bodies: Vec<&[u8]> = parts.iter().copied().cycle().take(PLAN.queries().len()).collect();
    judge(&PLAN.queries().iter().zip(&bodies).map(|(query, body)| answer_of(query, body)).collect::<Vec<_>>());
    let first = Timestamp::from_second(1_700_000_000).expect("a time");
    let instants = Instants::between(first, first + Duration::from_secs(50), Duration::from_secs(10));
    let range = range_of(&PLAN, &bodies, instants);
    assert_eq!(range.steps().count(), 6);
    for (_, answers) in range.steps() {
        judge(&answers);
    }
});

fn judge(answers: &[ripcord::prometheus::Answer]) {
    let readings = PLAN.readings(answers);
    for guard in &SETTINGS.guards {
        for trigger in &guard.engine.triggers {
            let assessment = trigger.assess(&readings[guard.name.as_str()][trigger.name.as_str()], Some(5));
            assert!(assessment.value.is_none_or(f64::is_finite), "{assessment:?}");
        }
    }
}
