//! How much of what can happen has happened in the random histories: a comparison over histories in which nothing happens is worth
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What must occur, and in at least how many of a thousand histories. The shares that were seen are some two times these.
pub const WANTED: [(&str, u32); 34] = [
    ("breach", 200),
    ("band", 150),
    ("clear", 300),
    ("unknown", 400),
    ("fires", 150),
    ("fires after a hold", 100),
    ("fires at the very end of its hold", 50),
    ("fires after unknown in its hold", 15),
    ("fires after band in its hold", 7),
    ("fires after clear in its hold", 4),
    ("fires after ticks of the past in its hold", 60),
    ("unknown freezes a running clock", 100),
    ("band advances a running clock", 50),
    ("clear too short to reset", 80),
    ("clear resets", 80),
    ("a gap is capped at two intervals", 100),
    ("the levels change while held", 20),
    ("the levels change the verdict while held", 10),
    ("a tick of the past advances the clock", 150),
    ("a tick of the past fills what nobody saw", 25),
    ("held back: unknown", 90),
    ("held back: not breaching", 90),
    ("held back: of the past", 110),
    ("held back: late", 70),
    ("held back: acting already", 140),
    ("a tick comes again", 250),
    ("a tick comes out of order", 250),
    ("the guard is not in the tick", 50),
    ("its trigger is not in the tick", 50),
    ("little traffic breaches", 20),
    ("little traffic hides a ratio beyond the threshold", 25),
    ("too few requests for a quantile", 25),
    ("the confirm window clears", 65),
    ("the confirm window keeps from breaching", 45),
];

/// In how many histories each thing occurred.
#[derive(Default)]
pub struct Coverage {
    histories: u32,
    occurred: BTreeMap<&'static str, u32>,
}

impl Coverage {
    /// Counts one more history.
    pub fn add(&mut self, occurred: BTreeSet<&'static str>) {
        self.histories += 1;
        occurred.into_iter().for_each(|what| *self.occurred.entry(what).or_default() += 1);
    }

    /// The table, and what occurred too seldom.
    pub fn judge(&self) -> (String, Vec<&'static str>) {
        let (mut table, mut rare) = (String::new(), Vec::new());
        for (what, wanted) in WANTED {
            let occurred = self.occurred.get(what).copied().unwrap_or_default();
            let share = f64::from(occurred) * 1000.0 / f64::from(self.histories.max(1));
            let _ = writeln!(table, "{share:7.1} of 1000 (at least {wanted:3})  {what}");
            if share < f64::from(wanted) {
                rare.push(what);
            }
        }
        let is_named = |what: &str| WANTED.iter().any(|(name, _)| *name == what);
        let unnamed: Vec<_> = self.occurred.keys().filter(|what| !is_named(what)).collect();
        assert!(unnamed.is_empty(), "counted and not wanted: {unnamed:?}");
        (table, rare)
    }
}
