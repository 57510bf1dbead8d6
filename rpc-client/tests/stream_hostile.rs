//! Peers on real sockets that break the rules of streams, against a server and against a client.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream};
use rpc_client::Connect;
use rpc_core::{
    __internals::wire::{Frame, PacketHeader, Payload, PeerLimits, TransferId, read_packet},
    Config, Session, Status, Streaming, Stub,
};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{LIMITS, SOON, accept, at_rest, hello, hosted, join, packet, request, welcome};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

#[rpc_core::callback]
trait Well {
    async fn pour(&self, blocks: u64) -> Streaming<Bytes>;
    async fn drain(&self, blocks: Streaming<Bytes>) -> Result<u64, Status>;
    async fn ping(&self) -> u64;
}

#[rpc_core::service(callback = Well)]
trait Mill {
    async fn pour(&self, blocks: u64) -> Streaming<Bytes>;
    async fn drain(&self, blocks: Streaming<Bytes>) -> Result<u64, Status>;
    async fn ping(&self) -> u64;
}

/// The methods of the server and of the client.
struct House;

fn pour(blocks: u64) -> Streaming<Bytes> {
    Streaming::new(stream::iter(0..blocks).map(|_| Bytes::from_static(&[7; 1000])))
}

async fn drain(mut blocks: Streaming<Bytes>) -> Result<u64, Status> {
    let mut count = 0;
    while let Some(block) = blocks.next().await {
        block.map_err(Status::from)?;
        count += 1;
    }
    Ok(count)
}

impl Mill for House {
    async fn pour(&self, blocks: u64) -> Streaming<Bytes> {
        pour(blocks)
    }
    async fn drain(&self, blocks: Streaming<Bytes>) -> Result<u64, Status> {
        drain(blocks).await
    }
    async fn ping(&self) -> u64 {
        42
    }
}

impl Well for House {
    async fn pour(&self, blocks: u64) -> Streaming<Bytes> {
        pour(blocks)
    }
    async fn drain(&self, blocks: Streaming<Bytes>) -> Result<u64, Status> {
        drain(blocks).await
    }
    async fn ping(&self) -> u64 {
        42
    }
}

/// The limits that the liar announces, which are low.
const LITTLE: PeerLimits =
    PeerLimits { notifies: 1, streams: 100, stream_items: 2, stream_bytes: 10_000, streams_bytes: 1 << 20, ..LIMITS };

/// A peer that sends the frames that the test wants.
struct Liar {
    socket: WebSocketStream<TcpStream>,
    said: u64,
    heard: u64,
    /// The contract of the victim: `Mill` at a server, `Well` at a client.
    contract: &'static rpc_core::contract::ContractDescriptor,
}

/// The side that the liar attacks.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Server,
    Client,
}

const VICTIMS: [Victim; 2] = [Victim::Server, Victim::Client];

/// The handle of the victim.
#[allow(dead_code, reason = "held, so that it lives")]
enum Honest {
    Server(ServerHandle),
    Client(MillClient),
}

fn config() -> Config {
    Config::builder().stream_items(4).stream_window(100_000).max_streams(100).build().unwrap()
}

impl Liar {
    /// Connects a liar with its victim. Returns the liar, and the session and the handle of the victim.
    async fn meet(victim: Victim) -> (Self, Session, Honest) {
        match victim {
            Victim::Server => {
                let server = Server::builder().service(Mill::serve(House)).config(config()).listen("127.0.0.1:0");
                let server = server.await.unwrap();
                let socket = join(server.local_addr()).await;
                let mut liar = Self { socket, said: 0, heard: 0, contract: MillClient::CONTRACT };
                liar.put(0, &[hello(LITTLE, hosted(WellClient::CONTRACT))]).await;
                liar.hear(|frame| matches!(frame, Frame::Welcome(_))).await;
                let session = server.sessions().iter().next().unwrap();
                (liar, session, Honest::Server(server))
            }
            Victim::Client => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("ws://{}/", listener.local_addr().unwrap());
                let welcomed = async {
                    let socket = accept(&listener).await;
                    let mut liar = Self { socket, said: 0, heard: 0, contract: WellClient::CONTRACT };
                    liar.hear(|frame| matches!(frame, Frame::Hello(_))).await;
                    liar.put(0, &[welcome(LITTLE, hosted(MillClient::CONTRACT))]).await;
                    liar
                };
                let connect = MillClient::connect(url).callback(Well::serve(House)).config(config());
                let (liar, mill) = tokio::join!(welcomed, async { connect.await.unwrap() });
                let session = mill.session();
                (liar, session, Honest::Client(mill))
            }
        }
    }

    async fn put(&mut self, seq: u64, frames: &[Frame]) {
        let packet = packet(PacketHeader { seq, ack: self.heard }, frames);
        // The victim may have closed the connection already.
        let _ = self.socket.send(Message::Binary(packet)).await;
    }

    async fn say(&mut self, frames: &[Frame]) {
        self.said += 1;
        self.put(self.said, frames).await;
    }

    /// Makes the frame of a call of the victim.
    fn call(&self, id: u64, method: &str, argument: &'static [u8], streams: &[TransferId]) -> Frame {
        let method = rpc_core::contract::method_id(self.contract.name(), method);
        request(id, method, Payload::Inline(Bytes::from_static(argument)), streams.to_vec().into())
    }

    fn drain(&self, id: u64, streams: &[TransferId]) -> Frame {
        self.call(id, "drain", &[0x91, 0xc0], streams)
    }

    fn pour(&self, id: u64) -> Frame {
        // The argument is 60,000 blocks.
        self.call(id, "pour", &[0x91, 0xcd, 0xea, 0x60], &[])
    }

    /// Waits for a frame that is `wanted`. Returns all frames up to this one.
    async fn hear(&mut self, wanted: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut heard = Vec::new();
        while !heard.last().is_some_and(&wanted) {
            match timeout(SOON, self.socket.next()).await.unwrap().unwrap().unwrap() {
                Message::Binary(packet) => {
                    let (header, frames) = read_packet(packet).unwrap();
                    self.heard = self.heard.max(header.seq);
                    heard.extend(frames.map(Result::unwrap));
                }
                other => panic!("{other:?}"),
            }
        }
        heard
    }

    /// Waits for the answer to a call.
    async fn answer(&mut self, call: u64) -> Vec<Frame> {
        let answers = move |frame: &Frame| match frame {
            Frame::Response { id, .. } | Frame::Error { id, .. } => *id == call,
            _ => false,
        };
        self.hear(answers).await
    }

    /// Asserts that the session still answers calls.
    async fn ping(&mut self, id: u64) {
        let ping = self.call(id, "ping", &[0x90], &[]);
        self.say(&[ping]).await;
        let heard = self.answer(id).await;
        assert!(matches!(heard.last(), Some(Frame::Response { .. })), "{heard:?}");
    }

    /// Reads the code of the Close frame that ends the connection.
    async fn close_code(&mut self) -> u16 {
        loop {
            match timeout(SOON, self.socket.next()).await.unwrap().unwrap().unwrap() {
                Message::Close(frame) => return frame.unwrap().code.into(),
                Message::Binary(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn item(stream: TransferId, len: usize) -> Frame {
    // The header of binary data of less than 64 KiB.
    let head = [0xc5, u8::try_from(len >> 8).unwrap(), u8::try_from(len & 0xff).unwrap()];
    Frame::Item { stream, payload: Payload::Inline([&head[..], &vec![1; len]].concat().into()) }
}

fn end(stream: TransferId) -> Frame {
    Frame::End { stream, error: None }
}

fn long_item(stream: TransferId, total: u64) -> Frame {
    Frame::Item { stream, payload: Payload::announced(stream, total) }
}

fn chunk(transfer: TransferId, len: usize) -> Frame {
    Frame::Chunk { transfer, data: vec![0; len].into() }
}

fn credit(stream: TransferId, items: u64, bytes: u64) -> Frame {
    Frame::Credit { stream, items, bytes, read: 0 }
}

#[tokio::test]
async fn breaches_close_with_1002_and_leave_nothing() {
    let cases: [(&str, &[Frame]); 11] = [
        // The window has four items; the test has read none of them.
        ("items beyond credit", &[item(1, 1), item(1, 1), item(1, 1), item(1, 1), item(1, 1)]),
        ("bytes beyond credit", &[item(1, 60_000), item(1, 60_000), item(1, 1)]),
        ("an item after the end", &[end(1), item(1, 1)]),
        ("a second end", &[end(1), end(1)]),
        ("an item for a stream never opened", &[item(2, 1)]),
        ("credit for a stream never opened", &[credit(7, 1, 1)]),
        ("credit that overflows", &[credit(0, 0, u64::MAX)]),
        ("a chunk for nothing", &[chunk(1, 10)]),
        ("chunks beyond what was announced", &[long_item(1, 70_000), chunk(1, 60_000), chunk(1, 20_000)]),
        ("chunks short of what was announced", &[long_item(1, 70_000), chunk(1, 60_000), end(1)]),
        ("a stream opened twice", &[]),
    ];
    for victim in VICTIMS {
        for (what, frames) in cases {
            let (mut liar, session, _honest) = Liar::meet(victim).await;
            let streams: &[TransferId] = if frames.is_empty() { &[1, 1] } else { &[1] };
            let mut packet = vec![liar.drain(1, streams)];
            packet.extend(frames.iter().cloned());
            liar.say(&packet).await;
            assert_eq!(liar.close_code().await, 1002, "{what}, {victim:?}");
            at_rest(&session).await;
        }
    }
}

/// Chunks of a transfer that its receiver has cancelled are ignored.
#[tokio::test]
async fn chunks_of_a_cancelled_transfer_are_ignored() {
    for victim in VICTIMS {
        let (mut liar, session, _honest) = Liar::meet(victim).await;
        let drain = liar.drain(1, &[1]);
        liar.say(&[drain, long_item(1, 70_000), chunk(1, 30_000)]).await;
        liar.say(&[Frame::Cancel { id: 1, expired: false }]).await;
        let heard = liar.answer(1).await;
        assert!(matches!(heard.last(), Some(Frame::Error { .. })), "{heard:?}");
        liar.say(&[chunk(1, 40_000)]).await;
        liar.say(&[end(1)]).await;
        liar.ping(2).await;
        at_rest(&session).await;
    }
}

/// A producer that gets no credit sends no more items, holds little memory, and still answers calls.
#[tokio::test]
async fn a_receiver_that_grants_nothing_for_ever_gets_no_more() {
    for victim in VICTIMS {
        let (mut liar, session, honest) = Liar::meet(victim).await;
        let pour = liar.pour(1);
        liar.say(&[pour]).await;
        let mut heard = liar.answer(1).await;
        heard.extend(liar.hear(|frame| matches!(frame, Frame::Item { .. })).await);
        for id in 2..100 {
            let ping = liar.call(id, "ping", &[0x90], &[]);
            liar.say(&[ping]).await;
            heard.extend(liar.answer(id).await);
        }
        let items = heard.iter().filter(|frame| matches!(frame, Frame::Item { .. })).count();
        assert_eq!(items, 2, "the items of the initial window, {victim:?}");
        let queued = session.stats().connection.stream_bytes_queued;
        assert!(queued <= 256 * 1024, "{queued} bytes wait for credit, {victim:?}");
        // The stream ends with the session.
        drop((liar, honest));
        timeout(SOON, session.closed()).await.unwrap();
        at_rest(&session).await;
    }
}

#[tokio::test]
async fn ten_thousand_streams_opened_and_dropped_leave_nothing() {
    for victim in VICTIMS {
        let (mut liar, session, _honest) = Liar::meet(victim).await;
        for round in 0..100 {
            let ids = round * 100 + 1..=round * 100 + 100;
            // The liar produces half of the streams and ends them at once. The victim produces the other half, which
            // the liar stops.
            let (own, other) = (ids.clone().take(50), ids.clone().skip(50));
            let frames: Vec<_> =
                own.clone().map(|id| liar.drain(id, &[id])).chain(other.map(|id| liar.pour(id))).collect();
            liar.say(&frames).await;
            let ends: Vec<_> = own.map(end).collect();
            liar.say(&ends).await;
            let (mut answers, mut ended) = (0, 0);
            while answers < 100 || ended < 50 {
                for frame in liar.hear(|frame| matches!(frame, Frame::Response { .. } | Frame::End { .. })).await {
                    match frame {
                        Frame::Response { streams, .. } => {
                            answers += 1;
                            for transfer in &streams {
                                liar.say(&[Frame::Stop { transfer: *transfer }]).await;
                            }
                        }
                        Frame::End { .. } => ended += 1,
                        _ => {}
                    }
                }
            }
        }
        liar.ping(20_000).await;
        at_rest(&session).await;
    }
}
