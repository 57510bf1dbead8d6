//! Collections that were large once give their memory back, because no bound counts the memory of an empty collection.
//!
//! Nothing of this runs where entries come and go: `Connection::trim` trims all tables of a session together, once in a
//! period. A table that is needed again grows again, once in a period too.

use std::{
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    hash::{BuildHasher, Hash},
};

/// Leaves a table room for twice as many entries as it has now, if it has room for more than four times as many.
pub(crate) fn trim_table<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if let Some(room) = enough(table.len(), table.capacity()) {
        table.shrink_to(room);
    }
}

/// As [`trim_table`].
pub(crate) fn trim_set<T: Eq + Hash, S: BuildHasher>(set: &mut HashSet<T, S>) {
    if let Some(room) = enough(set.len(), set.capacity()) {
        set.shrink_to(room);
    }
}

/// As [`trim_table`].
pub(crate) fn trim_line<T>(line: &mut VecDeque<T>) {
    if let Some(room) = enough(line.len(), line.capacity()) {
        line.shrink_to(room);
    }
}

/// As [`trim_table`].
pub(crate) fn trim_list<T>(list: &mut Vec<T>) {
    if let Some(room) = enough(list.len(), list.capacity()) {
        list.shrink_to(room);
    }
}

/// As [`trim_table`].
pub(crate) fn trim_heap<T>(heap: &mut BinaryHeap<T>) {
    if let Some(room) = enough(heap.len(), heap.capacity()) {
        heap.shrink_to(room);
    }
}

/// The room to leave a collection of `len` entries that has room for `capacity`; `None` if that is not much too large.
pub(crate) fn enough(len: usize, capacity: usize) -> Option<usize> {
    (capacity > 4 * len).then_some(2 * len)
}
