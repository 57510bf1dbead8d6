//! `Config`: every limit and every time of a session, by name.

mod check;
mod error;

use std::time::Duration;

pub use check::CheckedConfig;
pub use error::{ConfigError, ConfigValue};

/// The limits and times of one end of a session.
///
/// Every queue has a bound. The bounds that a program may have reason to change are fields here; the others are
/// constants, and `docs/limits.md` lists them. The limits on what this side *takes in* are announced to the other side
/// in the handshake, which then waits on its own side instead of running into them. Start from [`Config::default`] and
/// change what you must:
///
/// ```
/// use std::time::Duration;
///
/// let mut config = rpc_core::Config::default();
/// config.call_timeout = Duration::from_secs(5);
/// config.max_payload = 16 * 1024 * 1024;
/// config.check()?;
/// # Ok::<(), rpc_core::ConfigError>(())
/// ```
///
/// Servers, clients and sessions refuse a value that cannot work, with a [`ConfigError`] that names the field and the
/// least or greatest value that does; [`Config::check`] says so beforehand. Nothing is raised or lowered in silence. A
/// field of bytes or a count takes at most 4,294,967,295 (bytes: 4 GiB), unless its documentation says otherwise.
/// A time has no greatest value: `Duration::MAX` is for ever, and so is anything beyond 30 years, which a clock could
/// not add to the time of day.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes of one packet on the wire, once the handshake is done. Default 128 KiB; at least `chunk` + 512 and
    /// `chunk` + `max_metadata` + 256, and so never less than 768; at most 1 GiB. Payloads are sent in chunks, so no
    /// honest peer needs more; stops a peer from making us hold a huge message.
    pub max_packet: usize,
    /// Bytes that a peer may send before the handshake is done, in all. Default 16 KiB, which is also the least: an
    /// honest peer may send as much, whatever this side would like. At most 1 GiB; no peer of this version sends more
    /// than 16 KiB. Stops strangers from using our memory.
    pub max_handshake: usize,
    /// Bytes of one payload (arguments, a result, a fault, an item). Default 4 MiB; at least 256. More lets through
    /// larger values and costs more memory at once. A larger announced length is refused before a byte is held.
    pub max_payload: usize,
    /// Bytes of payloads being assembled from chunks, in all. Default 16 MiB; at least 1. One payload may always be
    /// under way, also if it is longer. The peer's transfers wait on its own side beyond it. Stops a peer from
    /// beginning many large payloads and ending none.
    pub max_assembly: usize,
    /// Bytes of arguments and metadata of unfinished calls, in all. A call counts if they are longer than 4 KiB
    /// together. Default 16 MiB; 0 takes no such calls. Stops a peer from parking large arguments in slow handlers.
    pub max_arguments: usize,
    /// How deep one payload may nest. Default 128; at least 1, at most 255. Announced to the other side for
    /// information, as are the next two. Deeper ones could overflow the stack of a decoder.
    pub max_payload_nesting: usize,
    /// How many values one payload may hold. Default 1,000,000; at least 2 (arguments are an array of values). With the
    /// size of the type that one-byte values become, this bounds the memory that a payload turns into. Bytes inside of
    /// types are a value each, unless they are sent with `serde_bytes` or as `bytes::Bytes`.
    pub max_payload_values: usize,
    /// How many arrays and maps one payload may hold. Default 131,072; at least 1. As for values.
    pub max_payload_containers: usize,
    /// Bytes of one chunk, and the size above which a payload is sent in chunks. Default 64 KiB; at least 256, at most
    /// 64 MiB; `max_packet` and `outbox_soft` must hold it. Small ones interleave better, large ones cost less. Stops
    /// one large payload from holding up everything else.
    pub chunk: usize,
    /// Calls in flight that the peer may have here, apart from `nested_calls`. Default 1,024; at least 1. More lets a
    /// busy peer do more at once, and costs a handler each. Stops a peer from starting handlers without end.
    pub max_calls: u32,
    /// Calls of each depth of nesting that do not count in `max_calls`. Default 4; at least 1: what lets a callback's
    /// callback through when every other permit waits for it. Each costs a handler at each depth.
    pub nested_calls: u32,
    /// One-way calls that the peer may have outstanding here. Default 1,024; at least 1. As `max_calls`.
    pub max_oneway_calls: u32,
    /// Handlers of `#[rpc(no_cancel)]` methods that may run at once, over all sessions of a server (of one `connect`,
    /// at a client), also those whose sessions have ended meanwhile. Default 4,096; at least 1, without a greatest
    /// value. A call beyond it is refused with `RESOURCE_EXHAUSTED` and not executed; a one-way call is refused too,
    /// which the log says. Stops a peer that connects, starts such methods, leaves and comes again: nothing else bounds
    /// what outlives its session.
    pub max_no_cancel: usize,
    /// How deep calls may nest across the wire. Default 16; 0 takes no call made inside a handler; at most 255. A
    /// deeper call fails with `FAILED_PRECONDITION`, not executed. Stops two sides that call each other for ever.
    pub max_depth: u32,
    /// Streams that the peer may have open here, sending to this side; nor does this side send more of its own,
    /// whatever the peer takes. Default 16,384; 0 is none. A call whose streams would be more fails at its sender, a
    /// result with more at its handler's side, both with `RESOURCE_EXHAUSTED`. Stops a peer that opens streams and
    /// never reads them.
    pub max_streams: u32,
    /// Items of one stream that may be on their way here or wait to be read, to begin with. Default 64; at least 1. It
    /// begins low, so that a slow reader of small items does not read old ones for long, and grows with
    /// `stream_window`. Stops a producer of tiny items from using memory beyond their bytes.
    pub stream_items: u32,
    /// Bytes of items of one stream that may be on their way here or wait to be read, to begin with. Default 256 KiB;
    /// at least 1, at most `max_stream_window`. Each item counts 32 bytes beside its own, and the last one may go
    /// beyond. More is faster over long distances; it is what a reader that stops reading costs.
    pub stream_window: usize,
    /// How far a stream's window may grow while it, and not the reader, holds the stream up. Default 4 MiB; at least
    /// `stream_window`. As much as the link's bandwidth times its round trip is needed for full speed, and one slow
    /// reader may come to hold as much.
    pub max_stream_window: usize,
    /// As `stream_window`, for all streams of the session together. Default 16 MiB; at least 1. Beyond it each stream
    /// may still have one item of up to `chunk` bytes under way, so that no stream waits for the reader of another.
    /// Stops many streams from holding many windows.
    pub streams_window: usize,
    /// Bytes waiting to be written before senders wait. Default 1 MiB; at least `chunk` + `max_metadata` + 512, which
    /// one frame may need. More keeps a fast link busier; less makes small calls wait for less in front of them.
    pub outbox_soft: usize,
    /// Bytes waiting to be written before the session is given up. Default 2 MiB; at least one frame (`chunk` +
    /// `max_metadata` + 512) above `outbox_soft`; at most twice the greatest `outbox_soft`; three quarters of
    /// `session_memory` must hold it beside a call of `max_payload`. Stops a peer that asks and never reads.
    pub outbox_hard: usize,
    /// Bytes of chunks and items under way and not acknowledged, to begin with. Default 192 KiB; at least 128 KiB,
    /// because acknowledgements come every 64 KiB; at most `max_unacked_bulk`. Grows up to that while it holds the
    /// sender up and acknowledgements come about as soon as they ever do, and shrinks when they take longer. Keeps a
    /// small call from waiting behind megabytes in the kernel's buffers.
    pub unacked_bulk: usize,
    /// How far `unacked_bulk` may grow. Default 8 MiB; at least `unacked_bulk`. As much as the link's bandwidth times
    /// its round trip is needed for full speed.
    pub max_unacked_bulk: usize,
    /// How long a caller's wait for an answer may last in all, unless the method or the call says otherwise. Default 60
    /// s; at least 1 ms. For a call with streams among its arguments it is how long nothing may go on: no item is
    /// produced, none is read at the other side, and no answer comes. Stops a peer that never answers from holding
    /// callers.
    pub call_timeout: Duration,
    /// How long a nested call waits for a permit before it fails with `RESOURCE_EXHAUSTED`. Default 1 s; zero does not
    /// wait. Ends deadlocks of chains that hold each other's permits.
    pub nested_wait: Duration,
    /// How long the HTTP upgrade may take, both ends. Default 10 s; at least 10 ms. Stops strangers that connect and
    /// say nothing, or say it a byte at a time.
    pub upgrade_timeout: Duration,
    /// How long Hello (at the server) or Welcome (at the client) may take. Default 5 s; at least 10 ms. Stops strangers
    /// that upgrade and say nothing.
    pub hello_timeout: Duration,
    /// How long closing may take before the socket is dropped. Default 5 s; at least 1 ms. In a drain it may take no
    /// longer than what is left of `drain_timeout`. Stops a peer that does not read the goodbye.
    pub close_timeout: Duration,
    /// How long the `opened` hooks and the objects of a session may take in all before it is refused (at a server
    /// `hello_timeout` holds as well), and each `closed` hook before it is given up. Default 10 s; at least 1 ms. A
    /// server's shutdown waits for `closed` hooks as long as `drain_timeout` allows; they run on after that.
    pub hook_timeout: Duration,
    /// A ping is sent after this much silence from the peer, or at half of `keepalive_timeout` if that is sooner.
    /// Default 15 s; at least 1 s, because a peer takes one ping a second. `Duration::MAX` never pings because of this
    /// field. Less finds out earlier whether a middlebox has forgotten the connection, and keeps more of them from
    /// that; each ping wakes both ends.
    pub keepalive: Duration,
    /// A peer is given up after this much silence. Default 30 s; at least 2 s. Any bytes count. The peer was asked by a
    /// ping before, and had half of this time for its answer; what waits in the socket is read first. Frees what a peer
    /// that has vanished holds.
    pub keepalive_timeout: Duration,
    /// Progress that the peer must make in each period of this length: a message that has begun must grow by 16 KiB, or
    /// end, and so must all payloads together that are arriving in chunks; while payloads and items wait for
    /// acknowledgements, the peer must acknowledge 64 KiB, or all that is under way; and while more than 64 KiB wait to
    /// be written, the peer must take 64 KiB of them. Default 30 s; at least 1 s. Less cuts off peers on slow
    /// links. Stops a peer that sends or reads a byte now and then, to hold memory and handlers.
    pub progress_timeout: Duration,
    /// A write that makes no progress at all in this time ends the session. Default 10 s; at least 1 s. Stops a peer
    /// that does not read.
    pub write_timeout: Duration,
    /// When draining: how long running calls may go on before they are cancelled. Default 10 s; zero cancels them at
    /// once.
    pub drain_grace: Duration,
    /// When draining: how long all of it may take, whatever runs. Default 30 s; zero closes at once. The session is
    /// ended earlier by the time that closing needs (`close_timeout`, but at most a third of this); at least a
    /// twentieth of this is left for `closed` hooks. A server's `shutdown` returns when it is over, even if a session's
    /// thread is blocked. Stops a peer or a handler from holding up a shutdown.
    pub drain_timeout: Duration,
    /// Bytes of metadata of one call, with 48 added for each pair; also of message and details of one status that is
    /// sent, where no more than 8 KiB ever travel. Default 8 KiB; 0 takes none and sends statuses without words; at
    /// most 64 MiB. `max_packet` and `outbox_soft` must hold it.
    /// Stops a peer from sending large payloads where nothing counts them.
    pub max_metadata: usize,
    /// Bytes that the other side can make this one hold in one session, in all, whatever the other limits allow.
    /// Default 64 MiB; at least 1 MiB, without a greatest value; three quarters of it must hold `outbox_hard` and a
    /// call of `max_payload`. A quarter of it, and `outbox_hard`, are set apart for what goes out; the rest is for what
    /// comes in: arguments, payloads that are arriving, items that wait for their reader, results that wait for their
    /// caller. A call, a result, an item or a stream's error beyond it fails with `RESOURCE_EXHAUSTED`; what cannot be
    /// refused, such as a one-way call, closes the session with 1013. Not counted is what decoded values take, and what
    /// handlers keep. Stops a peer that uses every other limit to the full. A server bounds the sum over all of its
    /// sessions as well (`ServerBuilder::memory`).
    pub session_memory: usize,
    /// Bytes of the WebSocket's read buffer, one a connection. Default 32 KiB; at least 512, at most 1 MiB. It is
    /// zeroed at every read: less costs throughput on large payloads, more costs time on small ones and memory, and
    /// beyond 64 KiB no read uses it.
    pub read_buffer: usize,
    /// A poll of a handler, of a hook, or of a stream for its next items, that takes longer is logged with the name of
    /// the method. Default 50 ms; zero logs every poll. A poll that has not returned after this time, and after a
    /// second at least, is logged while it still blocks its thread.
    pub slow_poll: Duration,
}

/// A side hosts no more contracts than this.
pub(crate) const MAX_CONTRACTS: usize = 256;
/// A chunk has at least this many bytes.
pub(crate) const MIN_CHUNK: usize = 256;
/// A packet holds a chunk and at least this many bytes more.
pub(crate) const PACKET_OVERHEAD: usize = 512;
/// Deeper nesting is not counted.
pub(crate) const MAX_DEPTH: u32 = 255;
/// What either end may send before the handshake is done, in all (`docs/protocol.md`, section 4).
pub(crate) const HANDSHAKE: usize = 16 * 1024;
/// Less bulk under way than this would wait for acks that come by time alone: others come every 64 KiB.
pub(crate) const MIN_BULK: usize = 128 * 1024;

impl Config {
    /// After how much silence this end pings: soon enough for an answer before its own patience is over.
    pub(crate) fn ping_interval(&self) -> Duration {
        self.keepalive.min(self.keepalive_timeout / 2)
    }

    /// What may be held of what comes in.
    pub(crate) fn memory_in(&self) -> usize {
        (self.session_memory / 4 * 3).saturating_sub(self.outbox_hard)
    }

    /// What transfers may hold of what goes out.
    #[cfg(feature = "session")]
    pub(crate) fn transfer_memory(&self) -> usize {
        self.session_memory / 8
    }

    /// What items of streams may hold of what goes out.
    pub(crate) fn item_memory(&self) -> usize {
        self.session_memory / 16
    }

    /// How many calls and results may keep the buffer that they were read into.
    pub(crate) fn kept_buffers(&self) -> usize {
        self.session_memory / 16 / self.read_buffer.max(1)
    }
}

impl Default for Config {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            max_packet: 128 * KIB,
            max_handshake: HANDSHAKE,
            max_payload: 4 * MIB,
            max_assembly: 16 * MIB,
            max_arguments: 16 * MIB,
            max_payload_nesting: 128,
            max_payload_values: 1_000_000,
            max_payload_containers: 131_072,
            chunk: 64 * KIB,
            max_calls: 1024,
            nested_calls: 4,
            max_oneway_calls: 1024,
            max_no_cancel: 4096,
            max_depth: 16,
            max_streams: 16_384,
            stream_items: 64,
            stream_window: 256 * KIB,
            max_stream_window: 4 * MIB,
            streams_window: 16 * MIB,
            outbox_soft: MIB,
            outbox_hard: 2 * MIB,
            unacked_bulk: 192 * KIB,
            max_unacked_bulk: 8 * MIB,
            call_timeout: Duration::from_secs(60),
            nested_wait: Duration::from_secs(1),
            upgrade_timeout: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
            hook_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(15),
            keepalive_timeout: Duration::from_secs(30),
            progress_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            drain_grace: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            max_metadata: 8 * KIB,
            session_memory: 64 * MIB,
            read_buffer: 32 * KIB,
            slow_poll: Duration::from_millis(50),
        }
    }
}
