//! WebSockets of peers that are no session.

use std::net::SocketAddr;

use rpc_core::session::SUBPROTOCOL;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        client::IntoClientRequest,
        handshake::server::{Request, Response},
        http::HeaderValue,
    },
};

/// What a peer that speaks bytes writes to and reads from: TCP, or TLS on top of it.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Either of the two.
pub type Link = Box<dyn Io>;

/// The next client's WebSocket, which speaks this project's protocol.
pub async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (socket, _) = listener.accept().await.unwrap();
    // What such a peer writes in two pieces does not wait for an acknowledgement, which takes 40 ms.
    socket.set_nodelay(true).unwrap();
    #[allow(clippy::result_large_err, reason = "the library's signature")]
    let agree = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    accept_hdr_async(socket, agree).await.unwrap()
}

/// A WebSocket to the server at this address, which speaks this project's protocol.
pub async fn join(server: SocketAddr) -> WebSocketStream<TcpStream> {
    let mut request = format!("ws://{server}/").into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let socket = TcpStream::connect(server).await.unwrap();
    socket.set_nodelay(true).unwrap();
    client_async(request, socket).await.unwrap().0
}
