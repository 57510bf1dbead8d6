//! Requests for the WebSocket that break a rule of RFC 6455, or ask for what is not served.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rpc_core::{Session, SessionHooks, Status, async_trait};
use rpc_testing::{greeting, over_both};

use crate::{
    raw::{UPGRADE, builder, masked},
    row::Row,
    transport::Transport,
};

over_both!(a_foreign_origin, a_version_that_is_not_13, a_key_that_is_none, no_common_sub_protocol, compression);

/// The header lines of a valid upgrade, without the line of this name and with other lines at their end.
fn upgrade_with<'a>(without: &str, lines: &[&'a str]) -> Vec<&'a str> {
    let kept = UPGRADE.into_iter().filter(|line| line.split(':').next() != Some(without));
    kept.chain(lines.iter().copied()).collect()
}

/// Counts the sessions that have opened.
#[derive(Clone, Default)]
struct Opened(Arc<AtomicUsize>);

#[async_trait]
impl SessionHooks for Opened {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

async fn a_foreign_origin(transport: Transport) {
    let opened = Opened::default();
    let row = Row::begin(transport, builder().hooks(opened.clone())).await;
    let own = if row.is_tls() { "Origin: https://localhost" } else { "Origin: http://localhost" };
    row.beside(async {
        for origin in ["https://evil.example.com", "http://localhost.evil.example.com", "null", "", "localhost"] {
            let mut peer = row.peer().await;
            let lines = upgrade_with("", &[&format!("Origin: {origin}")]).join("\r\n");
            // The peer does not wait for the answer before it says Hello.
            let mut bytes = format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n").into_bytes();
            bytes.extend(masked(0x82, &greeting()));
            peer.send(&bytes).await;
            let head = peer.head().await;
            assert!(head.starts_with("HTTP/1.1 403"), "{origin}: {head}");
            assert!(peer.body(&head).await.contains("allow_origin"), "{origin}");
            peer.rest().await;
        }
        let (_, head, _) = row.ask(&upgrade_with("", &[own, own])).await;
        assert!(head.starts_with("http/1.1 403"), "two origins are none: {head}");
        let (_, head, _) = row.ask(&upgrade_with("", &[own])).await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
    })
    .await;
    assert_eq!(opened.0.load(Ordering::SeqCst), 1, "the healthy client's session alone");
}

async fn a_version_that_is_not_13(transport: Transport) {
    let row = Row::begin(transport, builder()).await;
    row.beside(async {
        let wrong = ["8", "14", "x", "", "13, 13", "13\r\nSec-WebSocket-Version: 13"];
        let wrong = wrong.map(|version| format!("Sec-WebSocket-Version: {version}"));
        for lines in wrong.iter().map(|line| vec![line.as_str()]).chain([vec![]]) {
            let (_, head, body) = row.ask(&upgrade_with("Sec-WebSocket-Version", &lines)).await;
            assert!(head.starts_with("http/1.1 426"), "{lines:?}: {head}");
            assert!(head.contains("\r\nsec-websocket-version: 13\r\n"), "{head}");
            assert!(body.contains("version 13"), "{body}");
        }
    })
    .await;
}

async fn a_key_that_is_none(transport: Transport) {
    let row = Row::begin(transport, builder()).await;
    row.beside(async {
        let wrong = ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: x"];
        let wrong = wrong.map(|key| format!("Sec-WebSocket-Key: {key}"));
        for lines in wrong.iter().map(|line| vec![line.as_str()]).chain([vec![]]) {
            let (_, head, body) = row.ask(&upgrade_with("Sec-WebSocket-Key", &lines)).await;
            assert!(head.starts_with("http/1.1 400"), "{lines:?}: {head}");
            assert!(body.contains("Sec-WebSocket-Key"), "{body}");
        }
    })
    .await;
}

async fn no_common_sub_protocol(transport: Transport) {
    let row = Row::begin(transport, builder()).await;
    row.beside(async {
        let wrong = ["", "chat, duplex-rpc.v9", "DUPLEX-RPC.V1"];
        let wrong = wrong.map(|protocol| format!("Sec-WebSocket-Protocol: {protocol}"));
        for lines in wrong.iter().map(|line| vec![line.as_str()]).chain([vec![]]) {
            let (_, head, body) = row.ask(&upgrade_with("Sec-WebSocket-Protocol", &lines)).await;
            assert!(head.starts_with("http/1.1 400"), "{lines:?}: {head}");
            assert!(head.contains("\r\nsec-websocket-protocol: duplex-rpc.v1\r\n"), "{head}");
            assert!(body.contains("Served: duplex-rpc.v1"), "{body}");
        }
    })
    .await;
}

async fn compression(transport: Transport) {
    let row = Row::begin(transport, builder()).await;
    row.beside(async {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame";
        let (mut peer, head, _) = row.ask(&upgrade_with("", &[offer])).await;
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        // A message that is compressed all the same is a breach (RFC 6455 §5.2), and so is the end of this session.
        peer.frame(0x82, &greeting()).await;
        row.sessions(2).await;
        peer.frame(0xc2, b"\0").await;
        assert_eq!(peer.close_code().await, Some(1002));
    })
    .await;
}
