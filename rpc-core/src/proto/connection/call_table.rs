//! `CallTable`: the calls of one kind that are served here, by their numbers: the numbers that the caller gave two-way
//! calls, and the numbers that this end gives one-way calls.

use std::collections::BTreeMap;

use crate::wire::CallId;

/// The places of a table that is in use at all.
const LEAST: usize = 16;
/// The most places. Calls beyond that are in the map.
const MOST: usize = 4096;

/// Values by the numbers of calls.
///
/// Callers take numbers whose low bits differ, so that nearly every call has the place that its low bits say, and is
/// found there without a hash. The others are in a map: the other side may choose numbers that all have one place.
#[derive(Debug)]
pub(super) struct CallTable<T> {
    /// As many as a power of two, or none.
    places: Vec<Option<(CallId, T)>>,
    /// How many places are taken.
    taken: usize,
    // Ordered, so that a peer who chooses the numbers can choose no collisions.
    others: BTreeMap<CallId, T>,
}

impl<T> Default for CallTable<T> {
    fn default() -> Self {
        Self { places: Vec::new(), taken: 0, others: BTreeMap::new() }
    }
}

impl<T> CallTable<T> {
    /// The place of a number, if there are places.
    #[inline]
    fn place(&self, id: CallId) -> usize {
        // The mask leaves a number below the number of places.
        usize::try_from(id & (self.places.len() as u64).wrapping_sub(1)).unwrap_or(usize::MAX)
    }

    #[inline]
    pub(super) fn get(&self, id: CallId) -> Option<&T> {
        match self.places.get(self.place(id)) {
            Some(Some((other, value))) if *other == id => Some(value),
            _ if self.others.is_empty() => None,
            _ => self.others.get(&id),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: CallId) -> Option<&mut T> {
        let place = self.place(id);
        match self.places.get_mut(place) {
            Some(Some((other, value))) if *other == id => Some(value),
            _ if self.others.is_empty() => None,
            _ => self.others.get_mut(&id),
        }
    }

    /// Adds a value. There is none with this number.
    #[inline(always)]
    pub(super) fn insert(&mut self, id: CallId, value: T) {
        debug_assert!(self.get(id).is_none(), "a call with this number is served");
        let place = self.place(id);
        match self.places.get_mut(place) {
            Some(free @ None) => {
                *free = Some((id, value));
                self.taken += 1;
            }
            _ => self.insert_elsewhere(id, value),
        }
    }

    /// Adds a value whose place is taken or does not exist.
    #[cold]
    fn insert_elsewhere(&mut self, id: CallId, value: T) {
        // A quarter of the places are taken, so that more places are likely to help.
        if self.taken >= self.places.len() / 4 && self.places.len() < MOST {
            self.resize((self.places.len() * 2).max(LEAST));
            return self.insert(id, value);
        }
        self.others.insert(id, value);
    }

    #[inline]
    pub(super) fn remove(&mut self, id: CallId) -> Option<T> {
        let place = self.place(id);
        match self.places.get_mut(place) {
            Some(taken @ Some(_)) if taken.as_ref().is_some_and(|(other, _)| *other == id) => {
                self.taken -= 1;
                taken.take().map(|(_, value)| value)
            }
            _ if self.others.is_empty() => None,
            _ => self.others.remove(&id),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.taken + self.others.len()
    }

    /// How many places [`Self::iter`] looks at.
    pub(super) fn places(&self) -> usize {
        self.places.len() + self.others.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CallId, &T)> {
        let placed = self.places.iter().flatten().map(|(id, value)| (*id, value));
        placed.chain(self.others.iter().map(|(id, value)| (*id, value)))
    }

    /// Takes all values out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let Self { places, others, .. } = std::mem::take(self);
        places.into_iter().flatten().map(|(_, value)| value).chain(others.into_values())
    }

    /// Frees what is not needed at rest.
    pub(super) fn trim(&mut self) {
        if self.len() == 0 {
            *self = Self::default();
        } else if self.len() < self.places.len() / 8 {
            self.resize((self.len() * 2).next_power_of_two().max(LEAST));
        }
    }

    /// Gives the table this number of places, a power of two.
    fn resize(&mut self, len: usize) {
        let mut places = Vec::new();
        places.resize_with(len, || None);
        let before = std::mem::replace(&mut self.places, places);
        self.taken = 0;
        let others = std::mem::take(&mut self.others);
        for (id, value) in before.into_iter().flatten().chain(others) {
            let place = self.place(id);
            match self.places.get_mut(place) {
                Some(free @ None) => {
                    *free = Some((id, value));
                    self.taken += 1;
                }
                _ => {
                    self.others.insert(id, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_with_one_place_do_not_make_the_table_large() {
        let mut table = CallTable::default();
        for turn in 0..10_000_u64 {
            table.insert(turn << 20, turn);
        }
        assert!(table.places.len() <= LEAST, "{} places", table.places.len());
        assert!((0..10_000_u64).all(|turn| table.get(turn << 20) == Some(&turn)));
        assert!((0..10_000_u64).all(|turn| table.remove(turn << 20) == Some(turn)));
        table.trim();
        assert_eq!((table.len(), table.places.len(), table.others.len()), (0, 0, 0));
    }

    #[test]
    fn numbers_in_a_row_have_places_of_their_own() {
        let mut table = CallTable::default();
        (0..MOST as u64).for_each(|id| table.insert(id << 1 | 1, id));
        assert_eq!(table.len(), MOST);
        assert!(table.places.len() <= MOST);
        assert_eq!(table.drain().count(), MOST);
        assert_eq!(table.len(), 0);
    }

    proptest! {
        #[test]
        fn a_table_holds_what_a_map_holds(steps in prop::collection::vec((0..4_u8, 0..64_u64, 0..3_u64), 0..200)) {
            let (mut table, mut map) = (CallTable::default(), BTreeMap::new());
            for (step, (what, low, high)) in steps.into_iter().enumerate() {
                let id = high << 20 | low;
                match what {
                    0 | 1 if !map.contains_key(&id) => {
                        table.insert(id, step);
                        map.insert(id, step);
                    }
                    2 => prop_assert_eq!(table.remove(id), map.remove(&id)),
                    3 if low == 0 => table.trim(),
                    _ => {
                        prop_assert_eq!(table.get(id), map.get(&id));
                        prop_assert_eq!(table.get_mut(id), map.get_mut(&id));
                    }
                }
                prop_assert_eq!(table.len(), map.len());
                let mut held: Vec<_> = table.iter().map(|(id, value)| (id, *value)).collect();
                held.sort_unstable();
                prop_assert_eq!(held, map.iter().map(|(id, value)| (*id, *value)).collect::<Vec<_>>());
            }
        }
    }
}
