//! `bare`: takes the layers of HTTP off a connection that has been upgraded.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

use crate::http_stream::HttpStream;

/// What becomes of an upgraded connection.
pub(crate) trait Serve {
    /// Serves the connection to its end. `leftover` has come behind the head of the request.
    fn serve<IO>(self, io: IO, leftover: Bytes) -> impl Future<Output = ()> + Send
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static;
}

/// Serves a connection. A bare socket needs none of the layers that HTTP puts around it, and is faster without them.
/// Around any other stream, the layers stay.
pub(crate) async fn bare(upgraded: Upgraded, serve: impl Serve) {
    // A listener of this crate.
    let upgraded = match upgraded.downcast::<TokioIo<HttpStream<TcpStream>>>() {
        Ok(parts) => return taken(parts.io.into_inner(), &parts.read_buf, serve).await,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match upgraded.downcast::<TokioIo<HttpStream<TlsStream<TcpStream>>>>() {
        Ok(parts) => return taken(parts.io.into_inner(), &parts.read_buf, serve).await,
        Err(upgraded) => upgraded,
    };
    // Another HTTP server.
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return serve.serve(parts.io.into_inner(), parts.read_buf).await,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() {
        Ok(parts) => return serve.serve(parts.io.into_inner(), parts.read_buf).await,
        Err(upgraded) => upgraded,
    };
    serve.serve(TokioIo::<Upgraded>::new(upgraded), Bytes::new()).await;
}

/// Serves the connection of a listener.
async fn taken<IO>(stream: HttpStream<IO>, read: &[u8], serve: impl Serve)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // An upgraded connection has its stream until here.
    let Some((io, ahead)) = stream.take() else { return };
    serve.serve(io, [read, &ahead].concat().into()).await;
}
