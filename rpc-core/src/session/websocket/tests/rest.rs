//! How input is cut makes no difference, and a WebSocket at rest holds no buffers.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    task::unconstrained,
};

use super::{
    super::{WebSocket, pool},
    raw::{BINARY, BOTH, CLOSE, CONTINUATION, End, FIN, KIB, Link, PING, PONG, frame, frames},
};
use crate::{
    config::Config,
    error::CloseCode,
    session::transport::{Transport, TransportError},
};

impl Link {
    /// Everything that our end gives out by now.
    async fn packets(&mut self) -> Vec<Bytes> {
        let mut packets = Vec::new();
        // Control frames end a poll, and more may follow them.
        let all = poll_fn(|cx| {
            for _ in 0..10 {
                while let Poll::Ready(packet) = self.ours.poll_receive(cx) {
                    packets.push(packet.unwrap());
                }
            }
            Poll::Ready(())
        });
        // Without a limit to what one task may do at a time.
        unconstrained(all).await;
        packets
    }

    fn is_at_rest(&self) -> bool {
        self.ours.socket().is_at_rest()
    }
}

/// Messages of several lengths, in fragments or not, with control frames around and within them.
fn stream(link: &Link) -> (Vec<u8>, Vec<Vec<u8>>) {
    let bytes = [
        link.frame(FIN | BINARY, b"one"),
        link.frame(FIN | BINARY, b""),
        link.frame(FIN | PONG, b"early"),
        link.frame(BINARY, b"two"),
        link.frame(FIN | PING, b"within"),
        link.frame(CONTINUATION, b""),
        link.frame(FIN | CONTINUATION, &[3; 130]),
        link.frame(FIN | BINARY, &[4; 300]),
    ];
    (bytes.concat(), vec![b"one".into(), b"".into(), [b"two", &[3; 130][..]].concat(), vec![4; 300]])
}

#[tokio::test]
async fn a_byte_at_a_time() {
    for end in BOTH {
        let mut link = Link::established(end);
        let (bytes, expected) = stream(&link);
        let mut packets = Vec::new();
        for byte in bytes.chunks(1) {
            link.write(byte).await;
            packets.extend(link.packets().await);
            assert_eq!(link.is_at_rest(), !link.ours.progress().mid_message, "{end:?}");
        }
        assert_eq!(packets, expected);
        let sent = link.close(CloseCode::NORMAL, "").await;
        assert_eq!(sent[0], (FIN | PONG, b"within".to_vec()));
    }
}

#[tokio::test]
async fn every_cut_through_messages_and_control_frames() {
    for end in BOTH {
        let (bytes, expected) = stream(&Link::established(end));
        for cut in 0..=bytes.len() {
            let mut link = Link::established(end);
            let mut packets = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                link.write(part).await;
                packets.extend(link.packets().await);
                assert_eq!(link.is_at_rest(), !link.ours.progress().mid_message, "{end:?}, cut at {cut}");
            }
            assert_eq!(packets, expected, "{end:?}, cut at {cut}");
            assert!(link.is_at_rest());
        }
    }
}

/// The first part comes with the HTTP upgrade, before the handshake is done.
#[tokio::test]
async fn every_cut_between_the_upgrade_and_the_stream() {
    for end in BOTH {
        let (bytes, expected) = stream(&Link::established(end));
        for cut in 0..=bytes.len() {
            let mut link = Link::with(end, &Config::default(), KIB, Bytes::copy_from_slice(&bytes[..cut]));
            let mut packets = link.packets().await;
            link.write(&bytes[cut..]).await;
            packets.extend(link.packets().await);
            assert_eq!(packets, expected, "{end:?}, cut at {cut}");
            assert!(link.is_at_rest(), "{end:?}, cut at {cut}");
        }
    }
}

#[tokio::test]
async fn a_new_connection_is_at_rest_and_so_is_one_that_has_sent() {
    for end in BOTH {
        let mut link = Link::new(end);
        assert!(link.is_at_rest());
        link.receive_nothing().await;
        assert!(link.is_at_rest());
        poll_fn(|cx| link.ours.poll_ready(cx)).await.unwrap();
        link.ours.start_send(Bytes::from_static(b"packet")).unwrap();
        assert!(!link.is_at_rest());
        link.receive_nothing().await;
        assert!(!link.is_at_rest(), "it waits for the flush");
        poll_fn(|cx| link.ours.poll_flush(cx)).await.unwrap();
        assert!(link.is_at_rest());
        assert_eq!(link.close(CloseCode::NORMAL, "").await[0], (FIN | BINARY, b"packet".to_vec()));
    }
}

#[tokio::test]
async fn connections_share_what_they_need() {
    for end in BOTH {
        let mut links: Vec<Link> = (0..100).map(|_| Link::established(end)).collect();
        for round in 0..3 {
            for link in &mut links {
                let packet = link.frame(FIN | BINARY, &[round; 100]);
                link.write(&packet).await;
                assert_eq!(link.packets().await, [vec![round; 100]]);
                link.send(&[round]).await.unwrap();
                assert!(link.is_at_rest());
            }
        }
        let [servers, clients, buffers] = pool::counts();
        let states = if end == End::Server { servers } else { clients };
        assert_eq!((states, buffers), (1, 1), "{end:?}");
        let mut kept = Vec::new();
        for link in &mut links {
            let begun = link.frame(BINARY, b"begun");
            link.write(&begun).await;
            kept.extend(link.packets().await);
        }
        assert!(links.iter().all(|link| !link.is_at_rest()));
        for link in &mut links {
            let end = link.frame(FIN | CONTINUATION, b"");
            link.write(&end).await;
            kept.extend(link.packets().await);
        }
        assert_eq!(kept, ["begun"; 100]);
        assert!(links.iter().all(Link::is_at_rest));
        assert!(pool::counts().iter().all(|&count| count <= 4), "{:?}", pool::counts());
    }
}

#[tokio::test]
async fn long_packets_come_in_pieces_and_their_states_are_for_long_packets() {
    for end in BOTH {
        let config = Config::builder().max_packet(256 * KIB).chunk(64 * KIB).build().unwrap();
        let mut link = Link::with(end, &config, 1024 * KIB, Bytes::new());
        link.ours.handshake_done();
        let states = || pool::counts()[usize::from(end == End::Client)];
        for (len, kept) in [(100, 1), (16 * KIB, 1), (128 * KIB, 1), (128 * KIB, 1), (128 * KIB + 1, 0), (100, 1)] {
            let long = vec![5; len];
            let bytes = link.frame(FIN | BINARY, &long);
            let mut packets = Vec::new();
            for piece in bytes.chunks(50_000) {
                assert!(packets.is_empty());
                link.write(piece).await;
                packets = link.packets().await;
            }
            assert_eq!(packets, [&long[..]]);
            assert!(link.is_at_rest());
            assert_eq!(states(), kept, "{end:?}, after {len} bytes");
        }
        // After a short packet, a state for short packets is taken.
        link.send(&[5; 10]).await.unwrap();
        assert_eq!(states(), 1);
        link.send(&[5; 17 * KIB]).await.unwrap();
        link.send(&[5; 17 * KIB]).await.unwrap();
        assert_eq!(states(), 1, "it has grown, and is the one for long packets now");
        let mut another = Link::established(end);
        another.send(&[5; 10]).await.unwrap();
        assert_eq!(states(), 2, "which another connection does not get");
        link.send(&[5; 129 * KIB]).await.unwrap();
        assert_eq!(states(), 1);
    }
}

#[tokio::test]
async fn a_pong_that_does_not_fit_keeps_the_connection_from_resting_until_it_is_sent() {
    for end in BOTH {
        let mut link = Link::with(end, &Config::default(), 8, Bytes::new());
        link.ours.handshake_done();
        let ping = link.frame(FIN | PING, b"eighteen bytes now");
        let (_, packets) = tokio::join!(
            link.raw.write_all(&ping),
            poll_fn(|cx| {
                let polled = link.ours.poll_receive(cx);
                if link.ours.progress().controls == 1 { Poll::Ready(polled) } else { Poll::Pending }
            })
        );
        assert_eq!(packets, Poll::Pending);
        assert!(!link.is_at_rest());
        let mut pong = vec![0; if end == End::Server { 20 } else { 24 }];
        let reading = poll_fn(|cx| {
            assert_eq!(link.ours.poll_receive(cx), Poll::Pending);
            if link.ours.socket().is_at_rest() { Poll::Ready(()) } else { Poll::Pending }
        });
        let ((), read) = tokio::join!(reading, link.raw.read_exact(&mut pong));
        read.unwrap();
        assert_eq!(frames(&pong), [(FIN | PONG, b"eighteen bytes now".to_vec())]);
    }
}

#[tokio::test]
async fn what_was_read_at_once_is_given_out_packet_by_packet() {
    for end in BOTH {
        let mut link = Link::established(end);
        let mut bytes = link.frame(FIN | BINARY, &[6; 10]).repeat(1000);
        bytes.extend(link.frame(FIN | BINARY, &[7; 10])[..9].iter());
        link.write(&bytes).await;
        for _ in 0..1000 {
            let packet = poll_fn(|cx| Poll::Ready(link.ours.poll_receive(cx))).await;
            assert_eq!(packet, Poll::Ready(Ok(Bytes::from_static(&[6; 10]))));
            // All of it has been read with the first packet.
            let progress = link.ours.progress();
            assert_eq!((progress.received, progress.mid_message), (bytes.len() as u64, true));
        }
        link.receive_nothing().await;
    }
}

/// What a client sends behind its Hello waits for the verdict.
#[tokio::test]
async fn before_the_handshake_is_done_little_is_read_and_what_waits_takes_its_own_length() {
    for end in BOTH {
        let mut link = Link::new(end);
        let bytes = [link.frame(FIN | BINARY, b"hello"), link.frame(FIN | BINARY, &[8; 12 * KIB])].concat();
        link.write(&bytes).await;
        assert_eq!(link.receive().await.unwrap(), "hello");
        let received = link.ours.progress().received;
        assert!(received <= 4 * KIB as u64, "{received} bytes");
        assert!(link.ours.socket().held() <= 4 * KIB, "{} bytes", link.ours.socket().held());
        link.ours.handshake_done();
        assert_eq!(link.receive().await.unwrap(), vec![8; 12 * KIB]);
        link.receive_nothing().await;
        assert!(link.is_at_rest());
    }
}

#[tokio::test]
async fn a_goodbye_behind_packets_and_before_more_bytes() {
    for end in BOTH {
        let mut link = Link::established(end);
        let goodbye = link.frame(FIN | CLOSE, &1001_u16.to_be_bytes());
        let packet = link.frame(FIN | BINARY, b"packet");
        link.write(&[&packet[..], &goodbye, &packet, &[0xff; 100]].concat()).await;
        assert_eq!(link.receive().await.unwrap(), "packet");
        let closed = TransportError::Closed { code: CloseCode::GOING_AWAY, reason: String::new() };
        assert_eq!(link.receive().await, Err(closed));
        assert!(!link.is_at_rest(), "the answer waits");
        assert_eq!(link.close(CloseCode::NORMAL, "").await, [(FIN | CLOSE, 1001_u16.to_be_bytes().to_vec())]);
        assert_eq!(pool::counts()[..2], [0, 0], "a state that has begun to close is not lent on");
    }
}

#[tokio::test]
async fn a_goodbye_within_a_message_and_an_end_within_a_frame() {
    for end in BOTH {
        let mut link = Link::established(end);
        let bytes = [link.frame(BINARY, b"begun"), link.frame(FIN | CLOSE, b"")].concat();
        link.write(&bytes).await;
        let closed = TransportError::Closed { code: CloseCode::NO_STATUS, reason: String::new() };
        assert_eq!(link.receive().await, Err(closed));
        for cut in 0..8 {
            let mut link = Link::established(end);
            let bytes = link.frame(FIN | BINARY, b"packet");
            link.write(&bytes).await;
            link.write(&bytes[..cut]).await;
            link.raw.shutdown().await.unwrap();
            assert_eq!(link.receive().await.unwrap(), "packet");
            assert!(matches!(link.receive().await, Err(TransportError::Lost(_))), "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn a_packet_that_was_read_on_one_thread_is_given_out_on_another() {
    for end in BOTH {
        let mut link = Link::established(end);
        let packet = link.frame(FIN | BINARY, &[9; 6 * KIB]);
        link.write(&packet.repeat(4)).await;
        assert_eq!(link.receive().await.unwrap().len(), 6 * KIB);
        let there = pool::counts();
        let threads = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                assert_eq!(link.packets().await, vec![vec![9; 6 * KIB]; 3]);
                assert!(link.is_at_rest());
                let [servers, clients, buffers] = pool::counts();
                assert_eq!((servers + clients, buffers), (1, 1), "this thread has them now");
            });
        });
        threads.join().unwrap();
        assert_eq!(pool::counts(), there);
    }
}

/// A stream that uses a WebSocket of the same thread to read, as a tunnel does.
struct Tunnel(WebSocket<DuplexStream>);

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0
            .poll_receive(cx)
            .map(|packet| packet.map(|packet| buf.put_slice(&packet)).map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = self.0.start_send(Bytes::copy_from_slice(bytes));
        Poll::Ready(sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[tokio::test]
async fn a_websocket_within_a_websocket() {
    let Link { ours: outer, mut raw, .. } = Link::established(End::Server);
    let mut inner = WebSocket::server(Tunnel(outer), Bytes::new(), &Config::default());
    inner.handshake_done();
    let packet = frame(FIN | BINARY, b"within", true);
    raw.write_all(&frame(FIN | BINARY, &packet, true)).await.unwrap();
    assert_eq!(poll_fn(|cx| inner.poll_receive(cx)).await.unwrap(), "within");
    inner.start_send(Bytes::from_static(b"back")).unwrap();
    poll_fn(|cx| inner.poll_flush(cx)).await.unwrap();
    let expected = frame(FIN | BINARY, &frame(FIN | BINARY, b"back", false), false);
    let mut got = vec![0; expected.len()];
    raw.read_exact(&mut got).await.unwrap();
    assert_eq!(got, expected);
}
