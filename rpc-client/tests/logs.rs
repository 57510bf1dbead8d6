//! What a client that connects again logs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "reconnect/line.rs"]
mod line;

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use rpc_client::{Client, ClientEvent, Credential, Reconnect, connect};
use rpc_core::Identity;
use rpc_server::{AuthError, Authenticator, ConnectionInfo, Server, ServerHandle, async_trait};
use rpc_testing::{Lines, SOON, until};
use tokio::{task::yield_now, time::timeout};
use tracing::Level;

use line::Line;

#[rpc_core::service]
trait Desk {
    async fn say(&self, word: &str) -> usize;
}

struct Clerk;

impl Desk for Clerk {
    async fn say(&self, word: &str) -> usize {
        word.len()
    }
}

async fn serve() -> ServerHandle {
    Server::builder().service(Clerk.serve()).resume_anonymous(true).listen("127.0.0.1:0").await.unwrap()
}

async fn client(line: &Line) -> Client {
    let quickly = Reconnect::default().initial_delay(Duration::from_millis(5));
    let client = connect(format!("ws://{}/", line.addr())).reconnect(quickly).await.unwrap();
    // By then each end knows that the other one knows of the session.
    assert_eq!(client.client::<DeskClient>().say("one").await, Ok(3));
    assert_eq!(client.client::<DeskClient>().say("two").await, Ok(3));
    client
}

#[tokio::test]
async fn the_loss_of_a_link_and_the_next_link_are_logged() {
    Lines::keep();
    let server = serve().await;
    let line = Line::to(server.local_addr()).await;
    let client = client(&line).await;
    let mut events = client.events();
    for _ in 0..2 {
        line.cut();
        let lost = timeout(SOON, events.next()).await.unwrap();
        assert!(matches!(lost, Some(ClientEvent::LinkLost { .. })), "{lost:?}");
        let resumed = timeout(SOON, events.next()).await.unwrap();
        assert!(matches!(resumed, Some(ClientEvent::Resumed { .. })), "{resumed:?}");
    }
    let lines = Lines::read(Level::INFO);
    let of_links: Vec<_> = lines.iter().filter(|line| line.starts_with("the session ")).collect();
    let begin = ["the session has no link", "the session goes on over another link after "].repeat(2);
    assert_eq!(of_links.len(), begin.len(), "{lines:#?}");
    for (line, begin) in of_links.iter().zip(begin) {
        // No link needed a second attempt.
        assert!(line.starts_with(begin) && line.contains("attempt=1"), "{lines:#?}");
    }
}

/// Lets everyone in for two seconds, and does not like the second credential of anyone.
#[derive(Clone)]
struct Guard {
    asked: Arc<AtomicU32>,
    /// Whether it never makes up its mind about the second credential.
    waits: bool,
}

#[async_trait]
impl Authenticator for Guard {
    async fn authenticate(&self, _: &Credential, _: &ConnectionInfo) -> Result<Identity, AuthError> {
        match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(Identity::new("ada").expires_in(Duration::from_secs(2))),
            _ if self.waits => pending().await,
            _ => Err(AuthError::unauthenticated("the token is not valid")),
        }
    }
}

#[tokio::test]
async fn what_the_server_says_of_a_renewal_is_told_apart_from_what_the_client_says() {
    Lines::keep();
    for waits in [true, false] {
        let guard = Guard { asked: Arc::default(), waits };
        let server = Server::builder().service(Clerk.serve()).authenticator(guard.clone());
        let server = server.listen("127.0.0.1:0").await.unwrap();
        let line = Line::to(server.local_addr()).await;
        let connecting = connect(format!("ws://{}/", line.addr())).credentials(Credential::bearer("ada"));
        let client = connecting.reconnect(Reconnect::default().max_attempts(0)).await.unwrap();
        until("a renewal is under way", || guard.asked.load(Ordering::SeqCst) > 1).await;
        let of_renewals = || Lines::read(Level::WARN).into_iter().filter(|line| line.contains("not renewed"));
        if waits {
            line.cut();
            timeout(SOON, client.closed()).await.unwrap();
            for _ in 0..100 {
                yield_now().await;
            }
            assert_eq!(of_renewals().count(), 0, "there is nothing to renew any more: {:?}", Lines::read(Level::WARN));
        } else {
            until("it is logged", || of_renewals().count() > 0).await;
            assert!(of_renewals().all(|line| line.contains("the server says: UNAUTHENTICATED")));
        }
    }
}

#[test]
fn a_program_that_ends_without_closing_its_client_is_told_what_to_do() {
    Lines::keep();
    for closes in [false, true] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (client, line, server) = runtime.block_on(async {
            let server = serve().await;
            let line = Line::to(server.local_addr()).await;
            let client = client(&line).await;
            if closes {
                client.close().await;
            }
            (client, line, server)
        });
        let before = Lines::read(Level::INFO).len();
        drop(runtime);
        let lines = Lines::read(Level::INFO).split_off(before);
        let of_client: Vec<_> = lines.iter().filter(|line| line.contains("client")).collect();
        assert_eq!(of_client.len(), usize::from(!closes), "{lines:#?}");
        for line in of_client {
            assert!(line.contains("`client.close()`"), "{line}");
            assert!(!line.contains("lost") && !line.contains("panicked"), "nothing went wrong: {line}");
        }
        assert!(client.state().closed().is_some());
        drop((line, server));
    }
}
