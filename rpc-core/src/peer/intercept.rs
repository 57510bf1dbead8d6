//! `Interceptor`: code around calls, at both ends and in both directions.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::{
    clock::now,
    current::{CurrentCall, Extras},
    info::{ConnectionInfo, Facts},
    principal::Principal,
    session_id::SessionId,
    streams::{StreamSummary, StreamWatch},
};
use crate::{contract::MethodDescriptor, proto::ServedCall, status::Status, wire::MetadataPairs};

/// Code around every call of a session, at either end, for calls that are made and for calls that are served:
/// authorization, logging, retries, limits, metrics.
///
/// A server's or client's builder takes interceptors with `interceptor`, and so does
/// [`crate::HostingBuilder::interceptor`]. The first interceptor that is added is the outermost. Each runs the rest
/// with [`Next::run`], and returns the result of that or another status:
///
/// ```
/// use rpc_core::{Status, async_trait, intercept::{CallInfo, Direction, Interceptor, Next, Reply}};
///
/// /// Only the principal `root` may call methods whose names begin with `admin_`.
/// struct AdminsOnly;
///
/// #[async_trait]
/// impl Interceptor for AdminsOnly {
///     async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
///         let guarded = call.direction() == Direction::Incoming && call.method().name().starts_with("admin_");
///         if guarded && call.principal().is_none_or(|principal| principal.name() != "root") {
///             return Err(Status::permission_denied(format!("{} is for root", call.method())));
///         }
///         next.run(call).await
///     }
/// }
/// ```
///
/// Dropping the future cancels the call, so an interceptor may put a timeout around the rest. A status that comes from
/// an interceptor which never ran the rest says that the method did not run ([`crate::Execution::NotExecuted`]). A
/// session without interceptors pays nothing for them.
///
/// An interceptor sees the call, but not the items of its streams. The stream of a result goes on after [`Next::run`]
/// has returned; [`Reply::on_stream_end`] tells how it ended.
///
/// The guide has [interceptors for authorization, retries and metrics](crate::guide::interceptors).
#[async_trait]
pub trait Interceptor: Send + Sync + 'static {
    /// Runs around one call.
    async fn intercept(&self, call: &mut CallInfo, next: Next<'_>) -> Result<Reply, Status>;
}

/// The direction of a call, as seen from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// This side makes the call.
    Outgoing,
    /// This side serves the call.
    Incoming,
}

/// The facts of a call that an interceptor sees, some of which it may change.
pub struct CallInfo {
    /// The number of the call, which no other call of this process has.
    number: u64,
    direction: Direction,
    method: &'static MethodDescriptor,
    /// The facts of the session, if there is one.
    facts: Option<Arc<Facts>>,
    /// The call that is served, or the call in whose handler this call is made.
    serving: Option<CurrentCall>,
    metadata: MetadataPairs,
    deadline: Option<Instant>,
    extensions: http::Extensions,
    /// Whether the streams among the arguments have begun to be sent.
    spent: bool,
    /// For a one-way call to many sessions: how many they are.
    members: Option<usize>,
}

/// A call of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ChainLink {
    /// The session in which the call came.
    pub session: SessionId,
    /// The number of the call in that session; `None` for a one-way call.
    pub call: Option<u64>,
}

/// The reply to a call, which [`Next::run`] returns.
pub struct Reply {
    /// The call that it belongs to.
    call: u64,
    is_fault: bool,
    has_stream: bool,
    len: usize,
    content: Box<dyn Any + Send>,
    watch: StreamWatch,
}

/// The interceptors further inside, and the call itself.
pub struct Next<'a> {
    rest: &'a [Arc<dyn Interceptor>],
    end: &'a mut dyn End,
}

/// The call itself, inside all interceptors.
#[async_trait]
pub(crate) trait End: Send {
    async fn run(&mut self, call: &mut CallInfo) -> Result<Reply, Status>;
}

impl Next<'_> {
    /// Runs the rest. An interceptor may run a call that this side makes again after it has failed; the deadline stays
    /// the same. A call that this side serves runs once. Dropping the future cancels the call.
    pub async fn run(&mut self, call: &mut CallInfo) -> Result<Reply, Status> {
        match self.rest {
            [] => self.end.run(call).await,
            [first, rest @ ..] => first.intercept(call, Next { rest, end: &mut *self.end }).await,
        }
    }
}

fn next_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Runs interceptors around a call.
pub(crate) async fn run(
    interceptors: &[Arc<dyn Interceptor>],
    call: &mut CallInfo,
    end: &mut dyn End,
) -> Result<Reply, Status> {
    Next { rest: interceptors, end }.run(call).await
}

impl CallInfo {
    /// A call that this side is about to make, in the handler of `origin`.
    pub(crate) fn outgoing(
        method: &'static MethodDescriptor,
        facts: Option<Arc<Facts>>,
        origin: Option<CurrentCall>,
        metadata: MetadataPairs,
        deadline: Option<Instant>,
    ) -> Self {
        let extensions = http::Extensions::new();
        let (number, direction) = (next_number(), Direction::Outgoing);
        Self {
            number,
            direction,
            method,
            facts,
            serving: origin,
            metadata,
            deadline,
            extensions,
            spent: false,
            members: None,
        }
    }

    /// The call goes to this many sessions.
    pub(crate) fn for_members(mut self, members: usize) -> Self {
        self.members = Some(members);
        self
    }

    /// A call that has arrived.
    pub(crate) fn incoming(method: &'static MethodDescriptor, facts: Arc<Facts>, call: &Arc<ServedCall>) -> Self {
        Self {
            number: next_number(),
            direction: Direction::Incoming,
            method,
            facts: Some(facts),
            serving: Some(CurrentCall::new(call.clone())),
            metadata: call.metadata.clone(),
            deadline: call.deadline,
            extensions: http::Extensions::new(),
            spent: false,
            members: None,
        }
    }

    /// Records that the call cannot be sent again.
    pub(crate) fn set_spent(&mut self) {
        self.spent = true;
    }

    /// The changes that interceptors have made to a call that has arrived, for its handler.
    pub(crate) fn extras(&self) -> Extras {
        let (metadata, extensions) = (self.metadata.clone(), self.extensions.clone());
        Extras { metadata, deadline: self.deadline, extensions }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether this side makes or serves the call.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The method: its name, its contract's, and its options.
    pub fn method(&self) -> &'static MethodDescriptor {
        self.method
    }

    /// The session's id, as in [`crate::Session::id`]. `None` for a call that this side makes while there is no session
    /// for it; a call that this side serves always has a session.
    pub fn session_id(&self) -> Option<SessionId> {
        self.facts.as_ref().map(|facts| facts.id)
    }

    /// The facts of the connection, as they are now: address, headers of the upgrade, extensions. `None` if
    /// [`Self::session_id`] is `None`.
    pub fn info(&self) -> Option<Arc<ConnectionInfo>> {
        self.facts.as_ref().map(|facts| facts.info())
    }

    /// The party at the other end; `None` if it is not known.
    pub fn principal(&self) -> Option<Principal> {
        self.facts.as_ref().and_then(|facts| facts.principal())
    }

    /// The value of this type that [`Session::insert`](crate::Session::insert) has put on the session.
    pub fn session_value<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.facts.as_ref()?.values.get()
    }

    /// The number of members that a one-way call to a group goes to; `None` for a call to one session. Interceptors see
    /// a one-way call to a group once, and each two-way call to a member as a call of its own.
    pub fn members(&self) -> Option<usize> {
        self.members
    }

    /// Whether [`Next::run`] can make the call again after it has failed. False once streams among the arguments have
    /// begun to be sent: then `run` fails at once, as the call did. False for a call that this side serves.
    pub fn is_repeatable(&self) -> bool {
        self.direction == Direction::Outgoing && !self.spent
    }

    /// The instant at which the call fails; `None` if it has no deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time until [`Self::deadline`]; zero when the deadline has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now()))
    }

    /// Makes the deadline no later than `timeout` from now. An earlier deadline stays as it is.
    pub fn limit_timeout(&mut self, timeout: Duration) {
        if let Some(latest) = now().checked_add(timeout) {
            self.deadline = Some(self.deadline.map_or(latest, |deadline| deadline.min(latest)));
        }
    }

    /// The first value of this key among the metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        find(&self.metadata, key)
    }

    /// All metadata, in order.
    pub fn metadata_all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Replaces all values of this key with one value. A call that this side makes sends its metadata, within the limit
    /// of [`crate::CallOptions::metadata`]; the handler of a call that this side serves sees them.
    pub fn set_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let key = key.into();
        self.remove_metadata(&key);
        self.metadata.push((key, value.into()));
    }

    /// Removes all values of this key.
    pub fn remove_metadata(&mut self, key: &str) {
        self.metadata.retain(|(name, _)| name != key);
    }

    /// Typed values of this call. The handler of a call that this side serves finds them with
    /// [`crate::Context::extension`].
    pub fn extensions(&self) -> &http::Extensions {
        &self.extensions
    }

    /// The typed values of [`Self::extensions`]. Change them before you run the rest.
    pub fn extensions_mut(&mut self) -> &mut http::Extensions {
        &mut self.extensions
    }

    /// For a call that is made in a handler: a typed value that an interceptor gave to the call that the handler
    /// serves.
    pub fn origin_extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.origin().and_then(CurrentCall::extension)
    }

    /// For a call that is made in a handler: a value among the metadata of the call that the handler serves.
    pub fn origin_metadata(&self, key: &str) -> Option<&str> {
        self.origin().and_then(|origin| find(origin.metadata(), key))
    }

    /// The calls of this call's chain that this process serves, nearest first: the call itself, if this side serves it,
    /// then the call in whose handler it was made, and so on.
    pub fn chain(&self) -> impl Iterator<Item = ChainLink> {
        let first = self.serving.as_ref().map(|serving| &serving.call);
        std::iter::successors(first, |call| call.parent.as_ref())
            .map(|call| ChainLink { session: SessionId::local(call.session), call: call.id })
    }

    fn origin(&self) -> Option<&CurrentCall> {
        self.serving.as_ref().filter(|_| self.direction == Direction::Outgoing)
    }

    /// The runtime of the session. A task outside of any runtime may poll the call.
    pub(crate) fn runtime(&self) -> Option<&Handle> {
        self.facts.as_ref().and_then(|facts| facts.runtime.as_ref())
    }

    pub(crate) fn metadata_pairs(&self) -> &MetadataPairs {
        &self.metadata
    }
}

impl Reply {
    pub(crate) fn new(call: u64, is_fault: bool, has_stream: bool, len: usize, content: impl Any + Send) -> Self {
        Self { call, is_fault, has_stream, len, content: Box::new(content), watch: StreamWatch::default() }
    }

    /// Whether the reply is a typed fault, the contract's own error.
    pub fn is_fault(&self) -> bool {
        self.is_fault
    }

    /// The number of bytes of the encoded payload.
    pub fn payload_len(&self) -> usize {
        self.len
    }

    /// Whether the result is a stream, which goes on after the reply.
    pub fn has_stream(&self) -> bool {
        self.has_stream
    }

    /// Calls `report` once when the stream of the result has ended, with the number of its items and how it ended. This
    /// is where a call with such a result is over for a metric or a span. At a side that serves the call, the stream
    /// ends when its producer does; at the caller, when the program has read the end, or drops the stream. `report`
    /// runs in the task that produces, reads or drops the stream, so it must not block. Without a
    /// [stream](Self::has_stream), `report` is dropped.
    ///
    /// ```
    /// use rpc_core::{Status, async_trait, intercept::{CallInfo, Interceptor, Next, Reply}};
    ///
    /// struct Ends;
    ///
    /// #[async_trait]
    /// impl Interceptor for Ends {
    ///     async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
    ///         let method = call.method();
    ///         let mut reply = next.run(call).await?;
    ///         reply.on_stream_end(move |stream| println!("{method}: {} items, {:?}", stream.items, stream.outcome));
    ///         Ok(reply)
    ///     }
    /// }
    /// ```
    pub fn on_stream_end(&mut self, report: impl FnOnce(&StreamSummary) + Send + Sync + 'static) {
        if self.has_stream {
            self.watch.report_to(Box::new(report));
        }
    }

    /// The content of the reply, if it is the reply of that call, and what watches its stream.
    pub(crate) fn into_content<T: Any>(self, call: u64) -> Result<(T, StreamWatch), Status> {
        let content = if self.call == call { self.content.downcast::<T>().ok() } else { None };
        content
            .map(|content| (*content, self.watch))
            .ok_or_else(|| Status::internal("an interceptor returned the reply of another call"))
    }
}

fn find<'a>(metadata: &'a MetadataPairs, key: &str) -> Option<&'a str> {
    metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

impl fmt::Debug for CallInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallInfo")
            .field("direction", &self.direction)
            .field("method", &format_args!("{}", self.method))
            .field("session", &self.session_id())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("is_fault", &self.is_fault)
            .field("payload_len", &self.len)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("rest", &self.rest.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_may_be_made_where_there_is_no_session_yet() {
        static METHOD: MethodDescriptor = MethodDescriptor::new("Nowhere", "go", 0);
        let call = CallInfo::outgoing(&METHOD, None, None, Vec::new(), None);
        assert_eq!((call.session_id(), call.principal()), (None, None));
        assert!(call.info().is_none() && call.runtime().is_none() && call.is_repeatable());
        assert!(format!("{call:?}").contains("session: None"));
    }
}
