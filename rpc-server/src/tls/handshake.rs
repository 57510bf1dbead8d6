//! The TLS handshake with one client.

use std::{io, net::SocketAddr, time::Duration};

use rpc_core::{PeerCertificate, TlsInfo, text::excerpt_of};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

/// The time for which input is discarded after an alert, and the bytes that may come. Dropping a socket with unread
/// input resets the connection, and the reset may overtake the alert, which says what was wrong: a client by TLS 1.3
/// sends its request before it hears that its certificate is refused.
const DISCARD: Duration = Duration::from_secs(1);
const MAX_DISCARDED: u64 = 128 * 1024;

/// Takes a connection in. `None` if the handshake fails; the log says why.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    peer_addr: SocketAddr,
) -> Option<(TlsStream<TcpStream>, TlsInfo)> {
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => match info(&stream) {
            Ok(info) => Some((stream, info)),
            Err(error) => {
                debug!(peer = %peer_addr, "the client's certificate cannot be read: {}", excerpt_of(&error));
                None
            }
        },
        Err((error, stream)) => {
            debug!(peer = %peer_addr, "TLS handshake failed: {}", excerpt_of(&error));
            let _ = timeout(DISCARD, hang_up(stream)).await;
            None
        }
    }
}

fn info(stream: &TlsStream<TcpStream>) -> io::Result<TlsInfo> {
    let info = TlsInfo::default();
    match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
        None => Ok(info),
        Some(certificate) => {
            let certificate = PeerCertificate::from_der(certificate).map_err(io::Error::other)?;
            Ok(info.with_peer_certificate(certificate))
        }
    }
}

async fn hang_up(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    copy(&mut stream.take(MAX_DISCARDED), &mut sink()).await?;
    Ok(())
}
