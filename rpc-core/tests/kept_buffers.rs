//! What waits keeps few of the buffers alive that packets were read into, and what does not wait is not copied: calls
//! whose handlers end at their first poll, and results whose callers come for them at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::{pending, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use bytes::Bytes;
use futures::FutureExt;
use rpc_core::{
    __internals::wire::{Frame, Notify, PacketHeader, Payload, Streams, read_packet},
    Concurrency, Config, ConnectionInfo, Hosting, Session, SessionHooks, Status, Stub, async_trait,
    contract::method_id,
    session::{self, Driver, Handshake, Memory, Transport, memory},
};
use rpc_testing::{LIMITS, ReadBuffers, Wrapped, hello, hosted, packet, request, welcome};

const KIB: usize = 1024;
/// A buffer counts at least this much, and these buffers have just this length.
const BUFFER: usize = 32 * KIB;
/// Bytes of a small payload.
const SMALL: usize = 64;

/// Reads each packet into a buffer of its own.
fn reading(inner: Memory, buffers: &ReadBuffers) -> Wrapped<Memory> {
    let buffers = buffers.clone();
    Wrapped::reading(inner, move |packet| buffers.read(&packet, BUFFER))
}

#[rpc_core::callback]
trait Echo {
    async fn echo(&self, payload: Bytes) -> Bytes;
}

#[rpc_core::service(callback = Echo)]
trait Store {
    async fn put(&self, payload: Bytes);
    #[rpc(oneway)]
    async fn note(&self, payload: Bytes);
    async fn wait(&self, payload: Bytes);
    #[rpc(spawn)]
    async fn work(&self, payload: Bytes);
}

/// Keeps what it is given, as long as the test wants.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<Bytes>>>);

impl Store for Shelf {
    async fn put(&self, payload: Bytes) {
        self.0.lock().unwrap().push(payload);
    }

    async fn note(&self, payload: Bytes) {
        self.0.lock().unwrap().push(payload);
    }

    async fn wait(&self, _: Bytes) {
        pending::<()>().await;
    }

    async fn work(&self, _: Bytes) {
        pending::<()>().await;
    }
}

/// One end, whose driver the test polls, and the other end of its transport.
struct End {
    session: Session,
    driver: Pin<Box<Driver>>,
    far: Memory,
    buffers: ReadBuffers,
    shelf: Shelf,
    packets: u64,
    calls: u64,
}

impl End {
    async fn server(config: &Config, concurrency: Concurrency) -> Self {
        let (near, mut far) = memory();
        let buffers = ReadBuffers::default();
        let shelf = Shelf::default();
        let hosting = Hosting::builder().service(shelf.clone().serve().concurrency(concurrency)).build().unwrap();
        far.start_send(packet(PacketHeader { seq: 0, ack: 0 }, &[hello(LIMITS, hosted(EchoClient::CONTRACT))]))
            .unwrap();
        let near = reading(near, &buffers);
        let handshake = Handshake::read(near, config).await.unwrap();
        let (session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
        let mut end = Self { session, driver: Box::pin(driver), far, buffers, shelf, packets: 0, calls: 0 };
        end.poll();
        assert_eq!(end.receive().len(), 1, "the Welcome");
        end
    }

    /// A client whose hook has yet to return.
    fn opening(config: &Config) -> Self {
        let (near, mut far) = memory();
        let buffers = ReadBuffers::default();
        let shelf = Shelf::default();
        let hosting = Hosting::builder().service(shelf.clone().serve()).hooks(Slow).build().unwrap();
        let near = reading(near, &buffers);
        let (session, driver) = session::connect(near, &hosting, config, ConnectionInfo::default());
        far.start_send(packet(PacketHeader { seq: 0, ack: 0 }, &[welcome(LIMITS, Vec::new())])).unwrap();
        Self { session, driver: Box::pin(driver), far, buffers, shelf, packets: 0, calls: 0 }
    }

    /// Polls the driver until it has done all that it can do now.
    fn poll(&mut self) {
        for _ in 0..20 {
            assert!(self.driver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }

    /// Sends these frames in one packet.
    fn send(&mut self, frames: &[Frame]) {
        self.packets += 1;
        self.far.start_send(packet(PacketHeader { seq: self.packets, ack: 0 }, frames)).unwrap();
        self.poll();
    }

    /// A call of the store.
    fn call(&mut self, method: &str, len: usize) -> Frame {
        self.calls += 1;
        request(self.calls, method_id("Store", method), Payload::Inline(arguments(len)), Streams::default())
    }

    /// Makes this many calls, each in a packet of its own.
    fn calls(&mut self, method: &str, len: usize, count: usize) {
        for _ in 0..count {
            let call = self.call(method, len);
            self.send(&[call]);
        }
    }

    fn receive(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(Ok(packet)) = poll_fn(|cx| self.far.poll_receive(cx)).now_or_never() {
            frames.extend(read_packet(packet).unwrap().1.map(Result::unwrap));
        }
        frames
    }

    /// How many buffers are kept.
    fn alive(&self) -> usize {
        self.buffers.kept()
    }
}

/// An `opened` hook that does not end.
struct Slow;

#[async_trait]
impl SessionHooks for Slow {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        pending().await
    }
}

/// One argument of this many bytes.
fn arguments(len: usize) -> Bytes {
    let len16 = u16::try_from(len).unwrap().to_be_bytes();
    [&[0x91, 0xc5][..], &len16, &vec![7; len]].concat().into()
}

/// How many buffers waiting calls may keep.
fn most() -> usize {
    Config::default().session_memory() / 32 / BUFFER
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_wait_are_not_copied() {
    let mut end = End::server(&Config::default(), Concurrency::Multiple).await;
    // Small calls that come together, whose packet is much longer than each of them.
    let calls: Vec<_> = (0..200).map(|_| end.call("put", SMALL)).collect();
    end.send(&calls);
    let shelf = end.shelf.0.lock().unwrap().split_off(0);
    assert_eq!((shelf.len(), end.alive()), (200, 1), "all of them are slices of the packet");
    drop(shelf);
    assert_eq!(end.alive(), 0);
    // Small calls that come one by one.
    end.calls("put", SMALL, 200);
    assert_eq!((end.shelf.0.lock().unwrap().len(), end.alive()), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn one_way_calls_that_do_not_wait_are_not_copied() {
    let mut end = End::server(&Config::default(), Concurrency::Multiple).await;
    let payload = || Payload::Inline(arguments(SMALL));
    let method = method_id("Store", "note");
    let note = || Frame::Notify(Notify { method, depth: 0, metadata: Vec::new(), payload: payload(), missed: None });
    end.send(&(0..200).map(|_| note()).collect::<Vec<_>>());
    assert_eq!((end.shelf.0.lock().unwrap().len(), end.alive()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn handlers_that_wait_keep_few_buffers() {
    for method in ["wait", "work"] {
        let mut end = End::server(&Config::default(), Concurrency::Multiple).await;
        end.calls(method, SMALL, 500);
        assert_eq!(end.alive(), most(), "{method}");
        // What comes after them does not wait, and may wait no longer than it takes.
        end.calls("put", SMALL, 1);
        assert_eq!(end.shelf.0.lock().unwrap().len(), 1);
        assert_eq!(end.alive(), most(), "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_packets_count_by_their_length() {
    let mut end = End::server(&Config::default(), Concurrency::Multiple).await;
    for _ in 0..100 {
        // A small call beside much that nothing is kept of.
        let call = end.call("wait", SMALL);
        let filler = vec![Frame::Cancel { id: u64::MAX, expired: false }; 1000];
        let (beside, long) = (end.call("put", 60_000), [vec![call], filler].concat());
        end.send(&[long, vec![beside]].concat());
    }
    end.shelf.0.lock().unwrap().clear();
    let packet = 60_000 + 1000 * 10;
    let most = Config::default().session_memory() / 32 / packet;
    assert!(end.alive() <= most && end.alive() > most / 2, "{} buffers, {most} at most", end.alive());
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_their_turn_keep_few_buffers() {
    let mut end = End::server(&Config::default(), Concurrency::Single).await;
    end.calls("wait", SMALL, 1);
    end.calls("put", SMALL, 500);
    assert_eq!(end.alive(), most());
    assert_eq!(end.shelf.0.lock().unwrap().len(), 0, "they have not begun");
}

#[tokio::test(start_paused = true)]
async fn buffers_of_handlers_that_have_ended_may_be_kept_again() {
    let mut end = End::server(&Config::default(), Concurrency::Multiple).await;
    for _ in 0..3 {
        let first = end.calls + 1;
        end.calls("wait", SMALL, 2 * most());
        assert_eq!(end.alive(), most());
        let cancels: Vec<_> = (first..=end.calls).map(|id| Frame::Cancel { id, expired: false }).collect();
        end.send(&cancels);
        rpc_testing::settle().await;
        end.poll();
        assert_eq!(end.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_of_which_pieces_may_wait_in_an_answer_is_copied() {
    let mut end = End::server(&Config::default(), Concurrency::Multiple).await;
    // Encoding does not copy bytes of this length.
    let calls: Vec<_> = (0..10).map(|_| end.call("put", 5 * KIB)).collect();
    end.send(&calls);
    assert_eq!((end.shelf.0.lock().unwrap().len(), end.alive()), (10, 0));
    // This one is all of its packet.
    end.calls("put", 5 * KIB, 1);
    assert_eq!(end.alive(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_hooks_keep_no_buffers() {
    let mut end = End::opening(&Config::default());
    // The first ones come together with the Welcome.
    for _ in 0..10 {
        end.packets += 1;
        let call = end.call("put", SMALL);
        end.far.start_send(packet(PacketHeader { seq: end.packets, ack: 0 }, &[call])).unwrap();
    }
    end.poll();
    assert_eq!(end.alive(), 0);
    end.calls("put", SMALL, 100);
    assert_eq!(end.alive(), 0);
    assert_eq!(end.session.stats().connection.calls_served, 110);
}

/// Calls of the peer that have been sent, each in a future that has been polled once.
type Calls = Vec<Pin<Box<dyn Future<Output = Result<Bytes, Status>>>>>;

/// Makes this many calls, and answers them with `len` bytes each, in packets of `batch` answers.
fn answered(end: &mut End, count: usize, len: usize, batch: usize) -> Calls {
    let echo: EchoClient = end.session.client();
    let mut calls = Calls::new();
    for _ in 0..count {
        let echo = echo.clone();
        let mut call = Box::pin(async move { echo.echo(Bytes::new()).await });
        assert!(call.as_mut().now_or_never().is_none());
        calls.push(call);
    }
    end.poll();
    let ids = end.receive().into_iter().filter_map(|frame| match frame {
        Frame::Request(request) => Some(request.id),
        _ => None,
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids.len(), count);
    for ids in ids.chunks(batch) {
        let result = || Payload::Inline(arguments(len).slice(1..));
        let answer = |id: &u64| Frame::Response { id: *id, payload: result(), streams: Streams::default() };
        end.send(&ids.iter().map(answer).collect::<Vec<_>>());
    }
    calls
}

#[tokio::test(start_paused = true)]
async fn results_whose_callers_come_at_once_are_not_copied() {
    let mut end = End::server(&Config::default(), Concurrency::Multiple).await;
    let mut kept = Vec::new();
    for round in 1..=50 {
        let calls = answered(&mut end, 64, SMALL, 64);
        kept.extend(calls.into_iter().map(|call| call.now_or_never().unwrap().unwrap()));
        assert_eq!(end.alive(), round, "the results of a packet are slices of it");
    }
    drop(kept);
    assert_eq!(end.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn results_that_wait_for_their_callers_keep_few_buffers() {
    let mut end = End::server(&Config::default(), Concurrency::Multiple).await;
    let calls = answered(&mut end, 1000, SMALL, 1);
    assert!(end.alive() <= most() + 1, "{} buffers, {} at most", end.alive(), most());
    for call in calls {
        assert_eq!(call.now_or_never().unwrap().unwrap(), [7; SMALL][..]);
    }
    assert_eq!(end.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn at_rest_no_result_keeps_a_buffer() {
    let config = Config::default();
    let mut end = End::server(&config, Concurrency::Multiple).await;
    let calls = answered(&mut end, 10, SMALL, 1);
    assert_eq!(end.alive(), 10);
    rpc_testing::pass(config.keepalive()).await;
    end.poll();
    assert_eq!(end.alive(), 0);
    for call in calls {
        assert_eq!(call.now_or_never().unwrap().unwrap(), [7; SMALL][..]);
    }
}
