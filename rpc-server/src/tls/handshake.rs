//! The TLS handshake with one client.

use std::{io, net::SocketAddr, time::Duration};

use rpc_core::{__tls::WRITE_AHEAD, PeerCertificate, TlsInfo, text::excerpt_of};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

/// The time for which input is discarded after an alert, and the bytes that may come. Dropping a socket with unread
/// input resets the connection, and the reset may overtake the alert, which says what was wrong: with TLS 1.3 a client
/// sends its request before it hears that its certificate is refused.
const DISCARD: Duration = Duration::from_secs(1);
const MAX_DISCARDED: u64 = 128 * 1024;

/// Takes a connection in. `None` if the handshake fails; the log says why.
pub(super) async fn accept<IO>(
    acceptor: &TlsAcceptor,
    stream: IO,
    peer_addr: Option<SocketAddr>,
) -> Option<(TlsStream<IO>, TlsInfo)>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let peer = peer_addr.map(tracing::field::display);
    let accepting = acceptor.accept_with(stream, |connection| connection.set_buffer_limit(Some(WRITE_AHEAD)));
    match accepting.into_fallible().await {
        Ok(stream) => match info(&stream) {
            Ok(info) => Some((stream, info)),
            Err(error) => {
                debug!(peer, "the client's certificate cannot be read: {}", excerpt_of(&error));
                None
            }
        },
        Err((error, stream)) => {
            debug!(peer, "TLS handshake failed: {}", excerpt_of(&error));
            let _ = timeout(DISCARD, hang_up(stream)).await;
            None
        }
    }
}

fn info<IO>(stream: &TlsStream<IO>) -> io::Result<TlsInfo> {
    let info = TlsInfo::default();
    match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
        None => Ok(info),
        Some(certificate) => {
            let certificate = PeerCertificate::from_der(certificate).map_err(io::Error::other)?;
            Ok(info.with_peer_certificate(certificate))
        }
    }
}

async fn hang_up(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    copy(&mut stream.take(MAX_DISCARDED), &mut sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rpc_core::{
        __tls::provider,
        Config, ConnectionInfo, Hosting, Status,
        session::{self, Handshake, WebSocket},
    };
    use rpc_testing::{Authority, SOON, slow_link};
    use tokio_rustls::{
        TlsConnector,
        rustls::{
            ClientConfig, RootCertStore,
            pki_types::{CertificateDer, pem::PemObject},
        },
    };

    use super::*;
    use crate::tls::Tls;

    /// The bytes that a session without TLS must move in each second: 64 KiB in 30 seconds.
    const SLOWEST: usize = 64 * 1024 / 30;

    #[rpc_core::service]
    trait Press {
        async fn print(&self, length: usize) -> Result<String, Status>;
    }

    struct Printer;

    impl Press for Printer {
        async fn print(&self, length: usize) -> Result<String, Status> {
            Ok("x".repeat(length))
        }
    }

    /// The library encrypts ahead of the socket, and what it has taken counts as sent. A session on a slow link must
    /// not seem stuck while that goes out.
    #[tokio::test(start_paused = true)]
    async fn a_slow_link_is_not_taken_for_one_that_is_stuck() {
        let authority = Authority::new("test");
        let identity = authority.server(&["localhost"]);
        let tls = Tls::from_pem(&identity.certificates, &identity.key).unwrap();
        let acceptor = TlsAcceptor::from(tls.loaded().config);
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(trusted).with_no_client_auth()));
        let (near, far) = slow_link(SLOWEST);
        let accepting = accept(&acceptor, near, None);
        let connecting = connector.connect("localhost".try_into().unwrap(), far);
        let (accepted, connected) = tokio::join!(accepting, connecting);

        let config = Config::default();
        let hosting = Hosting::builder().service(Printer.serve()).build().unwrap();
        let transport = WebSocket::client(connected.unwrap(), [][..].into(), &config);
        let (client, driver) = session::connect(transport, &Hosting::default(), &config, ConnectionInfo::default());
        tokio::spawn(driver);
        let transport = WebSocket::server(accepted.unwrap().0, [][..].into(), &config);
        let (_server, driver) =
            Handshake::read(transport, &config).await.unwrap().accept(&hosting, ConnectionInfo::default());
        tokio::spawn(driver);
        client.established().await.unwrap();
        let press: PressClient = client.client();
        let printed = timeout(SOON * 10, press.print(60_000)).await.unwrap();
        assert_eq!(printed.map(|text| text.len()), Ok(60_000));
    }
}
