//! `DialSettings`: what the builders of sessions and of raw WebSockets share.

#[cfg(unix)]
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{carrier::Carrier, own::Opener};
use crate::{error::ConnectError, proxy::Proxy, tls::Tls};

/// Headers that the handshake sets itself (RFC 6455 §4.1). The handshake offers no extensions.
const OWN_HEADERS: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// Where a connection leads, what carries it, and with which request. An error of a header is kept until the settings
/// are used.
pub(crate) struct DialSettings {
    pub(crate) url: String,
    pub(crate) carrier: Carrier,
    pub(crate) tls: Option<Tls>,
    pub(crate) headers: Result<HeaderMap, ConnectError>,
}

impl DialSettings {
    pub(crate) fn new(url: String) -> Self {
        Self { url, carrier: Carrier::Tcp(None), tls: None, headers: Ok(HeaderMap::new()) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers = self.headers.and_then(|headers| with_header(headers, name, value));
        self
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    pub(crate) fn proxy(self, proxy: Proxy) -> Self {
        Self { carrier: Carrier::Tcp(Some(proxy)), ..self }
    }

    pub(crate) fn over(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { carrier: Carrier::Own(Box::new(stream)), ..self }
    }

    pub(crate) fn over_with(self, open: Opener) -> Self {
        Self { carrier: Carrier::Opened(open), ..self }
    }

    #[cfg(unix)]
    pub(crate) fn unix(self, path: PathBuf) -> Self {
        Self { carrier: Carrier::Unix(path), ..self }
    }
}

/// Adds a header, unless it is not valid or the handshake forbids it.
fn with_header(mut headers: HeaderMap, name: &str, value: &str) -> Result<HeaderMap, ConnectError> {
    let bad = |why: String| ConnectError::Header { name: name.to_owned(), why };
    let valid_name = HeaderName::try_from(name).map_err(|error| bad(error.to_string()))?;
    if let Some(why) = forbids(&valid_name) {
        return Err(bad(why.to_owned()));
    }
    let valid =
        HeaderValue::try_from(value).map_err(|_| bad("its value has bytes that a header may not have".into()))?;
    headers.append(valid_name, valid);
    Ok(headers)
}

/// Says why a header may not be added to the handshake, if it may not.
fn forbids(header: &HeaderName) -> Option<&'static str> {
    match *header {
        ref own if OWN_HEADERS.contains(own) => Some("the WebSocket handshake sets it"),
        // A server would wait for a body, and take the first packets as the body.
        header::CONTENT_LENGTH | header::TRANSFER_ENCODING => Some("a request for a WebSocket has no body"),
        _ => None,
    }
}
