//! `StreamReader`: the reading end of a stream.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::watch::StreamWatch;
use crate::{
    peer::{clock::now, current::current, shared::SessionShared},
    proto::{ITEM, Reading, StreamError, Taken},
    status::Status,
    wire::{Streams, TransferId},
};

/// The reader reports to the producer after it has read this number of bytes, or after [`SLOW`].
const REPORT: i64 = 64 * 1024;
/// The time between two reports of a reader that has read less than [`REPORT`]. The reader looks at the clock with the
/// first two items after a report and with every fourth one. The reports tell a waiting call that its reader makes
/// progress.
const SLOW: Duration = Duration::from_millis(200);

/// Reads a stream. Dropping it tells the producer to stop.
pub(crate) struct StreamReader {
    shared: Arc<SessionShared>,
    id: TransferId,
    /// Items that were taken from the connection and not yet read.
    batch: VecDeque<Bytes>,
    /// Items and bytes that were read and not yet reported to the producer.
    read: Reading,
    /// The numbers of read items and bytes after which a report is due.
    report: (i64, i64),
    reported: Instant,
    over: bool,
    watch: StreamWatch,
}

impl StreamReader {
    fn new(shared: Arc<SessionShared>, id: TransferId, watch: StreamWatch) -> Self {
        let config = &shared.config;
        let report = report(i64::from(config.stream_items()), config.stream_window());
        let (batch, read) = (VecDeque::new(), Reading::default());
        Self { shared, id, batch, read, report, reported: now(), over: false, watch }
    }

    pub(crate) fn shared(&self) -> &SessionShared {
        &self.shared
    }

    /// Sets the window: the number of bytes that may be under way or wait to be read.
    pub(crate) fn set_window(&mut self, bytes: usize) {
        self.report = (1, report(1, bytes).1);
        self.update(|connection, id| connection.set_stream_window(id, bytes));
    }

    /// The next item; `Err` if the stream has failed, `None` if it was finished.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        loop {
            if let Some(item) = self.batch.pop_front() {
                self.read.items += 1;
                self.watch.count(item.len());
                self.read.bytes += i64::try_from(item.len() + ITEM).unwrap_or(i64::MAX);
                if self.is_due() {
                    self.reported = now();
                    let read = mem::take(&mut self.read);
                    self.update(|connection, id| connection.count_read(id, read));
                }
                return Poll::Ready(Some(Ok(item)));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let (read, mut batch) = (mem::take(&mut self.read), mem::take(&mut self.batch));
            let (taken, is_detached) = self.update(|connection, id| {
                let taken = connection.take_items(id, read, &mut batch, cx.waker());
                (taken, connection.detached().is_some())
            });
            self.batch = batch;
            match taken {
                Taken::Items => {}
                Taken::Nothing => {
                    let refused = if is_detached { self.refuse_to_hold_up() } else { None };
                    let Some(status) = refused else { return Poll::Pending };
                    self.leave();
                    return Poll::Ready(Some(Err(StreamError::Status(status))));
                }
                Taken::End(end) => {
                    self.over = true;
                    self.watch.note(&end);
                    if let Err(error) = end {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        }
    }

    /// Whether a report of what has been read is due.
    fn is_due(&mut self) -> bool {
        let Reading { items, bytes, .. } = self.read;
        // Reading the clock costs half as much as an item, so most items skip it.
        if items <= 2 || items % 4 == 0 {
            self.read.slow = now().duration_since(self.reported) >= SLOW;
        }
        self.read.slow || items >= self.report.0 || bytes >= self.report.1
    }

    /// Why the handler that reads may not wait any more, if that is so.
    #[cold]
    fn refuse_to_hold_up(&self) -> Option<Status> {
        let serving = current()?;
        self.shared.look(|connection| connection.refuse_to_hold_up(&serving.call))
    }

    fn leave(&mut self) {
        if !mem::replace(&mut self.over, true) {
            let id = self.id;
            self.shared.act(|connection| connection.leave_stream(id));
        }
    }

    fn update<R>(&self, f: impl FnOnce(&mut crate::proto::Connection, TransferId) -> R) -> R {
        let (result, credit) = self.shared.with(|locked| {
            let connection = &mut locked.connection;
            let result = f(connection, self.id);
            (result, connection.has_credit() || connection.is_draining())
        });
        if credit {
            self.shared.wake_driver();
        }
        result
    }
}

/// A quarter of the window in items and bytes. New credit is due after half a window, so reports must come more often.
fn report(items: i64, window: usize) -> (i64, i64) {
    let bytes = i64::try_from(window / 4).unwrap_or(REPORT);
    ((items / 4).max(1), bytes.clamp(1, REPORT))
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The streams that came with a call or a result, in their order. Dropping this stops the streams that have not been
/// taken.
#[derive(Debug, Default)]
#[expect(unnameable_types, reason = "a hidden method of `Output` takes it, which only this crate implements and calls")]
pub struct StreamReaders(Option<Box<Untaken>>);

#[derive(Debug)]
struct Untaken {
    shared: Arc<SessionShared>,
    streams: VecDeque<TransferId>,
    /// Watches the first stream.
    watch: StreamWatch,
}

impl StreamReaders {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    #[inline]
    pub(crate) fn new(shared: &Arc<SessionShared>, streams: &Streams) -> Self {
        if streams.is_empty() {
            return Self::default();
        }
        let (shared, streams) = (shared.clone(), streams.iter().copied().collect());
        Self(Some(Box::new(Untaken { shared, streams, watch: StreamWatch::default() })))
    }

    /// Watches the first stream; without one, nothing is ever reported.
    pub(crate) fn watch(&mut self, watch: StreamWatch) {
        match &mut self.0 {
            Some(untaken) => untaken.watch = watch,
            None => watch.forget(),
        }
    }

    /// Takes the next stream.
    pub(crate) fn take(&mut self) -> Option<StreamReader> {
        self.0.as_mut()?.take()
    }
}

impl Untaken {
    fn take(&mut self) -> Option<StreamReader> {
        let id = self.streams.pop_front()?;
        Some(StreamReader::new(self.shared.clone(), id, mem::take(&mut self.watch)))
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        while let Some(reader) = self.take() {
            drop(reader);
        }
    }
}
