//! `prometheus`

use crate::config::field::Field;
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::{BasicAuth, LoadOptions, Prometheus, defaults};

use super::addresses;

/// Validates where the metrics are.
pub(super) fn prometheus(
    field: &Field<raw::Prometheus>,
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<Prometheus> {
    let path = Path::root().key("prometheus");
    let written = match field {
        Field::Wrong => return None,
        Field::Missing => raw::Prometheus::default(),
        Field::Given(at) => at.value.clone(),
    };
    let url = written
        .url
        .required(&path, "needs url, like url: http://prometheus.monitoring.svc:9090", problems)
        .and_then(|at| problems.take(&at.path, base_url(&at.value)));
    let timeout = match written.timeout.get() {
        Some(at) if at.value.is_zero() => {
            problems.error(&at.path, "0s is too short; write how long one query may take, like 5s");
            None
        }
        _ => written.timeout.or_default(defaults::PROMETHEUS_TIMEOUT),
    };
    let bearer_token_file = addresses::secret(&written.bearer_token_file, options, problems);
    let basic_auth = basic_auth(&written.basic_auth, options, problems);
    if written.bearer_token_file.is_written() && written.basic_auth.is_written() {
        problems.error(&path, "has both bearer_token_file and basic_auth; a request carries only one, so keep one");
    }
    let ca_file = match &written.tls {
        Field::Missing => Some(None),
        Field::Wrong => None,
        Field::Given(at) => addresses::ca_file(&at.value.ca_file, options, problems),
    };
    let headers = addresses::headers(&written.headers, "use bearer_token_file or basic_auth", problems);
    Some(Prometheus {
        url: url?,
        timeout: timeout?,
        bearer_token_file: bearer_token_file?,
        basic_auth: basic_auth?,
        ca_file: ca_file?,
        headers: headers?,
    })
}

/// The base address: paths of the API are put after it, so that nothing may come after its own path.
fn base_url(text: &str) -> Result<String, String> {
    let url = addresses::url(text, "use basic_auth: {username: …, password_file: …}")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(
            "has a ? or a # in it; write the base address alone, the paths of the API are put after it".to_owned()
        );
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn basic_auth(
    field: &Field<raw::BasicAuth>,
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<Option<BasicAuth>> {
    let at = match field {
        Field::Missing => return Some(None),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    let username = at.value.username.required(&at.path, "needs username", problems).map(|u| u.value.clone());
    let password_file = at
        .value
        .password_file
        .required(&at.path, "needs password_file, a file with the password", problems)
        .and_then(|file| addresses::given_secret(file, options, problems));
    if let Some(name) = username.as_ref().filter(|name| name.contains(':')) {
        problems.error(
            &at.path.key("username"),
            format!("{name:?} has a colon in it, which basic authentication cannot carry"),
        );
        return None;
    }
    Some(Some(BasicAuth { username: username?, password_file: password_file? }))
}
