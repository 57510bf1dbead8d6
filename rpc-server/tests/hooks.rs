//! When the hooks of a server's sessions run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use futures::SinkExt;
use rpc_core::{Config, ConnectionError, Session, SessionHooks, SessionState, async_trait};
use rpc_server::Server;
use rpc_testing::{SOON, greeting, join, until};
use tokio::{sync::Semaphore, time::timeout};
use tokio_tungstenite::tungstenite::Message;

/// Tells when a session has ended.
struct Bell(Arc<Semaphore>);

#[async_trait]
impl SessionHooks for Bell {
    async fn closed(&self, session: &Session, _: &ConnectionError) {
        assert_eq!(session.state(), SessionState::Closing);
        self.0.add_permits(1);
    }
}

#[tokio::test]
async fn closed_hooks_do_not_wait_for_a_client_that_does_not_close_its_link() {
    let rung = Arc::new(Semaphore::new(0));
    let config = Config::builder().close_timeout(Duration::from_secs(600)).build().unwrap();
    let server = Server::builder().config(config).hooks(Bell(rung.clone())).listen("127.0.0.1:0").await.unwrap();
    let mut link = join(server.local_addr()).await;
    link.send(Message::Binary(greeting())).await.unwrap();
    until("the session is open", || server.sessions().len() == 1).await;
    let session = server.sessions().into_iter().next().unwrap();
    let _closed = session.close();
    timeout(SOON, rung.acquire()).await.expect("the hook waits for the client").unwrap().forget();
    assert_eq!(session.state(), SessionState::Closing, "the client has not answered the Close frame");
    assert_eq!(server.sessions().len(), 0);
    drop(link);
    timeout(SOON, session.closed()).await.unwrap();
    assert_eq!(rung.available_permits(), 0, "the hook has run once");
    timeout(SOON, server.shutdown()).await.unwrap();
}
