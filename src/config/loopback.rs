//! Addresses of this very machine, which no proxy can reach.

use std::net::IpAddr;

use reqwest::Url;

/// Whether an address is one of this very machine: `localhost`, `127.0.0.1`, `::1` and their like. A proxy that the environment names
/// (`HTTP_PROXY`) would look for it on the proxy's own machine, so it must not be asked.
pub fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback_host)
}

/// The same of a host's name or address alone.
pub fn is_loopback_host(host: &str) -> bool {
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for (url, wanted) in [
            ("http://localhost:9090", true),
            ("http://127.0.0.1", true),
            ("http://127.8.9.1:1/x", true),
            ("http://[::1]:9090/", true),
            ("http://a.localhost/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
            ("http://prometheus.monitoring.svc:9090", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), wanted, "{url}");
        }
    }
}
