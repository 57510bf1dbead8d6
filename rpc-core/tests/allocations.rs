//! Small messages take no allocation each, at the end that gets them: not their arguments or results, which are slices
//! of the packet, and no state of the call, whose memory is used again.
//!
//! One test, because the allocator counts the whole process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    alloc::System,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures::FutureExt;
use rpc_core::{
    __internals::wire::{Frame, Notify, PacketHeader, Payload, Streams, read_packet},
    Config, ConnectionInfo, Hosting, Session, Stub,
    contract::method_id,
    session::{Driver, Handshake, Memory, Transport, memory},
};
use rpc_testing::{LIMITS, hello, hosted, packet, request};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Messages of one packet.
const BATCH: u64 = 64;
/// Packets before counting begins, which make tables and lists as long as they need to be.
const BEFORE: u64 = 10;
/// Packets that count.
const COUNTED: u64 = 50;

#[rpc_core::callback]
trait Echo {
    async fn give(&self) -> Bytes;
}

#[rpc_core::service(callback = Echo)]
trait Store {
    #[rpc(oneway)]
    async fn note(&self, payload: Bytes);
    async fn echo(&self, payload: Bytes) -> Bytes;
}

struct Plain;

impl Store for Plain {
    async fn note(&self, _: Bytes) {}

    async fn echo(&self, payload: Bytes) -> Bytes {
        payload
    }
}

/// A server's end, whose driver the test polls, and what the client would do.
struct End {
    session: Session,
    driver: Pin<Box<Driver>>,
    far: Memory,
    packets: u64,
    calls: u64,
}

impl End {
    async fn open() -> Self {
        let (near, mut far) = memory();
        let hosting = Hosting::builder().service(Plain.serve()).build().unwrap();
        far.start_send(packet(PacketHeader { seq: 0, ack: 0 }, &[hello(LIMITS, hosted(EchoClient::CONTRACT))]))
            .unwrap();
        let handshake = Handshake::read(near, &Config::default()).await.unwrap();
        let (session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
        let mut end = Self { session, driver: Box::pin(driver), far, packets: 0, calls: 0 };
        end.poll();
        end.receive();
        end
    }

    /// Polls the driver until it has done all that it can do now. Gives the number of allocations.
    fn poll(&mut self) -> usize {
        let before = ALLOCATOR.stats();
        for _ in 0..5 {
            assert!(self.driver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        allocations_since(before)
    }

    /// Sends these frames in one packet. Gives the number of allocations that they take.
    fn send(&mut self, frames: &[Frame]) -> usize {
        self.packets += 1;
        self.far.start_send(packet(PacketHeader { seq: self.packets, ack: 0 }, frames)).unwrap();
        self.poll()
    }

    fn receive(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(Ok(packet)) = poll_fn(|cx| self.far.poll_receive(cx)).now_or_never() {
            frames.extend(read_packet(packet).unwrap().1.map(Result::unwrap));
        }
        frames
    }
}

fn allocations_since(before: stats_alloc::Stats) -> usize {
    let now = ALLOCATOR.stats();
    (now.allocations + now.reallocations) - (before.allocations + before.reallocations)
}

/// A small payload: bytes, or a tuple of them.
fn payload(is_tuple: bool) -> Payload {
    let bytes = [&[0xc4, 64][..], &[7; 64]].concat();
    Payload::Inline(if is_tuple { [vec![0x91], bytes].concat() } else { bytes }.into())
}

fn one_way_calls(end: &mut End) -> usize {
    let method = method_id("Store", "note");
    let note =
        || Frame::Notify(Notify { method, depth: 0, metadata: Vec::new(), payload: payload(true), missed: None });
    let taken = end.send(&(0..BATCH).map(|_| note()).collect::<Vec<_>>());
    end.receive();
    taken
}

fn calls_served(end: &mut End) -> usize {
    let method = method_id("Store", "echo");
    let calls = end.calls + 1..=end.calls + BATCH;
    end.calls += BATCH;
    let taken = end.send(&calls.map(|id| request(id, method, payload(true), Streams::default())).collect::<Vec<_>>());
    assert_eq!(end.receive().len() as u64, BATCH);
    taken
}

fn calls_made(end: &mut End) -> usize {
    let echo: EchoClient = end.session.client();
    let mut calls: Vec<_> = (0..BATCH).map(|_| Box::pin(echo.give())).collect();
    for call in &mut calls {
        assert!(call.as_mut().now_or_never().is_none());
    }
    end.poll();
    let answers = end.receive().into_iter().filter_map(|frame| match frame {
        Frame::Request(request) => {
            Some(Frame::Response { id: request.id, payload: payload(false), streams: Streams::default() })
        }
        _ => None,
    });
    let taken = end.send(&answers.collect::<Vec<_>>());
    let before = ALLOCATOR.stats();
    for call in &mut calls {
        let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
        assert_eq!(result.unwrap(), [7; 64][..]);
    }
    taken + allocations_since(before)
}

type Round = fn(&mut End) -> usize;

#[tokio::test(start_paused = true)]
async fn small_messages_take_no_allocation_each() {
    let rounds: [(&str, Round); 3] = [
        ("one-way calls", one_way_calls),
        ("calls that are served", calls_served),
        ("calls that are made", calls_made),
    ];
    for (what, round) in rounds {
        let mut end = End::open().await;
        for _ in 0..BEFORE {
            round(&mut end);
        }
        let taken: usize = (0..COUNTED).map(|_| round(&mut end)).sum();
        let each = taken as f64 / (COUNTED * BATCH) as f64;
        println!("{what}: {each:.3} allocations each");
        assert!(each < 0.2, "{what}: {each:.3} allocations each");
    }
}
