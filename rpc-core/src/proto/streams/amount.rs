//! `Amount`: what flow control counts.

use std::ops::{Add, AddAssign, Sub, SubAssign};

use super::{MAX_CREDIT, weight};

/// A number of items, and their bytes with [`ITEM`](super::ITEM) for each item.
///
/// Credit is spent an item at a time, and the last item may go beyond it: the bytes of a credit may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) items: i64,
    pub(super) bytes: i64,
}

impl Amount {
    /// One item of `len` bytes.
    pub(super) fn of_item(len: u64) -> Self {
        Self { items: 1, bytes: weight(len) }
    }

    /// The amount that a window of `bytes` holds: that many bytes, and as many items as fit if all of them are empty.
    pub(super) fn of_window(bytes: i64) -> Self {
        Self { items: bytes / weight(0), bytes }
    }

    /// As [`Self::of_window`], for a window that was chosen: at least one byte, and one item.
    pub(super) fn of_fixed_window(bytes: i64) -> Self {
        let window = Self::of_window(bytes.clamp(1, MAX_CREDIT));
        Self { items: window.items.max(1), ..window }
    }

    /// The first credit of a stream whose reader has announced this amount for all streams, and a window for this one;
    /// a window of 0 is none.
    pub(super) fn within_window(self, window: u32) -> Self {
        if window == 0 { self } else { self.min(Self::of_fixed_window(i64::from(window))) }
    }

    /// Whether a credit of this amount allows one more item.
    pub(super) fn allows_item(self) -> bool {
        self.items > 0 && self.bytes > 0
    }

    /// Whether there are as many items, or as many bytes, as in `other`.
    pub(super) fn reaches(self, other: Self) -> bool {
        self.items >= other.items || self.bytes >= other.bytes
    }

    pub(super) fn doubled(self) -> Self {
        Self { items: self.items * 2, bytes: self.bytes * 2 }
    }

    /// The smaller number of items, and the smaller number of bytes.
    pub(super) fn min(self, other: Self) -> Self {
        Self { items: self.items.min(other.items), bytes: self.bytes.min(other.bytes) }
    }

    /// The larger number of items, and the larger number of bytes.
    pub(super) fn max(self, other: Self) -> Self {
        Self { items: self.items.max(other.items), bytes: self.bytes.max(other.bytes) }
    }
}

/// Saturates: a peer chooses how long its items are, and how long it goes on.
impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let Self { items, bytes } = other;
        Self { items: self.items.saturating_add(items), bytes: self.bytes.saturating_add(bytes) }
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { items: self.items - other.items, bytes: self.bytes - other.bytes }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}
