//! `StreamWriter`: the producing end of a stream, and the task that sends its items.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::{StreamExt, stream::BoxStream};
use serde::Serialize;

use super::{IntoStreaming, item::Encode, sender::dropped, watch::StreamWatch};
use crate::{
    contract::MethodDescriptor,
    error::CallError,
    logging::LogLimit,
    panics::{Panicked, catch, let_go},
    peer::{
        Reservation, WaitingValue, clock::now, encode::encode, shared::SessionShared, slow::watch_poll,
        watchdog::Polled,
    },
    proto::{ITEM, LongState, Released, StreamEnd, StreamError, StreamRoom},
    status::Status,
    text::excerpt,
    wire::{Rope, Streams, TransferId},
};

/// The largest number of items in a batch that is handed to the connection.
const BATCH_ITEMS: usize = 512;
/// A producer that has nothing to send keeps room for at most this many items.
const FEW_ITEMS: usize = 64;

/// An encoded item.
enum Made {
    Short(Rope),
    Long(LongItem),
}

/// An item that is longer than a chunk. While the item waits, its bytes are dropped; the item is encoded again when it
/// may be sent.
struct LongItem {
    len: usize,
    bytes: Option<Rope>,
    encode: Box<dyn FnMut() -> Result<Rope, String> + Send>,
}

/// The encoded items of a stream. The user's stream in here may panic when it is polled and when it is dropped.
struct Items(Option<BoxStream<'static, Result<Made, Failed>>>);

impl Items {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Result<Poll<Option<Result<Made, Failed>>>, Panicked> {
        match &mut self.0 {
            Some(items) => catch(|| items.poll_next_unpin(cx)),
            None => Ok(Poll::Ready(None)),
        }
    }

    fn let_go(&mut self) {
        if let Some(items) = self.0.take() {
            let_go(items, "a stream");
        }
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Makes the stream of items, given the length of a chunk.
type Make = Box<dyn FnOnce(usize) -> BoxStream<'static, Result<Made, Failed>> + Send>;

/// A stream that has not been polled. It may panic when it is dropped.
struct Unstarted(Option<Make>);

impl Unstarted {
    fn start(mut self, chunk: usize) -> Items {
        Items(self.0.take().map(|make| make(chunk)))
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(make) = self.0.take() {
            let_go(make, "a stream");
        }
    }
}

/// Why a stream has no more items.
enum Failed {
    /// The user's stream has ended with an error.
    End(StreamError),
    /// An item or the fault does not serialize. The strings name this part and hold serde's message.
    Unencodable(&'static str, String),
}

/// A stream that is to be sent.
pub struct StreamWriter {
    method: &'static MethodDescriptor,
    items: Unstarted,
    pub(super) watch: StreamWatch,
}

impl StreamWriter {
    /// Makes a writer of any stream, for an argument or the result of `method`.
    pub fn new<C, E>(stream: impl IntoStreaming<C::Value, E>, method: &'static MethodDescriptor) -> Self
    where
        C: Encode,
        E: Serialize + Send + 'static,
    {
        let stream = stream.into_streaming();
        let make = move |chunk, item| match item {
            Ok(value) => made::<C>(value, chunk).map_err(|why| Failed::Unencodable("an item", why)),
            Err(CallError::Fault(fault)) => Err(match encode(&fault) {
                Ok(fault) => Failed::End(StreamError::Fault(fault)),
                Err(why) => Failed::Unencodable("the fault", why),
            }),
            Err(CallError::Status(status)) => Err(Failed::End(StreamError::Status(status.leaving_a_handler()))),
        };
        let make: Make = Box::new(move |chunk| stream.map(move |item| make(chunk, item)).boxed());
        Self { method, items: Unstarted(Some(make)), watch: StreamWatch::default() }
    }
}

fn made<C: Encode>(value: C::Value, chunk: usize) -> Result<Made, String> {
    let value = C::ready(value);
    let bytes = C::encode(&value)?;
    if bytes.len() <= chunk {
        return Ok(Made::Short(bytes));
    }
    Ok(Made::Long(LongItem { len: bytes.len(), bytes: Some(bytes), encode: Box::new(move || C::encode(&value)) }))
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamWriter")
    }
}

/// Begins to produce the streams, each in a task of its own. Writers without an id in `streams` are dropped.
pub(crate) fn start(shared: &Arc<SessionShared>, streams: &Streams, writers: impl IntoIterator<Item = StreamWriter>) {
    let chunk = shared.chunk();
    for (id, writer) in streams.iter().zip(writers) {
        shared.producer_started();
        let StreamWriter { method, items, watch } = writer;
        let (items, ready) = (items.start(chunk), VecDeque::new());
        let pump = Pump { shared: shared.clone(), id: *id, method, items, ready, ended: false, watch };
        match &shared.facts.runtime {
            Some(runtime) => drop(runtime.spawn(pump.run())),
            None => drop(pump),
        }
    }
}

/// Moves the items of one stream to the connection.
struct Pump {
    shared: Arc<SessionShared>,
    id: TransferId,
    method: &'static MethodDescriptor,
    items: Items,
    ready: VecDeque<(Rope, u32)>,
    /// The other side knows of the end of the stream, or has stopped reading.
    ended: bool,
    watch: StreamWatch,
}

/// The outcome of a wait for items.
enum Gathered {
    /// Items are ready to be handed over.
    Items,
    /// A long item follows the items that are ready, if any.
    Long(LongItem),
    /// The stream ends after the items that are ready, if any.
    End(StreamEnd),
    /// The reader wants no more.
    Closed,
}

impl Pump {
    async fn run(mut self) {
        let (shared, polled) = (self.shared.clone(), Polled::Stream(self.method));
        loop {
            let mut claimed = None;
            let gathered = poll_fn(|cx| {
                let id = self.id;
                let room = match claimed {
                    Some(room) => room,
                    None => match shared.with(|locked| locked.connection.poll_stream(id, cx.waker())) {
                        None => return Poll::Ready(Gathered::Closed),
                        Some(room) if room.items == 0 => return Poll::Pending,
                        Some(room) => *claimed.insert(room),
                    },
                };
                let before = Instant::now();
                let gathered = shared.polling(polled, || self.poll_gather(cx, room));
                watch_poll(&shared, polled, before.elapsed());
                if gathered.is_pending() {
                    // The connection has given the claimed room to other streams, so it must be claimed again.
                    claimed = None;
                }
                gathered
            })
            .await;
            let end = match gathered {
                Gathered::Items => None,
                Gathered::Long(item) => {
                    if !self.hand_over().await || !self.send_long(item).await {
                        break;
                    }
                    None
                }
                Gathered::End(end) => Some(end),
                Gathered::Closed => break,
            };
            if !self.hand_over().await {
                break;
            }
            if let Some(end) = end {
                self.finish(end);
                return;
            }
            tokio::task::yield_now().await;
        }
        self.ended = true;
        if let Some(error) = self.shared.look(|connection| connection.ended().cloned()) {
            self.watch.note(&Err(StreamError::Status(Status::unavailable(format!("the stream was cut off: {error}")))));
        }
    }

    /// Polls for items, at most as many as there is room for.
    fn poll_gather(&mut self, cx: &mut Context<'_>, room: StreamRoom) -> Poll<Gathered> {
        let largest = self.shared.limits().map_or(u64::MAX, |limits| limits.payload);
        let too_long = |len: usize| {
            let message = format!(
                "an item of the stream is {len} bytes long, and the other side takes {largest} at most (Config::max_payload there)"
            );
            Poll::Ready(Gathered::End(Err(StreamError::Status(Status::out_of_range(message)))))
        };
        let mut bytes = 0;
        while self.ready.len() < room.items.min(BATCH_ITEMS) && bytes < room.bytes {
            match self.poll_item(cx) {
                Poll::Ready(Some(Ok(Made::Short(item)))) if item.len() as u64 > largest => return too_long(item.len()),
                Poll::Ready(Some(Ok(Made::Long(item)))) if item.len as u64 > largest => return too_long(item.len),
                Poll::Ready(Some(Ok(Made::Long(item)))) => return Poll::Ready(Gathered::Long(item)),
                Poll::Ready(Some(Ok(Made::Short(item)))) => {
                    bytes += item.len() + ITEM;
                    self.watch.count(item.len());
                    self.ready.push_back((item, 0));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Gathered::End(Err(error))),
                Poll::Ready(None) => return Poll::Ready(Gathered::End(Ok(()))),
                Poll::Pending if self.ready.is_empty() => {
                    if self.ready.capacity() > FEW_ITEMS {
                        // There may be no further item for long.
                        self.ready = VecDeque::new();
                    }
                    // The claimed room goes to other streams. The end of the stream wakes this task as well.
                    let id = self.id;
                    let wanted = self.shared.with(|locked| locked.connection.idle_stream(id, cx.waker()));
                    return if wanted { Poll::Pending } else { Poll::Ready(Gathered::Closed) };
                }
                Poll::Pending => break,
            }
        }
        Poll::Ready(Gathered::Items)
    }

    /// Polls the user's stream. A panic ends the stream with a status that does not carry the panic's message.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Made, StreamError>>> {
        let Ok(next) = self.items.poll_next(cx) else {
            let (contract, method) = (self.method.contract(), self.method.name());
            tracing::error!(session = %self.shared.id, contract, method, "a stream panicked");
            let status = Status::internal(format!("the producer of a stream of {} panicked", self.method));
            return Poll::Ready(Some(Err(StreamError::Status(status))));
        };
        next.map_err(|failed| match failed {
            Failed::End(error) => error,
            Failed::Unencodable(what, why) => self.unencodable(what, &why),
        })
    }

    fn unencodable(&self, what: &str, why: &str) -> StreamError {
        let (session, contract, method) = (self.shared.id, self.method.contract(), self.method.name());
        static UNENCODABLE: LogLimit = LogLimit::new();
        if let Some(more) = UNENCODABLE.admit(now()) {
            let why = excerpt(why);
            tracing::error!(%session, contract, method, %why, "{what} of a stream does not serialize{more}");
        }
        StreamError::Status(Status::internal(format!(
            "{what} of a stream of {} does not serialize: {why}",
            self.method
        )))
    }

    /// Hands the ready items to the connection. False if the stream has ended.
    async fn hand_over(&mut self) -> bool {
        while !self.ready.is_empty() {
            let (id, ready) = (self.id, &mut self.ready);
            if !self.shared.act(|connection| connection.push_items(now(), id, ready)) {
                return false;
            }
            if !self.ready.is_empty() && wait(&self.shared, self.id).await.is_none() {
                return false;
            }
        }
        true
    }

    /// Sends an item that is longer than a chunk, once there is credit for the item and room in the budget of
    /// transfers. The bytes of the item are not kept during that wait. False if the stream has ended.
    async fn send_long(&mut self, mut item: LongItem) -> bool {
        let (id, len) = (self.id, item.len);
        let shared = self.shared.clone();
        let mut waits = None;
        loop {
            let claimed = poll_fn(|cx| {
                let claimed = self.shared.with(|locked| locked.connection.poll_long_item(id, len, cx.waker()));
                if claimed == Some(false) {
                    item.bytes = None;
                    waits.get_or_insert_with(|| WaitingValue::new(&shared, len));
                    return Poll::Pending;
                }
                Poll::Ready(claimed.is_some())
            });
            if !claimed.await {
                return false;
            }
            let mut reservation = Reservation::new(self.shared.clone());
            if !reservation.try_transfer(len) {
                item.bytes = None;
                waits.get_or_insert_with(|| WaitingValue::new(&shared, len));
                if !reserve(&self.shared, id, len, &mut reservation).await {
                    return false;
                }
            }
            let bytes = match item.bytes.take().map_or_else(|| encode_again(&mut item), Ok) {
                Ok(bytes) => bytes,
                Err(why) => {
                    let error = self.unencodable("an item", &why);
                    self.finish(Err(error));
                    return false;
                }
            };
            waits = None;
            self.watch.count(len);
            self.ready.push_back((bytes, reservation.take_transfer()));
            if !self.hand_over().await {
                return false;
            }
            let sent = poll_fn(|cx| match self.shared.look(|connection| connection.poll_long(id, cx.waker())) {
                Some(LongState::Waits) => Poll::Pending,
                sent => Poll::Ready(sent),
            });
            match sent.await {
                Some(LongState::Returned) => {}
                sent => return sent.is_some(),
            }
        }
    }

    fn finish(&mut self, end: StreamEnd) {
        self.ended = true;
        self.watch.note(&end);
        let id = self.id;
        self.shared.act(|connection| connection.finish_stream(now(), id, end));
    }
}

/// Waits until the reader takes items, and returns the room for them. `None` if the reader wants no more.
async fn wait(shared: &SessionShared, id: TransferId) -> Option<StreamRoom> {
    poll_fn(|cx| match shared.with(|locked| locked.connection.poll_stream(id, cx.waker())) {
        Some(room) if room.items == 0 => Poll::Pending,
        room => Poll::Ready(room),
    })
    .await
}

/// Waits until the budget of transfers has room for a long item. False if the stream has ended.
async fn reserve(
    shared: &Arc<SessionShared>,
    id: TransferId,
    len: usize,
    reservation: &mut Reservation<Arc<SessionShared>>,
) -> bool {
    let mut reserved = pin!(reservation.transfer(len));
    poll_fn(|cx| {
        if let Poll::Ready(reserved) = reserved.as_mut().poll(cx) {
            return Poll::Ready(reserved.is_ok());
        }
        let wanted = shared.look(|connection| connection.watch_stream(id, cx.waker()));
        if wanted { Poll::Pending } else { Poll::Ready(false) }
    })
    .await
}

/// Encodes a long item again. The first time did not panic; a panic now counts as a value that does not serialize.
fn encode_again(item: &mut LongItem) -> Result<Rope, String> {
    catch(|| (item.encode)()).unwrap_or_else(|Panicked| Err("it panicked".to_owned()))
}

impl Drop for Pump {
    fn drop(&mut self) {
        // `send_long` holds a reservation for an item that is not in `ready` yet. The reservation gives its share back
        // itself.
        let transfers = self.ready.drain(..).map(|(_, charge)| charge as usize).sum();
        self.shared.give_back(Released { transfers, ..Released::default() });
        if !self.ended {
            self.finish(Err(StreamError::Status(dropped())));
        }
        // The user's stream must be dropped before the session counts the producer as ended.
        self.items.let_go();
        self.shared.producer_ended();
    }
}
