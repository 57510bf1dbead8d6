//! `Config`: every limit and every time of a session, by name.

use std::{sync::Arc, time::Duration};

/// The limits and times of one end of a session.
///
/// Every queue and every wait has a bound, and every bound is a field here. The limits on what this side *takes in* are
/// announced to the other side in the handshake, which then waits on its own side instead of running into them.
/// A time of `Duration::MAX` is for ever.
/// Start from [`Config::default`] and change what you must:
///
/// ```
/// use std::time::Duration;
///
/// let mut config = rpc_core::Config::default();
/// config.call_timeout = Duration::from_secs(5);
/// config.max_payload = 16 * 1024 * 1024;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes of one packet on the wire, once the handshake is done. Default 128 KiB. Payloads are chunked, so no honest peer
    /// needs more; stops a peer from making us hold a huge message.
    pub max_packet: usize,
    /// Bytes that a peer may send before the handshake is done, in all. Default 16 KiB. Stops strangers from using our memory.
    pub max_handshake: usize,
    /// Bytes of one payload (arguments, a result, a fault). Default 4 MiB. A larger announced length is refused before a byte is held.
    pub max_payload: usize,
    /// Bytes of payloads being assembled from chunks, in all. Default 16 MiB. The peer's transfers wait on its own side beyond it.
    pub max_assembly: usize,
    /// Bytes of arguments and metadata of unfinished calls, in all. Default 16 MiB. A call counts if they are longer than 4 KiB
    /// together. Stops a peer from parking large arguments in slow handlers.
    pub max_arguments: usize,
    /// How deep one payload may nest. Default 128. Deeper ones could overflow the stack of a decoder.
    pub max_payload_nesting: usize,
    /// How many values one payload may hold. Default 1,000,000. With the size of the type that one-byte values become, this
    /// bounds the memory that a payload turns into.
    pub max_payload_values: usize,
    /// How many arrays and maps one payload may hold. Default 131,072. As for values.
    pub max_payload_containers: usize,
    /// Bytes of one chunk, and the size above which a payload is sent in chunks. Default 64 KiB. Small ones interleave better,
    /// large ones cost less.
    pub chunk: usize,
    /// Calls in flight that the peer may have here, apart from `nested_calls`. Default 1,024, at least 1.
    pub max_calls: u32,
    /// Calls of each depth of nesting that do not count in `max_calls`. Default 4, at least 1: what lets a callback's
    /// callback through when every other permit waits for it.
    pub nested_calls: u32,
    /// One-way calls that the peer may have outstanding here. Default 1,024, at least 1.
    pub max_notifies: u32,
    /// How deep calls may nest across the wire. Default 16. Stops two sides that call each other for ever.
    pub max_depth: u32,
    /// Streams that the peer may have open here, sending to this side; nor does this side send more of its own, whatever the peer takes. Default 16,384. A call whose streams would be more
    /// fails at its sender, a result with more at its handler's side, both with `RESOURCE_EXHAUSTED`. Stops a peer that opens streams and never reads them.
    pub max_streams: u32,
    /// Items of one stream that may be on their way here or wait to be read, to begin with. Default 64, at least 1. It begins low, so that a slow reader of small items does not
    /// read old ones for long, and grows with `stream_window`.
    pub stream_items: u32,
    /// Bytes of items of one stream that may be on their way here or wait to be read, to begin with. Default 256 KiB, at least 1. Each item counts 32 bytes beside its
    /// own, and the last one may go beyond. What a reader that stops reading costs.
    pub stream_window: usize,
    /// How far a stream's window may grow while it, and not the reader, holds the stream up. Default 4 MiB. As much as the link's bandwidth
    /// times its round trip is needed for full speed.
    pub max_stream_window: usize,
    /// As `stream_window`, for all streams of the session together. Default 16 MiB. Beyond it each stream may still have one item of up to `chunk` bytes under way, so that no stream
    /// waits for the reader of another.
    pub streams_window: usize,
    /// Bytes waiting to be written before senders wait. Default 1 MiB.
    pub outbox_soft: usize,
    /// Bytes waiting to be written before the session is given up. Default 2 MiB. Stops a peer that asks and never reads.
    pub outbox_hard: usize,
    /// Bytes of chunks and items under way and not acknowledged, to begin with. Default 192 KiB. Grows up to `max_unacked_bulk` while it
    /// holds the sender up and acknowledgements come about as soon as they ever do, and shrinks when they take longer; never less
    /// than 128 KiB, because acknowledgements come every 64 KiB. Keeps a small call from waiting behind megabytes in the kernel's buffers.
    pub unacked_bulk: usize,
    /// See `unacked_bulk`. Default 8 MiB.
    pub max_unacked_bulk: usize,
    /// How long a caller's wait for an answer may last in all, unless the method or the call says otherwise. Default 60 s. For a call with streams among its arguments
    /// it is how long nothing may go on: no item is produced, none is read at the other side, and no answer comes.
    pub call_timeout: Duration,
    /// How long a nested call waits for a permit before it fails with `RESOURCE_EXHAUSTED`. Default 1 s. Ends deadlocks of
    /// chains that hold each other's permits.
    pub nested_wait: Duration,
    /// How long the HTTP upgrade may take, both ends. Default 10 s.
    pub upgrade_timeout: Duration,
    /// How long Hello (at the server) or Welcome (at the client) may take. Default 5 s.
    pub hello_timeout: Duration,
    /// How long closing may take before the socket is dropped. Default 5 s.
    pub close_timeout: Duration,
    /// How long the `opened` hooks and the objects of a session may take in all before it is refused (at a server [`Self::hello_timeout`] holds as well), and
    /// each `closed` hook before it is given up. Default 10 s. A shutdown waits for `closed` hooks.
    pub hook_timeout: Duration,
    /// A ping is sent after this much silence from the peer, or at half of `keepalive_timeout` if that is sooner. Default 15 s.
    pub keepalive: Duration,
    /// A peer is given up after this much silence. Default 30 s. Any bytes count.
    pub keepalive_timeout: Duration,
    /// A message or chunked payload that has begun must grow by 16 KiB, or end, in each period of this length; and while more than 64 KiB wait to be written,
    /// the peer must take 64 KiB of them. Default 30 s.
    pub progress_timeout: Duration,
    /// A write that makes no progress for so long ends the session. Default 10 s.
    pub write_timeout: Duration,
    /// When draining: how long running calls may go on before they are cancelled. Default 10 s.
    pub drain_grace: Duration,
    /// When draining: after how long the session is closed whatever runs. Default 30 s.
    pub drain_timeout: Duration,
    /// Bytes of metadata of one call, with 48 added for each pair; also of message and details of one status
    /// that is sent, where no more than 8 KiB ever travel. Default 8 KiB.
    pub max_metadata: usize,
    /// Bytes that the other side can make this one hold in one session, in all, whatever the other limits allow. Default 64 MiB. A quarter
    /// of it, and [`Self::outbox_hard`], are set apart for what goes out; the rest is for what comes in: arguments, payloads that are
    /// arriving, items that wait for their reader, results that wait for their caller. A call, a result, an item or a stream's error
    /// beyond it fails with `RESOURCE_EXHAUSTED`; what cannot be refused, such as a one-way call, closes the session with 1013. Not counted is
    /// what decoded values take, and what handlers keep.
    pub session_memory: usize,
    /// Bytes of the WebSocket's read buffer, one a connection. Default 32 KiB. It is zeroed at every read: less costs throughput on
    /// large payloads, more costs time on small ones and memory.
    pub read_buffer: usize,
    /// A poll of a handler, or of a stream for its next items, that takes longer is logged with the name of the method. Default 50 ms.
    pub slow_poll: Duration,
}

/// A side hosts no more contracts than this.
pub(crate) const MAX_CONTRACTS: usize = 256;
/// A chunk has so many bytes at least.
pub(crate) const MIN_CHUNK: usize = 256;
/// A packet holds a chunk and so many bytes more at least.
pub(crate) const PACKET_OVERHEAD: usize = 512;
/// Deeper nesting is not counted.
pub(crate) const MAX_DEPTH: u32 = 255;
/// Longer payloads are not counted.
const MAX_BYTES: usize = u32::MAX as usize;
/// Longer times than this are as good as for ever, and a clock can add them to any time.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl Config {
    /// The same configuration, with what could not work raised to the least that can: counts of at least 1, chunks of at least 256 bytes, packets
    /// that hold a chunk and 512 bytes more, an outbox whose hard limit leaves room beyond the soft one; and with what could not be counted lowered:
    /// payloads to 4 GiB, nesting to 255. Sessions, servers and clients do this themselves.
    #[must_use]
    pub fn sound(self: Arc<Self>) -> Arc<Self> {
        let mut config = (*self).clone();
        config.raise();
        if config == *self { self } else { Arc::new(config) }
    }

    /// After how much silence this end pings: soon enough for an answer before its own patience is over.
    pub(crate) fn ping_interval(&self) -> Duration {
        self.keepalive.min(self.keepalive_timeout / 2)
    }

    fn raise(&mut self) {
        for count in [&mut self.max_calls, &mut self.nested_calls, &mut self.max_notifies, &mut self.stream_items] {
            *count = (*count).max(1);
        }
        self.max_depth = self.max_depth.min(MAX_DEPTH);
        for bytes in [&mut self.max_payload, &mut self.max_assembly, &mut self.max_arguments] {
            *bytes = (*bytes).min(MAX_BYTES);
        }
        for window in [&mut self.stream_window, &mut self.max_stream_window, &mut self.streams_window] {
            *window = (*window).clamp(1, MAX_BYTES);
        }
        self.chunk = self.chunk.max(MIN_CHUNK);
        self.max_packet = self.max_packet.max(self.chunk + PACKET_OVERHEAD);
        let frame = self.chunk + self.max_metadata + PACKET_OVERHEAD;
        self.outbox_soft = self.outbox_soft.max(frame);
        self.outbox_hard = self.outbox_hard.max(self.outbox_soft.saturating_add(frame));
        for time in self.times() {
            *time = (*time).min(FOR_EVER);
        }
    }

    /// What may be held of what comes in.
    pub(crate) fn memory_in(&self) -> usize {
        (self.session_memory / 4 * 3).saturating_sub(self.outbox_hard)
    }

    /// What transfers, and what items of streams, may each hold of what goes out.
    pub(crate) fn memory_out(&self) -> usize {
        self.session_memory / 8
    }

    fn times(&mut self) -> [&mut Duration; 12] {
        [
            &mut self.nested_wait,
            &mut self.upgrade_timeout,
            &mut self.hello_timeout,
            &mut self.close_timeout,
            &mut self.hook_timeout,
            &mut self.keepalive,
            &mut self.keepalive_timeout,
            &mut self.progress_timeout,
            &mut self.write_timeout,
            &mut self.drain_grace,
            &mut self.drain_timeout,
            &mut self.slow_poll,
        ]
    }
}

impl Default for Config {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            max_packet: 128 * KIB,
            max_handshake: 16 * KIB,
            max_payload: 4 * MIB,
            max_assembly: 16 * MIB,
            max_arguments: 16 * MIB,
            max_payload_nesting: 128,
            max_payload_values: 1_000_000,
            max_payload_containers: 131_072,
            chunk: 64 * KIB,
            max_calls: 1024,
            nested_calls: 4,
            max_notifies: 1024,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_raised_and_the_rest_left_alone() {
        let sound = Arc::new(Config::default());
        assert!(Arc::ptr_eq(&sound.clone().sound(), &sound));
        let nothing =
            Config { max_calls: 0, chunk: 0, max_packet: 0, outbox_soft: 0, outbox_hard: 0, ..Config::default() };
        let raised = Arc::new(Config { keepalive: Duration::MAX, ..nothing }).sound();
        assert_eq!((raised.max_calls, raised.chunk, raised.max_packet), (1, 256, 768));
        assert!(raised.outbox_soft >= raised.chunk && raised.outbox_hard > raised.outbox_soft);
        assert_eq!(raised.keepalive, FOR_EVER);
    }
}
