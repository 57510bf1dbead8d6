//! When a client's `close` has returned, the Close frame is out, even if the program ends at once. A program that does
//! not close writes what its socket takes at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rpc_client::{Connect, Reconnect, connect};
use rpc_core::{CloseCode, ConnectionError, Session, SessionHooks, Stub, async_trait};
use rpc_server::Server;
use rpc_testing::SOON;
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::timeout,
};

#[rpc_core::service]
trait Door {
    async fn knock(&self) -> u32;
    #[rpc(oneway)]
    async fn leave(&self, card: Vec<u8>);
}

struct Oak(UnboundedSender<usize>);

impl Door for Oak {
    async fn knock(&self) -> u32 {
        7
    }
    async fn leave(&self, card: Vec<u8>) {
        self.0.send(card.len()).unwrap();
    }
}

/// Reports the reason for the end of each session.
struct Ends(UnboundedSender<ConnectionError>);

#[async_trait]
impl SessionHooks for Ends {
    async fn closed(&self, _: &Session, reason: &ConnectionError) {
        self.0.send(reason.clone()).unwrap();
    }
}

/// Runs `main` as a program does whose runtime ends with `main`.
fn program(main: impl Future<Output = ()>, many_threads: bool) {
    let mut builder = if many_threads { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(main);
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_goodbye_is_out_before_the_program_ends() {
    let ((cards, mut left), (ends, mut ended)) = (unbounded_channel(), unbounded_channel());
    let server = Server::builder().service(Oak(cards).serve()).hooks(Ends(ends)).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    for run in 0..40 {
        let url = url.clone();
        let main = async move {
            if run % 4 < 2 {
                let door = DoorClient::connect(url).await.unwrap();
                assert_eq!(door.knock().await, Ok(7));
                door.leave(vec![1; 50_000]).await.unwrap();
                assert_eq!(door.session().close().await, ConnectionError::ClosedLocally);
            } else {
                let client = connect(url).await.unwrap();
                client.client::<DoorClient>().leave(vec![1; 50_000]).await.unwrap();
                assert_eq!(client.close().await, ConnectionError::ClosedLocally);
            }
        };
        let program = tokio::task::spawn_blocking(move || program(main, run % 2 == 0));
        timeout(SOON, program).await.unwrap().unwrap();
        let reason = timeout(SOON, ended.recv()).await.unwrap().unwrap();
        let is_normal = matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. });
        assert!(is_normal, "run {run}: {reason:?}");
        assert_eq!(timeout(SOON, left.recv()).await.unwrap(), Some(50_000), "what was sent before has come");
    }
    timeout(SOON, server.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_ends_without_close_writes_what_the_socket_takes() {
    let ((cards, mut left), (ends, mut ended)) = (unbounded_channel(), unbounded_channel());
    let server = Server::builder().service(Oak(cards).serve()).hooks(Ends(ends)).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    for run in 0..40 {
        let url = url.clone();
        let keeps_its_stub = run % 4 < 2;
        let main = async move {
            // The task of a client that connects again ends with the runtime, and says goodbye.
            let reconnect = if keeps_its_stub { Reconnect::never() } else { Reconnect::default() };
            let door = DoorClient::connect(url).reconnect(reconnect).await.unwrap();
            assert_eq!(door.knock().await, Ok(7));
            door.leave(vec![1; 100]).await.unwrap();
            if keeps_its_stub {
                // As a stub in a static does, this one outlives the runtime.
                std::mem::forget(door);
            }
        };
        let program = tokio::task::spawn_blocking(move || program(main, run % 2 == 0));
        timeout(SOON, program).await.unwrap().unwrap();
        assert_eq!(timeout(SOON, left.recv()).await.unwrap(), Some(100), "run {run}: the last call has come");
        let reason = timeout(SOON, ended.recv()).await.unwrap().unwrap();
        let is_normal = matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. });
        assert!(if keeps_its_stub { reason.is_lost() } else { is_normal }, "run {run}: {reason:?}");
    }
    timeout(SOON, server.shutdown()).await.unwrap();
}
