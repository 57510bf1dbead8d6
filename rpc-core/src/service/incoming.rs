//! `Incoming`: a call that has arrived, with which a handler reads its arguments and answers.

use std::{
    mem,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use serde::Serialize;

use super::{
    Arguments, HandlerOutput, HandlerReply,
    turn_queue::SharedTurnGuard,
    written_out::{OwnCallError, OwnStatus},
};
use crate::{
    context::Context,
    contract::MethodDescriptor,
    error::CallError,
    logging::LogLimit,
    peer::{
        CallsBack, ContextPeer, CurrentCall, Encode, Need, Peer, Reservation, SessionShared, StreamReaders,
        StreamWriter, StreamWriters, Streaming, WaitingValue, encode_rope, now, scan_limits,
    },
    status::Status,
    text::excerpt,
    wire::Nil,
};

/// The largest number of bytes that a Response takes beside its payload.
const FRAME: usize = 96;

/// The data of a call that has arrived: its arguments, and the streams among them.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) payload: Bytes,
    pub(crate) streams: StreamReaders,
}

/// A call that has arrived. It lives in its handler's future, whose arguments may borrow from it.
#[derive(Debug)]
pub struct Incoming {
    shared: Arc<SessionShared>,
    serving: CurrentCall,
    method: &'static MethodDescriptor,
    payload: Bytes,
    /// The streams of the result, if there are any.
    writers: OnceLock<Box<Mutex<StreamWriters>>>,
    /// What most calls do not have, in a box so that the futures of handlers stay small.
    extras: Option<Box<Extras>>,
}

/// What few calls come with.
#[derive(Debug, Default)]
struct Extras {
    /// The streams among the arguments.
    readers: Mutex<StreamReaders>,
    /// The turn at an object that serves one call at a time. It ends when the method ends, before the answer is sent.
    turn: Option<Arc<SharedTurnGuard>>,
    /// A flag to set when the method succeeds, if other methods of the contract require that.
    begun: Option<Arc<AtomicBool>>,
}

impl Incoming {
    // Inlined, because it is large to move.
    #[inline(always)]
    pub(crate) fn new(
        shared: Arc<SessionShared>,
        serving: CurrentCall,
        method: &'static MethodDescriptor,
        received: Received,
    ) -> Self {
        let Received { payload, streams } = received;
        let extras =
            (!streams.is_empty()).then(|| Box::new(Extras { readers: Mutex::new(streams), ..Extras::default() }));
        Self { shared, serving, method, payload, writers: OnceLock::new(), extras }
    }

    #[inline]
    pub(super) fn with_turn(mut self, turn: Option<Arc<SharedTurnGuard>>) -> Self {
        if turn.is_some() {
            self.extras.get_or_insert_default().turn = turn;
        }
        self
    }

    #[inline(always)]
    pub(super) fn with_begun(mut self, begun: Option<Arc<AtomicBool>>) -> Self {
        if begun.is_some() {
            self.extras.get_or_insert_default().begun = begun;
        }
        self
    }

    /// The arguments, checked against the limits on payloads.
    pub fn arguments(&self) -> Result<Arguments<'_>, Status> {
        let readers = self.extras.as_ref().map(|extras| &extras.readers);
        Arguments::new(&self.payload, &scan_limits(&self.shared.config), self.method, readers)
    }

    /// Takes a stream that is the result. The returned value stands for the stream in the payload.
    pub fn stream<C, E>(&self, stream: Streaming<C::Value, E>) -> Nil
    where
        C: Encode,
        E: Serialize + Send + 'static,
    {
        let writers = self.writers.get_or_init(Box::default);
        writers.lock().unwrap_or_else(PoisonError::into_inner).push(StreamWriter::new::<C, E>(stream, self.method));
        Nil
    }

    /// The handler's context of the call.
    pub fn context<C: ContextPeer>(&self) -> Context<C> {
        Context::new(self.shared.clone(), self.serving.clone(), self.method)
    }

    /// The context of a call of a service's method. The service's client is `S`, and errors advise to have an `E` in
    /// the context.
    pub fn service_context<S: CallsBack<C, E>, C: ContextPeer, E>(&self) -> Context<C> {
        self.context()
    }

    /// As [`Self::context`], if the contract of the other side is not known.
    pub(super) fn untyped_context(&self) -> Context<Peer> {
        Context::untyped(self.shared.clone(), self.serving.clone(), self.method)
    }

    /// Records that the method has ended. Calls that waited for its end may go on, although the answer may still wait
    /// to be sent.
    fn end(&self, succeeded: bool) {
        let Some(extras) = &self.extras else { return };
        if let Some(begun) = extras.begun.as_ref().filter(|_| succeeded) {
            begun.store(true, Ordering::Release);
        }
        if let Some(turn) = &extras.turn {
            turn.end();
        }
    }

    /// Answers with a plain value, once there is room in the outbox.
    pub async fn reply<T: Serialize + Send>(&self, value: T) -> Result<HandlerOutput, Status> {
        self.answer(value, true).await
    }

    #[inline]
    async fn answer<T: Serialize + Send>(&self, value: T, succeeded: bool) -> Result<HandlerOutput, Status> {
        let mut reservation = Reservation::new(self.shared.clone());
        let short = match self.try_answer(&value, succeeded, &mut reservation)? {
            Ok(reply) => return Ok(HandlerOutput::new(reply, self.writers(), reservation)),
            Err(short) => short,
        };
        // Few answers wait, so this future is in a box, and the futures of handlers stay small.
        Box::pin(self.answer_later(value, succeeded, reservation, short)).await
    }

    /// Encodes an answer, and reserves what the answer needs of the budgets. If a budget is short, this gives the
    /// budget and the length of the encoded answer, which is dropped.
    #[inline]
    fn try_answer<T: Serialize>(
        &self,
        value: &T,
        succeeded: bool,
        reservation: &mut Reservation<Arc<SessionShared>>,
    ) -> Result<Result<HandlerReply, (Need, usize)>, Status> {
        let payload = encode_rope(value).map_err(|why| self.unencodable(&why))?;
        self.end(succeeded);
        let len = payload.len();
        Ok(match reservation.reserve(len, FRAME, 0) {
            Ok(()) => Ok(HandlerReply::Value(payload)),
            Err(need) => Err((need, len)),
        })
    }

    /// Waits for the budgets of an answer.
    async fn answer_later<T: Serialize + Send>(
        &self,
        value: T,
        succeeded: bool,
        mut reservation: Reservation<Arc<SessionShared>>,
        mut short: (Need, usize),
    ) -> Result<HandlerOutput, Status> {
        loop {
            let (need, len) = short;
            {
                let _waits = WaitingValue::new(&self.shared, len);
                reservation.wait(need).await.map_err(|_| over())?;
            }
            match self.try_answer(&value, succeeded, &mut reservation)? {
                Ok(reply) => {
                    reservation.trim(reply.len(), FRAME, 0);
                    return Ok(HandlerOutput::new(reply, self.writers(), reservation));
                }
                Err(again) => short = again,
            }
        }
    }

    /// Answers with a value or a typed fault, once there is room in the outbox.
    pub async fn reply_result<T, E>(&self, result: Result<T, E>) -> Result<HandlerOutput, Status>
    where
        T: Serialize + Send,
        E: Serialize + Send,
    {
        match result {
            Ok(value) => self.reply(value).await,
            Err(fault) => self.answer(fault, false).await.map(HandlerOutput::into_fault),
        }
    }

    /// Answers with a value, a typed fault or a status. The caller sees that the method may have run, even if the
    /// status says otherwise.
    pub async fn reply_call_error<T, E>(&self, result: Result<T, E>) -> Result<HandlerOutput, Status>
    where
        T: Serialize + Send,
        E: OwnCallError<Fault: Serialize>,
    {
        match result.map_err(OwnCallError::into_call_error) {
            Ok(value) => self.reply(value).await,
            Err(CallError::Fault(fault)) => self.answer(fault, false).await.map(HandlerOutput::into_fault),
            Err(CallError::Status(status)) => Err(status.leaving_a_handler()),
        }
    }

    /// Answers with a value or a status. The caller sees that the method may have run, even if the status says
    /// otherwise.
    pub async fn reply_status<T, E>(&self, result: Result<T, E>) -> Result<HandlerOutput, Status>
    where
        T: Serialize + Send,
        E: OwnStatus,
    {
        match result {
            Ok(value) => self.reply(value).await,
            Err(status) => Err(status.into_status().leaving_a_handler()),
        }
    }

    /// Ends a one-way call, which has no answer.
    pub async fn done(&self) -> Result<HandlerOutput, Status> {
        self.end(true);
        Ok(HandlerOutput::new(HandlerReply::Done, StreamWriters::default(), Reservation::new(self.shared.clone())))
    }

    fn writers(&self) -> StreamWriters {
        let Some(writers) = self.writers.get() else { return StreamWriters::default() };
        mem::take(&mut *writers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn unencodable(&self, why: &str) -> Status {
        let (contract, name) = (self.method.contract(), self.method.name());
        static UNENCODABLE: LogLimit = LogLimit::new();
        if let Some(more) = UNENCODABLE.admit(now()) {
            tracing::error!(contract, method = name, why = %excerpt(why), "the result of a method does not serialize{more}");
        }
        Status::internal(format!("the result of {contract}.{name} does not serialize: {why}"))
    }
}

fn over() -> Status {
    Status::unavailable("the session is over")
}
