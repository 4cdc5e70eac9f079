//! Where a rollback goes, and which components are meant.

use crate::cli::{Components, Mode};

/// The share to go to, in percent; absent for the configuration's own target.
pub fn of_rollback(mode: Option<Mode>, percentage: Option<u8>) -> Result<Option<u8>, String> {
    match (mode, percentage) {
        (None, percentage) => Ok(percentage),
        (Some(Mode::Ingress), None | Some(0)) => Ok(Some(0)),
        (Some(Mode::Ingress), Some(other)) => Err(format!(
            "--mode ingress is 0 %, not {other} %; write --mode dual --percentage {other}, or leave one out"
        )),
        (Some(Mode::Dual), Some(percentage @ 1..=99)) => Ok(Some(percentage)),
        (Some(Mode::Dual), None) => {
            Err("--mode dual needs --percentage, the share to keep on Istio, like 10".to_owned())
        }
        (Some(Mode::Dual), Some(other)) => Err(format!("--mode dual keeps 1 to 99 % on Istio, not {other} %")),
    }
}

/// The components that are meant, of those that there are; `of_namespace` are the ones with objects in the namespace asked for.
pub fn choose(asked: &Components, known: &[String], of_namespace: Option<&[String]>) -> Result<Vec<String>, String> {
    let unknown: Vec<&str> = asked.names.iter().filter(|name| !known.contains(name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(format!("no such component: {} (there are: {})", unknown.join(", "), known.join(", ")));
    }
    let meant = |name: &&String| asked.all || asked.names.contains(name);
    let there = |name: &&String| of_namespace.is_none_or(|names| names.contains(name));
    let chosen: Vec<String> = known.iter().filter(meant).filter(there).cloned().collect();
    if chosen.is_empty() {
        let namespace = asked.namespace.as_deref().unwrap_or_default();
        return Err(format!("no component that is meant has an object in the namespace {namespace}"));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_and_a_percentage_must_agree() {
        assert_eq!(of_rollback(None, None), Ok(None));
        assert_eq!(of_rollback(None, Some(10)), Ok(Some(10)));
        assert_eq!(of_rollback(Some(Mode::Ingress), None), Ok(Some(0)));
        assert_eq!(of_rollback(Some(Mode::Ingress), Some(0)), Ok(Some(0)));
        assert_eq!(of_rollback(Some(Mode::Dual), Some(10)), Ok(Some(10)));
        for (mode, percentage) in
            [(Mode::Ingress, Some(10)), (Mode::Dual, None), (Mode::Dual, Some(0)), (Mode::Dual, Some(100))]
        {
            assert!(of_rollback(Some(mode), percentage).is_err(), "{mode:?} {percentage:?}");
        }
    }

    #[test]
    fn components_are_chosen_by_name_all_or_namespace() {
        let known = ["db", "terminal"].map(str::to_owned);
        let asked = |names: &[&str], all| Components {
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            all,
            namespace: Some("ns".to_owned()),
        };
        assert_eq!(choose(&asked(&["terminal"], false), &known, None), Ok(vec!["terminal".to_owned()]));
        assert_eq!(choose(&asked(&[], true), &known, None), Ok(known.to_vec()));
        assert_eq!(choose(&asked(&[], true), &known, Some(&["db".to_owned()])), Ok(vec!["db".to_owned()]));
        assert_eq!(
            choose(&asked(&["web", "db", "x"], false), &known, None),
            Err("no such component: web, x (there are: db, terminal)".to_owned())
        );
        assert!(choose(&asked(&["terminal"], false), &known, Some(&["db".to_owned()])).unwrap_err().contains("ns"));
    }
}
