//! Which requests become a WebSocket, and with which sub-protocol.

use rpc_server::{
    BuildError,
    raw::{RawSocket, WebSocketService, websocket},
};

use super::host::{Client, FIN, HANDSHAKE, TEXT, in_axum, in_hyper};

/// Tells the sub-protocol.
fn teller() -> WebSocketService {
    websocket(|socket: RawSocket| async move {
        let told = socket.connection().protocol().unwrap_or("none").to_owned();
        socket.send(told).await.unwrap();
    })
}

#[tokio::test]
async fn the_servers_order_decides_on_the_sub_protocol() {
    let addr = in_hyper(teller().protocols(["chat.v2", "chat.v1", "not a token, \u{e9}"])).await;
    for (offered, agreed) in [
        (Some("chat.v1, chat.v2"), Some("chat.v2")),
        (Some("chat.v1"), Some("chat.v1")),
        (Some("chat.v3"), None),
        (None, None),
    ] {
        let offer = offered.map(|offered| format!("Sec-WebSocket-Protocol: {offered}"));
        let lines: Vec<_> = HANDSHAKE.into_iter().chain(offer.as_deref()).collect();
        let (mut client, head) = Client::get(addr, "/", &lines).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let head = head.to_lowercase();
        let told = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(told, agreed, "{offered:?}");
        assert_eq!(client.next().await, Some((FIN | TEXT, agreed.unwrap_or("none").into())));
        assert_eq!(
            head.lines().find_map(|line| line.strip_prefix("sec-websocket-accept: ")),
            Some("s3pplmbitxaq9kygzzhzrbk+xoo=")
        );
    }
}

#[tokio::test]
async fn without_names_and_with_extensions_on_offer_nothing_is_agreed() {
    let addr = in_axum(teller()).await;
    let offers = ["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate"];
    let lines: Vec<_> = HANDSHAKE.into_iter().chain(offers).collect();
    let (mut client, head) = Client::get(addr, "/ws", &lines).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(!head.to_lowercase().contains("sec-websocket-protocol"), "{head}");
    assert!(!head.to_lowercase().contains("sec-websocket-extensions"), "{head}");
    assert_eq!(client.next().await, Some((FIN | TEXT, b"none".to_vec())));
}

#[tokio::test]
async fn what_is_no_handshake_is_answered_with_what_to_do() {
    let addr = in_axum(teller()).await;
    for (index, instead, status) in [
        (1, "Upgrade: h2c", "426"),
        (2, "Connection: keep-alive", "426"),
        (3, "Sec-WebSocket-Version: 8", "426"),
        (4, "Sec-WebSocket-Key: short", "400"),
        (0, "X-Host: none", "400"),
    ] {
        let mut lines = HANDSHAKE;
        lines[index] = instead;
        let (_, head) = Client::get(addr, "/ws", &lines).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{instead}: {head}");
        let has_version = head.to_lowercase().contains("sec-websocket-version: 13");
        assert_eq!(has_version, status == "426", "{head}");
    }
    let (_, page) = Client::get(addr, "/", &["Host: localhost"]).await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
}

#[tokio::test]
async fn web_pages_of_other_origins_are_refused() {
    let service = teller().allow_origin("https://app.example.com").unwrap();
    assert!(matches!(teller().allow_origin("https://app.example.com/"), Err(BuildError::RawOrigin { .. })));
    let addr = in_hyper(service).await;
    let open = in_hyper(teller().allow_any_origin()).await;
    for (addr, origin, status) in [
        (addr, "https://app.example.com", "101"),
        (addr, "http://localhost", "101"),
        (addr, "https://evil.example.com", "403"),
        (addr, "null", "403"),
        (open, "https://evil.example.com", "101"),
    ] {
        let origin = format!("Origin: {origin}");
        let lines: Vec<_> = HANDSHAKE.into_iter().chain([origin.as_str()]).collect();
        let (_, head) = Client::get(addr, "/", &lines).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {head}");
    }
}
