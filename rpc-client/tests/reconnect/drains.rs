//! Servers that shut down while clients of theirs are away.

use std::sync::Arc;

use futures::{StreamExt, stream};
use rpc_client::{ClientEvent, ConnectError, Reconnect, connect};
use rpc_core::{CloseCode, ConnectionError, Session, SessionHooks};
use rpc_server::Server;
use rpc_testing::SOON;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

use super::{
    DeskClient, House,
    events::next,
    hold, only,
    resume::{all, config, unplug},
};

#[tokio::test]
async fn a_client_comes_back_to_a_server_that_drains_for_the_results_of_its_calls() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let mut events = client.events();
    let held = hold(&client.client(), "held");
    house.until_said("held").await;
    unplug(&line, &client, &only(&server)).await;
    let server = Arc::new(server);
    let drain = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown().await }
    });
    timeout(SOON, only(&server).draining()).await.unwrap();
    // Others are turned away, and told that they may try again.
    let error = connect(format!("ws://{}/", server.local_addr())).await.unwrap_err();
    let is_told = matches!(&error, ConnectError::Session(ConnectionError::ClosedByPeer { code, .. }) if *code == CloseCode::RESTART);
    assert!(is_told && error.is_retryable(), "{error:?}");
    line.open(server.local_addr());
    house.gate.add_permits(1);
    timeout(SOON, held).await.unwrap().unwrap().unwrap();
    let told = [next(&mut events).await, next(&mut events).await, next(&mut events).await];
    let expected = matches!(
        &told,
        [
            ClientEvent::LinkLost { .. },
            ClientEvent::Resumed { .. },
            ClientEvent::SessionLost { unknown: 0, not_executed: 0, .. }
        ]
    );
    assert!(expected, "{told:?}");
    timeout(SOON, drain).await.unwrap().unwrap();
    TcpListener::bind(server.local_addr()).await.unwrap();
}

#[tokio::test]
async fn a_client_learns_from_a_server_that_drains_that_its_session_is_over() {
    let house = Arc::<House>::default();
    let (server, line, client) = all(&house).await;
    let mut events = client.events();
    unplug(&line, &client, &only(&server)).await;
    assert!(matches!(next(&mut events).await, ClientEvent::LinkLost { .. }));
    let addr = server.local_addr();
    let drain = tokio::spawn(async move { server.shutdown().await });
    line.open(addr);
    let lost = loop {
        match timeout(SOON, events.next()).await.unwrap().unwrap() {
            ClientEvent::Resumed { .. } => {}
            other => break other,
        }
    };
    let is_told = matches!(&lost, ClientEvent::SessionLost { reason: ConnectionError::ClosedByPeer { code, .. }, .. } if *code == CloseCode::RESTART);
    assert!(is_told, "{lost:?}");
    timeout(SOON, drain).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_drains_without_sessions_to_come_back_to_frees_its_address_at_once() {
    let house = Arc::<House>::default();
    let server = super::serve(&house).await;
    let client = super::client(server.local_addr()).await.unwrap();
    let held = hold(&client.client::<DeskClient>(), "held");
    house.until_said("held").await;
    let server = Arc::new(server);
    let drain = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown().await }
    });
    timeout(SOON, only(&server).draining()).await.unwrap();
    TcpListener::bind(server.local_addr()).await.unwrap();
    house.gate.add_permits(1);
    timeout(SOON, held).await.unwrap().unwrap().unwrap();
    timeout(SOON, drain).await.unwrap().unwrap();
}

/// A hook that does not return before it is let go.
struct Slow(Arc<Semaphore>);

#[rpc_core::async_trait]
impl SessionHooks for Slow {
    async fn closed(&self, _: &Session, _: &ConnectionError) {
        self.0.acquire().await.unwrap().forget();
    }
}

#[tokio::test]
async fn a_server_frees_its_address_while_the_hooks_of_ended_sessions_run() {
    let gate = Arc::new(Semaphore::new(0));
    let builder = Server::builder().service(super::Desk::serve(super::Clerk::default())).config(config());
    let server = builder.resume_anonymous(true).hooks(Slow(gate.clone())).listen("127.0.0.1:0").await.unwrap();
    // This client does not come back while the test runs.
    let late = Reconnect::default().initial_delay(60 * SOON).max_delay(60 * SOON);
    let client = super::client(server.local_addr()).config(config()).reconnect(late).await.unwrap();
    assert_eq!(client.client::<DeskClient>().sum(stream::empty()).await.unwrap(), 0);
    let addr = server.local_addr();
    let drain = tokio::spawn(async move { server.shutdown().await });
    let free = async {
        while TcpListener::bind(addr).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, free).await.expect("the address is not free");
    assert!(!drain.is_finished(), "the hook still runs");
    gate.add_permits(1);
    timeout(SOON, drain).await.unwrap().unwrap();
}
