//! WebSockets: any bytes of a client end in an answer or a goodbye, and leave nothing of the session behind.

use std::time::Duration;

use bytes::Bytes;
use rpc_core::{
    Config, ConnectionInfo, Hosting, Stats,
    session::{Handshake, WebSocket},
};
use tokio::{io::duplex, task::yield_now, time::timeout};

use crate::{
    pipe::{Clerk, Client, Desk, greeting, message, runtime},
    source::Source,
};

/// The most steps of a client.
const MAX_STEPS: usize = 60;

/// A client writes what the program says, to a server's end without HTTP.
pub fn run(data: &[u8]) {
    runtime().block_on(async {
        let mut source = Source::new(data);
        let (near, far) = duplex(if source.flag() { 64 << 10 } else { 64 });
        let server = tokio::spawn(serve(WebSocket::server(far, Bytes::new(), &Config::default())));
        let mut client = Client::new(near);
        let mut goes_on = !source.flag() || {
            let hello = greeting(&mut source);
            client.write(&message(2, &hello)).await
        };
        for _ in 0..MAX_STEPS {
            goes_on = goes_on && !source.is_empty() && client.step(&mut source).await;
        }
        client.end().await;
        let ended = timeout(Duration::from_secs(600), server).await;
        assert!(ended.is_ok_and(|ended| ended.is_ok()), "the server's end does not end");
    });
}

/// Serves one session to its end.
async fn serve(socket: WebSocket<tokio::io::DuplexStream>) {
    let Ok(hosting) = Hosting::builder().service(Clerk.serve()).build() else { panic!("one service is hosted") };
    let Ok(mut handshake) = Handshake::read(socket, &Config::default()).await else { return };
    handshake.end_with_link();
    let (session, driver) = handshake.accept(&hosting, ConnectionInfo::default());
    driver.await;
    session.closed().await;
    // Handlers have been stopped, and end at their next poll.
    for _ in 0..100 {
        if session.stats() == Stats::default() {
            return;
        }
        yield_now().await;
    }
    panic!("left behind: {:?}", session.stats());
}
