//! From what was written to what is meant. Every function adds what is wrong to the problems and goes on; one that
//! returns `None` has added an error.

mod addresses;
mod baselines;
mod commands;
mod guards;
mod heartbeat;
mod levels;
mod names;
mod prometheus;
mod quiet;
mod receivers;
mod rollback;
mod selectors;
mod slo;
mod stages;
mod state;
mod steps;
mod triggers;
mod vars;
mod webhooks;
mod weights;

use std::net::SocketAddr;

use crate::engine::Language;

use super::field::{Field, Read, unknown_key};
use super::node::Node;
use super::path::Path;
use super::problems::Problems;
use super::raw;
use super::suggest;
use super::units::say;
use super::{Evaluation, Http, LoadOptions, Readiness, Settings, defaults};

/// The keys at the top, for the suggestions.
const TOP: [&str; 12] = [
    "prometheus",
    "evaluation",
    "defaults",
    "guards",
    "receivers",
    "language",
    "links",
    "http",
    "heartbeat",
    "readiness",
    "state",
    "leader_election",
];

/// Validates a merged configuration. `odd_keys` are the keys at the top of the files that could not be merged.
pub(super) fn settings(
    node: &Node,
    odd_keys: &[String],
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<Settings> {
    let root = Path::root();
    for key in odd_keys {
        unknown_key(key, &root.key(key), &TOP, problems);
    }
    let raw = raw::Root::read(node, problems)?;
    let evaluation = evaluation(&raw.evaluation, problems);
    let prometheus = prometheus::prometheus(&raw.prometheus, options, problems);
    if let (Some(prometheus), Some(evaluation)) = (&prometheus, &evaluation)
        && prometheus.timeout > evaluation.interval
    {
        let message = format!(
            "{} is longer than evaluation.interval ({}): one slow query makes the next ticks late",
            say(prometheus.timeout),
            say(evaluation.interval)
        );
        problems.warn(&root.key("prometheus").key("timeout"), message);
    }
    // Where the interval is wrong, the guards are looked at with the default one, so that their errors are said too.
    let interval = evaluation.as_ref().map_or(defaults::INTERVAL, |e| e.interval);
    let guards = guards::guards(&raw, interval, problems);
    let language = language(&raw.language, problems);
    let receivers = receivers::receivers(&raw, language.unwrap_or_default(), options, problems);
    let http = http(&raw.http, options, problems);
    let links = addresses::links(&raw.links, problems);
    let heartbeat = heartbeat::heartbeat(&raw.heartbeat, interval, options, problems);
    let readiness = readiness(&raw.readiness, problems);
    let state = state::state(&raw.state, problems);
    let leader_election = state::leader_election(&raw, problems);
    Some(Settings {
        prometheus: prometheus?,
        evaluation: evaluation?,
        guards: guards?,
        receivers: receivers?,
        language: language?,
        http: http?,
        links: links?,
        heartbeat: heartbeat?,
        readiness: readiness?,
        state: state?,
        leader_election: leader_election?,
        warnings: Vec::new(),
    })
}

fn evaluation(field: &Field<raw::Evaluation>, problems: &mut Problems) -> Option<Evaluation> {
    let path = Path::root().key("evaluation");
    let written = match field {
        Field::Wrong => return None,
        Field::Missing => raw::Evaluation::default(),
        Field::Given(at) => at.value.clone(),
    };
    let interval = written.interval.or_default(defaults::INTERVAL);
    let offset = written.offset.or_default(defaults::OFFSET);
    let blind_after = written.blind_after.or_default(defaults::BLIND_AFTER);
    let (interval, offset, blind_after) = (interval?, offset?, blind_after?);
    let mut ok = true;
    if interval < defaults::MIN_INTERVAL {
        let message = format!("{} is too short; the least is {}", say(interval), say(defaults::MIN_INTERVAL));
        problems.error(&path.key("interval"), message);
        ok = false;
    }
    if offset > defaults::MAX_OFFSET {
        let message = format!("{} is too long; the most is {}", say(offset), say(defaults::MAX_OFFSET));
        problems.error(&path.key("offset"), message);
        ok = false;
    }
    if blind_after < interval {
        let message = format!(
            "{} is shorter than evaluation.interval ({}): one late answer would page; write a few intervals",
            say(blind_after),
            say(interval)
        );
        problems.error(&path.key("blind_after"), message);
        ok = false;
    }
    ok.then_some(Evaluation { interval, offset, blind_after })
}

fn readiness(field: &Field<raw::Readiness>, problems: &mut Problems) -> Option<Readiness> {
    let at = match field {
        Field::Wrong => return None,
        Field::Missing => return Some(Readiness { interval: defaults::READINESS_INTERVAL }),
        Field::Given(at) => at,
    };
    let interval = at.value.interval.or_default(defaults::READINESS_INTERVAL)?;
    let message = if interval < defaults::MIN_READINESS_INTERVAL {
        format!("{} is too short; the least is {}", say(interval), say(defaults::MIN_READINESS_INTERVAL))
    } else if interval > defaults::MAX_READINESS_INTERVAL {
        format!("{} is too long; the most is {}", say(interval), say(defaults::MAX_READINESS_INTERVAL))
    } else {
        return Some(Readiness { interval });
    };
    problems.error(&at.path.key("interval"), message);
    None
}

fn http(field: &Field<raw::Http>, options: LoadOptions, problems: &mut Problems) -> Option<Http> {
    let written = match field {
        Field::Wrong => return None,
        Field::Missing => raw::Http::default(),
        Field::Given(at) => at.value.clone(),
    };
    let listen = match &written.listen {
        Field::Missing => Some(defaults::LISTEN),
        Field::Wrong => None,
        Field::Given(at) => {
            let parsed = at.value.parse::<SocketAddr>().map_err(|_| {
                format!("{} is no address to listen on; write an IP address and a port, like 0.0.0.0:8080", at.value)
            });
            problems.take(&at.path, parsed)
        }
    };
    let token_file = addresses::secret(&written.token_file, options, problems);
    Some(Http { listen: listen?, token_file: token_file? })
}

/// A language; English where none is written.
fn language(field: &Field<String>, problems: &mut Problems) -> Option<Language> {
    let words = Language::ALL.map(|language| (language.as_str(), language));
    choose(field, &words, problems).map(Option::unwrap_or_default)
}

/// Chooses by word.
fn choose<T: Copy>(field: &Field<String>, choices: &[(&str, T)], problems: &mut Problems) -> Option<Option<T>> {
    match field {
        Field::Missing => Some(None),
        Field::Wrong => None,
        Field::Given(at) => match choices.iter().find(|(word, _)| *word == at.value) {
            Some((_, choice)) => Some(Some(*choice)),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                let hint = suggest::hint(&at.value, &words, "write one of these");
                problems.error(&at.path, format!("{:?} is not known here{hint}", at.value));
                None
            }
        },
    }
}
