//! The server: an echo at every path.

use std::{error::Error, net::SocketAddr};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rpc_server::raw::{RawSocket, websocket};
use tokio::net::TcpListener;
use tower_service::Service;

use crate::limits;

/// Serves until Ctrl-C.
pub(crate) async fn serve(port: u16) -> Result<(), Box<dyn Error + Send + Sync>> {
    println!("Echoing at ws://{}/ until Ctrl-C.", listen(port).await?);
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// Serves in the background, as long as the program runs.
pub(crate) async fn listen(port: u16) -> Result<SocketAddr, Box<dyn Error + Send + Sync>> {
    let service = websocket(echo).limits(limits());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, peer)) = listener.accept().await {
            // Messages are whole when they are written; waiting to fill a segment would only delay them.
            let _ = socket.set_nodelay(true);
            let service = service.clone();
            let answer = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                service.clone().call(request)
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer).with_upgrades());
        }
    });
    Ok(addr)
}

/// Echoes until the client closes, or one of the sides gives up.
async fn echo(mut socket: RawSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
