//! `Acceptor`: accepts the connections of one socket, and hands each one's requests to the upgrade.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rpc_core::{TlsInfo, logging::LogLimit, text::excerpt_of};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use super::{backoff::Backoff, security::Security};
use crate::{
    caps::Place,
    shared::ServerShared,
    socket::Socket,
    upgrade::{MAX_HEAD, UpgradeFuture},
};

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 61\r\n\
    connection: close\r\n\
    \r\n\
    The server has too many connections. Try again in a moment.\r\n";

/// Serves one listening socket until the socket is closed, or the server ends.
#[derive(Debug)]
pub(super) struct Acceptor {
    socket: Socket,
    shared: Arc<ServerShared>,
    security: Security,
    http: http1::Builder,
    backoff: Backoff,
    /// Limits the log lines about failures of `accept`.
    failures: LogLimit,
}

impl Acceptor {
    pub(super) fn new(socket: Socket, shared: Arc<ServerShared>, security: Security) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(shared.config.upgrade_timeout()).max_buf_size(MAX_HEAD);
        Self { socket, shared, security, http, backoff: Backoff::default(), failures: LogLimit::new() }
    }

    /// Accepts until the socket is closed. After that, accepted connections may still become sessions, unless the
    /// server ends, which drops them.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        self.accept(&mut connections).await;
        tokio::select! {
            biased;
            () = told(&mut stop) => {}
            () = async { while connections.join_next().await.is_some() {} } => {}
        }
        connections.shutdown().await;
    }

    async fn accept(&mut self, connections: &mut JoinSet<()>) {
        loop {
            let accepted = tokio::select! {
                Some(_) = connections.join_next() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                None => return,
                Some(Ok((stream, peer_addr))) => {
                    self.backoff.succeeded();
                    self.accepted(stream, peer_addr, connections);
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

    fn accepted(&self, stream: TcpStream, peer_addr: SocketAddr, connections: &mut JoinSet<()>) {
        match self.shared.take_place(Some(peer_addr)) {
            Some(place) => {
                debug!(peer = %peer_addr, "connection accepted");
                let connection = Connection { peer_addr, shared: Arc::clone(&self.shared), place };
                connections.spawn(connection.serve(stream, self.security.clone(), self.http.clone()));
            }
            // By TLS, saying why would cost a handshake.
            None if self.security.is_tls() => {}
            None => turn_away(stream),
        }
    }
}

/// Waits until the server ends. A dropped sender counts as the end.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

/// A connection that has not become a session yet.
struct Connection {
    peer_addr: SocketAddr,
    shared: Arc<ServerShared>,
    place: Arc<Place>,
}

impl Connection {
    /// Serves its requests until it becomes a session or ends.
    async fn serve(self, stream: TcpStream, security: Security, http: http1::Builder) {
        let (peer_addr, limit) = (self.peer_addr, self.shared.config.upgrade_timeout());
        // Packets are whole when they are written; waiting to fill a segment would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            return debug!(peer = %peer_addr, "connection ended at once: {error}");
        }
        let served = async {
            match security {
                Security::Plain => self.answer(stream, None, http).await,
                #[cfg(feature = "tls")]
                Security::Tls(tls) => {
                    if let Some((stream, info)) = tls.accept(stream, peer_addr).await {
                        self.answer(stream, Some(info), http).await;
                    }
                }
            }
        };
        // The timeout ends peers that send one useless request after another.
        if timeout(limit, served).await.is_err() {
            debug!(peer = %peer_addr, "connection ended: no upgrade within {limit:?}");
        }
    }

    async fn answer<IO>(self, io: IO, tls: Option<TlsInfo>, http: http1::Builder)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer_addr, shared, place } = self;
        let answer = service_fn(move |mut request: http::Request<Incoming>| {
            if let Some(tls) = &tls {
                request.extensions_mut().insert(tls.clone());
            }
            UpgradeFuture::new(Arc::clone(&shared), request, Some(peer_addr), Some(Arc::clone(&place)))
        });
        if let Err(error) = http.serve_connection(TokioIo::new(io), answer).with_upgrades().await {
            debug!(peer = %peer_addr, "connection ended before the upgrade: {}", excerpt_of(&error));
        }
    }
}

/// Writes the reason, if the socket takes it without a wait, and closes the connection.
fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // The socket does not block, and its buffer is empty, so the write normally succeeds.
        let _ = stream.write(FULL);
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
    fn the_answer_to_one_too_many_states_its_length() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }

    #[test]
    fn running_out_of_descriptors_is_no_fault_of_the_connection() {
        const EMFILE: i32 = 24;
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_of_one_connection(&io::ErrorKind::ConnectionAborted.into()));
    }
}
