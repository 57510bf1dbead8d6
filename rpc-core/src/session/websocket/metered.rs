//! `Metered`: the stream beneath the WebSocket. It counts bytes, and limits the bytes and the frames of each round.

use std::{
    io::{self, Write},
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{framing::Framing, pool::READ};
use crate::session::yield_now::yield_now;

/// The number of bytes that one round may read, so that a busy connection does not starve others on its thread. A
/// packet with one whole chunk ends in a round.
const ROUND: usize = 3 * READ;
/// The bytes that a frame counts in a round beside its own, if the frame does not end its message. The WebSocket
/// library goes from one such frame to the next without a stop in between, and a frame without bytes costs as much work
/// as a short message.
const PART: usize = 64;
/// Fragments that have fewer bytes than this on average, headers included, are very short …
const SHORT_PART: usize = 32;
/// … and once they have come, no read is longer than this, because the library looks at all that has been read.
const SHORT_READ: usize = 4 * 1024;

/// The task that reads and writes a stream, and whether the stream may have something for it.
#[derive(Debug)]
struct Readiness {
    /// False from a read that found nothing until the stream wakes the task.
    may_read: AtomicBool,
    task: Mutex<Waker>,
}

impl Readiness {
    fn task(&self) -> MutexGuard<'_, Waker> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Readiness {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the wake, so that the poll that follows from it reads.
        self.may_read.store(true, Ordering::Release);
        let task = self.task().clone();
        task.wake();
    }
}

/// Reads from an asynchronous stream, and adapts the stream to the non-blocking `Write` that the WebSocket library
/// expects: an operation that would wait fails with `WouldBlock`. Counts every byte.
///
/// One task polls both directions, so both share one waker.
#[derive(Debug)]
pub(crate) struct Metered<IO> {
    io: IO,
    /// The task that is woken.
    task: Waker,
    readiness: Arc<Readiness>,
    /// Wakes the task by way of `readiness`.
    waker: Waker,
    round: usize,
    /// The most bytes that one read may take.
    longest_read: usize,
    framing: Framing,
    received: u64,
    sent: u64,
    writes: u64,
}

impl<IO> Metered<IO> {
    /// Wraps a stream whose first bytes, `leftover`, were read before.
    pub(crate) fn new(io: IO, leftover: &[u8]) -> Self {
        Self::with(io, leftover, Framing::default())
    }

    /// As [`new`](Self::new), and checks text while it comes.
    #[cfg(feature = "raw")]
    pub(crate) fn checking_text(io: IO, leftover: &[u8]) -> Self {
        Self::with(io, leftover, Framing::checking_text())
    }

    fn with(io: IO, leftover: &[u8], mut framing: Framing) -> Self {
        framing.advance(leftover);
        let received = leftover.len() as u64;
        let task = Waker::noop().clone();
        let readiness = Arc::new(Readiness { may_read: AtomicBool::new(true), task: Mutex::new(task.clone()) });
        let waker = Waker::from(readiness.clone());
        let (round, longest_read) = (ROUND, ROUND);
        Self { io, task, readiness, waker, round, longest_read, framing, received, sent: 0, writes: 0 }
    }

    /// Sets the waker for all reads and writes that block from here on.
    #[inline]
    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        if !self.task.will_wake(waker) {
            self.task.clone_from(waker);
            let old = mem::replace(&mut *self.readiness.task(), waker.clone());
            drop(old);
        }
    }

    /// Whether there may be something to read. If not, a read would find nothing, and the stream wakes the task when
    /// that changes.
    #[inline]
    pub(crate) fn may_read(&self) -> bool {
        self.readiness.may_read.load(Ordering::Acquire)
    }

    /// Grants the next round's budget for reading.
    pub(crate) fn begin_round(&mut self) {
        self.round = ROUND;
    }

    pub(crate) fn framing(&self) -> &Framing {
        &self.framing
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Metered<IO> {
    /// Ends the writing side.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Discards input, without a look at its frames. Ready at the end of the stream or at an error.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (mut scrap, mut taken) = ([0; 4096], 0);
        while taken < ROUND {
            let mut buf = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => taken += buf.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        yield_now(cx);
        Poll::Pending
    }
}

impl<IO: AsyncRead + Unpin> Metered<IO> {
    /// Reads what there is, up to the bounds of a round.
    pub(crate) fn poll_read(&mut self, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.round == 0 {
            yield_now(&mut Context::from_waker(&self.waker));
            return Poll::Pending;
        }
        let most = into.len().min(self.round).min(self.longest_read);
        let mut buf = ReadBuf::new(&mut into[..most]);
        // What sets this from here on may be something that this read does not find.
        self.readiness.may_read.swap(false, Ordering::AcqRel);
        let polled = Pin::new(&mut self.io).poll_read(&mut Context::from_waker(&self.waker), &mut buf);
        // A stream should not fail so; one that does wakes the task, as if it were pending.
        let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if polled.is_pending() || matches!(&polled, Poll::Ready(Err(error)) if would_block(error)) {
            return Poll::Pending;
        }
        self.readiness.may_read.store(true, Ordering::Release);
        polled.map_ok(|()| {
            let read = buf.filled();
            let before = self.framing.parts();
            self.framing.advance(read);
            let parts = usize::try_from(self.framing.parts() - before).unwrap_or(usize::MAX);
            if parts.saturating_mul(SHORT_PART) > read.len() {
                self.longest_read = SHORT_READ;
            }
            self.round = self.round.saturating_sub(read.len()).saturating_sub(parts.saturating_mul(PART));
            self.received += read.len() as u64;
            read.len()
        })
    }
}

impl<IO: AsyncWrite + Unpin> Write for Metered<IO> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut self.io).poll_write(&mut Context::from_waker(&self.waker), bytes) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(written)) => {
                self.sent += written as u64;
                self.writes += u64::from(written > 0);
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match Pin::new(&mut self.io).poll_flush(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(result) => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use tokio::io::AsyncWriteExt;

    use super::{super::framing::FIN, *};

    #[derive(Default)]
    struct CountingWaker(AtomicUsize);

    impl Wake for CountingWaker {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_round_reads_its_budget_and_then_wakes_for_the_next_after_others_had_their_turn() {
        let (near, mut far) = tokio::io::duplex(4 * ROUND);
        // Whole frames, each of which ends its message.
        far.write_all(&vec![FIN; 2 * ROUND]).await.unwrap();
        let wakes = Arc::new(CountingWaker::default());
        let mut metered = Metered::new(near, &[]);
        metered.set_waker(&Waker::from(Arc::clone(&wakes)));
        let mut buf = vec![0; 3 * ROUND];
        assert!(matches!(metered.poll_read(&mut buf), Poll::Ready(Ok(ROUND))));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        assert!(metered.poll_read(&mut buf).is_pending());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        tokio::task::yield_now().await;
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        metered.begin_round();
        assert!(matches!(metered.poll_read(&mut buf), Poll::Ready(Ok(ROUND))));
        assert_eq!(metered.received(), 2 * ROUND as u64);
    }

    #[tokio::test]
    async fn after_a_read_that_found_nothing_there_is_something_when_the_stream_wakes_the_task() {
        let (near, mut far) = tokio::io::duplex(100);
        let mut metered = Metered::new(near, &[]);
        let mut buf = [0; 100];
        let [first, second] = [(); 2].map(|()| Arc::<CountingWaker>::default());
        metered.set_waker(&Waker::from(first.clone()));
        assert!(metered.may_read(), "nothing has been read yet");
        assert!(metered.poll_read(&mut buf).is_pending() && !metered.may_read());
        // The task of the last poll is woken, also if it did not read.
        metered.set_waker(&Waker::from(second.clone()));
        far.write_all(&[FIN]).await.unwrap();
        assert_eq!([&first, &second].map(|wakes| wakes.0.load(Ordering::Relaxed)), [0, 1]);
        assert!(metered.may_read());
        assert!(matches!(metered.poll_read(&mut buf), Poll::Ready(Ok(1))) && metered.may_read());
        assert!(metered.poll_read(&mut buf).is_pending() && !metered.may_read());
    }

    #[tokio::test]
    async fn writes_are_counted_by_calls_that_moved_bytes() {
        let (near, _far) = tokio::io::duplex(100);
        let mut metered = Metered::new(near, &[]);
        assert_eq!(metered.write(&[0; 60]).unwrap(), 60);
        assert_eq!(metered.write(&[0; 60]).unwrap(), 40);
        assert_eq!(metered.write(&[0; 60]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!((metered.sent(), metered.writes()), (100, 2));
    }
}
