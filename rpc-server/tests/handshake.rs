//! Connections between their upgrade and their session: what the end of a server does to them, and what is left.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use raw::{Raw, connections, endless, frames, listen};
use rpc_core::{
    __internals::wire::{Frame, read_packet},
    Code, Session, SessionHooks, Status, async_trait,
};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{Bar, Inside, Keeper, SOON, greeting, order, until};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    time::timeout,
};

/// Holds every session up, or turns all away.
#[derive(Clone)]
struct Door {
    open: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    refuses: bool,
}

impl Door {
    fn new(refuses: bool) -> Self {
        Self { open: Arc::new(Semaphore::new(0)), waiting: Arc::default(), refuses }
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl SessionHooks for Door {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        if self.refuses {
            return Err(Status::permission_denied("not tonight"));
        }
        let _inside = Inside::enter(&self.waiting);
        self.open.acquire().await.unwrap().forget();
        Ok(())
    }
}

async fn bar(door: &Door) -> ServerHandle {
    let builder = Server::builder().service(Keeper.serve()).hooks(door.clone()).config(endless());
    builder.listen("127.0.0.1:0").await.unwrap()
}

/// What the server has said in packets, and the close code.
fn heard(bytes: &[u8]) -> (Vec<Frame>, Option<u16>) {
    let (mut said, mut code) = (Vec::new(), None);
    for (opcode, payload) in frames(bytes) {
        match opcode {
            2 => said.extend(read_packet(payload.to_vec().into()).unwrap().1.map(Result::unwrap)),
            8 => code = Some(u16::from_be_bytes([payload[0], payload[1]])),
            _ => {}
        }
    }
    (said, code)
}

/// A connection whose session waits at the door.
async fn at_the_door(server: &ServerHandle, door: &Door) -> Raw {
    let before = door.waiting();
    let mut raw = Raw::upgraded(server).await;
    raw.frame(0x82, &greeting()).await;
    until("the hook runs", || door.waiting() == before + 1).await;
    raw
}

#[tokio::test]
async fn a_drain_closes_connections_without_a_hello_at_once() {
    let server = listen(endless()).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(Raw::upgraded(&server).await);
    }
    connections(&server, 5).await;
    let (drained, ()) = tokio::join!(timeout(SOON, server.sessions().drain()), async {
        for mut raw in silent {
            assert_eq!(raw.close_code().await, Some(1012));
        }
    });
    drained.unwrap();
    assert_eq!(server.sessions().connections(), 0);
}

#[tokio::test]
async fn a_server_that_is_dropped_closes_connections_without_a_session() {
    let door = Door::new(false);
    let server = bar(&door).await;
    let sessions = server.sessions().clone();
    let mut raws = Vec::new();
    for _ in 0..3 {
        raws.push(Raw::upgraded(&server).await);
        raws.push(at_the_door(&server, &door).await);
    }
    connections(&server, 6).await;
    assert!(sessions.is_empty(), "no hook has let a session in");
    drop(server);
    for mut raw in raws {
        assert_eq!(raw.close_code().await, Some(1012));
    }
    until("all have left", || sessions.connections() == 0 && door.waiting() == 0).await;
    assert!(sessions.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_while_hooks_run_leaves_nothing() {
    let door = Door::new(false);
    let server = bar(&door).await;
    for torn in [false, true] {
        let raw = at_the_door(&server, &door).await;
        if torn {
            raw.0.set_zero_linger().unwrap();
        }
        drop(raw);
        connections(&server, 0).await;
        assert_eq!(door.waiting(), 0);
    }
    timeout(SOON, server.shutdown()).await.unwrap();
}

#[tokio::test]
async fn calls_that_come_with_the_hello_are_answered_in_their_order() {
    let door = Door::new(false);
    let server = bar(&door).await;
    let mut raw = Raw::upgraded(&server).await;
    let mut bytes = raw::masked(0x82, &greeting());
    (1..=5).for_each(|id| bytes.extend(raw::masked(0x82, &order(id))));
    raw.send(&bytes).await;
    until("the hook runs", || door.waiting() == 1).await;
    door.open.add_permits(1);
    until("it is open", || server.sessions().len() == 1).await;
    // A drain lets calls that have come end, and writes their answers before the goodbye.
    let (drained, said) = tokio::join!(timeout(SOON, server.shutdown()), raw.rest());
    drained.unwrap();
    let answers = heard(&said).0.into_iter().filter_map(|frame| match frame {
        Frame::Response { id, .. } => Some(id),
        _ => None,
    });
    assert_eq!(answers.collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_client_that_is_refused_is_told_before_it_is_closed() {
    let server = bar(&Door::new(true)).await;
    let mut raw = Raw::upgraded(&server).await;
    raw.frame(0x82, &greeting()).await;
    let (said, code) = heard(&raw.rest().await);
    let [Frame::Welcome(welcome)] = &said[..] else { panic!("{said:?}") };
    let refusal = welcome.refusal.as_ref().unwrap();
    assert_eq!((refusal.code(), refusal.message()), (Code::PermissionDenied, "not tonight"));
    assert_eq!(code, Some(4400));
    connections(&server, 0).await;
}

/// The tasks of the server end at any point.
#[test]
fn a_runtime_that_ends_leaves_no_connection() {
    let own = Builder::new_current_thread().enable_all().build().unwrap();
    let servers = Runtime::new().unwrap();
    let door = Door::new(false);
    let at_door = door.clone();
    let server = own.block_on(servers.spawn(async move { bar(&at_door).await })).unwrap();
    let raws = own.block_on(async {
        let silent = Raw::upgraded(&server).await;
        let open = at_the_door(&server, &door).await;
        let waiting = at_the_door(&server, &door).await;
        door.open.add_permits(1);
        until("one is open", || server.sessions().len() == 1).await;
        connections(&server, 3).await;
        [silent, waiting, open]
    });
    servers.shutdown_timeout(SOON);
    assert_eq!((server.sessions().connections(), server.sessions().len(), door.waiting()), (0, 0, 0));
    drop(raws);
}
