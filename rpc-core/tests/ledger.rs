//! The ledger: what a hostile peer makes one end hold, counted by the allocator, beside the bound that `docs/limits.md`
//! gives for it.
//!
//! Each case drives one bound to its end. The peer's packets are copied in one by one, as they come from a socket, so
//! that the connection alone keeps the bytes that are left. One test, because the allocator counts the whole process.

use std::{
    alloc::System,
    collections::VecDeque,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rpc_core::{
    __internals::{
        proto::{
            CallProgress, CallStart, Charges, Completion, Connection, Event, HelloReader, KeptBuffers, Outgoing,
            ServedKey,
        },
        wire::{ErrorBody, Frame, Notify, PacketHeader, Payload, PeerLimits, Request, Rope, read_packet},
    },
    Config, ConnectionInfo, Hosting,
    session::{self, Handshake, WebSocket},
};
use rpc_testing::hello;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A server's end whose peer says what a case wants.
struct Victim {
    connection: Connection,
    events: Vec<Event>,
    /// The shell's account of calls that wait: all of them do.
    kept: KeptBuffers,
    seq: u64,
    before: usize,
}

/// What the peer says it takes: everything.
fn greedy() -> PeerLimits {
    PeerLimits { depth: 16, packet: 128 * KIB as u64, chunk: 64 * KIB as u64, ..PeerLimits::all(1 << 20, 1 << 40) }
}

impl Victim {
    fn new(config: &Config) -> Self {
        let before = allocated();
        let mut reader = HelloReader::new(config.clone(), Instant::now());
        let hello = reader.handle_packet(Instant::now(), packet(0, &[hello(greedy(), Vec::new())]));
        let hello = hello.expect("it keeps the rules").expect("it is the Hello");
        let newcomer = reader.into_newcomer(hello).expect("its limits fit together");
        let (mut connection, early) = Connection::server(1, newcomer, Instant::now());
        connection.accept(Instant::now(), 1, Vec::new(), Vec::new(), early);
        while connection.poll_event().is_some() {}
        while connection.poll_transmit(Instant::now()).is_some() {}
        Self { connection, events: Vec::new(), kept: KeptBuffers::new(config), seq: 0, before }
    }

    fn say(&mut self, frames: &[Frame]) {
        self.seq += 1;
        self.connection.handle_packet(Instant::now(), packet(self.seq, frames));
        self.connection.handle_round(false);
        while let Some(event) = self.connection.poll_event() {
            if let Event::Call { key, call, payload, buffer, streams } = event {
                let (payload, buffer) = self.kept.prepare(payload, buffer);
                self.kept.hold(buffer);
                self.events.push(Event::Call { key, call, payload, buffer, streams });
            }
        }
        // The shell's part: wakers and budgets go where they belong.
        self.connection.take_wakes(&mut Vec::new());
        self.connection.take_released();
    }

    /// Lets refusals go out, so that they are not what is held.
    fn answer(&mut self) {
        while self.connection.poll_transmit(Instant::now()).is_some() {}
    }

    fn held(&self) -> usize {
        allocated() - self.before
    }
}

/// Copied, so that it takes its own length and no more.
fn packet(seq: u64, frames: &[Frame]) -> Bytes {
    rpc_testing::packet(PacketHeader { seq, ack: 0 }, frames).to_vec().into()
}

fn inline(len: usize) -> Payload {
    Payload::Inline(vec![0xc0; len].into())
}

fn request(id: u64, payload: Payload, streams: Vec<u64>) -> Frame {
    let Frame::Request(call) = rpc_testing::request(id, 1, payload, streams.into()) else { unreachable!() };
    Frame::Request(Request { deadline_ms: Some(60_000), ..call })
}

/// Fills a packet up, so that a small frame in it is a small part.
fn filler() -> Vec<Frame> {
    vec![Frame::Cancel { id: u64::MAX, expired: false }; 900]
}

/// One case: what it is, what it may hold, and what it does.
struct Case {
    what: &'static str,
    bound: usize,
    /// At least this part of the bound is reached, so that the case means something.
    reaches: f64,
    attack: Attack,
}

fn arguments(victim: &mut Victim) {
    for id in 1..=1000 {
        victim.say(&[request(id, inline(60 * KIB), Vec::new())]);
        victim.answer();
    }
}

/// Payloads that lack their last chunk, as many as may be under way.
fn begin_transfers(victim: &mut Victim, first: u64) {
    for id in first..first + 64 {
        victim.say(&[request(id, Payload::announced(id, 256 * KIB as u64), Vec::new())]);
        for _ in 0..3 {
            victim.say(&[Frame::Chunk { transfer: id, data: vec![0; 64 * KIB].into() }]);
        }
    }
}

fn small_calls(victim: &mut Victim) {
    for id in 1..=2000 {
        let mut frames = vec![request(id, inline(1), Vec::new())];
        frames.extend(filler());
        victim.say(&frames);
        victim.answer();
    }
}

fn small_oneway_calls(victim: &mut Victim) {
    for _ in 1..=1024 {
        let notify = Notify { method: 1, depth: 0, metadata: Vec::new(), payload: inline(1), missed: None };
        victim.say(&[Frame::Notify(notify)]);
        victim.answer();
    }
}

fn metadata(victim: &mut Victim) {
    for id in 1..=2000 {
        let pairs = (0..160).map(|_| ("k".to_owned(), "v".to_owned())).collect();
        let mut frame = request(id, inline(1), Vec::new());
        if let Frame::Request(request) = &mut frame {
            request.metadata = pairs;
        }
        victim.say(&[frame]);
        victim.answer();
    }
}

fn unread_items(victim: &mut Victim) {
    victim.say(&[request(1, inline(1), (1..=128).collect())]);
    for _ in 0..100 {
        for stream in 1..=64 {
            if victim.connection.stats().stream_bytes_held < 15 * MIB {
                victim.say(&[Frame::Item { stream, payload: inline(60 * KIB) }]);
            }
        }
    }
}

fn tiny_items(victim: &mut Victim) {
    for call in 0..128 {
        victim.say(&[request(call + 1, inline(1), (call * 128 + 1..=call * 128 + 128).collect())]);
    }
    for stream in 1..=16_384 {
        let mut frames = vec![Frame::Item { stream, payload: inline(1) }];
        if stream % 16 == 0 {
            frames.extend(filler());
        }
        victim.say(&frames);
    }
}

fn ended_streams(victim: &mut Victim) {
    let mut stream = 0;
    for call in 1..=1000 {
        let streams: Vec<u64> = (0..16).map(|n| stream + n + 1).collect();
        stream += 16;
        victim.say(&[request(call, inline(1), streams.clone())]);
        for stream in streams {
            victim.say(&[Frame::End { stream, error: Some(ErrorBody::Fault(inline(60 * KIB))) }]);
        }
        victim.answer();
    }
}

fn refusals_that_are_not_read(victim: &mut Victim) {
    for id in 1..=200_000 {
        let mut deep = request(id, inline(1), Vec::new());
        if let Frame::Request(request) = &mut deep {
            request.depth = 17;
        }
        victim.say(&[deep]);
        // Well before the session is given up.
        if id == 4_000 {
            break;
        }
    }
    assert!(victim.connection.is_open());
}

fn items_that_are_not_taken(victim: &mut Victim) {
    victim.say(&[request(1, inline(1), Vec::new())]);
    let completion = Completion::Streaming(Bytes::from_static(&[0xc0]).into(), 16_000);
    let streams = victim.connection.complete(ServedKey::Call(1), completion, Charges::default());
    for _ in 0..3 {
        for id in &streams {
            // As a producer does: it claims first, and makes what it may.
            let Some(room) = victim.connection.poll_stream(*id, Waker::noop()) else { continue };
            let mut items: VecDeque<(Rope, u32)> = VecDeque::new();
            let mut made = 0;
            while items.len() < room.items && made < room.bytes {
                made += 60 * KIB;
                items.push_back((Bytes::from(vec![0; 60 * KIB]).into(), 0));
            }
            victim.connection.push_items(Instant::now(), *id, &mut items);
            assert!(items.is_empty(), "what was claimed is taken");
        }
        victim.answer();
    }
}

fn results_that_are_not_taken(victim: &mut Victim) {
    let mut keys = Vec::new();
    for _ in 0..1000 {
        let mut start = CallStart::default();
        let Ok((key, CallProgress::Admitted)) = victim.connection.begin_call(Instant::now(), &mut start, Waker::noop())
        else {
            panic!("the peer takes it")
        };
        let (metadata, charges, payload) = (Vec::new(), Charges::default(), Bytes::from_static(&[0x90]).into());
        let mut outgoing = Outgoing { method: 1, metadata, payload, streams: 0, charges };
        assert!(victim.connection.send_call(key, &mut outgoing, Waker::noop()));
        keys.push(key);
    }
    let mut ids = Vec::new();
    while let Some(packet) = victim.connection.poll_transmit(Instant::now()) {
        let (_, frames) = read_packet(packet).expect("a packet of ours");
        ids.extend(frames.flatten().filter_map(|frame| match frame {
            Frame::Request(request) => Some(request.id),
            _ => None,
        }));
    }
    for id in ids {
        let streams = Vec::new().into();
        victim.say(&[Frame::Response { id, payload: inline(100 * KIB), streams }]);
    }
    std::mem::forget(keys);
}

/// Everything at once, for the bound of the whole session.
fn everything(victim: &mut Victim) {
    unread_items(victim);
    begin_transfers(victim, 1_000);
    for id in 2_000..2_600 {
        victim.say(&[request(id, inline(60 * KIB), Vec::new())]);
        victim.answer();
    }
    for id in 3_000..3_600 {
        victim.say(&[request(id, inline(4 * KIB), Vec::new())]);
    }
}

type Attack = fn(&mut Victim);

/// What is held no more: each of these ends with nothing under way.
const OVER: [(&str, Attack); 3] = [
    ("calls", |victim| {
        for id in 1..=1000 {
            victim.say(&[request(id, inline(1), Vec::new())]);
        }
        small_oneway_calls(victim);
        for event in std::mem::take(&mut victim.events) {
            let Event::Call { key, .. } = event else { continue };
            let done = Completion::Value(Bytes::from_static(&[0xc0]).into());
            victim.connection.complete(key, done, Charges::default());
        }
        victim.answer();
    }),
    ("payloads that were refused and given up", |victim| {
        for id in 1..=60_000 {
            let mut deep = request(id, Payload::announced(id, 1), Vec::new());
            if let Frame::Request(request) = &mut deep {
                request.depth = 17;
            }
            victim.say(&[deep]);
            victim.answer();
        }
        for transfer in 1..=60_000 {
            victim.say(&[Frame::Abort { transfer }]);
        }
    }),
    ("streams that were produced", |victim| {
        victim.say(&[request(1, inline(1), Vec::new())]);
        let completion = Completion::Streaming(Bytes::from_static(&[0xc0]).into(), 16_000);
        let streams = victim.connection.complete(ServedKey::Call(1), completion, Charges::default());
        victim.events.clear();
        // Each has a producer that waits.
        for id in &streams {
            victim.connection.poll_stream(*id, Waker::noop());
        }
        victim.answer();
        for transfer in 1..=16_000 {
            victim.say(&[Frame::Stop { transfer }]);
        }
        victim.answer();
        assert_eq!(victim.connection.stats().streams_sending, 0);
    }),
];

/// What one end of an idle session takes, its WebSocket included and without its socket.
fn idle_session() -> usize {
    const SESSIONS: usize = 50;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (config, nothing, mut held) = (Config::default(), Hosting::default(), Vec::new());
        let before = allocated();
        let mut pipes = 0;
        for _ in 0..SESSIONS {
            let earlier = allocated();
            let (near, far) = tokio::io::duplex(1024);
            pipes += allocated() - earlier;
            let near = WebSocket::server(near, Bytes::new(), &config);
            let far = WebSocket::client(far, Bytes::new(), &config);
            let (client, driver) = session::connect(far, &nothing, &config, ConnectionInfo::default());
            tokio::spawn(driver);
            let handshake = Handshake::read(near, &config).await.expect("the client says Hello");
            let (server, driver) = handshake.accept(&nothing, ConnectionInfo::default());
            tokio::spawn(driver);
            client.established().await.expect("it opens");
            server.established().await.expect("it opens");
            held.push((server, client));
        }
        (allocated() - before - pipes) / (2 * SESSIONS)
    })
}

#[test]
fn what_a_peer_makes_an_end_hold_is_what_the_ledger_says() {
    let config = Config::default();
    // What the connection takes itself, with tables that have grown.
    let base = 256 * KIB;
    let calls = (config.max_calls() + config.max_depth() * config.nested_calls()) as usize;
    let call = 512 + 4 * KIB;
    let cases = [
        Case { what: "arguments in the frame", bound: config.max_arguments(), reaches: 0.8, attack: arguments },
        Case {
            what: "arguments that never end",
            bound: config.max_arguments(),
            reaches: 0.6,
            attack: |victim| begin_transfers(victim, 1),
        },
        Case { what: "small calls in large packets", bound: calls * call, reaches: 0.05, attack: small_calls },
        Case { what: "small one-way calls", bound: 1024 * call, reaches: 0.05, attack: small_oneway_calls },
        Case { what: "metadata", bound: calls * (call + config.max_metadata()), reaches: 0.2, attack: metadata },
        Case { what: "items that are never read", bound: config.streams_window(), reaches: 0.8, attack: unread_items },
        Case {
            what: "a tiny item of each of many streams",
            bound: 16_384 * (768 + 64),
            reaches: 0.2,
            attack: tiny_items,
        },
        Case {
            what: "errors at the ends of streams",
            bound: config.session_memory() / 4 * 3 - config.outbox_hard(),
            reaches: 0.8,
            attack: ended_streams,
        },
        Case {
            what: "refusals that are not read",
            bound: config.outbox_hard(),
            reaches: 0.7,
            attack: refusals_that_are_not_read,
        },
        Case {
            what: "items that are not taken",
            bound: config.session_memory() / 8 + 16_000 * 768,
            reaches: 0.5,
            attack: items_that_are_not_taken,
        },
        Case {
            what: "results that their callers have not taken",
            bound: config.session_memory() / 4 * 3 - config.outbox_hard(),
            reaches: 0.8,
            attack: results_that_are_not_taken,
        },
        Case { what: "everything at once", bound: config.session_memory(), reaches: 0.5, attack: everything },
    ];
    let idle = idle_session();
    println!("an idle session: {idle} bytes, {} at most", 24 * KIB);
    assert!(idle <= 24 * KIB, "an idle session takes {idle} bytes");
    for Case { what, bound, reaches, attack } in cases {
        let mut victim = Victim::new(&config);
        attack(&mut victim);
        let held = victim.held();
        println!("{what}: {held} bytes held, {bound} at most");
        let most = bound + bound / 2 + base;
        assert!(held <= most, "{what}: {held} bytes are held where {bound} are the bound");
        assert!(held as f64 >= bound as f64 * reaches, "{what}: {held} bytes show little of a bound of {bound}");
        let before = victim.before;
        drop(victim);
        let left = allocated().saturating_sub(before);
        assert!(left < 64 * KIB, "{what}: {left} bytes are left");
    }
    for (what, attack) in OVER {
        let mut victim = Victim::new(&config);
        attack(&mut victim);
        victim.connection.handle_timeout(Instant::now() + Duration::from_secs(5));
        let (held, stats) = (victim.held(), victim.connection.stats());
        assert!(victim.connection.is_open() && stats.memory_held == 0, "{what}: {stats:?}");
        assert!(held <= 8 * KIB, "{what}: {held} bytes are held by a session that does nothing");
    }
}
