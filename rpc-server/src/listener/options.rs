//! `ListenOptions`: what is special about one address at which a server listens.

use super::security::Security;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// What is special about one address at which a server listens: [`Server::listen_with`](crate::Server::listen_with) and
/// [`ServerBuilder::listen_with`](crate::ServerBuilder::listen_with).
///
/// ```
/// use rpc_server::{ListenOptions, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().trusted_proxies(["10.0.0.0/8"]).build()?;
/// let listener = server.listen_with("127.0.0.1:0", ListenOptions::new().proxy_protocol(true)).await?;
/// # drop(listener);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options have no effect before `Server::listen_with`"]
pub struct ListenOptions {
    pub(super) proxy_protocol: bool,
    pub(super) security: Security,
}

impl ListenOptions {
    /// The options that [`Server::listen`](crate::Server::listen) uses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether proxies say by the PROXY protocol (versions 1 and 2) for whom they connect. Default false.
    ///
    /// If so, a connection from one of [`trusted_proxies`](crate::ServerBuilder::trusted_proxies) must begin with the
    /// protocol's header, within [`Config::upgrade_timeout`](rpc_core::Config::upgrade_timeout); otherwise the server
    /// closes the connection. The client's address is the session's [`peer_addr`](rpc_core::Session::peer_addr), and
    /// counts under the cap of each address. If the protocol's header names no client, because the proxy connects for
    /// itself or does not know, `X-Forwarded-For` is not read. On a connection from elsewhere the server expects no
    /// such header. In HTTP the header is a request that is not valid, and the answer is 400. A server without
    /// `trusted_proxies` does not listen this way:
    /// [`ListenError::NoTrustedProxies`](crate::ListenError::NoTrustedProxies).
    pub fn proxy_protocol(mut self, is_spoken: bool) -> Self {
        self.proxy_protocol = is_spoken;
        self
    }

    /// Has clients connect by TLS, to `wss://` and `https://` URLs: [`Server::listen_tls`](crate::Server::listen_tls)
    /// says how. A header of the PROXY protocol comes before the handshake of TLS. Of several calls the last one
    /// counts.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.security = Security::Tls(tls);
        self
    }
}
