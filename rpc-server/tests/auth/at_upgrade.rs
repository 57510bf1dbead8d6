//! The authenticator at the HTTP upgrade.

use rpc_client::{Connect, ConnectError};
use rpc_core::{Principal, Stub};
use rpc_server::ServerHandle;
use rpc_testing::Lines;
use tracing::Level;

use crate::{
    bank::{BankClient, Customer, Person, SECRET, Seen, bank, hasty},
    raw::{Raw, UPGRADE, connections},
};

async fn answer(server: &ServerHandle, lines: &[&str]) -> (String, String) {
    let mut raw = Raw::connect(server).await;
    let lines: Vec<_> = UPGRADE.iter().chain(lines).copied().collect();
    let head = raw.get(&lines).await;
    let body = if head.starts_with("HTTP/1.1 101") { String::new() } else { raw.body(&head).await };
    (head.to_lowercase(), body)
}

#[tokio::test]
async fn each_refusal_has_its_status() {
    let server = bank().listen("127.0.0.1:0").await.unwrap();
    let cases = [
        ("nonsense", "401", "the token is not valid\n", Some("www-authenticate: bearer realm=\"bank\"")),
        ("expired", "401", "the credential has expired\n", Some("www-authenticate: bearer")),
        ("denied", "403", "this account is closed\n", None),
        ("often", "429", "too many attempts\n", Some("retry-after: 2")),
        ("down", "503", "the database does not answer\n", None),
        ("panics", "500", "the client could not be authenticated\n", None),
    ];
    for (token, status, text, header) in cases {
        let (head, body) = answer(&server, &[&format!("Authorization: Bearer {token}")]).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{token}: {head}");
        assert_eq!(body, text, "{token}");
        assert!(header.is_none_or(|line| head.lines().any(|found| found == line)), "{token}: {head}");
    }
    connections(&server, 0).await;
}

#[tokio::test]
async fn the_identity_reaches_hooks_handlers_and_callbacks() {
    let seen = Seen::default();
    let server = bank().hooks(seen.clone()).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let bearer = format!("Bearer {SECRET}");
    let bank = BankClient::connect(url).header("authorization", bearer).callback(Person.serve()).await.unwrap();
    assert_eq!(bank.name().await.unwrap().as_deref(), Some("ada"));
    assert_eq!(bank.balance().await.unwrap(), Some(42));
    assert_eq!(bank.greeting().await.unwrap(), "I am ada");
    assert_eq!(*seen.0.lock().unwrap(), [(Some("ada".to_owned()), Some(42))]);
    assert_eq!(server.sessions().of(&Principal::from("ada")).len(), 1);
}

#[tokio::test]
async fn a_token_may_come_as_a_cookie_or_as_a_sub_protocol() {
    let server = bank().listen("127.0.0.1:0").await.unwrap();
    for line in [format!("Cookie: session={SECRET}"), format!("Sec-WebSocket-Protocol: duplex-rpc.bearer.{SECRET}")] {
        let (head, _) = answer(&server, &[&line]).await;
        assert!(head.starts_with("http/1.1 101 "), "{line}: {head}");
        assert!(head.contains("sec-websocket-protocol: duplex-rpc.v1\r\n") && !head.contains(SECRET), "{head}");
    }
    let (head, _) = answer(&server, &["Sec-WebSocket-Protocol: duplex-rpc.bearer.nonsense"]).await;
    assert!(head.starts_with("http/1.1 401 "), "{head}");
}

#[tokio::test]
async fn a_client_may_come_in_without_a_principal() {
    let server = bank().listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let bank = BankClient::connect(url).header("x-guest", "yes").callback(Person.serve()).await.unwrap();
    assert_eq!(bank.name().await.unwrap(), None);
}

#[tokio::test]
async fn a_slow_authenticator_is_bounded() {
    let server = bank().config(hasty()).build().unwrap();
    let listener = server.listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw(tokio::net::TcpStream::connect(listener.local_addr()).await.unwrap());
    let lines: Vec<_> = UPGRADE.into_iter().chain(["Authorization: Bearer slow"]).collect();
    let head = raw.get(&lines).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    rpc_testing::until("nothing is left", || server.sessions().connections() == 0).await;
}

#[tokio::test]
async fn the_end_of_the_server_does_not_wait_for_the_authenticator() {
    let server = bank().config(crate::raw::endless()).listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&server).await;
    let lines = [&UPGRADE.join("\r\n"), "Authorization: Bearer slow"];
    raw.send(format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await;
    connections(&server, 1).await;
    tokio::time::timeout(rpc_testing::SOON, server.shutdown()).await.unwrap();
    assert_eq!(server.sessions().connections(), 0);
}

#[tokio::test]
async fn a_flood_of_refused_clients_leaves_nothing() {
    let seen = Seen::default();
    let server = bank().hooks(seen.clone()).listen("127.0.0.1:0").await.unwrap();
    for number in 0..200 {
        let token = ["nonsense", "denied", "often", "down"][number % 4];
        let (head, _) = answer(&server, &[&format!("Authorization: Bearer {token}")]).await;
        assert!(head.starts_with("http/1.1 4") || head.starts_with("http/1.1 503"), "{head}");
    }
    connections(&server, 0).await;
    assert!(server.sessions().is_empty() && seen.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn no_log_and_no_error_shows_a_token() {
    Lines::keep();
    let server = bank().listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let connect =
        |bearer: &str| BankClient::connect(url.clone()).header("authorization", bearer).callback(Person.serve());
    let bank = connect(&format!("Bearer {SECRET}")).await.unwrap();
    let info = server.sessions().iter().next().unwrap().info();
    assert!(!format!("{info:?}").contains(SECRET), "{info:?}");
    bank.session().close().await;
    let error = connect(&format!("Bearer wrong-{SECRET}")).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Http { status, .. } if status.as_u16() == 401), "{error:?}");
    assert!(!format!("{error:?} {error}").contains(SECRET), "{error:?}");
    for (name, line) in [("cookie", format!("session={SECRET}x")), ("authorization", format!("Bearer {SECRET}y"))] {
        answer(&server, &[&format!("{name}: {line}")]).await;
    }
    let lines = Lines::read(Level::TRACE);
    assert!(lines.iter().any(|line| line.contains("refused at the upgrade")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(SECRET)), "{lines:?}");
}
