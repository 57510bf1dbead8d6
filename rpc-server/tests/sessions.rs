//! The sessions of a server as a collection: they are counted, found, observed, and called back from any task.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::join_all};
use raw::{Raw, connections};
use rpc_client::Connect;
use rpc_core::{
    Concurrency, ConnectionError, Principal, Session, SessionHooks, SessionState, Status, Stub, async_trait,
};
use rpc_server::{Server, ServerHandle, SessionChange, SessionChanges, Sessions};
use rpc_testing::SOON;
use tokio::time::timeout;

#[rpc_core::callback]
trait Phone {
    async fn ring(&self, from: &str) -> String;
}

#[rpc_core::service(callback = Phone)]
trait Exchange {
    /// Rings all clients, the caller too, and returns the number of clients that answer.
    async fn ring_all(&self) -> u32;
}

/// Hosted beside `Exchange`. Clients that use only the directory host no `Phone`.
#[rpc_core::service]
trait Directory {
    async fn count(&self) -> usize;
}

struct Operator(Sessions);

impl Exchange for Operator {
    async fn ring_all(&self) -> u32 {
        let calls = self.0.clients::<PhoneClient>().map(|phone| async move { phone.ring("operator").await.is_ok() });
        join_all(calls).await.into_iter().map(u32::from).sum()
    }
}

impl Directory for Operator {
    async fn count(&self) -> usize {
        self.0.len()
    }
}

struct Bell(&'static str);

impl Phone for Bell {
    async fn ring(&self, from: &str) -> String {
        format!("{} hears {from}", self.0)
    }
}

struct Door;

#[async_trait]
impl SessionHooks for Door {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        let info = session.info();
        let name = info.headers.get("x-name").and_then(|name| name.to_str().ok());
        match name {
            Some("mallory") => Err(Status::permission_denied("not you")),
            Some(name) => {
                session.set_principal(Principal::new(name));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

async fn exchange() -> ServerHandle {
    let builder = Server::builder().hooks(Door);
    let operator = Arc::new(Operator(builder.sessions()));
    builder.service(Exchange::serve(Arc::clone(&operator))).listen("127.0.0.1:0").await.unwrap()
}

async fn phone(server: &ServerHandle, name: &'static str) -> ExchangeClient {
    let url = format!("ws://{}/", server.local_addr());
    ExchangeClient::connect(url).callback(Bell(name).serve()).header("x-name", name).await.unwrap()
}

async fn next(changes: &mut SessionChanges) -> SessionChange {
    timeout(SOON, changes.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn sessions_are_counted_and_found_by_id_and_principal() {
    let server = exchange().await;
    let sessions = server.sessions();
    assert!(sessions.is_empty());
    let ann = phone(&server, "ann").await;
    // As soon as `connect` returns, the session is in the collection.
    assert_eq!(sessions.len(), 1);
    let _bob = phone(&server, "bob").await;
    let _ann_too = phone(&server, "ann").await;
    assert_eq!(sessions.len(), 3);
    let of = |name: &str| sessions.of(&Principal::new(name));
    assert_eq!([of("ann").len(), of("bob").len(), of("eve").len()], [2, 1, 0]);
    let first = sessions.iter().next().unwrap();
    assert_eq!(first.principal().unwrap().name(), "ann");
    assert_eq!(sessions.get(first.id()).unwrap().id(), first.id());
    assert!(sessions.get(u64::MAX.to_string().parse().unwrap()).is_none());

    ann.session().close();
    ann.session().closed().await;
    connections(&server, 2).await;
    assert_eq!(of("ann").len(), 1);
    assert!(sessions.get(first.id()).is_none(), "one that has ended is not found");
    assert_eq!(first.state(), SessionState::Closed);
}

#[tokio::test]
async fn clients_are_called_back_from_any_task_and_in_handlers() {
    let server = exchange().await;
    let [ann, _bob] = [phone(&server, "ann").await, phone(&server, "bob").await];
    assert_eq!(ann.ring_all().await, Ok(2), "its own session is among them in its first call");
    let sessions = server.sessions().clone();
    let heard = tokio::spawn(async move {
        let bob = sessions.of(&Principal::new("bob")).pop().unwrap();
        bob.client::<PhoneClient>().ring("a task").await
    });
    assert_eq!(heard.await.unwrap().unwrap(), "bob hears a task");
}

#[tokio::test]
async fn those_that_host_no_such_contract_are_not_among_its_clients() {
    let builder = Server::builder();
    let operator = Arc::new(Operator(builder.sessions()));
    let server = builder.service(Directory::serve(operator)).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let plain = DirectoryClient::connect(&url).await.unwrap();
    let _with_phone = DirectoryClient::connect(&url).callback(Bell("ann").serve()).await.unwrap();
    assert_eq!(plain.count().await, Ok(2));
    let phones: Vec<PhoneClient> = server.sessions().clients().collect();
    assert_eq!(phones.len(), 1);
    assert_eq!(phones[0].ring("test").await.unwrap(), "ann hears test");
}

#[tokio::test]
async fn openings_and_closings_are_a_stream_that_ends_with_the_server() {
    let server = exchange().await;
    let ann = phone(&server, "ann").await;
    let mut changes = server.sessions().changes();
    let SessionChange::Opened(opened) = next(&mut changes).await else { panic!("it begins with those that are open") };
    assert_eq!(opened.principal().unwrap().name(), "ann");
    assert!(changes.next().now_or_never().is_none(), "nothing else has happened");

    // A task that waits already gets the change.
    let (bob, change) = tokio::join!(phone(&server, "bob"), next(&mut changes));
    assert!(matches!(&change, SessionChange::Opened(session) if session.principal().unwrap().name() == "bob"));

    ann.session().close();
    match next(&mut changes).await {
        SessionChange::Closed(session, ConnectionError::ClosedByPeer { .. }) => assert_eq!(session.id(), opened.id()),
        other => panic!("{other:?}"),
    }
    tokio::join!(server.shutdown(), async {
        let change = next(&mut changes).await;
        assert!(matches!(&change, SessionChange::Closed(_, ConnectionError::ShutDown)), "{change:?}");
        assert!(timeout(SOON, changes.next()).await.unwrap().is_none());
    });
    drop(bob);
    let mut late = server.sessions().changes();
    assert!(timeout(SOON, late.next()).await.unwrap().is_none(), "there is nothing to wait for");
}

#[tokio::test]
async fn a_listener_that_sleeps_holds_nothing_for_those_that_came_and_went() {
    let server = exchange().await;
    let mut changes = server.sessions().changes();
    for _ in 0..20 {
        let ann = phone(&server, "ann").await;
        ann.session().close();
        ann.session().closed().await;
        connections(&server, 0).await;
    }
    assert!(changes.next().now_or_never().is_none());
}

#[tokio::test]
async fn what_is_refused_or_never_says_hello_is_no_session() {
    let server = exchange().await;
    let mut changes = server.sessions().changes();
    let silent = Raw::upgraded(&server).await;
    connections(&server, 1).await;
    let url = format!("ws://{}/", server.local_addr());
    let refused = ExchangeClient::connect(url).callback(Bell("mallory").serve()).header("x-name", "mallory").await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("not you"), "{error}");
    assert!(server.sessions().is_empty());
    assert!(changes.next().now_or_never().is_none());
    drop(silent);
    connections(&server, 0).await;
}

#[rpc_core::service]
trait Counter {
    async fn add(&self) -> u32;
}

/// Asserts in each call that no other call is inside.
#[derive(Default)]
struct Alone {
    busy: AtomicBool,
    inside: Mutex<u32>,
    most: AtomicU32,
}

impl Counter for Alone {
    async fn add(&self) -> u32 {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "another call is inside");
        let before = *self.inside.lock().unwrap();
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        *self.inside.lock().unwrap() = before + 1;
        self.most.fetch_max(before + 1, Ordering::SeqCst);
        self.busy.store(false, Ordering::SeqCst);
        before + 1
    }
}

/// Eight clients over sockets, on several threads, and one object that serves one call at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_single_object_is_alone_with_eight_clients() {
    const CALLS: u32 = 500;
    let object = Arc::new(Alone::default());
    let service = Counter::serve(Arc::clone(&object)).concurrency(Concurrency::Single);
    let server = Server::builder().service(service).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let clients = (0..8).map(|_| async {
        let counter = CounterClient::connect(&url).await.unwrap();
        let calls: Vec<u32> =
            join_all((0..CALLS).map(|_| counter.add())).await.into_iter().map(Result::unwrap).collect();
        // The calls are served in the order in which they were sent.
        assert!(calls.is_sorted());
        calls.len()
    });
    let done: usize = timeout(SOON, join_all(clients)).await.unwrap().into_iter().sum();
    assert_eq!(done, 8 * CALLS as usize);
    assert_eq!(object.most.load(Ordering::SeqCst), 8 * CALLS);
}

/// The collection outlives the server, and can still be used after the server has ended.
#[tokio::test]
async fn stubs_of_sessions_that_have_ended_fail_at_once() {
    let server = exchange().await;
    let _ann = phone(&server, "ann").await;
    let kept: Vec<PhoneClient> = server.sessions().clients().collect();
    let sessions = server.sessions().clone();
    server.shutdown().await;
    assert!(sessions.is_empty());
    let status = timeout(Duration::from_secs(30), kept[0].ring("late")).await.unwrap().unwrap_err();
    assert_eq!(status.code(), rpc_core::Code::Unavailable);
}
