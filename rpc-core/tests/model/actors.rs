//! Objects that do what they are told, and watch each other while they do.

use std::{
    collections::{HashMap, HashSet},
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use rpc_core::{
    CallError, CallOptions, Code, Concurrency, Context, Execution, Hosting, Reason, Service, Stats, Status, Stub,
};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    pairs::{Ends, config, host, open_with, until},
    plans::{Call, Cast, Hosted, Instancing, Method, Patience, Place, Spawning, Step, Steps},
    tally::{Tally, count},
};

/// How long a call may take that says nothing else.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that rounding adds to a deadline on its way.
const SLACK: Duration = Duration::from_millis(3);

/// What a call carries.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
    /// The calls in whose handlers it has its origin, the first one first.
    chain: Vec<u64>,
    place: Place,
    method: Method,
    steps: Steps,
}

/// A fault of the contract's own.
#[derive(Debug, Serialize, Deserialize)]
struct Oops(u32);

macro_rules! contracts {
    ($($attribute:ident $(($($options:tt)*))? $contract:ident, peer $peer:ident;)*) => {
        $(
            #[rpc_core::$attribute $(($($options)*))?]
            trait $contract {
                async fn run(&self, cx: &Context<$peer>, job: Job) -> Result<u32, Oops>;
                #[rpc(no_cancel)]
                async fn sure(&self, cx: &Context<$peer>, job: Job) -> Result<u32, Status>;
                #[rpc(oneway)]
                async fn tell(&self, cx: &Context<$peer>, job: Job);
            }

            impl $contract for Actor {
                async fn run(&self, cx: &Context<$peer>, job: Job) -> Result<u32, Oops> {
                    self.act(cx, job).await.map_err(|_| Oops(1))
                }
                async fn sure(&self, cx: &Context<$peer>, job: Job) -> Result<u32, Status> {
                    self.act(cx, job).await.map_err(|_| Status::not_found("as asked"))
                }
                async fn tell(&self, cx: &Context<$peer>, job: Job) {
                    let _ = self.act(cx, job).await;
                }
            }
        )*
    };
}

contracts! {
    service (callback = Mirror) Red, peer MirrorClient;
    service (callback = Mirror) Green, peer MirrorClient;
    service (callback = Mirror) Blue, peer MirrorClient;
    callback Mirror, peer RedClient;
}

macro_rules! hosted {
    ($contract:ident, $world:expr, $hosted:expr) => {{
        let (world, hosted): (Arc<World>, Hosted) = ($world.clone(), $hosted);
        let service: Service = match hosted.instancing {
            Instancing::Shared => $contract::serve(Actor::new(&world, hosted)),
            Instancing::PerSession => <Actor as $contract>::per_session(move |_| Actor::new(&world, hosted)),
            Instancing::PerCall => <Actor as $contract>::per_call(move |_| Actor::new(&world, hosted)),
        };
        service.concurrency(hosted.concurrency)
    }};
}

/// The sessions, and all that is known of the calls made through them.
pub(crate) struct World {
    ends: Mutex<Vec<Ends>>,
    tally: Arc<Tally>,
    violations: Mutex<Vec<String>>,
    ids: AtomicU64,
    ran: Mutex<HashSet<u64>>,
    not_executed: Mutex<HashSet<u64>>,
    /// That handlers spawned.
    tasks: AtomicUsize,
    /// Handlers.
    running: Mutex<HashSet<u64>>,
    /// Calls whose callers have stopped waiting, and since when.
    over: Mutex<HashMap<u64, Instant>>,
}

impl World {
    /// `tally` may count for several worlds.
    pub(crate) fn new(cast: &Cast, tally: &Arc<Tally>) -> Arc<Self> {
        let world = Arc::new(Self {
            ends: Mutex::default(),
            tally: tally.clone(),
            violations: Mutex::default(),
            ids: AtomicU64::new(1),
            ran: Mutex::default(),
            not_executed: Mutex::default(),
            tasks: AtomicUsize::new(0),
            running: Mutex::default(),
            over: Mutex::default(),
        });
        let [red, green, blue] = cast.objects;
        let server = Hosting::builder()
            .service(hosted!(Red, world, red))
            .service(hosted!(Green, world, green))
            .service(hosted!(Blue, world, blue));
        let server = server.build().unwrap();
        let config = config(|config| {
            let config = config.call_timeout(CALL_TIMEOUT);
            if !cast.tight {
                return config;
            }
            config.max_calls(1).nested_calls(1).max_oneway_calls(1).nested_wait(Duration::from_millis(20))
        });
        for mirror in cast.mirrors {
            let client = host(hosted!(Mirror, world, mirror));
            world.ends.lock().unwrap().push(open_with(&server, &client, config.clone()));
        }
        world
    }

    /// Makes a call that is not made in a handler.
    pub(crate) async fn start(self: Arc<Self>, place: Place, call: Call) {
        self.call(place, call, None, Vec::new()).await;
    }

    /// Waits until nothing is left, and says what went wrong.
    pub(crate) async fn end(&self) -> Vec<String> {
        until("everything at rest", || {
            let ends = self.ends.lock().unwrap();
            let mut sessions = ends.iter().flat_map(|ends| [&ends.server, &ends.client]);
            self.tasks.load(Ordering::SeqCst) == 0 && sessions.all(|session| session.stats() == Stats::default())
        })
        .await;
        let running = self.running.lock().unwrap().clone();
        if !running.is_empty() {
            self.violation(format!("{running:?} run, and no session counts them"));
        }
        let all = std::mem::take(&mut *self.ends.lock().unwrap());
        for ends in &all {
            ends.client.close();
            ends.server.closed().await;
        }
        let ran = self.ran.lock().unwrap();
        for id in self.not_executed.lock().unwrap().intersection(&ran) {
            self.violation(format!("call {id} ran, and its caller was told that it had not"));
        }
        self.violations.lock().unwrap().clone()
    }

    fn violation(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }

    /// Makes a call and looks at how it ends. `inherited` is the deadline of the handler that makes it.
    async fn call(self: Arc<Self>, from: Place, call: Call, inherited: Option<Instant>, chain: Vec<u64>) {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (method, patience) = (call.method, call.patience);
        let own = match patience {
            Patience::Timeout(ms) => Duration::from_millis(ms),
            Patience::Default | Patience::Drop(_) => CALL_TIMEOUT,
        };
        let begun = Instant::now();
        let due = inherited.map_or(begun + own, |inherited| inherited.min(begun + own));
        count(&self.tally.begun);
        let _waiting = (method != Method::Tell).then(|| Waiting { world: self.clone(), id, method });
        let sent = self.send(from, id, call, chain);
        let ended = match patience {
            Patience::Drop(ms) => timeout(Duration::from_millis(ms), sent).await.ok(),
            _ => Some(sent.await),
        };
        let Some(ended) = ended else { return count(&self.tally.given_up) };
        let now = Instant::now();
        if now > due.max(begun) + SLACK {
            self.violation(format!("call {id} ended {:?} after its deadline: {ended:?}", now - due));
        }
        self.judge(id, method, &ended, now - begun);
    }

    /// The call itself.
    async fn send(&self, from: Place, id: u64, call: Call, chain: Vec<u64>) -> Result<u32, CallError<Oops>> {
        let place = from.far(&call);
        // A one-way call begins a chain of its own.
        let chain = if call.method == Method::Tell { Vec::new() } else { chain };
        let job = Job { id, chain, place, method: call.method, steps: call.steps };
        let options = match call.patience {
            Patience::Timeout(ms) => CallOptions::new().timeout(Duration::from_millis(ms)),
            _ => CallOptions::new(),
        };
        macro_rules! through {
            ($client:ident) => {{
                let client = self.stub::<$client>(place).with(options);
                match call.method {
                    Method::Run => client.run(job).await,
                    Method::Sure => client.sure(job).await.map_err(CallError::Status),
                    Method::Tell => client.tell(job).await.map(|()| 0).map_err(CallError::Status),
                }
            }};
        }
        match (place, call.object) {
            (Place::Client(_), _) => through!(MirrorClient),
            (Place::Server(_), 0) => through!(RedClient),
            (Place::Server(_), 1) => through!(GreenClient),
            (Place::Server(_), _) => through!(BlueClient),
        }
    }

    /// A way to the objects of a place.
    fn stub<C: Stub>(&self, place: Place) -> C {
        let ends = self.ends.lock().unwrap();
        match place {
            Place::Client(session) => ends[session].server.client(),
            Place::Server(session) => ends[session].client.client(),
        }
    }

    fn judge(&self, id: u64, method: Method, ended: &Result<u32, CallError<Oops>>, took: Duration) {
        let ran = self.ran.lock().unwrap().contains(&id);
        let status = match ended {
            Ok(_) | Err(CallError::Fault(_)) => {
                count(if ended.is_ok() { &self.tally.succeeded } else { &self.tally.faults });
                if !ran && method != Method::Tell {
                    self.violation(format!("call {id} has a result and did not run"));
                }
                return;
            }
            Err(CallError::Status(status)) => status,
        };
        if status.execution() == Execution::NotExecuted {
            self.not_executed.lock().unwrap().insert(id);
        }
        match (status.code(), status.reason()) {
            (Code::DeadlineExceeded, None) if took < CALL_TIMEOUT => count(&self.tally.late),
            (Code::DeadlineExceeded, None) => count(&self.tally.stuck),
            (Code::Aborted, Some(Reason::WouldDeadlock)) => {
                count(&self.tally.would_deadlock);
                if status.execution() != Execution::NotExecuted {
                    self.violation(format!("call {id} was refused and may have run: {status}"));
                }
            }
            // As asked.
            (Code::NotFound, None) => count(&self.tally.faults),
            // No permit.
            (Code::ResourceExhausted, None) => count(&self.tally.exhausted),
            _ => self.violation(format!("call {id} ended with {status:?}")),
        }
    }

    /// Spawns something that `end` waits for.
    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        let world = self.clone();
        tokio::spawn(async move {
            work.await;
            world.tasks.fetch_sub(1, Ordering::SeqCst);
        })
    }
}

/// The wait for a call.
struct Waiting {
    world: Arc<World>,
    id: u64,
    method: Method,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (world, id) = (self.world.clone(), self.id);
        world.over.lock().unwrap().insert(id, Instant::now());
        if self.method == Method::Sure {
            // Its handler may run on.
            return;
        }
        self.world.spawn(async move {
            sleep(SLACK).await;
            if world.running.lock().unwrap().contains(&id) {
                world.violation(format!("call {id} runs on after its caller has stopped waiting"));
            }
        });
    }
}

/// Ended before its last step.
struct Failed;

/// An object.
struct Actor {
    world: Arc<World>,
    hosted: Hosted,
    /// The calls being served.
    running: Mutex<Vec<u64>>,
    polling: AtomicBool,
}

impl Actor {
    fn new(world: &Arc<World>, hosted: Hosted) -> Self {
        Self { world: world.clone(), hosted, running: Mutex::default(), polling: AtomicBool::new(false) }
    }

    /// Serves a call.
    async fn act<C: Stub>(&self, cx: &Context<C>, job: Job) -> Result<u32, Failed> {
        let mut running = self.enter(&job);
        let (place, mut chain) = (job.place, job.chain);
        chain.push(job.id);
        let mut work = Box::pin(async {
            for step in job.steps {
                self.step(cx, place, &chain, step).await?;
            }
            Ok(1)
        });
        let ended = poll_fn(|task| {
            let overlaps = self.polling.swap(true, Ordering::SeqCst);
            if overlaps && self.hosted.concurrency != Concurrency::Multiple {
                self.world.violation(format!("call {} is polled inside another poll of its object", job.id));
            }
            let polled = work.as_mut().poll(task);
            self.polling.store(false, Ordering::SeqCst);
            polled
        })
        .await;
        running.ended = true;
        ended
    }

    /// Notes that the call runs now, and checks which other calls run.
    fn enter(&self, job: &Job) -> Running<'_> {
        let world = &self.world;
        if !world.ran.lock().unwrap().insert(job.id) {
            world.violation(format!("call {} ran twice", job.id));
        }
        count(&world.tally.ran);
        let over = world.over.lock().unwrap().get(&job.id).map(|over| over.elapsed());
        if over.is_some_and(|over| over > SLACK) {
            world.violation(format!("call {} began {over:?} after its end", job.id));
        }
        let mut running = self.running.lock().unwrap();
        let of_the_chain = running.iter().any(|other| job.chain.contains(other));
        let alone = running.is_empty();
        let allowed = match self.hosted.concurrency {
            Concurrency::Single => alone,
            Concurrency::Reentrant => alone || of_the_chain,
            _ => true,
        };
        if !allowed {
            let (id, chain, hosted) = (job.id, &job.chain, self.hosted);
            world.violation(format!("call {id} of {chain:?} was let in to {hosted:?} while {running:?} ran"));
        }
        if of_the_chain {
            count(&world.tally.let_in);
        }
        running.push(job.id);
        world.running.lock().unwrap().insert(job.id);
        Running { actor: self, id: job.id, method: job.method, ended: false }
    }

    fn step<'a, C: Stub>(
        &'a self,
        cx: &'a Context<C>,
        place: Place,
        chain: &'a [u64],
        step: Step,
    ) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send + 'a>> {
        Box::pin(async move {
            match step {
                Step::Sleep(ms) => sleep(Duration::from_millis(ms)).await,
                Step::Call(call) => self.call(cx, place, chain.to_vec(), call).await,
                Step::Together(steps) => {
                    let all = join_all(steps.into_iter().map(|step| self.step(cx, place, chain, step))).await;
                    all.into_iter().collect::<Result<(), Failed>>()?;
                }
                Step::Fail => return Err(Failed),
            }
            Ok(())
        })
    }

    async fn call<C: Stub>(&self, cx: &Context<C>, place: Place, chain: Vec<u64>, call: Call) {
        let inherited = cx.deadline().map(Instant::from_std);
        let world = self.world.clone();
        let spawned = match call.spawning {
            Spawning::Inline => return world.call(place, call, inherited, chain).await,
            Spawning::Detached => {
                self.world.spawn(cx.scope(world.call(place, call, inherited, chain)));
                return;
            }
            Spawning::Scoped => self.world.spawn(cx.scope(world.call(place, call, inherited, chain))),
            Spawning::Unscoped => self.world.spawn(world.call(place, call, None, Vec::new())),
        };
        spawned.await.unwrap();
    }
}

/// A call being served.
struct Running<'a> {
    actor: &'a Actor,
    id: u64,
    method: Method,
    ended: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let world = &self.actor.world;
        world.running.lock().unwrap().remove(&self.id);
        if self.method == Method::Sure && !self.ended {
            world.violation(format!("call {} was stopped, and may not be", self.id));
        }
        self.actor.running.lock().unwrap().retain(|id| *id != self.id);
    }
}
