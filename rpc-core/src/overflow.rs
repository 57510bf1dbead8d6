//! `Overflow`: what happens to a one-way call whose receiver does not keep up.

/// What happens to a one-way call when the queue of its receiver is full.
///
/// Calls wait in the queue of their session while the other side does not take them: it is slow to read, slow to run
/// what it has read, or away. The queue is full at [`Config::max_queued_calls`](crate::Config::max_queued_calls) or
/// [`Config::max_queued_bytes`](crate::Config::max_queued_bytes).
///
/// A policy is set for a method (`#[rpc(oneway, overflow = "conflate")]`), for the calls of a handle
/// ([`CallOptions::overflow`](crate::CallOptions::overflow)) or for a group; the call's own comes first, then the
/// method's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The sender waits until there is room, within the call's timeout. Nothing is lost. This is what holds where
    /// nothing is set, apart from groups.
    Wait,
    /// The oldest call with this policy that waits is dropped. For samples.
    DropOldest,
    /// The new call is dropped. For logs.
    DropNewest,
    /// A call replaces an older one of the same method and the same key that still waits. For values of which only the
    /// latest counts, such as prices.
    Conflate,
    /// The session ends with close code 1013 once a call has waited longer than
    /// [`Config::queue_timeout`](crate::Config::queue_timeout), or once the queue has too many bytes. The number of
    /// calls does not count. This is what holds for groups where nothing is set.
    Disconnect,
}
