//! `Sending`: the life of one attempt at a call, at its caller: it takes a slot, waits for a permit and room, sends the
//! call and waits for the outcome. When it is dropped, it gives the call up.

use std::{
    future::poll_fn,
    mem,
    pin::pin,
    task::{Poll, Waker},
    time::Instant,
};

use super::{
    budget::{Need, Reservation},
    call::{CallParams, call_start},
    call_limits::{check_arguments, check_call},
    shared::SessionShared,
};
use crate::{
    contract::MethodDescriptor,
    proto::{CallKey, CallProgress, CallStart, Charges, Outcome, Outgoing, counted_arguments},
    status::Status,
    wire::{Rope, Streams},
};

/// The largest number of bytes that a Request or Notify takes beside its metadata and payload.
pub(crate) const FRAME: usize = 64;

/// The state of a call, by what the call waits for.
enum CallState {
    /// The call waits for a permit.
    Waiting,
    /// The call has its permit, and may be sent.
    Admitted,
    /// The call waits for room, or for another budget.
    Short(Need),
    /// The call has been sent, and waits for its completion; a one-way call is done.
    Sent,
    /// The call has ended, and its slot has the outcome.
    Ended,
}

/// A call on its way. Dropping it gives the call up.
pub(super) struct Sending<'a> {
    shared: &'a SessionShared,
    method: &'static MethodDescriptor,
    begun: Instant,
    /// A two-way call made inside a handler. Such a call does not wait for argument bytes, which the call around it
    /// may hold, and waits for a permit only for `Config::nested_wait`.
    nested: bool,
    start: CallStart,
    metadata_len: usize,
    /// The arguments and metadata that are sent.
    outgoing: Outgoing,
    reservation: Reservation<&'a SessionShared>,
    /// The call's slot, while the call has one.
    key: Option<CallKey>,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.act(|connection| connection.cancel_call(key));
        }
    }
}

impl<'a> Sending<'a> {
    /// Prepares a call with `streams` streams among its arguments, without sending anything. The error says why the
    /// call cannot begin.
    // Inlined so that the parts are made where they stay: memory that has just been written is slow to move.
    #[inline(always)]
    pub(super) fn new(
        shared: &'a SessionShared,
        method: &'static MethodDescriptor,
        params: &mut CallParams,
        streams: usize,
    ) -> Result<Self, Status> {
        let metadata_len = check_call(shared, &params.metadata)?;
        Ok(Self {
            shared,
            method,
            begun: params.begun,
            nested: params.origin.is_some() && !method.is_oneway(),
            start: call_start(
                method,
                params.origin.take(),
                (params.deadline, params.deadline_origin),
                params.idle_timeout,
            ),
            metadata_len,
            outgoing: Outgoing {
                method: method.id(),
                metadata: mem::take(&mut params.metadata),
                payload: Rope::default(),
                streams,
                charges: Charges::default(),
            },
            reservation: Reservation::new(shared),
            key: None,
        })
    }

    /// Sends the call as soon as it has its permit and room. `encode` encodes the arguments each time that the call may
    /// be sent, because a call that waits must not hold encoded bytes, which no limit bounds; `encoded` are the
    /// arguments if they are encoded already. False if the call has ended before it was sent; then its slot has the
    /// outcome.
    pub(super) async fn send(
        &mut self,
        encoded: Option<Rope>,
        mut encode: impl FnMut() -> Result<Rope, Status>,
    ) -> Result<bool, Status> {
        // If earlier calls have found permits and room, this call is sent while it takes its slot.
        let reserved = if self.shared.has_fast_path() {
            self.load(encoded.map_or_else(&mut encode, Ok)?)?.reserve_whole()
        } else {
            drop(encoded);
            false
        };
        let mut state = self.begin(reserved).await?;
        loop {
            state = match state {
                CallState::Waiting => self.admission().await?,
                CallState::Admitted => self.load(encode()?)?.offer().await?,
                CallState::Short(need) => self.wait_for(need).await?,
                CallState::Sent => return Ok(true),
                CallState::Ended => return Ok(false),
            };
        }
    }

    /// Ends the tracking of a one-way call that has been sent. Dropping `self` no longer gives the call up.
    pub(super) fn forget(&mut self) {
        self.key = None;
    }

    /// The streams among the arguments of a call that has been sent.
    pub(super) fn argument_streams(&self) -> Streams {
        self.key.map(|key| self.shared.look(|connection| connection.argument_streams(key))).unwrap_or_default()
    }

    /// Takes a slot. With `reserved`, the call is sent at once if it finds a permit.
    async fn begin(&mut self, reserved: bool) -> Result<CallState, Status> {
        poll_fn(|cx| {
            let Self { shared, begun, start, outgoing, .. } = self;
            let (key, progress) = if reserved {
                shared.act(|connection| connection.start_call(*begun, start, outgoing, cx.waker()))?
            } else {
                let (key, progress) = shared.with(|locked| locked.connection.begin_call(*begun, start, cx.waker()))?;
                (Some(key), progress)
            };
            self.key = key;
            let admitted = progress == CallProgress::Admitted;
            if !admitted {
                outgoing.payload = Rope::default();
            }
            self.shared.set_fast_path(admitted);
            Poll::Ready(Ok(match (reserved, admitted) {
                (true, true) => CallState::Sent,
                (false, true) => CallState::Admitted,
                (_, false) => CallState::Waiting,
            }))
        })
        .await
    }

    /// Takes the encoded arguments. The error says what is wrong with them.
    fn load(&mut self, arguments: Rope) -> Result<&mut Self, Status> {
        self.outgoing.payload = arguments;
        check_arguments(self.shared, self.method, self.metadata_len, self.outgoing.payload.len())?;
        Ok(self)
    }

    /// Reserves everything that the loaded arguments need, if the budgets allow that now.
    fn reserve_whole(&mut self) -> bool {
        let (len, frame, arguments) = self.sizes();
        let reserved = self.reservation.reserve_whole(len, frame, arguments);
        if reserved {
            self.outgoing.charges = self.reservation.take(len, frame, arguments);
        }
        reserved
    }

    /// The length of the encoded arguments, the bytes of the frame around them, and the bytes that count against the
    /// other side's limit of arguments.
    fn sizes(&self) -> (usize, usize, u32) {
        let len = self.outgoing.payload.len();
        let counted = counted_arguments(len as u64, self.metadata_len);
        (len, FRAME + self.metadata_len, u32::try_from(counted).unwrap_or(u32::MAX))
    }

    /// Waits for a permit.
    async fn admission(&mut self) -> Result<CallState, Status> {
        // The driver has not seen the call's deadline yet.
        self.shared.wake_driver();
        poll_fn(|cx| match progress(self.shared, &mut self.key, cx.waker()) {
            CallProgress::Waiting => Poll::Pending,
            CallProgress::Admitted => Poll::Ready(Ok(CallState::Admitted)),
            CallProgress::Done(outcome) => Poll::Ready(Err(unsent(outcome))),
        })
        .await
    }

    /// Sends an admitted call whose arguments are loaded, if they fit the budgets now.
    async fn offer(&mut self) -> Result<CallState, Status> {
        let (len, frame, arguments) = self.sizes();
        if let Err(need) = self.reservation.reserve(len, frame, arguments) {
            self.outgoing.payload = Rope::default();
            return Ok(CallState::Short(need));
        }
        self.outgoing.charges = self.reservation.take(len, frame, arguments);
        poll_fn(|cx| {
            let Self { shared, outgoing, .. } = self;
            let sent =
                self.key.is_some_and(|key| shared.act(|connection| connection.send_call(key, outgoing, cx.waker())));
            Poll::Ready(Ok(if sent { CallState::Sent } else { CallState::Ended }))
        })
        .await
    }

    /// Waits for the budget that was short, or until the call has ended.
    async fn wait_for(&mut self, need: Need) -> Result<CallState, Status> {
        if self.nested && matches!(need, Need::Arguments(_)) {
            let message =
                "the other side holds too many argument bytes of unfinished calls to take more from within a handler";
            return Err(Status::resource_exhausted(message).not_executed());
        }
        let (shared, key) = (self.shared, &mut self.key);
        if let Some(key) = *key {
            // The other side may be away, and the wait for long.
            shared.with(|locked| locked.connection.end_if_it_holds_up(key));
        }
        // The driver has not seen the call's deadline yet.
        shared.wake_driver();
        let mut waiting = pin!(self.reservation.wait(need));
        poll_fn(|cx| {
            let over = match waiting.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(CallState::Admitted)),
                Poll::Ready(Err(_)) => true,
                Poll::Pending => false,
            };
            match progress(shared, key, cx.waker()) {
                CallProgress::Done(outcome) => Poll::Ready(Err(unsent(outcome))),
                // The session is over, and so is the call.
                _ if over => Poll::Ready(Err(Status::unavailable("the session is over").not_executed())),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Waits for the completion. `registered` says that this task's waker is in the slot already.
    pub(super) async fn outcome(&mut self, mut registered: bool) -> Outcome {
        poll_fn(|cx| {
            if mem::take(&mut registered) {
                return Poll::Pending;
            }
            match progress(self.shared, &mut self.key, cx.waker()) {
                CallProgress::Done(outcome) => Poll::Ready(outcome),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// The progress of the call in the slot `key`. If the call has ended, this frees the slot and clears `key`.
fn progress(shared: &SessionShared, key: &mut Option<CallKey>, waker: &Waker) -> CallProgress {
    let Some(slot) = *key else {
        return CallProgress::Done(Outcome::Status(Status::internal("a call without a slot was polled")));
    };
    let progress = shared.poll_call(slot, waker);
    if matches!(progress, CallProgress::Done(_)) {
        *key = None;
    }
    progress
}

/// Why a call ended before it was sent.
fn unsent(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Status(status) => status,
        Outcome::Value(_) | Outcome::Streaming(..) | Outcome::Fault(_) => {
            Status::internal("a call that was not sent has been answered")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::FutureExt;

    use super::*;
    use crate::{
        config::Config,
        peer::{ConnectionInfo, Policy, encode_rope, now},
        proto::{DeadlineOrigin, DeadlineSetting},
        service::Hosting,
        session::{Handshake, connect, connect_in_memory, memory},
        status::Code,
    };

    static METHOD: MethodDescriptor = MethodDescriptor::new("Nowhere", "go", 0);

    fn params() -> CallParams {
        let begun = now();
        let deadline_origin = DeadlineOrigin { begun, setting: DeadlineSetting::Config };
        CallParams {
            begun,
            origin: None,
            metadata: Vec::new(),
            deadline: None,
            deadline_origin,
            idle_timeout: None,
            fail_fast: false,
            policy: Policy::WAIT,
        }
    }

    /// The outcome of a call of a method that is not hosted, which shows that the call has arrived.
    async fn arrived(sending: &mut Sending<'_>) -> bool {
        matches!(sending.outcome(true).await, Outcome::Status(status) if status.code() == Code::Unimplemented)
    }

    #[tokio::test(start_paused = true)]
    async fn arguments_that_are_encoded_once_can_be_sent_in_several_sessions() {
        let (hosting, payload) = (Hosting::default(), encode_rope(&[1, 2, 3]).unwrap());
        for _ in 0..3 {
            let (_server, client) = connect_in_memory(&hosting, &hosting);
            client.established().await.unwrap();
            let mut sending = Sending::new(client.shared(), &METHOD, &mut params(), 0).unwrap();
            assert_eq!(sending.send(None, || Ok(payload.clone())).await, Ok(true));
            assert!(arrived(&mut sending).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_for_its_permit_is_not_encoded() {
        let (hosting, config) = (Hosting::default(), Config::default());
        let (near, far) = memory();
        let (client, other) = connect(far, &hosting, &config, ConnectionInfo::default());
        let mut sending = Sending::new(client.shared(), &METHOD, &mut params(), 0).unwrap();
        let (payload, encoded) = (encode_rope(&[1, 2, 3]).unwrap(), Cell::new(0));
        {
            let encode = || {
                encoded.set(encoded.get() + 1);
                Ok(payload.clone())
            };
            let mut sent = pin!(sending.send(None, encode));
            assert!(sent.as_mut().now_or_never().is_none(), "there is no permit before the handshake is done");
            assert_eq!(encoded.get(), 0);
            tokio::spawn(other);
            let handshake = Handshake::read(near, &config).await.unwrap();
            let (_server, driver) = handshake.accept(&hosting, ConnectionInfo::default());
            tokio::spawn(driver);
            assert_eq!(sent.await, Ok(true));
        }
        assert_eq!(encoded.get(), 1);
        assert!(arrived(&mut sending).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_unsent_with_its_session() {
        let (near, _far) = memory();
        let hosting = Hosting::default();
        let (client, driver) = connect(near, &hosting, &Config::default(), ConnectionInfo::default());
        let mut sending = Sending::new(client.shared(), &METHOD, &mut params(), 0).unwrap();
        drop(driver);
        let failed = sending.send(None, || panic!("nothing is encoded for a session that is over")).await.unwrap_err();
        assert_eq!((failed.code(), failed.execution()), (Code::Unavailable, crate::Execution::NotExecuted));
    }
}
