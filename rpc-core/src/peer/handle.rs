//! `Peer`: a handle to the other end of a session.

use std::{fmt, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use serde::Serialize;

use super::{
    CallOptions, Session,
    call::{self, Answer, CallInput},
    destination::Destination,
    encode::scan_limits,
    output::{DecodeFault, Output},
    perform,
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
    destination: Destination,
    options: Option<Arc<CallOptions>>,
    /// Nothing reads the field: its drop closes the session.
    _keep: Option<Arc<Keep>>,
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

/// Keeps the session open, as long as one value of this type is left.
struct Keep(Arc<SessionShared>);

impl Keep {
    fn new(shared: Arc<SessionShared>) -> Self {
        shared.keeper_came();
        Self(shared)
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.0.keeper_left();
    }
}

impl Peer {
    /// A handle that does not keep the session open.
    pub(crate) fn new(shared: Arc<SessionShared>) -> Self {
        Self { destination: Destination::Session(shared), options: None, _keep: None }
    }

    /// A handle that keeps the session open, as its clones do. When the last of all such handles is dropped, the calls
    /// that were sent still go out, and then the session is closed.
    pub(crate) fn keeping(shared: Arc<SessionShared>) -> Self {
        let keep = Some(Arc::new(Keep::new(shared.clone())));
        Self { destination: Destination::Session(shared), options: None, _keep: keep }
    }

    /// A handle to the same peer, with options for the calls that are made through it. The options of this handle hold
    /// there too, unless the new options set another time, or another value for a key of metadata.
    #[must_use]
    pub fn with(&self, options: CallOptions) -> Self {
        Self { options: Some(Arc::new(options.over(self.options.as_deref()))), ..self.clone() }
    }

    /// The session behind this handle. The returned handle does not keep the session open.
    pub fn session(&self) -> Session {
        Session::new(self.destination.session().clone())
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
        let (peer, mut input) = (self.clone(), CallInput::new(arguments, streams));
        async move {
            match peer.perform(method, &mut input).await? {
                Answer::Value(bytes, mut streams) => peer.decode_output::<O>(method, bytes, &mut streams),
                Answer::Fault(_) => {
                    Err(call::mismatch(method, "the fault", &WireError::new("the contract knows none")))
                }
            }
        }
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
        let (peer, mut input) = (self.clone(), CallInput::new(arguments, streams));
        async move {
            match peer.perform(method, &mut input).await? {
                Answer::Value(bytes, mut streams) => Ok(peer.decode_output::<O>(method, bytes, &mut streams)?),
                Answer::Fault(bytes) => {
                    let limits = scan_limits(peer.destination.config());
                    let fault = F::decode_fault(&bytes, &limits)
                        .map_err(|error| call::mismatch(method, "the fault", &error))?;
                    Err(CallError::Fault(fault))
                }
            }
        }
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
        let (peer, mut input) = (self.clone(), CallInput::new(arguments, StreamWriters::default()));
        async move { peer.perform(method, &mut input).await.map(|_| ()) }
    }

    async fn perform<A: Serialize + Send>(
        &self,
        method: &'static MethodDescriptor,
        input: &mut CallInput<A>,
    ) -> Result<Answer, Status> {
        perform::perform(&self.destination, self.options.as_deref(), method, input).await
    }

    fn decode_output<O: Output>(
        &self,
        method: &'static MethodDescriptor,
        bytes: Bytes,
        streams: &mut StreamReaders,
    ) -> Result<O::Value, Status> {
        O::decode(bytes, &scan_limits(self.destination.config()), streams, method)
            .map_err(|error| call::mismatch(method, "the result", &error))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("session", &self.destination.session().id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
