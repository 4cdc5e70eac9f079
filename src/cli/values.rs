//! What a value may be, and what is said of one that is none.

use std::time::Duration;

use super::baseline::When;
use super::render::ServiceAccount;
use super::replay::Moment;
use crate::config;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).map_err(|e| e.to_string())
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if text == "now" {
        return Ok(Moment::Ago(Duration::ZERO));
    }
    if let Some(ago) = text.strip_prefix('-') {
        return duration(ago).map(Moment::Ago);
    }
    let at = text.parse().map_err(|_| format!("{text:?} is no time; write now, -7d or 2026-01-02T03:04:05Z"))?;
    Ok(Moment::At(at))
}

/// An instant; none for now.
pub(super) fn time(text: &str) -> Result<When, String> {
    if text == "now" {
        return Ok(When(None));
    }
    text.parse().map(|at| When(Some(at))).map_err(|_| "write now, or a time like 2026-01-02T03:04:05Z".to_owned())
}

/// A name that needs no quoting in PromQL or YAML.
pub(super) fn job(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("letters, digits, -, _, . and / are allowed".to_owned())
    }
}

pub(super) fn matchers(text: &str) -> Result<String, String> {
    let matcher = r#"[a-zA-Z_][a-zA-Z0-9_]*\s*(=~|!~|!=|=)\s*"([^"\\]|\\.)*""#;
    let list = regex::Regex::new(&format!(r"^\s*{matcher}(\s*,\s*{matcher})*\s*$")).map_err(|e| e.to_string())?;
    if list.is_match(text) {
        Ok(text.trim().to_owned())
    } else {
        Err("write it like namespace=\"sealos-system\",cluster=~\"eu-.*\"".to_owned())
    }
}

pub(super) fn service_account(text: &str) -> Result<ServiceAccount, String> {
    let named =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    match text.split_once('/') {
        Some((namespace, name)) if named(namespace) && named(name) => {
            Ok(ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("write it like sealos-system/ripcord: the namespace, a slash, the name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_those_of_promql() {
        for fine in [r#"namespace="x""#, r#"a="b", c!~"d|e""#, r#"a="\"x""#] {
            assert_eq!(matchers(fine).as_deref(), Ok(fine));
        }
        for wrong in ["", "x", r#"a="b"}"#, r#"a="b" or vector(1)"#, r#"a="b"#, r#"1a="b""#] {
            assert!(matchers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_written_or_counted_back_from_now() {
        assert_eq!(moment("-7d"), Ok(Moment::Ago(Duration::from_secs(7 * 86_400))));
        assert_eq!(moment("now"), Ok(Moment::Ago(Duration::ZERO)));
        assert_eq!(moment("2026-01-02T03:04:05Z"), Ok(Moment::At("2026-01-02T03:04:05Z".parse().unwrap())));
        assert!(moment("yesterday").unwrap_err().contains("write now, -7d or 2026"));
        assert!(moment("-7").unwrap_err().contains("no duration"));
    }
}
