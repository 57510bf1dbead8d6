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

    /// Holds the network still: nothing arrives at either end, and neither end is told. So the timeouts of a program
    /// show. What is written waits, up to 64 KiB a direction; then the writer waits.
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
    /// Ready to go on with the stream itself, after the reader has left its waker. An error if the link is cut.
    fn poll_read_through(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_through(|waiting| waiting.reader = Some(cx.waker().clone()), true)
    }

    fn poll_write_through(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_through(|waiting| waiting.writer = Some(cx.waker().clone()), false)
    }

    fn poll_through(&self, wait: impl FnOnce(&mut Waiting), waits_while_held: bool) -> Poll<io::Result<()>> {
        let mut switch = lock(&self.switch);
        if switch.cuts > self.cuts {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, "the test has cut the network")));
        }
        wait(switch.waiting.entry(self.number).or_default());
        if waits_while_held && switch.is_held { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncRead for NetworkStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.poll_read_through(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_read(cx, buffer),
            held_or_cut => held_or_cut,
        }
    }
}

impl AsyncWrite for NetworkStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.poll_write_through(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_write(cx, bytes),
            Poll::Ready(Err(cut)) => Poll::Ready(Err(cut)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.poll_write_through(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_write_vectored(cx, slices),
            Poll::Ready(Err(cut)) => Poll::Ready(Err(cut)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_write_through(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_flush(cx),
            held_or_cut => held_or_cut,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_write_through(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_shutdown(cx),
            held_or_cut => held_or_cut,
        }
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
