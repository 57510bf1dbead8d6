//! What the other side can make this one hold, and the bound of it: `Config::session_memory`.

use bytes::Bytes;

use super::{Connection, ConnectionError, Event, MemoryPool, Share};
use crate::{
    config::Config,
    error::{MemoryLimit, Overload},
    proto::{Outcome, StreamError, connection::closing::Flush},
    status::Status,
    wire::MIN_PIECE,
};

/// About what a call that is served takes beside its arguments and metadata.
const CALL: usize = 512;
/// Arguments and metadata that are longer than this together count against `Config::max_arguments`.
const COUNTED_ARGUMENTS: usize = 4 * 1024;

/// Which bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// `Config::session_memory`.
    Session,
    /// The pool of all sessions.
    Pool,
}

/// The bounds of what this side holds for the other side, and the account of calls and results.
///
/// A call counts from when it is taken in until its end has gone out, and a result until its caller takes it. Payloads
/// that are arriving and items of streams are counted by the tables that hold them. [`Connection::memory_held`] is the
/// sum.
#[derive(Debug)]
pub(super) struct Memory {
    /// The part of `Config::session_memory` that is for input.
    limit: usize,
    /// Bytes of the calls that are served.
    calls: usize,
    /// Bytes of the results that their callers have not taken.
    outcome_bytes: usize,
    /// Bytes of the results and long items that wait for room on their way out. They count in the pool alone.
    waiting_values: usize,
    /// Bytes that the packets take which are kept to be sent again, and without a link all that waits to be sent. They
    /// count in the pool alone, too.
    kept: usize,
    /// This session's part in the pool of all sessions; `None` without a pool, and after the end.
    share: Option<Share>,
}

impl Memory {
    pub(super) fn new(config: &Config) -> Self {
        Self { limit: config.memory_in(), calls: 0, outcome_bytes: 0, waiting_values: 0, kept: 0, share: None }
    }

    #[inline]
    fn held(&self) -> usize {
        self.calls + self.outcome_bytes
    }

    /// Bytes of the results and long items that wait for room on their way out.
    pub(super) fn waiting_values(&self) -> usize {
        self.waiting_values
    }

    /// Counts this much for a call that is served, until [`Self::release_call`].
    #[inline]
    pub(super) fn hold_call(&mut self, bytes: usize) {
        self.calls += bytes;
    }

    #[inline]
    pub(super) fn release_call(&mut self, bytes: usize) {
        self.calls -= bytes;
    }

    /// Counts a result that waits for its caller, until [`Self::release_outcome`].
    #[inline]
    pub(super) fn hold_outcome(&mut self, outcome: &Outcome) {
        self.outcome_bytes += outcome.size();
    }

    #[inline]
    pub(super) fn release_outcome(&mut self, outcome: &Outcome) {
        self.outcome_bytes -= outcome.size();
    }

    /// The part in the pool of a session that holds `held` bytes.
    #[inline]
    fn pooled(&self, held: usize) -> usize {
        held.saturating_add(self.waiting_values).saturating_add(self.kept)
    }

    /// Whether a session that holds `sum` bytes is within both bounds.
    #[inline]
    fn has_room(&self, sum: usize) -> bool {
        sum <= self.limit && self.share.as_ref().is_none_or(|share| share.has_room(self.pooled(sum)))
    }

    /// Which bound leaves no room for `more` bytes beside the `held` ones.
    fn full(&mut self, held: usize, more: usize) -> Option<Full> {
        if held.saturating_add(more) > self.limit {
            return Some(Full::Session);
        }
        let pooled = self.pooled(held);
        let is_full = self.share.as_mut().is_some_and(|share| share.is_full(pooled, more));
        is_full.then_some(Full::Pool)
    }

    /// Whether a session holds a sixteenth more than its bound, so that it must end.
    #[inline]
    fn is_beyond(&self, held: usize) -> bool {
        held > self.limit + self.limit / 16
    }

    /// Counts no calls any more, because the session is over. Results stay until their callers take them.
    pub(super) fn end(&mut self) {
        self.calls = 0;
        self.share = None;
    }
}

impl Connection {
    /// From now on until its end, what this connection holds counts in a pool as well.
    pub fn join_pool(&mut self, pool: &MemoryPool) {
        if !self.life.has_ended() {
            self.memory.share = Some(Share::new(pool.clone()));
        }
    }

    /// Tells the pool how much is held, if that has changed by enough.
    #[inline]
    pub(super) fn count_memory(&mut self) {
        self.count_kept();
        if self.memory.share.is_none() {
            return;
        }
        self.memory.kept = self.kept_output();
        let held = self.memory.pooled(self.memory_held());
        let is_short = self.memory.share.as_mut().is_some_and(|share| share.count(held));
        if is_short && self.assembly.has_pooled_buffers() {
            self.trim_memory();
        }
    }

    /// Frees the memory that is kept for payloads to come. Gives the bytes that are still held.
    pub fn trim_memory(&mut self) -> usize {
        self.assembly.clear_buffer_pool();
        let held = self.memory.pooled(self.memory_held());
        if let Some(share) = &mut self.memory.share {
            share.settle(held);
        }
        held
    }

    /// Shrinks tables to twice what they hold now, and frees the memory that is kept to be used again. That happens so
    /// rarely that a session in use does not notice.
    pub(super) fn trim(&mut self) {
        self.calls.trim();
        self.served.trim();
        self.trim_kept_outcomes();
        self.outbox.trim();
        self.queue.trim();
        self.send_streams.trim(|streams| streams.trim());
        self.recv_streams.trim(|streams| streams.trim());
        self.assembly.trim(|assembly| assembly.trim());
        self.trim_deadlines();
        self.output.trim();
        if let Some(link) = self.link.get_mut() {
            link.trim();
        }
        self.resumption.trim();
        self.output.emit(Event::Trim);
    }

    /// Counts a result or an item of this length that waits for room on its way out, as the value that user code has
    /// made.
    #[cfg(feature = "session")]
    pub(crate) fn value_waits(&mut self, len: usize) {
        self.memory.waiting_values += len;
        self.count_memory();
    }

    /// Counts the value of this length no more, because it has stopped waiting.
    #[cfg(feature = "session")]
    pub(crate) fn value_goes(&mut self, len: usize) {
        self.memory.waiting_values -= len;
        self.count_memory();
    }

    /// Ends the connection, because it holds too much, or the sessions of its pool do together.
    pub fn overload(&mut self, overload: Overload) {
        self.end(ConnectionError::Overloaded(overload), Flush::Nothing);
    }

    /// Bytes that the other side makes this one hold: arguments of calls, payloads that are arriving, items and ends of
    /// streams that have not been read, results that callers have not taken, and what tables need for them.
    #[inline]
    pub(super) fn memory_held(&self) -> usize {
        let assembly = self.assembly.get().map_or(0, |assembly| assembly.held());
        let streams = self.recv_streams.get().map_or(0, |streams| streams.memory());
        self.memory.held() + assembly + streams
    }

    /// Whether `more` bytes more may be held; otherwise what is full.
    #[inline]
    pub(super) fn has_memory(&mut self, more: usize) -> Result<(), Full> {
        let sum = self.memory_held().saturating_add(more);
        if self.memory.has_room(sum) { Ok(()) } else { self.make_room(more) }
    }

    /// Frees the memory that is kept for payloads to come, if that is needed to make room.
    #[cold]
    fn make_room(&mut self, more: usize) -> Result<(), Full> {
        let full = self.memory.full(self.memory_held(), more);
        let Some(full) = full else { return Ok(()) };
        if !self.assembly.has_pooled_buffers() {
            return Err(full);
        }
        self.assembly.clear_buffer_pool();
        self.memory.full(self.memory_held(), more).map_or(Ok(()), Err)
    }

    #[cold]
    pub(super) fn no_memory(&self, what: &str, full: Full) -> Status {
        Status::resource_exhausted(match full {
            Full::Session => format!(
                "{what} would exceed what one session may make the other side hold, {} bytes in all \
                 (Config::session_memory)",
                self.config.session_memory()
            ),
            Full::Pool => format!(
                "{what} would exceed what all sessions together may make the other side hold, {} bytes \
                 (ServerBuilder::memory), and this session would have more than its part of them; try again later, or \
                 send less at once",
                self.memory.share.as_ref().map_or(0, Share::limit)
            ),
        })
    }

    /// Why a payload of `len` bytes is refused that would make this side hold `more` bytes more; `None` if it is taken.
    #[inline]
    pub(super) fn refuse_payload(&mut self, what: &str, len: u64, more: usize) -> Option<Status> {
        if len > self.config.max_payload() as u64 {
            return Some(self.too_long(what, len));
        }
        match self.has_memory(more) {
            Ok(()) => None,
            Err(full) => Some(self.no_memory(what, full)),
        }
    }

    #[cold]
    fn too_long(&self, what: &str, len: u64) -> Status {
        let limit = self.config.max_payload();
        Status::out_of_range(format!(
            "{what} is {len} bytes long, and this side takes {limit} at most (Config::max_payload)"
        ))
    }

    /// Ends the connection if it holds too much: some of what comes in cannot be refused.
    #[inline]
    pub(super) fn check_memory(&mut self) {
        let is_beyond = |connection: &Self| connection.memory.is_beyond(connection.memory_held());
        if self.life.is_open() && is_beyond(self) && self.has_memory(0).is_err() && is_beyond(self) {
            let (max, held) = (self.memory.limit, self.memory_held());
            self.overload(Overload::new(MemoryLimit::Session, max, held));
        }
    }

    /// Takes the payload of a call or a result out of its packet. Gives the payload, and the length of the buffer that
    /// it keeps alive; 0 if it keeps little more than itself. Most calls and results do not wait, so a payload is
    /// copied here only if it is long and its packet is much longer: what a handler sends of it could keep the packet,
    /// since encoding copies shorter ones.
    #[inline]
    pub(super) fn receive_payload(&self, payload: Bytes) -> (Bytes, usize) {
        let (len, buffer) = (payload.len(), self.buffer());
        if buffer <= most_of(len) {
            (payload, 0)
        } else if len < MIN_PIECE || self.packet_len <= most_of(len) {
            (payload, buffer)
        } else {
            (Bytes::copy_from_slice(&payload), 0)
        }
    }

    /// Copies a payload that may wait for long, if it would keep much more memory than it counts.
    pub(super) fn detach(&self, payload: Bytes) -> Bytes {
        if self.keeps_more_than(payload.len()) { Bytes::copy_from_slice(&payload) } else { payload }
    }

    /// Whether a part of this length keeps much more memory alive unless it is copied out of the packet that is being
    /// taken in. Such a part keeps the packet, and with a short packet the buffer that a transport may have read many
    /// packets into.
    pub(super) fn keeps_more_than(&self, len: usize) -> bool {
        self.buffer() > most_of(len)
    }

    /// The length of the buffer that a part of the packet keeps alive.
    #[inline]
    fn buffer(&self) -> usize {
        self.packet_len.max(self.config.packet_buffer())
    }
}

/// The length of the longest buffer that a payload of `len` bytes makes up most of.
fn most_of(len: usize) -> usize {
    len.saturating_add(len / 4)
}

/// The bytes that a call counts against `Config::session_memory` if its arguments and metadata are this long.
pub(super) fn call_memory(arguments: u64, metadata: usize) -> usize {
    usize::try_from(arguments).unwrap_or(usize::MAX).saturating_add(metadata).saturating_add(CALL)
}

/// The bytes that the arguments of a call count against `Config::max_arguments`, at the caller and at the callee alike:
/// arguments and metadata together, or nothing if both are short.
pub(crate) fn counted_arguments(arguments: u64, metadata: usize) -> u64 {
    let len = arguments.saturating_add(metadata as u64);
    if len > COUNTED_ARGUMENTS as u64 { len } else { 0 }
}

impl Outcome {
    /// Bytes of the payload that the outcome holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Value(bytes) | Self::Streaming(bytes, _) | Self::Fault(bytes) => bytes.len(),
            Self::Status(_) => 0,
        }
    }
}

impl StreamError {
    /// Bytes that the error holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Fault(bytes) => bytes.len(),
            Self::Status(status) => status.size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn memory() -> Memory {
        Memory::new(&Config::builder().session_memory(64 * MIB).outbox_soft(MIB / 2).outbox_hard(MIB).build().unwrap())
    }

    #[test]
    fn calls_and_results_count_while_they_are_there() {
        let mut memory = memory();
        let (value, status) = (Outcome::Value(Bytes::from_static(b"four")), Outcome::Status(Status::internal("no")));
        memory.hold_call(100);
        memory.hold_outcome(&value);
        memory.hold_outcome(&status);
        assert_eq!(memory.held(), 104);
        memory.release_call(100);
        memory.release_outcome(&status);
        memory.release_outcome(&value);
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn the_bound_of_the_session_is_exact_and_what_cannot_be_refused_has_a_sixteenth_more() {
        let mut memory = memory();
        let limit = memory.limit;
        assert!(memory.has_room(limit) && !memory.has_room(limit + 1));
        assert_eq!(memory.full(limit, 0), None);
        assert_eq!(memory.full(limit, 1), Some(Full::Session));
        assert!(!memory.is_beyond(limit + limit / 16) && memory.is_beyond(limit + limit / 16 + 1));
    }

    #[test]
    fn the_bound_of_the_pool_holds_beside_that_of_the_session() {
        let (mut memory, pool) = (memory(), MemoryPool::new(MIB));
        memory.share = Some(Share::new(pool.clone()));
        assert!(memory.has_room(MIB) && !memory.has_room(MIB + 1));
        assert_eq!(memory.full(MIB, 1), Some(Full::Pool));
        memory.end();
        assert_eq!((pool.sessions(), memory.full(MIB, 1)), (0, None));
    }

    #[test]
    fn arguments_count_from_a_length_that_both_ends_know() {
        assert_eq!(counted_arguments(COUNTED_ARGUMENTS as u64, 0), 0);
        assert_eq!(counted_arguments(COUNTED_ARGUMENTS as u64, 1), COUNTED_ARGUMENTS as u64 + 1);
        assert_eq!(counted_arguments(u64::MAX, 1), u64::MAX);
    }
}
