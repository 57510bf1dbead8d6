//! `SessionShared`: the state that the handles, the calls and the driver of one session share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use tokio::sync::Semaphore;

use super::{
    driver_waker::DriverWaker,
    info::Facts,
    intercept::Interceptor,
    life::{Life, LifeCell},
    session_id::SessionId,
    watchdog::{self, Polled},
};
use crate::{
    config::Config,
    error::ConnectionError,
    panics::wake_all,
    proto::{CallKey, CallProgress, Connection, Released, ServedKey},
    session::Transport,
    wire::{DeferredDrops, PeerLimits},
};

/// The shared part of a session.
pub(crate) struct SessionShared {
    pub(crate) id: SessionId,
    pub(crate) config: Config,
    pub(crate) facts: Arc<Facts>,
    /// The interceptors around calls, outermost first.
    pub(crate) interceptors: Arc<[Arc<dyn Interceptor>]>,
    locked: Mutex<Locked>,
    driver: DriverWaker,
    /// Bytes of room in the outbox.
    pub(crate) room: Semaphore,
    /// Bytes of transfers that the peer accepts at once.
    pub(crate) transfers: Semaphore,
    /// Bytes of large arguments that the peer accepts at once.
    pub(crate) arguments: Semaphore,
    limits: OnceLock<Arc<PeerLimits>>,
    /// The smaller of the two ends' chunks, once the peer has announced its own.
    chunk: AtomicUsize,
    /// Whether the last call that began found a permit at once.
    fast_path: AtomicBool,
    life: LifeCell,
    /// The session has no link. Who waits for a change of `life` is told of a change.
    is_detached: AtomicBool,
    /// The number of the link of which was last told. Changed under the lock.
    told_epoch: AtomicU64,
    /// How often the link was lost or found, and the end.
    link_changes: AtomicUsize,
    /// How many bytes the session has been asked to forget, and has not forgotten yet. See `session_link`.
    pub(super) to_forget: AtomicUsize,
    /// How many `opened` hooks have succeeded, whose `closed` hooks have not begun.
    pub(crate) hooks_opened: AtomicUsize,
    /// The number of handlers that run in separate tasks.
    handlers: AtomicUsize,
    /// The number of streams that are produced here, each in a separate task.
    producers: AtomicUsize,
    /// The number of families of handles that keep the session open.
    keepers: AtomicUsize,
    /// How many milliseconds a poll of users' code may take before the watchdog names it.
    blocks_after: u64,
}

/// The state behind the lock. No foreign code runs under the lock: no serde, no poll, no waker, no drop of a user's
/// value.
pub(crate) struct Locked {
    pub(crate) connection: Connection,
    /// Handlers whose tasks have ended, for the driver to forget.
    pub(crate) finished: Vec<ServedKey>,
    /// The transport of the link that the connection has, until the driver takes it.
    pub(crate) next_link: Option<Box<dyn Transport>>,
}

impl SessionShared {
    pub(crate) fn new(
        connection: Connection,
        config: Config,
        facts: Facts,
        interceptors: Arc<[Arc<dyn Interceptor>]>,
    ) -> Self {
        let room = config.outbox_soft();
        Self {
            id: facts.id,
            facts: Arc::new(facts),
            interceptors,
            locked: Mutex::new(Locked { connection, finished: Vec::new(), next_link: None }),
            is_detached: AtomicBool::new(false),
            told_epoch: AtomicU64::new(0),
            link_changes: AtomicUsize::new(0),
            to_forget: AtomicUsize::new(0),
            driver: DriverWaker::default(),
            room: Semaphore::new(room),
            transfers: Semaphore::new(0),
            arguments: Semaphore::new(0),
            limits: OnceLock::new(),
            chunk: AtomicUsize::new(config.chunk()),
            fast_path: AtomicBool::new(true),
            life: LifeCell::new(Life::Connecting),
            hooks_opened: AtomicUsize::new(0),
            handlers: AtomicUsize::new(0),
            producers: AtomicUsize::new(0),
            keepers: AtomicUsize::new(0),
            blocks_after: watchdog::blocks_after(config.slow_poll()),
            config,
        }
    }

    /// The room that one frame may need: for a chunk of payload, the metadata, and the frame around them.
    pub(crate) fn room_unit(config: &Config) -> usize {
        config.chunk() + config.max_metadata() + 256
    }

    /// Works on the connection under the lock. Then this wakes the tasks concerned and returns budgets, outside of the
    /// lock. It does not wake the driver: see [`Self::act`].
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Locked) -> R) -> R {
        let mut wakes = Vec::new();
        let result = self.with_deferred_wakes(&mut wakes, f);
        wake_all(&mut wakes);
        result
    }

    /// As [`Self::with`], but leaves the wakers to its caller.
    pub(crate) fn with_deferred_wakes<R>(&self, wakes: &mut Vec<Waker>, f: impl FnOnce(&mut Locked) -> R) -> R {
        let _deferred = DeferredDrops::new();
        let (result, released, stale_wakers) = {
            let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
            let result = f(&mut locked);
            let connection = &mut locked.connection;
            if connection.is_open() && self.limits.get().is_none() {
                self.open_budgets(connection.shared_peer_limits());
            }
            connection.take_wakes(wakes);
            (result, connection.take_released(), connection.take_stale_wakers())
        };
        self.give_back(released);
        drop(stale_wakers);
        result
    }

    /// As [`Self::with`], and wakes the driver. This is for callers and handlers.
    pub(crate) fn act<R>(&self, f: impl FnOnce(&mut Connection) -> R) -> R {
        let result = self.with(|locked| f(&mut locked.connection));
        self.driver.wake();
        result
    }

    /// As [`Self::act`], for what wakes no task but the driver, returns no budget, and drops nothing that a user has
    /// made.
    #[inline]
    pub(crate) fn lean<R>(&self, f: impl FnOnce(&mut Connection) -> R) -> R {
        let result = {
            let connection = &mut self.locked.lock().unwrap_or_else(PoisonError::into_inner).connection;
            let result = f(connection);
            debug_assert!(connection.has_nothing_for_shell(), "something is left for the shell");
            result
        };
        self.driver.wake();
        result
    }

    /// Where a call stands. `waker` is woken when that changes.
    #[inline]
    pub(crate) fn poll_call(&self, key: CallKey, waker: &Waker) -> CallProgress {
        let mut is_draining = false;
        let progress = self.look(|connection| {
            is_draining = connection.is_draining();
            connection.poll_call(key, waker)
        });
        if is_draining && matches!(progress, CallProgress::Done(_)) {
            // The drain may have waited for this call alone.
            self.driver.wake();
        }
        progress
    }

    /// Looks at the connection, or asks it where a call stands.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&mut Connection) -> R) -> R {
        let _deferred = DeferredDrops::new();
        let (result, stale_wakers) = {
            let connection = &mut self.locked.lock().unwrap_or_else(PoisonError::into_inner).connection;
            (f(connection), connection.take_stale_wakers())
        };
        drop(stale_wakers);
        result
    }

    /// Wakes the driver, which has something to do. Costs little if the driver has been woken since its last poll
    /// began.
    pub(crate) fn wake_driver(&self) {
        self.driver.wake();
    }

    /// Begins a poll of the driver, before the driver looks at the session.
    pub(crate) fn begin_driver_poll(&self, waker: &Waker) {
        self.driver.begin_poll(waker);
    }

    /// The limits that the peer has announced; `None` before it has announced them.
    pub(crate) fn limits(&self) -> Option<&PeerLimits> {
        self.limits.get().map(|limits| &**limits)
    }

    /// The number of bytes of one chunk to the peer. Longer payloads are announced.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk.load(Ordering::Relaxed)
    }

    /// Whether the next call is likely to find a permit at once. Only speed depends on this guess.
    pub(crate) fn has_fast_path(&self) -> bool {
        self.fast_path.load(Ordering::Relaxed) && self.limits.get().is_some()
    }

    pub(crate) fn set_fast_path(&self, fast_path: bool) {
        if self.fast_path.load(Ordering::Relaxed) != fast_path {
            self.fast_path.store(fast_path, Ordering::Relaxed);
        }
    }

    pub(crate) fn give_back(&self, released: Released) {
        for (semaphore, permits) in
            [(&self.room, released.room), (&self.transfers, released.transfers), (&self.arguments, released.arguments)]
        {
            if permits > 0 {
                semaphore.add_permits(permits);
            }
        }
    }

    /// The parts of the budgets that are reserved; zero after the end.
    pub(crate) fn reserved(&self) -> Released {
        let Some(limits) = self.limits.get().filter(|_| !self.room.is_closed()) else { return Released::default() };
        let held = |semaphore: &Semaphore, total: usize| total.saturating_sub(semaphore.available_permits());
        Released {
            room: held(&self.room, self.config.outbox_soft()),
            transfers: held(&self.transfers, transfer_budget(limits.assembly, &self.config) as usize),
            arguments: held(&self.arguments, u32::try_from(limits.arguments).unwrap_or(u32::MAX) as usize),
        }
    }

    fn open_budgets(&self, limits: &Arc<PeerLimits>) {
        let arguments = u32::try_from(limits.arguments).unwrap_or(u32::MAX);
        if self.limits.set(Arc::clone(limits)).is_ok() {
            let chunk = usize::try_from(limits.chunk).unwrap_or(usize::MAX);
            self.chunk.store(self.config.chunk().min(chunk), Ordering::Relaxed);
            self.transfers.add_permits(transfer_budget(limits.assembly, &self.config) as usize);
            self.arguments.add_permits(arguments as usize);
        }
    }

    /// Records that the session is over, frees all output, and ends all waits.
    pub(crate) fn finish(&self, error: ConnectionError) {
        self.with(|locked| locked.connection.discard_output());
        for semaphore in [&self.room, &self.transfers, &self.arguments] {
            semaphore.close();
        }
        // No link follows.
        self.link_changes.fetch_add(1, Ordering::Release);
        self.life.change(|life| {
            *life = Life::Over(error);
            true
        });
    }

    /// Records that the session has reached `stage`, unless it has reached a later stage already.
    pub(crate) fn live(&self, stage: Life) {
        self.life.change(|life| {
            let further = stage.stage() > life.stage();
            if further {
                *life = stage;
            }
            further
        });
    }

    /// Hands the session another transport, if `attach` says that the connection goes on over it. Gives an earlier
    /// one back that the driver has not taken and that has to be closed, or else this one.
    pub(crate) fn attach(
        &self,
        transport: Box<dyn Transport>,
        attach: impl FnOnce(&mut Connection) -> bool,
    ) -> Result<Option<Box<dyn Transport>>, Box<dyn Transport>> {
        let replaced = self.with(|locked| {
            if attach(&mut locked.connection) { Ok(locked.next_link.replace(transport)) } else { Err(transport) }
        });
        if replaced.is_ok() {
            self.tell_of_link();
        }
        self.driver.wake();
        replaced
    }

    /// Whether the session has no link.
    pub(crate) fn is_detached(&self) -> bool {
        self.is_detached.load(Ordering::Acquire)
    }

    /// How often the link was lost or found so far; the end of the session counts as well.
    pub(super) fn link_changes(&self) -> usize {
        self.link_changes.load(Ordering::Acquire)
    }

    /// Tells those who wait for it whether the session has a link, if that or the link has changed.
    pub(crate) fn tell_of_link(&self) {
        // The lock keeps the order in which links are lost and found.
        let has_changed = self.look(|connection| {
            let (epoch, is_detached) = (connection.epoch(), connection.detached().is_some());
            let was_detached = self.is_detached.swap(is_detached, Ordering::AcqRel);
            let has_changed = self.told_epoch.swap(epoch, Ordering::Relaxed) != epoch || was_detached != is_detached;
            if has_changed {
                self.link_changes.fetch_add(1, Ordering::Release);
            }
            has_changed
        });
        if has_changed {
            self.life.change(|_| true);
        }
    }

    /// Records whether something is served here while this side drains.
    pub(crate) fn set_serving(&self, now: bool) {
        self.life.change(|life| match life {
            Life::Draining { serving } => std::mem::replace(serving, now) != now,
            _ => false,
        });
    }

    /// Waits until the session's stage satisfies `reached`.
    pub(crate) async fn reach(&self, reached: impl FnMut(&Life) -> bool) -> Life {
        self.life.reach(reached).await
    }

    /// Whether the session is over.
    pub(crate) fn is_over(&self) -> bool {
        matches!(*self.life.get(), Life::Over(_))
    }

    /// Waits for the end, and returns its reason.
    pub(crate) async fn over(&self) -> ConnectionError {
        match self.reach(|life| matches!(life, Life::Over(_))).await {
            Life::Over(error) | Life::Closing(error) => error,
            Life::Open | Life::Draining { .. } | Life::Connecting => ConnectionError::ClosedLocally,
        }
    }

    /// Runs a poll of users' code. The watchdog names the code if it blocks its thread.
    #[inline]
    pub(crate) fn polling<R>(&self, polled: Polled, poll: impl FnMut() -> R) -> R {
        watchdog::polling(self.id.number(), self.blocks_after, polled, poll)
    }

    pub(crate) fn handler_started(&self) {
        self.handlers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handler_ended(&self) {
        self.handlers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn producer_started(&self) {
        self.producers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn producer_ended(&self) {
        if self.producers.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The end of the session may wait for its producers.
            self.driver.wake();
        }
    }

    /// Counts one more family of handles that keeps the session open.
    pub(super) fn keeper_came(&self) {
        self.keepers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one family of handles less. After the last one, this closes the session.
    pub(super) fn keeper_left(&self) {
        if self.keepers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.act(Connection::close);
        }
    }

    pub(crate) fn producers(&self) -> usize {
        self.producers.load(Ordering::Relaxed)
    }

    pub(crate) fn handlers(&self) -> usize {
        self.handlers.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SessionShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionShared").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The budget of transfers to a peer that announces `assembly`, in bytes. This end holds the encoded bytes of
/// transfers, so the budget is never more than this end's own `max_assembly`, nor more than an eighth of
/// `session_memory`, even if the peer announces more. The budget is at least 1, so that transfers count.
pub(crate) fn transfer_budget(assembly: u64, config: &Config) -> u32 {
    let budget = assembly.min(config.max_assembly() as u64).min(config.transfer_memory() as u64).max(1);
    u32::try_from(budget).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_word_alone_does_not_say_how_much_is_held_for_it() {
        let config = Config::builder().max_assembly(1 << 20).build().unwrap();
        let budget = |assembly| transfer_budget(assembly, &config);
        assert_eq!([0, 1, 1 << 10, 1 << 20, u64::MAX].map(budget), [1, 1, 1 << 10, 1 << 20, 1 << 20]);
    }
}
