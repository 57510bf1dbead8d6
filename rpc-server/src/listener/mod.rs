//! `Listener`: accepts connections, bounds their number, and hands each one's requests to the upgrade.

mod backoff;
mod caps;
mod socket;

use std::{
    convert::Infallible,
    future::ready,
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rpc_core::{logging::LogLimit, text::excerpt_of};
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

pub(crate) use self::socket::Socket;
use self::{
    backoff::Backoff,
    caps::{Caps, Full, Place},
};
use crate::upgrade::{MAX_HEAD, Upgrade};

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 61\r\n\
    connection: close\r\n\
    \r\n\
    The server has too many connections. Try again in a moment.\r\n";

/// Serves one listening socket until it is told to stop.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    upgrade: Upgrade,
    caps: Caps,
    http: http1::Builder,
    backoff: Backoff,
    /// Of log lines.
    failures: LogLimit,
    refusals: LogLimit,
}

impl Listener {
    pub(crate) fn new(socket: Socket, upgrade: Upgrade, most: usize, most_of_one_address: usize) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(upgrade.config().upgrade_timeout).max_buf_size(MAX_HEAD);
        Self {
            socket,
            upgrade,
            caps: Caps::new(most, most_of_one_address),
            http,
            backoff: Backoff::default(),
            failures: LogLimit::new(),
            refusals: LogLimit::new(),
        }
    }

    /// Accepts until `stop` holds true, then closes the socket and drops the connections that are no sessions yet.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = told(&mut stop) => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer_addr)) => {
                    self.backoff.succeeded();
                    self.accepted(stream, peer_addr, &mut connections);
                }
                Err(error) if is_of_one_connection(&error) => {
                    debug!("a connection ended before it was accepted: {error}");
                }
                Err(error) => {
                    let wait = self.backoff.failed();
                    if let Some(more) = self.failures.admit(Instant::now().into_std()) {
                        warn!("cannot accept connections, trying again in {wait:?}: {error}{more}");
                    }
                    tokio::select! {
                        () = told(&mut stop) => break,
                        () = sleep(wait) => {}
                    }
                }
            }
        }
        self.socket.close();
        connections.shutdown().await;
    }

    fn accepted(&self, stream: TcpStream, peer_addr: SocketAddr, connections: &mut JoinSet<()>) {
        match self.caps.enter(peer_addr.ip()) {
            Ok(place) => {
                debug!(peer = %peer_addr, "connection accepted");
                connections.spawn(serve(self.http.clone(), stream, peer_addr, self.upgrade.clone(), place));
            }
            Err(full) => {
                match full {
                    Full::All => {
                        if let Some(more) = self.refusals.admit(Instant::now().into_std()) {
                            warn!(peer = %peer_addr, "connection refused: the server has as many as it may{more}");
                        }
                    }
                    Full::Address => debug!(peer = %peer_addr, "connection refused: the address has as many as it may"),
                }
                turn_away(stream);
            }
        }
    }
}

/// Waits until the listener is to stop. That nobody could tell it any more counts as told.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

/// Serves the requests of one connection until it becomes a session or ends.
async fn serve(http: http1::Builder, stream: TcpStream, peer_addr: SocketAddr, upgrade: Upgrade, place: Place) {
    // Packets are whole when they are written; waiting to fill a segment would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        return debug!(peer = %peer_addr, "connection ended at once: {error}");
    }
    let limit = upgrade.config().upgrade_timeout;
    let place = Arc::new(place);
    let answer = service_fn(move |request: http::Request<Incoming>| {
        ready(Ok::<_, Infallible>(upgrade.answer(request, Some(peer_addr), Arc::clone(&place))))
    });
    // The timeout ends those who send one useless request after another.
    match timeout(limit, http.serve_connection(TokioIo::new(stream), answer).with_upgrades()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(peer = %peer_addr, "connection ended before the upgrade: {}", excerpt_of(&error)),
        Err(_) => debug!(peer = %peer_addr, "connection ended: no upgrade within {limit:?}"),
    }
}

/// Says why as far as that costs nothing, and hangs up.
fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // The socket does not block and its buffer is empty; if it takes nothing all the same, hanging up says enough.
        let _ = stream.write(FULL);
    }
}

/// Whether an `accept` failed because of the connection that was to be accepted, and not for lack of something here.
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
