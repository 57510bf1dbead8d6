//! Bare tokio-tungstenite, with tokio-rustls for TLS: an echo server, and a client that reads.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use common::{Outcome, announce};
use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::part::Questions;

/// As long as the packet of one of our calls.
const MESSAGE: usize = 20;

/// With our read buffer.
fn config() -> Option<WebSocketConfig> {
    Some(WebSocketConfig::default().read_buffer_size(32 * 1024))
}

pub(crate) async fn serve(identity: Option<(String, String)>) -> Outcome<()> {
    let tls = identity.map(|(certificate, key)| acceptor(&certificate, &key)).transpose()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?)?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            match tls.clone() {
                None => drop(tokio::spawn(accept(socket))),
                Some(tls) => drop(tokio::spawn(async move { accept(tls.accept(socket).await?).await })),
            }
        }
    });
    Questions.until_end().await
}

fn acceptor(certificate: &str, key: &str) -> Outcome<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Agrees on the WebSocket. The echo has a task of its own, in which the handshakes take no room.
async fn accept<IO>(stream: IO) -> Outcome<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let socket = accept_async_with_config(stream, config()).await?;
    tokio::spawn(echo(socket));
    Ok(())
}

async fn echo(mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>) -> Outcome<()> {
    while let Some(message) = socket.next().await {
        socket.send(message?).await?;
    }
    Ok(())
}

pub(crate) async fn call(addr: &str, certificate: Option<String>) -> Outcome<()> {
    let tls = certificate.map(|certificate| connector(&certificate)).transpose()?;
    let addr: SocketAddr = addr.parse()?;
    let open = move || {
        let tls = tls.clone();
        async move {
            let socket = TcpStream::connect(addr).await?;
            match tls {
                None => hold(client_async_with_config(format!("ws://{addr}/"), socket, config()).await?.0).await,
                Some(tls) => {
                    let stream = tls.connect(ServerName::from(addr.ip()), socket).await?;
                    hold(client_async_with_config(format!("wss://{addr}/"), stream, config()).await?.0).await
                }
            }
        }
    };
    Questions.hold(open).await
}

fn connector(certificate: &str) -> Outcome<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Has one message echoed. Then a task waits for what comes, as a session's driver does.
async fn hold<IO>(mut socket: WebSocketStream<IO>) -> Outcome<JoinHandle<()>>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let message = Message::Binary(Bytes::from_static(&[7; MESSAGE]));
    socket.send(message.clone()).await?;
    assert_eq!(socket.next().await.transpose()?, Some(message));
    Ok(tokio::spawn(async move { while socket.next().await.is_some_and(|message| message.is_ok()) {} }))
}
