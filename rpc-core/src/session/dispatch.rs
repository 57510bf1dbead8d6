//! `Dispatch`: runs the handlers of the calls that come in.

use std::{
    collections::BTreeMap,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use foldhash::HashMap;
use tokio::task::AbortHandle;

use super::{ended::Ended, task::Task};
use crate::{
    contract::MethodDescriptor,
    logging::LogLimit,
    panics,
    peer::{Polled, RefusedCall, SessionShared, now, watch_poll},
    proto::{Completion, KeptBuffers, RefusedOneway, ServedCall, ServedKey, trim_table},
    service::{Handling, Hosting, Instance, QueuedTurn, Received, Runner, no_handler},
    status::Status,
    text::{excerpt_of, list},
};

/// Runs handlers: each is polled once where it arrives, in order, and moves to a task when it has to wait.
pub(super) struct Dispatch {
    shared: Arc<SessionShared>,
    hosting: Hosting,
    /// The objects, by the contract's position; `None` for a contract that is not offered to the other side. Empty
    /// before the session is open.
    instances: Vec<Option<Arc<Instance>>>,
    /// By the method's position: the memory of handlers that have ended, to be used again. Empty until a call comes.
    runners: Vec<Runner>,
    running: HashMap<ServedKey, Running>,
    /// What the arguments of the running handlers keep alive.
    kept: KeptBuffers,
    /// The places of calls whose arguments are arriving.
    arriving: BTreeMap<ServedKey, QueuedTurn>,
    /// A poll that ends later is slow. It began [`Config::slow_poll`](crate::Config::slow_poll) before, where the last
    /// one ended.
    slow_at: Instant,
}

struct Running {
    abort: AbortHandle,
    call: Arc<ServedCall>,
    no_cancel: bool,
    /// The length of the buffer that its arguments keep.
    buffer: usize,
}

impl Running {
    fn stop(&self) {
        if !self.no_cancel || !self.call.has_started() {
            self.abort.abort();
        }
    }
}

impl Dispatch {
    pub(super) fn new(shared: Arc<SessionShared>, hosting: Hosting) -> Self {
        let (instances, running, arriving) = (Vec::new(), HashMap::default(), BTreeMap::new());
        let (now, kept) = (Instant::now(), KeptBuffers::new(&shared.config));
        Self { shared, hosting, instances, runners: Vec::new(), running, kept, arriving, slow_at: now }
    }

    pub(super) fn hosting(&self) -> &Hosting {
        &self.hosting
    }

    /// Stops all handlers, because the session is over, and returns the hosting.
    pub(super) fn take_hosting(&mut self) -> Hosting {
        self.stop_all();
        mem::take(&mut self.hosting)
    }

    /// Takes the objects with which the session opens.
    pub(super) fn open(&mut self, instances: Vec<Option<Arc<Instance>>>) {
        self.instances = instances;
    }

    /// Reads the clock before handlers are started, one after another.
    pub(super) fn begin(&mut self) {
        self.tick(Instant::now());
    }

    /// A poll begins now.
    #[inline]
    fn tick(&mut self, now: Instant) {
        self.slow_at = now.checked_add(self.shared.config.slow_poll()).unwrap_or(now);
    }

    /// The arguments of a call are arriving. If its object serves one call at a time, the call gets its place in the
    /// turn queue now, before calls that come later and are complete sooner.
    pub(super) fn hold(&mut self, key: ServedKey, method: u32) {
        let service = self.hosting.find(method).map(|index| self.hosting.service_of(index));
        let instance = service.and_then(|service| self.instances.get(service)).and_then(Option::as_deref);
        let turns = instance.and_then(Instance::turns);
        if let Some(turns) = turns {
            self.arriving.insert(key, turns.hold(self.shared.id.number()));
        }
    }

    /// Gives up the place of a call in the turn queue, because the arguments will not arrive.
    pub(super) fn withdraw(&mut self, key: ServedKey) {
        self.arriving.remove(&key);
    }

    /// Starts a call's handler. If the call is refused or its handler ends at once, the end goes to `ended`. The
    /// arguments keep a buffer of the length `buffer` alive; they are copied first if handlers that wait keep much
    /// already, because this handler may wait as well.
    pub(super) fn start(
        &mut self,
        key: ServedKey,
        call: Arc<ServedCall>,
        mut received: Received,
        buffer: usize,
        ended: &mut Vec<Ended>,
    ) {
        if call.id.is_some() && call.is_cancelled() {
            // The call was given up while it waited for hooks, or came together with its cancellation.
            self.arriving.remove(&key);
            return ended.push(Ended::because(key, Completion::NotStarted));
        }
        let Some(index) = self.hosting.find(call.method) else {
            return ended.push(self.refused(key, &call, None, self.unimplemented(call.method)));
        };
        let Some(instance) = self.instances.get(self.hosting.service_of(index)) else {
            return ended.push(Ended::because(key, Completion::NotStarted));
        };
        let method = self.hosting.method(index);
        let Some(instance) = instance else {
            self.arriving.remove(&key);
            return ended.push(Ended::with_status(key, self.hosting.not_offered(index)));
        };
        let held = if self.arriving.is_empty() { None } else { self.arriving.remove(&key) };
        if self.hosting.is_guarded(method) {
            let (hosting, facts) = (&self.hosting, &self.shared.facts);
            if let Err(status) = self.shared.polling(Polled::Handler(method), || hosting.authorize(method, facts)) {
                return ended.push(self.refused(key, &call, Some(method), status));
            }
        }
        let permit = if method.is_no_cancel() {
            let Some(permit) = self.hosting.acquire_no_cancel(self.shared.config.max_no_cancel()) else {
                return ended.push(self.refused(key, &call, Some(method), self.too_many(method)));
            };
            Some(permit)
        } else {
            None
        };
        let (payload, buffer) = self.kept.prepare(received.payload, buffer);
        received.payload = payload;
        let handling = Handling::new(call, method, permit);
        if self.runners.is_empty() {
            self.runners.resize_with(self.hosting.len(), Runner::default);
        }
        let runner = &mut self.runners[index];
        handling.start(&self.shared, instance, received, held, runner);
        if !runner.is_started() {
            return ended.push(Ended::with_status(key, no_handler(method)));
        }
        if !method.is_spawn() {
            let what = Polled::Handler(method);
            let mut cx = Context::from_waker(Waker::noop());
            // The answer is large to move.
            let mut polled = Poll::Pending;
            self.shared.polling(what, || polled = handling.poll(runner, &mut cx));
            let now = Instant::now();
            if now > self.slow_at {
                watch_poll(&self.shared, what, now - self.slow_at + self.shared.config.slow_poll());
            }
            self.tick(now);
            if let Poll::Ready(result) = polled {
                return ended.push(Ended::of(key, &handling, result));
            }
        }
        let call = handling.call.call.clone();
        let task = Task::new(mem::take(&mut self.runners[index]), handling, key, self.shared.clone());
        let abort = tokio::spawn(task).abort_handle();
        self.kept.hold(buffer);
        self.running.insert(key, Running { abort, call, no_cancel: method.is_no_cancel(), buffer });
    }

    /// Stops a handler that may be stopped.
    pub(super) fn cancel(&mut self, key: ServedKey) {
        if let Some(running) = self.running.get(&key) {
            running.stop();
        }
    }

    /// Forgets the handlers whose tasks have ended.
    pub(super) fn forget(&mut self, finished: &mut Vec<ServedKey>) {
        while let Some(key) = finished.pop() {
            if let Some(running) = self.running.remove(&key) {
                self.kept.release(running.buffer);
            }
        }
    }

    /// Frees memory that a busy time needed, and the memory of handlers that have ended.
    pub(super) fn trim(&mut self) {
        trim_table(&mut self.running);
        mem::take(&mut self.runners).iter_mut().for_each(Runner::discard);
    }

    /// Stops the handlers and drops the objects of a session that has ended. Methods that must not be stopped run on by
    /// themselves.
    pub(super) fn stop_all(&mut self) {
        for running in self.running.values() {
            running.stop();
        }
        self.running.retain(|_, running| !running.no_cancel || !running.call.has_started());
        self.arriving.clear();
        let Self { shared, instances, runners, .. } = self;
        if !instances.is_empty() {
            // Dropping the objects runs users' code.
            shared.polling(Polled::Hook, || {
                instances.drain(..).flatten().for_each(|instance| panics::let_go(instance, "an object"));
            });
        }
        runners.iter_mut().for_each(Runner::discard);
    }

    /// Whether no handler is left to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Logs that a one-way call came and was not run. Its caller is not told.
    pub(super) fn log_refused_oneway(&self, refused: &RefusedOneway) {
        static REFUSED: LogLimit = LogLimit::new();
        let Some(more) = REFUSED.admit(now()) else { return };
        let (session, why) = (self.shared.id, excerpt_of(&refused.status));
        match self.hosting.find(refused.method).map(|index| self.hosting.method(index)) {
            Some(method) => tracing::warn!(
                %session,
                contract = method.contract(),
                method = method.name(),
                why,
                "a one-way call was not run, and its caller does not know; `why` is worded for the caller{more}"
            ),
            None => tracing::warn!(
                %session,
                method = format_args!("{:#010x}", refused.method),
                why,
                "a one-way call of a method that is not hosted was not run, and its caller does not know; `why` is \
                 worded for the caller{more}"
            ),
        }
    }

    /// The end of a call that is refused before its interceptors. Tells the observers.
    #[cold]
    fn refused(
        &self,
        key: ServedKey,
        call: &ServedCall,
        method: Option<&'static MethodDescriptor>,
        status: Status,
    ) -> Ended {
        let refused = RefusedCall::new(self.shared.id, call.method, method, &status);
        self.shared.polling(Polled::Hook, || self.hosting.observers().tell(|observer| observer.call_refused(&refused)));
        Ended::with_status(key, status)
    }

    /// The refusal of a call of a `no_cancel` method.
    fn too_many(&self, method: &MethodDescriptor) -> Status {
        let most = self.shared.config.max_no_cancel();
        Status::resource_exhausted(format!(
            "{method} was not begun: {most} handlers of `no_cancel` methods run at the other side, which is as many as it takes \
             (Config::max_no_cancel there); call again when some of them have ended"
        ))
        .not_executed()
    }

    fn unimplemented(&self, method: u32) -> Status {
        let offered = self.hosting.contracts().zip(&self.instances).filter(|(_, instance)| instance.is_some());
        let hosted = list(offered.map(|(contract, _)| contract), ", ");
        let hosted = if hosted.is_empty() { "nothing" } else { &hosted };
        tracing::debug!(method, hosted, "a call came for a method that is not hosted");
        Status::unimplemented(format!(
            "method {method:#010x} is not hosted by the other side, which hosts {hosted}; \
             is it a newer method, or another contract?"
        ))
        .not_executed()
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        self.stop_all();
    }
}
