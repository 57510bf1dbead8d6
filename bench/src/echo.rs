//! A bare tokio-tungstenite echo: all that is ready is fed, then flushed once.

use std::{
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{Outcome, announce};
use futures::{Sink, SinkExt, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};

/// As long as the packet of one of our calls.
const MESSAGE: usize = 20;

/// With a read buffer as long as what a session reads at once.
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

/// Sends back all messages that are there, and flushes once. Waits for the first one; 0 is the end.
async fn answer_ready(
    socket: &mut WebSocketStream<TcpStream>,
    mut answer: impl FnMut(Message) -> Message,
) -> Result<usize, Error> {
    let mut count = 0;
    std::future::poll_fn(|cx| {
        loop {
            match Pin::new(&mut *socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    Pin::new(&mut *socket).start_send(answer(message))?;
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
