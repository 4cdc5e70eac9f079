//! A real SMTP server: the protocol's state machine of the `mailin` crate on tokio's sockets, so that it ends with its story.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mailin::response::{AUTH_OK, INTERNAL_ERROR, INVALID_CREDENTIALS, OK};
use mailin::{Action, AuthMechanism, Handler, Response, Session, SessionBuilder};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::log::Log;
use super::tls::Authority;
use super::{World, eventually, ports};

/// The one user who may log in, where a login is wanted.
pub const USER: &str = "ripcord";
/// That user's password.
pub const PASSWORD: &str = "a mail password";

/// How connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In the clear.
    Plain,
    /// In the clear at first; STARTTLS is offered.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// What it does with mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes it.
    Accept,
    /// Refuses these recipients for good (550).
    Refuse(Vec<String>),
    /// Refuses every recipient for now (451).
    Temporary,
    /// Takes the connection and never says a word.
    Hang,
    /// Takes the message and never says so: the sender cannot know.
    HangAfterMessage,
}

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct Message {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope that were accepted.
    pub to: Vec<String>,
    /// Headers in their order, unfolded, not decoded.
    pub headers: Vec<(String, String)>,
    /// The body as sent, not decoded.
    pub body: String,
    pub at: SystemTime,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Who had logged in.
    pub user: Option<String>,
}

impl Message {
    /// A header's value, or nothing; names in any case.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }
}

/// When a message is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is here and not taken yet.
    Before,
    /// It is taken and its sender does not know yet.
    After,
}

/// Looks at a message and says whether all goes on as usual. If not, the message is not taken when it was not yet, and its sender is
/// never answered.
type Watcher = Arc<dyn Fn(&Message, Moment) -> bool + Send + Sync>;

struct State {
    behaviour: Behaviour,
    messages: Vec<Message>,
    watcher: Option<Watcher>,
}

/// What every connection needs.
#[derive(Clone)]
struct Server {
    security: Security,
    login: bool,
    tls: TlsAcceptor,
    state: Arc<Mutex<State>>,
    log: Log,
}

/// The server. Dropping it closes the port and all connections.
pub struct Mailbox {
    address: SocketAddr,
    ca_file: PathBuf,
    server: Server,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Mailbox {
    /// Starts it; with `login` a sender has to log in as `USER`, which it may on TLS or, on a `Plain` server, in the clear.
    pub async fn start(world: &World, security: Security, login: bool) -> anyhow::Result<Self> {
        let dir = world.new_dir("mailbox")?;
        let authority = Authority::new("ripcord test mail authority")?;
        let ca_file = authority.write(&dir.join("ca.pem"))?;
        let certified = authority.issue(&["localhost", "127.0.0.1"])?;
        fs::write(dir.join("server.pem"), &certified.certificate)?;
        let chain = vec![CertificateDer::from_pem_slice(certified.certificate.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes())?;
        let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        let server = Server {
            security,
            login,
            tls: TlsAcceptor::from(Arc::new(tls)),
            state: Arc::new(Mutex::new(State { behaviour: Behaviour::Accept, messages: Vec::new(), watcher: None })),
            log: world.log("mailbox")?,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let mailbox = Self { address, ca_file, server, task: Mutex::new(None) };
        mailbox.back().await?;
        Ok(mailbox)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with the authority of its certificate, which is for `localhost` and `127.0.0.1`.
    pub fn ca_file(&self) -> &PathBuf {
        &self.ca_file
    }

    /// From now on. `Hang` concerns new connections; the others also those that are open.
    pub fn set(&self, behaviour: Behaviour) {
        self.server.state.lock().expect("no holder panics").behaviour = behaviour;
    }

    /// From now on, each message is shown to this before and after it is taken: see `Watcher`.
    pub fn watch(&self, watcher: impl Fn(&Message, Moment) -> bool + Send + Sync + 'static) {
        self.server.state.lock().expect("no holder panics").watcher = Some(Arc::new(watcher));
    }

    /// All messages so far.
    pub fn messages(&self) -> Vec<Message> {
        self.server.state.lock().expect("no holder panics").messages.clone()
    }

    /// Waits until the messages so far satisfy a condition.
    pub async fn wait_for<T>(&self, find: impl Fn(&[Message]) -> Option<T>, timeout: Duration) -> anyhow::Result<T> {
        eventually(timeout, "the mailbox has the messages", async || {
            let messages = self.messages();
            find(&messages).ok_or_else(|| {
                let seen: Vec<_> = messages.iter().map(|m| format!("{:?} {}", m.to, m.header("subject"))).collect();
                format!("{} messages: {seen:?}", messages.len())
            })
        })
        .await
    }

    /// Stops listening and cuts all connections.
    pub fn gone(&self) {
        if let Some(task) = self.task.lock().expect("no holder panics").take() {
            task.abort();
        }
    }

    /// Listens again on the same port.
    pub async fn back(&self) -> anyhow::Result<()> {
        self.gone();
        let bind = async || TcpListener::bind(self.address).await;
        let listener = eventually(Duration::from_secs(5), "the mailbox's port is free", bind).await?;
        *self.task.lock().expect("no holder panics") = Some(tokio::spawn(accept(listener, self.server.clone())));
        Ok(())
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.gone();
    }
}

async fn accept(listener: TcpListener, server: Server) {
    // Dropped with the task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, peer)) = listener.accept().await {
            let server = server.clone();
            connections.spawn(async move {
                if let Err(error) = server.serve(stream, peer.ip()).await {
                    server.log.line(format!("Connection ended: {error}"));
                }
            });
        }
    }
}

enum Outcome {
    Done,
    UpgradeTls,
}

impl Server {
    fn behaviour(&self) -> Behaviour {
        self.state.lock().expect("no holder panics").behaviour.clone()
    }

    async fn serve(&self, stream: TcpStream, peer: IpAddr) -> io::Result<()> {
        if self.behaviour() == Behaviour::Hang {
            self.log.line("Connection taken, nothing said");
            std::future::pending::<()>().await;
        }
        let mut builder = SessionBuilder::new("mailbox.test");
        if self.security == Security::StartTls {
            builder.enable_start_tls();
        }
        if self.login {
            builder.enable_auth(AuthMechanism::Plain).enable_auth(AuthMechanism::Login);
        }
        if self.security == Security::Plain {
            builder.insecure_enable_plaintext_auth();
        }
        let implicit = self.security == Security::Implicit;
        let connection = Arc::new(Connection::default());
        let mut session = builder.build(peer, Envelope::new(self.clone(), connection.clone()));
        let greeting = session.greeting();
        if implicit {
            session.tls_active();
            connection.tls.store(true, Ordering::Relaxed);
            let mut stream = BufReader::new(self.tls.accept(stream).await?);
            self.say(&mut stream, &greeting).await?;
            self.converse(&mut session, &connection, &mut stream).await?;
            return Ok(());
        }
        let mut stream = BufReader::new(stream);
        self.say(&mut stream, &greeting).await?;
        if let Outcome::UpgradeTls = self.converse(&mut session, &connection, &mut stream).await? {
            let mut stream = BufReader::new(self.tls.accept(stream.into_inner()).await?);
            session.tls_active();
            connection.tls.store(true, Ordering::Relaxed);
            self.converse(&mut session, &connection, &mut stream).await?;
        }
        Ok(())
    }

    async fn converse<S>(
        &self,
        session: &mut Session<Envelope>,
        connection: &Connection,
        stream: &mut BufReader<S>,
    ) -> io::Result<Outcome>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut line = Vec::new();
        loop {
            line.clear();
            if stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(Outcome::Done);
            }
            let response = session.process(&line);
            if response.action != Action::NoReply {
                self.log.line(format!("> {}", String::from_utf8_lossy(&line).trim_end()));
            }
            let taken = connection.taken.swap(false, Ordering::Relaxed);
            let hangs = taken && self.behaviour() == Behaviour::HangAfterMessage;
            if hangs || connection.mute.load(Ordering::Relaxed) {
                self.log.line(if taken { "Message taken, nothing said" } else { "Message not taken, nothing said" });
                std::future::pending::<()>().await;
            }
            match response.action {
                Action::Reply => self.say(stream, &response).await?,
                Action::NoReply => {}
                Action::Close => {
                    self.say(stream, &response).await?;
                    return Ok(Outcome::Done);
                }
                Action::UpgradeTls => {
                    self.say(stream, &response).await?;
                    return Ok(Outcome::UpgradeTls);
                }
            }
        }
    }

    async fn say<S: AsyncWrite + Unpin>(&self, stream: &mut S, response: &Response) -> io::Result<()> {
        let bytes = response.buffer()?;
        self.log.line(format!("< {}", String::from_utf8_lossy(&bytes).trim_end()));
        stream.write_all(&bytes).await?;
        stream.flush().await
    }
}

/// What a connection and the handler of its session tell each other.
#[derive(Default)]
struct Connection {
    tls: AtomicBool,
    /// A message has just been taken.
    taken: AtomicBool,
    /// Nothing more is said.
    mute: AtomicBool,
}

/// Decides for one connection, and gathers its messages.
struct Envelope {
    server: Server,
    connection: Arc<Connection>,
    user: Option<String>,
    from: String,
    to: Vec<String>,
    data: Vec<u8>,
}

impl Envelope {
    fn new(server: Server, connection: Arc<Connection>) -> Self {
        Self { server, connection, user: None, from: String::new(), to: Vec::new(), data: Vec::new() }
    }

    fn log_in(&mut self, user: &str, password: &str) -> Response {
        if user == USER && password == PASSWORD {
            self.user = Some(user.to_owned());
            AUTH_OK
        } else {
            INVALID_CREDENTIALS
        }
    }
}

impl Handler for Envelope {
    fn mail(&mut self, _ip: IpAddr, _domain: &str, from: &str) -> Response {
        self.from = from.to_owned();
        self.to.clear();
        self.data.clear();
        OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        match self.server.behaviour() {
            Behaviour::Refuse(whom) if whom.iter().any(|w| w == to) => {
                Response::custom(550, "5.1.1 No such mailbox".to_owned())
            }
            Behaviour::Temporary => INTERNAL_ERROR,
            _ => {
                self.to.push(to.to_owned());
                OK
            }
        }
    }

    fn data(&mut self, buf: &[u8]) -> io::Result<()> {
        self.data.extend_from_slice(buf);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let text = String::from_utf8_lossy(&self.data).into_owned();
        let (headers, body) = split(&text);
        let message = Message {
            from: self.from.clone(),
            to: self.to.clone(),
            headers,
            body,
            at: SystemTime::now(),
            tls: self.connection.tls.load(Ordering::Relaxed),
            user: self.user.clone(),
        };
        let watcher = self.server.state.lock().expect("no holder panics").watcher.clone();
        let goes_on = |moment| watcher.as_ref().is_none_or(|watcher| watcher(&message, moment));
        if goes_on(Moment::Before) {
            self.server.state.lock().expect("no holder panics").messages.push(message.clone());
            self.connection.taken.store(true, Ordering::Relaxed);
            self.connection.mute.store(!goes_on(Moment::After), Ordering::Relaxed);
        } else {
            self.connection.mute.store(true, Ordering::Relaxed);
        }
        OK
    }

    fn auth_plain(&mut self, _authorization: &str, user: &str, password: &str) -> Response {
        self.log_in(user, password)
    }

    fn auth_login(&mut self, user: &str, password: &str) -> Response {
        self.log_in(user, password)
    }
}

/// Splits a message into its unfolded headers and its body.
fn split(text: &str) -> (Vec<(String, String)>, String) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    (headers, body.to_owned())
}
