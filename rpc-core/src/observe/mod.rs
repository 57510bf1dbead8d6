//! Watching calls and sessions: the [`Observer`] trait, and the ready-made [`Metrics`].
//!
//! The trait and its types stand in `peer/observer.rs`, below this floor, because what they watch does.

mod metrics;

pub use metrics::{CallCount, Key, Metrics, MetricsSnapshot, SessionCounts, StreamCount};

pub use crate::peer::{CallOutcome, CallSummary, Observer, RefusedCall, StreamOutcome, StreamSummary};
