//! `Performing`: a stub's call, from its first poll to its result. A plain call goes its short way here. Any other goes
//! through `perform`, in a box, so that the futures of calls stay small.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use super::{
    Peer,
    call::{Answer, CallInput, answer_of},
    clock::now,
    encode::Arguments,
    output::{DecodeFault, Output},
    perform::{explain, perform},
    plain_call::{self, Sent},
    shared::SessionShared,
};
use crate::{
    contract::MethodDescriptor,
    error::CallError,
    proto::{CallKey, CallProgress},
    status::Status,
};

/// What a caller gets for an answer.
pub(super) trait Decoding {
    type Result;

    fn decoded(peer: &Peer, method: &'static MethodDescriptor, answer: Answer) -> Self::Result;

    fn failed(status: Status) -> Self::Result;

    #[inline]
    fn result(peer: &Peer, method: &'static MethodDescriptor, answer: Result<Answer, Status>) -> Self::Result {
        match answer {
            Ok(answer) => Self::decoded(peer, method, answer),
            Err(status) => Self::failed(explain(method, status)),
        }
    }
}

/// The value of a method without a typed fault.
pub(super) struct Plain<O>(PhantomData<fn() -> O>);

/// The value or the fault of a method with a typed fault.
pub(super) struct WithFault<O, F>(PhantomData<fn() -> (O, F)>);

/// Nothing, of a one-way method.
pub(super) struct Nothing;

impl<O: Output> Decoding for Plain<O> {
    type Result = Result<O::Value, Status>;

    #[inline]
    fn decoded(peer: &Peer, method: &'static MethodDescriptor, answer: Answer) -> Self::Result {
        peer.decode_answer::<O>(method, answer)
    }

    fn failed(status: Status) -> Self::Result {
        Err(status)
    }
}

impl<O: Output, F: DecodeFault> Decoding for WithFault<O, F> {
    type Result = Result<O::Value, CallError<F::Fault>>;

    #[inline]
    fn decoded(peer: &Peer, method: &'static MethodDescriptor, answer: Answer) -> Self::Result {
        peer.decode_fallible::<O, F>(method, answer)
    }

    fn failed(status: Status) -> Self::Result {
        Err(status.into())
    }
}

impl Decoding for Nothing {
    type Result = Result<(), Status>;

    #[inline]
    fn decoded(_: &Peer, _: &'static MethodDescriptor, _: Answer) -> Self::Result {
        Ok(())
    }

    fn failed(status: Status) -> Self::Result {
        Err(status)
    }
}

/// Makes a call. If nothing has to be waited for, the first poll sends the call. Dropping the future cancels the call.
#[inline(always)]
pub(super) fn performing<A: Arguments, D: Decoding>(
    peer: Peer,
    method: &'static MethodDescriptor,
    input: CallInput<A>,
) -> impl Future<Output = D::Result> + Send + use<A, D> {
    let general = |peer: Peer, method, mut input, begun| async move {
        let answer = perform(peer.destination(), peer.options(), method, &mut input, begun).await;
        D::result(&peer, method, answer)
    };
    let call = Some(Call { peer, input, held: None });
    let decoding: PhantomData<fn() -> D> = PhantomData;
    Performing { method, call, state: State::New, general, decoding }
}

struct Performing<A, D, F, G> {
    method: &'static MethodDescriptor,
    /// `None` once `general` has it, and after the end: a call that has ended keeps no session open.
    call: Option<Call<A>>,
    state: State<F>,
    /// Makes the future of a call that is not plain.
    general: G,
    decoding: PhantomData<fn() -> D>,
}

struct Call<A> {
    peer: Peer,
    input: CallInput<A>,
    /// The session of a client in which the call is tried.
    held: Option<Arc<SessionShared>>,
}

impl<A> Call<A> {
    /// The session in which the call was sent.
    #[inline]
    fn session(&self) -> Option<&Arc<SessionShared>> {
        self.peer.destination().sent_in(&self.held)
    }
}

enum State<F> {
    New,
    /// A plain call has been sent, which began at this time.
    Sent(CallKey, Instant),
    General(Pin<Box<F>>),
    Over,
}

impl<A, D, F, G> Unpin for Performing<A, D, F, G> {}

impl<A, D, F, G> Performing<A, D, F, G>
where
    A: Arguments,
    D: Decoding,
    F: Future<Output = D::Result>,
    G: Fn(Peer, &'static MethodDescriptor, CallInput<A>, Instant) -> F,
{
    #[inline]
    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<D::Result> {
        let begun = now();
        let (method, Some(Call { peer, input, held })) = (self.method, &mut self.call) else { return over::<D>() };
        let at_hand = peer.destination().at_hand(held);
        let sent =
            at_hand.and_then(|shared| plain_call::send(shared, peer.options(), method, input, begun, cx.waker()));
        match sent {
            // The call has the waker of the task that is polling it.
            Some(Sent::TwoWay(key)) => {
                self.state = State::Sent(key, begun);
                Poll::Pending
            }
            Some(Sent::Oneway) => self.end(Ok(Answer::nothing())),
            None => self.generalize(begun, cx),
        }
    }

    #[inline]
    fn poll_sent(&mut self, key: CallKey, begun: Instant, cx: &mut Context<'_>) -> Poll<D::Result> {
        let Some(call) = &self.call else { return over::<D>() };
        let Some(shared) = call.session() else { return over::<D>() };
        let CallProgress::Done(outcome) = shared.poll_call(key, cx.waker()) else { return Poll::Pending };
        self.state = State::Over;
        match answer_of(shared, outcome) {
            Err(status) if call.peer.destination().goes_on(shared, &status) => self.generalize(begun, cx),
            answer => self.end(answer),
        }
    }

    /// The call is no plain one, or has to go through another session.
    #[cold]
    fn generalize(&mut self, begun: Instant, cx: &mut Context<'_>) -> Poll<D::Result> {
        let Some(Call { peer, input, .. }) = self.call.take() else { return over::<D>() };
        let mut future = Box::pin((self.general)(peer, self.method, input, begun));
        let polled = future.as_mut().poll(cx);
        self.state = if polled.is_pending() { State::General(future) } else { State::Over };
        polled
    }

    #[inline]
    fn end(&mut self, answer: Result<Answer, Status>) -> Poll<D::Result> {
        self.state = State::Over;
        let Some(call) = &self.call else { return over::<D>() };
        let result = D::result(&call.peer, self.method, answer);
        // Not taken, because it is large to move.
        self.call = None;
        Poll::Ready(result)
    }
}

#[cold]
fn over<D: Decoding>() -> Poll<D::Result> {
    Poll::Ready(D::failed(Status::internal("a call was polled after its end")))
}

impl<A, D, F, G> Future for Performing<A, D, F, G>
where
    A: Arguments,
    D: Decoding,
    F: Future<Output = D::Result>,
    G: Fn(Peer, &'static MethodDescriptor, CallInput<A>, Instant) -> F,
{
    type Output = D::Result;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Result> {
        let this = self.get_mut();
        match &mut this.state {
            State::New => this.begin(cx),
            State::Sent(key, begun) => {
                let (key, begun) = (*key, *begun);
                this.poll_sent(key, begun, cx)
            }
            State::General(future) => {
                let result = ready!(future.as_mut().poll(cx));
                this.state = State::Over;
                Poll::Ready(result)
            }
            State::Over => over::<D>(),
        }
    }
}

impl<A, D, F, G> Drop for Performing<A, D, F, G> {
    #[inline]
    fn drop(&mut self) {
        if let (State::Sent(key, _), Some(call)) = (&self.state, &self.call) {
            if let Some(shared) = call.session() {
                shared.act(|connection| connection.cancel_call(*key));
            }
        }
    }
}
