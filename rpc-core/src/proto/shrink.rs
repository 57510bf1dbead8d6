//! Collections that were large once give their memory back, because no bound counts the memory of an empty collection.
//!
//! A collection in use shrinks only when it was very large, so that a session with many calls in flight does not shrink
//! and grow in turn. An idle session shrinks all of them: `trim_…` is called when the keepalive timer fires.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash},
};

/// A collection in use with room for more than this shrinks when few entries are left.
const LARGE_IN_USE: usize = 1024;
/// The same for an idle collection.
const LARGE_AT_REST: usize = 64;
/// A collection keeps room for this many entries in any case.
const LEAST: usize = 16;

/// Call it where an entry was taken out. A table that shrinks has lost seven of eight entries, so that those share the
/// cost.
#[inline]
pub(crate) fn shrink_table<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if is_roomy(table.len(), table.capacity(), LARGE_IN_USE) {
        trim_table(table);
    }
}

/// As [`shrink_table`].
#[inline]
pub(crate) fn shrink_line<T>(line: &mut VecDeque<T>) {
    if is_roomy(line.len(), line.capacity(), LARGE_IN_USE) {
        trim_line(line);
    }
}

/// Frees what a table does not need at rest.
#[inline]
pub(crate) fn trim_table<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if is_roomy(table.len(), table.capacity(), LARGE_AT_REST) {
        table.shrink_to((table.len() * 2).max(LEAST));
    }
}

/// As [`trim_table`].
#[inline]
pub(crate) fn trim_line<T>(line: &mut VecDeque<T>) {
    if is_roomy(line.len(), line.capacity(), LARGE_AT_REST) {
        line.shrink_to((line.len() * 2).max(LEAST));
    }
}

/// As [`trim_table`].
#[inline]
pub(crate) fn trim_list<T>(list: &mut Vec<T>) {
    if is_roomy(list.len(), list.capacity(), LARGE_AT_REST) {
        list.shrink_to((list.len() * 2).max(LEAST));
    }
}

#[inline]
fn is_roomy(len: usize, capacity: usize, large: usize) -> bool {
    capacity > large && len < capacity / 8
}
