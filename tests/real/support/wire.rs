//! A way to a server whose open connections can go dead, as when a load balancer forgets them: they stay open and carry nothing more,
//! and new ones work.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::ports;

/// The wire. Dropping it closes its port and all connections.
pub struct Wire {
    address: SocketAddr,
    /// How many connections were opened.
    opened: watch::Receiver<usize>,
    /// How many of them, from the first on, are dead.
    dead: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Lays it to a server.
    pub async fn to(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports::free())).await?;
        let address = listener.local_addr()?;
        let (open, opened) = watch::channel(0);
        let (dead, watched) = watch::channel(0);
        let task = tokio::spawn(accept(listener, server, open, watched));
        Ok(Self { address, opened, dead, task })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets every connection so far go dead, and says how many there were.
    pub fn cut(&self) -> usize {
        let opened = *self.opened.borrow();
        self.dead.send_replace(opened);
        opened
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, open: watch::Sender<usize>, dead: watch::Receiver<usize>) {
    // Dropped with the task, and the connections with it.
    let mut connections = JoinSet::new();
    let mut number = 0;
    while let Ok((stream, _)) = listener.accept().await {
        number += 1;
        open.send_replace(number);
        connections.spawn(carry(stream, server, number, dead.clone()));
    }
}

/// Carries what both sides say until either ends or the connection goes dead.
async fn carry(mut from: TcpStream, server: SocketAddr, number: usize, mut dead: watch::Receiver<usize>) {
    let Ok(mut to) = TcpStream::connect(server).await else { return };
    let cut = async { drop(dead.wait_for(|dead| *dead >= number).await) };
    // In this order: once it is cut, not even what is on its way comes through.
    tokio::select! {
        biased;
        () = cut => std::future::pending().await,
        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
    }
}
