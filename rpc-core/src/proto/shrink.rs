//! Collections that were large once give their memory back: nothing counts it when they are empty.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash},
};

/// A collection that has room for more than this gives memory back when few are left.
const LARGE: usize = 64;

/// Call it where something was taken out. A table that shrinks has lost seven of eight, so that the cost is shared by
/// those.
#[inline]
pub(crate) fn shrink_table<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if is_roomy(table.len(), table.capacity()) {
        table.shrink_to(table.len() * 2);
    }
}

/// As [`shrink_table`].
#[inline]
pub(crate) fn shrink_line<T>(line: &mut VecDeque<T>) {
    if is_roomy(line.len(), line.capacity()) {
        line.shrink_to(line.len() * 2);
    }
}

/// As [`shrink_table`].
#[inline]
pub(crate) fn shrink_list<T>(list: &mut Vec<T>) {
    if is_roomy(list.len(), list.capacity()) {
        list.shrink_to(list.len() * 2);
    }
}

#[inline]
fn is_roomy(len: usize, capacity: usize) -> bool {
    capacity > LARGE && len < capacity / 8
}
