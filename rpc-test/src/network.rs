//! `Network`: streams in memory, which a test can cut and hold still.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// What each direction of a stream holds before its writer has to wait, in bytes; the buffers of a socket hold more.
const BUFFER: usize = 64 * 1024;

/// A network in memory, between the ends that a test runs. Cheap to clone; all clones are the same network.
///
/// Everything written at one end of a [pair](Self::pair) arrives at the other end, until the test [cuts](Self::cut) the
/// network, which breaks all links over it, or [holds](Self::hold) it still. Pairs that are made after a cut work: so a
/// program under test can connect anew.
///
/// ```
/// use rpc_test::Network;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let network = Network::new();
/// let (mut near, mut far) = network.pair();
/// near.write_all(b"knock").await?;
/// let mut heard = [0; 5];
/// far.read_exact(&mut heard).await?;
///
/// network.cut();
/// assert!(near.write_all(b"knock").await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Network {
    switch: Arc<Mutex<Switch>>,
}

#[derive(Debug, Default)]
struct Switch {
    is_held: bool,
    /// How often the network has been cut: a stream that is older than the last cut is broken.
    cuts: u64,
    /// The number of the next end.
    next: u64,
    /// What waits at each end, by its number.
    waiting: BTreeMap<u64, Waiting>,
}

/// The tasks that wait for an end of a stream.
#[derive(Debug, Default)]
struct Waiting {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Network {
    /// Makes a network that carries what is written.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes both ends of a stream over the network. Each direction holds 64 KiB before its writer has to wait.
    ///
    /// An end that is dropped ends the stream, as a socket does that is closed: the other end reads what was written
    /// before, and then the end.
    pub fn pair(&self) -> (NetworkStream, NetworkStream) {
        let (near, far) = duplex(BUFFER);
        (self.end(near), self.end(far))
    }

    /// Breaks every link over the network at once, without a goodbye, as when a cable is pulled and both systems have
    /// noticed it. What is under way is lost. Reading and writing at either end fail with
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset), and sessions end with
    /// [`ConnectionError::Lost`](rpc_core::ConnectionError::Lost).
    ///
    /// Streams that are made later work. A network that is [held](Self::hold) stays held.
    pub fn cut(&self) {
        self.change(|switch| switch.cuts += 1);
    }

    /// Holds the network still: nothing arrives at either end, and neither end is told, also if the other one is
    /// dropped. So the timeouts of a program show. What is written waits, up to 64 KiB a direction; then the writer
    /// waits.
    pub fn hold(&self) {
        lock(&self.switch).is_held = true;
    }

    /// Lets everything arrive again that [`hold`](Self::hold) has held up.
    pub fn release(&self) {
        self.change(|switch| switch.is_held = false);
    }

    /// Whether the network is held still.
    pub fn is_held(&self) -> bool {
        lock(&self.switch).is_held
    }

    fn end(&self, inner: DuplexStream) -> NetworkStream {
        let mut switch = lock(&self.switch);
        let number = switch.next;
        switch.next += 1;
        switch.waiting.insert(number, Waiting::default());
        NetworkStream { inner, switch: Arc::clone(&self.switch), cuts: switch.cuts, number }
    }

    /// Changes the state, and wakes what waits at any end.
    fn change(&self, how: impl FnOnce(&mut Switch)) {
        let woken: Vec<_> = {
            let mut switch = lock(&self.switch);
            how(&mut switch);
            let ends = switch.waiting.values_mut();
            ends.flat_map(|end| [end.reader.take(), end.writer.take()]).flatten().collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

/// One end of a stream over a [`Network`].
#[derive(Debug)]
pub struct NetworkStream {
    inner: DuplexStream,
    switch: Arc<Mutex<Switch>>,
    /// How often the network had been cut when the stream was made.
    cuts: u64,
    number: u64,
}

impl NetworkStream {
    /// Leaves the task's waker, and says whether the network is held. An error if the link is cut.
    fn wait(&self, cx: &Context<'_>, place: fn(&mut Waiting) -> &mut Option<Waker>) -> io::Result<bool> {
        // A waker is user code: it is cloned and dropped outside the lock.
        let waker = cx.waker().clone();
        let mut switch = lock(&self.switch);
        if switch.cuts > self.cuts {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the test has cut the network"));
        }
        let older = place(switch.waiting.entry(self.number).or_default()).replace(waker);
        let is_held = switch.is_held;
        drop(switch);
        drop(older);
        Ok(is_held)
    }

    /// Goes on with the stream itself, for a writer.
    fn poll_writer<T>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut DuplexStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let is_held = self.wait(cx, |waiting| &mut waiting.writer)?;
        match poll(Pin::new(&mut self.inner), cx) {
            // That the other end is gone does not arrive either.
            Poll::Ready(Err(_)) if is_held => Poll::Pending,
            polled => polled,
        }
    }
}

impl AsyncRead for NetworkStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let is_held = self.wait(cx, |waiting| &mut waiting.reader)?;
        if is_held { Poll::Pending } else { Pin::new(&mut self.inner).poll_read(cx, buffer) }
    }
}

impl AsyncWrite for NetworkStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_writer(cx, |inner, cx| inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_writer(cx, |inner, cx| inner.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_writer(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_writer(cx, |inner, cx| inner.poll_shutdown(cx))
    }
}

impl Drop for NetworkStream {
    fn drop(&mut self) {
        // A waker is user code: it is dropped outside the lock.
        let waiting = lock(&self.switch).waiting.remove(&self.number);
        drop(waiting);
    }
}

fn lock(switch: &Mutex<Switch>) -> MutexGuard<'_, Switch> {
    switch.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A waker that holds an end of a stream, as the waker of a task may.
    struct Holder(#[allow(dead_code, reason = "it is there to be dropped")] NetworkStream);

    impl Wake for Holder {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn no_waker_is_dropped_under_the_lock() {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let network = Network::new();
            let ((mut near, _far), (other, _)) = (network.pair(), network.pair());
            let holder = Waker::from(Arc::new(Holder(other)));
            let mut poll = |waker: &Waker| {
                let (mut byte, cx) = ([0], &mut Context::from_waker(waker));
                let _ = Pin::new(&mut near).poll_read(cx, &mut ReadBuf::new(&mut byte));
                let _ = Pin::new(&mut near).poll_write(cx, &byte);
            };
            poll(&holder);
            // The network and the buffers keep the last two references.
            drop(holder);
            poll(Waker::noop());
            let _ = tell.send(());
        });
        told.recv_timeout(std::time::Duration::from_secs(10)).expect("the network does not wait for itself");
    }

    #[tokio::test]
    async fn over_a_network_that_is_held_no_end_hears_that_the_other_is_gone() {
        let network = Network::new();
        let (mut near, far) = network.pair();
        network.hold();
        drop(far);
        assert!(near.write_all(b"knock").now_or_never().is_none(), "the write waits");
        assert!(near.flush().now_or_never().is_none_or(|flushed| flushed.is_ok()));
        let write = tokio::spawn(async move { near.write_all(b"knock").await });
        tokio::task::yield_now().await;
        assert!(!write.is_finished());
        network.release();
        assert_eq!(write.await.expect("no panic").expect_err("the end is gone").kind(), io::ErrorKind::BrokenPipe);
    }
}
