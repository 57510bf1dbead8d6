//! A link that is slower than its sender.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split},
    time::sleep,
};

/// What the pipes on both sides of the link hold, in bytes.
const PIPE: usize = 4096;

/// The ends of a server and of its client. The link brings `per_second` bytes a second to the client, and holds the
/// client's own bytes up by nothing. A second is one of tokio's clock, which a test can pause.
pub fn slow_link(per_second: usize) -> (DuplexStream, DuplexStream) {
    let (server, relay_of_server) = duplex(PIPE);
    let (client, relay_of_client) = duplex(PIPE);
    let (mut from_server, mut to_server) = split(relay_of_server);
    let (mut from_client, mut to_client) = split(relay_of_client);
    tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    tokio::spawn(async move {
        let mut buffer = vec![0; per_second];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            to_client.write_all(&buffer[..length]).await.unwrap();
            sleep(Duration::from_secs_f64(length as f64 / per_second as f64)).await;
        }
    });
    (server, client)
}
