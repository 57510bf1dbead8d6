//! `Streaming`: a stream as an argument or a result.

use std::{
    fmt,
    panic::Location,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use serde::de::DeserializeOwned;

use super::{NoFault, StreamSender, item::Decode, reader::StreamReader};
use crate::{
    contract::MethodDescriptor,
    error::CallError,
    logging::LogLimit,
    peer::{call::unfit, clock::now, encode::scan_limits},
    proto::StreamError,
    wire::{self, ScanLimits, WireError},
};

/// A stream of items as an argument or a result of a method: `Streaming<Post>`, or `Streaming<Post, ChatError>` if the
/// stream may end in a typed fault.
///
/// To send a stream, make it of any stream ([`Self::new`], [`Self::from_results`], [`Self::from_call_results`]), or
/// make a pair of a sender and a stream ([`Self::channel`]). To read a stream, treat it as a stream of
/// `Result<T, CallError<E>>`, or call [`Self::next`]. An error comes last:
///
/// | what comes last | why |
/// |---|---|
/// | nothing | the producer has finished the stream |
/// | [`CallError::Fault`] | the producer has ended the stream with a fault |
/// | a status that the producer chose | the producer has ended the stream with this status |
/// | [`Code::Aborted`] | the producer was dropped before it had finished the stream |
/// | [`Code::Cancelled`] | the stream is an argument of a call that has failed or was given up |
/// | [`Code::Unavailable`] | the session has ended, or one side shuts down |
/// | [`Code::OutOfRange`] | an item is longer, or holds more values, than the reader accepts |
/// | [`Code::ResourceExhausted`] | the memory for this session, or for all sessions of the server, is used up |
/// | [`Code::Internal`] | the producer has panicked, or an item or the fault does not fit its type |
///
/// The reader's [`crate::Config::max_payload`] bounds an item, as do its limits on payloads, and the reader's
/// [`crate::Config::session_memory`] bounds what a session holds.
///
/// [`Code::Aborted`]: crate::Code::Aborted
/// [`Code::Cancelled`]: crate::Code::Cancelled
/// [`Code::Unavailable`]: crate::Code::Unavailable
/// [`Code::OutOfRange`]: crate::Code::OutOfRange
/// [`Code::ResourceExhausted`]: crate::Code::ResourceExhausted
/// [`Code::Internal`]: crate::Code::Internal
///
/// All items that were sent before the end come before it. Dropping a stream that is read stops its producer, and drops
/// the stream that the producer was made of. If the stream is an argument, the call goes on.
///
/// # How far a producer may run ahead
///
/// A producer is polled only while its reader has room: initially [`crate::Config::stream_window`] bytes and
/// [`crate::Config::stream_items`] items, counted from the producer until the reader takes them. Of these, about
/// [`crate::Config::chunk`] bytes, and one longer item at most, wait at the producer's side. While the reader waits for
/// the window and not for the producer, the window doubles, up to [`crate::Config::max_stream_window`].
/// [`Self::with_window`] and `#[rpc(window = …)]` fix it. The guide says more about [streams](crate::guide::streams).
///
/// # Example
///
/// ```
/// use futures::stream;
/// use rpc_core::{Hosting, Status, Streaming, session::connect_in_memory};
///
/// #[rpc_core::service]
/// trait Numbers {
///     async fn up_to(&self, last: u32) -> Streaming<u32>;
///     async fn sum(&self, numbers: Streaming<u32>) -> Result<u32, Status>;
/// }
///
/// struct Abacus;
///
/// impl Numbers for Abacus {
///     async fn up_to(&self, last: u32) -> Streaming<u32> {
///         Streaming::new(stream::iter(1..=last))
///     }
///
///     async fn sum(&self, mut numbers: Streaming<u32>) -> Result<u32, Status> {
///         let mut sum = 0;
///         while let Some(number) = numbers.next().await {
///             sum += number?;
///         }
///         Ok(sum)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = Hosting::builder().service(Abacus.serve()).build()?;
/// # let (_server, session) = connect_in_memory(&server, &Hosting::default());
/// # let numbers: NumbersClient = session.client();
/// let mut received = numbers.up_to(2).await?;
/// assert_eq!(received.next().await, Some(Ok(1)));
/// assert_eq!(received.next().await, Some(Ok(2)));
/// assert_eq!(received.next().await, None);
///
/// // The client takes any stream of items as an argument, and a `Streaming` too.
/// assert_eq!(numbers.sum(stream::iter([1, 2, 3])).await?, 6);
/// let four = numbers.up_to(4).await?;
/// assert_eq!(numbers.sum(four).await?, 10);
/// # Ok(())
/// # }
/// ```
pub struct Streaming<T, E = NoFault> {
    inner: Inner<T, E>,
}

enum Inner<T, E> {
    /// The stream is produced at this side. The mutex is never locked; it makes a stream `Sync` that is not.
    Local(Mutex<BoxStream<'static, Result<T, CallError<E>>>>),
    /// The stream is produced at the other side.
    Remote(Remote<T, E>),
    Over,
}

struct Remote<T, E> {
    reader: StreamReader,
    method: &'static MethodDescriptor,
    item: fn(Bytes, &ScanLimits) -> Result<T, WireError>,
    fault: fn(Bytes, &ScanLimits) -> Result<E, WireError>,
}

impl<T: Send + 'static, E: Send + 'static> Streaming<T, E> {
    /// Makes a stream of items without faults.
    pub fn new(stream: impl Stream<Item = T> + Send + 'static) -> Self {
        Self::from_call_results(stream.map(Ok))
    }

    /// Makes a stream of items that may end in a typed fault. The source is not polled after the first fault.
    pub fn from_results(stream: impl Stream<Item = Result<T, E>> + Send + 'static) -> Self {
        Self::from_call_results(stream.map(|item| item.map_err(CallError::Fault)))
    }

    /// Makes a stream of results such as a reader gets, for instance of a received stream whose items were mapped. The
    /// end of the source is passed on. The source is not polled after the first error.
    pub fn from_call_results(stream: impl Stream<Item = Result<T, CallError<E>>> + Send + 'static) -> Self {
        Self { inner: Inner::Local(Mutex::new(stream.boxed())) }
    }

    /// Makes a sender and the stream that it feeds, with room for `capacity` items (at least 1) between them, beside
    /// the window.
    pub fn channel(capacity: usize) -> (StreamSender<T, E>, Self) {
        let (sender, stream) = StreamSender::channel(capacity);
        (sender, Self::from_call_results(stream))
    }
}

impl<T, E> Streaming<T, E> {
    /// Makes a stream without items.
    pub fn empty() -> Self {
        Self { inner: Inner::Over }
    }

    /// Fixes the window of a stream that is read here: how many bytes may be under way or wait to be read, where each
    /// item counts 32 bytes beside its own. A window of 0 counts as 1, which lets one item through at a time.
    ///
    /// It acts at any time, also between two items, and again with another window. The producer may have used more by
    /// then: the initial window of [`crate::Config::stream_window`], or the window before; `#[rpc(window = …)]` holds
    /// from the first item instead. The producer gets new credit as soon as the new window has room beside what is
    /// under way and unread.
    ///
    /// Only the side that reads a stream can fix its window. On a stream that is produced here this does nothing, and
    /// logs a warning with the place of the call. A stream that has ended needs no window.
    #[must_use]
    #[track_caller]
    pub fn with_window(mut self, bytes: usize) -> Self {
        match &mut self.inner {
            Inner::Remote(remote) => remote.reader.set_window(bytes),
            Inner::Local(_) => warn_of_window(Location::caller()),
            Inner::Over => {}
        }
        self
    }

    /// The next item. An error is the last value. `None` means that the stream was finished, or has failed before.
    /// Dropping the future loses no item.
    pub async fn next(&mut self) -> Option<Result<T, CallError<E>>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Makes a `Streaming` of a stream that the other side produces.
    pub(crate) fn remote<D>(reader: StreamReader, method: &'static MethodDescriptor) -> Self
    where
        D: Decode<Value = T>,
        E: DeserializeOwned,
    {
        let fault = |bytes: Bytes, limits: &ScanLimits| wire::decode(&bytes, limits);
        let mut reader = reader;
        if let Some(window) = method.window() {
            reader.set_window(window);
        }
        Self { inner: Inner::Remote(Remote { reader, method, item: D::decode, fault }) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError<E>>>> {
        let next = match &mut self.inner {
            Inner::Local(stream) => stream.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(cx),
            Inner::Remote(remote) => remote.poll_next(cx),
            Inner::Over => Poll::Ready(None),
        };
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.inner = Inner::Over;
        }
        next
    }
}

impl<T, E> Remote<T, E> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError<E>>>> {
        let Poll::Ready(next) = self.reader.poll_next(cx) else { return Poll::Pending };
        let limits = scan_limits(&self.reader.shared().config);
        let mismatch = |what: &str, error: WireError| {
            CallError::Status(unfit(&format!("{what} of a stream of {}", self.method), &error))
        };
        Poll::Ready(next.map(|next| match next {
            Ok(item) => (self.item)(item, &limits).map_err(|error| mismatch("an item", error)),
            Err(StreamError::Status(status)) => Err(CallError::Status(status)),
            Err(StreamError::Fault(fault)) => {
                Err((self.fault)(fault, &limits).map_or_else(|error| mismatch("the fault", error), CallError::Fault))
            }
        }))
    }
}

fn warn_of_window(at: &Location<'_>) {
    static NO_WINDOW: LogLimit = LogLimit::new();
    if let Some(more) = NO_WINDOW.admit(now()) {
        tracing::warn!(
            %at,
            "Streaming::with_window does nothing to a stream that is produced here: only the side that reads a stream \
             can fix its window, with `with_window` there or with #[rpc(window = …)] on the method{more}"
        );
    }
}

const _: () = {
    const fn is_shared<S: Send + Sync>() {}
    // A hosted object may keep a stream of items of any type.
    is_shared::<Streaming<std::cell::Cell<u8>, std::cell::Cell<u8>>>();
};

/// The contents are boxed, so a stream may be moved while it is pinned.
impl<T, E> Unpin for Streaming<T, E> {}

impl<T, E> Stream for Streaming<T, E> {
    type Item = Result<T, CallError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl<T, E> Default for Streaming<T, E> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T, E> fmt::Debug for Streaming<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match &self.inner {
            Inner::Local(_) => "here",
            Inner::Remote(_) => "the other side",
            Inner::Over => "nowhere",
        };
        f.debug_struct("Streaming").field("from", &from).finish_non_exhaustive()
    }
}

/// A value that a client takes for an argument of type `Streaming<T, E>`: any stream of `T`, or a [`Streaming`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a stream of `{T}`",
    note = "pass a stream whose items are `{T}`, or a `Streaming`: see `Streaming::new`, `Streaming::from_results` and `Streaming::channel`",
    note = "`futures::stream::iter` makes a stream of a `Vec`, `tokio_stream::wrappers::ReceiverStream` of a receiver"
)]
pub trait IntoStreaming<T, E>: Send + 'static {
    /// The stream.
    fn into_streaming(self) -> Streaming<T, E>;
}

impl<T, E, S> IntoStreaming<T, E> for S
where
    T: Send + 'static,
    E: Send + 'static,
    S: Stream<Item = T> + Send + 'static,
{
    fn into_streaming(self) -> Streaming<T, E> {
        Streaming::new(self)
    }
}

impl<T, E> IntoStreaming<T, E> for Streaming<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    fn into_streaming(self) -> Self {
        self
    }
}
