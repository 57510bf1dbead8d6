//! Pings and pongs of the WebSocket: counted here, judged by the connection.

use std::{future::poll_fn, task::Poll, time::Duration};

use bytes::Bytes;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    early::{hello, message},
    raw::{BINARY, BOTH, End, FIN, Link, PING, PIPE, PONG, frame},
};
use crate::{
    config::Config,
    error::{CloseCode, ConnectionError},
    peer::ConnectionInfo,
    service::Hosting,
    session::{Handshake, WebSocket, transport::Transport},
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

/// Why a server's session ends with a client that says Hello and then this.
async fn ended(said: &[u8]) -> Option<ConnectionError> {
    let (near, mut raw) = tokio::io::duplex(PIPE);
    let config = Config::default();
    let transport = WebSocket::server(near, Bytes::new(), &config);
    raw.write_all(&message(0, &hello(), true)).await.unwrap();
    let handshake = Handshake::read(transport, &config).await.unwrap();
    let (session, driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
    tokio::spawn(driver);
    session.established().await.unwrap();
    raw.write_all(said).await.unwrap();
    timeout(Duration::from_secs(2), session.closed()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn row_12_a_flood_of_pings_and_pongs_of_any_kind() {
    let kinds = [
        frame(FIN | PING, b"", true),
        frame(FIN | PONG, b"", true),
        message(0, &Frame::Ping { token: 1 }, true),
        message(0, &Frame::Pong { token: 1 }, true),
    ];
    for kind in &kinds {
        assert_eq!(ended(&kind.repeat(10)).await, None);
        let error = ended(&kind.repeat(11)).await.expect("it ends");
        assert_eq!(error.close_code(), CloseCode::PROTOCOL, "{error}");
    }
    let mixed = kinds.concat();
    assert_eq!(ended(&mixed.repeat(2)).await, None);
    let error = ended(&mixed.repeat(3)).await.expect("it ends");
    assert!(error.to_string().contains("10 at once and one a second"), "{error}");
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
