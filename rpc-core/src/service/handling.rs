//! `Handling`: serves one call, from the interceptors through the wait for its turn to its method.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::{
    HandlerOutput, Incoming, Instance, QueuedTurn, Received, Runner, no_cancel::NoCancelPermit,
    turn_queue::SharedTurnGuard,
};
use crate::{
    contract::MethodDescriptor,
    panics::wake_all,
    peer::{CallInfo, CurrentCall, End, Interceptor, Reply, SessionShared, run_interceptors},
    proto::{Cancellation, ServedCall},
    status::Status,
};

/// One call that is being served. Only the future of the call holds the object.
pub(crate) struct Handling {
    pub(crate) call: CurrentCall,
    pub(crate) method: &'static MethodDescriptor,
    /// The permit of a `no_cancel` method. Dropping the permit lets another such method run.
    _permit: Option<NoCancelPermit>,
}

impl Handling {
    // Inlined, as `start` is: every call goes through both.
    #[inline(always)]
    pub(crate) fn new(
        call: Arc<ServedCall>,
        method: &'static MethodDescriptor,
        permit: Option<NoCancelPermit>,
    ) -> Self {
        call.describe(method);
        Self { call: CurrentCall::new(call), method, _permit: permit }
    }

    /// Puts the call's future into `runner`. `held` is the place of the call among the calls of its session.
    #[inline(always)]
    pub(crate) fn start(
        &self,
        shared: &Arc<SessionShared>,
        instance: &Arc<Instance>,
        received: Received,
        held: Option<QueuedTurn>,
        runner: &mut Runner,
    ) {
        let plain = shared.interceptors.is_empty() && instance.turns().is_none();
        if plain {
            match instance.check_begun(self.method).and_then(|()| start(&self.call.call)) {
                Ok(()) => {
                    let incoming = Incoming::new(shared.clone(), self.call.clone(), self.method, received)
                        .with_begun(instance.begun(self.method));
                    instance.start(self.method.id(), incoming, runner);
                }
                Err(status) => runner.start(async { Err(status) }),
            }
            return;
        }
        let method = Method {
            shared: shared.clone(),
            serving: self.call.clone(),
            method: self.method,
            instance: instance.clone(),
            received,
            held: Arc::new(Mutex::new(held)),
            served: false,
        };
        runner.start(method.run());
    }

    /// Polls the call's future.
    pub(crate) fn poll(&self, runner: &mut Runner, cx: &mut Context<'_>) -> Poll<Result<HandlerOutput, Status>> {
        runner.poll(&self.call, self.method, cx)
    }
}

/// A call that has interceptors around it, or waits for its turn.
struct Method {
    shared: Arc<SessionShared>,
    serving: CurrentCall,
    method: &'static MethodDescriptor,
    instance: Arc<Instance>,
    received: Received,
    /// The place among the calls of the session, if the arguments came in chunks.
    held: Arc<Mutex<Option<QueuedTurn>>>,
    /// Whether the method has run to its end with a result or a fault, and not with a status.
    served: bool,
}

impl Method {
    async fn run(mut self) -> Result<HandlerOutput, Status> {
        let interceptors: Arc<[Arc<dyn Interceptor>]> = self.shared.interceptors.clone();
        if interceptors.is_empty() {
            return self.serve().await;
        }
        let mut call = CallInfo::incoming(self.method, self.shared.facts.clone(), &self.serving.call);
        let held = self.held.clone();
        let reply = {
            let mut around = pin!(run_interceptors(&interceptors, &mut call, &mut self));
            poll_fn(|cx| {
                let polled = around.as_mut().poll(cx);
                if polled.is_pending() {
                    // An interceptor waits, perhaps for a call behind the held place. The place is given up, so that
                    // the two cannot wait for each other.
                    drop(take(&held));
                }
                polled
            })
            .await
        };
        match reply {
            Ok(reply) => {
                reply.into_content(call.number()).map(|(output, watch): (HandlerOutput, _)| output.watched(watch))
            }
            // The error comes from an interceptor after the method, and says nothing about the method.
            Err(status) if self.served => Err(status.leaving_a_handler()),
            Err(status) if self.serving.call.has_started() => Err(status),
            Err(status) => Err(status.not_executed()),
        }
    }

    /// Waits for the turn, and runs the method.
    async fn serve(&mut self) -> Result<HandlerOutput, Status> {
        let call = &self.serving.call;
        let turn = match self.instance.turns() {
            Some(turns) => Some(SharedTurnGuard::new(turns.enter(call, take(&self.held)).await?)),
            None => None,
        };
        self.instance.check_begun(self.method)?;
        start(call)?;
        let received = std::mem::take(&mut self.received);
        let incoming = Incoming::new(self.shared.clone(), self.serving.clone(), self.method, received)
            .with_begun(self.instance.begun(self.method))
            .with_turn(turn.clone());
        // Declared after `turn`, so that the method's future is dropped before the turn ends.
        let mut runner = Runner::default();
        self.instance.start(self.method.id(), incoming, &mut runner);
        if !runner.is_started() {
            return Err(no_handler(self.method));
        }
        poll_fn(|cx| {
            let turns = turn.as_ref().and_then(|turn| turn.turns());
            match turns {
                Some(turns) => turns.poll_alone(cx, |cx| runner.poll(&self.serving, self.method, cx)),
                None => runner.poll(&self.serving, self.method, cx),
            }
        })
        .await
    }
}

/// The status of a call of a method that its object does not start, although its contract has the method.
pub(crate) fn no_handler(method: &MethodDescriptor) -> Status {
    Status::unimplemented(format!("{method} has no handler")).not_executed()
}

/// Begins the method, which counts as run from here on. The error says that the call has been cancelled before that.
fn start(call: &ServedCall) -> Result<(), Status> {
    let started = call.start();
    started.then_some(()).ok_or_else(|| Status::cancelled("the call was given up before it started").not_executed())
}

/// The deadline of an interceptor has passed. A call that waits for its turn goes on with its status instead.
fn expire(call: &ServedCall) {
    if call.has_started() {
        let mut wakes = Vec::new();
        call.cancel(Cancellation::Deadline, &mut wakes);
        wake_all(&mut wakes);
    }
}

fn take(held: &Mutex<Option<QueuedTurn>>) -> Option<QueuedTurn> {
    held.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[async_trait]
impl End for Method {
    async fn run(&mut self, call: &mut CallInfo) -> Result<Reply, Status> {
        if self.serving.call.has_started() {
            return Err(Status::internal("an interceptor ran a call again that is served here"));
        }
        let extras = call.extras();
        let deadline = extras.deadline.filter(|deadline| self.serving.call.deadline.is_none_or(|own| *deadline < own));
        self.serving.extras = Some(Arc::new(extras));
        let served = match deadline {
            // This deadline is earlier than the caller's, which the connection watches.
            Some(deadline) => {
                let serving = self.serving.call.clone();
                let mut timed = pin!(timeout_at(Instant::from_std(deadline), self.serve()));
                timed.as_mut().await.unwrap_or_else(|_| {
                    // What the handler holds may ask why it is dropped, and is dropped after this.
                    expire(&serving);
                    let method = call.method();
                    let message =
                        format!("{method}: it took longer than an interceptor of the side that serves it allows");
                    Err(Status::deadline_exceeded(message))
                })
            }
            None => self.serve().await,
        };
        self.served = served.is_ok();
        served.map(|completion| {
            let (is_fault, has_stream) = (completion.is_fault(), completion.has_stream());
            Reply::new(call.number(), is_fault, has_stream, completion.payload_len(), completion)
        })
    }
}
