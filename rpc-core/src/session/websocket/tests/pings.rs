//! Pings and pongs of the WebSocket: counted here, judged by the connection.

use std::{future::poll_fn, task::Poll, time::Duration};

use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    early::{message, open},
    raw::{BINARY, BOTH, End, FIN, Link, PING, PONG, frame},
};
use crate::{
    error::{CloseCode, ConnectionError, ProtocolError},
    session::transport::Transport,
    wire::Frame,
};

#[tokio::test]
async fn row_12_each_ping_or_pong_is_told_before_the_next_is_read() {
    for end in BOTH {
        let mut link = Link::established(end);
        let bytes =
            [link.frame(FIN | PING, b"?").repeat(3), link.frame(FIN | PONG, b""), link.frame(FIN | BINARY, b"x")];
        link.write(&bytes.concat()).await;
        let mut seen = Vec::new();
        let packet = poll_fn(|cx| match link.ours.poll_receive(cx) {
            Poll::Ready(packet) => Poll::Ready(packet),
            Poll::Pending => {
                seen.push(link.ours.progress().controls);
                Poll::Pending
            }
        });
        assert_eq!(timeout(Duration::from_secs(30), packet).await.unwrap().unwrap(), "x");
        seen.dedup();
        assert_eq!(seen, [1, 2, 3, 4], "{end:?}");
    }
}

/// Why a session ends whose peer says this after the handshake.
async fn ended(end: End, said: &[u8]) -> Option<ConnectionError> {
    let (session, mut raw) = open(end).await;
    raw.write_all(said).await.unwrap();
    timeout(Duration::from_secs(2), session.closed()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn row_12_a_flood_of_pings_and_pongs_of_any_kind() {
    let too_many = Some(ConnectionError::Protocol(ProtocolError::TooManyPings { burst: 10 }));
    for end in BOTH {
        let masked = end == End::Server;
        let kinds = [
            frame(FIN | PING, b"", masked),
            frame(FIN | PONG, b"", masked),
            message(0, &Frame::Ping { token: 1 }, masked),
            message(0, &Frame::Pong { token: 1 }, masked),
        ];
        for kind in &kinds {
            assert_eq!(ended(end, &kind.repeat(10)).await, None);
            assert_eq!(ended(end, &kind.repeat(11)).await, too_many);
        }
        let mixed = kinds.concat();
        assert_eq!(ended(end, &mixed.repeat(2)).await, None);
        assert_eq!(ended(end, &mixed.repeat(3)).await, too_many);
    }
}

#[tokio::test(start_paused = true)]
async fn row_12_pings_are_answered() {
    let mut link = Link::established(End::Server);
    let ping = link.frame(FIN | PING, b"?");
    for _ in 0..100 {
        link.write(&ping).await;
        link.receive_nothing().await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let sent = link.close(CloseCode::NORMAL, "").await;
    assert_eq!(sent.iter().filter(|(first, _)| *first == FIN | PONG).count(), 100);
}
