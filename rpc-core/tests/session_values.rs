//! The values that an application keeps on a session.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32, Ordering},
};

use rpc_core::{
    Code, Config, ConnectionError, ConnectionInfo, Context, Hosting, Session, SessionHooks, Status, async_trait,
    intercept::{CallInfo, Direction, Interceptor, Next, Reply},
    session::{connect, connect_in_memory, memory},
};
use rpc_testing::{SOON, until};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::timeout,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Operator,
    Guest,
}

/// The calls of one session.
#[derive(Default)]
struct Calls(AtomicU32);

#[rpc_core::service]
trait Plant {
    /// What the session says of its caller, with the number of this call.
    async fn role(&self, cx: &Context<PlantClient>) -> (bool, u32);
}

struct Belt;

impl Plant for Belt {
    async fn role(&self, cx: &Context<PlantClient>) -> (bool, u32) {
        let session = cx.session();
        let calls = session.get::<Calls>().unwrap();
        (session.get() == Some(Arc::new(Role::Operator)), calls.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// Puts values on each session, and reports its role at the end.
struct Door(UnboundedSender<Option<Arc<Role>>>);

#[async_trait]
impl SessionHooks for Door {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        assert!(session.insert(Role::Operator).is_none() && session.insert(Calls::default()).is_none());
        Ok(())
    }

    async fn closed(&self, session: &Session, _: &ConnectionError) {
        tokio::task::yield_now().await;
        self.0.send(session.get()).unwrap();
    }
}

struct NoGuests;

#[async_trait]
impl Interceptor for NoGuests {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let is_guest = call.session_value::<Role>().as_deref() == Some(&Role::Guest);
        if call.direction() == Direction::Incoming && is_guest {
            return Err(Status::permission_denied("no guests"));
        }
        next.run(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_of_a_hook_is_found_until_the_closed_hooks_have_run() {
    for at_server in [true, false] {
        let (sender, mut roles) = unbounded_channel();
        let hosting = Hosting::builder().service(Belt.serve()).hooks(Door(sender)).interceptor(NoGuests);
        let (hosting, nothing) = (hosting.build().unwrap(), Hosting::default());
        let (callee, caller) = if at_server {
            connect_in_memory(&hosting, &nothing)
        } else {
            let (server, client) = connect_in_memory(&nothing, &hosting);
            (client, server)
        };
        timeout(SOON, callee.established()).await.unwrap().unwrap();
        let plant: PlantClient = caller.client();
        assert_eq!(plant.role().await, Ok((true, 0)));
        assert_eq!(plant.role().await, Ok((true, 1)));
        // The other end has values of its own.
        assert_eq!(caller.get::<Role>(), None);

        assert_eq!(callee.insert(Role::Guest).as_deref(), Some(&Role::Operator));
        assert_eq!(plant.role().await.unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(callee.remove::<Role>().as_deref(), Some(&Role::Guest));
        assert_eq!(callee.remove::<Role>(), None);
        assert_eq!(plant.role().await, Ok((false, 2)));
        callee.insert(Role::Guest);

        let calls: Weak<Calls> = Arc::downgrade(&callee.get().unwrap());
        drop(callee.close());
        assert_eq!(timeout(SOON, roles.recv()).await.unwrap().unwrap().as_deref(), Some(&Role::Guest));
        until("the values are dropped", || calls.strong_count() == 0).await;
        assert_eq!(callee.get::<Role>(), None);
    }
}

#[rpc_core::service]
trait Mill {
    /// Never ends by itself.
    async fn grind(&self, cx: &Context<MillClient>);
}

/// Says that it has begun, and then waits.
struct Stone(UnboundedSender<Option<Arc<Role>>>);

/// Reports the role on its session when it is dropped.
struct Guard(Session, UnboundedSender<Option<Arc<Role>>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.1.send(self.0.get()).unwrap();
    }
}

impl Mill for Stone {
    async fn grind(&self, cx: &Context<MillClient>) {
        let guard = Guard(cx.session(), self.0.clone());
        self.0.send(guard.0.get()).unwrap();
        std::future::pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_stopped_has_the_values_of_its_session_to_its_end() {
    for with_hooks in [false, true] {
        let (sender, mut roles) = unbounded_channel();
        let hosting = Hosting::builder().service(Stone(sender).serve());
        let (told, mut ends) = unbounded_channel();
        let hosting = if with_hooks { hosting.hooks(Door(told)) } else { hosting };
        let (server, client) = connect_in_memory(&hosting.build().unwrap(), &Hosting::default());
        timeout(SOON, client.established()).await.unwrap().unwrap();
        server.insert(Role::Operator);
        let mill: MillClient = client.client();
        let call = tokio::spawn(async move { mill.grind().await });
        assert!(timeout(SOON, roles.recv()).await.unwrap().unwrap().is_some(), "it has begun");
        let closed = server.close();
        let role = timeout(SOON, roles.recv()).await.unwrap().unwrap();
        assert_eq!(role.as_deref(), Some(&Role::Operator), "hooks: {with_hooks}");
        call.await.unwrap().unwrap_err();
        timeout(SOON, closed).await.unwrap();
        if with_hooks {
            assert!(timeout(SOON, ends.recv()).await.unwrap().unwrap().is_some());
        }
        until("the values are dropped", || server.get::<Role>().is_none()).await;
    }
}

/// A value that holds its own session, and counts its drop.
struct Own(#[expect(dead_code, reason = "it is only held")] Session, Arc<AtomicU32>);

impl Drop for Own {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_drops_a_value_that_holds_its_session_and_later_ones() {
    let (server, client) = connect_in_memory(&Hosting::default(), &Hosting::default());
    let drops = Arc::<AtomicU32>::default();
    for session in [&server, &client] {
        session.insert(Own(session.clone(), drops.clone()));
    }
    client.close().await;
    server.closed().await;
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    assert!(server.insert(Own(server.clone(), drops.clone())).is_none());
    assert_eq!(drops.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_driver_that_is_dropped_drops_the_values() {
    let (near, _far) = memory();
    let drops = Arc::<AtomicU32>::default();
    let (session, driver) = connect(near, &Hosting::default(), &Config::default(), ConnectionInfo::default());
    session.insert(Own(session.clone(), drops.clone()));
    drop(driver);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_panics_in_its_drop_does_not_stop_the_end() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as the test wants");
        }
    }
    let (server, client) = connect_in_memory(&Hosting::default(), &Hosting::default());
    server.insert(Bomb);
    client.close().await;
    timeout(SOON, server.closed()).await.unwrap();
    assert!(server.stats().is_at_rest());
}
