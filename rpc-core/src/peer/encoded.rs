//! Calls whose arguments were encoded once, for many sessions.

use std::{sync::Arc, time::Duration};

use super::{
    Peer,
    call::{CallInput, CallParams, attempt},
    clock::now,
    current::CurrentCall,
    encode::Encoded,
    options::CallOptions,
    output::{DecodeFault, Output},
    performing::{Plain, WithFault, performing},
    queued_call::Policy,
    shared::SessionShared,
    streams::StreamWriters,
};
use crate::{
    contract::MethodDescriptor,
    error::CallError,
    proto::DeadlineSetting,
    status::Status,
    wire::{MetadataPairs, Rope},
};

fn input(arguments: Rope) -> CallInput<Encoded> {
    CallInput::new(Encoded(arguments), StreamWriters::default())
}

impl Peer {
    /// As [`Self::call`].
    pub(crate) fn call_encoded<O: Output>(
        self,
        method: &'static MethodDescriptor,
        arguments: Rope,
    ) -> impl Future<Output = Result<O::Value, Status>> + Send + use<O> {
        performing::<_, Plain<O>>(self, method, input(arguments))
    }

    /// As [`Self::call_fallible`].
    pub(crate) fn call_fallible_encoded<O: Output, F: DecodeFault>(
        self,
        method: &'static MethodDescriptor,
        arguments: Rope,
    ) -> impl Future<Output = Result<O::Value, CallError<F::Fault>>> + Send + use<O, F> {
        performing::<_, WithFault<O, F>>(self, method, input(arguments))
    }
}

/// Sends a one-way call to the other side of a session, and waits for a permit and room, at most for `longest`.
pub(crate) async fn deliver(
    shared: Arc<SessionShared>,
    method: &'static MethodDescriptor,
    options: Option<Arc<CallOptions>>,
    (origin, metadata): (Option<CurrentCall>, MetadataPairs),
    arguments: Rope,
    longest: Duration,
) -> Result<(), Status> {
    let begun = now();
    let usual = (shared.config.call_timeout(), DeadlineSetting::Config);
    let (timeout, setting) = CallOptions::explicit(options.as_deref(), method).unwrap_or(usual);
    let (deadline, deadline_origin) = CallOptions::deadline(begun, (timeout.min(longest), setting), origin.as_ref());
    let (idle_timeout, fail_fast, policy) = (None, false, Policy::WAIT);
    let mut params = CallParams { begun, origin, metadata, deadline, deadline_origin, idle_timeout, fail_fast, policy };
    attempt(&shared, method, &mut params, &mut input(arguments)).await.map(|_| ())
}
