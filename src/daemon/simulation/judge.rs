//! What must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::engine::GuardState;

use super::node::Node;
use super::world::{HOLD, INTERVAL, RECEIVERS, World};

/// The time that a new leader needs to fetch what was missed, decide and write, in seconds. Much less than a hold.
const SLACK: u64 = 25;

/// A rule that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Each incident moves the traffic at most once.
    OneMove(String),
    /// Nothing is moved and nobody is paged for what is not in the journal, unless the journal could not be written.
    JournalFirst(String),
    /// Time that nobody saw is not counted: no trigger holds for longer than Prometheus has recorded.
    HonestHold(String),
    /// What holds for long enough, before the eyes of a leader, is rolled back; no restart starts the count anew.
    HoldSurvives(String),
    /// A latched guard moves nothing until it is re-armed.
    Latched(String),
    /// Every page that the journal ever held reaches its receiver, unless the receiver refuses it.
    NoPageLost(String),
    /// A page that comes again is the same, word for word.
    SamePage(String),
    /// The pages of an incident come in their order.
    InOrder(String),
    /// A rollback that was begun is finished, by whoever leads.
    Finished(String),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, how) = match self {
            Self::OneMove(how) => ("each incident moves the traffic at most once", how),
            Self::JournalFirst(how) => ("nothing happens that is not in the journal", how),
            Self::HonestHold(how) => ("time that nobody saw is not counted", how),
            Self::HoldSurvives(how) => ("what holds for long enough is rolled back", how),
            Self::Latched(how) => ("a latched guard moves nothing", how),
            Self::NoPageLost(how) => ("every page arrives", how),
            Self::SamePage(how) => ("a page that comes again is the same", how),
            Self::InOrder(how) => ("the pages of an incident come in their order", how),
            Self::Finished(how) => ("a rollback that was begun is finished", how),
        };
        write!(f, "the rule \"{rule}\" is broken: {how}")
    }
}

#[derive(Default)]
pub struct Judge {
    moves: usize,
    incidents: BTreeSet<String>,
    pages: [usize; 2],
    known: [BTreeMap<String, String>; 2],
    /// The last page of each incident that came for the first time.
    last: [BTreeMap<String, u32>; 2],
    state: Option<GuardState>,
    /// Since when a leader has looked on while the service is bad and nothing is latched.
    overdue_since: Option<u64>,
}

impl Judge {
    /// After each second.
    pub fn look(&mut self, world: &World, nodes: &[Node; 2]) -> Result<(), Rule> {
        self.moves(world)?;
        self.incidents(world)?;
        for receiver in 0..RECEIVERS.len() {
            self.pages(world, receiver)?;
        }
        self.holds(world, nodes)
    }

    fn moves(&mut self, world: &World) -> Result<(), Rule> {
        for (at, moved) in world.moved.iter().enumerate().skip(self.moves) {
            let Some(latest) = world.moved[..at].iter().find(|m| m.incident == moved.incident) else { continue };
            return Err(Rule::OneMove(format!("{} moved it at {} and at {}", moved.incident, latest.at, moved.at)));
        }
        for moved in &world.moved[self.moves..] {
            if !world.journalled.contains_key(&moved.incident) && !world.excused.contains(&moved.incident) {
                return Err(Rule::JournalFirst(format!("{} moved the traffic", moved.incident)));
            }
            let latched = matches!(self.state, Some(GuardState::RolledBack | GuardState::NotRecovered));
            if latched {
                return Err(Rule::Latched(format!("{} moved the traffic", moved.incident)));
            }
        }
        self.moves = world.moved.len();
        self.state = Some(world.state);
        Ok(())
    }

    fn incidents(&mut self, world: &World) -> Result<(), Rule> {
        for (incident, held) in &world.journalled {
            if !self.incidents.insert(incident.clone()) {
                continue;
            }
            let Some(held) = held else { continue };
            // A replica whose clock is behind sees the past.
            let seconds = world.offset.map(|offset| world.t.saturating_add_signed(offset.min(0)));
            let possible = seconds.iter().map(|t| world.longest_hold(*t)).max().unwrap_or(0);
            // A clock that was set may count one interval twice.
            let allowed = possible + INTERVAL * (1 + 2 * world.jumps);
            if *held > allowed as f64 {
                let how = format!("{incident} says {held} s, and {possible} s were recorded");
                return Err(Rule::HonestHold(how));
            }
        }
        Ok(())
    }

    fn pages(&mut self, world: &World, receiver: usize) -> Result<(), Rule> {
        let name = RECEIVERS[receiver];
        for page in &world.received[receiver][self.pages[receiver]..] {
            let key = (name.to_owned(), page.id.clone());
            if !world.promised.contains(&key)
                && !world.excused.contains(&page.id)
                && !page.incident.as_ref().is_some_and(|i| world.excused.contains(i))
            {
                return Err(Rule::JournalFirst(format!("{name} got {}", page.id)));
            }
            if let Some(before) = self.known[receiver].get(&page.id) {
                if *before != page.text && !self.doubtful(world, page.incident.as_deref()) {
                    return Err(Rule::SamePage(format!("{} was {before:?} and is {:?}", page.id, page.text)));
                }
                continue;
            }
            self.known[receiver].insert(page.id.clone(), page.text.clone());
            let (Some(incident), Some(number)) = (&page.incident, number(&page.id, page.incident.as_deref())) else {
                continue;
            };
            let last = self.last[receiver].entry(incident.clone()).or_default();
            if number < *last && !world.excused.contains(incident) {
                return Err(Rule::InOrder(format!("{name} got page {number} of {incident} after page {last}")));
            }
            *last = number.max(*last);
        }
        self.pages[receiver] = world.received[receiver].len();
        Ok(())
    }

    /// What was told although it could not be written is told as well as can be.
    fn doubtful(&self, world: &World, incident: Option<&str>) -> bool {
        incident.is_some_and(|incident| world.excused.contains(incident))
    }

    fn holds(&mut self, world: &World, nodes: &[Node; 2]) -> Result<(), Rule> {
        let t = world.t;
        let seen = nodes.iter().any(|n| n.leads() && n.leads_since.is_some_and(|since| t >= since + SLACK));
        let long = HOLD + SLACK;
        let bad = t >= long
            && world.record[usize::try_from(t - long).unwrap_or_default()..].iter().all(|v| v.is_some_and(|v| v > 0.5));
        let undisturbed =
            t >= world.last_disturbance + SLACK && t >= world.blind_until + HOLD + SLACK && world.offset == [0, 0];
        let idle = world.state == GuardState::Watching && world.share > 0;
        if !(seen && bad && undisturbed && idle) {
            self.overdue_since = None;
            return Ok(());
        }
        let since = *self.overdue_since.get_or_insert(t);
        if t >= since + INTERVAL {
            return Err(Rule::HoldSurvives(format!("bad for {long} s, and nothing was done")));
        }
        Ok(())
    }

    /// When the night is over and everything has been well for a while.
    pub fn at_the_end(&self, world: &World) -> Result<(), Rule> {
        for (receiver, page) in &world.promised {
            let index = RECEIVERS.iter().position(|r| r == receiver).unwrap_or_default();
            if !self.known[index].contains_key(page) && !world.refused.contains(&(receiver.clone(), page.clone())) {
                return Err(Rule::NoPageLost(format!("{receiver} never got {page}")));
            }
        }
        if matches!(world.state, GuardState::RollingBack | GuardState::Verifying) {
            return Err(Rule::Finished(format!("the journal still says {}", world.state.as_str())));
        }
        if !world.moved.iter().any(|moved| moved.at >= World::last_call()) {
            return Err(Rule::HoldSurvives("the last call was not answered".to_owned()));
        }
        Ok(())
    }
}

/// Which page of its incident it is.
fn number(id: &str, incident: Option<&str>) -> Option<u32> {
    let rest = id.strip_prefix(incident?)?.strip_prefix('.')?;
    rest.split('-').next()?.parse().ok()
}
