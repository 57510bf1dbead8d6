//! The streams that are read here: items that wait for their reader, and the credit that the producer still has.

mod credit;

use std::{collections::VecDeque, mem, task::Waker};

use bytes::Bytes;
use foldhash::HashMap;

use super::{Reading, StreamEnd, StreamError, recv_stream::RecvStream, signed, weight};
use crate::{
    config::Config,
    error::ProtocolError,
    proto::{
        keep_waker,
        shrink::{shrink_line, shrink_table},
    },
    status::Status,
    wire::TransferId,
};

/// No item is longer, whatever may be sent: what is longer would make counts run over.
const LONGEST: u64 = u32::MAX as u64;

/// What a stream takes beside its items, about.
const STREAM: usize = 768;

/// All streams that are read here.
#[derive(Debug)]
pub(crate) struct RecvStreams {
    streams: HashMap<TransferId, RecvStream>,
    /// Those whose producer has not ended them.
    open: u32,
    max_open: u32,
    /// What one stream begins with.
    items: i64,
    window: i64,
    max_window: i64,
    /// All streams together: what their window is, what the producer may still send, and what has come and has not been
    /// read.
    all_window: i64,
    all_credit: i64,
    all_held: i64,
    /// Bytes of faults and statuses at the ends of streams that have not been read.
    all_ends: usize,
    /// Credit for all together that has not been sent.
    all_due: u64,
    /// Streams with credit that has not been sent.
    due: VecDeque<TransferId>,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Items, put where it said.
    Items,
    /// Nothing yet.
    Nothing,
    /// The stream is over, and gone.
    End(StreamEnd),
}

impl RecvStreams {
    pub(crate) fn new(config: &Config) -> Self {
        let window = signed(config.stream_window as u64);
        let all_window = signed(config.streams_window as u64);
        Self {
            streams: HashMap::default(),
            open: 0,
            max_open: config.max_streams,
            items: i64::from(config.stream_items),
            window,
            max_window: signed(config.max_stream_window as u64),
            all_window,
            all_credit: all_window,
            all_held: 0,
            all_ends: 0,
            all_due: 0,
            due: VecDeque::new(),
        }
    }

    /// The other side has opened a stream to here.
    pub(crate) fn open(&mut self, id: TransferId) -> Result<(), ProtocolError> {
        if self.open >= self.max_open {
            return Err(ProtocolError::new(format!(
                "stream {id} was opened beyond the announced limit of {} streams",
                self.max_open
            )));
        }
        self.open += 1;
        self.streams.insert(id, RecvStream::new((self.items, self.window)));
        Ok(())
    }

    /// The shell is told of it, and will read or leave it.
    pub(crate) fn hand_over(&mut self, id: TransferId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.handed_over = true;
        }
    }

    /// An item has come, or has been announced. Checks it against the credit, and says whether it is wanted.
    pub(crate) fn begin_item(&mut self, id: TransferId, len: u64, long: bool) -> Result<bool, ProtocolError> {
        let (short, scarce) = (self.all_credit <= 0, self.is_scarce());
        let stream = self.streams.get_mut(&id).filter(|stream| !stream.finished).ok_or_else(|| unknown(id))?;
        if len > LONGEST {
            return Err(ProtocolError::new(format!("an item of stream {id} of {len} bytes cannot be counted")));
        }
        if stream.arriving.is_some() {
            return Err(ProtocolError::new(format!("an item of stream {id} came before the end of the one before it")));
        }
        if stream.broken {
            return Err(ProtocolError::new(format!("an item of stream {id} came after one that was given up")));
        }
        if stream.credit.0 <= 0 || stream.credit.1 <= 0 {
            return Err(ProtocolError::new(format!("an item of stream {id} came beyond its credit")));
        }
        if short && (long || stream.reported < stream.received.0) {
            return Err(ProtocolError::new(format!(
                "an item of stream {id} came beyond the credit of all streams together"
            )));
        }
        let weight = weight(len);
        self.all_credit -= weight;
        stream.credit.0 -= 1;
        stream.credit.1 -= weight;
        stream.received.0 += 1;
        stream.received.1 = stream.received.1.saturating_add(weight);
        if long {
            stream.arriving = Some(weight);
        }
        let wanted = stream.is_wanted();
        if wanted {
            stream.held.0 += 1;
            stream.held.1 += weight;
            self.all_held += weight;
        } else {
            self.renew_all();
        }
        if !scarce && self.is_scarce() {
            // Those whose producers think that there is something to be read would wait for the readers of others.
            let untold = self.streams.iter().filter(|(_, stream)| stream.has_unreported()).map(|(id, _)| *id);
            for id in untold.collect::<Vec<_>>() {
                self.push_due(id);
            }
        }
        Ok(wanted)
    }

    /// A wanted item is complete. `copy` says that it should not keep the packet that it came in.
    pub(crate) fn end_item(&mut self, id: TransferId, item: Bytes, copy: bool, wakes: &mut Vec<Waker>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.arriving = None;
        let item = if copy { stream.copy(&item) } else { item };
        stream.items.push_back(item);
        wakes.extend(stream.waker.take());
    }

    /// A wanted item has come and is dropped.
    pub(crate) fn drop_short(&mut self, id: TransferId, len: u64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let weight = weight(len);
            stream.held.0 -= 1;
            stream.held.1 -= weight;
            self.all_held -= weight;
        }
    }

    /// A long item has come to its end, or will not come, and nobody wants it.
    pub(crate) fn drop_item(&mut self, id: TransferId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(weight) = stream.arriving.take() else { return };
        if stream.is_wanted() {
            stream.broken = true;
            stream.held.0 -= 1;
            stream.held.1 -= weight;
            self.all_held -= weight;
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
        let stream = self.streams.get_mut(&id).filter(|stream| !stream.finished).ok_or_else(|| unknown(id))?;
        if stream.arriving.is_some() {
            return Err(ProtocolError::new(format!("stream {id} ended within an item")));
        }
        if stream.broken && end.is_ok() && stream.is_wanted() {
            return Err(ProtocolError::new(format!("stream {id} was finished after an item that was given up")));
        }
        stream.finished = true;
        self.open -= 1;
        if stream.end.is_none() {
            stream.end_bytes = end.as_ref().err().map_or(0, StreamError::size);
            self.all_ends += stream.end_bytes;
            stream.end = Some(end);
        }
        wakes.extend(stream.waker.take());
        if !stream.read {
            self.remove(id);
        }
        Ok(())
    }

    /// A stream has failed from this side's point of view: its reader sees what has come, and then this. True if its
    /// producer has to be told.
    pub(crate) fn fail(&mut self, id: TransferId, status: Status, wakes: &mut Vec<Waker>) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.end.is_none()) else { return false };
        if let Some(weight) = stream.arriving.filter(|_| stream.read) {
            // It will not be completed for anybody; where its reader has left, it does not count any more.
            stream.held.0 -= 1;
            stream.held.1 -= weight;
            self.all_held -= weight;
        }
        stream.end = Some(Err(StreamError::Status(status)));
        wakes.extend(stream.waker.take());
        self.renew_all();
        true
    }

    /// Whether a long item is arriving for a stream.
    pub(crate) fn is_arriving(&self, id: TransferId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.arriving.is_some())
    }

    /// What has come is moved to the reader, who has read `read` since it last said so.
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
        let Some(stream) = self.streams.get_mut(&id) else {
            return Taken::End(Err(StreamError::Status(Status::internal("the stream was read after its end"))));
        };
        if !stream.items.is_empty() {
            mem::swap(&mut stream.items, into);
            return Taken::Items;
        }
        if let Some(end) = stream.end.clone() {
            if stream.finished {
                self.remove(id);
            } else {
                stream.read = false;
            }
            return Taken::End(end);
        }
        keep_waker(&mut stream.waker, waker, stale_wakers);
        stream.handle_ack(acked);
        if stream.is_starved() && stream.grow(self.max_window) {
            self.renew(id);
        }
        Taken::Nothing
    }

    /// A reader has read this much since it last said so.
    pub(crate) fn count_read(&mut self, id: TransferId, Reading { items, bytes, slow }: Reading) {
        if items == 0 {
            return;
        }
        self.all_held -= bytes;
        self.renew_all();
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.held.0 -= items;
            stream.held.1 -= bytes;
            self.renew(id);
            if slow {
                self.report(id);
            }
        }
    }

    /// The reader is gone. True if the producer has to be told.
    pub(crate) fn leave(&mut self, id: TransferId, stale_wakers: &mut Vec<Waker>) -> bool {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.read) else { return false };
        stream.read = false;
        stream.items.clear();
        mem::take(&mut stream.block);
        stale_wakers.extend(stream.waker.take());
        self.all_held -= mem::take(&mut stream.held).1;
        let tell = !stream.finished && stream.end.is_none();
        if stream.finished {
            self.remove(id);
        }
        self.renew_all();
        tell
    }

    /// The session is over: readers see what has come, and then why. Streams of calls that are not whole yet have none.
    pub(crate) fn end(&mut self, status: &Status, wakes: &mut Vec<Waker>) {
        self.due.clear();
        self.all_due = 0;
        self.open = 0;
        let (all_held, all_ends) = (&mut self.all_held, &mut self.all_ends);
        self.streams.retain(|_, stream| {
            if let Some(weight) = stream.arriving.take().filter(|_| stream.is_wanted()) {
                stream.held.0 -= 1;
                stream.held.1 -= weight;
                *all_held -= weight;
            }
            stream.finished = true;
            stream.is_due = true;
            if stream.end.is_none() {
                stream.end = Some(Err(StreamError::Status(status.clone())));
            }
            wakes.extend(stream.waker.take());
            let stays = stream.read && stream.handed_over;
            if !stays {
                *all_held -= mem::take(&mut stream.held).1;
                *all_ends -= mem::take(&mut stream.end_bytes);
            }
            stays
        });
        self.shrink();
    }

    fn remove(&mut self, id: TransferId) {
        if let Some(stream) = self.streams.remove(&id) {
            self.all_ends -= stream.end_bytes;
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        shrink_table(&mut self.streams);
        shrink_line(&mut self.due);
    }

    /// Bytes that streams hold: items that have come or are arriving, ends, and what tables need.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        self.held() + self.all_ends + self.streams.len() * STREAM
    }

    /// Streams that somebody reads, or whose end has not come.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Streams whose producer has not ended them.
    pub(crate) fn open_count(&self) -> usize {
        self.open as usize
    }

    /// Whether no stream is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// Streams that somebody reads and whose producer goes on.
    pub(crate) fn live(&self) -> Vec<TransferId> {
        self.streams.iter().filter(|(_, stream)| stream.is_wanted() && !stream.finished).map(|(id, _)| *id).collect()
    }

    /// What has come and has not been read, in bytes and [`super::ITEM`] for each item.
    pub(crate) fn held(&self) -> usize {
        usize::try_from(self.all_held).unwrap_or(0)
    }

    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.streams.capacity()
    }

    /// Whether the counts of all together are those of each.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let held: i64 = self.streams.values().map(|stream| stream.held.1).sum();
        assert_eq!(self.all_held, held, "what has come and has not been read");
        let ends: usize = self.streams.values().map(|stream| stream.end_bytes).sum();
        assert_eq!(self.all_ends, ends, "the ends that have not been read");
        let open = self.streams.values().filter(|stream| !stream.finished).count();
        assert_eq!(self.open as usize, open, "streams whose producers have not ended them");
        for (id, stream) in &self.streams {
            let kept = stream.is_wanted() || stream.read;
            stream.check_unacknowledged();
            assert!(stream.held.0 >= 0 && stream.held.1 >= 0 && (kept || stream.held == (0, 0)), "{id}: {stream:?}");
        }
    }
}

fn unknown(id: TransferId) -> ProtocolError {
    ProtocolError::new(format!("stream {id} is not open: it was never opened, or has ended"))
}
