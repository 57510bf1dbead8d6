//! `Outlet`: the end of a stream where it is produced, and the task that moves its items out.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde::Serialize;

use super::{IntoStreaming, item::Encode, sender::dropped};
use crate::{
    contract::MethodDescriptor,
    error::CallError,
    peer::{
        Reservation,
        clock::now,
        encode::encode,
        shared::Shared,
        slow::{Polled, watch_poll},
    },
    proto::{ITEM, Long, Released, StreamEnd, StreamError, StreamRoom},
    status::Status,
    wire::{Rope, Streams, TransferId},
};

/// Items are handed over in batches of so many at most.
const BATCH_ITEMS: usize = 512;

/// The items of a stream, encoded.
type Items = BoxStream<'static, Result<Rope, Failed>>;

/// Why a stream has no more items.
enum Failed {
    /// Its maker said so.
    End(StreamError),
    /// Something of it does not serialize.
    Unencodable(&'static str, String),
}

/// A stream that is to be sent.
pub struct Outlet {
    method: &'static MethodDescriptor,
    items: Items,
}

impl Outlet {
    /// Of any stream, for an argument or the result of `method`.
    pub fn new<C, E>(stream: impl IntoStreaming<C::Value, E>, method: &'static MethodDescriptor) -> Self
    where
        C: Encode,
        E: Serialize + Send + 'static,
    {
        let items = stream.into_streaming().map(|item| match item {
            Ok(value) => C::encode(value).map_err(|why| Failed::Unencodable("an item", why)),
            Err(CallError::Fault(fault)) => Err(match encode(&fault) {
                Ok(fault) => Failed::End(StreamError::Fault(fault)),
                Err(why) => Failed::Unencodable("the fault", why),
            }),
            Err(CallError::Status(status)) => Err(Failed::End(StreamError::Status(status.leaving_a_handler()))),
        });
        Self { method, items: items.boxed() }
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}

/// The streams of a call or a result. Mostly there are none, and then it is a word that is nil.
#[derive(Debug, Default)]
#[allow(clippy::box_collection, reason = "calls and answers are moved more often than they have streams")]
pub struct Outlets(Option<Box<Vec<Outlet>>>);

impl Outlets {
    pub(crate) fn push(&mut self, outlet: Outlet) {
        self.0.get_or_insert_default().push(outlet);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |outlets| outlets.len())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<const N: usize> From<[Outlet; N]> for Outlets {
    #[inline]
    fn from(outlets: [Outlet; N]) -> Self {
        if N == 0 { Self(None) } else { Self(Some(Box::new(outlets.into()))) }
    }
}

impl IntoIterator for Outlets {
    type Item = Outlet;
    type IntoIter = std::vec::IntoIter<Outlet>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(|outlets| *outlets).unwrap_or_default().into_iter()
    }
}

/// Begins to produce streams, each in a task of its own. Those without a number are dropped.
pub(crate) fn start(shared: &Arc<Shared>, streams: &Streams, outlets: impl IntoIterator<Item = Outlet>) {
    for (id, outlet) in streams.iter().zip(outlets) {
        shared.producer_started();
        let Outlet { method, items } = outlet;
        let pump = Pump { shared: shared.clone(), id: *id, method, items, ready: VecDeque::new(), ended: false };
        match &shared.runtime {
            Some(runtime) => drop(runtime.spawn(pump.run())),
            None => drop(pump),
        }
    }
}

/// Moves the items of one stream to the connection.
struct Pump {
    shared: Arc<Shared>,
    id: TransferId,
    method: &'static MethodDescriptor,
    items: Items,
    ready: VecDeque<(Rope, u32)>,
    /// The other end knows of the end, or does not care.
    ended: bool,
}

/// What came of waiting for items.
enum Gathered {
    /// There are some.
    Items,
    /// There may be, and then comes one that is longer than a chunk.
    Long(Rope),
    /// There may be, and no more follow.
    End(StreamEnd),
    /// Nobody wants more.
    Closed,
}

impl Pump {
    async fn run(mut self) {
        loop {
            let Some(room) = wait(&self.shared, self.id).await else { break };
            let gathered = poll_fn(|cx| {
                let before = Instant::now();
                let gathered = self.poll_gather(cx, room);
                watch_poll(&self.shared, self.method, Polled::Stream, before.elapsed());
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
    }

    /// Asks for items, no more than there is room for.
    fn poll_gather(&mut self, cx: &mut Context<'_>, room: StreamRoom) -> Poll<Gathered> {
        let limits = self.shared.limits();
        let chunk = limits.map_or(usize::MAX, |limits| usize::try_from(limits.chunk).unwrap_or(usize::MAX));
        let (chunk, largest) = (self.shared.config.chunk.min(chunk), limits.map_or(u64::MAX, |limits| limits.payload));
        let mut bytes = 0;
        while self.ready.len() < room.items.min(BATCH_ITEMS) && bytes < room.bytes {
            match self.poll_item(cx) {
                Poll::Ready(Some(Ok(item))) if item.len() as u64 > largest => {
                    let message = format!(
                        "an item of the stream is {} bytes long, and the other side takes {largest} at most (Config::max_payload there)",
                        item.len()
                    );
                    return Poll::Ready(Gathered::End(Err(StreamError::Status(Status::out_of_range(message)))));
                }
                Poll::Ready(Some(Ok(item))) if item.len() > chunk => return Poll::Ready(Gathered::Long(item)),
                Poll::Ready(Some(Ok(item))) => {
                    bytes += item.len() + ITEM;
                    self.ready.push_back((item, 0));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Gathered::End(Err(error))),
                Poll::Ready(None) => return Poll::Ready(Gathered::End(Ok(()))),
                Poll::Pending if self.ready.is_empty() => {
                    // Woken too when nobody wants more.
                    let wanted = self.shared.look(|connection| connection.poll_stream(self.id, cx.waker()));
                    return if wanted.is_none() { Poll::Ready(Gathered::Closed) } else { Poll::Pending };
                }
                Poll::Pending => break,
            }
        }
        Poll::Ready(Gathered::Items)
    }

    /// What the user's stream has next. A panic ends it with a status that keeps the panic's message at home.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Rope, StreamError>>> {
        let Ok(next) = catch_unwind(AssertUnwindSafe(|| self.items.poll_next_unpin(cx))) else {
            let (contract, method) = (self.method.contract(), self.method.name());
            tracing::error!(session = self.shared.id, contract, method, "a stream panicked");
            let status = Status::internal(format!("the producer of a stream of {} panicked", self.method));
            return Poll::Ready(Some(Err(StreamError::Status(status))));
        };
        next.map_err(|failed| match failed {
            Failed::End(error) => error,
            Failed::Unencodable(what, why) => {
                let (contract, method) = (self.method.contract(), self.method.name());
                tracing::error!(
                    session = self.shared.id,
                    contract,
                    method,
                    why,
                    "{what} of a stream does not serialize"
                );
                let status = format!("{what} of a stream of {} does not serialize: {why}", self.method);
                StreamError::Status(Status::internal(status))
            }
        })
    }

    /// Hands over what is ready. False if nobody wants more.
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

    /// Sends an item that is longer than a chunk, when what it needs of the budget of transfers is there. Nobody waits for a reader with a part of that in his hands.
    /// False if nobody wants more.
    async fn send_long(&mut self, item: Rope) -> bool {
        let len = item.len();
        if wait(&self.shared, self.id).await.is_none() {
            return false;
        }
        let Some(mut reservation) = reserve(&self.shared, self.id, len).await else { return false };
        self.ready.push_back((item, reservation.take_transfer()));
        if !self.hand_over().await {
            return false;
        }
        loop {
            let sent = poll_fn(|cx| match self.shared.look(|connection| connection.poll_long(self.id, cx.waker())) {
                Some(Long::Waits) => Poll::Pending,
                sent => Poll::Ready(sent),
            });
            match sent.await {
                Some(Long::Owes) => {}
                sent => return sent.is_some(),
            }
            let Some(mut reservation) = reserve(&self.shared, self.id, len).await else { return false };
            let charge = reservation.take_transfer();
            if !self.shared.act(|connection| connection.recharge_long(self.id, charge)) {
                self.shared.give_back(Released { transfers: charge as usize, ..Released::default() });
            }
        }
    }

    fn finish(&mut self, end: StreamEnd) {
        self.ended = true;
        let id = self.id;
        self.shared.act(|connection| connection.finish_stream(now(), id, end));
    }
}

/// Waits until the reader takes items, and says how many. `None` if nobody wants more.
async fn wait(shared: &Shared, id: TransferId) -> Option<StreamRoom> {
    poll_fn(|cx| match shared.look(|connection| connection.poll_stream(id, cx.waker())) {
        Some(room) if room.items == 0 => Poll::Pending,
        room => Poll::Ready(room),
    })
    .await
}

/// Waits until a long item may be on its way. `None` if nobody wants more.
async fn reserve(shared: &Arc<Shared>, id: TransferId, len: usize) -> Option<Reservation<Arc<Shared>>> {
    let mut reservation = Reservation::new(shared.clone());
    {
        let mut reserved = pin!(reservation.transfer(len));
        let wanted = poll_fn(|cx| {
            if let Poll::Ready(reserved) = reserved.as_mut().poll(cx) {
                return Poll::Ready(reserved.is_ok());
            }
            match shared.look(|connection| connection.poll_stream(id, cx.waker())) {
                Some(_) => Poll::Pending,
                None => Poll::Ready(false),
            }
        });
        if !wanted.await {
            return None;
        }
    }
    Some(reservation)
}

impl Drop for Pump {
    fn drop(&mut self) {
        // What long items hold of the budget is given back by whoever holds them.
        let transfers = self.ready.drain(..).map(|(_, charge)| charge as usize).sum();
        self.shared.give_back(Released { transfers, ..Released::default() });
        if !self.ended {
            self.finish(Err(StreamError::Status(dropped())));
        }
        // What the user made is gone before that is said.
        let items = mem::replace(&mut self.items, stream::empty().boxed());
        if catch_unwind(AssertUnwindSafe(|| drop(items))).is_err() {
            let (contract, method) = (self.method.contract(), self.method.name());
            tracing::error!(session = self.shared.id, contract, method, "a stream panicked while it was dropped");
        }
        self.shared.producer_ended();
    }
}
