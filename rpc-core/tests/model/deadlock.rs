//! Calls that come back to an object that is waiting for them, by every way there is.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rpc_core::{Code, Concurrency, Context, Execution, Hosting, Reason, Session, Status, Stub};
use serde::{Deserialize, Serialize};

use crate::pairs::{Ends, at_rest, host, open};

/// How the handler reaches the client that calls the object again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Way {
    /// By the stub of its context.
    Peer,
    /// By a stub that the object keeps.
    Field,
    /// By a stub of another session.
    Third,
    /// In a task of its own, inside `cx.scope`.
    Scoped,
    /// As the last, and the other client goes on to a third.
    Far,
}

#[rpc_core::service(callback = Mirror)]
trait Hall {
    async fn enter(&self, cx: &Context<MirrorClient>, way: Way) -> Result<u32, Status>;
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
    async fn enter(&self, cx: &Context<MirrorClient>, way: Way) -> Result<u32, Status> {
        match way {
            Way::Peer => cx.peer().reflect(false).await,
            Way::Field => self.0.mirror(0).reflect(false).await,
            Way::Third => self.0.mirror(1).reflect(false).await,
            Way::Far => self.0.mirror(1).reflect(true).await,
            Way::Scoped => {
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
    for way in [Way::Peer, Way::Field, Way::Third, Way::Scoped, Way::Far] {
        // What the handler returns, it returns as its own.
        let status = hall.enter(way).await.unwrap_err();
        assert_eq!((status.code(), status.reason()), (Code::Aborted, None), "{way:?}: {status}");
        assert_eq!(status.execution(), Execution::Unknown, "{way:?}: the method did run");
        assert!(status.message().contains("Hall.enter -> Mirror.reflect -> "), "{way:?}: {status}");
        assert!(status.message().contains("Hall.look"), "{way:?}: {status}");
        let names_the_porch = status.message().contains("-> Porch.pass_on -> Mirror.reflect -> Hall.look");
        assert_eq!(names_the_porch, matches!(way, Way::Far), "{status}");
    }
    for ends in &ends {
        at_rest(ends).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reentrant_object_lets_it_in() {
    let ends = three_sessions(Concurrency::Reentrant);
    let hall: HallClient = ends[0].client.client();
    for way in [Way::Peer, Way::Field, Way::Third, Way::Scoped, Way::Far] {
        assert_eq!(hall.enter(way).await, Ok(7), "{way:?}");
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
    ends.client.client::<HallClient>().enter(Way::Peer).await.unwrap_err();
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
            tokio::time::sleep(Duration::from_secs(5)).await;
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
            tokio::time::sleep(Duration::from_secs(1)).await;
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
