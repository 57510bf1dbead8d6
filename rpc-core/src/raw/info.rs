//! `RawInfo`: how a WebSocket came about. `Role`: which end it is.

use std::fmt;

use http::Uri;

use crate::peer::ConnectionInfo;

/// What is known of a WebSocket from its handshake; everything is empty where there was no handshake.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RawInfo {
    /// The address and the headers.
    pub connection: ConnectionInfo,
    /// The target of the request, with path and query: `/chat?room=5`. A client has its whole URL here.
    pub uri: Uri,
    /// The sub-protocol that both sides agreed on, if they did.
    pub protocol: Option<String>,
}

/// Which end of a WebSocket this is. A client masks its frames, and a server does not (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that has accepted the connection.
    Server,
    /// The end that has connected.
    Client,
}

impl fmt::Debug for RawInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a token.
        f.debug_struct("RawInfo")
            .field("connection", &self.connection)
            .field("path", &self.uri.path())
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl RawInfo {
    /// Puts the facts together.
    pub fn new(connection: ConnectionInfo, uri: Uri, protocol: Option<String>) -> Self {
        Self { connection, uri, protocol }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_not_shown() {
        let info = RawInfo::new(ConnectionInfo::default(), Uri::from_static("/chat?token=hunter2"), None);
        let shown = format!("{info:?}");
        assert!(shown.contains("/chat") && !shown.contains("hunter2"), "{shown}");
    }
}
