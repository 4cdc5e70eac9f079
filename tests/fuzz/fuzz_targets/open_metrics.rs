//! Any text as a file of samples, asked for instants around them, in order and not.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ripcord::prometheus::{Answer, OpenMetrics, Plan};
use ripcord_fuzz::SETTINGS;

static PLAN: LazyLock<Plan> = LazyLock::new(|| Plan::new(&SETTINGS.guards));

/// Distances from the first sample, in seconds.
const INSTANTS: [u64; 8] = [0, 1, 30, 60, 120, 300, 301, 3600];

fuzz_target!(|text: &str| {
    let file = match OpenMetrics::parse(text) {
        Ok(file) => file,
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(|problem| drop(problem.to_string()));
            return;
        }
    };
    let Some((first, last)) = file.span() else { return };
    assert!(first <= last);
    let mut prepared = file.prepare(&PLAN);
    let later = INSTANTS.iter().filter_map(|seconds| first.checked_add(Duration::from_secs(*seconds)).ok());
    for at in later.chain([last, first]) {
        let _ = PLAN.readings(&prepared.answers(at));
        assert!(file.share("a", at).is_none_or(|share| share <= 100));
    }
    // Wherever it was before, an instant is answered alike. Not compared by `==`: what is no number is not itself.
    let text = |answers: Vec<Answer>| answers.iter().map(|answer| format!("{answer:?}").len()).collect::<Vec<_>>();
    assert_eq!(text(prepared.answers(last)), text(file.answers(&PLAN, last)));
});
