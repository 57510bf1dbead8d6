//! A bare tokio-tungstenite echo: all that is ready is fed, then flushed once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Outcome, announce, answer_ready};
use futures::SinkExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// As long as the packet of one of our calls.
const MESSAGE: usize = 20;

/// With our read buffer.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(32 * 1024)
}

pub(crate) async fn serve() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?)?;
    let (socket, _) = listener.accept().await?;
    socket.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async_with_config(socket, Some(config())).await?;
    while let Ok(count) = answer_ready(&mut socket, |message| message).await {
        if count == 0 {
            break;
        }
    }
    Ok(())
}

pub(crate) async fn call(addr: &str, in_flight: usize, time: Duration) -> Outcome<f64> {
    let socket = TcpStream::connect(addr).await?;
    socket.set_nodelay(true)?;
    let url = format!("ws://{addr}/");
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, socket, Some(config())).await?;
    for _ in 0..in_flight {
        socket.feed(Message::Binary(Bytes::from(vec![7; MESSAGE]))).await?;
    }
    socket.flush().await?;
    rounds(&mut socket, time / 5).await?;
    rounds(&mut socket, time).await
}

async fn rounds(socket: &mut WebSocketStream<TcpStream>, time: Duration) -> Outcome<f64> {
    let (start, mut made) = (Instant::now(), 0);
    while start.elapsed() < time {
        made += answer_ready(socket, |message| {
            assert_eq!(message.len(), MESSAGE);
            message
        })
        .await?;
    }
    Ok(made as f64 / start.elapsed().as_secs_f64())
}
