//! What a driver does in one poll: the order of handlers, packets and wakes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use rpc_core::{
    __internals::wire::{Frame, PacketHeader, Payload, PeerLimits, Streams, read_packet},
    CallOptions, Code, Config, ConnectionInfo, Hosting, Session, Stub,
    contract::method_id,
    session::{Driver, Handshake, Memory, Transport, memory},
};
use rpc_testing::{LIMITS, Wrapped, hello, hosted, packet, pass, request};

#[rpc_core::callback]
trait Bell {
    async fn ring(&self) -> u32;
    async fn muffle(&self, with: Bytes);
    async fn cast(&self) -> Bytes;
}

#[rpc_core::service(callback = Bell)]
trait Shop {
    async fn enter(&self);
    async fn carpet(&self) -> Bytes;
}

/// Bytes of a usual block of data.
const BLOCK: usize = 64 * 1024;

/// Notes for each visitor how many packets had been written when the visitor came in.
struct Door {
    packets: Arc<AtomicUsize>,
    visitors: Arc<Mutex<Vec<usize>>>,
}

impl Shop for Door {
    async fn enter(&self) {
        self.visitors.lock().unwrap().push(self.packets.load(SeqCst));
    }

    async fn carpet(&self) -> Bytes {
        vec![7; BLOCK].into()
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A server's driver that the test polls, and what the client would do.
struct Ends {
    session: Session,
    driver: Pin<Box<Driver>>,
    wakes: Arc<Wakes>,
    stuck: Arc<AtomicBool>,
    far: Memory,
    visitors: Arc<Mutex<Vec<usize>>>,
    next: u64,
}

impl Ends {
    async fn open() -> Self {
        let (near, mut far) = memory();
        let packets = Arc::<AtomicUsize>::default();
        let visitors = Arc::<Mutex<Vec<usize>>>::default();
        let door = Door { packets: packets.clone(), visitors: visitors.clone() };
        let hosting = Hosting::builder().service(door.serve()).build().unwrap();
        let limits = PeerLimits { chunk: Config::default().chunk() as u64, ..LIMITS };
        far.start_send(packet(PacketHeader { seq: 0, ack: 0 }, &[hello(limits, hosted(BellClient::CONTRACT))]))
            .unwrap();
        let stuck = Arc::<AtomicBool>::default();
        let near = Wrapped::counting(near, &packets, &stuck);
        let handshake = Handshake::read(near, &Config::default()).await.unwrap();
        let (session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
        let (driver, wakes) = (Box::pin(driver), Arc::default());
        let mut ends = Self { session, driver, wakes, stuck, far, visitors, next: 1 };
        ends.poll();
        assert_eq!(ends.receive().len(), 1, "the Welcome");
        ends
    }

    /// Polls the driver once.
    fn poll(&mut self) {
        let waker = Waker::from(self.wakes.clone());
        assert!(self.driver.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }

    /// How often the driver was woken since this was asked last.
    fn wakes(&self) -> usize {
        self.wakes.0.swap(0, SeqCst)
    }

    /// Sends these frames in one packet.
    fn send(&mut self, frames: &[Frame]) {
        self.far.start_send(packet(PacketHeader { seq: self.next, ack: 0 }, frames)).unwrap();
        self.next += 1;
    }

    /// The packets that have come to the client, as their frames.
    fn receive(&mut self) -> Vec<Vec<Frame>> {
        self.receive_with_acks().into_iter().map(|(_, frames)| frames).collect()
    }

    /// The packets that have come to the client: which packet each acknowledges, and its frames.
    fn receive_with_acks(&mut self) -> Vec<(u64, Vec<Frame>)> {
        let mut packets = Vec::new();
        while let Some(Ok(packet)) = poll_fn(|cx| self.far.poll_receive(cx)).now_or_never() {
            let (header, frames) = read_packet(packet).unwrap();
            packets.push((header.ack, frames.map(Result::unwrap).collect()));
        }
        packets
    }
}

/// The requests of `count` visitors.
fn enter(first: u64, count: u64) -> Vec<Frame> {
    let payload = || Payload::Inline(Bytes::from_static(&[0x90]));
    let one = |id| request(id, method_id("Shop", "enter"), payload(), Streams::default());
    (first..first + count).map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn completions_of_a_batch_go_out_before_the_next_calls_are_served() {
    let cases: [(u64, &[usize]); 6] =
        [(1, &[1]), (31, &[31]), (32, &[32]), (33, &[32, 1]), (64, &[32, 32]), (127, &[32, 32, 32, 31])];
    for (calls, packets) in cases {
        let mut ends = Ends::open().await;
        ends.send(&enter(1, calls));
        ends.poll();
        let answers: Vec<_> = ends.receive().iter().map(Vec::len).collect();
        assert_eq!(answers, packets, "{calls} calls");
        let visitors = ends.visitors.lock().unwrap();
        let served: Vec<_> =
            (0..packets.len()).map(|sent| visitors.iter().filter(|&&n| n == sent + 1).count()).collect();
        assert_eq!(served, packets, "{calls} calls: the Welcome is the first packet");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_is_64_with_128_calls_or_a_backlog() {
    let mut ends = Ends::open().await;
    ends.send(&enter(1, 128));
    ends.poll();
    assert_eq!(ends.receive().iter().map(Vec::len).collect::<Vec<_>>(), [64, 64]);
    // The round before was full, and this one is as well.
    ends.send(&enter(1001, 64));
    ends.poll();
    assert_eq!(ends.receive().iter().map(Vec::len).collect::<Vec<_>>(), [64]);
    // Nothing came in between.
    ends.poll();
    ends.send(&enter(2001, 64));
    ends.poll();
    assert_eq!(ends.receive().iter().map(Vec::len).collect::<Vec<_>>(), [32, 32]);
}

/// When it wakes a task, it notes how many visitors are there.
struct Watch {
    visitors: Arc<Mutex<Vec<usize>>>,
    seen: Mutex<Vec<usize>>,
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        let visitors = self.visitors.lock().unwrap().len();
        self.seen.lock().unwrap().push(visitors);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_sees_its_answer_finds_all_calls_begun_that_came_before_the_answer() {
    let mut ends = Ends::open().await;
    let bell: BellClient = ends.session.client();
    let watch = Arc::new(Watch { visitors: ends.visitors.clone(), seen: Mutex::default() });
    let waker = Waker::from(watch.clone());
    let mut ring = pin!(bell.ring());
    assert!(ring.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    ends.poll();
    let packets = ends.receive();
    let [Frame::Request(ring_request)] = &packets[0][..] else { panic!("{packets:?}") };
    let mut frames = enter(1, 70);
    let payload = Payload::Inline(Bytes::from_static(&[7]));
    frames.push(Frame::Response { id: ring_request.id, payload, streams: Streams::default() });
    ends.send(&frames);
    ends.poll();
    assert_eq!(*watch.seen.lock().unwrap(), [70], "the caller is woken once, when all are there");
    assert_eq!(ring.now_or_never(), Some(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn a_block_of_64_kib_goes_in_one_frame_as_an_argument_and_as_a_result() {
    let mut ends = Ends::open().await;
    let bell: BellClient = ends.session.client();
    let mut muffle = pin!(bell.muffle(vec![7; BLOCK].into()));
    assert!(muffle.as_mut().now_or_never().is_none());
    ends.poll();
    let packets = ends.receive();
    let [Frame::Request(muffle)] = &packets.concat()[..] else { panic!("{} packets", packets.len()) };
    assert!(matches!(&muffle.payload, Payload::Inline(rope) if rope.len() > BLOCK));

    ends.send(&[request(
        1,
        method_id("Shop", "carpet"),
        Payload::Inline(Bytes::from_static(&[0x90])),
        Streams::default(),
    )]);
    ends.poll();
    let packets = ends.receive();
    let [Frame::Response { payload: Payload::Inline(rope), .. }] = &packets.concat()[..] else {
        panic!("{} packets", packets.len())
    };
    assert!(rope.len() > BLOCK);
}

#[tokio::test(start_paused = true)]
async fn an_ack_waits_for_a_call_of_a_caller_that_was_woken_and_not_longer() {
    let mut ends = Ends::open().await;
    let bell: BellClient = ends.session.client();
    for round in 1..=4 {
        let mut cast = Box::pin(bell.cast());
        begin(&mut cast);
        ends.poll();
        let packets = ends.receive_with_acks();
        let [(ack, frames)] = &packets[..] else { panic!("round {round}: {packets:?}") };
        assert_eq!(*ack, round - 1, "the call carries the ack for the last result");
        let [Frame::Request(request)] = &frames[..] else { panic!("round {round}: {frames:?}") };
        let payload = Payload::Inline([&[0xc6, 0, 1, 0, 0][..], &vec![7; BLOCK]].concat().into());
        ends.send(&[Frame::Response { id: request.id, payload, streams: Streams::default() }]);
        ends.wakes();
        ends.poll();
        assert!(ends.receive().is_empty(), "round {round}: the caller has its turn first");
        assert_eq!(ends.wakes(), 1, "round {round}: the driver comes back after the caller");
        assert_eq!(cast.now_or_never().unwrap().unwrap().len(), BLOCK);
    }
    ends.poll();
    assert_eq!(ends.receive_with_acks(), [(4, vec![])], "no call has come");
}

/// Polls a future that has to wait.
fn begin<T: std::fmt::Debug>(call: &mut Pin<Box<impl Future<Output = T>>>) {
    if let Some(early) = call.now_or_never() {
        panic!("{early:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_wake_the_driver_once_a_round() {
    let mut ends = Ends::open().await;
    let bell: BellClient = ends.session.client();
    ends.wakes();
    for round in 0..3 {
        let mut rings: Vec<_> = (0..64).map(|_| Box::pin(bell.ring())).collect();
        rings.iter_mut().for_each(begin);
        assert_eq!(ends.wakes(), 1, "round {round}: 64 callers");
        ends.poll();
        assert_eq!(ends.wakes(), 1, "round {round}: the driver lets other callers call as well");
        let mut late = Box::pin(bell.ring());
        begin(&mut late);
        assert_eq!(ends.wakes(), 0, "round {round}: the driver is about to be polled");
        ends.poll();
        assert_eq!(ends.receive().concat().len(), 65);
        drop((rings, late));
        assert_eq!(ends.wakes(), 1, "round {round}: the calls are given up");
        ends.poll();
        ends.poll();
        ends.wakes();
        ends.receive();
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_whose_write_is_stuck_is_woken_for_each_round_of_callers() {
    let mut ends = Ends::open().await;
    let bell: BellClient = ends.session.client();
    let mut rings: Vec<_> = (0..3).map(|_| Box::pin(bell.ring())).collect();
    ends.stuck.store(true, SeqCst);
    ends.wakes();
    for ring in &mut rings {
        begin(ring);
        assert_eq!(ends.wakes(), 1);
        // Only the second poll does not wait for more callers.
        ends.poll();
        ends.poll();
        ends.wakes();
    }
    assert!(ends.receive().is_empty());
    ends.stuck.store(false, SeqCst);
    ends.poll();
    assert_eq!(ends.receive().concat().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_driver_whose_write_is_stuck_reads_on() {
    let mut ends = Ends::open().await;
    ends.stuck.store(true, SeqCst);
    for round in 1..=5 {
        ends.send(&enter(round * 10, 10));
        ends.poll();
        assert_eq!(ends.visitors.lock().unwrap().len() as u64, round * 10, "what comes is served");
    }
    assert!(ends.receive().is_empty(), "and not answered");
    ends.stuck.store(false, SeqCst);
    ends.poll();
    assert_eq!(ends.receive().concat().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_counts_also_while_a_write_is_stuck() {
    let mut ends = Ends::open().await;
    let bell: BellClient = ends.session.client();
    ends.stuck.store(true, SeqCst);
    let mut long = Box::pin(bell.ring());
    begin(&mut long);
    ends.poll();
    ends.wakes();
    let brief = bell.with(CallOptions::new().timeout(Duration::from_millis(500)));
    let mut short = Box::pin(brief.ring());
    begin(&mut short);
    assert_eq!(ends.wakes(), 1);
    ends.poll();
    ends.poll();
    ends.wakes();
    pass(Duration::from_millis(501)).await;
    assert_eq!(ends.wakes(), 1, "the timer has been set anew");
    ends.poll();
    let failed = short.now_or_never().expect("its time is up").unwrap_err();
    assert_eq!(failed.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_round_takes_in_64_frames_whatever_their_packets() {
    for frames in [1, 8, 64] {
        let mut ends = Ends::open().await;
        for first in (1..=256).step_by(frames) {
            ends.send(&enter(first, frames as u64));
        }
        for round in 1..=4 {
            ends.poll();
            assert_eq!(ends.visitors.lock().unwrap().len(), 64 * round, "packets of {frames}");
        }
    }
}
