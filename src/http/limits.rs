//! How much the server takes, each limit with its reason.

use std::time::Duration;

use super::rate::Rate;

/// The largest body that is read. A request is a reason and a number; an alerting system sends all alerts of a group, hundreds at most.
const BODY_BYTES: usize = 1024 * 1024;

/// The largest head of a request: a browser behind a single sign-on sends some 10 KiB of cookies.
const HEAD_BYTES: usize = 64 * 1024;

/// Open connections. A browser holds six, Prometheus, the kubelet and a script one each; with heads of 64 KiB they take 32 MiB at most.
const CONNECTIONS: usize = 512;

/// How long a client may take for the head of a request, and how long a connection may be idle. No usual scrape interval (10, 15, 30, 60 s):
/// a connection that ends just when the next request is sent costs a retry.
const HEAD_WITHIN: Duration = Duration::from_secs(20);

/// How long a request may take from its head to the beginning of its answer. The event loop is given 5 s; the rest is for a slow body.
const REQUEST_WITHIN: Duration = Duration::from_secs(15);

/// When a connection is ended after the request that it is at. Nobody holds one for ever, not even who reads answers byte by byte.
const CONNECTION_ENDS_AFTER: Duration = Duration::from_secs(300);

/// How long that last request may take.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Reading, each client. A status page asks every few seconds, a command that follows a rollback three times a second.
const READS_EACH: Rate = Rate { burst: 300, per_second: 50.0 };

/// Reading, all clients: an answer about a thousand guards takes some 10 ms, and most of the processor is left to deciding.
const READS_ALL: Rate = Rate { burst: 600, per_second: 100.0 };

/// Writing, each client. `ripcord rollback --all-components` asks once for each guard, one right after the other.
const WRITES_EACH: Rate = Rate { burst: 200, per_second: 20.0 };

/// Writing with the token, all clients: each is an entry in the journal.
const WRITES_ALL: Rate = Rate { burst: 400, per_second: 40.0 };

/// Wrong tokens, each client: ten mistakes at once, then one in ten seconds. A token of 16 random bytes is not found that way.
const FAILURES_EACH: Rate = Rate { burst: 10, per_second: 0.1 };

/// Wrong tokens, all clients. Who has not given one lately is let through all the same, and so is who has signed in, whoever else comes from
/// the same address: an attack must not keep oncall out.
const FAILURES_ALL: Rate = Rate { burst: 100, per_second: 1.0 };

/// How much the server takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub body_bytes: usize,
    pub head_bytes: usize,
    pub connections: usize,
    pub head_within: Duration,
    pub request_within: Duration,
    pub connection_ends_after: Duration,
    pub last_answer_within: Duration,
    pub reads: [Rate; 2],
    pub writes: [Rate; 2],
    pub failures: [Rate; 2],
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES,
            head_bytes: HEAD_BYTES,
            connections: CONNECTIONS,
            head_within: HEAD_WITHIN,
            request_within: REQUEST_WITHIN,
            connection_ends_after: CONNECTION_ENDS_AFTER,
            last_answer_within: LAST_ANSWER_WITHIN,
            reads: [READS_EACH, READS_ALL],
            writes: [WRITES_EACH, WRITES_ALL],
            failures: [FAILURES_EACH, FAILURES_ALL],
        }
    }
}
