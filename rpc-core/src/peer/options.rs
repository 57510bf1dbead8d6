//! `CallOptions`: a caller's options for single calls.

use std::time::{Duration, Instant};

use super::current::CurrentCall;
use crate::{
    contract::MethodDescriptor,
    overflow::Overflow,
    proto::{DeadlineOrigin, DeadlineSetting, IdleTimeout},
    wire::MetadataPairs,
};

/// Options for the calls of one stub: times and metadata.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::{CallOptions, Code, Hosting, session::connect_in_memory};
///
/// #[rpc_core::service]
/// trait Oracle {
///     async fn ask(&self) -> String;
/// }
///
/// struct Silent;
///
/// impl Oracle for Silent {
///     async fn ask(&self) -> String {
///         std::future::pending().await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Hosting::builder().service(Silent.serve()).build()?;
/// # let (_server, session) = connect_in_memory(&server, &Hosting::default());
/// # let oracle: OracleClient = session.client();
/// let options = CallOptions::new().timeout(Duration::from_millis(5)).metadata("user", "ada");
/// // The options hold for the calls of this stub; `oracle` stays as it was.
/// let hasty = oracle.with(options);
/// assert_eq!(hasty.ask().await.unwrap_err().code(), Code::DeadlineExceeded);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    metadata: MetadataPairs,
    fail_fast: bool,
    overflow: Option<Overflow>,
    ttl: Option<Duration>,
}

impl CallOptions {
    /// No options: the contract and the configuration decide.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a call may take in all, from its first poll. This replaces the method's `timeout` and
    /// [`crate::Config::call_timeout`], also for a call with streams among its arguments, whose pauses only an
    /// [idle timeout](Self::idle_timeout) bounds then. A call that is made in a
    /// handler still has the handler's deadline if that is earlier. `Duration::MAX` sets no deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long a call may stand still while streams among its arguments are sent: no item is produced, none is read at
    /// the other side, and no answer comes. This replaces the method's `idle_timeout`, and for such a call
    /// [`crate::Config::call_timeout`]; a [`timeout`](Self::timeout) still bounds the whole call. `Duration::MAX` lets
    /// the call stand still for ever. Calls without such streams, and streams of results, have no idle timeout.
    #[must_use]
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = Some(idle_timeout);
        self
    }

    /// Adds a pair of metadata, which the handler reads with [`crate::Context::metadata`]. Keys that differ in case
    /// alone are different keys. All keys and values of a call together, with 48 bytes for each pair, may have
    /// [`crate::Config::max_metadata`] bytes (8 KiB unless changed, at either end); a call with more fails with
    /// [`crate::Code::InvalidArgument`].
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Makes calls fail at once with [`crate::Code::Unavailable`] while their client has no session, in place of
    /// waiting for the next session until their deadline. Such a call has not run, and goes to no other session if its
    /// own is lost. Without a client that connects again, calls fail at once anyway.
    #[must_use]
    pub fn fail_fast(mut self) -> Self {
        self.fail_fast = true;
        self
    }

    /// What happens to one-way calls whose receiver does not keep up. This replaces the method's `overflow`, and what a
    /// group says. Two-way calls have no such policy.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// How long a one-way call may wait in the queue of a receiver that does not keep up; after that it is dropped.
    /// This replaces the method's `ttl`. A call whose policy is [`Overflow::Wait`] is never dropped.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// These options; what they leave unset comes from `before`.
    pub(crate) fn over(mut self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        self.timeout = self.timeout.or(before.timeout);
        self.idle_timeout = self.idle_timeout.or(before.idle_timeout);
        self.fail_fast |= before.fail_fast;
        self.overflow = self.overflow.or(before.overflow);
        self.ttl = self.ttl.or(before.ttl);
        let kept = before.metadata.iter().filter(|(key, _)| self.metadata.iter().all(|(own, _)| own != key));
        self.metadata = kept.cloned().collect::<Vec<_>>().into_iter().chain(self.metadata).collect();
        self
    }

    pub(crate) fn metadata_pairs(&self) -> &MetadataPairs {
        &self.metadata
    }

    pub(crate) fn is_fail_fast(this: Option<&Self>) -> bool {
        this.is_some_and(|options| options.fail_fast)
    }

    /// The timeout that the caller or the contract has set for a call, and which of them.
    pub(crate) fn explicit(this: Option<&Self>, method: &MethodDescriptor) -> Option<(Duration, DeadlineSetting)> {
        let own = this.and_then(|options| options.timeout).map(|timeout| (timeout, DeadlineSetting::Options));
        own.or_else(|| method.timeout().map(|timeout| (timeout, DeadlineSetting::Method)))
    }

    /// The policy of a one-way call, if the caller or the contract says it.
    pub(crate) fn overflow_of(this: Option<&Self>, method: &MethodDescriptor) -> Option<Overflow> {
        this.and_then(|options| options.overflow).or_else(|| method.overflow())
    }

    /// How long a one-way call may wait in a queue, if the caller or the contract says it.
    pub(crate) fn ttl_of(this: Option<&Self>, method: &MethodDescriptor) -> Option<Duration> {
        this.and_then(|options| options.ttl).or_else(|| method.ttl())
    }

    /// The idle timeout that the caller or the contract has set for a call.
    pub(crate) fn idle_timeout_of(this: Option<&Self>, method: &MethodDescriptor) -> Option<IdleTimeout> {
        let own = this.and_then(|options| options.idle_timeout);
        let own = own.map(|time| IdleTimeout { time, setting: DeadlineSetting::Options });
        own.or_else(|| method.idle_timeout().map(|time| IdleTimeout { time, setting: DeadlineSetting::Method }))
    }

    /// The deadline of a call that begins now with this timeout, and what has set the deadline. A call that is made in
    /// a handler has the handler's deadline, if that is earlier.
    pub(crate) fn deadline(
        begun: Instant,
        (timeout, setting): (Duration, DeadlineSetting),
        origin: Option<&CurrentCall>,
    ) -> (Option<Instant>, DeadlineOrigin) {
        let inherited = origin.and_then(CurrentCall::deadline);
        let (deadline, is_inherited) = match (begun.checked_add(timeout), inherited) {
            (Some(own), Some(inherited)) => (Some(own.min(inherited)), inherited < own),
            (own, inherited) => (own.or(inherited), inherited.is_some()),
        };
        let setting = if is_inherited { DeadlineSetting::Served } else { setting };
        (deadline, DeadlineOrigin { begun, setting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_options_add_to_earlier_ones() {
        let second = Duration::from_secs(1);
        let earlier = CallOptions::new().timeout(second).metadata("token", "one").metadata("trace", "t");
        let merged = CallOptions::new().metadata("token", "two").over(Some(&earlier));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(merged.metadata, [pair("trace", "t"), pair("token", "two")]);
        assert_eq!(merged.timeout, Some(second));
        assert_eq!(CallOptions::new().timeout(2 * second).over(Some(&merged)).timeout, Some(2 * second));
        let idle = CallOptions::new().idle_timeout(3 * second).over(Some(&merged));
        assert_eq!((idle.timeout, idle.idle_timeout), (Some(second), Some(3 * second)));
        assert_eq!(CallOptions::new().over(Some(&idle)).idle_timeout, Some(3 * second));
    }
}
