//! The streams that are read here: items that wait for their readers, and the credit that the producers have.

mod credit;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, mem, sync::LazyLock, task::Waker};

use bytes::Bytes;
use foldhash::HashMap;

use super::{
    Amount, Reading, StreamEnd, StreamError,
    recv_stream::{ArrivalState, Notice, ReaderState, RecvStream},
    signed,
};
use crate::{
    config::Config,
    error::{ProtocolError, StreamViolation},
    proto::{
        keep_waker,
        rare::Rarely,
        shrink::{trim_line, trim_table},
    },
    status::Status,
    wire::TransferId,
};

/// About the bytes that a stream takes beside its items.
const STREAM: usize = 768;

/// All streams that are read here.
///
/// Invariants, which `check` tests: `all_held` and `all_ends` are the sums over the streams, and `open` is the
/// number of streams whose producer has not finished.
#[derive(Debug)]
pub(crate) struct RecvStreams {
    streams: HashMap<TransferId, RecvStream>,
    /// Streams whose producer has not finished.
    open: u32,
    max_open: u32,
    /// The window that each stream begins with, and the most bytes that a window grows to.
    first_window: Amount,
    max_window: i64,
    /// The window of all streams together, in bytes as all that follows; what producers may still send of it; and what
    /// has come and has not been read.
    all_window: i64,
    all_credit: i64,
    all_held: i64,
    /// Faults and statuses at the ends of streams, which have not been read.
    all_ends: usize,
    /// New credit of all streams together, for the next notice.
    all_due: u64,
    /// Streams with a notice to be sent. None is listed twice.
    due: VecDeque<TransferId>,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Items, moved to where the reader wants them.
    Items,
    /// Nothing yet.
    Nothing,
    /// The end of the stream, after which the stream does not exist.
    End(StreamEnd),
}

/// The window that each stream begins with.
fn first_window(config: &Config) -> Amount {
    Amount { items: i64::from(config.stream_items()), bytes: signed(config.stream_window() as u64) }
}

impl Rarely for RecvStreams {
    /// How this side is configured, and how much of all credit has been used and not been granted again.
    type Terms = (Config, i64);

    fn none() -> &'static Self {
        static NONE: LazyLock<RecvStreams> = LazyLock::new(|| RecvStreams::new(&Config::default()));
        &NONE
    }

    fn begin((config, used): &Self::Terms) -> Self {
        let mut streams = Self::new(config);
        streams.all_credit -= used;
        streams
    }

    fn can_go(&self, (_, used): &mut Self::Terms) -> bool {
        *used = self.all_window - self.all_credit;
        let owes_nothing = self.all_due == 0 && self.due.is_empty();
        self.streams.is_empty() && self.open == 0 && owes_nothing && self.all_held == 0 && self.all_ends == 0
    }
}

impl RecvStreams {
    pub(crate) fn new(config: &Config) -> Self {
        let all_window = signed(config.streams_window() as u64);
        Self {
            streams: HashMap::default(),
            open: 0,
            max_open: config.max_streams(),
            first_window: first_window(config),
            max_window: signed(config.max_stream_window() as u64),
            all_window,
            all_credit: all_window,
            all_held: 0,
            all_ends: 0,
            all_due: 0,
            due: VecDeque::new(),
        }
    }

    /// Whether a stream with this window of its own begins with less credit than the handshake gives to every stream.
    pub(crate) fn is_lowered_by(config: &Config, window: u32) -> bool {
        let first = first_window(config);
        first.within_window(window) != first
    }

    /// The other side has opened a stream to here. `window` is the stream's own in bytes, or 0.
    pub(crate) fn open(&mut self, id: TransferId, window: u32) -> Result<(), ProtocolError> {
        if self.open >= self.max_open {
            return Err(StreamViolation::TooMany { stream: id, max: self.max_open }.into());
        }
        self.open += 1;
        self.streams.insert(id, RecvStream::new(self.first_window, window));
        Ok(())
    }

    /// The shell is told of the stream, and will read it or leave it.
    pub(crate) fn hand_over(&mut self, id: TransferId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.is_handed_over = true;
        }
    }

    /// An item has come, or has been announced if it is long. Checks it against the credit, and says whether it is
    /// wanted.
    pub(crate) fn begin_item(&mut self, id: TransferId, len: u64, is_long: bool) -> Result<bool, ProtocolError> {
        let was_scarce = self.is_scarce();
        let stream = find_open(&mut self.streams, id)?;
        stream.claim_spare();
        stream.check_item(id, len, is_long, self.all_credit > 0)?;
        let item = Amount::of_item(len);
        self.all_credit -= item.bytes;
        let wanted = stream.count_item(item, is_long);
        if wanted {
            self.all_held += item.bytes;
        } else {
            self.renew_all();
        }
        if !was_scarce && self.is_scarce() {
            self.report_unreported();
        }
        Ok(wanted)
    }

    /// Credit has become scarce. Producers who do not know that their readers have read everything would wait for the
    /// readers of other streams.
    fn report_unreported(&mut self) {
        let unreported = self.streams.iter().filter(|(_, stream)| stream.has_unreported()).map(|(id, _)| *id);
        for id in unreported.collect::<Vec<_>>() {
            self.push_due(id);
        }
    }

    /// A wanted item is complete. `copy` says that the item must not keep the packet that it came in.
    pub(crate) fn end_item(&mut self, id: TransferId, item: Bytes, copy: bool, wakes: &mut Vec<Waker>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.take_arriving();
        let item = if copy { stream.copy(&item) } else { item };
        stream.items.push_back(item);
        wakes.extend(stream.waker.take());
    }

    /// A wanted item has come in its frame, and is dropped.
    pub(crate) fn drop_short(&mut self, id: TransferId, len: u64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let item = Amount::of_item(len);
            stream.held -= item;
            self.all_held -= item.bytes;
        }
    }

    /// A long item has come to its end and is not wanted, or the producer has aborted it.
    pub(crate) fn drop_item(&mut self, id: TransferId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(item) = stream.take_arriving() else { return };
        if stream.is_wanted() {
            stream.arrival = ArrivalState::Broken;
            stream.held -= item;
            self.all_held -= item.bytes;
            self.renew_all();
            self.renew(id);
        }
    }

    /// The producer has ended a stream.
    pub(crate) fn finish(
        &mut self,
        id: TransferId,
        end: StreamEnd,
        wakes: &mut Vec<Waker>,
    ) -> Result<(), ProtocolError> {
        let stream = find_open(&mut self.streams, id)?;
        if stream.arriving().is_some() {
            return Err(StreamViolation::EndWithinItem { stream: id }.into());
        }
        if stream.arrival == ArrivalState::Broken && end.is_ok() && stream.is_wanted() {
            return Err(StreamViolation::FinishedAfterAborted { stream: id }.into());
        }
        stream.arrival = ArrivalState::Finished;
        self.open -= 1;
        if stream.is_wanted() {
            self.all_ends += stream.end_as_sent(end);
        }
        wakes.extend(stream.waker.take());
        if stream.is_gone() {
            self.remove(id);
        }
        Ok(())
    }

    /// A stream has failed from this side's point of view: its reader sees the items that have come, and then this
    /// status. True if the reader did not have an end yet.
    pub(crate) fn fail(&mut self, id: TransferId, status: Status, wakes: &mut Vec<Waker>) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_wanted()) else { return false };
        if let Some(item) = stream.arriving() {
            // The rest of the item still arrives, and is dropped.
            stream.held -= item;
            self.all_held -= item.bytes;
        }
        stream.end_with(status);
        wakes.extend(stream.waker.take());
        self.renew_all();
        true
    }

    /// Whether a long item is arriving for a stream.
    pub(crate) fn is_arriving(&self, id: TransferId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.arriving().is_some())
    }

    /// Moves the items that have come to the reader, who has read `read` since its last report. The items stay counted
    /// as held until they are reported as read. Here the window grows: when there is nothing to read because the
    /// producer has used up its credit.
    pub(crate) fn take(
        &mut self,
        id: TransferId,
        read: Reading,
        into: &mut VecDeque<Bytes>,
        acked: u64,
        waker: &Waker,
        stale_wakers: &mut Vec<Waker>,
    ) -> Taken {
        self.count_read(id, read);
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_gone()) else {
            return Taken::End(Err(StreamError::Status(Status::internal("the stream was read after its end"))));
        };
        if !stream.items.is_empty() {
            mem::swap(&mut stream.items, into);
            return Taken::Items;
        }
        if let ReaderState::Ending { end, bytes } = &stream.reader {
            let end = end.clone();
            self.all_ends -= bytes;
            stream.reader = ReaderState::Gone;
            if stream.is_finished() {
                self.remove(id);
            }
            return Taken::End(end);
        }
        keep_waker(&mut stream.waker, waker, stale_wakers);
        stream.keep_room(into);
        stream.handle_ack(acked);
        if stream.is_starved() && stream.grow(self.max_window) {
            self.renew(id);
        }
        Taken::Nothing
    }

    /// Wakes the readers that wait for an item.
    pub(crate) fn wake_readers(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.streams.values_mut().filter_map(|stream| stream.waker.take()));
    }

    /// A reader has read this much since its last report.
    pub(crate) fn count_read(&mut self, id: TransferId, Reading { items, bytes, slow }: Reading) {
        if items == 0 {
            return;
        }
        self.all_held -= bytes;
        self.renew_all();
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.held -= Amount { items, bytes };
            self.renew(id);
            if slow {
                self.report(id);
            }
        }
    }

    /// The reader leaves. True if the producer has to be told.
    pub(crate) fn leave(&mut self, id: TransferId, stale_wakers: &mut Vec<Waker>) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_gone()) else { return false };
        let tell = stream.is_live();
        self.all_ends -= stream.end_bytes();
        stream.reader = ReaderState::Gone;
        stream.items.clear();
        mem::take(&mut stream.block);
        stale_wakers.extend(stream.waker.take());
        self.all_held -= mem::take(&mut stream.held).bytes;
        if stream.is_finished() {
            self.remove(id);
        }
        self.renew_all();
        tell
    }

    /// The session is over: readers see the items that have come, and then this status. Streams of calls that are not
    /// complete have no reader.
    pub(crate) fn end(&mut self, status: &Status, wakes: &mut Vec<Waker>) {
        self.due.clear();
        self.all_due = 0;
        self.open = 0;
        let (all_held, all_ends) = (&mut self.all_held, &mut self.all_ends);
        self.streams.retain(|_, stream| {
            if let Some(item) = stream.take_arriving().filter(|_| stream.is_wanted()) {
                stream.held -= item;
                *all_held -= item.bytes;
            }
            stream.arrival = ArrivalState::Finished;
            stream.notice = Notice::Never;
            if stream.is_wanted() {
                stream.end_with(status.clone());
            }
            wakes.extend(stream.waker.take());
            let stays = !stream.is_gone() && stream.is_handed_over;
            if !stays {
                *all_held -= stream.held.bytes;
                *all_ends -= stream.end_bytes();
            }
            stays
        });
        self.trim();
    }

    /// Removes a stream that both sides are done with.
    fn remove(&mut self, id: TransferId) {
        self.streams.remove(&id);
    }

    /// Frees memory that a busy time needed: a table that was large once becomes small again.
    pub(crate) fn trim(&mut self) {
        self.streams.values_mut().for_each(RecvStream::trim);
        trim_table(&mut self.streams);
        trim_line(&mut self.due);
    }

    /// Bytes that streams take: items that have come or are arriving, ends, and tables.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        self.held() + self.all_ends + self.streams.len() * STREAM
    }

    /// Streams that have a reader, or whose producer has not finished.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Streams whose producer has not finished.
    pub(crate) fn open_count(&self) -> usize {
        self.open as usize
    }

    /// Whether every producer has finished.
    pub(crate) fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// Streams that have a reader, and whose producer goes on.
    pub(crate) fn live(&self) -> Vec<TransferId> {
        self.streams.iter().filter(|(_, stream)| stream.is_live()).map(|(id, _)| *id).collect()
    }

    /// Bytes that have come and have not been read, with [`super::ITEM`] for each item.
    pub(crate) fn held(&self) -> usize {
        usize::try_from(self.all_held).unwrap_or(0)
    }

    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.streams.capacity()
    }

    /// Tests the invariants of this table, and of each stream.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        let held: i64 = self.streams.values().map(|stream| stream.held.bytes).sum();
        assert_eq!(self.all_held, held, "what has come and has not been read");
        let ends: usize = self.streams.values().map(RecvStream::end_bytes).sum();
        assert_eq!(self.all_ends, ends, "the ends that have not been read");
        let open = self.streams.values().filter(|stream| !stream.is_finished()).count();
        assert_eq!(self.open as usize, open, "streams whose producers have not ended them");
        self.streams.values().for_each(RecvStream::check);
        for id in &self.due {
            let notice = self.streams.get(id).map(|stream| stream.notice);
            assert!(!matches!(notice, Some(Notice::Nothing | Notice::Never)), "stream {id} is listed as due");
        }
    }
}

/// A stream whose producer has not finished.
#[inline]
fn find_open(
    streams: &mut HashMap<TransferId, RecvStream>,
    id: TransferId,
) -> Result<&mut RecvStream, StreamViolation> {
    streams.get_mut(&id).filter(|stream| !stream.is_finished()).ok_or(StreamViolation::NotOpen { stream: id })
}
