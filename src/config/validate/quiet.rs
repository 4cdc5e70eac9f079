//! A receiver's `quiet`: the time of a day in which it is left alone by what is not critical.

use jiff::civil::Time;
use jiff::tz::{self, TimeZone};

use crate::config::Quiet;
use crate::config::field::{At, Field};
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::suggest;

pub(super) fn quiet(field: &Field<raw::Quiet>, problems: &mut Problems) -> Option<Option<Quiet>> {
    let at = match field {
        Field::Missing => return Some(None),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    let q = &at.value;
    let from = q.from.required(&at.path, "needs from, when it begins, like \"22:00\"", problems);
    let from = from.and_then(|at| time(at, problems));
    let to = q.to.required(&at.path, "needs to, when it is over, like \"07:00\"", problems);
    let to = to.and_then(|at| time(at, problems));
    let zone = q.time_zone.required(&at.path, "needs time_zone, like Asia/Shanghai or UTC", problems);
    let zone = zone.and_then(|at| time_zone(at, problems));
    let (from, to, time_zone) = (from?, to?, zone?);
    if from == to {
        problems.error(&at.path, "begins when it is over: that is no time at all or a whole day; use events instead");
        return None;
    }
    Some(Some(Quiet { from, to, time_zone }))
}

fn time(at: &At<String>, problems: &mut Problems) -> Option<Time> {
    let parsed = Time::strptime("%H:%M", &at.value)
        .map_err(|_| format!("{:?} is no time of a day; write it like \"22:00\"", at.value));
    problems.take(&at.path, parsed)
}

fn time_zone(at: &At<String>, problems: &mut Problems) -> Option<TimeZone> {
    let found = TimeZone::get(&at.value).map_err(|_| {
        let known: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        // There are hundreds, too many to list them.
        let hint = suggest::nearest(&at.value, known.iter().copied())
            .map_or("; write one like Asia/Shanghai or UTC".to_owned(), |name| format!("; did you mean {name:?}?"));
        format!("there is no time zone {:?}{hint}", at.value)
    });
    problems.take(&at.path, found)
}
