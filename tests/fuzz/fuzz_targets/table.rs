//! Any text as a table, read at instants around its rows. Its first byte says whether there is one guard or two.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ripcord::engine::Evidence;
use ripcord::prometheus::Csv;
use ripcord_fuzz::SETTINGS;

/// Distances from the first row, in seconds.
const INSTANTS: [u64; 7] = [0, 1, 60, 120, 300, 301, 3600];

fuzz_target!(|text: &str| {
    let guards = if text.starts_with('t') { &SETTINGS.guards[..1] } else { &SETTINGS.guards[..] };
    let table = match Csv::parse(text, guards) {
        Ok(table) => table,
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(|problem| drop(problem.to_string()));
            return;
        }
    };
    let Some((first, last)) = table.span() else { return };
    assert!(first <= last);
    let later = INSTANTS.iter().filter_map(|seconds| first.checked_add(Duration::from_secs(*seconds)).ok());
    for at in later.chain([last]) {
        let readings = table.readings(guards, at);
        for guard in guards {
            let of = &readings[guard.name.as_str()];
            assert_eq!(of.len(), guard.signals.len());
            if let Ok(Evidence::Counts { failed, total }) = of["error_rate"].window {
                assert!(failed >= 0.0 && failed <= total);
            }
            for trigger in &guard.engine.triggers {
                let assessment = trigger.assess(&of[trigger.name.as_str()], table.share(&guard.name, at));
                assert!(assessment.value.is_none_or(f64::is_finite), "{assessment:?}");
            }
        }
    }
});
