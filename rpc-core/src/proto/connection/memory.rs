//! What the other side can make this one hold in all, and its bound: `Config::session_memory`.

use bytes::Bytes;

use super::{Connection, ConnectionError, MemoryPool, Phase, Share};
use crate::{
    proto::{Outcome, StreamError, connection::closing::Flush},
    status::Status,
};

/// What a call that is served here takes beside its arguments and metadata, about.
const CALL: usize = 512;
/// A packet up to this length may be kept by each small payload in it, while there are few.
const SMALL_PACKET: usize = 4 * 1024;
/// Arguments and metadata that are longer than this together count against `Config::max_arguments`.
pub(super) const COUNTED_ARGUMENTS: usize = 4 * 1024;

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// `Config::session_memory`.
    Session,
    /// The pool of all sessions.
    Pool,
}

impl Connection {
    /// From now on until its end, what this connection holds counts in a pool as well.
    pub fn join_pool(&mut self, pool: &MemoryPool) {
        self.share = (self.phase != Phase::Ended).then(|| Share::new(pool.clone()));
    }

    /// Tells the pool what is held, if that has changed by enough.
    #[inline]
    pub(super) fn count_memory(&mut self) {
        if self.share.is_none() {
            return;
        }
        let held = self.memory_held();
        let is_short = self.share.as_mut().is_some_and(|share| share.count(held));
        if is_short && self.assembly.has_pooled_buffers() {
            self.trim_memory();
        }
    }

    /// Lets go of memory that is kept for payloads to come, and gives the bytes that are held all the same.
    pub fn trim_memory(&mut self) -> usize {
        self.assembly.clear_buffer_pool();
        let held = self.memory_held();
        if let Some(share) = &mut self.share {
            share.settle(held);
        }
        held
    }

    /// Ends the connection, because the sessions of its pool hold too much together.
    pub fn overload(&mut self, what: String) {
        self.end(ConnectionError::Overloaded(what), Flush::Nothing);
    }

    /// Bytes that the other side makes this one hold: arguments of calls, payloads that are arriving, items and ends of
    /// streams that have not been read, results that callers have not taken, and what tables need for them.
    #[inline]
    pub(super) fn memory_held(&self) -> usize {
        self.served_bytes + self.outcome_bytes + self.assembly.held() + self.recv_streams.memory()
    }

    /// Whether `more` bytes more may be held; otherwise what is full.
    #[inline]
    pub(super) fn has_memory(&mut self, more: usize) -> Result<(), Full> {
        let sum = self.memory_held().saturating_add(more);
        let is_easy = sum <= self.memory_in && self.share.as_ref().is_none_or(|share| share.has_room(sum));
        if is_easy { Ok(()) } else { self.make_room(more) }
    }

    /// Memory that is kept for payloads to come is the first to go.
    #[cold]
    fn make_room(&mut self, more: usize) -> Result<(), Full> {
        self.fits(more).or_else(|full| {
            if !self.assembly.has_pooled_buffers() {
                return Err(full);
            }
            self.assembly.clear_buffer_pool();
            self.fits(more)
        })
    }

    fn fits(&mut self, more: usize) -> Result<(), Full> {
        let held = self.memory_held();
        if held.saturating_add(more) > self.memory_in {
            return Err(Full::Session);
        }
        let full = self.share.as_mut().is_some_and(|share| share.is_full(held, more));
        if full { Err(Full::Pool) } else { Ok(()) }
    }

    #[cold]
    pub(super) fn no_memory(&self, what: &str, full: Full) -> Status {
        Status::resource_exhausted(match full {
            Full::Session => format!(
                "{what} would exceed what one session may make the other side hold, {} bytes in all \
                 (Config::session_memory)",
                self.config.session_memory
            ),
            Full::Pool => format!(
                "{what} would exceed what all sessions together may make the other side hold, {} bytes \
                 (ServerBuilder::memory), and this session would have more than its part of them; try again later, or \
                 send less at once",
                self.share.as_ref().map_or(0, Share::limit)
            ),
        })
    }

    /// Why a payload of `len` bytes is not taken that would make this side hold `more` bytes more; `None` if it is
    /// taken.
    #[inline]
    pub(super) fn refuse_payload(&mut self, what: &str, len: u64, more: usize) -> Option<Status> {
        if len > self.config.max_payload as u64 {
            return Some(self.too_long(what, len));
        }
        match self.has_memory(more) {
            Ok(()) => None,
            Err(full) => Some(self.no_memory(what, full)),
        }
    }

    #[cold]
    fn too_long(&self, what: &str, len: u64) -> Status {
        let limit = self.config.max_payload;
        Status::out_of_range(format!(
            "{what} is {len} bytes long, and this side takes {limit} at most (Config::max_payload)"
        ))
    }

    /// Some of what came cannot be refused. It ends the connection when there is too much of it.
    #[inline]
    pub(super) fn check_memory(&mut self) {
        let limit = self.memory_in;
        let is_over = |connection: &Self| connection.memory_held() > limit + limit / 16;
        if self.phase == Phase::Open && is_over(self) && self.has_memory(0).is_err() && is_over(self) {
            let what = format!(
                "the session held more than {} bytes, as much as one session may make this side hold (Config::session_memory)",
                self.config.session_memory
            );
            self.end(ConnectionError::Overloaded(what), Flush::Nothing);
        }
    }

    /// As [`Self::detach`], for a call or a result. Most of them do not wait, so a payload that is most of its packet,
    /// or lies in a small one, is copied only when `kept_buffers` others wait already.
    #[inline]
    pub(super) fn detach_if_crowded(&self, payload: Bytes, others: usize) -> Bytes {
        let is_small = self.link.packet_len <= SMALL_PACKET || self.link.packet_len <= most_of(payload.len());
        if is_small && others < self.kept_buffers { payload } else { self.detach(payload) }
    }

    /// A payload that may wait for long should not keep much more than it counts.
    pub(super) fn detach(&self, payload: Bytes) -> Bytes {
        if self.keeps_more_than(payload.len()) { Bytes::copy_from_slice(&payload) } else { payload }
    }

    /// Whether a part of this length keeps much more memory than that if it is not copied out of the packet that is
    /// being taken in: the packet, and where that is short, the buffer that a transport may have read many packets
    /// into.
    pub(super) fn keeps_more_than(&self, len: usize) -> bool {
        self.link.packet_len.max(self.config.read_buffer) > most_of(len)
    }
}

/// A payload of `len` bytes is most of what it lies in if that is no longer than this.
fn most_of(len: usize) -> usize {
    len.saturating_add(len / 4)
}

/// What a call takes whose arguments and metadata are this long.
pub(super) fn call_memory(arguments: u64, metadata: usize) -> usize {
    usize::try_from(arguments).unwrap_or(usize::MAX).saturating_add(metadata).saturating_add(CALL)
}

/// What the arguments of a call count against `Config::max_arguments`, at its caller and at its callee alike: all of
/// them with the metadata, unless these are short.
pub(crate) fn counted_arguments(arguments: u64, metadata: usize) -> u64 {
    let len = arguments.saturating_add(metadata as u64);
    if len > COUNTED_ARGUMENTS as u64 { len } else { 0 }
}

impl Outcome {
    /// Whether it holds a payload.
    pub(super) fn count(&self) -> usize {
        usize::from(!matches!(self, Self::Status(_)))
    }

    /// Bytes of the payload that it holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Value(bytes) | Self::Streaming(bytes, _) | Self::Fault(bytes) => bytes.len(),
            Self::Status(_) => 0,
        }
    }
}

impl StreamError {
    /// Bytes that it holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Fault(bytes) => bytes.len(),
            Self::Status(status) => status.size(),
        }
    }
}
