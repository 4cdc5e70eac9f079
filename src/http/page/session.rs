//! Who has signed in, and the signs that forms carry. Nothing is stored: what is signed with a key made of the token is good until it is
//! over or the token is another. So both replicas know a session, and a rotated token ends all of them.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::super::Server;
use super::super::ask::{self, Denied};

/// How long a session lasts: a night on call.
const SESSION: Duration = Duration::from_secs(8 * 3600);

/// How long what came of a request can be shown: while the reader reads it, and not to who finds the address later.
const SAID_FOR: Duration = Duration::from_secs(60);

/// The cookie's name.
const COOKIE: &str = "ripcord_session";

/// What is signed, so that no sign of one kind passes for another.
#[derive(Clone, Copy)]
enum Kind {
    Session,
    Form,
    Said,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Form => "form",
            Self::Said => "said",
        }
    }
}

/// The key, made of the token of `http.token_file`.
pub(super) struct Key(Hmac<Sha256>);

/// A session that is good.
#[derive(Clone)]
pub(super) struct Session(String);

/// Whether a request was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It was.
    Done,
    /// It was refused.
    NotDone,
    /// Nobody answered, and it may be carried out still.
    NotKnown,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// Whether it was done.
    pub outcome: Outcome,
    /// In words.
    pub text: String,
}

/// Who looks at a page.
pub(super) enum Visitor {
    /// No token is configured, so nobody can do anything here.
    ReadOnly,
    /// The token cannot be read.
    CannotCheck,
    /// Somebody, who may sign in.
    Somebody,
    /// Somebody who has the token.
    SignedIn(Key, Session),
}

impl Visitor {
    /// Who sends this request.
    pub(super) fn of(server: &Server, headers: &HeaderMap) -> Self {
        match Key::read(server) {
            Err(Denied::ReadOnly) => Self::ReadOnly,
            Err(_) => Self::CannotCheck,
            Ok(key) => match key.session(headers, (server.now)()) {
                Some(session) => Self::SignedIn(key, session),
                None => Self::Somebody,
            },
        }
    }
}

impl Key {
    /// The key of the token as it is now.
    pub(super) fn read(server: &Server) -> Result<Self, Denied> {
        Ok(Self::of(ask::token(server)?.expose_secret()))
    }

    /// The key that a token makes.
    fn of(token: &str) -> Self {
        let mut derived = mac(token.as_bytes());
        derived.update(b"ripcord page 1");
        Self(mac(&derived.finalize().into_bytes()))
    }

    /// The cookie of a session that begins now. `secure`: it goes over https only.
    pub(super) fn begin(&self, now: Timestamp, secure: bool) -> String {
        let expires = after(now, SESSION);
        let sign = self.sign(Kind::Session, &[&expires]);
        let secure = if secure { "; Secure" } else { "" };
        format!("{COOKIE}={expires}.{sign}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{secure}", SESSION.as_secs())
    }

    /// The session that a request carries, if it is good.
    fn session(&self, headers: &HeaderMap, now: Timestamp) -> Option<Session> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies.flat_map(|all| all.split(';')).filter_map(|one| one.trim().split_once('='));
        let good = |value: &str| {
            value.split_once('.').is_some_and(|(expires, sign)| {
                is_ahead(expires, now, SESSION) && self.is_signed(Kind::Session, &[expires], sign)
            })
        };
        values.find(|(name, value)| *name == COOKIE && good(value)).map(|(_, value)| Session(value.to_owned()))
    }

    /// What a form of this session carries, for one guard and one action: what its reader was shown, and the sign of all that.
    pub(super) fn form(&self, session: &Session, guard: &str, action: &str, shown: &str) -> String {
        let sign = self.sign(Kind::Form, &[&session.0, guard, action, shown]);
        format!("{}.{sign}", URL_SAFE_NO_PAD.encode(shown))
    }

    /// What the reader of a form was shown; `None` where it does not carry the right sign.
    pub(super) fn shown(&self, session: &Session, guard: &str, action: &str, form: &str) -> Option<String> {
        let (shown, sign) = form.split_once('.')?;
        let shown = String::from_utf8(URL_SAFE_NO_PAD.decode(shown).ok()?).ok()?;
        self.is_signed(Kind::Form, &[&session.0, guard, action, &shown], sign).then_some(shown)
    }

    /// What came of a request, for the address of the page that shows it. Only what was said here can be shown there.
    pub(super) fn say(&self, said: &Said, now: Timestamp) -> String {
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(said).unwrap_or_default());
        let expires = after(now, SAID_FOR);
        let sign = self.sign(Kind::Said, &[&text, &expires]);
        format!("{text}.{expires}.{sign}")
    }

    /// What an address says, if it was said here a moment ago.
    pub(super) fn said(&self, address: &str, now: Timestamp) -> Option<Said> {
        let mut parts = address.splitn(3, '.');
        let (text, expires, sign) = (parts.next()?, parts.next()?, parts.next()?);
        if !is_ahead(expires, now, SAID_FOR) || !self.is_signed(Kind::Said, &[text, expires], sign) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    fn mac(&self, kind: Kind, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in std::iter::once(&kind.text()).chain(parts) {
            // With its length, so that no two lists of parts read the same.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }

    fn sign(&self, kind: Kind, parts: &[&str]) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(kind, parts).finalize().into_bytes())
    }

    fn is_signed(&self, kind: Kind, parts: &[&str], sign: &str) -> bool {
        // The comparison takes the same time wherever they differ.
        URL_SAFE_NO_PAD.decode(sign).is_ok_and(|sign| self.mac(kind, parts).verify_slice(&sign).is_ok())
    }
}

/// The cookie that ends a session in its browser.
pub(super) fn end(secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0{secure}")
}

/// Whether a request came by https, as the proxy before says. Without one it came by http: `kubectl port-forward`, say.
pub(super) fn is_secure(headers: &HeaderMap) -> bool {
    let said = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    said.and_then(|all| all.split(',').next()).is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
}

fn after(now: Timestamp, time: Duration) -> String {
    now.checked_add(time).unwrap_or(Timestamp::MAX).as_second().to_string()
}

/// Whether a time is still to come, and not farther ahead than it can be.
fn is_ahead(expires: &str, now: Timestamp, at_most: Duration) -> bool {
    let left = expires.parse::<i64>().ok().and_then(|expires| expires.checked_sub(now.as_second()));
    left.is_some_and(|left| left > 0 && left.unsigned_abs() <= at_most.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn with(cookie: &str) -> HeaderMap {
        let value = cookie.split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("theme=dark; {value}; other=1").parse().unwrap());
        headers
    }

    #[test]
    fn a_session_is_good_for_its_time_and_its_token() {
        let key = Key::of("secret");
        let cookie = key.begin(at(0), false);
        assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=28800"), "{cookie}");
        assert!(key.begin(at(0), true).ends_with("; Secure"));
        let headers = with(&cookie);
        assert!(key.session(&headers, at(8 * 3600 - 1)).is_some());
        assert!(key.session(&headers, at(8 * 3600)).is_none(), "it is over");
        assert!(key.session(&headers, at(-60)).is_none(), "it lasts longer than one can");
        assert!(Key::of("rotated").session(&headers, at(1)).is_none());
        assert!(Key::of("secret").session(&headers, at(1)).is_some(), "the other replica knows it");
        let longer = cookie.replacen("=1800028800.", "=1800028801.", 1);
        assert_ne!(longer, cookie);
        assert!(key.session(&with(&longer), at(1)).is_none(), "what is signed cannot be changed");
        for bad in ["ripcord_session=", "ripcord_session=.", "ripcord_session=1800028800.", "ripcord_session=x.y"] {
            assert!(key.session(&with(bad), at(1)).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_form_is_of_one_session_one_guard_one_action_and_what_was_shown() {
        let key = Key::of("secret");
        let session = key.session(&with(&key.begin(at(0), false)), at(1)).unwrap();
        let later = key.session(&with(&key.begin(at(5), false)), at(6)).unwrap();
        let form = key.form(&session, "terminal", "rollback", "watching");
        assert_eq!(key.shown(&session, "terminal", "rollback", &form).as_deref(), Some("watching"));
        let (_, sign) = form.split_once('.').unwrap();
        let other = format!("{}.{sign}", URL_SAFE_NO_PAD.encode("paused"));
        for (session, guard, action, form) in [
            (&session, "terminal", "ack", form.as_str()),
            (&session, "adminer", "rollback", &form),
            (&session, "terminalr", "ollback", &form),
            (&later, "terminal", "rollback", &form),
            (&session, "terminal", "rollback", &other),
            (&session, "terminal", "rollback", sign),
            (&session, "terminal", "rollback", "."),
            (&session, "terminal", "rollback", ""),
        ] {
            assert_eq!(key.shown(session, guard, action, form), None, "{guard} {action} {form}");
        }
    }

    #[test]
    fn only_what_was_said_here_is_shown_and_not_for_long() {
        let key = Key::of("secret");
        let said = Said { outcome: Outcome::NotDone, text: "<b>latched</b>".to_owned() };
        let address = key.say(&said, at(0));
        assert_eq!(key.said(&address, at(59)), Some(said));
        assert_eq!(key.said(&address, at(60)), None);
        assert_eq!(Key::of("other").said(&address, at(1)), None);
        assert_eq!(key.said("eyJvdXRjb21lIjoiZG9uZSJ9.1800000060.", at(1)), None);
        assert_eq!(key.said("x", at(1)), None);
    }

    #[test]
    fn https_is_what_the_proxy_says() {
        for (said, secure) in [(None, false), (Some("http"), false), (Some("https"), true), (Some("https, http"), true)]
        {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert("x-forwarded-proto", said.parse().unwrap());
            }
            assert_eq!(is_secure(&headers), secure, "{said:?}");
        }
    }
}
