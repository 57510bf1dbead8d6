//! Handlers that block their threads: the end of a server does not wait for them, and the log names them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::IntoFuture,
    pin::pin,
    sync::{Arc, Condvar, Mutex},
    task::{Context as TaskContext, Poll, Wake},
    thread::{self, Thread},
    time::Duration,
};

use rpc_client::Connect;
use rpc_core::{
    Config, ConnectionError, Context, Credential, Identity, Session, SessionHooks, SessionId, Status, Stub, async_trait,
};
use rpc_server::{AuthError, Authenticator, ConnectionInfo, Server, ServerHandle};
use rpc_testing::{Line, Lines, SOON, until};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::timeout,
};
use tracing::Level;

/// The warnings about this session whose message contains `message`.
fn warnings(session: SessionId, message: &str) -> Vec<Line> {
    let about = |line: &Line| line.field("session") == session.to_string() && line.field("message").contains(message);
    Lines::of_all_threads(Level::WARN).into_iter().filter(about).collect()
}

#[rpc_core::callback]
trait Asker {
    async fn confirm(&self) -> bool;
}

#[rpc_core::service(callback = Asker)]
trait Press {
    /// Blocks its thread until the test opens the gate.
    async fn block(&self);
    #[rpc(spawn)]
    async fn block_apart(&self);
    /// Blocks its thread on a callback.
    async fn ask(&self, cx: &Context<AskerClient>) -> Result<bool, Status>;
    #[rpc(spawn)]
    async fn ask_apart(&self, cx: &Context<AskerClient>) -> Result<bool, Status>;
    async fn ready(&self) -> bool;
}

/// A gate for threads.
#[derive(Default)]
struct Gate {
    /// The number of threads that have arrived, and whether the gate is open.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        while !state.1 {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn came(&self) {
        self.state.lock().unwrap().0 += 1;
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn arrived(&self) -> usize {
        self.state.lock().unwrap().0
    }
}

#[derive(Clone, Default)]
struct Machine(Arc<Gate>);

impl Press for Machine {
    async fn block(&self) {
        self.0.pass();
    }
    async fn block_apart(&self) {
        self.0.pass();
    }
    async fn ask(&self, cx: &Context<AskerClient>) -> Result<bool, Status> {
        self.0.came();
        block_on(cx.peer().confirm())
    }
    async fn ask_apart(&self, cx: &Context<AskerClient>) -> Result<bool, Status> {
        self.0.came();
        block_on(cx.peer().confirm())
    }
    async fn ready(&self) -> bool {
        true
    }
}

struct Yes;

impl Asker for Yes {
    async fn confirm(&self) -> bool {
        true
    }
}

/// Runs a future on this thread, as `futures::executor::block_on` does.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (waker, mut future) = (Arc::new(Unpark(thread::current())).into(), pin!(future));
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn hasty() -> Config {
    Config::builder().drain_timeout(Duration::from_millis(400)).drain_grace(Duration::from_millis(100)).build().unwrap()
}

/// A server with one client, whose call blocks a thread of the server's runtime. The client has a runtime of its own.
async fn blocked(call: &'static str, clients: &Handle, servers: &Handle) -> (ServerHandle, Machine, SessionId) {
    Lines::keep();
    let machine = Machine::default();
    let server = {
        let machine = machine.clone();
        let listen = Server::builder().service(machine.serve()).config(hasty()).listen("127.0.0.1:0");
        servers.spawn(listen).await.unwrap().unwrap()
    };
    let url = format!("ws://{}/", server.local_addr());
    let press = clients.spawn(async { PressClient::connect(url).callback(Yes.serve()).await });
    let press = press.await.unwrap().unwrap();
    clients.spawn(async move {
        let _ = match call {
            "block" => press.block().await.is_ok(),
            "block_apart" => press.block_apart().await.is_ok(),
            "ask" => press.ask().await.is_ok(),
            _ => press.ask_apart().await.is_ok(),
        };
        // The session of the client stays open.
        std::future::pending::<()>().await;
        drop(press);
    });
    until("the handler runs", || machine.0.arrived() == 1).await;
    let session = server.sessions().iter().next().unwrap().id();
    (server, machine, session)
}

/// Blocks its thread until the test opens the gate.
struct Doorman(Machine);

#[async_trait]
impl Authenticator for Doorman {
    async fn authenticate(&self, _: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        self.0.0.pass();
        Ok(Identity::new("ada"))
    }
}

/// Its connection has no session that could be named.
#[test]
fn an_authenticator_that_blocks_its_thread() {
    let (servers, own) = (runtime(), runtime());
    let at_servers = servers.handle().clone();
    let body = own.spawn(async move {
        Lines::keep();
        let machine = Machine::default();
        let builder = Server::builder().service(machine.clone().serve()).authenticator(Doorman(machine.clone()));
        let server = at_servers.spawn(builder.config(hasty()).listen("127.0.0.1:0")).await.unwrap().unwrap();
        let url = format!("ws://{}/", server.local_addr());
        let connect = PressClient::connect(url).callback(Yes.serve()).credentials(Credential::in_hello("ada"));
        let connecting = tokio::spawn(connect.into_future());
        until("the authenticator is asked", || machine.0.arrived() == 1).await;
        timeout(SOON, server.shutdown()).await.expect("the shutdown has its limit");
        let left = server.sessions().connections();
        let lines = Lines::of_all_threads(Level::WARN);
        let lines: Vec<_> = lines.iter().filter(|line| line.field("message").contains("no session yet")).collect();
        assert!(left == 1 && lines.len() == 1, "{left} left: {lines:?}");
        assert!(lines[0].field("peer").starts_with("127.0.0.1:"), "{lines:?}");
        machine.0.open();
        drop(timeout(SOON, connecting).await.expect("the client hears of the end"));
        until("the connection is over", || server.sessions().connections() == 0).await;
    });
    let outcome = own.block_on(body);
    [own, servers].into_iter().for_each(Runtime::shutdown_background);
    outcome.unwrap();
}

/// The test itself runs on a third runtime, so that it goes on when one of the other threads is blocked.
fn test(name: &'static str, gives_way: bool) {
    let (clients, servers, others, own) = (runtime(), runtime(), runtime(), runtime());
    let (at_clients, at_servers, at_others) =
        (clients.handle().clone(), servers.handle().clone(), others.handle().clone());
    let body = own.spawn(async move {
        let (server, machine, session) = blocked(name, &at_clients, &at_servers).await;
        timeout(SOON, server.shutdown()).await.expect("the shutdown has its limit");
        timeout(SOON, server.shutdown()).await.expect("a second shutdown does not restart the time limit");
        timeout(SOON, server.wait()).await.expect("the wait has the same limit");
        timeout(SOON, server.sessions().drain()).await.expect("the drain has the same limit");
        if !gives_way {
            let lost = warnings(session, "is lost");
            assert_eq!(lost.len(), 1, "{lost:?}");
            assert_eq!(lost[0].field("method"), format!("Press.{name}"));
        }
        // The handler still blocks its thread.
        if name.starts_with("block") || !gives_way {
            until("the watchdog has named it", || !warnings(session, "still blocks its thread").is_empty()).await;
            let named = warnings(session, "still blocks its thread");
            assert_eq!((named[0].field("contract"), named[0].field("method")), ("Press", name));
            assert!(named[0].field("blocked_ms").parse::<u64>().unwrap() >= 1000, "{named:?}");
            // Before the watchdog names another one, it looks several times more.
            let (_other, other_machine, other) = blocked("block", &at_clients, &at_others).await;
            until("the watchdog has named the other", || !warnings(other, "still blocks its thread").is_empty()).await;
            assert_eq!(warnings(session, "still blocks its thread").len(), 1, "once");
            other_machine.0.open();
        }
        machine.0.open();
    });
    let outcome = own.block_on(body);
    // The shutdown of these runtimes does not wait for blocked threads.
    [own, servers, others, clients].into_iter().for_each(Runtime::shutdown_background);
    outcome.unwrap();
}

#[test]
fn a_handler_that_blocks_its_thread() {
    test("block", false);
}

/// The session of a spawned handler can be closed, and is not lost.
#[test]
fn a_spawned_handler_that_blocks_its_thread() {
    test("block_apart", true);
}

#[test]
fn a_handler_that_blocks_its_thread_on_a_callback() {
    test("ask", false);
}

/// The answer to the callback comes if the driver runs on another thread. It does not come if the driver was to run
/// next on the blocked thread.
#[test]
fn a_spawned_handler_that_blocks_its_thread_on_a_callback() {
    test("ask_apart", true);
}

/// Blocks its thread when it is dropped.
struct Heavy(Machine);

impl Drop for Heavy {
    fn drop(&mut self) {
        self.0.0.pass();
    }
}

#[rpc_core::service]
trait Anvil {
    async fn strike(&self) -> bool;
}

impl Anvil for Heavy {
    async fn strike(&self) -> bool {
        true
    }
}

#[test]
fn an_object_that_blocks_its_thread_while_it_is_dropped() {
    Lines::keep();
    let (own, servers) = (runtime(), runtime());
    let at_servers = servers.handle().clone();
    let machine = Machine::default();
    let body = own.spawn(async move {
        let heavy = machine.clone();
        let service = Anvil::per_session(move |_| Heavy(heavy.clone()));
        let listen = Server::builder().service(service).config(hasty()).listen("127.0.0.1:0");
        let server = at_servers.spawn(listen).await.unwrap().unwrap();
        let anvil = AnvilClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap();
        assert_eq!(anvil.strike().await, Ok(true));
        let session = server.sessions().iter().next().unwrap().id();
        anvil.session().close();
        until("the object is dropped", || machine.0.arrived() == 1).await;
        timeout(SOON, server.shutdown()).await.expect("the shutdown has its limit");
        assert_eq!(warnings(session, "is lost").len(), 1);
        until("the watchdog has named it", || !warnings(session, "dropping of a session's object").is_empty()).await;
        machine.0.open();
    });
    let outcome = own.block_on(body);
    [own, servers].into_iter().for_each(Runtime::shutdown_background);
    outcome.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_hooks_that_take_long_do_not_hold_the_end_and_run_on() {
    struct Slow(Arc<tokio::sync::Semaphore>, Arc<Gate>);
    #[async_trait]
    impl SessionHooks for Slow {
        async fn closed(&self, _: &Session, _: &ConnectionError) {
            self.0.acquire().await.unwrap().forget();
            self.1.came();
        }
    }
    Lines::keep();
    let (go, done) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::<Gate>::default());
    let hooks = [(); 3].map(|()| Slow(go.clone(), done.clone()));
    let builder =
        hooks.into_iter().fold(Server::builder().service(Machine::default().serve()), |b, hook| b.hooks(hook));
    let server = builder.config(hasty()).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let press = PressClient::connect(url).callback(Yes.serve()).await.unwrap();
    assert_eq!(press.ready().await, Ok(true));
    let session = server.sessions().iter().next().unwrap().id();
    timeout(SOON, server.shutdown()).await.unwrap();
    timeout(SOON, press.session().closed()).await.unwrap();
    assert_eq!(warnings(session, "`closed` hooks").len(), 1);
    assert_eq!(done.arrived(), 0);
    go.add_permits(3);
    until("they have run on", || done.arrived() == 3).await;
}
