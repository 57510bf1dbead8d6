//! The memory that a session takes whose client is away, counted by the allocator.
//!
//! One test, because the allocator counts the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocated;

use std::time::Duration;

use allocated::{KIB, allocated};
use futures::{SinkExt, StreamExt, stream};
use rpc_core::{
    __internals::wire::{Frame, Hello, PacketHeader, Payload, read_packet},
    Config, Stub,
};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{LIMITS, SOON, join, packet, request, until};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

const SESSIONS: usize = 200;
/// What a session may take at the server while its client is away and nothing is under way.
const IDLE: usize = 4 * KIB;
/// What an idle session with a link may take if it can be resumed, beside what it takes if it cannot.
const RESUMABLE: usize = 200;
/// What a session without a link may take for the list of the packets that it keeps.
const KEPT: usize = 128;
/// What each kept packet may take beside its bytes.
const PACKET: usize = 128;

#[rpc_core::service]
trait Store {
    /// As many letters.
    async fn fetch(&self, len: usize) -> String;
}

struct Shelf;

impl Store for Shelf {
    async fn fetch(&self, len: usize) -> String {
        "x".repeat(len)
    }
}

/// A client that has its Welcome, says so, makes calls with results of this length, acknowledges these or nothing, and
/// is gone with its link.
async fn visit(server: &ServerHandle, calls: u64, len: u16, acks: bool) -> WebSocketStream<TcpStream> {
    let mut link = join(server.local_addr()).await;
    let hello = Hello { resume_window_ms: 600_000, ..Hello::new(LIMITS, Vec::new()) };
    let first = PacketHeader { seq: 0, ack: 0 };
    link.send(Message::Binary(packet(first, &[Frame::Hello(Box::new(hello))]))).await.unwrap();
    timeout(SOON, link.next()).await.unwrap().unwrap().unwrap();
    link.send(Message::Binary(packet(first, &[]))).await.unwrap();
    let method = StoreClient::CONTRACT.methods()[0].id();
    let arguments = [&[0x91, 0xcd][..], &len.to_be_bytes()].concat();
    for id in 1..=calls {
        let call = request(id, method, Payload::Inline(arguments.clone().into()), Vec::new().into());
        link.send(Message::Binary(packet(PacketHeader { seq: id, ack: 0 }, &[call]))).await.unwrap();
        let answered = async {
            loop {
                let Message::Binary(bytes) = link.next().await.unwrap().unwrap() else { continue };
                let (header, mut frames) = read_packet(bytes).unwrap();
                if frames.any(|frame| matches!(frame, Ok(Frame::Response { .. }))) {
                    return header.seq;
                }
            }
        };
        let seq = timeout(SOON, answered).await.unwrap();
        if acks {
            link.send(Message::Binary(packet(PacketHeader { seq: 0, ack: seq }, &[]))).await.unwrap();
        }
    }
    link
}

/// The bytes that each of many sessions takes whose client is away.
async fn taken(calls: u64, len: u16, acks: bool) -> usize {
    let config = Config::builder().resume_window(Duration::from_secs(600)).build().unwrap();
    // Headers are as long as clients and programs want.
    let server = Server::builder().service(Shelf.serve()).config(config).resume_anonymous(true).keep_headers([""; 0]);
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let visits = async |count: usize| {
        let all = server.sessions().len() + count;
        stream::iter(0..count)
            .for_each_concurrent(20, |_| async { drop(visit(&server, calls, len, acks).await) })
            .await;
        until("all are away", || server.sessions().detached() == all).await;
    };
    // The first ones fill what all share.
    visits(20).await;
    let before = allocated();
    visits(SESSIONS).await;
    let taken = allocated().saturating_sub(before) / SESSIONS;
    // The server would wait for their clients.
    for session in server.sessions() {
        session.discard();
    }
    server.shutdown().await;
    taken
}

/// The bytes that each of many idle sessions takes that have a link, and can be resumed or not.
async fn attached(resumable: bool) -> usize {
    let config = Config::builder().resume_window(Duration::from_secs(600)).build().unwrap();
    let server =
        Server::builder().service(Shelf.serve()).config(config).resume_anonymous(resumable).keep_headers([""; 0]);
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let mut links = Vec::new();
    let mut before = 0;
    for count in [20, SESSIONS] {
        before = allocated();
        for _ in 0..count {
            // The client's own buffers do not count.
            links.push(visit(&server, 0, 0, false).await.into_inner().into_std().unwrap());
        }
    }
    let taken = allocated().saturating_sub(before) / SESSIONS;
    assert_eq!(server.sessions().detached(), 0);
    for session in server.sessions() {
        session.discard();
    }
    drop(links);
    server.shutdown().await;
    taken
}

#[tokio::test]
async fn a_session_without_a_link_takes_little_beside_the_bytes_that_it_keeps() {
    // A packet of 5,000 bytes would keep the block of 64 KiB in which it was written.
    for (calls, len) in [(0, 0), (1, 30), (10, 30), (3, 5000), (1, 30_000)] {
        let taken = taken(calls, len, false).await;
        let kept = if calls > 0 { KEPT } else { 0 } + usize::try_from(calls).unwrap() * (usize::from(len) + PACKET);
        println!("{calls} packets of {len} bytes: {taken} bytes, {} at most", IDLE + kept);
        assert!(taken <= IDLE + kept, "{calls} packets of {len} bytes: {taken} bytes, {} at most", IDLE + kept);
    }
    // What was done before leaves nothing behind.
    let taken = taken(10, 5000, true).await;
    println!("10 packets of 5000 bytes that are acknowledged: {taken} bytes, {IDLE} at most");
    assert!(taken <= IDLE, "10 packets of 5000 bytes that are acknowledged: {taken} bytes, {IDLE} at most");
    let [plain, resumable] = [attached(false).await, attached(true).await];
    println!("with a link: {plain} bytes; if it can be resumed: {resumable}");
    assert!(resumable <= plain + RESUMABLE, "with a link: {plain} bytes; if it can be resumed: {resumable}");
}
