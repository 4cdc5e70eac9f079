//! Bad nights, simulated: two replicas run the real engine, core, document and queue against a cluster, a Prometheus and receivers that
//! fail, by a seed. The same seed gives the same night, to the last page.
//!
//! - `world`: the cluster's store, the service, Prometheus, the receivers, and when each of them fails
//! - `node`: one replica: what the daemon does around the core
//! - `judge`: what must hold whatever happens, in words
//!
//! A night that breaks a rule prints its seed; `RIPCORD_SIMULATION_SEED=<seed> cargo test --lib simulation` shows it again, with its log.
//! `RIPCORD_SIMULATION_NIGHTS` says how many there are.

mod judge;
mod node;
mod world;

use judge::{Judge, Rule};
use node::Node;
use world::World;

/// Nights of an ordinary test run. Thousands are run by hand: they take minutes.
const NIGHTS: u64 = 400;

/// Nights within which a deliberate bug must be found.
const NIGHTS_FOR_A_BUG: u64 = 100;

/// A defect that is put in on purpose, to see that the rules find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// The journal says that it has written, and has not.
    SkipJournal,
    /// The store takes every write, whoever has written before.
    ForgetFence,
    /// What is not known is taken for what was known last.
    CountUnknown,
    /// Pages go out before the journal has them.
    PageFirst,
    /// A restart begins with an empty outbox.
    ForgetPages,
    /// After a restart the missed ticks are not fetched, and the clocks that were written are not used.
    ForgetHolds,
    /// A change that was under way at a crash is not taken up.
    ForgetChange,
}

/// One night, from its seed alone. The error is the rule that it breaks, with the log.
fn night(seed: u64, bug: Option<Bug>) -> Result<World, (Rule, String)> {
    let mut world = World::new(seed, bug);
    let mut nodes = [Node::new(0, &mut world), Node::new(1, &mut world)];
    let mut judge = Judge::default();
    while !world.is_over() {
        world.pass_a_second(&mut nodes);
        for node in &mut nodes {
            node.work(&mut world);
        }
        judge.look(&world, &nodes).map_err(|rule| (rule, world.log()))?;
    }
    judge.at_the_end(&world).map_err(|rule| (rule, world.log()))?;
    Ok(world)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_night_breaks_a_rule() {
    if let Some(seed) = variable("RIPCORD_SIMULATION_SEED") {
        match night(seed, None) {
            Ok(world) => println!("{}", world.log()),
            Err((rule, log)) => panic!("{log}\nnight {seed}: {rule}"),
        }
        return;
    }
    let nights = variable("RIPCORD_SIMULATION_NIGHTS").unwrap_or(NIGHTS);
    let mut seen = world::Seen::default();
    for seed in 0..nights {
        match night(seed, None) {
            Ok(world) => seen.add(&world),
            Err((rule, _)) => panic!("night {seed}: {rule}; RIPCORD_SIMULATION_SEED={seed} shows it"),
        }
    }
    println!("{nights} nights: {seen}");
    seen.was_worth_it();
}

#[test]
fn the_same_seed_gives_the_same_night() {
    for seed in [1, 7, 23] {
        let (one, other) = (night(seed, None), night(seed, None));
        assert_eq!(one.map(|w| w.log()).map_err(|e| e.1), other.map(|w| w.log()).map_err(|e| e.1));
    }
}

#[test]
fn each_deliberate_bug_is_found() {
    use Bug::*;
    for bug in [SkipJournal, ForgetFence, CountUnknown, PageFirst, ForgetPages, ForgetHolds, ForgetChange] {
        let found = (0..NIGHTS_FOR_A_BUG).find_map(|seed| Some((seed, night(seed, Some(bug)).err()?.0)));
        let (seed, rule) = found.unwrap_or_else(|| panic!("{bug:?} was not found in {NIGHTS_FOR_A_BUG} nights"));
        println!("{bug:?}: found in night {seed}: {rule}");
    }
}
