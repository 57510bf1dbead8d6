//! The timer of a session fires, even if users' code has used up what its task may do at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use rpc_core::{
    Config, ConnectionError, ConnectionInfo, Hosting, Session, SessionHooks, Status, TimeLimit, async_trait,
    session::{Handshake, Transport, memory},
};
use rpc_testing::{Bar, Keeper, greeting, pass};
use tokio::{
    task::coop::{consume_budget, has_budget_remaining},
    time::timeout,
};

/// Uses up the budget of the task that runs the hook.
struct Greedy;

#[async_trait]
impl SessionHooks for Greedy {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        while has_budget_remaining() {
            consume_budget().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_is_noticed_after_a_hook_that_uses_up_the_budget() {
    let (near, mut far) = memory();
    far.start_send(greeting()).unwrap();
    let config = Config::default();
    let handshake = Handshake::read(near, &config).await.unwrap();
    let hosting = Hosting::builder().service(Keeper.serve()).hooks(Greedy).build().unwrap();
    let (session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
    tokio::spawn(driver);
    pass(Duration::from_secs(120)).await;
    let ended = timeout(Duration::from_secs(3600), session.closed()).await;
    let Ok(ConnectionError::TimedOut(ended)) = ended else { panic!("{ended:?}") };
    assert_eq!(ended.limit, TimeLimit::Keepalive);
}
