//! What WebSockets hold of buffers, counted by the allocator: nothing while they are at rest, and while packets are
//! under way what `docs/limits.md` gives.
//!
//! One test, because the allocator counts the whole process.

#![cfg(feature = "raw")]

use std::{
    alloc::System,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
};

use bytes::Bytes;
use rpc_core::{
    Config,
    raw::{RawInfo, RawLimits, RawSocket, Role},
    session::{Transport, TransportError, WebSocket},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1024;
const BINARY: u8 = 0x2;
const FIN: u8 = 0x80;
/// A payload under this mask is the payload itself.
const MASK: [u8; 4] = [0; 4];
const BOTH: [Role; 2] = [Role::Server, Role::Client];
const CONNECTIONS: usize = 100;

/// Bytes that are held now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Bytes that have ever been asked for.
fn asked_for() -> usize {
    ALLOCATOR.stats().bytes_allocated
}

/// What is held, how much of it, and how much it may be.
type Measured = (&'static str, usize, usize);

/// A stream that allocates nothing: it gives out prepared bytes, and takes up to `room` bytes, which it forgets.
#[derive(Clone)]
struct Tape {
    bytes: Arc<Vec<u8>>,
    at: usize,
    room: Arc<AtomicUsize>,
}

impl Tape {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), at: 0, room: AtomicUsize::new(usize::MAX).into() }
    }
}

impl AsyncRead for Tape {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let end = self.bytes.len().min(self.at + buf.remaining());
        if end == self.at {
            return Poll::Pending;
        }
        buf.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tape {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.room.load(Ordering::Relaxed));
        self.room.fetch_sub(taken, Ordering::Relaxed);
        if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A header as a peer of this role's end sends it.
fn header(role: Role, first: u8, len: u64) -> Vec<u8> {
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    let mask = if role == Role::Server { &MASK[..] } else { &[] };
    [&[first, mask_bit | 127], &len.to_be_bytes()[..], mask].concat()
}

fn frame(role: Role, first: u8, len: usize) -> Vec<u8> {
    [header(role, first, len as u64), vec![0; len]].concat()
}

/// An end in this role whose handshake is done.
fn open(role: Role, tape: &Tape) -> WebSocket<Tape> {
    let mut websocket = match role {
        Role::Server => WebSocket::server(tape.clone(), Bytes::new(), &Config::default()),
        Role::Client => WebSocket::client(tape.clone(), Bytes::new(), &Config::default()),
    };
    websocket.handshake_done();
    websocket
}

/// Reads all that is there. Gives the number of packets.
fn read(websocket: &mut WebSocket<Tape>) -> Result<usize, TransportError> {
    let mut packets = 0;
    // A round reads a part of it.
    for _ in 0..100 {
        while let Poll::Ready(packet) = websocket.poll_receive(&mut Context::from_waker(Waker::noop())) {
            packet?;
            packets += 1;
        }
    }
    Ok(packets)
}

/// True if it has all been written.
fn write(websocket: &mut WebSocket<Tape>, packet: &Bytes) -> bool {
    websocket.start_send(packet.clone()).expect("it is open");
    websocket.poll_flush(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn at_rest(role: Role) -> Measured {
    let tape = Tape::new([frame(role, FIN | BINARY, 10), frame(role, FIN | BINARY, 128 * KIB)].concat());
    let (short, long) = (Bytes::from_static(&[0; 10]), Bytes::from(vec![0; 128 * KIB]));
    let mut websockets = Vec::with_capacity(CONNECTIONS);
    let mut before = 0;
    for index in 0..CONNECTIONS {
        let mut websocket = open(role, &tape);
        assert_eq!(read(&mut websocket).expect("it keeps the rules"), 2);
        assert!(write(&mut websocket, &long) && write(&mut websocket, &short));
        websockets.push(websocket);
        // The first ones fill the thread's pool.
        if index == 3 {
            before = held();
        }
    }
    // The handle that notes the wakes of the stream takes 48 bytes.
    ("a WebSocket at rest", (held() - before) / (CONNECTIONS - 4), 64)
}

/// What is asked for because of a length that is no reason to ask for anything.
fn absurd_lengths(role: Role) -> [Measured; 4] {
    [1 << 63, u64::MAX, 1 << 40, 128 * KIB as u64 + 1].map(|len| {
        let mut websocket = open(role, &Tape::new(header(role, FIN | BINARY, len)));
        let before = asked_for();
        assert!(matches!(read(&mut websocket), Err(TransportError::Protocol(_))));
        // The library's state of the WebSocket, if the pool has none, and the error.
        ("a WebSocket with an absurd length", asked_for() - before, 8 * KIB)
    })
}

/// A packet that never ends, and packets that the other side does not read.
fn under_way(role: Role) -> [Measured; 3] {
    let max_packet = Config::default().max_packet();
    let long = Bytes::from(vec![0; max_packet]);
    [100, 32 * KIB, 100 * KIB].map(|fragment| {
        let whole = frame(role, FIN | BINARY, max_packet);
        let count = (max_packet - 1) / fragment;
        let mut begun = [frame(role, BINARY, fragment), frame(role, 0, fragment).repeat(count - 1)].concat();
        // Its length is announced.
        begun.extend(header(role, 0, (max_packet - count * fragment) as u64));
        let tape = Tape::new([whole.repeat(2), begun].concat());
        let mut websocket = open(role, &tape);
        let before = held();
        assert_eq!(read(&mut websocket).expect("it keeps the rules"), 2);
        tape.room.store(1, Ordering::Relaxed);
        assert!(!write(&mut websocket, &long));
        assert!(websocket.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
        ("a WebSocket with packets under way", held() - before, 2 * max_packet + 288 * KIB)
    })
}

/// What a thread keeps of buffers that have grown, for the next connections.
fn pool(role: Role) -> Measured {
    let long = Bytes::from(vec![0; 128 * KIB]);
    let tape = Tape::new(frame(role, FIN | BINARY, 128 * KIB).repeat(3));
    let flush = |websocket: &mut WebSocket<Tape>| websocket.poll_flush(&mut Context::from_waker(Waker::noop()));
    let measure = || {
        let before = held();
        tape.room.store(0, Ordering::Relaxed);
        let mut websockets: Vec<_> = (0..10).map(|_| open(role, &tape)).collect();
        for websocket in &mut websockets {
            assert_eq!(read(websocket).expect("it keeps the rules"), 3);
            assert!(!write(websocket, &long));
        }
        tape.room.store(usize::MAX, Ordering::Relaxed);
        assert!(websockets.iter_mut().all(|websocket| flush(websocket).is_ready()));
        drop(websockets);
        held() - before
    };
    let kept = thread::scope(|scope| scope.spawn(measure).join().expect("it does not panic"));
    ("the pool of a thread", kept, 4 * 512 * KIB + 128 * KIB)
}

/// A raw WebSocket that nothing has happened on, one whose message has been read, and one with messages that are not
/// read: it takes 64 of them, and has read the others from its stream.
fn raw_at_rest(role: Role) -> [Measured; 3] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // One that has read holds the block of a channel; the handle that notes the wakes of the stream is in all.
    let cases = [
        ("a raw WebSocket", 0, 4 * KIB),
        ("a raw WebSocket at rest", 1, 4 * KIB + 128),
        ("a raw WebSocket without reader", 200, 20 * KIB),
    ];
    cases.map(|(what, messages, most)| {
        runtime.block_on(async {
            let tape = Tape::new(frame(role, FIN | BINARY, 10).repeat(messages));
            let mut sockets = Vec::with_capacity(CONNECTIONS);
            let mut before = 0;
            for index in 0..CONNECTIONS {
                let (limits, info) = (RawLimits::default(), RawInfo::default());
                let (mut socket, driver) = RawSocket::driven(tape.clone(), Bytes::new(), role, info, &limits);
                tokio::spawn(driver);
                tokio::task::yield_now().await;
                if messages == 1 {
                    drop(socket.recv().await.expect("it is open").expect("it keeps the rules"));
                }
                sockets.push(socket);
                if index == 3 {
                    before = held();
                }
            }
            (what, (held() - before) / (CONNECTIONS - 4), most)
        })
    })
}

#[test]
fn websockets_hold_buffers_only_for_what_is_under_way() {
    for role in BOTH {
        let mut all = vec![at_rest(role)];
        all.extend(absurd_lengths(role));
        all.extend(under_way(role));
        all.extend(raw_at_rest(role));
        all.push(pool(role));
        for (what, held, most) in all {
            println!("{role:?}, {what}: {held} bytes, {most} at most");
            assert!(held <= most, "{role:?}, {what}: {held} bytes, {most} at most");
        }
    }
}
