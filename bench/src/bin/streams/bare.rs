//! Bare tokio-tungstenite: an echo of small messages, and binary messages in both directions at once.

use std::{pin::Pin, task::Poll, time::Instant};

use bytes::Bytes;
use common::{Outcome, announce};
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};

/// As long as the packet of a small call.
const MESSAGE: usize = 20;
const IN_FLIGHT: usize = 256;
const MIB: usize = 1024 * 1024;

/// With a read buffer as long as what a session reads at once.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(32 * 1024)
}

async fn accept() -> Outcome<WebSocketStream<TcpStream>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?)?;
    let (socket, _) = listener.accept().await?;
    socket.set_nodelay(true)?;
    Ok(tokio_tungstenite::accept_async_with_config(socket, Some(config())).await?)
}

async fn connect(addr: &str) -> Outcome<WebSocketStream<TcpStream>> {
    let socket = TcpStream::connect(addr).await?;
    socket.set_nodelay(true)?;
    let url = format!("ws://{addr}/");
    Ok(tokio_tungstenite::client_async_with_config(url, socket, Some(config())).await?.0)
}

pub(crate) async fn serve_echo() -> Outcome<()> {
    let mut socket = accept().await?;
    while let Ok(count) = answer_ready(&mut socket).await {
        if count == 0 {
            break;
        }
    }
    Ok(())
}

/// Messages a second.
pub(crate) async fn echo(addr: &str, count: u64) -> Outcome<f64> {
    let mut socket = connect(addr).await?;
    for _ in 0..IN_FLIGHT {
        socket.feed(Message::Binary(Bytes::from(vec![7; MESSAGE]))).await?;
    }
    socket.flush().await?;
    let mut rate = 0.0;
    for count in [count / 10, count] {
        let (start, mut made) = (Instant::now(), 0);
        while made < count {
            made += answer_ready(&mut socket).await?;
        }
        rate = made as f64 / start.elapsed().as_secs_f64();
    }
    Ok(rate)
}

/// Sends back all messages that are there, and flushes once. Waits for the first one; 0 is the end.
async fn answer_ready(socket: &mut WebSocketStream<TcpStream>) -> Result<u64, Error> {
    let mut count = 0;
    std::future::poll_fn(|cx| {
        loop {
            match Pin::new(&mut *socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    Pin::new(&mut *socket).start_send(message)?;
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

pub(crate) async fn serve_bulk(size: usize, mib: u64) -> Outcome<()> {
    let mut socket = accept().await?;
    both_ways(&mut socket, size, mib).await?;
    // The other side ends it.
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    Ok(())
}

/// MiB a second of both directions together.
pub(crate) async fn bulk(addr: &str, size: usize, mib: u64) -> Outcome<f64> {
    let mut socket = connect(addr).await?;
    let start = Instant::now();
    both_ways(&mut socket, size, mib).await?;
    let rate = 2.0 * mib as f64 / start.elapsed().as_secs_f64();
    socket.close(None).await?;
    Ok(rate)
}

/// Sends and receives `mib` MiB in one task, without a lock between the directions.
async fn both_ways(socket: &mut WebSocketStream<TcpStream>, size: usize, mib: u64) -> Result<(), Error> {
    let message = Bytes::from(vec![7; size]);
    let count = usize::try_from(mib).unwrap_or(0) * MIB / size;
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
