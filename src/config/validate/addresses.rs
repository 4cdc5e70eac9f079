//! Addresses, and the files that a configuration names.

use std::path::PathBuf;

use lettre::Address;
use reqwest::Url;
use secrecy::ExposeSecret;

use crate::config::field::{At, Field};
use crate::config::file::check_certificates;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::{Links, LoadOptions, SecretFile};

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

/// A file with an address in it.
pub(super) fn secret_url(at: &At<String>, options: LoadOptions, problems: &mut Problems) -> Option<SecretFile> {
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
            Some(Links { status: status?, runbook: runbook? })
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
