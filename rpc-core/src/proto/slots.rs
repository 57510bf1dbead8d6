//! The calls that this end has made: a slab of slots, each found by index and generation.

use std::{
    mem,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use super::{DeadlineOrigin, Outcome, ServedCall};
use crate::{
    contract::MethodDescriptor,
    wire::{CallId, Streams, TransferId},
};

/// The bits of a call's number that are its slot's index. The other bits are the slot's generation.
const INDEX_BITS: u32 = 20;
/// The most calls that can be under way or wait at once.
pub(crate) const MAX_SLOTS: usize = 1 << INDEX_BITS;

/// A call that was made here, by index and generation. This is also the call's number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(CallId);

impl CallKey {
    pub(crate) fn from_id(id: CallId) -> Self {
        Self(id)
    }

    fn of(generation: u64, index: usize) -> Self {
        Self(generation << INDEX_BITS | index as u64)
    }

    pub(crate) fn id(self) -> CallId {
        self.0
    }

    fn index(self) -> usize {
        // The mask leaves INDEX_BITS bits.
        usize::try_from(self.0 & (MAX_SLOTS as u64 - 1)).unwrap_or(MAX_SLOTS)
    }

    fn generation(self) -> u64 {
        self.0 >> INDEX_BITS
    }
}

/// Where a call made here stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    Free,
    /// Waits for a permit.
    Waiting,
    /// Has a permit; not in the outbox yet.
    Admitted,
    /// In the outbox.
    Queued,
    /// At least a part of it was handed to the transport.
    Sent,
    /// The completion is arriving in chunks.
    Arriving(TransferId),
    /// The caller is gone; the completion is awaited.
    Abandoned,
    /// The outcome is there, for the caller to take. The completion may still be on its way: see
    /// [`Slot::awaiting_completion`].
    Resolved(Outcome),
}

/// A call made here.
#[derive(Debug)]
pub(crate) struct Slot {
    generation: u64,
    pub(crate) state: SlotState,
    /// For messages that name it.
    pub(crate) method: Option<&'static MethodDescriptor>,
    pub(crate) oneway: bool,
    pub(crate) depth: u32,
    /// The peer's own pending call in whose handler this one was made.
    pub(crate) parent: Option<CallId>,
    /// The number of the packet that carried it.
    pub(crate) packet: u64,
    pub(crate) deadline: Option<Instant>,
    /// What has set the deadline. The value stays when the slot is freed, and the next call replaces it.
    pub(crate) deadline_origin: Option<DeadlineOrigin>,
    pub(crate) waker: Option<Waker>,
    /// The call in whose handler this one was made.
    pub(crate) origin: Option<Arc<ServedCall>>,
    /// The transfer of its arguments, while that is under way.
    pub(crate) transfer: Option<TransferId>,
    /// The bytes that the call holds of the budget of arguments.
    pub(crate) arguments: u32,
    /// The streams among its arguments, until it has ended well.
    pub(crate) streams: Streams,
    /// The streams of its result, while the rest of that is arriving.
    pub(crate) result_streams: Streams,
    /// How long the streams among the call's arguments may stand still, and when one of them last moved, or else when
    /// the call began.
    pub(crate) idle_timeout: Option<(Duration, Instant)>,
    /// The call has its outcome already, and the completion that is still to come is dropped.
    pub(crate) awaiting_completion: bool,
    /// The completion has been announced; a second one would be stray.
    pub(crate) completing: bool,
}

/// All calls made here.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// A new slot, to be filled in in its place; `None` when there are too many.
    pub(crate) fn insert(&mut self, state: SlotState) -> Option<(CallKey, &mut Slot)> {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None if self.slots.len() < MAX_SLOTS => {
                self.slots.push(Slot::default());
                self.slots.len() - 1
            }
            None => return None,
        };
        let slot = &mut self.slots[index];
        slot.state = state;
        Some((CallKey::of(slot.generation, index), slot))
    }

    pub(crate) fn find(&self, key: CallKey) -> Option<&Slot> {
        self.slots.get(key.index()).filter(|slot| slot.generation == key.generation() && slot.state != SlotState::Free)
    }

    pub(crate) fn find_mut(&mut self, key: CallKey) -> Option<&mut Slot> {
        self.slots
            .get_mut(key.index())
            .filter(|slot| slot.generation == key.generation() && slot.state != SlotState::Free)
    }

    /// Takes the outcome of a call that has one, and frees the slot unless the completion is still to come. Also gives
    /// the waker, to be dropped outside the lock. `None` if there is no outcome.
    pub(crate) fn take_outcome(&mut self, key: CallKey) -> Option<(Outcome, Option<Waker>)> {
        let slot = self.find_mut(key).filter(|slot| matches!(slot.state, SlotState::Resolved(_)))?;
        let awaiting = slot.awaiting_completion;
        let state = mem::replace(&mut slot.state, SlotState::Abandoned);
        let waker = if awaiting { None } else { self.remove(key) };
        if let SlotState::Resolved(outcome) = state { Some((outcome, waker)) } else { None }
    }

    /// Frees a slot; its number is never used again. Its waker is given back, to be dropped outside the lock.
    pub(crate) fn remove(&mut self, key: CallKey) -> Option<Waker> {
        let waker = self.find_mut(key)?.clear();
        // Indexes are below MAX_SLOTS, far below u32::MAX.
        self.free.push(u32::try_from(key.index()).unwrap_or(u32::MAX));
        waker
    }

    pub(crate) fn is_waiting(&self, key: CallKey) -> bool {
        self.find(key).is_some_and(|slot| slot.state == SlotState::Waiting)
    }

    pub(crate) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many calls have a caller that waits. A call whose caller has given up stays live until its completion has
    /// come.
    pub(crate) fn awaited(&self) -> usize {
        let given_up = |slot: &&Slot| match slot.state {
            SlotState::Free | SlotState::Abandoned => true,
            SlotState::Resolved(_) => slot.awaiting_completion,
            _ => false,
        };
        self.slots.iter().filter(|slot| !given_up(slot)).count()
    }

    /// The deadlines of the calls that have not ended.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = (CallKey, Instant)> {
        let has_ended =
            |slot: &Slot| matches!(slot.state, SlotState::Free | SlotState::Abandoned | SlotState::Resolved(_));
        let slots = self.slots.iter().enumerate().filter(move |(_, slot)| !has_ended(slot));
        slots.filter_map(|(index, slot)| Some((CallKey::of(slot.generation, index), slot.deadline?)))
    }

    /// The keys of all live slots.
    pub(crate) fn keys(&self) -> Vec<CallKey> {
        let live = self.slots.iter().enumerate().filter(|(_, slot)| slot.state != SlotState::Free);
        live.map(|(index, slot)| CallKey::of(slot.generation, index)).collect()
    }
}

impl Slot {
    /// Empties the slot for the next generation.
    fn clear(&mut self) -> Option<Waker> {
        let waker = self.waker.take();
        // Only fields that hold something are set, because a whole slot is large to move.
        self.generation += 1;
        self.state = SlotState::Free;
        self.parent = None;
        self.deadline = None;
        self.origin = None;
        self.transfer = None;
        self.arguments = 0;
        self.streams = Streams::default();
        self.result_streams = Streams::default();
        self.idle_timeout = None;
        self.awaiting_completion = false;
        self.completing = false;
        waker
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            generation: 1,
            state: SlotState::Free,
            method: None,
            oneway: false,
            depth: 0,
            parent: None,
            packet: 0,
            deadline: None,
            deadline_origin: None,
            waker: None,
            origin: None,
            transfer: None,
            arguments: 0,
            streams: Streams::default(),
            result_streams: Streams::default(),
            idle_timeout: None,
            awaiting_completion: false,
            completing: false,
        }
    }
}
