//! Hands entries over by SMTP.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, MailParameter};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::config::{Email, Finding, Receiver, Smtp, SmtpTls, is_loopback_host};
use crate::engine::Language;

use super::addresses::Addresses;
use super::courier::{Courier, Failure, Made};
use super::entry::Entry;
use super::text::{clip, redact, single_line};
use super::{mail, material};

/// How long a server may take to say goodbye. It has the mail by then, so its answer matters to nobody.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// How much of a server's answer is told, in characters.
const MAX_EXCERPT: usize = 300;

/// Hands entries over by SMTP, each on a connection of its own: a page an hour is no reason to keep one open.
pub(super) struct EmailCourier {
    settings: Email,
    from: Mailbox,
    language: Language,
    addresses: Arc<Addresses>,
}

/// What one try needs.
struct Opened {
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    password: String,
}

impl EmailCourier {
    /// A courier, unless the settings cannot be right.
    pub(super) fn new(receiver: &Receiver, settings: &Email, addresses: Arc<Addresses>) -> Result<Self, Vec<Finding>> {
        let mut findings = Vec::new();
        let mut wrong = |key: &str, message: String| {
            findings.push(Finding::at(format!("receivers.{}.email.{key}", receiver.name), message));
        };
        let from = mailbox(&settings.from);
        if let Err(reason) = &from {
            wrong("from", reason.clone());
        }
        for (i, to) in settings.to.iter().enumerate() {
            if let Err(reason) = mailbox(to) {
                wrong(&format!("to[{i}]"), reason);
            }
        }
        if settings.to.is_empty() {
            wrong("to", "there is no recipient: name at least one address".to_owned());
        }
        let smtp = &settings.smtp;
        if smtp.tls == SmtpTls::None && smtp.login.is_some() && !is_loopback_host(&smtp.host) {
            wrong(
                "smtp.tls",
                "the password would travel in the clear: use starttls or implicit, or no username".to_owned(),
            );
        }
        match from {
            Ok(from) if findings.is_empty() => {
                Ok(Self { settings: settings.clone(), from, language: receiver.language, addresses })
            }
            _ => Err(findings),
        }
    }

    async fn exchange(&self, entry: &Entry, message: &[u8]) -> Result<(), Failure> {
        let recipient = recipient(entry)?;
        let opened = self.open().await?;
        let mut connection = self.connect(&opened).await?;
        let taken = self.hand_over(&mut connection, &recipient.email, message).await;
        taken.map_err(|e| match e {
            Problem::Permanent(text) => Failure::Refused(self.told(&text, &opened)),
            other => self.later(other, &opened),
        })?;
        let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
        Ok(())
    }

    /// Everything but the mail.
    async fn greet(&self) -> Result<(), Failure> {
        let opened = self.open().await?;
        let mut connection = self.connect(&opened).await?;
        let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
        Ok(())
    }

    async fn open(&self) -> Result<Opened, Failure> {
        let smtp = self.settings.smtp.clone();
        material::read(smtp.timeout, move || open(&smtp)).await
    }

    /// A connection that is ready for a mail: greeted, protected, logged in.
    async fn connect(&self, opened: &Opened) -> Result<AsyncSmtpConnection, Failure> {
        let smtp = &self.settings.smtp;
        let hello = ClientId::default();
        let implicit = opened.tls.clone().filter(|_| smtp.tls == SmtpTls::Implicit);
        let connect = AsyncSmtpConnection::connect_tokio1(
            (smtp.host.as_str(), smtp.port),
            Some(smtp.timeout),
            &hello,
            implicit,
            None,
        );
        let mut connection = self.stage("the connection", connect).await.map_err(|e| self.later(e, opened))?;
        if let Some(tls) = opened.tls.clone().filter(|_| smtp.tls == SmtpTls::Starttls) {
            self.stage("STARTTLS", connection.starttls(tls, &hello)).await.map_err(|e| self.later(e, opened))?;
        }
        if let Some(credentials) = &opened.credentials {
            // A refused login says nothing about the message, and the password may just be being rotated.
            let login = connection.auth(DEFAULT_MECHANISMS, credentials);
            self.stage("the login", login).await.map_err(|e| self.later(e, opened))?;
        }
        Ok(connection)
    }

    /// The mail transaction (RFC 5321, section 3.3). lettre's own says goodbye before it tells of an error, and a server that does not
    /// answer that would turn every refusal into a time-out.
    async fn hand_over(
        &self,
        to: &mut AsyncSmtpConnection,
        recipient: &Address,
        message: &[u8],
    ) -> Result<(), Problem> {
        let from = &self.from.email;
        let international = [from, recipient].iter().any(|address| !address.to_string().is_ascii());
        let options = if international { vec![MailParameter::SmtpUtfEight] } else { vec![] };
        self.stage("MAIL FROM", to.command(Mail::new(Some(from.clone()), options))).await?;
        let who = format!("RCPT TO {recipient}");
        self.stage(&who, to.command(Rcpt::new(recipient.clone(), vec![]))).await?;
        self.stage("DATA", to.command(Data)).await?;
        let what = format!("the mail to {recipient}");
        self.stage(&what, to.message(message)).await?;
        Ok(())
    }

    /// One exchange with the server, within the time-out.
    async fn stage<T>(&self, what: &str, exchange: impl Future<Output = Result<T, smtp::Error>>) -> Result<T, Problem> {
        match timeout(self.settings.smtp.timeout, exchange).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(e)) if e.is_permanent() => Err(Problem::Permanent(format!("{what} failed: {e}"))),
            Ok(Err(e)) => Err(Problem::Other(format!("{what} failed: {e}"))),
            Err(_) => Err(Problem::Other(format!("{what}: no answer within {:?}", self.settings.smtp.timeout))),
        }
    }

    fn later(&self, problem: Problem, opened: &Opened) -> Failure {
        let (Problem::Permanent(text) | Problem::Other(text)) = problem;
        Failure::retry(self.told(&text, opened))
    }

    fn told(&self, text: &str, opened: &Opened) -> String {
        let Smtp { host, port, .. } = &self.settings.smtp;
        format!("SMTP {host}:{port}: {}", clip(&redact(&single_line(text), &[&opened.password]), MAX_EXCERPT))
    }
}

/// Why an exchange with the server failed.
enum Problem {
    /// A reply 5yz (RFC 5321, section 4.2.1).
    Permanent(String),
    /// Anything else.
    Other(String),
}

impl Courier for EmailCourier {
    fn prepare(&self, entry: &Entry) -> Result<Made, Failure> {
        let to = recipient(entry)?;
        mail::write(entry, &self.from, &to, &self.addresses, self.language)
            .map(Made::from)
            .map_err(|e| Failure::Refused(format!("no mail can be made for {}: {e}", to.email)))
    }

    fn deliver<'a>(&'a self, entry: &'a Entry, body: &'a [u8]) -> BoxFuture<'a, Result<(), Failure>> {
        self.exchange(entry, body).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), Failure>> {
        self.greet().boxed()
    }
}

fn recipient(entry: &Entry) -> Result<Mailbox, Failure> {
    mailbox(entry.recipient.as_deref().unwrap_or_default()).map_err(Failure::Refused)
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|e| format!("{text:?} is no e-mail address: {e}"))
}

/// Reads the files.
fn open(smtp: &Smtp) -> Result<Opened, Failure> {
    let tls = match smtp.tls {
        SmtpTls::None => None,
        SmtpTls::Starttls | SmtpTls::Implicit => Some(tls(smtp)?),
    };
    let mut opened = Opened { tls, credentials: None, password: String::new() };
    if let Some(login) = &smtp.login {
        opened.password = material::secret(&login.password_file)?.expose_secret().to_owned();
        opened.credentials = Some(Credentials::new(login.username.clone(), opened.password.clone()));
    }
    Ok(opened)
}

fn tls(smtp: &Smtp) -> Result<TlsParameters, Failure> {
    let mut parameters = TlsParameters::builder(smtp.host.clone());
    if let Some(file) = &smtp.ca_file {
        let pem = material::certificates(file)?;
        let extra = Certificate::from_pem(&pem)
            .map_err(|e| Failure::retry(format!("cannot use the certificates in {}: {e}", file.display())))?;
        parameters = parameters.add_root_certificate(extra);
    }
    parameters.build().map_err(|e| Failure::retry(format!("cannot prepare TLS for {}: {e}", smtp.host)))
}

#[cfg(test)]
mod tests;
