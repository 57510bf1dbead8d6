//! What a client cannot make a server hold or wait for, over real sockets.

use std::time::Duration;

use rpc_server::{
    async_trait,
    raw::{CloseFrame, Connection, RawError, RawLimits, Text, WebSocketHandler, websocket},
};

use super::host::{BINARY, Client, Diary, FIN, PING, TEXT, in_hyper, masked};

/// Sends what it is asked for, and notes why connections end.
struct Source {
    diary: Diary,
}

#[async_trait]
impl WebSocketHandler for Source {
    async fn on_text(&self, connection: &Connection, text: Text) {
        for _ in 0..text.parse().unwrap_or(0) {
            if connection.send(vec![7; 64 * 1024]).await.is_err() {
                return self.diary.note("sending failed");
            }
        }
    }

    async fn on_error(&self, _: &Connection, error: &RawError) {
        let kind = match error {
            RawError::Silent(_) => "silent",
            RawError::Stuck(_) => "stuck",
            RawError::Lost(_) => "lost",
            RawError::Protocol(_) => "protocol",
            _ => "other",
        };
        self.diary.note(format!("error {kind}"));
    }

    async fn on_close(&self, _: &Connection, _: Option<&CloseFrame>) {
        self.diary.note("close");
    }
}

async fn source(limits: RawLimits) -> (std::net::SocketAddr, Diary) {
    let diary = Diary::default();
    (in_hyper(websocket(Source { diary: diary.clone() }).limits(limits)).await, diary)
}

#[tokio::test]
async fn a_client_that_vanishes_is_found_by_its_silence() {
    let limits = RawLimits::default()
        .ping_after(Duration::from_millis(30))
        .silence(Duration::from_millis(100))
        .close_timeout(Duration::from_millis(100));
    let (addr, diary) = source(limits).await;
    // It keeps its socket open, and says nothing any more: as one whose network is gone.
    let mut client = Client::open(addr).await;
    assert_eq!(client.next().await, Some((FIN | PING, Vec::new())));
    assert_eq!(client.close_frame().await.0, 1011);
    assert_eq!(diary.closed().await, ["error silent", "close"]);
}

#[tokio::test]
async fn a_client_that_never_reads_is_given_up() {
    let limits = RawLimits::default().write_timeout(Duration::from_millis(200));
    let (addr, diary) = source(limits).await;
    let mut client = Client::open(addr).await;
    // Far more than the sockets' buffers and the queue take.
    client.frame(FIN | TEXT, b"1000000").await;
    assert_eq!(diary.closed().await, ["sending failed", "error stuck", "close"]);
    // Beside it, others are served.
    let mut other = Client::open(addr).await;
    other.frame(FIN | TEXT, b"1").await;
    assert_eq!(other.next().await, Some((FIN | BINARY, vec![7; 64 * 1024])));
}

#[tokio::test]
async fn a_client_that_floods_with_pings_and_reads_no_answer_is_given_up() {
    let limits = RawLimits::default().write_timeout(Duration::from_millis(200));
    let (addr, diary) = source(limits).await;
    let client = Client::open(addr).await;
    let (_reading, mut writing) = client.0.into_split();
    let flood = tokio::spawn(async move {
        let pings = masked(FIN | PING, &[1; 125]).repeat(1000);
        while tokio::io::AsyncWriteExt::write_all(&mut writing, &pings).await.is_ok() {}
    });
    let mut other = Client::open(addr).await;
    other.frame(FIN | TEXT, b"1").await;
    assert_eq!(other.next().await, Some((FIN | BINARY, vec![7; 64 * 1024])));
    assert_eq!(diary.closed().await, ["error stuck", "close"]);
    flood.abort();
}
