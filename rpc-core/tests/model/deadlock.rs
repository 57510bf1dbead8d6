//! Calls that come back to an object that is waiting for them, by every route.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rpc_core::{CallOptions, Code, Concurrency, Context, Execution, Hosting, Reason, Session, Status, Streaming, Stub};
use serde::{Deserialize, Serialize};

use crate::pairs::{Ends, at_rest, host, open, settle};

/// How the handler reaches the client that calls the object again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Route {
    /// By the stub of the handler's context.
    Peer,
    /// By a stub that the object holds.
    Field,
    /// By a stub of another session.
    Third,
    /// By a stub of another session, in a task inside `cx.scope`.
    Scoped,
    /// By a stub of another session, whose client asks a third client.
    Far,
}

#[rpc_core::service(callback = Mirror)]
trait Hall {
    async fn enter(&self, cx: &Context<MirrorClient>, route: Route) -> Result<u32, Status>;
    async fn look(&self) -> u32;
}

/// Hosted beside the hall, and never busy.
#[rpc_core::service(callback = Mirror)]
trait Porch {
    async fn pass_on(&self) -> Result<u32, Status>;
}

#[rpc_core::callback]
trait Mirror {
    /// Looks into the hall; or, if `far`, onto the porch, which asks another client to look.
    async fn reflect(&self, cx: &Context<HallClient>, far: bool) -> Result<u32, Status>;
}

/// Sessions that the objects know, from the server's side.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<Vec<Session>>>);

impl Known {
    fn mirror(&self, index: usize) -> MirrorClient {
        self.0.lock().unwrap()[index].client()
    }
}

struct GreatHall(Known);

impl Hall for GreatHall {
    async fn enter(&self, cx: &Context<MirrorClient>, route: Route) -> Result<u32, Status> {
        match route {
            Route::Peer => cx.peer().reflect(false).await,
            Route::Field => self.0.mirror(0).reflect(false).await,
            Route::Third => self.0.mirror(1).reflect(false).await,
            Route::Far => self.0.mirror(1).reflect(true).await,
            Route::Scoped => {
                let mirror = self.0.mirror(1);
                tokio::spawn(cx.scope(async move { mirror.reflect(false).await })).await.unwrap()
            }
        }
    }

    async fn look(&self) -> u32 {
        7
    }
}

struct FrontPorch(Known);

impl Porch for FrontPorch {
    async fn pass_on(&self) -> Result<u32, Status> {
        self.0.mirror(2).reflect(false).await
    }
}

struct Glass;

impl Mirror for Glass {
    async fn reflect(&self, cx: &Context<HallClient>, far: bool) -> Result<u32, Status> {
        if far { cx.session().client::<PorchClient>().pass_on().await } else { cx.peer().look().await }
    }
}

fn three_sessions(concurrency: Concurrency) -> Vec<Ends> {
    let known = Known::default();
    let hosting = Hosting::builder()
        .service(GreatHall(known.clone()).serve().concurrency(concurrency))
        .service(FrontPorch(known.clone()).serve());
    let server = hosting.build().unwrap();
    let ends: Vec<_> = (0..3).map(|_| open(&server, &host(Glass.serve()))).collect();
    known.0.lock().unwrap().extend(ends.iter().map(|ends| ends.server.clone()));
    ends
}

#[tokio::test(start_paused = true)]
async fn a_single_object_refuses_a_call_that_would_wait_for_itself() {
    let ends = three_sessions(Concurrency::Single);
    let hall: HallClient = ends[0].client.client();
    for route in [Route::Peer, Route::Field, Route::Third, Route::Scoped, Route::Far] {
        // What the handler returns, it returns as its own.
        let status = hall.enter(route).await.unwrap_err();
        assert_eq!((status.code(), status.reason()), (Code::Aborted, None), "{route:?}: {status}");
        assert_eq!(status.execution(), Execution::Unknown, "{route:?}: the method did run");
        assert!(status.message().contains("Hall.enter -> Mirror.reflect -> "), "{route:?}: {status}");
        assert!(status.message().contains("Hall.look"), "{route:?}: {status}");
        let names_the_porch = status.message().contains("-> Porch.pass_on -> Mirror.reflect -> Hall.look");
        assert_eq!(names_the_porch, matches!(route, Route::Far), "{status}");
    }
    for ends in &ends {
        at_rest(ends).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reentrant_object_lets_it_in() {
    let ends = three_sessions(Concurrency::Reentrant);
    let hall: HallClient = ends[0].client.client();
    for route in [Route::Peer, Route::Field, Route::Third, Route::Scoped, Route::Far] {
        assert_eq!(hall.enter(route).await, Ok(7), "{route:?}");
    }
    for ends in &ends {
        at_rest(ends).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_refusal_says_so_to_programs_and_that_nothing_ran() {
    struct Witness(tokio::sync::mpsc::UnboundedSender<Status>);
    impl Mirror for Witness {
        async fn reflect(&self, cx: &Context<HallClient>, _: bool) -> Result<u32, Status> {
            let refused = cx.peer().look().await.unwrap_err();
            self.0.send(refused.clone()).unwrap();
            Err(refused)
        }
    }
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = host(GreatHall(Known::default()).serve().concurrency(Concurrency::Single));
    let ends = open(&server, &host(Witness(tell).serve()));
    ends.client.client::<HallClient>().enter(Route::Peer).await.unwrap_err();
    let status = told.recv().await.unwrap();
    assert_eq!((status.code(), status.reason()), (Code::Aborted, Some(Reason::WouldDeadlock)));
    assert_eq!(status.execution(), Execution::NotExecuted);
    assert!(!status.is_retryable(), "the same would happen again");
}

/// A task that was spawned without `cx.scope` is a chain of its own: it waits for its turn.
#[tokio::test(start_paused = true)]
async fn a_call_outside_the_chain_waits_for_its_turn() {
    #[rpc_core::service]
    trait Till {
        async fn begin(&self, cx: &Context<TillClient>) -> bool;
        async fn count(&self) -> u32;
    }
    struct Box;
    impl Till for Box {
        async fn begin(&self, cx: &Context<TillClient>) -> bool {
            // The other side hosts a till as well.
            let till = cx.session().client::<TillClient>();
            let counting = tokio::spawn(async move { till.count().await });
            settle().await;
            !counting.is_finished()
        }
        async fn count(&self) -> u32 {
            3
        }
    }
    let single = host(Box.serve().concurrency(Concurrency::Single));
    // The same object at both ends: the spawned call comes back to it.
    let ends = open(&single, &single);
    assert!(ends.client.client::<TillClient>().begin().await.unwrap());
    at_rest(&ends).await;
}

/// Two calls that one handler makes at once to one object are no deadlock: the second waits for the first.
#[tokio::test(start_paused = true)]
async fn siblings_queue() {
    #[rpc_core::callback]
    trait Pair {
        async fn both(&self, cx: &Context<SlowClient>) -> Result<u32, Status>;
    }
    #[rpc_core::service(callback = Pair)]
    trait Slow {
        async fn start(&self, cx: &Context<PairClient>) -> Result<u32, Status>;
    }
    #[rpc_core::service]
    trait Step {
        async fn step(&self) -> u32;
    }
    struct Server;
    impl Slow for Server {
        async fn start(&self, cx: &Context<PairClient>) -> Result<u32, Status> {
            cx.peer().both().await
        }
    }
    struct Stairs(AtomicU32);
    impl Step for Stairs {
        async fn step(&self) -> u32 {
            let before = self.0.load(Ordering::SeqCst);
            // The second call overtakes meanwhile, if it can.
            settle().await;
            self.0.store(before + 1, Ordering::SeqCst);
            before
        }
    }
    struct Two;
    impl Pair for Two {
        async fn both(&self, cx: &Context<SlowClient>) -> Result<u32, Status> {
            let step = StepClient::from_peer(cx.session().peer());
            let (one, two) = tokio::join!(step.step(), step.step());
            Ok(one? + two?)
        }
    }
    let server = Hosting::builder()
        .service(Server.serve())
        .service(Stairs(AtomicU32::new(0)).serve().concurrency(Concurrency::Single));
    let ends = open(&server.build().unwrap(), &host(Two.serve()));
    assert_eq!(ends.client.client::<SlowClient>().start().await, Ok(1), "0 and then 1: one after the other");
    at_rest(&ends).await;
}

/// Two chains that cross, each at an object that the other one wants. Neither is part of the other, so nothing is
/// refused: the earlier deadline ends one of them, and the other goes on.
#[tokio::test(start_paused = true)]
async fn two_chains_that_cross_are_ended_by_a_deadline() {
    #[rpc_core::callback]
    trait Walker {
        async fn cross(&self, cx: &Context<LeftClient>, to_the_left: bool) -> Result<u32, Status>;
    }
    #[rpc_core::service(callback = Walker)]
    trait Left {
        async fn enter_left(&self, cx: &Context<WalkerClient>) -> Result<u32, Status>;
        async fn look_left(&self) -> u32;
    }
    #[rpc_core::service(callback = Walker)]
    trait Right {
        async fn enter_right(&self, cx: &Context<WalkerClient>) -> Result<u32, Status>;
        async fn look_right(&self) -> u32;
    }
    struct Room(Arc<tokio::sync::Barrier>);
    impl Left for Room {
        async fn enter_left(&self, cx: &Context<WalkerClient>) -> Result<u32, Status> {
            self.0.wait().await;
            cx.peer().cross(false).await
        }
        async fn look_left(&self) -> u32 {
            1
        }
    }
    impl Right for Room {
        async fn enter_right(&self, cx: &Context<WalkerClient>) -> Result<u32, Status> {
            self.0.wait().await;
            cx.peer().cross(true).await
        }
        async fn look_right(&self) -> u32 {
            2
        }
    }
    struct Feet;
    impl Walker for Feet {
        async fn cross(&self, cx: &Context<LeftClient>, to_the_left: bool) -> Result<u32, Status> {
            let session = cx.session();
            if to_the_left { cx.peer().look_left().await } else { session.client::<RightClient>().look_right().await }
        }
    }
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let server = Hosting::builder()
        .service(Left::serve(Room(both.clone())).concurrency(Concurrency::Single))
        .service(Right::serve(Room(both)).concurrency(Concurrency::Single))
        .build()
        .unwrap();
    let (one, other) = (open(&server, &host(Feet.serve())), open(&server, &host(Feet.serve())));
    let left = one.client.client::<LeftClient>().with(CallOptions::new().timeout(Duration::from_secs(5)));
    let right = other.client.client::<RightClient>().with(CallOptions::new().timeout(Duration::from_secs(50)));
    let (left, right) = tokio::join!(left.enter_left(), right.enter_right());
    assert_eq!(left.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(right, Ok(1), "it had its turn when the other chain had ended");
    for ends in [&one, &other] {
        at_rest(ends).await;
    }
}

/// A hop between two other processes: the call comes back to its object as a new chain, so nothing is refused. The
/// deadline has come along through every session, and ends all of it.
#[tokio::test(start_paused = true)]
async fn a_chain_through_another_server_is_ended_by_the_deadline_that_comes_along() {
    #[rpc_core::callback]
    trait Courier {
        async fn fetch(&self) -> Result<u32, Status>;
    }
    #[rpc_core::service(callback = Courier)]
    trait Vault {
        async fn open(&self, cx: &Context<CourierClient>) -> Result<u32, Status>;
    }
    #[rpc_core::service]
    trait Depot {
        async fn ask(&self, cx: &Context<DepotClient>) -> Result<u32, Status>;
    }
    struct Steel;
    impl Vault for Steel {
        async fn open(&self, cx: &Context<CourierClient>) -> Result<u32, Status> {
            cx.peer().fetch().await
        }
    }
    /// Asks the other server, through a session of its own.
    struct Rider(DepotClient);
    impl Courier for Rider {
        async fn fetch(&self) -> Result<u32, Status> {
            self.0.ask().await
        }
    }
    /// The other server, which is a client of the first.
    struct Shed {
        vault: VaultClient,
        remaining: Arc<Mutex<Option<Duration>>>,
    }
    impl Depot for Shed {
        async fn ask(&self, cx: &Context<DepotClient>) -> Result<u32, Status> {
            *self.remaining.lock().unwrap() = cx.remaining();
            self.vault.open().await
        }
    }
    struct IdleCourier;
    impl Courier for IdleCourier {
        async fn fetch(&self) -> Result<u32, Status> {
            Ok(0)
        }
    }
    let vault = host(Steel.serve().concurrency(Concurrency::Single));
    let between = open(&vault, &host(IdleCourier.serve()));
    let remaining = Arc::<Mutex<Option<Duration>>>::default();
    let shed = Shed { vault: between.client.client(), remaining: remaining.clone() };
    let depot = open(&host(shed.serve()), &Hosting::default());
    let first = open(&vault, &host(Rider(depot.client.client()).serve()));
    let patient = first.client.client::<VaultClient>().with(CallOptions::new().timeout(Duration::from_secs(5)));
    assert_eq!(patient.open().await.unwrap_err().code(), Code::DeadlineExceeded);
    let left = remaining.lock().unwrap().expect("the call has a deadline at the other server");
    assert!(left <= Duration::from_secs(5), "{left:?}");
    for ends in [&first, &depot, &between] {
        at_rest(ends).await;
    }
}

/// The items of a stream come from the very object that reads it, which serves one call at a time.
#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_for_its_own_reader_is_ended_by_time() {
    #[rpc_core::service]
    trait Adder {
        async fn sum(&self, numbers: Streaming<u32>) -> Result<u32, Status>;
        async fn number(&self) -> u32;
    }
    struct Abacus;
    impl Adder for Abacus {
        async fn sum(&self, mut numbers: Streaming<u32>) -> Result<u32, Status> {
            let mut sum = 0;
            while let Some(number) = numbers.next().await {
                sum += number.map_err(|error| Status::unknown(error.to_string()))?;
            }
            Ok(sum)
        }
        async fn number(&self) -> u32 {
            1
        }
    }
    let ends = open(&host(Abacus.serve().concurrency(Concurrency::Single)), &Hosting::default());
    let adder = ends.client.client::<AdderClient>();
    let other = adder.with(CallOptions::new().timeout(Duration::from_secs(600)));
    let numbers = futures::stream::once(async move { other.number().await.unwrap_or(0) });
    assert_eq!(adder.sum(numbers).await.unwrap_err().code(), Code::DeadlineExceeded);
    at_rest(&ends).await;
}
