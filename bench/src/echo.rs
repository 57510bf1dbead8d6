//! A bare tokio-tungstenite echo: all that is ready is fed, then flushed once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{
    Outcome,
    bare::{self, MESSAGE, answer_ready},
};
use futures::SinkExt;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

pub(crate) async fn serve() -> Outcome<()> {
    let mut socket = bare::accept_one().await?;
    while let Ok(count) = answer_ready(&mut socket, Some).await {
        if count == 0 {
            break;
        }
    }
    Ok(())
}

pub(crate) async fn call(addr: &str, in_flight: usize, time: Duration) -> Outcome<f64> {
    let mut socket = bare::connect_one(addr).await?;
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
            Some(message)
        })
        .await?;
    }
    Ok(made as f64 / start.elapsed().as_secs_f64())
}
