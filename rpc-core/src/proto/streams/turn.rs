//! One turn of a stream that is produced here: what the turn may write, and its result.

use std::{ops::ControlFlow, task::Waker};

use super::{
    ITEM, StreamError,
    claims::SharedSupply,
    send_stream::{Item, SendStream, TurnState},
};
use crate::{
    proto::writer::{CHUNK_FRAME, PacketWriter},
    wire::{Frame, Payload, TransferId},
};

/// The limits of one turn of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnLimits {
    /// Bytes that are left in the packet.
    pub(crate) left: usize,
    /// Bytes of one chunk, and about the bytes of one turn.
    pub(crate) chunk: usize,
    /// Frames that all turns in this packet may write together.
    pub(crate) frames: usize,
    /// Whether the packet is empty, so that one frame must go at any size.
    pub(crate) first: bool,
}

/// How a stream's turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TurnResult {
    /// The stream has more to send, in its next turn.
    More,
    /// The stream's next frame does not fit into what is left.
    Full,
    /// The stream has nothing to send, or lacks credit; other streams may have something.
    Idle,
    /// The stream has ended.
    Ended,
}

/// The results of all turns in one packet.
#[derive(Debug, Default)]
pub(crate) struct TurnOutput {
    /// Frames that were written.
    pub(crate) frames: usize,
    /// The bytes that producers held of the budget of transfers.
    pub(crate) transfers: usize,
    /// The producer to be woken.
    pub(crate) wake: Option<Waker>,
}

/// How far a long item has got.
#[derive(Debug)]
pub enum LongState {
    /// The item waits for its turn, or for credit.
    Waits,
    /// The item lacked credit and was dropped: make it again when there is credit.
    Returned,
    /// The item is on its way.
    Gone,
}

/// A turn in progress.
pub(super) struct Turn<'a, 'p> {
    id: TransferId,
    out: &'a mut PacketWriter<'p>,
    /// Where the turn began in the packet.
    begin: usize,
    limits: TurnLimits,
    output: &'a mut TurnOutput,
}

impl<'a, 'p> Turn<'a, 'p> {
    pub(super) fn new(
        id: TransferId,
        out: &'a mut PacketWriter<'p>,
        limits: TurnLimits,
        output: &'a mut TurnOutput,
    ) -> Self {
        let begin = out.len();
        Self { id, out, begin, limits, output }
    }

    /// Writes frames until the turn is over: the chunks of a long item under way, then items, then the end.
    pub(super) fn write(&mut self, stream: &mut SendStream, shared: &mut SharedSupply) -> TurnResult {
        loop {
            let step = if stream.under_way.is_some() {
                self.write_chunk(stream, shared)
            } else if !stream.items.is_empty() {
                self.write_item(stream, shared)
            } else if stream.end.is_some() {
                self.write_end(stream)
            } else {
                stream.turn = TurnState::Idle;
                self.wake(stream);
                ControlFlow::Break(TurnResult::Idle)
            };
            if let ControlFlow::Break(result) = step {
                return result;
            }
            if stream.queued <= self.limits.chunk / 2 {
                self.wake(stream);
            }
            if self.written() >= self.limits.chunk || self.output.frames >= self.limits.frames {
                return TurnResult::More;
            }
        }
    }

    fn write_chunk(&mut self, stream: &mut SendStream, shared: &mut SharedSupply) -> ControlFlow<TurnResult> {
        let Some(item) = &mut stream.under_way else { return ControlFlow::Continue(()) };
        let size = self.limits.chunk.min(item.bytes.len());
        self.require_room(size)?;
        let data = item.bytes.split_to(size);
        stream.queued -= size;
        shared.queued -= size;
        shared.long -= size;
        if item.bytes.is_empty() {
            self.output.transfers += item.charge as usize;
            stream.under_way = None;
        }
        self.put(&Frame::Chunk { transfer: self.id, data });
        ControlFlow::Continue(())
    }

    fn write_item(&mut self, stream: &mut SendStream, shared: &mut SharedSupply) -> ControlFlow<TurnResult> {
        let Some(len) = stream.items.front().map(|item| item.bytes.len()) else { return ControlFlow::Continue(()) };
        let is_long = len > self.limits.chunk;
        self.require_room(if is_long { 0 } else { len })?;
        if shared.credit <= 0 {
            self.check_credit(stream, shared, is_long)?;
        }
        let Some(item) = stream.items.pop_front() else { return ControlFlow::Continue(()) };
        stream.sent += 1;
        let weight = item.amount().bytes;
        shared.credit -= weight;
        shared.promised -= weight;
        stream.queued -= ITEM;
        shared.queued -= ITEM;
        if is_long {
            self.announce_item(stream, shared, item);
        } else {
            stream.queued -= len;
            shared.queued -= len;
            self.output.transfers += item.charge as usize;
            self.put(&Frame::Item { stream: self.id, payload: item.bytes.into() });
        }
        ControlFlow::Continue(())
    }

    /// No credit of all streams together is left: a long item goes back to its producer, if the producer goes on, and a
    /// short item may go only if the reader has read everything.
    fn check_credit(
        &mut self,
        stream: &mut SendStream,
        shared: &mut SharedSupply,
        is_long: bool,
    ) -> ControlFlow<TurnResult> {
        let can_be_made_again = stream.end.is_none();
        if is_long && can_be_made_again {
            // A long item would hold the budget of transfers, which calls wait for, until readers have read.
            self.output.transfers += shared.give_back(stream);
            stream.turn = TurnState::Idle;
            self.wake(stream);
            return ControlFlow::Break(TurnResult::Idle);
        }
        if is_long || stream.read < stream.sent {
            shared.block(stream);
            return ControlFlow::Break(TurnResult::Idle);
        }
        ControlFlow::Continue(())
    }

    /// Writes the announcement of a long item, whose chunks follow.
    fn announce_item(&mut self, stream: &mut SendStream, shared: &mut SharedSupply, item: Item) {
        shared.long -= ITEM;
        let payload = Payload::announced(self.id, item.bytes.len() as u64);
        stream.under_way = Some(item);
        self.put(&Frame::Item { stream: self.id, payload });
    }

    fn write_end(&mut self, stream: &mut SendStream) -> ControlFlow<TurnResult> {
        let Some(end) = &stream.end else { return ControlFlow::Continue(()) };
        self.require_room(end.as_ref().err().map_or(0, StreamError::size))?;
        let error = stream.end.take().and_then(Result::err).map(Into::into);
        self.put(&Frame::End { stream: self.id, error });
        if self.output.wake.is_none() {
            self.output.wake = stream.waker.take();
        }
        ControlFlow::Break(TurnResult::Ended)
    }

    /// Bytes that the turn has written.
    fn written(&self) -> usize {
        self.out.len() - self.begin
    }

    /// Breaks if a frame of `len` bytes does not fit, unless it is the first of the packet.
    fn require_room(&self, len: usize) -> ControlFlow<TurnResult> {
        let written = self.written();
        let fits = len + CHUNK_FRAME <= self.limits.left.saturating_sub(written);
        let must_go = self.limits.first && written == 0;
        if fits || must_go { ControlFlow::Continue(()) } else { ControlFlow::Break(TurnResult::Full) }
    }

    fn put(&mut self, frame: &Frame) {
        self.out.put(frame);
        self.output.frames += 1;
    }

    /// Wakes the producer if it waits, and no other is to be woken in this turn.
    fn wake(&mut self, stream: &mut SendStream) {
        if self.output.wake.is_none() {
            self.output.wake = stream.wake();
        }
    }
}
