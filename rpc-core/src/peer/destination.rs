//! `Destination`: the target of the calls that are made through a handle.

use std::{sync::Arc, task::Waker, time::Instant};

use serde::Serialize;

use super::{
    call::{Answer, CallInput, CallParams, attempt},
    info::Facts,
    intercept::Interceptor,
    options::CallOptions,
    plain_call::{self, Sent},
    shared::SessionShared,
};
use crate::{config::Config, contract::MethodDescriptor, status::Status};

/// The target of the calls that are made through a [`super::Peer`]. Interceptors run before a session is chosen, so
/// they and the configuration belong to the destination. There is one kind so far. A destination that chooses among
/// sessions, or opens a session for a call, would be another kind.
#[derive(Clone)]
pub(crate) enum Destination {
    /// The other end of one session.
    Session(Arc<SessionShared>),
}

impl Destination {
    /// Makes a call once. Only this function chooses the session of an attempt.
    #[inline(always)]
    pub(super) fn attempt<'a, A: Serialize + Send>(
        &'a self,
        method: &'static MethodDescriptor,
        params: &'a mut CallParams,
        input: &'a mut CallInput<A>,
    ) -> impl Future<Output = Result<Answer, Status>> + Send + use<'a, A> {
        let Self::Session(shared) = self;
        attempt(shared, method, params, input)
    }

    /// Sends a call if it is a plain one that needs no interceptor; otherwise nothing has happened.
    #[inline(always)]
    pub(super) fn send_plain<A: Serialize>(
        &self,
        options: Option<&CallOptions>,
        method: &'static MethodDescriptor,
        input: &mut CallInput<A>,
        begun: Instant,
        waker: &Waker,
    ) -> Option<Sent<'_>> {
        let Self::Session(shared) = self;
        if !shared.interceptors.is_empty() {
            return None;
        }
        plain_call::send(shared, options, method, input, begun, waker)
    }

    pub(super) fn config(&self) -> &Config {
        let Self::Session(shared) = self;
        &shared.config
    }

    /// The interceptors around calls, outermost first.
    pub(super) fn interceptors(&self) -> &[Arc<dyn Interceptor>] {
        let Self::Session(shared) = self;
        &shared.interceptors
    }

    /// The facts of the session that interceptors see before a session is chosen; `None` if there is no session yet.
    pub(super) fn facts(&self) -> Option<Arc<Facts>> {
        let Self::Session(shared) = self;
        Some(shared.facts.clone())
    }

    /// The session of the handle.
    pub(super) fn session(&self) -> &Arc<SessionShared> {
        let Self::Session(shared) = self;
        shared
    }
}
