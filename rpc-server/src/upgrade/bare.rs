//! `Bare`: a connection that has been upgraded, without the layers of HTTP. `take_over`: gets it from the HTTP server.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use rpc_core::{logging::LogLimit, text::excerpt_of};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

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

/// Takes the connection over from the HTTP server that has answered its request with 101, within `limit` and before the
/// server's end, which `overdue` tells. `None` if that fails; the log says why, and names the upgrade with `what`.
pub(crate) async fn take_over(
    on_upgrade: OnUpgrade,
    limit: Duration,
    overdue: impl Future<Output = ()>,
    peer_addr: Option<SocketAddr>,
    what: &str,
) -> Option<Bare> {
    let peer = peer_addr.map(tracing::field::display);
    let upgraded = tokio::select! {
        upgraded = timeout(limit, on_upgrade) => upgraded,
        () = overdue => {
            debug!(peer, "the {what} took longer than the end of the server");
            return None;
        }
    };
    match upgraded {
        // An upgraded connection has its stream until here.
        Ok(Ok(upgraded)) => return Bare::of(upgraded),
        // The request itself does not show whether the HTTP server will hand the connection over.
        Ok(Err(error)) if error.is_user() => {
            static HELD: LogLimit = LogLimit::new();
            if let Some(more) = HELD.admit(Instant::now().into_std()) {
                warn!(
                    peer,
                    "the HTTP server around does not let go of the connection; with hyper: serve_connection(..).with_upgrades() \
                     ({error}){more}"
                );
            }
        }
        Ok(Err(error)) => debug!(peer, "{what} failed: {}", excerpt_of(&error)),
        Err(_) => debug!(peer, "{what} timed out"),
    }
    None
}

fn joined(read: Bytes, ahead: &[u8]) -> Bytes {
    if ahead.is_empty() { read } else { [&read, ahead].concat().into() }
}
