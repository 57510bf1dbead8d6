//! The two transports, `ws://` and `wss://`: servers that speak bytes, and what connects to them.

use std::{net::SocketAddr, sync::Arc};

use rpc_client::Tls;
use rpc_core::__tls::provider;
use rpc_server::{ServerBuilder, ServerHandle};
use rpc_testing::{Authority, Identity, Link};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// `ws://`, or `wss://` with certificates of its own. The servers are called localhost.
#[derive(Clone)]
pub(crate) struct Transport(Option<Secrets>);

#[derive(Clone)]
struct Secrets {
    /// What clients show that trust the servers.
    tls: Tls,
    identity: Identity,
    acceptor: TlsAcceptor,
}

impl Transport {
    pub(crate) fn ws() -> Self {
        Self(None)
    }

    pub(crate) fn wss() -> Self {
        let authority = Authority::new("test");
        let identity = authority.server(&["localhost"]);
        let certificate = CertificateDer::from_pem_slice(identity.certificates.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self(Some(Secrets { tls: Tls::builder().ca(authority.pem()).build().unwrap(), identity, acceptor }))
    }

    /// What a client needs to trust the servers; `None` for `ws://`.
    pub(crate) fn tls(&self) -> Option<Tls> {
        self.0.as_ref().map(|secrets| secrets.tls.clone())
    }

    pub(crate) fn url(&self, server: SocketAddr) -> String {
        let scheme = if self.0.is_some() { "wss" } else { "ws" };
        format!("{scheme}://localhost:{}/", server.port())
    }

    /// A server that keeps the rules.
    pub(crate) async fn listen(&self, builder: ServerBuilder) -> ServerHandle {
        match &self.0 {
            None => builder.listen("127.0.0.1:0").await.unwrap(),
            Some(Secrets { identity, .. }) => {
                let tls = rpc_server::Tls::from_pem(&identity.certificates, &identity.key).unwrap();
                builder.listen_tls("127.0.0.1:0", tls).await.unwrap()
            }
        }
    }

    /// The next client's connection. Over `wss://` the handshake of TLS has been done.
    pub(crate) async fn accept(&self, listener: &TcpListener) -> Link {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        match &self.0 {
            None => Box::new(stream),
            Some(Secrets { acceptor, .. }) => Box::new(acceptor.accept(stream).await.unwrap()),
        }
    }
}
