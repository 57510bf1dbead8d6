//! The port: connections by plain HTTP or by TLS, as axum takes them.

use std::{future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::Outcome;

/// How long the handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many connections may be in that handshake at once. More wait in the system's queue.
const HANDSHAKES: usize = 256;

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub struct Client {
    /// The address of the other end.
    pub addr: SocketAddr,
    /// Whether the connection is by TLS.
    pub is_encrypted: bool,
}

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> Stream for IO {}

/// A port of this machine. Dropping it closes it.
#[derive(Debug)]
pub struct Door {
    addr: SocketAddr,
    is_encrypted: bool,
    ready: mpsc::Receiver<(Box<dyn Stream>, Client)>,
    /// Dropping it ends the accepting task.
    _accepting: JoinSet<()>,
}

impl Door {
    /// Listens, with TLS if there is an acceptor. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`].
    pub async fn open(addr: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let (addr, is_encrypted) = (listener.local_addr()?, tls.is_some());
        let (sender, ready) = mpsc::channel(1);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, sender));
        Ok(Self { addr, is_encrypted, ready, _accepting: accepting })
    }

    /// The address, with the port that the system chose if port 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Listener for Door {
    type Io = Box<dyn Stream>;
    type Addr = Client;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task ends with its runtime only.
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Client> {
        Ok(Client { addr: self.addr, is_encrypted: self.is_encrypted })
    }
}

impl Connected<IncomingStream<'_, Door>> for Client {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Takes the certificate with its chain, and its key, each in PEM.
///
/// # Errors
///
/// If there is no certificate or no key in these texts, or they do not belong together.
pub fn acceptor(certificates: &[u8], key: &[u8]) -> Outcome<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    let mut config = config.with_single_cert(chain, key)?;
    // WebSockets begin with HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts for ever. A client that is slow with its handshake holds up no other.
async fn accept(mut listener: TcpListener, tls: Option<TlsAcceptor>, ready: mpsc::Sender<(Box<dyn Stream>, Client)>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        // Axum's own way waits and tries again when it fails.
        let (socket, addr) = Listener::accept(&mut listener).await;
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            let client = Client { addr, is_encrypted: tls.is_some() };
            if let Some(stream) = shake_hands(socket, tls).await {
                // It fails if the door has been closed.
                let _ = ready.send((stream, client)).await;
            }
            drop(place);
        });
    }
}

async fn shake_hands(socket: TcpStream, tls: Option<TlsAcceptor>) -> Option<Box<dyn Stream>> {
    // Messages are whole when they are written; waiting to fill a segment would only delay them.
    let _ = socket.set_nodelay(true);
    match tls {
        None => Some(Box::new(socket)),
        Some(tls) => Some(Box::new(timeout(HANDSHAKE, tls.accept(socket)).await.ok()?.ok()?)),
    }
}
