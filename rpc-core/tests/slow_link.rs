//! A peer whose socket takes little, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::future::join_all;
use rpc_core::{
    Config, ConnectionError, ConnectionInfo, Hosting, Status,
    session::{self, Handshake, WebSocket},
};
use rpc_testing::slow_link;
use tokio::time::timeout;

#[rpc_core::service]
trait Press {
    async fn print(&self, length: usize) -> Result<String, Status>;
}

struct Printer;

impl Press for Printer {
    async fn print(&self, length: usize) -> Result<String, Status> {
        Ok("x".repeat(length))
    }
}

/// Asks for `answers` answers over a link that brings `per_second` bytes a second to the client. Returns the number of
/// answers that came, and the error that ended the server's session, if any.
async fn ask(answers: usize, length: usize, per_second: usize) -> (usize, Option<ConnectionError>) {
    let config = Config::builder().call_timeout(Duration::MAX).build().unwrap();
    let (server, client) = slow_link(per_second);
    let hosting = Hosting::builder().service(Printer.serve()).build().unwrap();
    let server = WebSocket::server(server, [][..].into(), &config);
    let client = WebSocket::client(client, [][..].into(), &config);
    let (at_client, driver) = session::connect(client, &Hosting::default(), &config, ConnectionInfo::default());
    tokio::spawn(driver);
    let handshake = Handshake::read(server, &config).await.unwrap();
    let (at_server, driver) = handshake.accept(&hosting, ConnectionInfo::default());
    tokio::spawn(driver);
    at_client.established().await.unwrap();
    let press: PressClient = at_client.client();
    let calls = join_all((0..answers).map(|_| press.print(length)));
    let came = timeout(Duration::from_secs(24 * 3600), calls).await.expect("each call has an outcome");
    let ended = timeout(Duration::from_secs(1), at_server.closed()).await.ok();
    (came.iter().filter(|answer| answer.is_ok()).count(), ended)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_too_slowly_does_not_hold_the_outbox_and_the_handlers() {
    let (came, ended) = ask(100, 50_000, 2000).await;
    let Some(ConnectionError::TimedOut(timeout)) = &ended else { panic!("{ended:?}") };
    assert!(timeout.to_string().contains("progress_timeout"), "{ended:?}");
    assert!(came < 100);
}

#[tokio::test(start_paused = true)]
async fn a_peer_on_a_slow_link_gets_all_of_its_answers() {
    assert_eq!(ask(100, 50_000, 2500).await, (100, None));
}
