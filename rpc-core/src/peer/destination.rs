//! `Destination`: where the calls that are made through a handle go.

use std::sync::Arc;

use serde::Serialize;

use super::{
    call::{Answer, CallInput, CallParams, attempt},
    info::Facts,
    intercept::Interceptor,
    shared::SessionShared,
};
use crate::{config::Config, contract::MethodDescriptor, status::Status};

/// Where the calls that are made through a [`super::Peer`] go. Interceptors run before the choice of a session, so they
/// and the configuration belong to the destination. There is one kind so far; what chooses among sessions, or opens one
/// for a call, would be another.
#[derive(Clone)]
pub(crate) enum Destination {
    /// The other end of one session.
    Session(Arc<SessionShared>),
}

impl Destination {
    /// Makes a call once. Here alone is chosen in which session an attempt is made.
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

    pub(super) fn config(&self) -> &Config {
        let Self::Session(shared) = self;
        &shared.config
    }

    /// What runs around calls, outermost first.
    pub(super) fn interceptors(&self) -> &[Arc<dyn Interceptor>] {
        let Self::Session(shared) = self;
        &shared.interceptors
    }

    /// What interceptors may know before the choice of a session: `None` where there is none yet.
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
