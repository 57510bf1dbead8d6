//! `Inbox`: what has come in and waits for its reader.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{Event, Message, RawError};

/// Bytes of unread messages up to which more is read.
const READ_AHEAD: usize = 64 * 1024;
/// Unread messages up to which more is read.
const MESSAGES: usize = 64;
/// Unread pings and pongs that are kept. The reader does not get further ones, but the pings are answered.
const CONTROLS: usize = 16;

/// The queue from the driver to the reader.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    messages: usize,
    bytes: usize,
    controls: usize,
    end: End,
    /// The reader has been told the end.
    is_finished: bool,
    reader: Option<Waker>,
    /// The reader has been dropped: messages are passed over.
    is_abandoned: bool,
    /// The driver has found no room, and waits for it.
    is_awaited: bool,
}

#[derive(Debug, Default)]
enum End {
    #[default]
    Open,
    /// What the reader gets when it has read the rest.
    Ended(Option<RawError>),
}

impl Inbox {
    /// Whether another message may be read from the socket. If not, the driver must be woken later: [`poll_next`] says
    /// when.
    ///
    /// [`poll_next`]: Self::poll_next
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.lock();
        let has_room = state.has_room();
        state.is_awaited = !has_room;
        has_room
    }

    pub(super) fn push(&self, event: Event) {
        let mut state = self.lock();
        if state.is_abandoned || matches!(state.end, End::Ended(_)) {
            return;
        }
        match &event {
            Event::Message(message) => {
                state.messages += 1;
                state.bytes += message.len();
            }
            Event::Ping(_) | Event::Pong(_) if state.controls == CONTROLS => return,
            Event::Ping(_) | Event::Pong(_) => state.controls += 1,
        }
        state.events.push_back(event);
        wake_reader(state);
    }

    /// Ends the queue, to which nothing is added any more. The first end counts.
    pub(super) fn end(&self, error: Option<RawError>) {
        let mut state = self.lock();
        if matches!(state.end, End::Open) {
            state.end = End::Ended(error);
        }
        wake_reader(state);
    }

    /// The next event, and whether the driver must be woken, because it waits for the room that has become free, or for
    /// the reader to read the end.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> (Poll<Option<Result<Event, RawError>>>, bool) {
        let mut state = self.lock();
        if let Some(event) = state.events.pop_front() {
            match &event {
                Event::Message(message) => {
                    state.messages -= 1;
                    state.bytes -= message.len();
                }
                Event::Ping(_) | Event::Pong(_) => state.controls -= 1,
            }
            let wake = state.is_awaited && state.has_room();
            state.is_awaited &= !wake;
            return (Poll::Ready(Some(Ok(event))), wake);
        }
        if let End::Ended(error) = &mut state.end {
            let told = error.take().map(Err);
            let wake = !state.is_finished;
            state.is_finished = true;
            return (Poll::Ready(told), wake);
        }
        let old = state.reader.replace(cx.waker().clone());
        drop(state);
        drop(old);
        (Poll::Pending, false)
    }

    /// Passes over what has come and what still comes, because the reader is gone.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.is_abandoned = true;
        let scrap = mem::take(&mut state.events);
        (state.messages, state.bytes, state.controls) = (0, 0, 0);
        let reader = state.reader.take();
        drop(state);
        drop((scrap, reader));
    }

    /// Whether the reader has read everything and the end, or is gone.
    pub(super) fn is_finished(&self) -> bool {
        let state = self.lock();
        state.is_finished || state.is_abandoned
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().is_abandoned
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.is_abandoned || (self.messages < MESSAGES && self.bytes < READ_AHEAD)
    }
}

/// Wakes the reader when the lock has been let go.
fn wake_reader(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl From<Message> for Event {
    fn from(message: Message) -> Self {
        Self::Message(message)
    }
}
