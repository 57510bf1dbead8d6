//! What a stream may do in its turn, and what comes of it.

use std::task::Waker;

/// What a stream may write in a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnLimits {
    pub(crate) left: usize,
    pub(crate) chunk: usize,
    pub(crate) frames: usize,
    pub(crate) first: bool,
}

/// What a stream's turn came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TurnResult {
    /// It has more to send, in its next turn.
    More,
    /// Its next frame does not fit into what is left.
    Full,
    /// It has nothing to send, or may not; others may have.
    Idle,
    /// It has ended.
    Ended,
}

/// What a turn gave back.
#[derive(Debug, Default)]
pub(crate) struct TurnOutput {
    pub(crate) frames: usize,
    /// Of the budget of transfers.
    pub(crate) transfers: usize,
    pub(crate) wake: Option<Waker>,
}

/// What becomes of a long item.
#[derive(Debug)]
pub enum LongState {
    /// It waits for its turn, or for credit.
    Waits,
    /// It could not go for want of credit, and was dropped: make it again when there is some.
    Returned,
    /// It is on its way.
    Gone,
}
