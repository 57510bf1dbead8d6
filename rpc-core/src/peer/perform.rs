//! Making a call inside its interceptors, which may attempt the call more than once.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{
    call::{Answer, CallInput, CallParams},
    clock::now,
    current::{CurrentCall, current},
    destination::Destination,
    encode::Arguments,
    intercept::{self, CallInfo, End, Reply},
    options::CallOptions,
    queued_call::Policy,
};
use crate::{
    contract::MethodDescriptor,
    overflow::Overflow,
    proto::{DeadlineOrigin, DeadlineSetting, IdleTimeout},
    status::{Code, Execution, Status},
};

/// A status as the caller sees it.
#[cold]
pub(super) fn explain(method: &'static MethodDescriptor, status: Status) -> Status {
    let status = if status.code() == Code::Unimplemented && status.execution() == Execution::NotExecuted {
        // The other side knows the method's number only, and could not name the method.
        Status::unimplemented(format!("{method} cannot be called: {}", status.message())).not_executed()
    } else {
        status
    };
    status.with_idempotent(method.is_idempotent())
}

/// Makes a call of any kind.
pub(super) async fn perform<A: Arguments>(
    destination: &Destination,
    options: Option<&CallOptions>,
    method: &'static MethodDescriptor,
    input: &mut CallInput<A>,
    begun: Instant,
) -> Result<Answer, Status> {
    let origin = current();
    let metadata = options.map(|options| options.metadata_pairs().clone()).unwrap_or_default();
    let explicit = CallOptions::explicit(options, method);
    // A call with streams takes as long as its streams, unless a timeout is set.
    let idle_timeout = if input.streams.is_empty() {
        None
    } else {
        let by_config = || IdleTimeout { time: destination.config().call_timeout(), setting: DeadlineSetting::Config };
        CallOptions::idle_timeout_of(options, method).or_else(|| explicit.is_none().then(by_config))
    };
    let whole = if idle_timeout.is_some() { Duration::MAX } else { destination.config().call_timeout() };
    let timeout = explicit.unwrap_or((whole, DeadlineSetting::Config));
    let (deadline, deadline_origin) = CallOptions::deadline(begun, timeout, origin.as_ref());
    let fail_fast = CallOptions::is_fail_fast(options);
    let policy = if method.is_oneway() { Policy::of(options, method, Overflow::Wait) } else { Policy::WAIT };
    let mut params = CallParams { begun, origin, metadata, deadline, deadline_origin, idle_timeout, fail_fast, policy };
    if destination.interceptors().is_empty() {
        destination.attempt(method, &mut params, input).await
    } else {
        intercepted(destination, method, params, input).await
    }
}

/// Makes a call inside its interceptors.
async fn intercepted<A: Arguments>(
    destination: &Destination,
    method: &'static MethodDescriptor,
    params: CallParams,
    input: &mut CallInput<A>,
) -> Result<Answer, Status> {
    let CallParams { origin, metadata, deadline, deadline_origin, idle_timeout, fail_fast, policy, .. } = params;
    let mut call = CallInfo::outgoing(method, destination.facts(), origin.clone(), metadata, deadline);
    let streams = input.streams.len();
    let mut end = Attempts {
        destination,
        origin,
        deadline,
        deadline_origin,
        idle_timeout,
        fail_fast,
        policy,
        input,
        streams,
        begun: false,
        may_have_run: false,
        failed: None,
    };
    match intercept::run(destination.interceptors(), &mut call, &mut end).await {
        Ok(reply) => reply.into_content(call.number()).map(|(answer, watch): (Answer, _)| answer.watched(watch)),
        Err(status) if end.begun => Err(status),
        Err(status) => Err(status.not_executed()),
    }
}

/// The call inside its interceptors, which may make it again.
struct Attempts<'a, A> {
    destination: &'a Destination,
    origin: Option<CurrentCall>,
    /// The deadline before interceptors brought it forward.
    deadline: Option<Instant>,
    deadline_origin: DeadlineOrigin,
    idle_timeout: Option<IdleTimeout>,
    fail_fast: bool,
    policy: Policy,
    input: &'a mut CallInput<A>,
    /// The number of streams before the first attempt.
    streams: usize,
    begun: bool,
    /// Whether the method may have run in an attempt that failed.
    may_have_run: bool,
    /// The failure of the last attempt.
    failed: Option<Status>,
}

#[async_trait]
impl<A: Arguments> End for Attempts<'_, A> {
    async fn run(&mut self, call: &mut CallInfo) -> Result<Reply, Status> {
        self.begun = true;
        if self.input.streams.len() < self.streams {
            // The streams cannot be sent again. If the first attempt has failed, the caller gets that failure.
            let message = "the call cannot be made again: the streams among its arguments have been sent";
            return Err(self.failed.clone().unwrap_or_else(|| Status::failed_precondition(message)));
        }
        let (origin, metadata) = (self.origin.clone(), call.metadata_pairs().clone());
        let (deadline, mut deadline_origin) = (call.deadline(), self.deadline_origin);
        if deadline != self.deadline {
            deadline_origin.setting = DeadlineSetting::Interceptor;
        }
        let (idle_timeout, fail_fast, policy) = (self.idle_timeout, self.fail_fast, self.policy);
        let mut params =
            CallParams { begun: now(), origin, metadata, deadline, deadline_origin, idle_timeout, fail_fast, policy };
        let method = call.method();
        let answer = self.destination.attempt(method, &mut params, self.input).await;
        if self.input.streams.len() < self.streams {
            call.set_spent();
        }
        match answer {
            Ok(Answer::Value(bytes, streams)) => {
                let (len, has_stream) = (bytes.len(), !streams.is_empty());
                Ok(Reply::new(call.number(), false, has_stream, len, Answer::Value(bytes, streams)))
            }
            Ok(Answer::Fault(bytes)) => Ok(Reply::new(call.number(), true, false, bytes.len(), Answer::Fault(bytes))),
            Err(status) => {
                self.may_have_run |= status.execution() == Execution::Unknown;
                // The last attempt may have been refused; an earlier one was not.
                let status = if self.may_have_run { status.with_execution(Execution::Unknown) } else { status };
                let status = status.with_idempotent(method.is_idempotent());
                self.failed = Some(status.clone());
                Err(status)
            }
        }
    }
}
