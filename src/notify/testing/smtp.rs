//! Real SMTP servers: one that does everything, and one that can be made to misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use mailin_embedded::response::{INTERNAL_ERROR, INVALID_CREDENTIALS, NO_MAILBOX, OK};
use mailin_embedded::{AuthMechanism, Handler, Response, Server, SslConfig};

use super::install_crypto;
use super::tls::{Pki, ReadWrite};

/// A mail as it came in.
#[derive(Debug, Clone, Default)]
pub(in crate::notify) struct Mail {
    pub(in crate::notify) from: String,
    pub(in crate::notify) to: Vec<String>,
    pub(in crate::notify) data: String,
    /// Who had logged in.
    pub(in crate::notify) user: Option<String>,
    /// Whether the server said that it has it.
    pub(in crate::notify) accepted: bool,
}

impl Mail {
    /// A header's value, where it stands on one line.
    pub(in crate::notify) fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        self.data.lines().find_map(|l| l.strip_prefix(&start)).unwrap_or_default()
    }
}

/// What the server does with a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::notify) enum Recipient {
    /// Refused for good.
    Unknown,
    /// Its mails are not taken at the first so many tries.
    Busy(u32),
}

/// The rules and the mails of a server.
#[derive(Clone, Default)]
pub(in crate::notify) struct Mailbox {
    recipients: Arc<Mutex<HashMap<String, Recipient>>>,
    mails: Arc<Mutex<Vec<Mail>>>,
    current: Mail,
}

/// The one login that the server accepts.
pub(in crate::notify) const USER: (&str, &str) = ("ripcord", "s3cret-passw0rd");

impl Mailbox {
    pub(in crate::notify) fn new(recipients: &[(&str, Recipient)]) -> Self {
        let recipients = recipients.iter().map(|(name, rule)| ((*name).to_owned(), *rule)).collect();
        Self { recipients: Arc::new(Mutex::new(recipients)), ..Self::default() }
    }

    pub(in crate::notify) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// Serves on a free port; with a certificate, STARTTLS and logins too.
    pub(in crate::notify) fn serve(&self, pki: Option<&Pki>) -> u16 {
        install_crypto();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut server = Server::new(self.clone());
        server.with_name("mail.example.com").with_tcp_listener(listener);
        if let Some(pki) = pki {
            let path = |name| pki.path(name).to_str().unwrap().to_owned();
            let ssl = SslConfig::SelfSigned { cert_path: path("server.pem"), key_path: path("server.key") };
            server.with_ssl(ssl).unwrap().with_auth(AuthMechanism::Plain).with_auth(AuthMechanism::Login);
        }
        std::thread::spawn(move || server.serve().unwrap());
        port
    }

    fn login(&mut self, user: &str, password: &str) -> Response {
        if (user, password) != USER {
            return INVALID_CREDENTIALS;
        }
        self.current.user = Some(user.to_owned());
        mailin_embedded::response::AUTH_OK
    }
}

impl Handler for Mailbox {
    fn rcpt(&mut self, to: &str) -> Response {
        match self.recipients.lock().unwrap().get(to) {
            Some(Recipient::Unknown) => NO_MAILBOX,
            _ => OK,
        }
    }

    fn data_start(&mut self, _domain: &str, from: &str, _is8bit: bool, to: &[String]) -> Response {
        self.current.from = from.to_owned();
        self.current.to = to.to_vec();
        self.current.data.clear();
        OK
    }

    fn data(&mut self, buf: &[u8]) -> std::io::Result<()> {
        self.current.data.push_str(&String::from_utf8_lossy(buf));
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let mut mail = self.current.clone();
        mail.accepted = true;
        for to in &mail.to {
            if let Some(Recipient::Busy(left)) = self.recipients.lock().unwrap().get_mut(to)
                && *left > 0
            {
                *left -= 1;
                mail.accepted = false;
            }
        }
        let accepted = mail.accepted;
        self.mails.lock().unwrap().push(mail);
        if accepted { OK } else { INTERNAL_ERROR }
    }

    fn auth_plain(&mut self, _authorization_id: &str, authentication_id: &str, password: &str) -> Response {
        self.login(authentication_id, password)
    }

    fn auth_login(&mut self, username: &str, password: &str) -> Response {
        self.login(username, password)
    }
}

/// Speaks just enough SMTP to take one mail, tells of it, and never answers QUIT.
pub(in crate::notify) fn take_and_never_say_goodbye(stream: &mut dyn ReadWrite, taken: &Sender<String>) {
    let mut reader = BufReader::new(stream);
    let say = |reader: &mut BufReader<&mut dyn ReadWrite>, line: &str| {
        let stream = reader.get_mut();
        stream.write_all(line.as_bytes()).and_then(|()| stream.flush()).unwrap();
    };
    say(&mut reader, "220 mail.example.com\r\n");
    let mut data = None;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
        match (&mut data, line.trim_end()) {
            (Some(text), ".") => {
                taken.send(std::mem::take(text)).unwrap();
                data = None;
                say(&mut reader, "250 taken\r\n");
            }
            (Some(text), _) => text.push_str(&line),
            (None, "DATA") => {
                data = Some(String::new());
                say(&mut reader, "354 go on\r\n");
            }
            (None, "QUIT") => {}
            (None, _) => say(&mut reader, "250 yes\r\n"),
        }
        line.clear();
    }
}
