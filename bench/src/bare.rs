//! A bare WebSocket over TCP, without any protocol in it: what others are measured against.

use std::{net::SocketAddr, pin::Pin, task::Poll};

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};

use crate::{Outcome, announce};

/// Bytes of a small message: as many as the packet of a small call has.
pub const MESSAGE: usize = 20;

/// With a read buffer as long as what a session reads at once.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(32 * 1024)
}

/// Listens, says where, and accepts one connection.
pub async fn accept_one() -> Outcome<WebSocketStream<TcpStream>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?)?;
    accept(listener.accept().await?.0, config()).await
}

/// Does the server's part of the upgrade.
pub async fn accept(socket: TcpStream, config: WebSocketConfig) -> Outcome<WebSocketStream<TcpStream>> {
    socket.set_nodelay(true)?;
    Ok(tokio_tungstenite::accept_async_with_config(socket, Some(config)).await?)
}

/// Connects to where [`accept_one`] listens.
pub async fn connect_one(addr: &str) -> Outcome<WebSocketStream<TcpStream>> {
    connect(addr.parse()?, config()).await
}

/// Connects, and does the client's part of the upgrade.
pub async fn connect(addr: SocketAddr, config: WebSocketConfig) -> Outcome<WebSocketStream<TcpStream>> {
    let socket = TcpStream::connect(addr).await?;
    socket.set_nodelay(true)?;
    let url = format!("ws://{addr}/");
    Ok(tokio_tungstenite::client_async_with_config(url, socket, Some(config)).await?.0)
}

/// Answers all messages that are there, and flushes once; `None` answers nothing. Waits for the first message, and
/// gives the number of messages; 0 is the end.
pub async fn answer_ready(
    socket: &mut WebSocketStream<TcpStream>,
    mut answer: impl FnMut(Message) -> Option<Message>,
) -> Result<usize, Error> {
    let mut count = 0;
    std::future::poll_fn(|cx| {
        loop {
            match Pin::new(&mut *socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    if let Some(answer) = answer(message) {
                        Pin::new(&mut *socket).start_send(answer)?;
                    }
                    count += 1;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if count == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    })
    .await?;
    socket.flush().await?;
    Ok(count)
}

/// Sends and receives `count` messages of `size` bytes in one task, without a lock between the directions.
pub async fn both_ways(socket: &mut WebSocketStream<TcpStream>, size: usize, count: usize) -> Result<(), Error> {
    let message = Bytes::from(vec![7; size]);
    let (mut sent, mut received) = (0, 0);
    std::future::poll_fn(|cx| {
        let mut socket = Pin::new(&mut *socket);
        loop {
            let mut moved = false;
            if received < count {
                match socket.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(message))) => {
                        assert_eq!(message.len(), size);
                        received += 1;
                        moved = true;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Err(Error::ConnectionClosed)),
                    Poll::Pending => {}
                }
            }
            match socket.as_mut().poll_ready(cx)? {
                Poll::Ready(()) if sent < count => {
                    socket.as_mut().start_send(Message::Binary(message.clone()))?;
                    sent += 1;
                    moved = true;
                }
                _ => {}
            }
            let flushed = socket.as_mut().poll_flush(cx)?.is_ready();
            if sent == count && received == count && flushed {
                return Poll::Ready(Ok(()));
            }
            if !moved {
                return Poll::Pending;
            }
        }
    })
    .await
}
