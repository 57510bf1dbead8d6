//! `ConnectionInfo`: what is known of a connection besides the protocol.

use std::net::SocketAddr;

/// What is known of a connection from its upgrade; all empty where there was none.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The other side's address.
    pub peer_addr: Option<SocketAddr>,
    /// The headers of the HTTP upgrade request, at a server.
    pub headers: http::HeaderMap,
    /// Typed values that the layers around the upgrade have added, for instance who the client is.
    pub extensions: http::Extensions,
}

impl ConnectionInfo {
    /// With the other side's address.
    #[must_use]
    pub fn with_peer_addr(mut self, addr: SocketAddr) -> Self {
        self.peer_addr = Some(addr);
        self
    }

    /// With the headers of the upgrade request.
    #[must_use]
    pub fn with_headers(mut self, headers: http::HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// With typed values.
    #[must_use]
    pub fn with_extensions(mut self, extensions: http::Extensions) -> Self {
        self.extensions = extensions;
        self
    }
}
