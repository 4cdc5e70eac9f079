//! One thing that was looked at.

/// Where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    Prometheus,
    Istio,
    Cluster,
    Permissions,
    Receivers,
    State,
    Certificates,
    Heartbeat,
}

impl Area {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Istio => "istio",
            Self::Cluster => "cluster",
            Self::Permissions => "permissions",
            Self::Receivers => "receivers",
            Self::State => "state",
            Self::Certificates => "certificates",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Result {
    /// As it should be.
    Ok,
    /// A person should know; a rollback would work.
    Warn,
    /// A rollback, or telling of it, would not work.
    Fail,
}

impl Result {
    /// The result as the table has it. A failure is to be seen from afar.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    /// The result as a script reads it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            other => other.as_str(),
        }
    }
}

/// One thing that was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) area: Area,
    /// What was looked at.
    pub(super) what: String,
    pub(super) result: Result,
    /// What was seen.
    pub(super) detail: String,
    /// What to do, where it is not as it should be.
    pub(super) hint: Option<String>,
}

impl Area {
    pub(super) fn ok(self, what: impl Into<String>, detail: impl Into<String>) -> Check {
        Check { area: self, what: what.into(), result: Result::Ok, detail: detail.into(), hint: None }
    }

    pub(super) fn warn(self, what: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Check {
        self.amiss(Result::Warn, what, detail, hint)
    }

    pub(super) fn fail(self, what: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Check {
        self.amiss(Result::Fail, what, detail, hint)
    }

    pub(super) fn amiss(
        self,
        result: Result,
        what: impl Into<String>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Check {
        Check { area: self, what: what.into(), result, detail: detail.into(), hint: Some(hint.into()) }
    }

    /// What an area says that needs a cluster where there is none. That there is none is said once, by the cluster itself.
    pub(super) fn not_looked_at(self) -> Check {
        self.warn(
            "everything",
            "not looked at: the API server does not answer",
            "mend that first, then run preflight again",
        )
    }
}
