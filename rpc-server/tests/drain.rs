//! The drain of a server: handlers that need other sessions find these alive.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use rpc_client::{Client, Code, Connect, Execution, Reconnect, Stub, connect};
use rpc_core::{Config, Context, Status, Streaming};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{SOON, until};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::JoinHandle,
    time::timeout,
};

#[rpc_core::callback]
trait Bell {
    async fn ring(&self, deep: bool) -> Result<u32, Status>;
}

#[rpc_core::service(callback = Bell)]
trait Tower {
    /// Keeps the bell of this session for `toll`.
    async fn hang(&self, cx: &Context<BellClient>);
    /// Waits at the gate, and rings the bell that is kept.
    async fn toll(&self, deep: bool) -> Result<u32, Status>;
    /// Waits at the gate in a task of its own, which no call is around, and rings.
    async fn toll_later(&self);
    async fn count(&self) -> u32;
    /// The numbers from 0, each when the gate lets it through.
    async fn numbers(&self, most: u32) -> Streaming<u32>;
}

struct House {
    bell: OnceCell<BellClient>,
    gate: Semaphore,
    inside: Semaphore,
    later: std::sync::Mutex<Option<Status>>,
}

impl Default for House {
    fn default() -> Self {
        let closed = || Semaphore::new(0);
        Self { bell: OnceCell::new(), gate: closed(), inside: closed(), later: std::sync::Mutex::default() }
    }
}

impl House {
    async fn at_the_gate(&self) {
        self.inside.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
    }

    /// Waits until a handler has come to the gate.
    async fn until_inside(&self) {
        timeout(SOON, self.inside.acquire()).await.unwrap().unwrap().forget();
    }
}

#[derive(Clone, Default)]
struct Keeper(Arc<House>);

impl Tower for Keeper {
    async fn hang(&self, cx: &Context<BellClient>) {
        assert!(self.0.bell.set(cx.peer().clone()).is_ok());
    }

    async fn toll(&self, deep: bool) -> Result<u32, Status> {
        self.0.at_the_gate().await;
        self.0.bell.get().unwrap().ring(deep).await
    }

    async fn toll_later(&self) {
        let house = self.0.clone();
        tokio::spawn(async move {
            house.at_the_gate().await;
            let failed = house.bell.get().unwrap().ring(false).await.unwrap_err();
            *house.later.lock().unwrap() = Some(failed);
        });
    }

    async fn count(&self) -> u32 {
        7
    }

    async fn numbers(&self, most: u32) -> Streaming<u32> {
        let house = self.0.clone();
        Streaming::new(stream::iter(0..most).then(move |number| {
            let house = house.clone();
            async move {
                house.at_the_gate().await;
                number
            }
        }))
    }
}

/// A client's bell, which may ask the tower when it rings.
struct Brass;

impl Bell for Brass {
    async fn ring(&self, deep: bool) -> Result<u32, Status> {
        Ok(u32::from(deep))
    }
}

/// Asks the tower within its callback.
struct Deep(Arc<OnceCell<TowerClient>>);

impl Bell for Deep {
    async fn ring(&self, deep: bool) -> Result<u32, Status> {
        if deep { self.0.get().unwrap().count().await } else { Ok(1) }
    }
}

async fn serve(house: &Arc<House>, config: Config) -> ServerHandle {
    let service = Tower::serve(Keeper(house.clone()));
    Server::builder().service(service).config(config).listen("127.0.0.1:0").await.unwrap()
}

/// A server, a client that calls it, and another client whose bell is kept.
async fn all(config: Config) -> (Arc<House>, ServerHandle, TowerClient, TowerClient) {
    let house = Arc::<House>::default();
    let server = serve(&house, config).await;
    let url = format!("ws://{}/", server.local_addr());
    let caller = TowerClient::connect(&url).callback(Brass.serve()).reconnect(Reconnect::never()).await.unwrap();
    let own = Arc::<OnceCell<TowerClient>>::default();
    let idle =
        TowerClient::connect(&url).callback(Deep(own.clone()).serve()).reconnect(Reconnect::never()).await.unwrap();
    own.set(idle.session().client()).unwrap_or_else(|_| unreachable!());
    idle.hang().await.unwrap();
    (house, server, caller, idle)
}

fn shut_down(server: &ServerHandle) -> JoinHandle<()> {
    let server = server.server().clone();
    tokio::spawn(async move { server.shutdown().await })
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it takes too long")
}

#[tokio::test]
async fn a_handler_calls_the_client_of_a_session_that_is_idle() {
    for deep in [false, true] {
        let (house, server, caller, idle) = all(Config::default()).await;
        let toll = tokio::spawn(async move { caller.toll(deep).await });
        house.until_inside().await;
        let end = shut_down(&server);
        soon(idle.session().draining()).await;
        // A second shutdown joins the first one.
        let second = shut_down(&server);
        tokio::task::yield_now().await;
        let status = soon(idle.count()).await.unwrap_err();
        assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
        house.gate.add_permits(1);
        assert_eq!(soon(toll).await.unwrap(), Ok(if deep { 7 } else { 1 }));
        soon(end).await.unwrap();
        soon(second).await.unwrap();
        assert!(soon(idle.session().closed()).await.is_shut_down());
    }
}

#[tokio::test]
async fn work_that_no_call_is_around_is_not_waited_for() {
    let (house, server, caller, idle) = all(Config::default()).await;
    caller.toll_later().await.unwrap();
    house.until_inside().await;
    soon(server.shutdown()).await;
    assert!(soon(idle.session().closed()).await.is_shut_down());
    house.gate.add_permits(1);
    until("the work has failed", || house.later.lock().unwrap().is_some()).await;
    let failed = house.later.lock().unwrap().take().unwrap();
    assert_eq!((failed.code(), failed.execution()), (Code::Unavailable, Execution::NotExecuted));
}

#[tokio::test]
async fn a_handler_without_an_end_keeps_no_session_beyond_the_grace() {
    let config = Config::builder().drain_grace(Duration::from_millis(50)).build().unwrap();
    let (house, server, caller, idle) = all(config).await;
    let toll = tokio::spawn(async move { caller.toll(false).await });
    house.until_inside().await;
    soon(server.shutdown()).await;
    assert!(soon(idle.session().closed()).await.is_shut_down());
    assert_eq!(soon(toll).await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_client_that_vanishes_with_its_call_keeps_no_session() {
    let (house, server, caller, idle) = all(Config::default()).await;
    let session = caller.session();
    let toll = tokio::spawn(async move { caller.toll(false).await });
    house.until_inside().await;
    let end = shut_down(&server);
    soon(idle.session().draining()).await;
    session.close().await;
    soon(end).await.unwrap();
    assert!(soon(idle.session().closed()).await.is_shut_down());
    toll.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_stream_that_is_read_is_waited_for() {
    let (house, server, caller, idle) = all(Config::default()).await;
    let mut numbers = caller.numbers(2).await.unwrap();
    house.until_inside().await;
    let end = shut_down(&server);
    soon(idle.session().draining()).await;
    house.gate.add_permits(1);
    assert_eq!(soon(numbers.next()).await, Some(Ok(0)));
    // The producer waits for its second item, and its session is alive, as is the other one.
    house.until_inside().await;
    assert!(!end.is_finished());
    house.gate.add_permits(1);
    assert_eq!(soon(numbers.next()).await, Some(Ok(1)));
    assert_eq!(soon(numbers.next()).await, None);
    soon(end).await.unwrap();
    assert!(soon(idle.session().closed()).await.is_shut_down());
}

#[tokio::test]
async fn a_server_that_serves_nothing_ends_at_once() {
    let long = Config::builder().drain_grace(Duration::MAX).drain_timeout(Duration::MAX).build().unwrap();
    let house = Arc::<House>::default();
    let server = serve(&house, long).await;
    let url = format!("ws://{}/", server.local_addr());
    let mut clients = Vec::<Client>::new();
    for _ in 0..20 {
        clients.push(connect(&url).await.unwrap());
    }
    soon(server.shutdown()).await;
    for client in clients {
        assert!(soon(client.session().closed()).await.is_shut_down());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_call_each_other_all_end() {
    let (house, server, caller, _idle) = all(Config::default()).await;
    let callers: Vec<_> = (0..16)
        .map(|number| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.toll(number % 2 == 0).await })
        })
        .collect();
    for _ in 0..16 {
        house.until_inside().await;
    }
    let end = shut_down(&server);
    soon(caller.session().draining()).await;
    house.gate.add_permits(16);
    for (number, call) in callers.into_iter().enumerate() {
        assert_eq!(soon(call).await.unwrap(), Ok(if number % 2 == 0 { 7 } else { 1 }));
    }
    soon(end).await.unwrap();
}
