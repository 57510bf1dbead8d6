//! What a connection tells of itself.

use super::Connection;
use crate::status::Status;

/// Which end of the handshake a connection is. After the handshake both ends are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Says Hello.
    Client,
    /// Answers with Welcome.
    Server,
}

/// Bytes of a session's budgets: in `Stats` the bytes that are reserved now, in a connection the bytes that have been
/// released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Released {
    /// Bytes of room in the outbox.
    pub room: usize,
    /// Bytes of the budget of transfers.
    pub transfers: usize,
    /// Bytes of the budget of arguments.
    pub arguments: usize,
}

/// A one-way call that came in and was not run. Its caller is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedOneway {
    /// The method's number.
    pub method: u32,
    /// Why it was not run.
    pub status: Status,
}

/// The calls that were made here and that the end of the session has cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostCalls {
    /// Calls that may have run, one-way calls that were not reported done among them.
    pub unknown: usize,
    /// Calls that have not run.
    pub not_executed: usize,
}

/// Counts of what a connection holds now; all zero at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Calls made here and not yet done with, including calls that wait for a permit.
    pub calls_pending: usize,
    /// Calls served here whose completion has not been sent yet.
    pub calls_served: usize,
    /// One-way calls sent and not yet reported done. The report may come 200 ms after a call has ended.
    pub oneway_pending: usize,
    /// One-way calls being served here.
    pub oneway_served: usize,
    /// One-way calls that wait in the queue, because the other side does not keep up.
    pub queued_calls: usize,
    /// What these calls count against `Config::max_queued_bytes`.
    pub queued_bytes: usize,
    /// Bytes of frames waiting to be written.
    pub outbox_bytes: usize,
    /// Bytes of large payloads waiting to be written.
    pub transfer_bytes: usize,
    /// Bytes of large payloads received in part.
    pub assembly_bytes: usize,
    /// Large payloads received in part.
    pub assemblies: usize,
    /// Bytes of chunks and items sent and not acknowledged.
    pub unacked_bulk: usize,
    /// Bytes of packets that would be sent again over another link, because they have not been acknowledged.
    pub replay_bytes: usize,
    /// Streams that are produced here and have not ended.
    pub streams_sending: usize,
    /// Streams that are read here, and streams whose reader has left but whose producer does not know it yet.
    pub streams_receiving: usize,
    /// Bytes of stream items that wait to be sent, with 32 more for each item.
    pub stream_bytes_queued: usize,
    /// Bytes of stream items that have come and were not read, with 32 more for each item.
    pub stream_bytes_held: usize,
    /// Bytes that the other side makes this one hold, which count against `Config::session_memory`.
    pub memory_held: usize,
}

impl Connection {
    /// What the connection holds now.
    pub fn stats(&self) -> ConnectionStats {
        ConnectionStats {
            calls_pending: self.calls.slots.live(),
            calls_served: self.served.two_way_len(),
            oneway_pending: self.calls.oneway_pending(),
            oneway_served: self.served.oneway_len(),
            queued_calls: self.queue.len(),
            queued_bytes: self.queue.bytes(),
            outbox_bytes: self.outbox.bytes(),
            transfer_bytes: self.outbox.transfer_bytes(),
            assembly_bytes: self.assembly.bytes(),
            assemblies: self.assembly.len(),
            streams_sending: self.send_streams.len(),
            streams_receiving: self.recv_streams.len(),
            stream_bytes_queued: self.send_streams.queued(),
            stream_bytes_held: self.recv_streams.held(),
            memory_held: self.memory_held() - self.assembly.pooled_bytes(),
            unacked_bulk: self.link.bulk.under_way(),
            replay_bytes: self.resumption.kept_bytes(),
        }
    }
}
