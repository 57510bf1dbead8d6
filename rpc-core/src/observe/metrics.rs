//! `Metrics`: counts calls, streams and sessions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{CallSummary, Observer, RefusedCall, StreamOutcome, StreamSummary};
use crate::{
    contract::MethodDescriptor,
    error::ConnectionError,
    intercept::Direction,
    peer::{ConnectionInfo, Session},
};

/// Counts calls, streams and sessions, for a program that shows the counts or hands them to a system for metrics. Cheap
/// to clone: all clones count together, also as observers of several servers and clients.
///
/// ```
/// use rpc_core::{Hosting, intercept::Direction, observe::Metrics, session::connect_in_memory};
///
/// #[rpc_core::service]
/// trait Clock {
///     async fn hour(&self) -> u8;
/// }
///
/// struct Tower;
///
/// impl Clock for Tower {
///     async fn hour(&self) -> u8 {
///         12
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = Metrics::new();
/// let server = Hosting::builder().service(Tower.serve()).observer(metrics.clone()).build()?;
/// let (_server, client) = connect_in_memory(&server, &Hosting::default());
/// client.client::<ClockClient>().hour().await?;
///
/// let counted = metrics.snapshot();
/// assert_eq!(counted.sessions.opened, 1);
/// for (key, calls) in counted.calls {
///     assert_eq!((key.direction, key.contract, key.method), (Direction::Incoming, "Clock", "hour"));
///     assert_eq!((key.outcome, calls.count), ("OK", 1));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<MetricsSnapshot>>);

/// The counts of a [`Metrics`] at one moment. All of them only grow.
///
/// The number of keys is bounded by the methods of the contracts, and by the names of outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// The calls that have ended. [`CallOutcome::name`](super::CallOutcome::name) gives the outcome.
    pub calls: BTreeMap<Key, CallCount>,
    /// The streams of results that have ended. The outcome is `OK`, `FAULT`, `STOPPED`, or the name of a code.
    pub streams: BTreeMap<Key, StreamCount>,
    /// The calls of hosted methods that were refused before the interceptors. The outcome is the name of a code.
    pub refused: BTreeMap<Key, u64>,
    /// The calls of methods that this side does not host.
    pub unknown_methods: u64,
    /// The one-way calls that this side has made and dropped, because the other side did not keep up
    /// ([`Overflow`](crate::Overflow)), in sessions that have ended. Those of an open session are in its
    /// [`Stats`](crate::Stats).
    pub oneway_dropped: u64,
    /// The sessions.
    pub sessions: SessionCounts,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Key {
    /// Whether this side makes or serves the calls.
    pub direction: Direction,
    /// The name of the contract.
    pub contract: &'static str,
    /// The name of the method.
    pub method: &'static str,
    /// How they ended.
    pub outcome: &'static str,
}

/// Calls with the same [`Key`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCount {
    /// How many.
    pub count: u64,
    /// The sum of their times.
    pub time: Duration,
    /// The longest time.
    pub longest: Duration,
}

/// Streams with the same [`Key`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamCount {
    /// How many.
    pub count: u64,
    /// The sum of their items.
    pub items: u64,
    /// The sum of the bytes of their items.
    pub bytes: u64,
}

/// The sessions of one or more ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCounts {
    /// Sessions that have opened.
    pub opened: u64,
    /// Of these, the sessions that have ended.
    pub closed: u64,
    /// Of the sessions that have ended, those whose link broke without a goodbye.
    pub lost: u64,
    /// Sessions that either side refused before they were open.
    pub refused: u64,
    /// Other sessions that ended before they were open.
    pub failed: u64,
}

impl SessionCounts {
    /// The number of sessions that are open now.
    pub const fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }
}

impl Key {
    fn new(direction: Direction, method: &'static MethodDescriptor, outcome: &'static str) -> Self {
        Self { direction, contract: method.contract(), method: method.name(), outcome }
    }
}

impl Metrics {
    /// No counts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of the counts as they are now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, MetricsSnapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Metrics {
    fn call_ended(&self, call: &CallSummary) {
        let key = Key::new(call.direction, call.method, call.outcome.name());
        let mut all = self.lock();
        let calls = all.calls.entry(key).or_default();
        calls.count += 1;
        calls.time = calls.time.saturating_add(call.time);
        calls.longest = calls.longest.max(call.time);
    }

    fn stream_ended(&self, call: &CallSummary, stream: &StreamSummary) {
        let outcome = match &stream.outcome {
            StreamOutcome::Finished => "OK",
            StreamOutcome::Fault => "FAULT",
            StreamOutcome::Failed(status) => status.code().name(),
            StreamOutcome::Stopped => "STOPPED",
        };
        let mut all = self.lock();
        let streams = all.streams.entry(Key::new(call.direction, call.method, outcome)).or_default();
        streams.count += 1;
        streams.items += stream.items;
        streams.bytes += stream.bytes;
    }

    fn call_refused(&self, call: &RefusedCall<'_>) {
        let mut all = self.lock();
        match call.method {
            Some(method) => {
                let key = Key::new(Direction::Incoming, method, call.status.code().name());
                *all.refused.entry(key).or_default() += 1;
            }
            None => all.unknown_methods += 1,
        }
    }

    fn session_opened(&self, _: &Session) {
        self.lock().sessions.opened += 1;
    }

    fn session_closed(&self, session: &Session, reason: &ConnectionError) {
        let dropped = session.stats().oneway_dropped;
        let mut all = self.lock();
        all.oneway_dropped += dropped;
        all.sessions.closed += 1;
        all.sessions.lost += u64::from(reason.is_lost());
    }

    fn session_failed(&self, _: &ConnectionInfo, reason: &ConnectionError) {
        let sessions = &mut self.lock().sessions;
        *(if reason.is_refused() { &mut sessions.refused } else { &mut sessions.failed }) += 1;
    }
}
