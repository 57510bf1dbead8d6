//! What a client that connects again logs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "reconnect/line.rs"]
mod line;

use std::time::Duration;

use futures::StreamExt;
use rpc_client::{Client, ClientEvent, Reconnect, connect};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{Lines, SOON};
use tokio::time::timeout;
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
