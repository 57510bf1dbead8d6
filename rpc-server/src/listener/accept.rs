//! `Acceptor`: accepts the connections of one socket, and hands each one's requests to the upgrade.

use std::{io, sync::Arc};

use http::Extensions;
use hyper::server::conn::http1;
use rpc_core::logging::LogLimit;
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    backoff::Backoff,
    connection::{Accepted, http},
    options::ListenOptions,
    proxy_header,
    security::Security,
    turned_away::{LONGEST, TurnedAway, linger},
};
use crate::{
    shared::{ServerShared, Stop},
    socket::{Incoming, Socket},
    upgrade::Refusal,
};

/// Serves one listening socket until the socket is closed, or the server ends.
#[derive(Debug)]
pub(super) struct Acceptor {
    socket: Socket,
    options: ListenOptions,
    shared: Arc<ServerShared>,
    http: http1::Builder,
    backoff: Backoff,
    turned_away: TurnedAway,
    /// Limits the log lines about failures of `accept`.
    failures: LogLimit,
}

impl Acceptor {
    pub(super) fn new(socket: Socket, options: ListenOptions, shared: Arc<ServerShared>) -> Self {
        let http = http(&shared);
        Self {
            socket,
            options,
            shared,
            http,
            backoff: Backoff::default(),
            turned_away: TurnedAway::default(),
            failures: LogLimit::new(),
        }
    }

    /// Accepts until the socket is closed. After that, accepted connections may still become sessions, unless the
    /// server ends, which ends them as well.
    pub(super) async fn run(mut self, stop: watch::Receiver<Stop>) {
        let mut connections = JoinSet::new();
        self.accept(&mut connections, &stop).await;
        while connections.join_next().await.is_some() {}
    }

    async fn accept(&mut self, connections: &mut JoinSet<()>, stop: &watch::Receiver<Stop>) {
        loop {
            let accepted = tokio::select! {
                Some(_) = connections.join_next() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                None => return,
                Some(Ok(incoming)) => {
                    self.backoff.succeeded();
                    self.accepted(incoming, connections, stop);
                }
                Some(Err(error)) if is_of_one_connection(&error) => {
                    debug!("a connection ended before it was accepted: {error}");
                }
                Some(Err(error)) => {
                    let wait = self.backoff.failed();
                    if let Some(more) = self.failures.admit(Instant::now().into_std()) {
                        warn!("cannot accept connections, trying again in {wait:?}: {error}{more}");
                    }
                    tokio::select! {
                        () = self.socket.closed() => return,
                        () = sleep(wait) => {}
                    }
                }
            }
        }
    }

    fn accepted(&mut self, incoming: Incoming, connections: &mut JoinSet<()>, stop: &watch::Receiver<Stop>) {
        let peer_addr = incoming.peer_addr();
        let place = match peer_addr {
            Some(peer_addr) => self.shared.take_place_for_peer(peer_addr),
            None => self.shared.take_place(None, None),
        };
        match place {
            Some(place) => {
                debug!(peer = peer_addr.map(tracing::field::display), "connection accepted");
                let shared = Arc::clone(&self.shared);
                let accepted = Accepted::new(peer_addr, Extensions::new(), shared, place, stop.clone());
                let http = self.http.clone();
                match incoming {
                    Incoming::Tcp(stream, _) => {
                        connections.spawn(serve(http, stream, accepted, self.options.clone()));
                    }
                    #[cfg(unix)]
                    Incoming::Unix(stream) => {
                        connections.spawn(accepted.serve(stream, http));
                    }
                }
            }
            None => {
                Refusal::Full.tell(&self.shared.hosting, peer_addr);
                // Over TLS, saying why would cost a handshake.
                if !self.options.security.is_tls() {
                    self.turned_away.add(incoming);
                }
            }
        }
    }
}

/// Takes a connection that has its place until it becomes a session or ends.
async fn serve(http: http1::Builder, mut stream: TcpStream, mut accepted: Accepted, options: ListenOptions) {
    let peer = accepted.peer_addr.map(tracing::field::display);
    // Packets are written whole, and waiting to fill a segment would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        return debug!(peer, "connection ended at once: {error}");
    }
    if options.proxy_protocol && accepted.is_of_proxy() {
        match accepted.until_stopped(proxy_header::read(&mut stream)).await {
            None => return,
            Some(Err(error)) => return debug!(peer, "connection ended before its first request: {error}"),
            // A proxy of this protocol need not know HTTP, and may pass on what the client writes.
            Some(Ok(None)) => accepted.reads_headers = false,
            Some(Ok(Some(client))) => match accepted.of_client(client) {
                Some(of_client) => accepted = of_client,
                None if options.security.is_tls() => return,
                None => return drop(timeout(LONGEST, linger(stream)).await),
            },
        }
    }
    match options.security {
        Security::Plain => accepted.serve(stream, http).await,
        #[cfg(feature = "tls")]
        Security::Tls(tls) => {
            let secure = tls.accept(stream, accepted.peer_addr);
            if let Some(Some((stream, info))) = accepted.until_stopped(secure).await {
                accepted.extensions.insert(info);
                accepted.serve(stream, http).await;
            }
        }
    }
}

/// Whether an `accept` failed because of the connection that was to be accepted, and not because this process lacks
/// something.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_descriptors_is_no_fault_of_the_connection() {
        const EMFILE: i32 = 24;
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_of_one_connection(&io::ErrorKind::ConnectionAborted.into()));
    }
}
