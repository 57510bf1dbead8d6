//! Packets in the log. At trace level the log has kind, id, method and size of each frame, never payloads.

use std::fmt;

use bytes::Bytes;

use crate::{
    peer::SessionId,
    text::excerpt,
    wire::{Frame, HostedContract, Payload, read_packet},
};

/// Names of a peer's contracts that a log line shows.
const MAX_NAMES: usize = 8;

/// The names of the contracts that a peer says it hosts, for the log.
pub(super) struct Names<'a>(pub(super) &'a [HostedContract]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, contract) in self.0.iter().take(MAX_NAMES).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{}", excerpt(&contract.name))?;
        }
        match self.0.len().saturating_sub(MAX_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Logs the frames of a packet; a Hello comes before there is a session. Costs nothing unless trace level is on.
pub(super) fn trace_packet(session: Option<SessionId>, direction: &'static str, packet: &Bytes) {
    if !tracing::enabled!(target: "rpc_core::frames", tracing::Level::TRACE) {
        return;
    }
    let Ok((header, frames)) = read_packet(packet.clone()) else { return };
    for frame in frames.flatten() {
        let (id, method, bytes) = describe(&frame);
        tracing::trace!(
            target: "rpc_core::frames",
            session = session.map(tracing::field::display),
            direction,
            seq = header.seq,
            ack = header.ack,
            kind = frame.kind_name(),
            id,
            method,
            bytes
        );
    }
}

fn describe(frame: &Frame) -> (Option<u64>, Option<u32>, Option<u64>) {
    let len = |payload: &Payload| Some(payload.len());
    match frame {
        Frame::Request(request) => (Some(request.id), Some(request.method), len(&request.payload)),
        Frame::Notify(notify) => (None, Some(notify.method), len(&notify.payload)),
        Frame::Response { id, payload, .. } => (Some(*id), None, len(payload)),
        Frame::Error { id, .. } | Frame::Cancel { id, .. } => (Some(*id), None, None),
        Frame::Chunk { transfer, data } => (Some(*transfer), None, Some(data.len() as u64)),
        Frame::Item { stream, payload } => (Some(*stream), None, len(payload)),
        Frame::Abort { transfer: id }
        | Frame::Stop { transfer: id }
        | Frame::End { stream: id, .. }
        | Frame::Credit { stream: id, .. } => (Some(*id), None, None),
        Frame::Hello(_)
        | Frame::Welcome(_)
        | Frame::Done { .. }
        | Frame::Bye { .. }
        | Frame::Ping { .. }
        | Frame::Pong { .. }
        | Frame::GoAway { .. } => (None, None, None),
    }
}
