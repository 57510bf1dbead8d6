//! `Bare`: a connection that has been upgraded, without the layers of HTTP.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

use crate::http_stream::HttpStream;

/// A connection that has been upgraded, and what has come behind the head of the request. A bare socket needs none of
/// the layers that HTTP puts around it, and is faster without them. Around any other stream, the layers stay.
pub(crate) enum Bare {
    Tcp(TcpStream, Bytes),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>, Bytes),
    Other(TokioIo<Upgraded>),
}

impl Bare {
    /// `None` if the stream has been taken out already.
    pub(crate) fn of(upgraded: Upgraded) -> Option<Self> {
        // A listener of this crate.
        let upgraded = match upgraded.downcast::<TokioIo<HttpStream<TcpStream>>>() {
            Ok(parts) => {
                let (io, ahead) = parts.io.inner().take()?;
                return Some(Self::Tcp(io, joined(parts.read_buf, &ahead)));
            }
            Err(upgraded) => upgraded,
        };
        #[cfg(feature = "tls")]
        let upgraded = match upgraded.downcast::<TokioIo<HttpStream<TlsStream<TcpStream>>>>() {
            Ok(parts) => {
                let (io, ahead) = parts.io.inner().take()?;
                return Some(Self::Tls(Box::new(io), joined(parts.read_buf, &ahead)));
            }
            Err(upgraded) => upgraded,
        };
        // Another HTTP server.
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => return Some(Self::Tcp(parts.io.into_inner(), parts.read_buf)),
            Err(upgraded) => upgraded,
        };
        #[cfg(feature = "tls")]
        let upgraded = match upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() {
            Ok(parts) => return Some(Self::Tls(Box::new(parts.io.into_inner()), parts.read_buf)),
            Err(upgraded) => upgraded,
        };
        Some(Self::Other(TokioIo::new(upgraded)))
    }
}

fn joined(read: Bytes, ahead: &[u8]) -> Bytes {
    if ahead.is_empty() { read } else { [&read, ahead].concat().into() }
}
