//! The fields of `Config`: one table with the name, the documentation, the default and the valid values of each.

use std::{fmt, ops::RangeInclusive, time::Duration};

use super::{Config, ConfigBuilder, HANDSHAKE, MAX_DEPTH, MIN_BULK, MIN_CHUNK, PACKET_OVERHEAD, error::ConfigValue};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
/// The largest number that the wire and the budgets count.
const MOST: usize = u32::MAX as usize;
/// The largest number that a semaphore counts, which is less where pointers are small.
const PERMITS: usize = if MOST < usize::MAX >> 3 { MOST } else { usize::MAX >> 3 };
const ZERO: Duration = Duration::ZERO;
const FOR_EVER: Duration = Duration::MAX;
const DAY: Duration = secs(24 * 60 * 60);
/// The time that stands for [`FOR_EVER`], because a clock can add it to the present time.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A field by its name, with its value, and the least and the greatest that works.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) field: &'static str,
    pub(super) value: ConfigValue,
    pub(super) least: ConfigValue,
    pub(super) greatest: ConfigValue,
}

/// The type of a field.
pub(super) trait Value: Copy {
    fn value(self) -> ConfigValue;

    #[cfg(test)]
    fn of(value: ConfigValue) -> Self;

    /// A time that a clock can add.
    fn bounded(self) -> Self {
        self
    }
}

impl Value for usize {
    #[cfg(test)]
    fn of(value: ConfigValue) -> Self {
        let ConfigValue::Count(count) = value else { panic!("{value} is a time") };
        count.try_into().expect("the bound of a setting fits its type")
    }

    fn value(self) -> ConfigValue {
        ConfigValue::Count(self as u64)
    }
}

impl Value for u32 {
    #[cfg(test)]
    fn of(value: ConfigValue) -> Self {
        let ConfigValue::Count(count) = value else { panic!("{value} is a time") };
        count.try_into().expect("the bound of a setting fits its type")
    }

    fn value(self) -> ConfigValue {
        ConfigValue::Count(self.into())
    }
}

impl Value for Duration {
    #[cfg(test)]
    fn of(value: ConfigValue) -> Self {
        let ConfigValue::Time(time) = value else { panic!("{value} is no time") };
        time
    }

    fn value(self) -> ConfigValue {
        ConfigValue::Time(self)
    }

    fn bounded(self) -> Self {
        self.min(LONGEST)
    }
}

/// Makes of each row `name: type = default, least..=greatest;` a field of [`Values`], a getter of [`Config`] and a
/// setter of [`ConfigBuilder`]. Both have the documentation of the row.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $range:expr;)*) => {
        /// What [`Config`] and [`ConfigBuilder`] hold.
        #[derive(Clone, PartialEq, Eq)]
        pub(super) struct Values {
            $(pub(super) $field: $type,)*
        }

        impl Config {
            $(
                $(#[doc = $doc])+
                #[inline]
                pub fn $field(&self) -> $type {
                    self.values.$field
                }
            )*
        }

        impl ConfigBuilder {
            $(
                $(#[doc = $doc])+
                pub fn $field(mut self, $field: $type) -> Self {
                    self.values.$field = $field;
                    self
                }
            )*
        }

        const FIELDS: usize = [$(stringify!($field)),*].len();

        #[cfg(test)]
        pub(super) const DOCS: [(&str, &str); FIELDS] = [$((stringify!($field), concat!($($doc),+))),*];

        impl Values {
            pub(super) fn entries(&self) -> [Entry; FIELDS] {
                [$({
                    let range: RangeInclusive<$type> = $range;
                    Entry {
                        field: stringify!($field),
                        value: self.$field.value(),
                        least: range.start().value(),
                        greatest: range.end().value(),
                    }
                }),*]
            }

            #[cfg(test)]
            pub(super) fn set(&mut self, field: &str, value: ConfigValue) {
                match field {
                    $(stringify!($field) => self.$field = Value::of(value),)*
                    _ => panic!("there is no {field}"),
                }
            }

            /// With times that a clock can add.
            pub(super) fn bounded(self) -> Self {
                Self { $($field: self.$field.bounded()),* }
            }

            pub(super) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(name)$(.field(stringify!($field), &self.$field))*.finish()
            }
        }

        impl Default for Values {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }
    };
}

fields! {
    /// Bytes of one packet on the wire, once the handshake is done: what `max_handshake` allows is taken in packets of
    /// any length. Default 128 KiB; at least `chunk` + 512 and `chunk` + `max_metadata` + 256, and so never less than
    /// 768; at most 1 GiB. Payloads are sent in chunks, so no honest peer needs more. Stops a peer from making this
    /// side hold a huge message.
    max_packet: usize = 128 * KIB, MIN_CHUNK + PACKET_OVERHEAD..=GIB;
    /// Bytes that a peer may send before the handshake is done, in all. Default 16 KiB; at least 16 KiB, because an
    /// honest peer may send as much before it knows this limit; at most 64 MiB, and a sixteenth of
    /// `session_memory`, because nothing else counts these bytes. No peer of this version sends more than 16 KiB. Stops
    /// strangers from using this side's memory.
    max_handshake: usize = HANDSHAKE, HANDSHAKE..=64 * MIB;
    /// Bytes of one payload (arguments, a result, a fault, an item). Default 4 MiB; at least 256. A higher limit lets
    /// larger values through and costs more memory at once. A larger announced length is refused before a byte is held.
    max_payload: usize = 4 * MIB, 256..=MOST;
    /// Bytes of payloads being assembled from chunks, in all. Default 16 MiB; at least 1. One payload may always be
    /// under way, also if it is longer. Beyond the limit, the peer's transfers wait on its own side. Stops a peer from
    /// beginning many large payloads and ending none.
    max_assembly: usize = 16 * MIB, 1..=MOST;
    /// Bytes of arguments and metadata of unfinished calls, in all. A call counts if they are longer than 4 KiB
    /// together. Default 16 MiB; 0 takes no such calls. Stops a peer from parking large arguments in slow handlers.
    max_arguments: usize = 16 * MIB, 0..=MOST;
    /// How deep one payload may nest. Default 128; at least 1, at most 255. Announced to the other side for
    /// information, as are the next two limits. A deeper payload could overflow the stack of a decoder.
    max_payload_nesting: usize = 128, 1..=255;
    /// How many values one payload may hold. Default 1,000,000; at least 2 (arguments are an array of values). With the
    /// size of the type that one-byte values become, this bounds the memory that a payload turns into. A byte inside of
    /// a type is a value of its own, unless the bytes are sent with `serde_bytes` or as `bytes::Bytes`.
    max_payload_values: usize = 1_000_000, 2..=MOST;
    /// How many arrays and maps one payload may hold. Default 131,072; at least 1. Bounds memory as
    /// `max_payload_values` does.
    max_payload_containers: usize = 131_072, 1..=MOST;
    /// Bytes of one chunk, and the size above which a payload is sent in chunks. Default 66 KiB, so that 64 KiB of data
    /// and what encodes them go in one frame; at least 256, at most 64 MiB; `max_packet` and `outbox_soft` must hold
    /// it. Small chunks interleave better, large chunks cost less. Stops one large payload from holding up everything
    /// else.
    // The greatest chunk and the most metadata fit the greatest packet and outbox together.
    chunk: usize = 66 * KIB, MIN_CHUNK..=64 * MIB;
    /// Calls in flight that the peer may have here, apart from `nested_calls`. Default 1,024; at least 1. A higher
    /// limit lets a busy peer do more at once; each call costs a handler. Stops a peer from starting handlers without
    /// end.
    max_calls: u32 = 1024, 1..=u32::MAX;
    /// Calls of each depth of nesting that do not count in `max_calls`. Default 4; at least 1. This reserve lets a
    /// callback's callback through when every other permit waits for that call. Each call of the reserve costs a
    /// handler at each depth.
    nested_calls: u32 = 4, 1..=u32::MAX;
    /// One-way calls that the peer may have outstanding here. Default 1,024; at least 1. As `max_calls`.
    max_oneway_calls: u32 = 1024, 1..=u32::MAX;
    /// Handlers of `#[rpc(no_cancel)]` methods that may run at once, over all sessions of a server (of one `connect`,
    /// at a client), also those whose sessions have ended meanwhile. Default 4,096; at least 1, without a greatest
    /// value. A call beyond the limit is refused with `RESOURCE_EXHAUSTED` and not executed; a one-way call is refused
    /// too, and the log says so. Stops a peer that connects, starts such methods, leaves and comes again: nothing else
    /// bounds what outlives its session.
    max_no_cancel: usize = 4096, 1..=usize::MAX;
    /// How deep calls may nest across the wire. Default 16; 0 takes no call made inside a handler; at most 255. A
    /// deeper call fails with `FAILED_PRECONDITION`, not executed. Stops two sides that call each other for ever.
    max_depth: u32 = 16, 0..=MAX_DEPTH;
    /// Streams that the peer may have open to this side. This side opens no more streams than that either, even if
    /// the peer takes more. Default 16,384; 0 is none. A call whose streams would be more fails at its caller, and a
    /// result whose streams would be more fails at the handler's side, both with `RESOURCE_EXHAUSTED`. Stops a peer
    /// that opens streams and never reads them.
    max_streams: u32 = 16_384, 0..=u32::MAX;
    /// Items of one stream that may be on their way here or wait to be read, to begin with. Default 64; at least 1. It
    /// begins low, so that a slow reader of small items does not read old ones for long, and grows with
    /// `stream_window`. Stops a producer of tiny items from using memory beyond their bytes.
    stream_items: u32 = 64, 1..=u32::MAX;
    /// Bytes of items of one stream that may be on their way here or wait to be read, to begin with. Default 256 KiB;
    /// at least 1, at most `max_stream_window`. Each item counts 32 bytes beside its own, and the last one may go
    /// beyond. A larger window is faster over long distances; a reader that stops reading costs this much memory.
    stream_window: usize = 256 * KIB, 1..=MOST;
    /// How far a stream's window may grow while the window, and not the reader, holds the stream up. Default 4 MiB; at
    /// least `stream_window`. As much as the link's bandwidth times its round trip is needed for full speed, and one
    /// slow reader may come to hold as much.
    max_stream_window: usize = 4 * MIB, 1..=MOST;
    /// As `stream_window`, for all streams of the session together. Default 16 MiB; at least 1. Beyond the window, each
    /// stream may still have one item of up to `chunk` bytes under way, so that no stream waits for the reader of
    /// another. Stops many streams from holding many windows.
    streams_window: usize = 16 * MIB, 1..=MOST;
    /// Bytes waiting to be written before senders wait. Default 1 MiB; at least `chunk` + `max_metadata` + 512, which
    /// one frame may need. A higher limit keeps a fast link busier; with a lower limit, small calls have less in front
    /// of them.
    outbox_soft: usize = MIB, MIN_CHUNK + PACKET_OVERHEAD..=PERMITS;
    /// Bytes waiting to be written before the session is given up. Default 2 MiB; at least one frame (`chunk` +
    /// `max_metadata` + 512) above `outbox_soft`; at most twice the greatest `outbox_soft`; three quarters of
    /// `session_memory` must hold it beside a call of `max_payload`. Stops a peer that asks and never reads.
    outbox_hard: usize = 2 * MIB, 2 * (MIN_CHUNK + PACKET_OVERHEAD)..=2 * PERMITS;
    /// Bytes of chunks and items under way and not acknowledged, to begin with. Default 192 KiB; at least 128 KiB,
    /// because acknowledgements come every 64 KiB; at most `max_unacked_bulk`. Grows up to that while the bound holds
    /// the sender up and acknowledgements come about as soon as they ever do, and shrinks when acknowledgements take
    /// longer. Keeps a small call from waiting behind megabytes in the kernel's buffers.
    unacked_bulk: usize = 192 * KIB, MIN_BULK..=MOST;
    /// How far `unacked_bulk` may grow. Default 8 MiB; at least `unacked_bulk`. As much as the link's bandwidth times
    /// its round trip is needed for full speed.
    max_unacked_bulk: usize = 8 * MIB, MIN_BULK..=MOST;
    /// How long a caller may wait for an answer in all, unless the method or the call says otherwise. Default 60 s; at
    /// least 1 ms. For a call with streams among its arguments, this is how long nothing may happen, unless the method
    /// or the call says otherwise with `idle_timeout`: no item is produced, none is read at the other side, and no
    /// answer comes. Stops a peer that never answers from holding callers.
    call_timeout: Duration = secs(60), ms(1)..=FOR_EVER;
    /// How long a nested call waits for a permit before it fails with `RESOURCE_EXHAUSTED`. Default 1 s; zero does not
    /// wait. Ends deadlocks of chains of calls that hold each other's permits.
    nested_wait: Duration = secs(1), ZERO..=FOR_EVER;
    /// How long the HTTP upgrade may take, at both ends, with a server's authenticator and the source of a client's
    /// credential. Default 10 s; at least 10 ms. Stops strangers that connect and say nothing, or say it a byte at a
    /// time.
    upgrade_timeout: Duration = secs(10), ms(10)..=FOR_EVER;
    /// How long Hello (at the server) or Welcome (at the client) may take, with a server's authenticator and hooks.
    /// Default 5 s; at least 10 ms. The client waits a tenth longer, so that it hears why a server with the same
    /// setting gives up. Stops strangers that upgrade and say nothing.
    hello_timeout: Duration = secs(5), ms(10)..=FOR_EVER;
    /// How long closing may take before the socket is dropped. Default 5 s; at least 1 ms. In a drain it may take no
    /// longer than what is left of `drain_timeout`. Stops a peer that does not read the goodbye.
    close_timeout: Duration = secs(5), ms(1)..=FOR_EVER;
    /// How long the `opened` hooks and the objects of a session may take in all before it is refused, how long the
    /// `resuming` hooks may take in all before they count as having refused (at a server both have no longer than
    /// `hello_timeout` leaves), and how long each `closed` hook may take before it is given up. Default 10 s; at least
    /// 1 ms. A server's shutdown waits for `closed` hooks as long as `drain_timeout` allows; the hooks run on after
    /// that.
    hook_timeout: Duration = secs(10), ms(1)..=FOR_EVER;
    /// A ping is sent after this much silence from the peer, or at half of `keepalive_timeout` if that is sooner.
    /// Default 15 s; at least 1 s, because a peer takes one ping a second. `Duration::MAX` never pings because of this
    /// field. A shorter time finds out earlier whether a middlebox has forgotten the connection, and keeps more
    /// middleboxes from forgetting it; each ping wakes both ends.
    keepalive: Duration = secs(15), secs(1)..=FOR_EVER;
    /// A peer is given up after this much silence. Default 30 s; at least 2 s. Any bytes count. Before that, a ping
    /// asks the peer, which has half of this time for its answer; what waits in the socket is read first. Frees what a
    /// peer that has vanished holds.
    keepalive_timeout: Duration = secs(30), secs(2)..=FOR_EVER;
    /// After a sleep of the machine: how long the peer has for a sign of life before it is given up. Default 5 s; at
    /// least 1 s. Most clocks of programs stand still while the machine sleeps, so `keepalive_timeout` does not notice
    /// that the peer has been gone for hours. When the clock on the wall has run ahead of the program's clock by more
    /// than twice this time, this side pings at once, and waits for this time. It compares the clocks when a timer of
    /// the session fires: each `keepalive` at the latest, or each half of `keepalive_timeout` if that is sooner. A
    /// shorter time notices shorter sleeps, and is too short for a slow link; a clock that is set forward counts as a
    /// sleep. `Duration::MAX` never looks. Stops a peer that has vanished during a sleep from holding calls for
    /// `keepalive_timeout` more.
    wake_check: Duration = secs(5), secs(1)..=FOR_EVER;
    /// Progress that the peer must make in each period of this length: a message that has begun must grow by 16 KiB, or
    /// end, and so must all payloads together that are arriving in chunks; while payloads and items wait for
    /// acknowledgements, the peer must acknowledge 64 KiB, or all that is under way; and while more than 64 KiB wait to
    /// be written, the peer must take 64 KiB of them. Default 30 s; at least 1 s. A shorter time cuts off peers on slow
    /// links. Stops a peer that sends or reads a byte now and then, to hold memory and handlers.
    progress_timeout: Duration = secs(30), secs(1)..=FOR_EVER;
    /// A write that makes no progress at all in this time ends the session, or at a server the connection whose HTTP
    /// request is being answered. Default 10 s; at least 1 s. Stops a peer that does not read.
    write_timeout: Duration = secs(10), secs(1)..=FOR_EVER;
    /// When draining: how long running calls may go on before they are cancelled, and how long this side waits for the
    /// calls that it has made itself. Default 10 s; zero cancels the calls at once.
    drain_grace: Duration = secs(10), ZERO..=FOR_EVER;
    /// When draining: how long the whole drain may take, even if calls or hooks still run. Default 30 s; zero closes at
    /// once. The session is ended earlier by the time that closing needs (`close_timeout`, but at most a third of
    /// this); at least a twentieth of this is left for `closed` hooks. A server's `shutdown` returns when this time is
    /// over, even if a session's thread is blocked. Stops a peer or a handler from holding up a shutdown.
    drain_timeout: Duration = secs(30), ZERO..=FOR_EVER;
    /// When draining: clients are asked to come back after a random part of this time, so that those of a server that
    /// restarts do not come back all at once. Default 0 s, which asks for nothing; at most 86,400 s. Clients that
    /// [connect again](crate::guide::reconnecting) wait that long after the end of their session.
    reconnect_spread: Duration = ZERO, ZERO..=DAY;
    /// How long a session lives on when its link is lost, so that its client can go on with it over another one.
    /// Default 60 s; at most 86,400 s; with 0 the session ends with its link. At a client this is what it asks for; at
    /// a server it is the most that a client gets, if it has shown an identity or `ServerBuilder::resume_anonymous` is
    /// set. See the guide's page on [reconnecting](crate::guide::reconnecting). Stops vanished clients from holding
    /// their sessions for ever.
    resume_window: Duration = secs(60), ZERO..=DAY;
    /// How long a handler that keeps others waiting waits itself for a client, or a server, that has lost its link:
    /// when the handler has the turn of an object that serves all sessions one call after another
    /// ([`Concurrency`](crate::Concurrency)), or its chain has. Then its two-way calls to the other side, and its own
    /// waits for items of the other side's streams, fail with `UNAVAILABLE`. So do its one-way calls that would have to
    /// wait, because permits or room are used up; all others are taken. Tasks that the handler spawns go on. Default
    /// 5 s, counted from the loss of the link and with each loss anew; zero fails them at once. All other calls wait
    /// for up to `resume_window`. Stops one client that has lost its link from holding up all others.
    detached_turn: Duration = secs(5), ZERO..=FOR_EVER;
    /// In a session that can be resumed: bytes of packets that may wait to be acknowledged, because they are kept to be
    /// sent again over another link. Each packet counts 64 bytes beside its own. Chunks of large payloads and items of
    /// streams do not count here; of them as many bytes again may be under way, if `max_unacked_bulk` allows as many,
    /// and 128 KiB at least. So this is also the most that such a session moves each round trip. Default 1 MiB; at
    /// least 1, with which each packet waits for the acknowledgement of the one before. Calls wait while this is used
    /// up. Stops a peer that acknowledges nothing.
    replay_buffer: usize = MIB, 1..=MOST;
    /// One-way calls that may wait in a session's queue for the other side, apart from those whose policy is
    /// [`Overflow::Disconnect`](crate::Overflow::Disconnect). Default 64; at least 1. Beyond the limit, the policy of a
    /// call says what happens ([`Overflow`](crate::Overflow)). A longer queue bears a longer pause of a reader, who
    /// then reads older calls. Stops a peer that does not keep up from holding what is sent to it.
    max_queued_calls: usize = 64, 1..=MOST;
    /// Bytes of arguments that may wait in a session's queue for the other side; each call counts 64 bytes beside its
    /// own. Default 256 KiB; at least 1. One call may always wait, also if it is longer. As `max_queued_calls`, but all
    /// calls count. For a second after the oldest of them was sent, calls whose policy is
    /// [`Overflow::Disconnect`](crate::Overflow::Disconnect) may have `max_payload` more.
    max_queued_bytes: usize = 256 * KIB, 1..=MOST;
    /// How long a call whose policy is [`Overflow::Disconnect`](crate::Overflow::Disconnect) may wait in the queue
    /// before the session ends with close code 1013. Default 10 s; at least 1 ms. The time stands still while the
    /// session has no link, and begins anew with the next link. Stops a peer that does not keep up from delaying others
    /// or missing calls without knowing it.
    queue_timeout: Duration = secs(10), ms(1)..=FOR_EVER;
    /// Bytes of metadata of one call, with 48 added for each pair; also bytes of the message and the details of one
    /// status that is sent, where no more than 8 KiB ever travel. Default 8 KiB; 0 takes none and sends statuses
    /// without words; at most 64 MiB. `max_packet` and `outbox_soft` must hold it. Stops a peer from sending large
    /// payloads where nothing counts them.
    max_metadata: usize = 8 * KIB, 0..=64 * MIB;
    /// Bytes that the other side can make this one hold in one session, in all, even if the other limits allow more.
    /// Default 64 MiB; at least 1 MiB, without a greatest value; three quarters of it must hold `outbox_hard` and a
    /// call of `max_payload`, and a sixteenth of it `max_handshake`. A quarter of it, and `outbox_hard`, are set apart
    /// for what goes out; the rest is for what comes in: arguments, payloads that are arriving, items that wait for
    /// their reader, results that wait for their caller. A call, a result, an item or a stream's error beyond the bound
    /// fails with `RESOURCE_EXHAUSTED`; what cannot be refused, such as a one-way call, closes the session with 1013.
    /// What decoded values take and what handlers keep is not counted. Stops a peer that uses every other limit to the
    /// full. A server bounds the sum over all of its sessions as well (`ServerBuilder::memory`).
    session_memory: usize = 64 * MIB, MIB..=usize::MAX;
    /// Bytes of the WebSocket's read buffer, which a connection has only while a packet is on its way. Default 4 KiB;
    /// at least 512, at most 1 MiB. The buffer is zeroed for every packet: a larger one costs memory, and time on small
    /// payloads, and a smaller one costs time on large payloads. The connections of a thread share buffers of up to 64
    /// KiB; a longer one is made anew each time.
    read_buffer: usize = 4 * KIB, 512..=MIB;
    /// A poll of a handler, of a hook, or of a stream for its next items, that takes longer is logged with the name of
    /// the method. Default 50 ms; zero logs every poll. A poll that has not returned after this time, and after a
    /// second at least, is logged while it still blocks its thread.
    slow_poll: Duration = ms(50), ZERO..=FOR_EVER;
}
