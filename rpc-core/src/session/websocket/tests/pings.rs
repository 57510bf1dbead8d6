//! Pings and pongs of the WebSocket: counted here, judged by the connection.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{Role, WebSocketConfig},
};

use super::{
    early::{message, open},
    raw::{BINARY, BOTH, End, FIN, Link, PING, PONG, frame},
};
use crate::{
    error::{CloseCode, ConnectionError, ProtocolError},
    session::{
        transport::Transport,
        websocket::{metered::Metered, socket::Socket},
    },
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

/// A stream that holds one ping, and is ready for a write only when it has woken the task.
struct Reluctant {
    ping: Vec<u8>,
    has_refused: bool,
    written: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Reluctant {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ping.is_empty() {
            return Poll::Pending;
        }
        buf.put_slice(&self.ping);
        self.ping.clear();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Reluctant {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.has_refused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.written.lock().unwrap().extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_pong_goes_out_when_the_stream_takes_it_also_if_nothing_more_comes() {
    let ping = frame(FIN | PING, b"?", true);
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let stream = Reluctant { ping, has_refused: false, written: written.clone() };
    let mut socket = Socket::new(Metered::new(stream, &[]), &[], Role::Server, WebSocketConfig::default());
    socket.metered_mut().set_waker(Waker::noop());
    assert!(matches!(socket.poll_read(), Poll::Ready(Ok(Message::Ping(_)))));
    assert!(socket.poll_read().is_pending());
    // The stream has woken the task.
    assert!(socket.poll_read().is_pending());
    assert_eq!(*written.lock().unwrap(), frame(FIN | PONG, b"?", false));
    assert!(socket.is_at_rest());
}
