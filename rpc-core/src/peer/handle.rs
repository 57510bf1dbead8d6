//! `Peer`: a handle to the other end of a session.

use std::{any::Any, fmt, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use serde::Serialize;

use super::{
    CallOptions, Session,
    call::{self, Answer, CallInput},
    client_sessions::ClientSessions,
    destination::Destination,
    encode::scan_limits,
    output::{DecodeFault, Output},
    overflow_key::OverflowKey,
    performing::{Nothing, Plain, WithFault, performing},
    shared::SessionShared,
    streams::{StreamReaders, StreamWriters},
};
use crate::{contract::MethodDescriptor, error::CallError, status::Status, wire::WireError};

/// The other end of a session, as a handle that calls it. A generated stub is a typed form of this handle.
///
/// A peer is cheap to clone. A peer that came from `connect` or [`Session::keep_open`], and its clones, keep the
/// session open until the last of them is dropped. Other peers do not.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_core::{CallOptions, Hosting, Stub, session::connect_in_memory};
/// # #[rpc_core::service]
/// # trait Clock {
/// #     async fn hour(&self) -> u8;
/// # }
/// # struct Tower;
/// # impl Clock for Tower {
/// #     async fn hour(&self) -> u8 {
/// #         12
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Hosting::builder().service(Tower.serve()).build()?;
/// # let (_server, session) = connect_in_memory(&server, &Hosting::default());
/// // Options that hold for every stub that is made of this peer.
/// let peer = session.peer().with(CallOptions::new().timeout(Duration::from_secs(5)));
/// let clock = ClockClient::from_peer(peer);
/// assert_eq!(clock.hour().await?, 12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Peer {
    to: Addressee,
    options: Option<Arc<CallOptions>>,
}

/// Where the calls of a handle go. What keeps nothing open and what does are apart, so that the clone that each call
/// holds counts one reference.
#[derive(Clone)]
enum Addressee {
    Free(Destination),
    /// The drop of the last clone closes the session.
    Kept(Arc<Keep>),
}

impl Session {
    /// A handle that keeps the session open. So do its clones, the stubs that [`crate::Stub::from_peer`] makes of them,
    /// and a client's stubs that came from `connect`. When the last of all such handles is dropped, the session is
    /// closed as [`Self::close`] does it.
    pub fn keep_open(&self) -> Peer {
        Peer::keeping(self.shared().clone())
    }

    /// A handle to the other end that does not keep the session open.
    pub fn peer(&self) -> Peer {
        Peer::new(self.shared().clone())
    }
}

impl ClientSessions {
    /// A handle that calls through these sessions. When the last of its clones is dropped, the session is closed, and
    /// there is no other one. A client has one such handle, which gives `companion` back when it is asked.
    pub fn peer(self: &Arc<Self>, companion: Arc<dyn Any + Send + Sync>) -> Peer {
        Peer::kept(Destination::Client(self.clone()), Some(companion))
    }
}

/// Keeps a session open, or lets a client go on, as long as one value of this type is left.
struct Keep {
    destination: Destination,
    /// What the client's library keeps with the client.
    companion: Option<Arc<dyn Any + Send + Sync>>,
}

impl Drop for Keep {
    fn drop(&mut self) {
        match &self.destination {
            Destination::Session(shared) => shared.keeper_left(),
            Destination::Client(sessions) => sessions.let_go(),
        }
    }
}

impl Peer {
    /// A handle that does not keep the session open.
    pub(crate) fn new(shared: Arc<SessionShared>) -> Self {
        Self { to: Addressee::Free(Destination::Session(shared)), options: None }
    }

    /// A handle that keeps the session open, as its clones do. When the last of all such handles is dropped, the calls
    /// that were sent still go out, and then the session is closed.
    pub(crate) fn keeping(shared: Arc<SessionShared>) -> Self {
        shared.keeper_came();
        Self::kept(Destination::Session(shared), None)
    }

    fn kept(destination: Destination, companion: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        Self { to: Addressee::Kept(Arc::new(Keep { destination, companion })), options: None }
    }

    /// What the client's library keeps with the client of this handle.
    #[doc(hidden)]
    pub fn __companion(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        match &self.to {
            Addressee::Free(_) => None,
            Addressee::Kept(keep) => keep.companion.clone(),
        }
    }

    /// Whether this handle keeps a session open.
    #[doc(hidden)]
    pub fn __keeps_open(&self) -> bool {
        matches!(self.to, Addressee::Kept(_))
    }

    /// A handle to the same peer, with options for the calls that are made through it. The options of this handle hold
    /// there too, unless the new options set another time, or another value for a key of metadata.
    #[must_use]
    pub fn with(&self, options: CallOptions) -> Self {
        Self { options: Some(Arc::new(options.over(self.options.as_deref()))), ..self.clone() }
    }

    /// The session behind this handle. The returned handle does not keep the session open. If the handle came from a
    /// client that connects again, this is the session of the moment, or the last one while there is none.
    pub fn session(&self) -> Session {
        Session::new(self.destination().session())
    }

    /// Calls a method whose result has no typed fault.
    #[doc(hidden)]
    #[inline(always)]
    pub fn call<A, O>(
        &self,
        method: &'static MethodDescriptor,
        arguments: A,
        streams: StreamWriters,
        _: PhantomData<fn() -> O>,
    ) -> impl Future<Output = Result<O::Value, Status>> + Send + use<A, O>
    where
        A: Serialize + Send,
        O: Output,
    {
        performing::<A, Plain<O>>(self.clone(), method, CallInput::new(arguments, streams))
    }

    /// Calls a method that may return a typed fault.
    #[doc(hidden)]
    #[inline(always)]
    pub fn call_fallible<A, O, F>(
        &self,
        method: &'static MethodDescriptor,
        arguments: A,
        streams: StreamWriters,
        _: PhantomData<fn() -> O>,
        _: PhantomData<fn() -> F>,
    ) -> impl Future<Output = Result<O::Value, CallError<F::Fault>>> + Send + use<A, O, F>
    where
        A: Serialize + Send,
        O: Output,
        F: DecodeFault,
    {
        performing::<A, WithFault<O, F>>(self.clone(), method, CallInput::new(arguments, streams))
    }

    /// Calls a one-way method. The future is ready when the call is in the outbox.
    #[doc(hidden)]
    #[inline(always)]
    pub fn call_oneway<A>(
        &self,
        method: &'static MethodDescriptor,
        arguments: A,
    ) -> impl Future<Output = Result<(), Status>> + Send + use<A>
    where
        A: Serialize + Send,
    {
        performing::<A, Nothing>(self.clone(), method, CallInput::new(arguments, StreamWriters::default()))
    }

    /// As [`Self::call_oneway`], for a method whose calls replace older ones of the same key.
    #[doc(hidden)]
    pub fn call_oneway_keyed<A>(
        &self,
        method: &'static MethodDescriptor,
        arguments: A,
        key: OverflowKey,
    ) -> impl Future<Output = Result<(), Status>> + Send + use<A>
    where
        A: Serialize + Send,
    {
        let mut input = CallInput::new(arguments, StreamWriters::default());
        input.key = Some(key);
        performing::<A, Nothing>(self.clone(), method, input)
    }

    #[inline(always)]
    pub(super) fn destination(&self) -> &Destination {
        match &self.to {
            Addressee::Free(destination) => destination,
            Addressee::Kept(keep) => &keep.destination,
        }
    }

    pub(super) fn options(&self) -> Option<&CallOptions> {
        self.options.as_deref()
    }

    /// The result of a call of a method whose result has no typed fault.
    #[inline]
    pub(super) fn decode_answer<O: Output>(
        &self,
        method: &'static MethodDescriptor,
        answer: Answer,
    ) -> Result<O::Value, Status> {
        match answer {
            Answer::Value(bytes, mut streams) => self.decode_output::<O>(method, bytes, &mut streams),
            Answer::Fault(_) => Err(call::mismatch(method, "the fault", &WireError::new("the contract knows none"))),
        }
    }

    /// The result of a call of a method that may return a typed fault.
    #[inline]
    pub(super) fn decode_fallible<O: Output, F: DecodeFault>(
        &self,
        method: &'static MethodDescriptor,
        answer: Answer,
    ) -> Result<O::Value, CallError<F::Fault>> {
        match answer {
            Answer::Value(bytes, mut streams) => Ok(self.decode_output::<O>(method, bytes, &mut streams)?),
            Answer::Fault(bytes) => {
                let limits = scan_limits(self.destination().config());
                let fault =
                    F::decode_fault(&bytes, &limits).map_err(|error| call::mismatch(method, "the fault", &error))?;
                Err(CallError::Fault(fault))
            }
        }
    }

    fn decode_output<O: Output>(
        &self,
        method: &'static MethodDescriptor,
        bytes: Bytes,
        streams: &mut StreamReaders,
    ) -> Result<O::Value, Status> {
        O::decode(bytes, &scan_limits(self.destination().config()), streams, method)
            .map_err(|error| call::mismatch(method, "the result", &error))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("session", &self.destination().session().id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
