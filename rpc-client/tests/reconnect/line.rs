//! `Line`: a relay between clients and a server, which can be cut, closed and led elsewhere.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A relay on a port of its own.
pub(crate) struct Line {
    addr: SocketAddr,
    /// Where it leads, `None` while it is closed, and how often it was cut.
    to: watch::Sender<(Option<SocketAddr>, usize)>,
    accepted: Arc<AtomicUsize>,
}

impl Line {
    /// A line that leads to `server`.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, to) = (listener.local_addr().unwrap(), watch::Sender::new((Some(server), 0)));
        let accepted = Arc::<AtomicUsize>::default();
        let (mut leads, counted) = (to.subscribe(), accepted.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let Some(server) = leads.borrow_and_update().0 else { continue };
                let mut cut = leads.clone();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { addr, to, accepted }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The number of connections that have come.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Cuts what is connected. New connections go through.
    pub(crate) fn cut(&self) {
        self.to.send_modify(|to| to.1 += 1);
    }

    /// Cuts what is connected, and ends each new connection at once.
    pub(crate) fn close(&self) {
        self.to.send_modify(|to| to.0 = None);
    }

    /// Leads new connections to this server, and leaves the others.
    pub(crate) fn open(&self, server: SocketAddr) {
        self.to.send_modify(|to| to.0 = Some(server));
    }

    /// As [`Self::open`], and leaves what is connected as it is.
    pub(crate) fn lead_new_ones(&self, server: SocketAddr) {
        // Connections look for changes that they are told of.
        self.to.send_if_modified(|to| {
            to.0 = Some(server);
            false
        });
    }
}
