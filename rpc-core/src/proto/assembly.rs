//! `Assembly`: payloads that arrive in chunks, which are assembled within limits.

use std::{collections::HashMap, sync::LazyLock};

use bytes::{Bytes, BytesMut};

use super::{buffer_pool::BufferPool, rare::Rarely, shrink::trim_table, slots::CallKey};
use crate::{
    config::MIN_CHUNK,
    error::{ProtocolError, TransferViolation},
    wire::{CallId, TransferId},
};

/// How many bytes must arrive in each period while transfers are under way.
pub(crate) const MIN_PROGRESS: u64 = 16 * 1024;
/// The least that a transfer counts. Transfers of an honest sender are longer than a chunk; many tiny ones would take
/// memory that nothing bounds.
const MIN_TRANSFER: usize = MIN_CHUNK;
/// The first step in which a buffer grows, so that an announcement alone costs nothing.
const GROWTH: usize = 64 * 1024;

/// What a payload is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The arguments of a call that is to be served.
    Call(CallId),
    /// The arguments of a one-way call, by the number that this end has given the call.
    Oneway(u64),
    /// The result of a call made here.
    Value(CallKey),
    /// The fault of a call made here.
    Fault(CallKey),
    /// Nothing: bytes are dropped until the transfer ends.
    Discard,
    /// Nothing, but the end of the transfer completes a call made here whose caller is gone.
    DiscardFor(CallKey),
    /// An item of this stream, whose transfer has the stream's number.
    Item(TransferId),
    /// An item of this stream, which has no reader.
    DiscardItem(TransferId),
}

#[derive(Debug)]
struct Arriving {
    purpose: Purpose,
    total: usize,
    received: usize,
    buffer: BytesMut,
    /// The buffer's size at the end of the transfer.
    size: usize,
    /// The bytes that the transfer counts in [`Assembly::held`].
    charge: usize,
    /// [`Assembly::received`] at the last chunk of this transfer, or at its announcement.
    served_at: u64,
}

/// All payloads that are arriving. All amounts are bytes.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    arriving: HashMap<TransferId, Arriving>,
    /// The total lengths of all transfers, each counted as at least [`MIN_TRANSFER`].
    announced: usize,
    /// The part of the transfers' memory that no other account counts.
    held: usize,
    /// Bytes that have arrived since the beginning, of all transfers.
    received: u64,
    /// `received` at the beginning of the current period. The sender serves its transfers in turn, so their progress is
    /// judged as a whole.
    received_before: u64,
    /// Periods in a row in which too little arrived.
    slow_periods: u64,
    last_id: TransferId,
    buffer_pool: BufferPool,
}

/// What is known while no transfer arrives.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    last_id: TransferId,
    received: u64,
}

impl Rarely for Assembly {
    type Terms = Arrived;

    fn none() -> &'static Self {
        static NONE: LazyLock<Assembly> = LazyLock::new(Assembly::default);
        &NONE
    }

    fn begin(&Arrived { last_id, received }: &Arrived) -> Self {
        Self { last_id, received, ..Self::default() }
    }

    fn can_go(&self, arrived: &mut Arrived) -> bool {
        *arrived = Arrived { last_id: self.last_id, received: self.received };
        self.arriving.is_empty() && self.buffer_pool.is_empty()
    }
}

impl Assembly {
    /// Checks the number of a new transfer or stream. Numbers must grow.
    pub(crate) fn number(&mut self, id: TransferId) -> Result<(), ProtocolError> {
        if id <= self.last_id {
            return Err(TransferViolation::OldNumber { id, last: self.last_id }.into());
        }
        self.last_id = id;
        Ok(())
    }

    /// Begins an announced transfer, which must have at least one byte.
    pub(crate) fn begin(&mut self, id: TransferId, total: u64, purpose: Purpose) -> Result<(), ProtocolError> {
        if total == 0 {
            return Err(TransferViolation::Empty { transfer: id }.into());
        }
        // A transfer that is discarded may have any length.
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        // A transfer that is discarded counts, because its sender counts it until it has ended.
        self.announced = self.announced.saturating_add(weight(total));
        let (buffer, served_at, charge) = (BytesMut::new(), self.received, purpose.charge(total));
        self.held = self.held.saturating_add(charge);
        self.arriving.insert(id, Arriving { purpose, total, received: 0, buffer, size: total, charge, served_at });
        Ok(())
    }

    /// Takes a chunk. Gives the purpose and the payload when the transfer is complete.
    pub(crate) fn handle_chunk(
        &mut self,
        id: TransferId,
        data: &Bytes,
    ) -> Result<Option<(Purpose, Bytes)>, ProtocolError> {
        let Some(transfer) = self.arriving.get_mut(&id) else {
            return Err(TransferViolation::StrayChunk { transfer: id }.into());
        };
        let left = transfer.total - transfer.received;
        if data.is_empty() || data.len() > left {
            return Err(TransferViolation::UnfitChunk { transfer: id, len: data.len(), left }.into());
        }
        transfer.received += data.len();
        self.received += data.len() as u64;
        transfer.served_at = self.received;
        if transfer.purpose.is_kept() {
            transfer.append(data, &mut self.buffer_pool);
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

    /// Ends a transfer that the sender has aborted. Gives its purpose.
    pub(crate) fn handle_abort(&mut self, id: TransferId) -> Result<Purpose, ProtocolError> {
        match self.remove(id) {
            Some(transfer) => Ok(transfer.purpose),
            None => Err(TransferViolation::StrayAbort { transfer: id }.into()),
        }
    }

    /// Drops what has arrived of a transfer, and what will still arrive.
    pub(crate) fn discard(&mut self, id: TransferId, purpose: Purpose) {
        if let Some(transfer) = self.arriving.get_mut(&id) {
            let charge = purpose.charge(0);
            self.held = self.held.saturating_sub(transfer.charge).saturating_add(charge);
            (transfer.purpose, transfer.charge) = (purpose, charge);
            transfer.buffer = BytesMut::new();
        }
    }

    /// Whether a transfer of `total` bytes is within `limit` together with those under way; one transfer always is.
    pub(crate) fn has_room(&self, total: u64, limit: usize) -> bool {
        let total = weight(usize::try_from(total).unwrap_or(usize::MAX));
        self.announced == 0 || self.announced.saturating_add(total) <= limit
    }

    /// Bytes that transfers may come to hold and that no other account counts, and the pooled buffers.
    pub(crate) fn held(&self) -> usize {
        self.held.saturating_add(self.buffer_pool.bytes())
    }

    /// Bytes of pooled buffers.
    pub(crate) fn pooled_bytes(&self) -> usize {
        self.buffer_pool.bytes()
    }

    /// Frees the pooled buffers.
    pub(crate) fn clear_buffer_pool(&mut self) {
        self.buffer_pool.clear();
    }

    /// Bytes that have arrived of payloads that are not complete.
    pub(crate) fn bytes(&self) -> usize {
        self.arriving.values().map(|transfer| transfer.buffer.len()).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.arriving.len()
    }

    /// Bytes that have arrived since the beginning.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Begins a period in which bytes must arrive.
    pub(crate) fn begin_period(&mut self) {
        self.received_before = self.received;
    }

    /// Whether too little has arrived in the period that ends now, or a transfer has had no chunk while `most` bytes of
    /// others arrived: a sender that serves its transfers in turn never lets one wait for longer. `packet` is the
    /// length of the packet that is arriving at the moment, which may hold a chunk and has a time limit of its own.
    pub(crate) fn is_stalled(&mut self, most: usize, packet: Option<usize>) -> bool {
        let allowed_periods = packet.map_or(0, |packet| packet as u64 / MIN_PROGRESS);
        let is_starved = |transfer: &Arriving| self.received - transfer.served_at > most as u64;
        if self.arriving.values().any(is_starved) {
            return true;
        }
        let is_slow = self.received - self.received_before < MIN_PROGRESS;
        self.slow_periods = if is_slow { self.slow_periods + 1 } else { 0 };
        self.slow_periods > allowed_periods
    }

    /// Whether buffers are pooled.
    pub(crate) fn has_pooled_buffers(&self) -> bool {
        !self.buffer_pool.is_empty()
    }

    /// Frees pooled buffers that have not been used for a while. Call it once in a period.
    pub(crate) fn age_buffer_pool(&mut self) {
        self.buffer_pool.age();
    }

    /// Frees memory that a busy time needed.
    pub(crate) fn trim(&mut self) {
        trim_table(&mut self.arriving);
    }

    pub(crate) fn clear(&mut self) {
        self.arriving.clear();
        self.announced = 0;
        self.held = 0;
        self.buffer_pool.clear();
    }

    fn remove(&mut self, id: TransferId) -> Option<Arriving> {
        let transfer = self.arriving.remove(&id)?;
        self.announced -= weight(transfer.total);
        self.held -= transfer.charge;
        Some(transfer)
    }
}

/// The bytes that a transfer of this length counts against the limit.
fn weight(total: usize) -> usize {
    total.max(MIN_TRANSFER)
}

impl Arriving {
    /// Appends a chunk, which `received` counts already, to the buffer.
    fn append(&mut self, data: &[u8], pool: &mut BufferPool) {
        let is_first = self.received == data.len();
        if is_first {
            (self.buffer, self.size) = pool.take(self.total);
        }
        if self.buffer.capacity() - self.buffer.len() < data.len() {
            // The buffer quadruples, up to the announced length, so that few bytes are copied again.
            let left = self.total - self.buffer.len();
            self.buffer.reserve((self.buffer.len() * 3).max(GROWTH).max(data.len()).min(left));
        }
        self.buffer.extend_from_slice(data);
    }
}

impl Purpose {
    /// The bytes that a transfer of this length counts in [`Assembly::held`]. Arguments are counted with their call,
    /// and items with their stream.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::rare::Rare;

    const KIB: usize = 1024;
    /// A payload of this length leaves a buffer that is pooled.
    const LARGE: usize = 256 * KIB;

    fn chunk(len: usize) -> Bytes {
        vec![7; len].into()
    }

    /// A payload of this length arrives in one chunk.
    fn arrive(assembly: &mut Assembly, id: TransferId, len: usize) {
        assembly.begin(id, len as u64, Purpose::Call(id)).unwrap();
        assert_eq!(assembly.handle_chunk(id, &chunk(len)), Ok(Some((Purpose::Call(id), chunk(len)))));
    }

    #[test]
    fn a_transfer_may_wait_for_just_as_many_bytes_of_others_as_is_said() {
        let mut assembly = Assembly::default();
        for id in [1, 2] {
            assembly.begin(id, 100_000, Purpose::Discard).unwrap();
        }
        assert_eq!(assembly.handle_chunk(2, &chunk(20_000)), Ok(None));
        assert!(!assembly.is_stalled(20_000, None));
        assert!(assembly.is_stalled(19_999, None));
    }

    #[test]
    fn sixteen_kib_a_period_are_enough_and_one_byte_less_is_not() {
        let mut assembly = Assembly::default();
        assembly.begin(1, 100_000, Purpose::Discard).unwrap();
        for (len, is_stalled) in [(16 * KIB, false), (16 * KIB - 1, true), (16 * KIB, false)] {
            assembly.begin_period();
            assembly.handle_chunk(1, &chunk(len)).unwrap();
            assert_eq!(assembly.is_stalled(usize::MAX, None), is_stalled, "{len} bytes");
        }
        assert_eq!(assembly.received(), 48 * 1024 - 1, "since the beginning");
    }

    /// The chunk may be in the packet that is arriving, which may take a period for each 16 KiB.
    #[test]
    fn a_packet_under_way_excuses_a_period_for_each_16_kib_of_it() {
        let mut assembly = Assembly::default();
        assembly.begin(1, 100_000, Purpose::Discard).unwrap();
        for (period, is_stalled) in [(1, false), (2, false), (3, true), (4, true)] {
            assert_eq!(assembly.is_stalled(usize::MAX, Some(48 * KIB - 1)), is_stalled, "period {period}");
        }
        assembly.handle_chunk(1, &chunk(16 * KIB)).unwrap();
        assert!(!assembly.is_stalled(usize::MAX, Some(48 * KIB - 1)));
        assembly.begin_period();
        assert!(!assembly.is_stalled(usize::MAX, Some(48 * KIB - 1)), "the periods are counted anew");
    }

    #[test]
    fn a_discarded_transfer_keeps_no_byte() {
        let mut assembly = Assembly::default();
        assembly.begin(1, 100_000, Purpose::Item(1)).unwrap();
        assembly.handle_chunk(1, &chunk(40_000)).unwrap();
        assert_eq!((assembly.bytes(), assembly.held()), (40_000, 0), "items are counted with their stream");
        assembly.discard(1, Purpose::DiscardItem(1));
        assert_eq!((assembly.bytes(), assembly.held()), (0, MIN_TRANSFER), "what has come is dropped");
        assembly.handle_chunk(1, &chunk(40_000)).unwrap();
        assert_eq!(assembly.bytes(), 0, "what comes is dropped too");
        let end = assembly.handle_chunk(1, &chunk(20_000));
        assert_eq!(end, Ok(Some((Purpose::DiscardItem(1), Bytes::new()))));
        assert_eq!((assembly.len(), assembly.held()), (0, 0));
    }

    #[test]
    fn what_is_empty_goes_and_the_next_one_knows_the_numbers() {
        let mut assembly = Rare::<Assembly>::default();
        assembly.number(7).unwrap();
        assembly.begin(7, 100, Purpose::Call(1)).unwrap();
        assembly.trim(Assembly::trim);
        assert!(assembly.is_there(), "a transfer is under way");
        assembly.handle_chunk(7, &chunk(100)).unwrap();
        assembly.clear_buffer_pool();
        assembly.trim(Assembly::trim);
        assert!(!assembly.is_there());
        assert_eq!(assembly.number(7), Err(TransferViolation::OldNumber { id: 7, last: 7 }.into()));
        assert_eq!((assembly.is_there(), assembly.received()), (true, 100));
        assembly.number(8).unwrap();
    }

    /// An announcement alone costs nothing, few bytes are copied again, and nothing is beyond the announced length.
    #[test]
    fn a_buffer_quadruples_up_to_the_announced_length() {
        let (mut assembly, total) = (Assembly::default(), 3 * 1024 * KIB);
        assembly.begin(1, total as u64, Purpose::Call(1)).unwrap();
        let mut sizes = vec![assembly.arriving[&1].buffer.capacity()];
        for _ in 1..total / (16 * KIB) {
            assert_eq!(assembly.handle_chunk(1, &chunk(16 * KIB)), Ok(None));
            sizes.push(assembly.arriving[&1].buffer.capacity());
        }
        sizes.dedup();
        assert_eq!(sizes, [0, 64 * KIB, 256 * KIB, 1024 * KIB, total]);
    }

    #[test]
    fn buffers_of_large_payloads_are_pooled_for_two_periods() {
        let mut assembly = Assembly::default();
        assert!(!assembly.has_pooled_buffers(), "nothing has come");
        arrive(&mut assembly, 1, LARGE);
        assert!(assembly.has_pooled_buffers());
        assert_eq!((assembly.pooled_bytes(), assembly.held()), (LARGE, LARGE));
        assembly.age_buffer_pool();
        assert!(assembly.has_pooled_buffers(), "it was used in the period that is over");
        assembly.age_buffer_pool();
        assert!(!assembly.has_pooled_buffers());
        arrive(&mut assembly, 2, LARGE);
        assembly.clear_buffer_pool();
        assert!(!assembly.has_pooled_buffers());
    }

    #[test]
    fn nothing_is_left_of_a_session_that_is_over() {
        let mut assembly = Assembly::default();
        arrive(&mut assembly, 1, LARGE);
        assembly.begin(2, 100_000, Purpose::Discard).unwrap();
        assert!(!assembly.has_room(1, 1));
        assembly.clear();
        assert_eq!((assembly.len(), assembly.held(), assembly.has_room(1, 1)), (0, 0, true));
    }

    #[test]
    fn a_table_of_many_transfers_becomes_small_again() {
        let mut assembly = Assembly::default();
        for id in 1..=1000 {
            assembly.begin(id, 1, Purpose::Discard).unwrap();
        }
        for id in 1..=1000 {
            assert_eq!(assembly.handle_abort(id), Ok(Purpose::Discard));
        }
        assert!(assembly.arriving.capacity() >= 1000);
        assembly.trim();
        assert_eq!(assembly.arriving.capacity(), 0);
    }
}
