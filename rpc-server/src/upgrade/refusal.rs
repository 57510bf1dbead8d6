//! `Refusal`: why a request is not upgraded, and what a person can do about it.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rpc_core::{ConnectionError, ConnectionInfo, Hosting, Status, session::SUBPROTOCOL};

use super::body::UpgradeBody;
use crate::auth::{AuthError, AuthErrorKind};

/// Why a request is not upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Method,
    HttpVersion,
    NoUpgrade,
    /// As `NoUpgrade`, where no contract is served.
    #[cfg(feature = "raw")]
    NoRawUpgrade,
    Body,
    Host,
    Target,
    Misdirected,
    WebSocketVersion,
    Key,
    SubProtocol,
    Origin,
    Full,
    ShuttingDown,
    NotUpgradable,
    TooLarge,
    TooManyHeaders,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion | Self::Body | Self::Host | Self::Target | Self::Key | Self::SubProtocol => {
                StatusCode::BAD_REQUEST
            }
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            #[cfg(feature = "raw")]
            Self::NoRawUpgrade => StatusCode::UPGRADE_REQUIRED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Full | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotUpgradable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooLarge | Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    /// One or two sentences for a person.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Method => "A WebSocket starts with a GET request (RFC 6455 4.1). Use a WebSocket client.\n",
            Self::HttpVersion => {
                "A WebSocket starts with an HTTP/1.1 request (RFC 6455 4.1). If a proxy stands in between, let it speak HTTP/1.1 \
                 to this server.\n"
            }
            Self::NoUpgrade => {
                "This is a Duplex RPC endpoint, not a web page. Connect with a Duplex RPC client, for instance to the same \
                 address with ws:// in front. If you did, a proxy in between has removed the headers Upgrade and Connection.\n"
            }
            #[cfg(feature = "raw")]
            Self::NoRawUpgrade => {
                "This is a WebSocket endpoint, not a web page. Connect with a WebSocket client, for instance to the same address \
                 with ws:// in front. If you did, a proxy in between has removed the headers Upgrade and Connection.\n"
            }
            Self::Body => {
                "A request for a WebSocket has no body. Leave the headers Content-Length and Transfer-Encoding out.\n"
            }
            Self::Host => "The header Host must come once (RFC 9112 3.2).\n",
            Self::Target => "The host in the target of the request must be that in the header Host (RFC 9112 3.2).\n",
            Self::Misdirected => {
                "This server is not reached under the name in the header Host. Its operator can allow the name with \
                 allow_host.\n"
            }
            Self::WebSocketVersion => "This server speaks version 13 of the WebSocket protocol (RFC 6455 4.4).\n",
            Self::Key => "The header Sec-WebSocket-Key must come once and hold 16 bytes in base64 (RFC 6455 4.1).\n",
            Self::SubProtocol => {
                "None of the offered WebSocket sub-protocols is served here. Served: duplex-rpc.v1 (header \
                 Sec-WebSocket-Protocol).\n"
            }
            Self::Origin => {
                "Web pages of this origin may not connect. The server's operator can allow it with allow_origin.\n"
            }
            Self::Full => {
                "The server has too many connections, in all or from this address. Try again when some have ended; its \
                 operator can raise max_connections and max_connections_per_address.\n"
            }
            Self::ShuttingDown => "The server is shutting down. Connect again in a moment.\n",
            Self::NotUpgradable => {
                "The HTTP server in front of this service does not support upgrades. Its operator must enable them; with hyper: \
                 serve_connection(..).with_upgrades().\n"
            }
            Self::TooLarge => {
                "The headers of the request are larger than 64 KiB (RFC 6585 5). Send fewer or shorter ones.\n"
            }
            Self::TooManyHeaders => {
                "The request has too many headers (RFC 6585 5). Send fewer; the server's operator can allow more with \
                 max_headers.\n"
            }
        }
    }

    /// Tells observers of a connection that is turned away before its request is read.
    pub(crate) fn tell(self, hosting: &Hosting, peer_addr: Option<SocketAddr>) {
        let Some(reason) = self.reason() else { return };
        let info = || match peer_addr {
            Some(peer_addr) => ConnectionInfo::default().with_peer_addr(peer_addr),
            None => ConnectionInfo::default(),
        };
        hosting.__session_failed(info, &reason);
    }

    /// Why a client gets no session, for observers; `None` for a request that does not ask for a WebSocket.
    pub(super) fn reason(self) -> Option<ConnectionError> {
        let text = self.text().trim_end();
        let status = match self {
            Self::Method | Self::HttpVersion | Self::NoUpgrade => return None,
            #[cfg(feature = "raw")]
            Self::NoRawUpgrade => return None,
            Self::Origin => Status::permission_denied(text),
            Self::Full | Self::ShuttingDown => Status::unavailable(text),
            Self::NotUpgradable => Status::internal(text),
            Self::Body
            | Self::Host
            | Self::Target
            | Self::Misdirected
            | Self::WebSocketVersion
            | Self::Key
            | Self::SubProtocol
            | Self::TooLarge
            | Self::TooManyHeaders => Status::invalid_argument(text),
        };
        Some(ConnectionError::RefusedPeer(status))
    }

    pub(crate) fn response(self) -> Response<UpgradeBody> {
        let mut response = Response::new(UpgradeBody::text(self.text()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NoUpgrade | Self::WebSocketVersion => say_what_to_ask_for(headers),
            #[cfg(feature = "raw")]
            Self::NoRawUpgrade => say_what_to_ask_for(headers),
            Self::SubProtocol => {
                headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
            }
            Self::HttpVersion
            | Self::Body
            | Self::Host
            | Self::Target
            | Self::Misdirected
            | Self::Key
            | Self::Origin
            | Self::Full
            | Self::ShuttingDown
            | Self::NotUpgradable
            | Self::TooLarge
            | Self::TooManyHeaders => {}
        }
        response
    }
}

/// RFC 9110 §15.5.22 asks for the first two headers, RFC 6455 §4.4 for the third.
fn say_what_to_ask_for(headers: &mut HeaderMap) {
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
}

/// The answer to a client that the authenticator refuses.
pub(super) fn denied(error: &AuthError) -> Response<UpgradeBody> {
    let mut response = Response::new(UpgradeBody::text(format!("{error}\n")));
    *response.status_mut() = match error.kind() {
        AuthErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        AuthErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        AuthErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        AuthErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        AuthErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if error.kind() == AuthErrorKind::Unauthenticated {
        // RFC 9110 §15.5.2 asks for a challenge.
        let challenge = HeaderValue::try_from(error.challenge());
        headers.insert(header::WWW_AUTHENTICATE, challenge.unwrap_or_else(|_| HeaderValue::from_static("Bearer")));
    }
    if let Some(seconds) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
