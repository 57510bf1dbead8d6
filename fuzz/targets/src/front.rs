//! The HTTP front of a server: any bytes of a client end in an answer or a close, and no session stays.

use std::time::Duration;

use rpc_server::{ConnectionInfo, Server};
use tokio::{io::duplex, time::timeout};

use crate::{
    pipe::{Clerk, Client, Desk, greeting, message, runtime},
    source::Source,
};

/// The most steps of a client.
const MAX_STEPS: usize = 60;

/// A request that is upgraded.
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: duplex-rpc.v1\r\n\r\n";

/// A client writes what the program says, to a listener's end. Time ends the connection if nothing else does.
pub fn run(data: &[u8]) {
    runtime().block_on(async {
        let mut source = Source::new(data);
        let (near, far) = duplex(if source.flag() { 64 << 10 } else { 64 });
        let builder = Server::builder().service(Clerk.serve()).health_routes().allow_origin("https://example.com");
        let builder = builder.trusted_proxies(["192.0.2.0/24"]).keep_headers(["x-one"]);
        let Ok(server) = builder.build() else { panic!("the settings work") };
        let mut info = ConnectionInfo::default();
        if source.flag() {
            info = info.with_peer_addr(([192, 0, 2, 1], 5).into());
        }
        assert!(server.serve_stream(far, info).is_ok(), "the server is up");
        let mut client = Client::new(near);
        let mut goes_on = true;
        if source.below(4) == 0 {
            let hello = greeting(&mut source);
            goes_on = client.write(UPGRADE).await && client.write(&message(2, &hello)).await;
        }
        for _ in 0..MAX_STEPS {
            goes_on = goes_on && !source.is_empty();
            if goes_on && source.flag() {
                goes_on = client.step(&mut source).await;
            } else if goes_on {
                let len = 1 + usize::from(source.byte());
                goes_on = client.write(source.bytes(len)).await;
            }
        }
        client.end().await;
        let ended = timeout(Duration::from_secs(600), server.shutdown()).await;
        assert!(ended.is_ok(), "the server does not end");
        assert_eq!(server.sessions().len(), 0);
    });
}
