//! What goes over TLS: calls, callbacks, payloads, streams, and the end.

use bytes::Bytes;
use rpc_client::Connect;
use rpc_core::{CloseCode, Code, ConnectionError, Session, Stats, Streaming, Stub};
use rpc_testing::{Authority, SOON, at_rest, blocks, count_blocks, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{
    client,
    rustls::{
        ProtocolVersion, SupportedProtocolVersion,
        version::{TLS12, TLS13},
    },
};

use super::vault::{Guest, Parrot, VaultClient, builder, join, listen, of, trusting};
use crate::secure::secure;

const MIB: usize = 1 << 20;

fn body(len: usize) -> Bytes {
    (0..=250).cycle().take(len).collect()
}

async fn closed(session: &Session) -> ConnectionError {
    timeout(SOON, session.closed()).await.expect("the session ends")
}

/// A client of the TLS library alone.
pub(crate) async fn raw(
    server: std::net::SocketAddr,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> std::io::Result<client::TlsStream<TcpStream>> {
    secure(TcpStream::connect(server).await.unwrap(), &authority.pem(), version, protocols).await
}

#[tokio::test]
async fn calls_and_callbacks_go_over_tls() {
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    let vault = join(&server, trusting(&authority)).await;
    assert_eq!(vault.add(1, 2).await, Ok(3));
    assert_eq!(vault.ask(body(10)).await, Ok(body(10)));
    assert_eq!(vault.who().await, Ok((true, vec![])));
    // The client sees the server's certificate.
    let info = vault.session().info();
    assert!(info.is_encrypted());
    assert_eq!(info.peer_certificate().unwrap().dns_names().collect::<Vec<_>>(), ["localhost"]);
    at_rest(&vault.session()).await;
}

#[tokio::test]
async fn a_chain_is_sent_whole() {
    let authority = Authority::new("test");
    let below = authority.below("below").below("further below");
    let server = listen(&below).await;
    assert_eq!(join(&server, trusting(&authority)).await.add(1, 2).await, Ok(3));
}

#[tokio::test]
async fn one_server_listens_with_and_without_tls() {
    let authority = Authority::new("test");
    let server = builder().listen("127.0.0.1:0").await.unwrap();
    let listener = server.server().listen_tls("127.0.0.1:0", of(&authority.server(&["127.0.0.1"]))).await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let plain = VaultClient::connect(url).callback(Parrot.serve()).await.unwrap();
    let url = format!("wss://{}/", listener.local_addr());
    let tls = VaultClient::connect(url).callback(Parrot.serve()).tls(trusting(&authority)).await.unwrap();
    assert_eq!((plain.who().await, tls.who().await), (Ok((false, vec![])), Ok((true, vec![]))));
    assert!(!plain.session().info().is_encrypted());
    assert_eq!(server.sessions().len(), 2);
}

#[tokio::test]
async fn large_payloads_go_both_ways() {
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    let vault = join(&server, trusting(&authority)).await;
    // The arguments are 4 MiB long, which is the most that either end takes by default.
    let large = body(4 * MIB - 6);
    let (there, back) = tokio::join!(vault.echo(large.clone()), vault.ask(large.clone()));
    assert!(there.unwrap() == large && back.unwrap() == large);
    at_rest(&vault.session()).await;
}

#[tokio::test]
async fn streams_go_both_ways_at_once() {
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    let vault = join(&server, trusting(&authority)).await;
    let down = async { count_blocks(vault.pour(200).await.unwrap()).await };
    let (up, down) = tokio::join!(vault.drain(Streaming::new(blocks(200))), down);
    assert_eq!((up, down), (Ok(200), Ok(200)));
    at_rest(&vault.session()).await;
}

#[tokio::test]
async fn a_shutdown_says_goodbye() {
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    let vault = join(&server, trusting(&authority)).await;
    timeout(SOON, server.shutdown()).await.unwrap();
    let reason = closed(&vault.session()).await;
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }), "{reason}");
}

#[tokio::test]
async fn a_server_that_is_dropped_says_goodbye() {
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    let vault = join(&server, trusting(&authority)).await;
    drop(server);
    let reason = closed(&vault.session()).await;
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::RESTART, .. }), "{reason}");
}

#[tokio::test]
async fn a_client_that_closes_says_goodbye() {
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    let vault = join(&server, trusting(&authority)).await;
    let other = server.sessions().iter().next().unwrap();
    timeout(SOON, vault.session().close()).await.unwrap();
    let reason = closed(&other).await;
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }), "{reason}");
}

#[tokio::test]
async fn a_link_that_is_cut_without_goodbye_is_lost() {
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let server_addr = server.local_addr();
    let cable = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(server_addr).await.unwrap();
        copy_bidirectional(&mut near, &mut far).await
    });
    let vault = VaultClient::connect(url).callback(Parrot.serve()).tls(trusting(&authority)).await.unwrap();
    let (session, other) = (vault.session(), server.sessions().iter().next().unwrap());
    let forever = tokio::spawn(async move { vault.forever().await });
    until("the call is under way", || other.stats() != Stats::default()).await;
    cable.abort();
    for session in [&session, &other] {
        let reason = closed(session).await;
        assert!(matches!(reason, ConnectionError::Lost(_)), "{reason}");
    }
    assert_eq!(timeout(SOON, forever).await.unwrap().unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_connection_that_ends_in_order_ends_its_tls_too() {
    const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: duplex-rpc.v1\r\n\r\n";
    const PAGE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    for (request, answer) in [(PAGE, "HTTP/1.1 426"), (UPGRADE, "HTTP/1.1 101")] {
        let mut stream = raw(server.local_addr(), &authority, &TLS13, &[]).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = vec![0; answer.len()];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), answer);
        if request == UPGRADE {
            // The HTTP server ends the page's connection by itself; the session ends with the server.
            let server = server.server().clone();
            tokio::spawn(async move { server.shutdown().await });
        }
        // The library reports an end without close_notify (RFC 8446 §6.1) as an error.
        timeout(SOON, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn both_versions_and_http_1_are_agreed_on() {
    let authority = Authority::new("test");
    let server = listen(&authority).await;
    for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for (offered, agreed) in [(&["h2", "http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
            let mut stream = raw(server.local_addr(), &authority, version, offered).await.unwrap();
            let connection = stream.get_ref().1;
            assert_eq!((connection.protocol_version(), connection.alpn_protocol()), (Some(number), agreed));
            stream.shutdown().await.unwrap();
        }
        let error = raw(server.local_addr(), &authority, version, &["h2"]).await.unwrap_err();
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    }
}
