//! How often somebody may ask.
//!
//! A request is let through as long as it is not too far ahead of an even stream: the generic cell rate algorithm (ITU-T I.371), which
//! needs one instant for each client. Time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::connections::Client;

/// Clients that are remembered. Each takes about 50 bytes; who comes from more addresses than this is not held by limits for each.
const MOST_CLIENTS: usize = 4096;

/// So many at once, and so many a second on and on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// At once, after a while without any.
    pub burst: u32,
    /// On and on.
    pub per_second: f64,
}

impl Rate {
    fn step(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }
}

/// What one client, or all of them, have used up.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// When an even stream would have come to where this one is.
    even: Option<Instant>,
}

impl Bucket {
    /// How long it takes until another one is let through; zero when it is now.
    fn wait(self, rate: Rate, now: Instant) -> Duration {
        let Some(even) = self.even else { return Duration::ZERO };
        (even.saturating_duration_since(now) + rate.step()).saturating_sub(rate.step() * rate.burst)
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.even = Some(self.even.map_or(now, |even| even.max(now)) + rate.step());
    }

    fn is_full(self, now: Instant) -> bool {
        self.even.is_none_or(|even| even <= now)
    }
}

/// A limit for each client, and one for all together.
#[derive(Debug)]
pub(super) struct Limit {
    each: Rate,
    all: Rate,
    clients: HashMap<IpAddr, Bucket>,
    together: Bucket,
}

impl Limit {
    /// Nothing is used up.
    pub fn new(each: Rate, all: Rate) -> Self {
        Self { each, all, clients: HashMap::new(), together: Bucket::default() }
    }

    /// How long this client has to wait because of its own requests.
    pub fn wait_of(&self, client: Client, now: Instant) -> Option<Duration> {
        let bucket = self.clients.get(&client.key()).copied().unwrap_or_default();
        Some(bucket.wait(self.each, now)).filter(|wait| !wait.is_zero())
    }

    /// How long everybody has to wait because of the requests of all.
    pub fn wait_of_all(&self, now: Instant) -> Option<Duration> {
        Some(self.together.wait(self.all, now)).filter(|wait| !wait.is_zero())
    }

    /// Whether this client has asked a short while ago.
    pub fn knows(&self, client: Client, now: Instant) -> bool {
        self.clients.get(&client.key()).is_some_and(|bucket| !bucket.is_full(now))
    }

    /// Counts a request of this client.
    pub fn take_of(&mut self, client: Client, now: Instant) {
        let key = client.key();
        if self.clients.len() >= MOST_CLIENTS && !self.clients.contains_key(&key) {
            self.clients.retain(|_, bucket| !bucket.is_full(now));
            if self.clients.len() >= MOST_CLIENTS
                && let Some(calmest) = self.clients.iter().min_by_key(|(_, b)| b.even).map(|(key, _)| *key)
            {
                self.clients.remove(&calmest);
            }
        }
        self.clients.entry(key).or_default().take(self.each, now);
    }

    /// Counts a request of anybody.
    pub fn take_of_all(&mut self, now: Instant) {
        self.together.take(self.all, now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const RATE: Rate = Rate { burst: 3, per_second: 2.0 };

    fn client(n: u32) -> Client {
        Client(IpAddr::V4(Ipv4Addr::from(n)))
    }

    #[test]
    fn a_burst_is_let_through_and_then_an_even_stream() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        // When it is asked, and how long it takes then, in milliseconds; what is let through is taken.
        let table =
            [(0, 0), (0, 0), (0, 0), (0, 500), (100, 400), (500, 0), (500, 500), (1500, 0), (1500, 0), (1500, 500)];
        for (at, wait) in table {
            let now = start + Duration::from_millis(at);
            assert_eq!(bucket.wait(RATE, now), Duration::from_millis(wait), "at {at} ms");
            if wait == 0 {
                bucket.take(RATE, now);
            }
        }
        let later = start + Duration::from_secs(60);
        assert!(bucket.is_full(later) && !bucket.is_full(start + Duration::from_millis(1500)));
    }

    #[test]
    fn one_client_does_not_use_up_what_another_has() {
        let now = Instant::now();
        let mut limit = Limit::new(RATE, Rate { burst: 5, per_second: 1.0 });
        for _ in 0..3 {
            limit.take_of(client(1), now);
            limit.take_of_all(now);
        }
        assert_eq!(limit.wait_of(client(1), now), Some(Duration::from_millis(500)));
        assert_eq!((limit.wait_of(client(2), now), limit.wait_of_all(now)), (None, None));
        limit.take_of_all(now);
        limit.take_of_all(now);
        assert_eq!(limit.wait_of_all(now), Some(Duration::from_secs(1)));
        assert!(limit.knows(client(1), now) && !limit.knows(client(2), now));
    }

    #[test]
    fn clients_without_number_take_bounded_memory() {
        let now = Instant::now();
        let mut limit = Limit::new(RATE, RATE);
        for _ in 0..2 {
            limit.take_of(client(0), now);
        }
        for n in 1..10_000 {
            limit.take_of(client(n), now);
        }
        assert_eq!(limit.clients.len(), MOST_CLIENTS);
        assert!(limit.knows(client(0), now), "who asks most is remembered longest");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let parse = |text: &str| Client(text.parse().unwrap()).key();
        assert_eq!(parse("2001:db8:1:2::1"), parse("2001:db8:1:2:ffff::2"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }
}
