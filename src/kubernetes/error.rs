//! What a failed call means: what was tried, on what, and what to do.

use std::time::Duration;

use kube::core::Status;

use super::object::{Kind, ObjectRef};

/// How much of a server's own words is passed on. A proxy in between can answer with a whole page; a notification must
/// stay readable.
const MAX_SERVER_WORDS: usize = 400;

/// How deep the chain of causes of a failed connection is followed. The layers of the HTTP client nest about five.
const MAX_CAUSES: usize = 12;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Create,
    Replace,
    Patch,
}

/// One call, in the words that its error needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// What is tried, and on what: `patch Deployment sealos-system/terminal-controller`.
    pub(super) doing: String,
    /// The permission it takes: `patch on deployments/terminal-controller in namespace sealos-system`.
    pub(super) permission: String,
    /// Whether a call whose answer is lost may have changed something.
    pub(super) writes: bool,
}

impl Call {
    pub(super) fn new(verb: Verb, object: &ObjectRef) -> Self {
        let (word, permission) = match verb {
            Verb::Get => ("read", "get"),
            Verb::Create => ("create", "create"),
            Verb::Replace => ("replace", "update"),
            Verb::Patch => ("patch", "patch"),
        };
        let ObjectRef { kind, namespace, name } = object;
        // RBAC knows no name of an object that is not there yet.
        let which = if verb == Verb::Create { String::new() } else { format!("/{name}") };
        Self {
            doing: format!("{word} {object}"),
            permission: format!("{permission} on {}{which} in namespace {namespace}", kind.resource()),
            writes: verb != Verb::Get,
        }
    }

    /// The listing of all objects of a kind in a namespace.
    pub(super) fn list(kind: Kind, namespace: &str) -> Self {
        Self {
            doing: format!("list the {} in namespace {namespace}", kind.resource()),
            permission: format!("list on {} in namespace {namespace}", kind.resource()),
            writes: false,
        }
    }
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}: {cause}")]
pub struct CallError {
    /// What was tried, and on what.
    pub doing: String,
    /// Why it failed, and what to do.
    pub cause: Cause,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// No answer in time.
    #[error("the API server did not answer within {after:?}{}; see whether it is overloaded, or cut off from here", unknown_effect(.writes))]
    TimedOut {
        /// How long the call was given.
        after: Duration,
        /// Whether it may have changed something all the same.
        writes: bool,
    },
    /// No connection.
    #[error(
        "no connection to the API server: {0}; check that it runs, its address, and what stands between (network policies, proxies)"
    )]
    Unreachable(String),
    /// 401.
    #[error(
        "the API server does not accept Ripcord's credentials ({0}); check the ServiceAccount token or the kubeconfig's user"
    )]
    Unauthorized(String),
    /// 403 of the authorizer.
    #[error("not permitted; grant {permission} to this user (the server says: {message})")]
    Forbidden {
        /// What must be granted.
        permission: String,
        /// The server's words.
        message: String,
    },
    /// Refused by an admission webhook, a policy, or a quota.
    #[error("refused at admission: {0}; change what the policy or webhook objects to, or exempt Ripcord from it")]
    Denied(String),
    /// 404.
    #[error(
        "it does not exist; correct the namespace and the name in the configuration, or create it (the server says: {0})"
    )]
    NotFound(String),
    /// 409: somebody wrote in between, the object is another one of the same name, or what was to be created is there.
    #[error("somebody else changed it at the same moment ({0})")]
    Conflict(String),
    /// 400, 422: the server understood and finds the content wrong.
    #[error("the API server finds the change invalid: {0}; correct the values in the configuration")]
    Invalid(String),
    /// 413, and what a server or its etcd says of an object beyond 1 MiB.
    #[error(
        "it is larger than what the API server stores in one object, about 1 MiB: {0}; shorten what it holds, or keep Ripcord's state in a \
         file (state.file)"
    )]
    TooLarge(String),
    /// 429.
    #[error("the API server is throttling ({0}); it is overloaded, or its priority levels leave Ripcord too little")]
    Throttled(String),
    /// 5xx.
    #[error("the API server failed with {code}: {message}; see its log, and that of the webhooks it calls")]
    Server {
        /// The HTTP status.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// It was never sent: the change was cancelled, or the permit was withdrawn.
    #[error("it was held back: the change was cancelled, or this Ripcord may not act any more")]
    HeldBack,
    /// The client could not be set up, or did not understand the answer.
    #[error("{0}")]
    Other(String),
}

fn unknown_effect(writes: &bool) -> &'static str {
    if *writes { ", so it is not known whether the change was made (the next try reads first)" } else { "" }
}

impl CallError {
    pub(super) fn timed_out(call: &Call, after: Duration) -> Self {
        Self { doing: call.doing.clone(), cause: Cause::TimedOut { after, writes: call.writes } }
    }

    pub(super) fn new(call: &Call, error: kube::Error) -> Self {
        let cause = match error {
            kube::Error::Api(status) => of_status(call, &status),
            error @ (kube::Error::Service(_) | kube::Error::HyperError(_)) => Cause::Unreachable(innermost(&error)),
            kube::Error::Auth(error) => Cause::Unauthorized(error.to_string()),
            error => Cause::Other(shorten(&error.to_string())),
        };
        Self { doing: call.doing.clone(), cause }
    }

    pub(super) fn held_back(call: &Call) -> Self {
        Self { doing: call.doing.clone(), cause: Cause::HeldBack }
    }

    /// Whether somebody else wrote in between.
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause, Cause::Conflict(_))
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause, Cause::NotFound(_))
    }

    /// Whether the connection itself is in doubt, so that the next call should use a new one.
    pub(super) fn is_about_the_connection(&self) -> bool {
        matches!(self.cause, Cause::TimedOut { .. } | Cause::Unreachable(_))
    }
}

fn of_status(call: &Call, status: &Status) -> Cause {
    let message = shorten(&status.message);
    // A proxy's own 404 page comes as a status too, and says nothing about the object.
    if status.is_not_found() && status.reason == "NotFound" {
        return Cause::NotFound(message);
    }
    if status.is_conflict() || status.is_already_exists() {
        return Cause::Conflict(message);
    }
    if status.is_forbidden() {
        // The authorizer's refusal names the verb and the resource; every other 403 comes from admission, which runs
        // after it. Granting permissions does not help against those.
        return if message.contains(" cannot ") && !message.contains("admission webhook") {
            Cause::Forbidden { permission: call.permission.clone(), message }
        } else {
            Cause::Denied(message)
        };
    }
    // A webhook chooses the status of its refusal; the words before it are the API server's own.
    if message.starts_with("admission webhook ") && message.contains(" denied the request") {
        return Cause::Denied(message);
    }
    if is_about_size(status) {
        return Cause::TooLarge(message);
    }
    match status.code {
        400 | 422 => Cause::Invalid(message),
        401 => Cause::Unauthorized(message),
        429 => Cause::Throttled(message),
        code @ 500.. => Cause::Server { code, message },
        code => Cause::Other(format!("the API server answered {code}: {message}")),
    }
}

/// Whether an object is refused for its size. The API server has a status for a request that is too long for itself; for
/// a ConfigMap's own limit, for etcd's and for that of the connection between them only the words tell.
fn is_about_size(status: &Status) -> bool {
    const CONFIG_MAP: &str = "Too long: must have at most 1048576 ";
    const ETCD: &str = "etcdserver: request is too large";
    const ETCD_CLIENT: &str = "trying to send message larger than max";
    status.code == 413 || [CONFIG_MAP, ETCD, ETCD_CLIENT].iter().any(|words| status.message.contains(words))
}

/// The innermost cause: the layers of the HTTP client say only "client error (Connect)".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    for _ in 0..MAX_CAUSES {
        match innermost.source() {
            Some(cause) => innermost = cause,
            None => break,
        }
    }
    shorten(&innermost.to_string())
}

fn shorten(words: &str) -> String {
    let words = words.trim();
    match words.char_indices().nth(MAX_SERVER_WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch() -> Call {
        let object = ObjectRef { kind: Kind::Deployment, namespace: "ns".into(), name: "web".into() };
        Call::new(Verb::Patch, &object)
    }

    #[test]
    fn a_status_becomes_a_cause() {
        let webhook = r#"admission webhook "v.example" denied the request: image not signed"#;
        let quota = r#"deployments.apps "web" is forbidden: exceeded quota: compute"#;
        let rbac = r#"deployments.apps "web" is forbidden: User "u" cannot patch resource "deployments" in API group "apps" in the namespace "ns""#;
        let too_long = r#"ConfigMap "s" is invalid: []: Too long: must have at most 1048576 bytes"#;
        let etcd = "etcdserver: request is too large";
        let permission = "patch on deployments/web in namespace ns".to_owned();
        let cases = [
            (403, "Forbidden", rbac, Cause::Forbidden { permission, message: rbac.into() }),
            (403, "Forbidden", quota, Cause::Denied(quota.into())),
            (403, "Forbidden", webhook, Cause::Denied(webhook.into())),
            (400, "", webhook, Cause::Denied(webhook.into())),
            (500, "", webhook, Cause::Denied(webhook.into())),
            (404, "NotFound", "gone", Cause::NotFound("gone".into())),
            (409, "Conflict", "changed", Cause::Conflict("changed".into())),
            (422, "Invalid", "bad name", Cause::Invalid("bad name".into())),
            (401, "Unauthorized", "Unauthorized", Cause::Unauthorized("Unauthorized".into())),
            (409, "AlreadyExists", "there", Cause::Conflict("there".into())),
            (413, "RequestEntityTooLarge", "limit is 3145728", Cause::TooLarge("limit is 3145728".into())),
            (422, "Invalid", too_long, Cause::TooLarge(too_long.into())),
            (500, "", etcd, Cause::TooLarge(etcd.into())),
            (429, "TooManyRequests", "slow down", Cause::Throttled("slow down".into())),
            (
                500,
                "InternalError",
                "failed calling webhook",
                Cause::Server { code: 500, message: "failed calling webhook".into() },
            ),
            (503, "", "<html>", Cause::Server { code: 503, message: "<html>".into() }),
        ];
        for (code, reason, message, wanted) in cases {
            let status = Status::failure(message, reason).with_code(code);
            assert_eq!(of_status(&patch(), &status), wanted, "{code} {reason} {message}");
        }
    }

    #[test]
    fn an_error_says_what_was_tried_on_what_and_what_to_do() {
        let status = Status::failure(r#"User "u" cannot patch resource "deployments""#, "Forbidden").with_code(403);
        let error = CallError::new(&patch(), kube::Error::Api(status.boxed()));
        assert_eq!(
            error.to_string(),
            "could not patch Deployment ns/web: not permitted; grant patch on deployments/web in namespace ns to this user \
             (the server says: User \"u\" cannot patch resource \"deployments\")"
        );
        assert_eq!(
            CallError::timed_out(&patch(), Duration::from_secs(5)).to_string(),
            "could not patch Deployment ns/web: the API server did not answer within 5s, so it is not known whether the change was made \
             (the next try reads first); see whether it is overloaded, or cut off from here"
        );
    }

    #[test]
    fn a_create_asks_for_a_permission_without_a_name() {
        let object = ObjectRef { kind: Kind::Lease, namespace: "ns".into(), name: "ripcord".into() };
        let permission = |verb| Call::new(verb, &object).permission;
        assert_eq!(permission(Verb::Create), "create on leases in namespace ns");
        assert_eq!(permission(Verb::Replace), "update on leases/ripcord in namespace ns");
    }

    #[test]
    fn a_page_of_a_proxy_is_cut_short() {
        assert_eq!(shorten(&"ä".repeat(1000)).chars().count(), MAX_SERVER_WORDS + 1);
        assert_eq!(shorten(" short "), "short");
    }
}
