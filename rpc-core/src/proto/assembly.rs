//! Payloads that arrive in chunks, put together within limits.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::{buffer_pool::BufferPool, shrink::shrink_table, slots::CallKey};
use crate::{
    config::MIN_CHUNK,
    error::ProtocolError,
    wire::{CallId, TransferId},
};

/// What has begun must grow by so much in each period.
pub(crate) const MIN_PROGRESS: u64 = 16 * 1024;
/// What a transfer counts at least: honest ones are longer than a chunk, and many tiny ones would take memory that
/// nothing bounds.
const MIN_TRANSFER: usize = MIN_CHUNK;
/// Buffers grow in steps, so that an announcement alone costs nothing.
const GROWTH: usize = 64 * 1024;

/// What a payload is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The arguments of a call that is to be served.
    Call(CallId),
    /// The arguments of a one-way call, by its number for the shell.
    Oneway(u64),
    /// The result of a call made here.
    Value(CallKey),
    /// The fault of a call made here.
    Fault(CallKey),
    /// Nothing any more: bytes are dropped until the transfer ends.
    Discard,
    /// As above; its end completes a call made here whose caller is gone.
    DiscardFor(CallKey),
    /// An item of a stream, which has the stream's number.
    Item(TransferId),
    /// An item that nobody wants.
    DiscardItem(TransferId),
}

#[derive(Debug)]
struct Arriving {
    purpose: Purpose,
    total: usize,
    received: usize,
    buffer: BytesMut,
    /// Of the buffer, in the end.
    size: usize,
    /// What it counts in [`Assembly::held`].
    charge: usize,
    /// What had come of all transfers when the last chunk of this one came, or when it was announced.
    served_at: u64,
}

/// All payloads that are arriving.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    arriving: HashMap<TransferId, Arriving>,
    /// The total lengths of all of them.
    announced: usize,
    /// What of them nothing else accounts for.
    held: usize,
    /// Bytes of chunks that have come, of all transfers.
    received: u64,
    /// As it was when the current period began. The sender serves its transfers in turn, so they are judged as a whole.
    on_sent: u64,
    /// Periods in a row in which too little came because a message was on its way.
    waited: u64,
    last_id: TransferId,
    buffer_pool: BufferPool,
}

impl Assembly {
    /// Takes note of the number of a new transfer or stream. Numbers must grow.
    pub(crate) fn number(&mut self, id: TransferId) -> Result<(), ProtocolError> {
        if id <= self.last_id {
            return Err(ProtocolError::new(format!(
                "transfer or stream {id} was announced after number {}",
                self.last_id
            )));
        }
        self.last_id = id;
        Ok(())
    }

    /// Takes note of an announced transfer, which has at least one byte.
    pub(crate) fn begin(&mut self, id: TransferId, total: u64, purpose: Purpose) -> Result<(), ProtocolError> {
        if total == 0 {
            return Err(ProtocolError::new(format!("transfer {id} was announced with no bytes")));
        }
        // What is discarded may be of any length; saturating keeps the count of what is still to come.
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        // What is discarded still counts: its sender counts it too, until it has ended.
        self.announced = self.announced.saturating_add(weight(total));
        let (buffer, served_at, charge) = (BytesMut::new(), self.received, purpose.charge(total));
        self.held = self.held.saturating_add(charge);
        self.arriving.insert(id, Arriving { purpose, total, received: 0, buffer, size: total, charge, served_at });
        Ok(())
    }

    /// Takes a chunk. Returns the purpose and the bytes when the transfer is complete.
    pub(crate) fn handle_chunk(
        &mut self,
        id: TransferId,
        data: &Bytes,
    ) -> Result<Option<(Purpose, Bytes)>, ProtocolError> {
        let Some(transfer) = self.arriving.get_mut(&id) else {
            return Err(ProtocolError::new(format!("a chunk came for transfer {id}, which is not under way")));
        };
        if data.is_empty() || data.len() > transfer.total - transfer.received {
            return Err(ProtocolError::new(format!(
                "a chunk of {} bytes came for transfer {id}, of which {} bytes are left",
                data.len(),
                transfer.total - transfer.received
            )));
        }
        transfer.received += data.len();
        self.received += data.len() as u64;
        transfer.served_at = self.received;
        if transfer.purpose.is_kept() {
            if transfer.received == data.len() {
                (transfer.buffer, transfer.size) = self.buffer_pool.take(transfer.total);
            }
            if transfer.buffer.capacity() - transfer.buffer.len() < data.len() {
                // Four times as much each time, but never past what was announced: what has come is copied again, and
                // so is little of it.
                let left = transfer.total - transfer.buffer.len();
                transfer.buffer.reserve((transfer.buffer.len() * 3).max(GROWTH).max(data.len()).min(left));
            }
            transfer.buffer.extend_from_slice(data);
        }
        if transfer.received < transfer.total {
            return Ok(None);
        }
        Ok(self.remove(id).map(|mut transfer| {
            let payload = transfer.buffer.split().freeze();
            self.buffer_pool.keep(transfer.buffer, transfer.size);
            (transfer.purpose, payload)
        }))
    }

    /// The sender has given a transfer up.
    pub(crate) fn handle_abort(&mut self, id: TransferId) -> Result<Purpose, ProtocolError> {
        match self.remove(id) {
            Some(transfer) => Ok(transfer.purpose),
            None => Err(ProtocolError::new(format!("transfer {id} was aborted, but is not under way"))),
        }
    }

    /// Drops what has come of a transfer; its further bytes are dropped too.
    pub(crate) fn discard(&mut self, id: TransferId, purpose: Purpose) {
        if let Some(transfer) = self.arriving.get_mut(&id) {
            let charge = purpose.charge(0);
            self.held = self.held.saturating_sub(transfer.charge).saturating_add(charge);
            (transfer.purpose, transfer.charge) = (purpose, charge);
            transfer.buffer = BytesMut::new();
        }
    }

    /// Whether so many more bytes may be announced within `limit`; one transfer always may.
    pub(crate) fn has_room(&self, total: u64, limit: usize) -> bool {
        let total = weight(usize::try_from(total).unwrap_or(usize::MAX));
        self.announced == 0 || self.announced.saturating_add(total) <= limit
    }

    /// Bytes that transfers may come to hold and that nothing else accounts for, and the memory kept for others.
    pub(crate) fn held(&self) -> usize {
        self.held.saturating_add(self.buffer_pool.bytes())
    }

    /// Bytes of memory kept for payloads to come.
    pub(crate) fn pooled_bytes(&self) -> usize {
        self.buffer_pool.bytes()
    }

    /// Forgets memory that is kept for payloads to come.
    pub(crate) fn clear_buffer_pool(&mut self) {
        self.buffer_pool.clear();
    }

    /// Bytes received of payloads that are not complete.
    pub(crate) fn bytes(&self) -> usize {
        self.arriving.values().map(|transfer| transfer.buffer.len()).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.arriving.len()
    }

    /// A period begins in which something must come.
    pub(crate) fn begin_period(&mut self) {
        self.on_sent = self.received;
    }

    /// Whether too little has come in the period that ends now, or a transfer has had no chunk while `most` bytes of
    /// others came: a sender that serves its transfers in turn never lets one wait for longer. `packet` is the length
    /// of the packet that may be arriving at the moment; it may hold a chunk and has a time limit of its own.
    pub(crate) fn is_stalled(&mut self, most: usize, packet: Option<usize>) -> bool {
        let periods = packet.map_or(0, |packet| packet as u64 / MIN_PROGRESS);
        let is_left_out = |transfer: &Arriving| self.received - transfer.served_at > most as u64;
        if self.arriving.values().any(is_left_out) {
            return true;
        }
        let little = self.received - self.on_sent < MIN_PROGRESS;
        self.waited = if little { self.waited + 1 } else { 0 };
        self.waited > periods
    }

    /// Whether memory is kept for payloads to come.
    pub(crate) fn has_pooled_buffers(&self) -> bool {
        !self.buffer_pool.is_empty()
    }

    /// Forgets memory that has not been used for a while. Call it once in a period.
    pub(crate) fn age_buffer_pool(&mut self) {
        self.buffer_pool.age();
    }

    pub(crate) fn clear(&mut self) {
        self.arriving.clear();
        self.announced = 0;
        self.held = 0;
        self.buffer_pool.clear();
    }

    fn remove(&mut self, id: TransferId) -> Option<Arriving> {
        let transfer = self.arriving.remove(&id)?;
        shrink_table(&mut self.arriving);
        self.announced -= weight(transfer.total);
        self.held -= transfer.charge;
        Some(transfer)
    }
}

fn weight(total: usize) -> usize {
    total.max(MIN_TRANSFER)
}

impl Purpose {
    /// What a transfer of this length counts. Arguments are counted with their call, and items with their stream.
    fn charge(&self, total: usize) -> usize {
        match self {
            Self::Call(_) | Self::Oneway(_) | Self::Item(_) => 0,
            Self::Value(_) | Self::Fault(_) => total,
            Self::Discard | Self::DiscardFor(_) | Self::DiscardItem(_) => MIN_TRANSFER,
        }
    }

    fn is_kept(&self) -> bool {
        !matches!(self, Self::Discard | Self::DiscardFor(_) | Self::DiscardItem(_))
    }
}
