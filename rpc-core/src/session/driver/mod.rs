//! `Driver`: the only task that touches a session's transport, from the session's beginning to its end.

mod alarm;
mod closing;
mod feeding;
mod links;
mod opening;
mod reading;
mod sleep;
mod writing;

use std::{
    collections::VecDeque,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::{
    Progress, Transport,
    dispatch::Dispatch,
    ended::{Ended, Produced},
    opening::Opening,
    trace::Names,
    websocket::age_pool,
    yield_now::yield_now,
};
use alarm::Alarm;
use feeding::Reserving;
use futures::future::BoxFuture;
use sleep::Clocks;
use writing::{Outlook, Written};

use crate::{
    error::ConnectionError,
    panics::wake_all,
    peer::{Life, SessionShared, StreamReaders, Watched, now},
    proto::{Connection, Event, ServedKey, trim_line, trim_list},
    service::{Hosting, Received},
};

/// Bytes that one poll takes in before it writes, so that both ends work at the same time. Other tasks run next.
const ROUND_BYTES: usize = 64 * 1024;
/// Rounds in one poll. Few polls have more than two; other tasks, and timers, run before the next.
const POLL_ROUNDS: usize = 32;

/// Moves a session's packets, runs its handlers and keeps its times. The driver is a future that ends when the session
/// is over: spawn it. Dropping the driver ends the session as a lost link does.
#[must_use = "a session does nothing until its driver is spawned"]
pub struct Driver {
    /// Dropped when the session is over: the socket does not wait for `closed` hooks.
    transport: Box<dyn Transport>,
    shared: Arc<SessionShared>,
    dispatch: Dispatch,
    stage: Stage,
    /// Runs the hooks and makes the objects of a session that is about to open. Until both are done, events wait in
    /// `events`.
    opening: Option<Box<Opening>>,
    /// The session is or was open.
    was_open: bool,
    alarm: Alarm,
    clocks: Clocks,
    /// The number of the link that the transport carries. What comes over another one is not for the session.
    epoch: u64,
    /// There is no link.
    has_no_link: bool,
    /// The session has ended, and its last words have not been acknowledged.
    is_lingering: bool,
    /// The observers have heard of the end.
    has_told_of_end: bool,
    /// The `closed` hooks of a session that has ended, while they run.
    closed_hooks: Option<BoxFuture<'static, ()>>,
    /// The transport's progress that the connection has been told of.
    told: Progress,
    /// Something was handed to the transport since the last flush.
    dirty: bool,
    /// The driver has put off writing once, for callers that are about to call as well.
    batching: bool,
    /// A write is stuck.
    stuck: bool,
    /// How many handlers are started before their completions are written.
    batch: usize,
    outlook: Outlook,
    /// Waits for what a large call of the queue needs.
    reserving: Option<Box<Reserving>>,
    /// The transport knows that the handshake is done.
    handshake_done: bool,
    _watched: Watched,
    // Scratch, kept for its memory.
    /// Callers whose answers have come in.
    wakes: Vec<Waker>,
    events: VecDeque<Event>,
    ended: Vec<Ended>,
    produced: Vec<Produced>,
    finished: Vec<ServedKey>,
}

enum Stage {
    Running,
    /// The connection has ended. The driver writes the rest and says goodbye, until this time at most.
    Closing(Box<(ConnectionError, Instant)>),
    /// The session is over, and its `closed` hooks run.
    ClosedHooks,
    Over,
}

/// How far the events of a round have been acted on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dispatched {
    /// There was none, or the hooks go on.
    Nothing,
    /// Many handlers were started, and events are left.
    Part,
    /// All events.
    All,
    /// All events, and more may follow from the opening of the session.
    Opened,
}

/// What a round knows from its beginning.
struct Round {
    /// When it began.
    now: Instant,
    /// Nothing has happened that the connection has to be told of, and it has not been told of the round itself yet.
    is_quiet: bool,
    /// The connection has been told, and nothing follows from it: there is nothing to act on and nothing to write.
    is_settled: bool,
}

impl Round {
    /// A round that begins now, in which something may have happened.
    fn begun() -> Self {
        Self { now: now(), is_quiet: false, is_settled: false }
    }
}

impl Driver {
    pub(super) fn new(transport: Box<dyn Transport>, shared: Arc<SessionShared>, hosting: Hosting) -> Self {
        Self {
            transport,
            dispatch: Dispatch::new(shared.clone(), hosting),
            stage: Stage::Running,
            opening: None,
            was_open: false,
            alarm: Alarm::new(),
            clocks: Clocks::read(),
            epoch: 0,
            has_no_link: false,
            is_lingering: false,
            has_told_of_end: false,
            closed_hooks: None,
            told: Progress::default(),
            dirty: false,
            batching: false,
            stuck: false,
            batch: 0,
            outlook: Outlook::default(),
            reserving: None,
            handshake_done: false,
            _watched: Watched::new(),
            wakes: Vec::new(),
            events: VecDeque::new(),
            ended: Vec::new(),
            produced: Vec::new(),
            finished: Vec::new(),
            shared,
        }
    }

    /// Acts on the events, and starts handlers in order. After a batch of handlers it leaves the rest for later, so
    /// that the other side gets the completions of this batch meanwhile.
    fn drive_dispatch(&mut self, cx: &mut Context<'_>) -> Dispatched {
        let opens = self.opening.is_some();
        if !self.drive_opening(cx) {
            self.drive_links(cx);
            return Dispatched::Nothing;
        }
        if !opens && self.events.is_empty() {
            return Dispatched::Nothing;
        }
        let all = if opens { Dispatched::Opened } else { Dispatched::All };
        self.dispatch.begin();
        let mut started = 0;
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Call { key, call, payload, buffer, streams } => {
                    let received = Received { payload, streams: StreamReaders::new(&self.shared, &streams) };
                    self.dispatch.start(key, call, received, buffer, &mut self.ended);
                    started += 1;
                }
                Event::Arriving { key, method } => self.dispatch.hold(key, method),
                Event::Withdrawn { key } => self.dispatch.withdraw(key),
                Event::Cancel { key } => self.dispatch.cancel(key),
                Event::Trim => self.trim(),
                Event::Draining => self.shared.live(Life::Draining { serving: true }),
                Event::Serving(serving) => self.shared.set_serving(serving),
                Event::Welcome(welcome) => {
                    let (id, outlives_link) = (self.shared.id, !welcome.token.is_empty());
                    tracing::debug!(session = %id, contracts = %Names(&welcome.contracts), outlives_link, "the server said welcome");
                    self.begin_opening(None);
                }
                Event::Detached(error) => self.let_go(&error),
                Event::Attached => self.take_link(cx),
                Event::Closed(error) => {
                    self.shared.live(Life::Closing(error.clone()));
                    let until = now() + self.shared.config.close_timeout();
                    let until = self.shared.look(|connection| connection.end_by()).map_or(until, |by| by.min(until));
                    self.is_lingering = self.shared.look(|connection| connection.is_lingering());
                    // What is left to do may take its time: the other side may be away, or slow to close the link.
                    self.begin_closed_hooks(&error);
                    if self.is_lingering {
                        self.tell_of_end(&error);
                    }
                    self.stage = Stage::Closing(Box::new((error, until)));
                }
            }
            if !self.drive_opening(cx) {
                // The session has begun to open with this event, and the others wait for hooks.
                self.events.iter_mut().for_each(Event::detach);
                self.drive_links(cx);
                break;
            }
            if started >= self.batch && !self.events.is_empty() {
                return Dispatched::Part;
            }
        }
        all
    }

    /// Frees memory that a busy time needed, here and in the thread's pool.
    fn trim(&mut self) {
        self.dispatch.trim();
        self.shared.with(|locked| {
            // Both have changed places with lists of the driver.
            trim_list(&mut locked.finished);
            locked.connection.trim_events();
        });
        trim_line(&mut self.events);
        trim_list(&mut self.wakes);
        trim_list(&mut self.ended);
        trim_list(&mut self.produced);
        trim_list(&mut self.finished);
        age_pool(now());
    }

    /// One round. True if another one is due at once.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut round = self.drive_receive(cx);
        let (mut alone, mut written) = (true, Written::All);
        loop {
            match self.drive_dispatch(cx) {
                Dispatched::Nothing => break,
                Dispatched::Part if matches!(written, Written::All) => {
                    written = self.drive_transmit(cx, &mut round, false);
                }
                Dispatched::Part => {}
                Dispatched::All => {
                    alone = false;
                    break;
                }
                Dispatched::Opened => {
                    // With the verdict on a client, the connection takes in the packets that came early.
                    let events = &mut self.events;
                    self.shared.with(|locked| locked.connection.take_events(events));
                }
            }
            alone = false;
        }
        // Callers are woken only now, so that when a caller sees its answer, all calls that were sent before the answer
        // have begun.
        wake_all(&mut self.wakes);
        if !round.is_settled && !matches!(written, Written::Failed(_)) {
            written = self.drive_transmit(cx, &mut round, alone);
        }
        self.note_stuck(&written);
        match written {
            Written::Failed(error) => {
                let epoch = self.epoch;
                self.shared.with(|locked| {
                    if locked.connection.epoch() == epoch {
                        locked.connection.handle_lost(now(), error.into());
                    }
                });
                self.outlook.has_events = true;
                return true;
            }
            Written::Later => return false,
            Written::More => yield_now(cx),
            Written::All | Written::Stuck => {}
        }
        if self.outlook.has_refused {
            if let Some(refused) = self.shared.look(Connection::take_refused_oneway) {
                self.dispatch.log_refused_oneway(&refused);
            }
        }
        // The steps above may have ended the session.
        if self.outlook.has_events || self.drive_queue(cx) {
            return true;
        }
        let fired = self.alarm.poll(cx, round.now, self.outlook.next);
        if fired {
            self.look_for_sleep(round.now);
        }
        fired
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.shared.begin_driver_poll(cx.waker());
        for _ in 0..POLL_ROUNDS {
            match &mut this.stage {
                Stage::Running => {
                    if !this.drive(cx) {
                        return Poll::Pending;
                    }
                }
                Stage::Closing(end) => {
                    let (error, until) = (**end).clone();
                    this.shared.with(|locked| mem::swap(&mut this.finished, &mut locked.finished));
                    this.dispatch.forget(&mut this.finished);
                    let _ = this.drive_closed_hooks(cx);
                    if this.is_lingering {
                        if !this.drive_linger(cx) {
                            return this.pend_until(cx, None);
                        }
                        this.end_linger();
                        continue;
                    }
                    if this.drive_close(cx, &error, until).is_pending() {
                        return Poll::Pending;
                    }
                    this.finish(error);
                }
                Stage::ClosedHooks => {
                    if this.drive_closed_hooks(cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.stage = Stage::Over;
                }
                Stage::Over => return Poll::Ready(()),
            }
        }
        yield_now(cx);
        Poll::Pending
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("shared", &self.shared).finish_non_exhaustive()
    }
}
