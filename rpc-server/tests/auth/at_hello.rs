//! The authenticator at the Hello, after the upgrade has left it open.

use std::time::Duration;

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{Frame, PacketHeader, read_packet},
    Code, Config,
};
use rpc_server::{ConnectionInfo, ServerHandle};
use rpc_testing::{LIMITS, Lines, hello, hosted, packet, settle, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::Level;

use crate::{
    bank::{Customer, Person, SECRET, Seen, bank, hasty},
    raw::{Raw, UPGRADE, connections, endless, frames, masked},
};

fn greeting(credential: &str) -> Bytes {
    let contracts = hosted(Person.serve().contract());
    let Frame::Hello(mut said) = hello(LIMITS, contracts) else { unreachable!() };
    said.credentials = credential.into();
    packet(PacketHeader { seq: 0, ack: 0 }, &[Frame::Hello(said)])
}

/// A client that has shown this credential in its Hello.
async fn greeted(server: &ServerHandle, credential: &str) -> Raw {
    let mut raw = Raw::upgraded(server).await;
    raw.frame(0x82, &greeting(credential)).await;
    raw
}

/// Why the server refuses the client, and the close code.
async fn refusal(server: &ServerHandle, credential: &str) -> (Code, String, Option<u16>) {
    let bytes = greeted(server, credential).await.rest().await;
    let frames = frames(&bytes);
    let [(2, welcome), (8, close)] = frames[..] else { panic!("{credential}: {frames:?}") };
    let said: Vec<_> = read_packet(welcome.to_vec().into()).unwrap().1.map(Result::unwrap).collect();
    let [Frame::Welcome(welcome)] = &said[..] else { panic!("{said:?}") };
    let status = welcome.refusal.clone().unwrap();
    (status.code(), status.message().to_owned(), Some(u16::from_be_bytes([close[0], close[1]])))
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let server = bank().listen("127.0.0.1:0").await.unwrap();
    let cases = [
        ("", Code::Unauthenticated, "this server asks its clients for a credential"),
        ("nonsense", Code::Unauthenticated, "the token is not valid"),
        ("expired", Code::Unauthenticated, "the credential has expired"),
        ("denied", Code::PermissionDenied, "this account is closed"),
        ("often", Code::ResourceExhausted, "too many attempts"),
        ("down", Code::Unavailable, "the database does not answer"),
        ("panics", Code::Internal, "the client could not be authenticated"),
    ];
    for (credential, code, text) in cases {
        assert_eq!(refusal(&server, credential).await, (code, text.to_owned(), Some(4400)), "{credential}");
    }
    connections(&server, 0).await;
}

#[tokio::test]
async fn the_identity_is_that_of_the_session() {
    let seen = Seen::default();
    let server = bank().hooks(seen.clone()).listen("127.0.0.1:0").await.unwrap();
    let _raw = greeted(&server, SECRET).await;
    until("it is open", || server.sessions().len() == 1).await;
    assert_eq!(*seen.0.lock().unwrap(), [(Some("ada".to_owned()), Some(42))]);
    let session = server.sessions().iter().next().unwrap();
    assert_eq!(session.principal(), Some("ada".into()));
}

#[tokio::test]
async fn a_slow_authenticator_is_bounded() {
    let server = bank().config(hasty()).listen("127.0.0.1:0").await.unwrap();
    let (code, text, close) = refusal(&server, "slow").await;
    assert_eq!((code, close), (Code::Unavailable, Some(4400)), "{text}");
    connections(&server, 0).await;
}

#[tokio::test]
async fn the_end_of_the_server_does_not_wait_for_the_authenticator() {
    let server = bank().config(endless()).listen("127.0.0.1:0").await.unwrap();
    let raws = [greeted(&server, "slow").await, greeted(&server, "slow").await];
    connections(&server, 2).await;
    let refused = async {
        for mut raw in raws {
            let rest = raw.rest().await;
            assert!(!rest.is_empty(), "it is told");
        }
    };
    let (drained, ()) = tokio::join!(tokio::time::timeout(rpc_testing::SOON, server.shutdown()), refused);
    drained.unwrap();
    assert_eq!(server.sessions().connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_why_it_is_refused_does_not_hold_the_end_of_the_server() {
    let config = Config::builder().drain_timeout(Duration::from_secs(1)).drain_grace(Duration::ZERO).build().unwrap();
    let server = bank().config(config).build().unwrap();
    for credential in ["nonsense", "slow"] {
        // Room for the answer to the upgrade, and for nothing behind it.
        let (mut near, far) = tokio::io::duplex(16);
        server.serve_stream(far, ConnectionInfo::default()).unwrap();
        let request = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", UPGRADE.join("\r\n"));
        near.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(near.read_u8().await.unwrap());
        }
        near.write_all(&masked(0x82, &greeting(credential))).await.unwrap();
        // The other end stays open, and is not read.
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(near);
        });
    }
    // Both are now where they wait: one for room for its refusal, the other for its authenticator.
    settle().await;
    tokio::time::timeout(rpc_testing::SOON, server.shutdown()).await.unwrap();
    assert_eq!(server.sessions().connections(), 0);
}

#[tokio::test]
async fn a_flood_of_refused_clients_leaves_nothing() {
    let seen = Seen::default();
    let server = bank().hooks(seen.clone()).listen("127.0.0.1:0").await.unwrap();
    for _ in 0..100 {
        assert_eq!(refusal(&server, "nonsense").await.0, Code::Unauthenticated);
    }
    connections(&server, 0).await;
    assert!(server.sessions().is_empty() && seen.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn no_log_shows_a_credential() {
    Lines::keep();
    let server = bank().listen("127.0.0.1:0").await.unwrap();
    refusal(&server, &format!("wrong-{SECRET}")).await;
    let _raw = greeted(&server, SECRET).await;
    until("it is open", || server.sessions().len() == 1).await;
    let lines = Lines::read(Level::TRACE);
    assert!(lines.iter().any(|line| line.contains("refused at its hello")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(SECRET)), "{lines:?}");
}
