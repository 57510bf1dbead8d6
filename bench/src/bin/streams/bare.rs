//! Bare tokio-tungstenite: an echo of small messages, and binary messages in both directions at once.

use std::time::Instant;

use bytes::Bytes;
use common::{
    Outcome,
    bare::{self, MESSAGE, answer_ready, both_ways},
};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

const IN_FLIGHT: usize = 256;
const MIB: usize = 1024 * 1024;

pub(crate) async fn serve_echo() -> Outcome<()> {
    let mut socket = bare::accept_one().await?;
    while let Ok(count) = answer_ready(&mut socket, Some).await {
        if count == 0 {
            break;
        }
    }
    Ok(())
}

/// Messages a second.
pub(crate) async fn echo(addr: &str, count: u64) -> Outcome<f64> {
    let mut socket = bare::connect_one(addr).await?;
    for _ in 0..IN_FLIGHT {
        socket.feed(Message::Binary(Bytes::from(vec![7; MESSAGE]))).await?;
    }
    socket.flush().await?;
    let mut rate = 0.0;
    for count in [count / 10, count] {
        let (start, mut made) = (Instant::now(), 0);
        while made < count {
            made += answer_ready(&mut socket, Some).await? as u64;
        }
        rate = made as f64 / start.elapsed().as_secs_f64();
    }
    Ok(rate)
}

pub(crate) async fn serve_bulk(size: usize, mib: u64) -> Outcome<()> {
    let mut socket = bare::accept_one().await?;
    both_ways(&mut socket, size, messages(size, mib)).await?;
    // The other side ends it.
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    Ok(())
}

/// MiB a second of both directions together.
pub(crate) async fn bulk(addr: &str, size: usize, mib: u64) -> Outcome<f64> {
    let mut socket = bare::connect_one(addr).await?;
    let start = Instant::now();
    both_ways(&mut socket, size, messages(size, mib)).await?;
    let rate = 2.0 * mib as f64 / start.elapsed().as_secs_f64();
    socket.close(None).await?;
    Ok(rate)
}

/// The number of messages that one direction has.
fn messages(size: usize, mib: u64) -> usize {
    usize::try_from(mib).unwrap_or(0) * MIB / size
}
