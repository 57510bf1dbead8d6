//! The typical mistakes of new users, and the error message for each of them.
//!
//! The compiler finds three more mistakes: a type that does not serialize, a handler that is not `Send`, and a
//! forgotten `serve()`. The tests of the macros check their messages.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::stream;
use rpc_client::{Connect, ConnectError, Reconnect};
use rpc_core::{Code, Config, Context, Execution, Hosting, Status, Streaming, Stub};
use rpc_server::{BuildError, ListenError, Server, ServerHandle};
use rpc_testing::Lines;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[rpc_core::service(callback = Screen)]
trait Desk {
    async fn ask(&self, cx: &Context<ScreenClient>) -> Result<bool, Status>;
    async fn block(&self) -> u32;
    async fn pages(&self, panics: bool) -> Streaming<u32>;
    async fn length(&self, text: &str) -> usize;
    async fn long(&self, length: usize) -> String;
}

#[rpc_core::callback]
trait Screen {
    async fn confirm(&self) -> bool;
}

/// Another contract of the same name.
#[rpc_core::service(name = "Desk")]
trait Bureau {
    async fn other(&self) -> u32;
}

#[rpc_core::service]
trait Elsewhere {
    async fn anything(&self) -> u32;
}

struct Clerk;

impl Desk for Clerk {
    async fn ask(&self, cx: &Context<ScreenClient>) -> Result<bool, Status> {
        cx.peer().confirm().await
    }
    async fn block(&self) -> u32 {
        1
    }
    async fn pages(&self, panics: bool) -> Streaming<u32> {
        Streaming::new(stream::once(async move {
            assert!(!panics, "as a user's stream may");
            1
        }))
    }
    async fn length(&self, text: &str) -> usize {
        text.len()
    }
    async fn long(&self, length: usize) -> String {
        "x".repeat(length)
    }
}

impl Bureau for Clerk {
    async fn other(&self) -> u32 {
        2
    }
}

impl Screen for Clerk {
    async fn confirm(&self) -> bool {
        true
    }
}

async fn server() -> (ServerHandle, String) {
    server_with(Config::default()).await
}

async fn server_with(config: Config) -> (ServerHandle, String) {
    let server = Server::builder().service(Desk::serve(Clerk)).config(config).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    (server, url)
}

async fn desk() -> (ServerHandle, DeskClient) {
    desk_with(Config::default()).await
}

async fn desk_with(config: Config) -> (ServerHandle, DeskClient) {
    let (server, url) = server_with(config).await;
    let desk = DeskClient::connect(url).callback(Screen::serve(Clerk)).reconnect(Reconnect::never()).await.unwrap();
    (server, desk)
}

/// A server for which a poll that takes longer than this blocks its thread.
async fn impatient(slow_poll: Duration) -> (ServerHandle, DeskClient) {
    desk_with(Config::builder().slow_poll(slow_poll).build().unwrap()).await
}

/// A server that answers any request with these lines.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    url
}

#[track_caller]
fn says(error: &impl std::fmt::Display, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
}

#[tokio::test]
async fn nothing_listens_at_the_port() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = ElsewhereClient::connect(format!("ws://{free}/")).await.unwrap_err();
    says(&error, &["nothing listens at", &free.to_string(), "check the port"]);
}

#[tokio::test]
async fn what_answers_is_no_websocket() {
    let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    says(
        &ElsewhereClient::connect(url).await.unwrap_err(),
        &["200", "ordinary web server", "check host, port and path"],
    );
    let url = answering("220 mail.example.com ESMTP\r\n\r\n").await;
    says(
        &ElsewhereClient::connect(url).await.unwrap_err(),
        &["is not a WebSocket server", "check host, port and path"],
    );
    let error = ElsewhereClient::connect("http://127.0.0.1:1/").await.unwrap_err();
    says(&error, &["ws://"]);
}

#[tokio::test]
async fn no_error_shows_a_secret_in_a_url() {
    let not_found = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let (_server, elsewhere) = server().await;
    for (url, shown) in [
        (format!("{not_found}rpc?token=hunter2"), format!("{not_found}rpc?…")),
        (format!("{elsewhere}rpc?token=hunter2"), format!("{elsewhere}rpc?…")),
        ("ws://zoe:hunter2@localhost/".to_owned(), "ws://…@localhost/".to_owned()),
        ("https://zoe:hunter2@localhost/".to_owned(), "wss://…@localhost/".to_owned()),
        ("ws://zoe:hun/ter2@localhost/".to_owned(), "ws://…@localhost/".to_owned()),
        ("zoe:hunter2@localhost:9000".to_owned(), "ws://…@localhost:9000".to_owned()),
        ("ws://localhost/#hunter2".to_owned(), "ws://localhost/#…".to_owned()),
        ("ws://localhost:x/?hunter2".to_owned(), "ws://localhost:x/?…".to_owned()),
    ] {
        let connect = ElsewhereClient::connect(&url).callback(Screen::serve(Clerk));
        let builder = format!("{connect:?}");
        let error = connect.await.unwrap_err();
        let text = format!("{error} {error:?} {builder}");
        assert!(!text.contains("hun/") && !text.contains("ter2") && !text.contains("zoe"), "{url}: {text}");
        assert!(text.contains(&shown), "{url}: {text}");
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_sent() {
    let (server, _) = server().await;
    let url = format!("ws://{}/", server.local_addr());
    let cases = [
        ("Host", "elsewhere", "the WebSocket handshake sets it"),
        ("Sec-WebSocket-Protocol", "chat", "the WebSocket handshake sets it"),
        ("Sec-WebSocket-Extensions", "permessage-deflate", "the WebSocket handshake sets it"),
        ("x key", "value", "x key"),
        ("x-key", "two\r\nlines", "x-key"),
    ];
    for (name, value, why) in cases {
        let error = ElsewhereClient::connect(&url).header(name, value).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Header { .. }), "{error}");
        says(&error, &["cannot be sent", why]);
    }
}

#[tokio::test]
async fn no_sub_protocol_in_common() {
    // At the server, a client that offers another subprotocol is told which one is served.
    let (server, _) = server().await;
    let mut socket = tokio::net::TcpStream::connect(server.local_addr()).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    says(&answer, &["400", "duplex-rpc.v1"]);
    // At the client, the server is a WebSocket server for another protocol.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(socket).await
    });
    let error = ElsewhereClient::connect(url).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoCommonProtocol { .. }), "{error:?}");
    says(&error, &["does not serve duplex-rpc.v1", "check host, port and path"]);
}

#[cfg(feature = "raw")]
#[tokio::test]
async fn a_raw_websocket_where_sessions_begin() {
    let (_server, url) = server().await;
    let error = rpc_client::raw::ClientWebSocket::connect(url).await.unwrap_err();
    says(&error, &["speaks duplex-rpc.v1", "none was offered", ".protocols(..)", "check host, port and path"]);
}

#[tokio::test]
async fn the_callback_contract_is_not_hosted() {
    let (_server, url) = server().await;
    let error = DeskClient::connect(url).await.unwrap_err();
    assert!(matches!(error, ConnectError::CallbackNotHosted { .. }), "{error:?}");
    says(&error, &["`Desk`", "only to clients that host", "`Screen`", ".callback(Screen::serve("]);
}

#[tokio::test]
async fn the_contract_is_not_hosted() {
    let (_server, url) = server().await;
    let error = ElsewhereClient::connect(url).callback(Screen::serve(Clerk)).await.unwrap_err();
    says(&error, &["does not host the contract `Elsewhere`", ".service(Elsewhere::serve("]);
}

#[tokio::test]
async fn two_contracts_of_one_name() {
    let both = Server::builder().service(Desk::serve(Clerk)).service(Bureau::serve(Clerk));
    let error = both.listen("127.0.0.1:0").await.unwrap_err();
    assert!(matches!(error, ListenError::Build(BuildError::Hosting(_))));
    says(&error, &["two contracts named `Desk`", "#[service(name ="]);
    assert!(Hosting::builder().service(Desk::serve(Clerk)).service(Screen::serve(Clerk)).build().is_ok());
}

#[tokio::test]
async fn what_a_main_shows_says_what_to_do() {
    // `fn main() -> Result<(), Box<dyn Error>>` and `unwrap` print an error by its `Debug`.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = ElsewhereClient::connect(format!("ws://{free}/")).await.unwrap_err();
    assert_eq!(format!("{error:?}"), format!("Refused: {error}"));
    let (server, _) = server().await;
    let error = Server::builder().listen(server.local_addr()).await.unwrap_err();
    assert_eq!(format!("{error:?}"), format!("InUse: {error}"));
    let error = Server::builder().max_connections(0).build().unwrap_err();
    assert_eq!(format!("{error:?}"), format!("NoConnections: {error}"));
    let error = Server::builder().max_connections(0).listen("127.0.0.1:0").await.unwrap_err();
    assert_eq!(format!("{error:?}"), format!("Build: {error}"));
}

#[tokio::test]
async fn secrets_in_a_url_are_not_shown() {
    let (server, _) = server().await;
    let host = server.local_addr();
    let elsewhere = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let urls = [
        format!("ws://ada:hunter2@{host}/"),
        format!("http://ada:hunter2@{host}/"),
        format!("ada:hunter2@{host}/"),
        format!("https://{host}/?token=hunter2"),
        format!("{host}/?token=hunter2"),
        format!("ws://{host}/?token=hunter2"),
        format!("{elsewhere}?token=hunter2"),
    ];
    for url in urls {
        let builder = ElsewhereClient::connect(&url).callback(Screen::serve(Clerk));
        let mut shown = format!("{builder:?}");
        let error = builder.await.unwrap_err();
        shown += &format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        says(&error, &[url.split(['@', '?']).find(|part| part.contains("127.0.0.1")).unwrap()]);
    }
}

#[tokio::test]
async fn the_port_is_taken() {
    let (server, _) = server().await;
    let error = Server::builder().listen(server.local_addr()).await.unwrap_err();
    says(&error, &["another socket (perhaps of this program) listens at", "choose another port"]);
}

#[tokio::test]
async fn an_unknown_method() {
    let (_server, desk) = desk().await;
    let elsewhere: ElsewhereClient = desk.session().client();
    let status = elsewhere.anything().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unimplemented, Execution::NotExecuted));
    says(&status, &["Elsewhere.anything cannot be called", "is not hosted by the other side, which hosts Desk"]);
    assert!(desk.ask().await.unwrap(), "the connection lives");
}

#[tokio::test]
async fn a_call_after_the_end() {
    let (_server, desk) = desk().await;
    let session = desk.session();
    session.close();
    let reason = session.closed().await;
    let status = desk.ask().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    says(&status, &["the call was not made", &reason.to_string()]);
}

#[tokio::test]
async fn a_payload_over_the_limit() {
    let (_server, desk) = desk().await;
    let status = desk.length(&"x".repeat(5 << 20)).await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::OutOfRange, Execution::NotExecuted));
    says(&status, &["Desk.length", "5242886 bytes", "4194304", "Config::max_payload"]);
    let status = desk.long(5 << 20).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    says(&status, &["the result is 5242885 bytes", "4194304", "Config::max_payload"]);
    assert_eq!(desk.length("abc").await.unwrap(), 3, "the connection lives");
}

#[tokio::test]
async fn a_handler_that_blocks_is_named_in_the_log() {
    Lines::keep();
    let (_patient, desk) = impatient(Duration::MAX).await;
    assert_eq!(desk.block().await.unwrap(), 1);
    assert!(!Lines::log().contains("blocked its thread"), "{}", Lines::log());
    // Any poll takes longer than that.
    let (_server, desk) = impatient(Duration::ZERO).await;
    assert_eq!(desk.block().await.unwrap(), 1);
    says(&Lines::log(), &["WARN", "blocked its thread", "method=block", "spawn_blocking"]);
}

#[tokio::test]
async fn a_stream_that_blocks_or_panics_is_named_in_the_log() {
    Lines::keep();
    let (_server, desk) = impatient(Duration::ZERO).await;
    assert_eq!(desk.pages(false).await.unwrap().next().await, Some(Ok(1)));
    says(&Lines::log(), &["WARN", "a stream blocked its thread", "method=pages", "spawn_blocking"]);
    let error = desk.pages(true).await.unwrap().next().await.unwrap().unwrap_err();
    says(&error, &["Desk.pages", "panicked"]);
    says(&Lines::log(), &["ERROR", "a stream panicked", "contract=Desk method=pages"]);
}

#[tokio::test]
async fn every_frame_is_logged_at_trace_level_without_payloads() {
    Lines::keep();
    let (_server, desk) = desk().await;
    assert_eq!(desk.length("secret").await.unwrap(), 6);
    let text = Lines::log();
    let id = rpc_core::contract::method_id("Desk", "length");
    says(&text, &["kind=Hello", "kind=Welcome", "kind=Request", "kind=Response", &format!("method={id}")]);
    assert!(!text.contains("secret"), "{text}");
}
