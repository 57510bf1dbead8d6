//! `Audience`: the sessions that a call to many goes to.

use std::{fmt, marker::PhantomData, sync::Arc};

use futures::FutureExt;
use serde::Serialize;

use super::{Answers, Broadcast, Member, fan_out::FanOut};
use crate::{
    contract::MethodDescriptor,
    error::CallError,
    overflow::Overflow,
    peer::{CallOptions, DecodeFault, Output, OverflowKey, Peer, Principal, SessionId, encode_rope, unencodable},
    status::Status,
    wire::Rope,
};

/// Where the members come from: a group, or all sessions of a server.
#[doc(hidden)]
pub trait Members: Send + Sync + 'static {
    /// The members now. The list is shared and never changes.
    fn members(&self) -> Arc<[Member]>;

    /// What happens to calls that members do not take, where neither call nor method says it.
    fn overflow(&self) -> Overflow {
        Overflow::Disconnect
    }
}

/// Which of the members a call goes to.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Selection {
    All,
    /// All but these, whose ids are sorted.
    Except(Arc<[SessionId]>),
    /// These, whose ids are sorted.
    Only(Arc<[SessionId]>),
    Of(Principal),
}

/// The sessions that a call to many goes to, and its options. Who they are is asked when a call is sent. A generated
/// group stub, for instance `ChatEventsGroup`, is a typed form of this.
#[derive(Clone)]
pub struct Audience {
    members: Arc<dyn Members>,
    selection: Selection,
    options: Option<Arc<CallOptions>>,
}

impl Selection {
    /// All but these.
    pub fn except(ids: impl IntoIterator<Item = SessionId>) -> Self {
        Self::Except(sorted(ids))
    }

    /// Those of these who are members.
    pub fn only(ids: impl IntoIterator<Item = SessionId>) -> Self {
        Self::Only(sorted(ids))
    }
}

fn sorted(ids: impl IntoIterator<Item = SessionId>) -> Arc<[SessionId]> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.into()
}

impl Audience {
    #[doc(hidden)]
    pub fn __new(members: Arc<dyn Members>, selection: Selection) -> Self {
        Self { members, selection, options: None }
    }

    /// The same sessions, with options for the calls that are made to them; as [`crate::Peer::with`].
    #[must_use]
    pub fn with(&self, options: CallOptions) -> Self {
        Self { options: Some(Arc::new(options.over(self.options.as_deref()))), ..self.clone() }
    }

    /// Sends a one-way call to all of them. The arguments are encoded now, once.
    #[doc(hidden)]
    pub fn broadcast<A: Serialize>(
        &self,
        method: &'static MethodDescriptor,
        arguments: A,
        key: Option<OverflowKey>,
    ) -> Broadcast {
        Broadcast::new(FanOut::new(self.clone(), method, &arguments, key).run())
    }

    /// Calls a method of each of them whose result has no typed fault. The arguments are encoded now, once.
    #[doc(hidden)]
    pub fn ask<A: Serialize, O: Output>(
        &self,
        method: &'static MethodDescriptor,
        arguments: A,
        _: PhantomData<fn() -> O>,
    ) -> Answers<O::Value, Status> {
        let (arguments, options) = (self.encode(method, &arguments), self.options.clone());
        Answers::new(self.clone(), move |member| {
            let (peer, arguments) = (peer(&member, options.as_deref()), arguments.clone());
            let answer = async move { peer.call_encoded::<O>(method, arguments?).await };
            answer.map(|answer| (member, answer)).boxed()
        })
    }

    /// Calls a method of each of them that may return a typed fault.
    #[doc(hidden)]
    pub fn ask_fallible<A, O, F>(
        &self,
        method: &'static MethodDescriptor,
        arguments: A,
        _: PhantomData<fn() -> O>,
        _: PhantomData<fn() -> F>,
    ) -> Answers<O::Value, CallError<F::Fault>>
    where
        A: Serialize,
        O: Output,
        F: DecodeFault + 'static,
        F::Fault: Send + 'static,
    {
        let (arguments, options) = (self.encode(method, &arguments), self.options.clone());
        Answers::new(self.clone(), move |member| {
            let (peer, arguments) = (peer(&member, options.as_deref()), arguments.clone());
            let answer = async move { peer.call_fallible_encoded::<O, F>(method, arguments?).await };
            answer.map(|answer| (member, answer)).boxed()
        })
    }

    fn encode<A: Serialize>(&self, method: &MethodDescriptor, arguments: &A) -> Result<Rope, Status> {
        encode_rope(arguments).map_err(|why| unencodable(method, &why))
    }

    pub(super) fn options(&self) -> Option<&CallOptions> {
        self.options.as_deref()
    }

    pub(super) fn shared_options(&self) -> Option<Arc<CallOptions>> {
        self.options.clone()
    }

    /// The policy where neither call nor method says one.
    pub(super) fn overflow(&self) -> Overflow {
        self.members.overflow()
    }

    /// Those who are members now, as far as they are meant.
    pub(super) fn select(&self) -> Selected {
        Selected { members: self.members.members(), selection: self.selection.clone() }
    }
}

/// The members that a call goes to.
pub(super) struct Selected {
    members: Arc<[Member]>,
    selection: Selection,
}

impl Selected {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| match &self.selection {
            Selection::All => true,
            Selection::Except(ids) => ids.binary_search(&member.id()).is_err(),
            Selection::Only(ids) => ids.binary_search(&member.id()).is_ok(),
            Selection::Of(principal) => member.principal().as_ref() == Some(principal),
        })
    }
}

fn peer(member: &Member, options: Option<&CallOptions>) -> Peer {
    let peer = member.session().peer();
    match options {
        Some(options) => peer.with(options.clone()),
        None => peer,
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audience")
            .field("selection", &self.selection)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
