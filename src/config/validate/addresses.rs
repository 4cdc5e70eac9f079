//! Addresses, how long what is behind them may take, and the files that a configuration names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lettre::Address;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::config::field::{At, Field, Named};
use crate::config::file::check_certificates;
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::units::say;
use crate::config::{Links, LoadOptions, SecretFile, WebhookUrl};

/// Parses an address of the web. The errors do not show it: an address is often a secret itself.
pub(super) fn url(text: &str, instead_of_credentials: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("is no address ({e}); write it like http://host:port/path"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("begins with {}:, which cannot be used; write http:// or https://", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("has a user name or a password in it; {instead_of_credentials}"));
    }
    Ok(url)
}

/// A secret file: `Some(None)` when none is written, `None` when it is wrong.
pub(super) fn secret(
    field: &Field<String>,
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<Option<SecretFile>> {
    match field {
        Field::Missing => Some(None),
        Field::Wrong => None,
        Field::Given(at) => given_secret(at, options, problems).map(Some),
    }
}

/// A secret file that is written.
pub(super) fn given_secret(at: &At<String>, options: LoadOptions, problems: &mut Problems) -> Option<SecretFile> {
    let file = SecretFile(PathBuf::from(&at.value));
    if !options.syntax_only {
        problems.take(&at.path, file.read().map_err(|e| e.to_string()))?;
    }
    Some(file)
}

/// An address that is written as `url`, or in a file that is written as `url_file`, in the map at `parent`.
pub(super) fn perhaps_secret_url(
    parent: &Path,
    plain: &Field<String>,
    file: &Field<String>,
    instead_of_credentials: &str,
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<WebhookUrl> {
    match (plain, file) {
        (Field::Missing, Field::Missing) => {
            problems.error(parent, "needs url, or url_file where the address is a secret");
            None
        }
        (Field::Given(at), Field::Missing) => {
            let parsed = problems.take(&at.path, url(&at.value, instead_of_credentials));
            parsed.map(|url| WebhookUrl::Plain(url.to_string()))
        }
        (Field::Missing, Field::Given(file)) => secret_url(file, options, problems).map(WebhookUrl::File),
        (Field::Wrong, Field::Missing) | (Field::Missing, Field::Wrong) => None,
        _ => {
            problems.error(parent, "has both url and url_file; keep one (what several files say adds up)");
            None
        }
    }
}

/// How long one exchange with a server may take.
pub(super) fn timeout(field: &Field<Duration>, default: Duration, problems: &mut Problems) -> Option<Duration> {
    match field.get().filter(|at| at.value.is_zero()) {
        Some(at) => {
            problems.error(&at.path, format!("0s is too short; write a time like {}", say(default)));
            None
        }
        None => field.or_default(default),
    }
}

/// A file with an address in it.
fn secret_url(at: &At<String>, options: LoadOptions, problems: &mut Problems) -> Option<SecretFile> {
    let file = given_secret(at, options, problems)?;
    if !options.syntax_only {
        let secret = problems.take(&at.path, file.read().map_err(|e| e.to_string()))?;
        let text = secret.expose_secret().trim();
        // A parser of addresses would leave line ends out and make one address of two.
        let parsed = if text.contains(char::is_whitespace) { None } else { Url::parse(text).ok() };
        if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https")) {
            problems.error(
                &at.path,
                format!("the file {} holds no http:// or https:// address, or more than one", at.value),
            );
            return None;
        }
    }
    Some(file)
}

/// A file with certificates.
pub(super) fn ca_file(field: &Field<String>, options: LoadOptions, problems: &mut Problems) -> Option<Option<PathBuf>> {
    match field {
        Field::Missing => Some(None),
        Field::Wrong => None,
        Field::Given(at) => {
            let path = PathBuf::from(&at.value);
            if !options.syntax_only {
                let checked = check_certificates(&path);
                problems.take(&at.path, checked.map_err(|e| format!("the file {} {e}", at.value)))?;
            }
            Some(Some(path))
        }
    }
}

/// An address of e-mail.
pub(super) fn email(at: &At<String>, problems: &mut Problems) -> Option<String> {
    let parsed = at.value.parse::<Address>();
    let parsed =
        parsed.map_err(|e| format!("{:?} is no e-mail address ({e}); write it like sre@example.org", at.value));
    problems.take(&at.path, parsed).map(|address| address.to_string())
}

/// `links`
pub(super) fn links(field: &Field<raw::Links>, problems: &mut Problems) -> Option<Links> {
    match field {
        Field::Missing => Some(Links::default()),
        Field::Wrong => None,
        Field::Given(at) => {
            let status = link(&at.value.status, problems);
            let runbook = link(&at.value.runbook, problems);
            let dashboard = link(&at.value.dashboard, problems);
            Some(Links { status: status?, runbook: runbook?, dashboard: dashboard? })
        }
    }
}

/// An address for people to open.
pub(super) fn link(field: &Field<String>, problems: &mut Problems) -> Option<Option<String>> {
    match field {
        Field::Missing => Some(None),
        Field::Wrong => None,
        Field::Given(at) => {
            let parsed = url(&at.value, "leave them out: pages are read by many");
            problems.take(&at.path, parsed).map(|url| Some(url.to_string()))
        }
    }
}

/// Headers to send. None of them may be a secret.
pub(super) fn headers(
    field: &Field<Named<String>>,
    instead: &str,
    problems: &mut Problems,
) -> Option<BTreeMap<String, String>> {
    let named = match field {
        Field::Missing => return Some(BTreeMap::new()),
        Field::Wrong => return None,
        Field::Given(at) => &at.value,
    };
    let mut headers = BTreeMap::new();
    for (name, at) in named.given() {
        if HeaderName::try_from(name.as_str()).is_err() {
            problems.error(&at.path, format!("{name:?} is no name of an HTTP header"));
        } else if name.eq_ignore_ascii_case("authorization") {
            problems.error(&at.path, format!("would put a secret into the configuration; {instead}"));
        } else if HeaderValue::try_from(at.value.as_str()).is_err() {
            problems.error(&at.path, "holds a character that an HTTP header cannot carry");
        } else if headers.keys().any(|other: &String| other.eq_ignore_ascii_case(name)) {
            problems.error(&at.path, format!("{name} is there twice; capitals make no difference in a header's name"));
        } else {
            if looks_secret(name) {
                let message =
                    format!("is a secret by its name, and the configuration is read by many; if it is one, {instead}");
                problems.warn(&at.path, message);
            }
            headers.insert(name.clone(), at.value.clone());
        }
    }
    Some(headers)
}

/// Whether a header of this name mostly carries a secret.
fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    ["token", "secret", "password", "api-key", "apikey", "authorization", "auth-key", "access-key", "cookie"]
        .iter()
        .any(|word| name.contains(word))
}
