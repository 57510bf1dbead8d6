//! The two transports, `ws://` and `wss://`: a test that is written once runs over both.

#![allow(dead_code, reason = "each test program uses its part")]

mod secure;

use std::{io, net::SocketAddr};

use rpc_client::{ConnectBuilder, Tls};
use rpc_core::Stub;
use rpc_server::{ServerBuilder, ServerHandle};
use rpc_testing::{Authority, Identity, Link};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::TLS13;

use self::secure::secure;
use crate::raw::Raw;

/// `ws://`, or `wss://` with certificates of its own. The server is called localhost.
#[derive(Clone, Debug)]
pub(crate) struct Transport(Option<Secrets>);

#[derive(Clone, Debug)]
struct Secrets {
    /// The certificate of the authority that clients trust.
    authority: String,
    identity: Identity,
}

impl Transport {
    pub(crate) fn ws() -> Self {
        Self(None)
    }

    pub(crate) fn wss() -> Self {
        let authority = Authority::new("test");
        let identity = authority.server(&["localhost"]);
        Self(Some(Secrets { authority: authority.pem(), identity }))
    }

    /// The transport of a server that has this certificate; `ws://` without one.
    pub(crate) fn of_server(identity: Option<Identity>) -> Self {
        Self(identity.map(|identity| Secrets { authority: String::new(), identity }))
    }

    /// The certificate of the server; `None` for `ws://`.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.0.as_ref().map(|secrets| &secrets.identity)
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) async fn listen(&self, builder: ServerBuilder) -> ServerHandle {
        match &self.0 {
            None => builder.listen("127.0.0.1:0").await.unwrap(),
            #[cfg(feature = "tls")]
            Some(Secrets { identity, .. }) => {
                let tls = rpc_server::Tls::from_pem(&identity.certificates, &identity.key).unwrap();
                builder.listen_tls("127.0.0.1:0", tls).await.unwrap()
            }
            #[cfg(not(feature = "tls"))]
            Some(_) => unreachable!("there are no tests over wss"),
        }
    }

    pub(crate) fn url(&self, server: SocketAddr, path: &str) -> String {
        let scheme = if self.is_tls() { "wss" } else { "ws" };
        format!("{scheme}://localhost:{}{path}", server.port())
    }

    /// What connects to this [`url`](Self::url), and trusts the server.
    pub(crate) fn trusting<S: Stub>(&self, connecting: ConnectBuilder<S>) -> ConnectBuilder<S> {
        match &self.0 {
            None => connecting,
            Some(secrets) => connecting.tls(Tls::builder().ca(&secrets.authority).build().unwrap()),
        }
    }

    /// A raw peer that has said nothing, except the handshake of TLS.
    pub(crate) async fn peer(&self, server: SocketAddr) -> Raw<Link> {
        self.try_peer(server).await.unwrap()
    }

    /// As [`peer`](Self::peer), if the server agrees to the handshake of TLS.
    pub(crate) async fn try_peer(&self, server: SocketAddr) -> io::Result<Raw<Link>> {
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Raw(match &self.0 {
            None => Box::new(stream),
            Some(secrets) => Box::new(secure(stream, &secrets.authority, &TLS13, &["http/1.1"]).await?),
        }))
    }
}
