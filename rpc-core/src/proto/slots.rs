//! The calls that this end has made: a slab of slots, each found by index and generation.
//!
//! After a peak the slab is cut off (`Slots::trim`). Slots that are in use beyond the cut become stragglers, which are
//! found by their whole numbers. The slab remembers the highest generation that was cut off, and every slot that is
//! added later begins above it, so that no number is ever used again.

use std::{collections::BTreeMap, mem, sync::Arc, task::Waker, time::Instant};

use super::{
    DeadlineOrigin, IdleTimeout, Outcome, ServedCall,
    shrink::{enough, trim_list},
};
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
    /// The call waits until the one-way calls have gone that wait in the queue since before it began.
    Behind,
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
    pub(crate) idle_timeout: Option<(IdleTimeout, Instant)>,
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
    /// Calls whose slots were beyond the end when the slab was cut off.
    stragglers: BTreeMap<CallKey, Slot>,
    /// No slot that was cut off had a higher generation.
    cut_off: u64,
}

impl Slots {
    /// A new slot, to be filled in in its place; `None` when there are too many.
    pub(crate) fn insert(&mut self, state: SlotState) -> Option<(CallKey, &mut Slot)> {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None if self.slots.len() + self.stragglers.len() < MAX_SLOTS => {
                self.slots.push(Slot::new(self.cut_off + 1));
                self.slots.len() - 1
            }
            None => return None,
        };
        let slot = &mut self.slots[index];
        slot.state = state;
        Some((slot.key(index), slot))
    }

    pub(crate) fn find(&self, key: CallKey) -> Option<&Slot> {
        match self.slots.get(key.index()) {
            Some(slot) if slot.is_live(key) => Some(slot),
            _ => self.straggler(key),
        }
    }

    pub(crate) fn find_mut(&mut self, key: CallKey) -> Option<&mut Slot> {
        let Self { slots, stragglers, .. } = self;
        match slots.get_mut(key.index()) {
            Some(slot) if slot.is_live(key) => Some(slot),
            _ => straggler_mut(stragglers, key),
        }
    }

    #[cold]
    fn straggler(&self, key: CallKey) -> Option<&Slot> {
        self.stragglers.get(&key)
    }

    /// Takes the outcome of a call that has one, and frees the slot unless the completion is still to come. Also gives
    /// the waker, to be dropped outside the lock. `None` if there is no outcome.
    pub(crate) fn take_outcome(&mut self, key: CallKey) -> Option<(Outcome, Option<Waker>)> {
        // The slot is looked up once, because each call comes here.
        let Self { slots, stragglers, free, .. } = self;
        let (slot, is_straggler) = match slots.get_mut(key.index()) {
            Some(slot) if slot.is_live(key) => (slot, false),
            _ => (straggler_mut(stragglers, key)?, true),
        };
        if !matches!(slot.state, SlotState::Resolved(_)) {
            return None;
        }
        let SlotState::Resolved(outcome) = mem::replace(&mut slot.state, SlotState::Abandoned) else { return None };
        if slot.awaiting_completion {
            return Some((outcome, None));
        }
        if is_straggler {
            return Some((outcome, self.remove_straggler(key)));
        }
        let waker = slot.clear();
        free.push(index_of(key));
        Some((outcome, waker))
    }

    /// Frees a slot; its number is never used again. Its waker is given back, to be dropped outside the lock.
    pub(crate) fn remove(&mut self, key: CallKey) -> Option<Waker> {
        let Some(slot) = self.slots.get_mut(key.index()).filter(|slot| slot.is_live(key)) else {
            return self.remove_straggler(key);
        };
        let waker = slot.clear();
        self.free.push(index_of(key));
        waker
    }

    #[cold]
    fn remove_straggler(&mut self, key: CallKey) -> Option<Waker> {
        self.stragglers.remove(&key)?.waker
    }

    /// Frees memory that a busy time needed: cuts the slab off if most of it is free.
    pub(crate) fn trim(&mut self) {
        if let Some(room) = enough(self.slots.len() - self.free.len(), self.slots.len()) {
            self.cut(room);
        }
        trim_list(&mut self.free);
    }

    /// The session is over: no call begins any more, and the memory of each is free when its outcome has been taken.
    pub(crate) fn end(&mut self) {
        self.cut(0);
    }

    /// Leaves room for this many slots in the slab.
    fn cut(&mut self, room: usize) {
        for (index, slot) in self.slots.drain(room..).enumerate() {
            self.cut_off = self.cut_off.max(slot.generation);
            if slot.state != SlotState::Free {
                self.stragglers.insert(slot.key(room + index), slot);
            }
        }
        self.slots.shrink_to(room);
        self.free.retain(|index| (*index as usize) < room);
        self.free.shrink_to(room);
    }

    pub(crate) fn is_waiting(&self, key: CallKey) -> bool {
        self.find(key).is_some_and(|slot| slot.state == SlotState::Waiting)
    }

    pub(crate) fn live(&self) -> usize {
        self.slots.len() - self.free.len() + self.stragglers.len()
    }

    /// How many calls have a caller that waits. A call whose caller has given up stays live until its completion has
    /// come.
    pub(crate) fn awaited(&self) -> usize {
        let given_up = |slot: &&Slot| match slot.state {
            SlotState::Free | SlotState::Abandoned => true,
            SlotState::Resolved(_) => slot.awaiting_completion,
            _ => false,
        };
        self.slots.iter().chain(self.stragglers.values()).filter(|slot| !given_up(slot)).count()
    }

    /// How many places [`Self::deadlines`] looks at.
    pub(crate) fn places(&self) -> usize {
        self.slots.len() + self.stragglers.len()
    }

    /// The deadlines of the calls that have not ended.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = (CallKey, Instant)> {
        let has_ended =
            |slot: &Slot| matches!(slot.state, SlotState::Free | SlotState::Abandoned | SlotState::Resolved(_));
        let slots = self.slots.iter().enumerate().map(|(index, slot)| (slot.key(index), slot));
        let calls = slots.chain(self.stragglers.iter().map(|(key, slot)| (*key, slot)));
        calls.filter_map(move |(key, slot)| Some((key, slot.deadline.filter(|_| !has_ended(slot))?)))
    }

    /// The keys of all live slots.
    pub(crate) fn keys(&self) -> Vec<CallKey> {
        let live = self.slots.iter().enumerate().filter(|(_, slot)| slot.state != SlotState::Free);
        live.map(|(index, slot)| slot.key(index)).chain(self.stragglers.keys().copied()).collect()
    }

    /// How many calls there is memory for.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.slots.capacity().max(self.free.capacity()).max(self.stragglers.len())
    }
}

/// The index as the list of free slots has it.
#[inline]
fn index_of(key: CallKey) -> u32 {
    // Indexes are below MAX_SLOTS, far below u32::MAX.
    u32::try_from(key.index()).unwrap_or(u32::MAX)
}

#[cold]
fn straggler_mut(stragglers: &mut BTreeMap<CallKey, Slot>, key: CallKey) -> Option<&mut Slot> {
    stragglers.get_mut(&key)
}

impl Slot {
    /// An empty slot, which begins with this generation.
    fn new(generation: u64) -> Self {
        Self {
            generation,
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

    /// The number of the call in this slot, which has this index.
    fn key(&self, index: usize) -> CallKey {
        CallKey(self.generation << INDEX_BITS | index as u64)
    }

    /// Whether this is the slot of that call.
    #[inline]
    fn is_live(&self, key: CallKey) -> bool {
        self.generation == key.generation() && self.state != SlotState::Free
    }

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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bytes::Bytes;

    use super::*;

    const PEAK: usize = 1000;

    fn begin(slots: &mut Slots) -> CallKey {
        slots.insert(SlotState::Sent).unwrap().0
    }

    fn peak(slots: &mut Slots) -> Vec<CallKey> {
        (0..PEAK).map(|_| begin(slots)).collect()
    }

    #[test]
    fn a_number_is_never_used_again() {
        let (mut slots, mut used) = (Slots::default(), HashSet::new());
        for round in 0..10 {
            let keys = peak(&mut slots);
            let stays = round % 3;
            for key in keys.iter().rev().skip(stays) {
                slots.remove(*key);
            }
            slots.trim();
            assert!(slots.room() < 200, "{}", slots.room());
            let old = keys.iter().rev().skip(stays);
            assert!(old.clone().all(|key| slots.find(*key).is_none() && slots.remove(*key).is_none()));
            assert!(keys.into_iter().all(|key| used.insert(key.id())));
        }
    }

    #[test]
    fn calls_beyond_the_cut_go_on() {
        let mut slots = Slots::default();
        let keys = peak(&mut slots);
        let (others, last) = keys.split_at(PEAK - 2);
        others.iter().for_each(|key| drop(slots.remove(*key)));
        slots.trim();
        assert_eq!((slots.live(), slots.awaited()), (2, 2));
        let newer = peak(&mut slots);
        assert!(newer.iter().all(|key| !keys.contains(key)));
        assert_eq!(slots.keys().into_iter().collect::<HashSet<_>>(), newer.iter().chain(last).copied().collect());
        for key in last {
            assert!(slots.find(*key).is_some());
            slots.find_mut(*key).unwrap().state = SlotState::Abandoned;
        }
        assert_eq!((slots.live(), slots.awaited()), (PEAK + 2, PEAK));
        last.iter().chain(&newer).for_each(|key| drop(slots.remove(*key)));
        assert_eq!(slots.live(), 0);
        slots.trim();
        assert_eq!(slots.room(), 0);
    }

    #[test]
    fn nothing_is_left_of_a_session_that_is_over_when_its_outcomes_are_taken() {
        let mut slots = Slots::default();
        let keys = peak(&mut slots);
        slots.end();
        assert_eq!(slots.live(), PEAK);
        for (key, has_outcome) in keys.into_iter().zip([true, false].into_iter().cycle()) {
            let slot = slots.find_mut(key).unwrap();
            if has_outcome {
                slot.state = SlotState::Resolved(Outcome::Value(Bytes::new()));
                slot.waker = Some(Waker::noop().clone());
                let (outcome, waker) = slots.take_outcome(key).unwrap();
                assert_eq!((outcome, waker.is_some()), (Outcome::Value(Bytes::new()), true));
            } else {
                assert_eq!(slots.take_outcome(key).map(|(outcome, _)| outcome), None);
                slots.remove(key);
            }
            assert!(slots.find(key).is_none());
        }
        assert_eq!((slots.live(), slots.room()), (0, 0));
    }

    #[test]
    fn a_slab_in_use_keeps_room_for_twice_as_many_calls() {
        let mut slots = Slots::default();
        let keys = peak(&mut slots);
        keys[..PEAK / 2].iter().for_each(|key| drop(slots.remove(*key)));
        let room = slots.room();
        slots.trim();
        assert_eq!(slots.room(), room, "half of it is in use");
        keys[PEAK / 2..PEAK - 10].iter().for_each(|key| drop(slots.remove(*key)));
        slots.trim();
        assert_eq!(slots.slots.capacity(), 20);
        assert!(keys[PEAK - 10..].iter().all(|key| slots.find(*key).is_some()));
    }
}
