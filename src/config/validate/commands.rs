//! `command`: a program and its arguments.

use std::time::Duration;

use crate::config::Command;
use crate::config::defaults;
use crate::config::field::{AnyText, At, Field, List};
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::template::Template;
use crate::config::units::say;

use super::vars::Vars;

/// Validates a `command`.
pub(super) fn command(at: &At<raw::Command>, vars: &Vars, problems: &mut Problems) -> Option<Command> {
    let s = &at.value;
    let missing = "needs argv, the program and its arguments, like argv: [/scripts/move, \"${percentage}\"]";
    let argv = s.argv.required(&at.path, missing, problems).and_then(|at| argv(at, vars, problems));
    let timeout = timeout(&s.timeout, problems);
    Some(Command { argv: argv?, timeout: timeout? })
}

fn argv(at: &At<List<AnyText>>, vars: &Vars, problems: &mut Problems) -> Option<Vec<Template>> {
    let list = &at.value.0;
    if list.is_empty() {
        problems
            .error(&at.path, "is empty; write the program and its arguments, like [/scripts/move, \"${percentage}\"]");
        return None;
    }
    let mut out = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let Field::Given(At { path, value }) = entry else { continue };
        let text = &value.0;
        if text.contains('\0') {
            problems.error(path, "holds a NUL sign, which no argument can; take it out");
            continue;
        }
        if index > 0 {
            out.extend(problems.take(path, vars.parse(text)));
            continue;
        }
        // The program is the same at every change, so that it can be looked for beforehand.
        let Some(program) = vars.render(path, text, problems) else { continue };
        if program.trim().is_empty() || program.ends_with('/') {
            problems.error(path, format!("{program:?} is no program; write its path, or a name to be found by PATH"));
            continue;
        }
        out.push(Template::literal(&program));
    }
    (out.len() == list.len()).then_some(out)
}

fn timeout(field: &Field<Duration>, problems: &mut Problems) -> Option<Duration> {
    let timeout = field.or_default(defaults::COMMAND_TIMEOUT)?;
    if let Field::Given(at) = field {
        let most = defaults::MAX_COMMAND_TIMEOUT;
        let wrong = match timeout {
            Duration::ZERO => Some("0s is too short; write how long it may run, like 240s".to_owned()),
            long if long > most => Some(format!("{} is too long; the most is {}", say(long), say(most))),
            _ => None,
        };
        if let Some(message) = wrong {
            problems.error(&at.path, message);
            return None;
        }
    }
    Some(timeout)
}
