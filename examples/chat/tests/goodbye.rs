//! The client program says goodbye before it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use chat::ChatHouse;
use rpc_server::{CloseCode, ConnectionError, Session, SessionHooks, async_trait};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::timeout,
};

/// Long beyond anything that should happen.
const SOON: Duration = Duration::from_secs(60);

/// Tells how each session ended.
struct Ends(UnboundedSender<ConnectionError>);

#[async_trait]
impl SessionHooks for Ends {
    async fn closed(&self, _: &Session, reason: &ConnectionError) {
        self.0.send(reason.clone()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_says_goodbye_each_time() {
    let (ends, mut ended) = unbounded_channel();
    let server = ChatHouse::server().hooks(Ends(ends)).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    for run in 0..10 {
        let mut program = Command::new(env!("CARGO_BIN_EXE_chat"));
        program.args(["client", "--name", "ada", "--url", &url]).stdin(Stdio::null()).stdout(Stdio::null());
        let status = tokio::task::spawn_blocking(move || program.status());
        assert!(timeout(SOON, status).await.unwrap().unwrap().unwrap().success());
        let reason = timeout(SOON, ended.recv()).await.unwrap().unwrap();
        let is_normal = matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. });
        assert!(is_normal, "run {run}: {reason:?}");
    }
    timeout(SOON, server.shutdown()).await.unwrap();
}
