//! What comes right behind the handshake: a session's driver against raw bytes.

use std::{future::pending, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

use super::raw::{BINARY, CONTINUATION, End, FIN, KIB, PIPE, frame, frames};
use crate::{
    config::Config,
    peer::{ConnectionInfo, Session},
    service::{Hosting, SessionHooks},
    session::{Handshake, WebSocket, connect},
    status::Status,
    wire::{
        ErrorBody, Frame, Hello, PacketHeader, Payload, PeerLimits, Request, Welcome, put_frame, put_header,
        read_packet,
    },
};

/// What the peer takes: no streams.
const LIMITS: PeerLimits =
    PeerLimits { depth: 16, packet: 128 << 10, chunk: 64 << 10, streams: 0, ..PeerLimits::all(100, 1 << 20) };

pub(super) fn message(seq: u64, said: &Frame, masked: bool) -> Vec<u8> {
    let mut packet = BytesMut::new();
    put_header(&mut packet, PacketHeader { seq, ack: 0 });
    put_frame(&mut packet, said);
    frame(FIN | BINARY, &packet, masked)
}

fn call(id: u64, len: usize) -> Frame {
    Frame::Request(Request::plain(id, 1, Payload::Inline(Bytes::from(vec![0xc0; len]))))
}

fn welcome() -> Frame {
    Frame::Welcome(Box::new(Welcome::new(LIMITS, Vec::new(), 1)))
}

pub(super) fn hello() -> Frame {
    Frame::Hello(Box::new(Hello::new(LIMITS, Vec::new())))
}

/// A session whose handshake is done, and the raw bytes of its peer.
pub(super) async fn open(end: End) -> (Session, DuplexStream) {
    let (session, mut raw) = match end {
        End::Client => client(Vec::new()),
        End::Server => {
            let (near, mut raw) = tokio::io::duplex(PIPE);
            let config = Config::default();
            let transport = WebSocket::server(near, Bytes::new(), &config);
            raw.write_all(&message(0, &hello(), true)).await.unwrap();
            let handshake = Handshake::read(transport, &config).await.unwrap();
            let (session, driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
            tokio::spawn(driver);
            (session, raw)
        }
    };
    if end == End::Client {
        raw.write_all(&message(0, &welcome(), false)).await.unwrap();
    }
    session.established().await.unwrap();
    (session, raw)
}

/// Reads until this many calls have been refused as unknown, which is all that an end without contracts says of them.
async fn refusals(raw: &mut DuplexStream, wanted: usize) {
    let refused = async {
        let (mut bytes, mut found) = (Vec::new(), 0);
        while found < wanted {
            bytes.clear();
            let first = raw.read_u8().await.unwrap();
            let second = raw.read_u8().await.unwrap();
            bytes.extend([first, second]);
            let more = match second & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            } + if second & 0x80 == 0 { 0 } else { 4 };
            let mut head = vec![0; more];
            raw.read_exact(&mut head).await.unwrap();
            let len = match second & 0x7f {
                126 => usize::from(u16::from_be_bytes([head[0], head[1]])),
                127 => panic!("a long message"),
                short => usize::from(short),
            };
            let mut payload = vec![0; len];
            raw.read_exact(&mut payload).await.unwrap();
            bytes.extend(head);
            bytes.extend(payload);
            let (opcode, packet) = frames(&bytes).pop().unwrap();
            assert_eq!(opcode, FIN | BINARY, "{:?}", String::from_utf8_lossy(&packet));
            let read = read_packet(packet.into()).unwrap().1;
            let is_refusal = |frame: &Frame| matches!(frame, Frame::Error { error: ErrorBody::Status(_), .. });
            found += read.flatten().filter(is_refusal).count();
        }
    };
    timeout(Duration::from_secs(30), refused).await.expect("an answer comes");
}

fn client(leftover: Vec<u8>) -> (Session, DuplexStream) {
    let (near, raw) = tokio::io::duplex(PIPE);
    let config = Config::default();
    let transport = WebSocket::client(near, leftover.into(), &config);
    let (session, driver) = connect(transport, &Hosting::default(), &config, ConnectionInfo::default());
    tokio::spawn(driver);
    (session, raw)
}

#[tokio::test]
async fn a_client_takes_what_comes_in_one_read_with_the_welcome() {
    for calls in [vec![20 * KIB], vec![60 * KIB], vec![2 * KIB; 9], vec![16 * KIB, 10]] {
        let mut bytes = message(0, &welcome(), false);
        for (id, len) in (1..).zip(&calls) {
            bytes.extend(message(id, &call(id, *len), false));
        }
        // In one write, and read together with the HTTP answer.
        let (session, mut raw) = client(Vec::new());
        raw.write_all(&bytes).await.unwrap();
        refusals(&mut raw, calls.len()).await;
        assert_eq!(session.established().await, Ok(()));
        let (session, mut raw) = client(bytes);
        refusals(&mut raw, calls.len()).await;
        assert_eq!(session.established().await, Ok(()));
    }
}

#[tokio::test]
async fn a_server_takes_what_may_follow_the_hello_and_large_packets_after_its_welcome() {
    let (near, mut raw) = tokio::io::duplex(PIPE);
    let config = Config::default();
    let transport = WebSocket::server(near, Bytes::new(), &config);
    let mut bytes = message(0, &hello(), true);
    bytes.extend(message(1, &call(1, 15 * KIB), true));
    raw.write_all(&bytes).await.unwrap();
    let handshake = Handshake::read(transport, &config).await.unwrap();
    let (session, driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
    tokio::spawn(driver);
    refusals(&mut raw, 1).await;
    raw.write_all(&message(2, &call(2, 60 * KIB), true)).await.unwrap();
    refusals(&mut raw, 1).await;
    assert_eq!(session.established().await, Ok(()));
}

#[tokio::test]
async fn the_limit_of_the_handshake_holds_until_the_welcome() {
    let (session, mut raw) = client(Vec::new());
    raw.write_all(&message(1, &call(1, 17 * KIB), false)).await.unwrap();
    let error = session.established().await.unwrap_err();
    assert_eq!(error.close_code().0, 1009, "{error}");
}

/// A hook that never returns.
struct Stuck;

#[async_trait]
impl SessionHooks for Stuck {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_without_bytes_count_in_all_until_the_welcome() {
    let (near, mut raw) = tokio::io::duplex(8 * PIPE);
    let config = Config::default();
    let transport = WebSocket::server(near, Bytes::new(), &config);
    raw.write_all(&message(0, &hello(), true)).await.unwrap();
    let handshake = Handshake::read(transport, &config).await.unwrap();
    let hosting = Hosting::builder().hooks(Stuck).build().unwrap();
    let (session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
    tokio::spawn(driver);
    // Each message fills the buffer that it is read into, and has two bytes.
    let message =
        [frame(BINARY, &[0], true), frame(CONTINUATION, b"", true).repeat(2700), frame(FIN | CONTINUATION, &[0], true)];
    for _ in 0..255 {
        if raw.write_all(&message.concat()).await.is_err() {
            break;
        }
    }
    let ended = timeout(Duration::from_secs(3), session.closed()).await.expect("it ends before the hooks do");
    assert_eq!(ended.close_code().0, 1009, "{ended}");
}
