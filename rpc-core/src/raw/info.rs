//! `RawInfo`: how a WebSocket came about. `Role`: which end it is.

use http::Uri;

use crate::peer::ConnectionInfo;

/// What is known of a WebSocket from its handshake; everything is empty where there was no handshake.
#[derive(Clone, Debug, Default)]
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

impl RawInfo {
    /// Puts the facts together.
    pub fn new(connection: ConnectionInfo, uri: Uri, protocol: Option<String>) -> Self {
        Self { connection, uri, protocol }
    }
}
