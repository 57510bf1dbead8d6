//! `Connection`: the state machine, its input and its output.
//!
//! Its parts hold the state, and each keeps its own invariants: `link` (what ends with one transport) and `negotiated`
//! beside this folder, `lifecycle`, `outgoing_calls`, `served_calls`, `schedule`, `memory`, `kept_outcomes` and
//! `output`. The other files have the steps that need several parts: `handshake`, `calls` and `completions` for calls
//! that are made here, `serving` and `answering` for calls that are served here, `transfers`, `streams`, `transmit`,
//! `timeouts`, `expiry` and `closing`. Sessions that outlive a link have `resumption`, `links`, `replay`, `turns` and
//! `bye`.
//! `state` has the types in which the connection describes itself to its shell, among them its counts,
//! `ConnectionStats`. Tests and fuzzers look inside by `inspect`.
//!
//! The shell is what runs the state machine: the driver of a session, or a test.

mod answering;
mod behind;
mod bye;
mod call_table;
mod calls;
mod closing;
mod completions;
mod done;
mod expiry;
mod forgetting;
mod handshake;
#[cfg(any(test, fuzzing))]
mod inspect;
mod kept_outcomes;
mod lifecycle;
mod links;
mod memory;
mod oneway_counts;
mod outgoing_calls;
mod output;
mod plain_call;
mod queueing;
mod replay;
mod resumption;
mod schedule;
mod served_calls;
mod serving;
mod state;
mod streams;
mod timeouts;
mod transfers;
mod transmit;
mod turns;

use std::{collections::VecDeque, fmt, mem, task::Waker, time::Instant};

use bytes::Bytes;

use super::{
    Event, ServedKey,
    assembly::Assembly,
    handshake::only_frame,
    link::Link,
    memory_pool::{MemoryPool, Share},
    negotiated::Negotiated,
    outbox::Outbox,
    queue::OnewayQueue,
    rare::Rare,
    sequence::Sequence,
    streams::{Credit, RecvStreams, SendStreams},
    timers::{SessionTimer, earlier},
};
use crate::{
    config::Config,
    error::{ConnectionError, HandshakeViolation, ProtocolError},
    wire::{Frame, HostedContract, PeerLimits, PlainFrame, WithheldContract, read_packet},
};

pub use calls::{CallProgress, CallStart, Charges, Outgoing};
pub use forgetting::Kept;
use kept_outcomes::KeptOutcomes;
use lifecycle::{Lifecycle, Phase};
pub use links::ResumeVerdict;
use memory::Memory;
pub(crate) use memory::counted_arguments;
use outgoing_calls::OutgoingCalls;
use output::Output;
pub use plain_call::{PlainArguments, PlainStart};
pub use resumption::Resumability;
use resumption::Resumption;
use schedule::{DeadlineKey, Schedule};
use served_calls::{Served, ServedCalls, ServedState};
pub use state::{ConnectionStats, LostCalls, RefusedOneway, Released, Role};

/// One end of a connection, without any IO and without a clock: `now` is an argument, and must never go back.
///
/// A connection begins with [`Self::client`] or [`Self::server`]; a server then decides with [`Self::accept`] or
/// [`Self::refuse`].
///
/// Input: [`Self::handle_packet`] for what came in, [`Self::handle_activity`], [`Self::handle_controls`] and
/// [`Self::handle_write`] for how the transport gets on, [`Self::handle_lost`] for its end, [`Self::handle_timeout`]
/// when [`Self::poll_timeout`] has come; [`Self::begin_call`], [`Self::send_call`], [`Self::cancel_call`] from callers;
/// [`Self::complete`] from handlers; [`Self::drain`] and [`Self::close`]. Producers and readers of streams have methods
/// of their own.
///
/// Output of two kinds. After each input, the task that gave it takes [`Self::take_wakes`], [`Self::take_released`] and
/// [`Self::take_stale_wakers`] under the same lock, and acts on them outside. The task that owns the transport then
/// acts on all of [`Self::poll_event`], wakes the tasks that what came in has made ready, writes
/// [`Self::poll_transmit`], and sets its timer to [`Self::poll_timeout`]. Tasks are woken after the events, so that
/// when a caller sees its answer, the calls that came before the answer have begun.
pub struct Connection {
    role: Role,
    id: u64,
    config: Config,
    life: Lifecycle,
    negotiated: Negotiated,
    /// What this end has said of the streams among the arguments of its methods: see [`HostedContract::windows`].
    windows: Box<[(u32, u32)]>,
    /// What ends with the transport. All other fields belong to the session, or are scratch.
    link: Rare<Link>,
    sequence: Sequence,
    /// The length of the packet that is being taken in.
    packet_len: usize,
    /// Frames, transfers and streams that wait to be sent.
    outbox: Outbox,
    /// One-way calls that wait for the other side.
    queue: OnewayQueue,
    /// Calls that are made here.
    calls: OutgoingCalls,
    /// Calls that are served here.
    served: ServedCalls,
    /// Streams that are produced here.
    send_streams: Rare<SendStreams>,
    /// Streams that are read here.
    recv_streams: Rare<RecvStreams>,
    /// Payloads that are arriving in chunks.
    assembly: Rare<Assembly>,
    schedule: Schedule,
    memory: Memory,
    kept_outcomes: KeptOutcomes,
    /// What the session needs to outlive its link.
    resumption: Resumption,
    /// When the session opened, or the first link began.
    opened_at: Instant,
    /// What the shell takes after each input.
    output: Output,
}

impl Connection {
    /// Takes a packet in, and gives the number of its frames. A breach of the protocol ends the connection;
    /// [`Event::Closed`] then says why. At a server, packets that come before [`Self::accept`] or [`Self::refuse`] are
    /// for [`EarlyPackets`](super::EarlyPackets) instead.
    pub fn handle_packet(&mut self, now: Instant, packet: Bytes) -> usize {
        if !self.link.is_there() {
            return 0;
        }
        if self.life.has_ended() {
            self.handle_late_packet(now, packet);
            return 0;
        }
        if self.kept_outcomes.begin_round() {
            self.copy_kept_outcomes();
        }
        self.link.liveness.note_heard(now);
        let mut count = 0;
        if let Err(error) = self.try_handle_packet(now, packet, &mut count) {
            self.fail_protocol(error);
        }
        self.check_outbox();
        self.check_memory();
        self.count_memory();
        count
    }

    fn try_handle_packet(&mut self, now: Instant, packet: Bytes, count: &mut usize) -> Result<(), ProtocolError> {
        if !self.life.is_open() {
            debug_assert!(self.role == Role::Client, "a server keeps what comes before its verdict");
            self.link.handshake_bytes.count(packet.len())?;
        }
        let len = packet.len();
        self.packet_len = len;
        let max = self.config.max_packet();
        if len > max && self.life.is_open() {
            // What the client sends before it has the Welcome is bounded in another way.
            let left = self.link.early_left.checked_sub(len).ok_or(ProtocolError::PacketTooLong { len, max })?;
            self.link.early_left = left;
        }
        let (header, frames) = read_packet(packet)?;
        let mut frames = frames.with_max_metadata(self.config.max_metadata());
        if !self.life.is_open() {
            let first = only_frame(header, frames, false)?;
            self.link.handle_header(&mut self.sequence, header, len, now)?;
            *count += usize::from(first.is_some());
            return first.map_or(Ok(()), |frame| self.handle_welcome(now, frame));
        }
        self.link.handle_header(&mut self.sequence, header, len, now)?;
        self.queue.handle_ack(self.sequence.acked());
        if let Some(links) = self.resumption.granted_mut() {
            links.is_known = true;
            self.handle_acked();
        }
        if header.seq != 0 {
            self.watch_tables(now);
        }
        while self.life.is_open() {
            // A frame may end the connection; then the frames behind it count for nothing.
            if header.seq != 0 {
                if let Some(frame) = frames.next_plain() {
                    *count += 1;
                    self.handle_plain(now, frame)?;
                    continue;
                }
            }
            let Some(frame) = frames.next() else { break };
            let frame = frame?;
            *count += 1;
            if frame.is_sequenced() != (header.seq != 0) {
                return Err(ProtocolError::MisplacedFrame { frame: frame.kind_name(), in_sequenced: header.seq != 0 });
            }
            self.handle_frame(now, frame)?;
        }
        Ok(())
    }

    /// Plain frames, which are all sequenced.
    #[inline(always)]
    fn handle_plain(&mut self, now: Instant, frame: PlainFrame) -> Result<(), ProtocolError> {
        match frame {
            PlainFrame::Request { head, arguments } => self.handle_plain_request(now, head, arguments),
            PlainFrame::Notify { method, depth, arguments, missed } => {
                self.handle_plain_notify(now, method, depth, missed, arguments)
            }
            PlainFrame::Response { id, result } => self.handle_plain_response(id, result),
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame) -> Result<(), ProtocolError> {
        match frame {
            Frame::Request(request) => self.handle_request(now, request),
            Frame::Notify(notify) => self.handle_notify(now, notify),
            Frame::Response { id, payload, streams } => self.handle_response(now, id, payload, streams),
            Frame::Error { id, error } => self.handle_error(now, id, error),
            Frame::Cancel { id, expired } => {
                self.handle_cancel(id, expired);
                Ok(())
            }
            Frame::Chunk { transfer, data } => self.handle_chunk(now, transfer, &data.into_bytes()),
            Frame::Abort { transfer } => self.handle_abort(transfer),
            Frame::Item { stream, payload } => self.handle_item(now, stream, payload),
            Frame::End { stream, error } => self.handle_end(stream, error),
            Frame::Credit { stream, items, bytes, read } => {
                self.handle_credit(now, stream, Credit { items, bytes, read })
            }
            Frame::Stop { transfer } => {
                self.renew_idle_timeout(now, transfer);
                self.handle_stop(transfer);
                Ok(())
            }
            Frame::Done { depth, count, bytes, marked } => self.handle_done(depth, count, bytes, marked),
            Frame::Bye { code, message } => self.handle_bye(now, code, &message),
            Frame::Ping { token } => self.handle_ping(now, token),
            Frame::Pong { token } => self.handle_pong(now, token),
            Frame::GoAway { last_seq, message, after_ms } => {
                self.handle_go_away(last_seq, &message, after_ms);
                Ok(())
            }
            Frame::Hello(_) | Frame::Welcome(_) => Err(HandshakeViolation::Second.into()),
        }
    }

    /// What the shell should act on next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.output.events.pop_front()
    }

    /// Moves all that [`Self::poll_event`] would give to the end of `into`.
    #[inline]
    pub fn take_events(&mut self, into: &mut VecDeque<Event>) {
        if into.is_empty() {
            mem::swap(into, &mut self.output.events);
        } else {
            into.append(&mut self.output.events);
        }
    }

    /// Frees the memory that events needed and do not need any more.
    pub fn trim_events(&mut self) {
        self.output.trim();
    }

    /// Whether [`Self::poll_event`] has something for the shell.
    pub fn has_events(&self) -> bool {
        !self.output.events.is_empty()
    }

    /// When [`Self::handle_timeout`] should be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let link = &self.link;
        // A report that cannot go would be due for ever; an ack lets it go.
        let is_sending = self.life.is_open() && !self.resumption.holds_new_packets();
        let done = if is_sending { link.unless_stuck(self.served.done_due()) } else { None };
        let is_acking = self.life.is_open() || self.resumption.is_granted();
        let ack = if is_acking { link.ack_due() } else { None };
        let timers = earlier(link.timers.next(), self.schedule.next());
        let others = earlier(self.linger_due(), self.queue_due());
        earlier(earlier(timers, others), earlier(done, ack))
    }

    /// Moves the wakers of tasks that can go on to `into`. Wake them outside any lock.
    pub fn take_wakes(&mut self, into: &mut Vec<Waker>) {
        into.append(&mut self.output.wakes);
    }

    /// Wakers that no task waits with any more. Drop them outside any lock: a waker's drop may run foreign code.
    pub fn take_stale_wakers(&mut self) -> Vec<Waker> {
        mem::take(&mut self.output.stale_wakers)
    }

    /// Whether there is nothing for [`Self::take_wakes`], [`Self::take_released`] and [`Self::take_stale_wakers`].
    pub fn has_nothing_for_shell(&self) -> bool {
        let output = &self.output;
        output.wakes.is_empty() && output.stale_wakers.is_empty() && output.released == Released::default()
    }

    /// The parts of the budgets that have become free since the last call of this method.
    pub fn take_released(&mut self) -> Released {
        mem::take(&mut self.output.released)
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The limits that the other side announced; at a client, this end's own before the handshake is done.
    pub fn peer_limits(&self) -> &PeerLimits {
        &self.negotiated.limits
    }

    /// The same, to be kept.
    #[cfg(feature = "session")]
    pub(crate) fn shared_peer_limits(&self) -> &std::sync::Arc<PeerLimits> {
        &self.negotiated.limits
    }

    /// The contracts that the other side said it hosts.
    pub fn peer_contracts(&self) -> &[HostedContract] {
        &self.negotiated.contracts
    }

    /// The contracts that the other side, a server, hosts and does not offer to this side.
    pub fn withheld_contracts(&self) -> &[WithheldContract] {
        &self.negotiated.withheld
    }

    /// Why the connection has ended, if it has.
    pub fn ended(&self) -> Option<&ConnectionError> {
        self.life.ended()
    }

    /// The calls that were made here and that the end has cut off; none before the end.
    pub fn lost_calls(&self) -> LostCalls {
        self.life.lost()
    }

    /// Whether the handshake is done and the connection has not ended.
    pub fn is_open(&self) -> bool {
        self.life.is_open()
    }

    /// Whether this end is draining.
    pub fn is_draining(&self) -> bool {
        self.life.draining
    }

    /// Whether one of both ends is about to leave, and takes no new calls.
    pub fn is_leaving(&self) -> bool {
        self.life.is_leaving()
    }

    /// The time by which a drain of this end has to be over, its goodbye included.
    pub fn end_by(&self) -> Option<Instant> {
        self.life.end_by()
    }

    /// Whether frames wait in the outbox, fewer than `enough` bytes, and more are likely to follow at once.
    pub fn should_batch(&self, enough: usize) -> bool {
        self.outbox.has_frames()
            && self.outbox.bytes() < enough
            && self.calls.slots.live() + self.served.two_way_len() > 1
    }

    /// Whether nothing waits to be sent but an ack, which any packet would carry.
    pub fn owes_ack_alone(&self, now: Instant) -> bool {
        self.life.is_open()
            && self.link.acks.due().is_some_and(|due| due <= now)
            && !self.has_output()
            && !self.owes_credit()
    }

    /// Whether there is anything left to send. Done, Credit and acks do not count, because neither side needs them
    /// after the end, unless the other side waits for the ack of its last words.
    #[inline]
    pub fn has_output(&self) -> bool {
        let waits = self.link.has_output() || self.outbox.has_frames() || self.has_bulk();
        waits || self.resumption.has_output() || self.owes_last_ack()
    }

    /// One-way calls that were made here and dropped, because the other side did not keep up, since the session began.
    pub fn oneway_dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// One-way calls that came in and were not run, since the session began.
    pub fn oneway_refused(&self) -> u64 {
        self.served.oneway_refused()
    }

    /// Whether [`Self::take_refused_oneway`] has something for the log.
    pub fn has_refused_oneway(&self) -> bool {
        self.served.has_refused_oneway()
    }

    /// The last one-way call that came in and was not run, if there is one since the last call of this method. It
    /// belongs in the log, because its caller is not told.
    pub fn take_refused_oneway(&mut self) -> Option<RefusedOneway> {
        self.served.take_refused_oneway()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("id", &self.id)
            .field("life", &self.life)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
