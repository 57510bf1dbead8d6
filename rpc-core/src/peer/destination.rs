//! `Destination`: the target of the calls that are made through a handle.

use std::sync::Arc;

use futures::future::{Either, FutureExt};

use super::{
    call::{Answer, CallInput, CallParams, attempt},
    client_sessions::ClientSessions,
    encode::Arguments,
    info::Facts,
    intercept::Interceptor,
    shared::SessionShared,
};
use crate::{config::Config, contract::MethodDescriptor, status::Status};

/// The target of the calls that are made through a [`super::Peer`]. Interceptors run before a session is chosen, so
/// they and the configuration belong to the destination.
#[derive(Clone)]
pub(crate) enum Destination {
    /// The other end of one session.
    Session(Arc<SessionShared>),
    /// The server of a client that makes a new session when the old one is over.
    Client(Arc<ClientSessions>),
}

impl Destination {
    /// Makes a call once, in a session that has not failed before the call ran. Only this function chooses the session
    /// of an attempt.
    #[inline(always)]
    pub(super) fn attempt<'a, A: Arguments>(
        &'a self,
        method: &'static MethodDescriptor,
        params: &'a mut CallParams,
        input: &'a mut CallInput<A>,
    ) -> impl Future<Output = Result<Answer, Status>> + Send + use<'a, A> {
        match self {
            Self::Session(shared) => Either::Left(attempt(shared, method, params, input)),
            // In a box, so that the futures of calls stay small.
            Self::Client(sessions) => Either::Right(sessions.attempt(method, params, input).boxed()),
        }
    }

    /// The session in which a call can be made at once, if there is one. `held` holds it if it is a client's.
    #[inline(always)]
    pub(super) fn at_hand<'a>(&'a self, held: &'a mut Option<Arc<SessionShared>>) -> Option<&'a Arc<SessionShared>> {
        match self {
            Self::Session(shared) => Some(shared),
            Self::Client(sessions) => {
                *held = sessions.at_hand();
                held.as_ref()
            }
        }
    }

    /// The session in which a call was sent to this destination: the session that [`Self::at_hand`] has put into
    /// `held`, unless there is only one.
    #[inline(always)]
    pub(super) fn sent_in<'a>(&'a self, held: &'a Option<Arc<SessionShared>>) -> Option<&'a Arc<SessionShared>> {
        match self {
            Self::Session(shared) => Some(shared),
            Self::Client(_) => held.as_ref(),
        }
    }

    /// Whether a call that has failed in this session goes to another one.
    #[cold]
    pub(super) fn goes_on(&self, tried: &SessionShared, status: &Status) -> bool {
        match self {
            Self::Session(_) => false,
            Self::Client(sessions) => sessions.goes_on(tried, status),
        }
    }

    pub(super) fn config(&self) -> &Config {
        match self {
            Self::Session(shared) => &shared.config,
            Self::Client(sessions) => sessions.config(),
        }
    }

    /// The interceptors around calls, outermost first.
    pub(super) fn interceptors(&self) -> &[Arc<dyn Interceptor>] {
        match self {
            Self::Session(shared) => &shared.interceptors,
            Self::Client(sessions) => sessions.interceptors(),
        }
    }

    /// The facts of the session that interceptors see before a session is chosen; `None` if there is no session yet.
    pub(super) fn facts(&self) -> Option<Arc<Facts>> {
        self.at_hand(&mut None).map(|shared| shared.facts.clone())
    }

    /// The session of the handle, or the last one.
    pub(super) fn session(&self) -> Arc<SessionShared> {
        match self {
            Self::Session(shared) => shared.clone(),
            Self::Client(sessions) => sessions.shared(),
        }
    }
}
