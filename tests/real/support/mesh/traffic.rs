//! What a workload's traffic is like.

/// A workload's traffic, as its callers send it. The shares are of all requests and add up to at most 1; the rest succeeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Requests per second.
    pub rps: f64,
    /// The share that is answered with `error_code`.
    pub error_ratio: f64,
    /// The status of failed requests.
    pub error_code: u16,
    /// The P95 latency. `histogram_quantile(0.95, …)` over all requests gives this very number up to the rounding of single requests:
    /// within the bucket that holds it, and below and above, there are just as many requests as its linear interpolation needs. It has
    /// to lie above the first bucket (0.5 ms with Istio, 5 ms with ingress-nginx) and below the last.
    pub latency_ms: f64,
    /// The share that reaches no pod: code 0, known to the caller's side only, with `destination_workload="unknown"`.
    pub no_response_ratio: f64,
    /// The share whose client left before the answer: code 0 with flags `DC` (499 with ingress-nginx).
    pub client_left_ratio: f64,
    /// The share of gRPC requests that fail: HTTP 200 with `grpc_response_status="14"`.
    pub grpc_error_ratio: f64,
    /// Whether the requests that succeed are gRPC too.
    pub grpc: bool,
    /// Whether the series of errors of all kinds are there from the start with 0. In the field they appear with the first error, whose
    /// increment `rate` never sees.
    pub error_series_from_start: bool,
    /// The workload that calls.
    pub caller: String,
}

impl Traffic {
    /// Nothing happens.
    pub fn none() -> Self {
        Self {
            rps: 0.0,
            error_ratio: 0.0,
            error_code: 503,
            latency_ms: 80.0,
            no_response_ratio: 0.0,
            client_left_ratio: 0.0,
            grpc_error_ratio: 0.0,
            grpc: false,
            error_series_from_start: false,
            caller: "istio-ingressgateway".to_owned(),
        }
    }

    /// So many requests per second, all of them fine, with a P95 of 80 ms.
    pub fn healthy(rps: f64) -> Self {
        Self { rps, ..Self::none() }
    }

    /// The same with this share of errors.
    pub fn errors(self, ratio: f64) -> Self {
        Self { error_ratio: ratio, ..self }
    }

    /// The same with another P95.
    pub fn latency(self, ms: f64) -> Self {
        Self { latency_ms: ms, ..self }
    }

    /// The same with this share reaching no pod.
    pub fn no_response(self, ratio: f64) -> Self {
        Self { no_response_ratio: ratio, ..self }
    }

    /// The same with this share of clients leaving.
    pub fn client_left(self, ratio: f64) -> Self {
        Self { client_left_ratio: ratio, ..self }
    }

    /// The same with this share failing in gRPC.
    pub fn grpc_errors(self, ratio: f64) -> Self {
        Self { grpc_error_ratio: ratio, ..self }
    }

    /// Panics when it makes no sense: that is a mistake of the story.
    pub(super) fn check(&self) {
        let shares = [self.error_ratio, self.no_response_ratio, self.client_left_ratio, self.grpc_error_ratio];
        let valid = |x: &f64| x.is_finite() && *x >= 0.0;
        assert!(valid(&self.rps) && shares.iter().all(valid), "no such traffic: {self:?}");
        assert!(shares.iter().sum::<f64>() <= 1.0 + 1e-9, "shares above 1: {self:?}");
    }

    /// What becomes of the requests: each kind with its share.
    pub(super) fn outcomes(&self) -> Vec<(Outcome, f64)> {
        let grpc_ok = if self.grpc { "0" } else { "" };
        let shares = self.error_ratio + self.no_response_ratio + self.client_left_ratio + self.grpc_error_ratio;
        let outcome = |code, flags, grpc, reached| Outcome { code, flags, grpc, reached, caller: self.caller.clone() };
        vec![
            (outcome(200, "-", grpc_ok, true), (1.0 - shares).max(0.0)),
            (outcome(self.error_code, "-", grpc_ok, true), self.error_ratio),
            (outcome(0, "UF", "", false), self.no_response_ratio),
            (outcome(0, "DC", "", true), self.client_left_ratio),
            (outcome(200, "-", "14", true), self.grpc_error_ratio),
        ]
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outcome {
    pub code: u16,
    pub flags: &'static str,
    /// `grpc_response_status`; empty for plain HTTP.
    pub grpc: &'static str,
    /// Whether it reached a pod.
    pub reached: bool,
    pub caller: String,
}
