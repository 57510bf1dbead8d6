//! What handlers are called with, and in which order.

use bytes::Bytes;
use rpc_server::{
    CloseCode, async_trait,
    raw::{CloseFrame, Connection, Message, RawError, RawSocket, Text, WebSocketHandler, websocket},
};
use tokio::sync::Notify;

use super::host::{BINARY, CLOSE, Client, Diary, FIN, PING, PONG, TEXT, in_axum, in_hyper, soon};

/// Echoes, and notes what it is called with.
#[derive(Default)]
struct Echo {
    diary: Diary,
}

#[async_trait]
impl WebSocketHandler for Echo {
    async fn on_open(&self, connection: &Connection) {
        // Others have their turn before anything else may be called.
        tokio::task::yield_now().await;
        self.diary.note(format!("open {}", connection.info().uri));
    }

    async fn on_text(&self, connection: &Connection, text: Text) {
        self.diary.note(format!("text {text}"));
        match text.as_str() {
            "panic" => panic!("as it was told"),
            "close" => connection.close(CloseCode(4000), "as you wish"),
            "headers" => {
                let agent = connection.headers().get("user-agent").unwrap().to_str().unwrap().to_owned();
                connection.send(agent).await.unwrap();
            }
            _ => connection.send(text).await.unwrap(),
        }
    }

    async fn on_binary(&self, connection: &Connection, bytes: Bytes) {
        self.diary.note(format!("binary {}", bytes.len()));
        connection.send(bytes).await.unwrap();
    }

    async fn on_ping(&self, _: &Connection, payload: Bytes) {
        self.diary.note(format!("ping {}", payload.len()));
    }

    async fn on_pong(&self, _: &Connection, payload: Bytes) {
        self.diary.note(format!("pong {}", payload.len()));
    }

    async fn on_error(&self, connection: &Connection, error: &RawError) {
        let kind = match error {
            RawError::Lost(_) => "lost".to_owned(),
            RawError::Protocol(error) => error.close_code().0.to_string(),
            other => other.to_string(),
        };
        self.diary.note(format!("error {kind}, takes more: {}", connection.try_send("x").is_ok()));
    }

    async fn on_close(&self, connection: &Connection, goodbye: Option<&CloseFrame>) {
        assert!(connection.is_closed());
        self.diary.note(format!("close {:?}", goodbye.map(|frame| frame.code.0)));
    }
}

fn echo() -> (Echo, Diary) {
    let diary = Diary::default();
    (Echo { diary: diary.clone() }, diary)
}

#[tokio::test]
async fn a_handler_is_opened_first_and_closed_last() {
    for axum in [false, true] {
        let (handler, diary) = echo();
        let service = websocket(handler);
        let addr = if axum { in_axum(service).await } else { in_hyper(service).await };
        let mut client = Client::open(addr).await;
        client.frame(FIN | TEXT, b"hello").await;
        assert_eq!(client.next().await, Some((FIN | TEXT, b"hello".to_vec())));
        client.frame(FIN | PING, b"?").await;
        assert_eq!(client.next().await, Some((FIN | PONG, b"?".to_vec())));
        client.frame(FIN | PONG, b"!").await;
        client.frame(FIN | BINARY, &[1; 70_000]).await;
        assert_eq!(client.next().await, Some((FIN | BINARY, vec![1; 70_000])));
        client.frame(FIN | CLOSE, b"\x03\xe9gone").await;
        assert_eq!(client.close_frame().await, (1001, "gone".to_owned()));
        assert_eq!(client.next().await, None, "the server is the first to end the stream");
        drop(client);
        let lines = ["open /ws", "text hello", "ping 1", "pong 1", "binary 70000", "close Some(1001)"];
        assert_eq!(diary.closed().await, lines);
    }
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_alone() {
    let (handler, diary) = echo();
    let addr = in_hyper(websocket(handler)).await;
    let mut other = Client::open(addr).await;
    let mut client = Client::open(addr).await;
    client.frame(FIN | TEXT, b"panic").await;
    client.frame(FIN | TEXT, b"not handled").await;
    assert_eq!(client.close_frame().await.0, 1011);
    client.frame(FIN | CLOSE, b"\x03\xf3").await;
    assert_eq!(client.next().await, None);
    drop(client);
    assert_eq!(diary.closed().await, ["open /ws", "open /ws", "text panic", "close Some(1011)"]);
    other.frame(FIN | TEXT, b"still here").await;
    assert_eq!(other.next().await, Some((FIN | TEXT, b"still here".to_vec())));
}

#[tokio::test]
async fn a_client_that_hangs_up_is_an_error_and_a_close() {
    let (handler, diary) = echo();
    let addr = in_hyper(websocket(handler)).await;
    let mut client = Client::open(addr).await;
    client.frame(FIN | TEXT, b"hello").await;
    client.next().await.unwrap();
    drop(client);
    assert_eq!(diary.closed().await, ["open /ws", "text hello", "error lost, takes more: false", "close None"]);
}

#[tokio::test]
async fn breaches_of_the_protocol_are_told_with_their_code() {
    for (bytes, code) in [
        (&[0x81, 0x02, b'h', b'i'][..], 1002),
        (&[0xc1, 0x80, 0, 0, 0, 0], 1002),
        // The first of several fragments: the rest does not matter any more.
        (&[0x01, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0], 1009),
    ] {
        let (handler, diary) = echo();
        let addr = in_hyper(websocket(handler)).await;
        let mut client = Client::open(addr).await;
        client.bytes(bytes).await;
        assert_eq!(client.close_frame().await.0, code);
        drop(client);
        let error = format!("error {code}, takes more: false");
        assert_eq!(diary.closed().await, ["open /ws", &error, "close None"]);
    }
}

#[tokio::test]
async fn a_handler_closes_with_its_code() {
    let (handler, diary) = echo();
    let addr = in_hyper(websocket(handler)).await;
    let mut client = Client::open(addr).await;
    client.frame(FIN | TEXT, b"one").await;
    client.frame(FIN | TEXT, b"close").await;
    assert_eq!(client.next().await, Some((FIN | TEXT, b"one".to_vec())));
    assert_eq!(client.close_frame().await, (4000, "as you wish".to_owned()));
    client.frame(FIN | CLOSE, b"\x0f\xa0").await;
    assert_eq!(client.next().await, None);
    drop(client);
    assert_eq!(diary.closed().await, ["open /ws", "text one", "text close", "close Some(4000)"]);
}

#[tokio::test]
async fn handlers_see_headers_address_and_target() {
    async fn tell(socket: RawSocket) {
        let connection = socket.connection();
        let agent = connection.headers().get("user-agent").unwrap().to_str().unwrap();
        let told = format!("{agent} {} {:?}", connection.info().uri, connection.peer_addr());
        socket.send(told).await.unwrap();
    }
    let addr = in_hyper(websocket(tell)).await;
    let mut lines = super::host::HANDSHAKE.to_vec();
    lines.push("User-Agent: tester");
    let (mut client, _) = Client::get(addr, "/ws?room=5", &lines).await;
    let own = client.0.local_addr().unwrap();
    let told = client.next().await.unwrap().1;
    assert_eq!(String::from_utf8(told).unwrap(), format!("tester /ws?room=5 Some({own})"));
    assert_eq!(client.close_frame().await.0, 1000, "the function has returned");
}

#[tokio::test]
async fn a_function_serves_and_its_panic_is_a_close_code() {
    async fn serve(mut socket: RawSocket) {
        while let Some(Ok(message)) = socket.recv().await {
            assert_ne!(message, Message::from("panic"));
            socket.send(message).await.unwrap();
        }
    }
    let addr = in_axum(websocket(serve)).await;
    let mut client = Client::open(addr).await;
    client.frame(FIN | TEXT, b"hello").await;
    assert_eq!(client.next().await, Some((FIN | TEXT, b"hello".to_vec())));
    client.frame(FIN | TEXT, b"panic").await;
    assert_eq!(client.close_frame().await.0, 1011);
}

/// Its `on_text` waits until it may go on.
struct Slow {
    diary: Diary,
    gate: Notify,
}

#[async_trait]
impl WebSocketHandler for Slow {
    async fn on_text(&self, connection: &Connection, text: Text) {
        self.diary.note(format!("begun {text}"));
        self.gate.notified().await;
        self.diary.note(format!("done {text} {:?}", connection.closed().await.map(|frame| frame.code.0)));
    }

    async fn on_close(&self, _: &Connection, _: Option<&CloseFrame>) {
        self.diary.note("close");
    }
}

#[tokio::test]
async fn while_a_method_runs_pings_are_answered_and_its_end_comes_before_the_close() {
    let slow = std::sync::Arc::new(Slow { diary: Diary::default(), gate: Notify::new() });
    let addr = in_hyper(websocket(std::sync::Arc::clone(&slow))).await;
    let mut client = Client::open(addr).await;
    client.frame(FIN | TEXT, b"one").await;
    client.frame(FIN | PING, b"?").await;
    assert_eq!(client.next().await, Some((FIN | PONG, b"?".to_vec())));
    client.frame(FIN | CLOSE, b"\x03\xe8").await;
    assert_eq!(client.close_frame().await.0, 1000);
    drop(client);
    assert_eq!(slow.diary.lines(), ["begun one"]);
    slow.gate.notify_one();
    assert_eq!(soon(slow.diary.closed()).await, ["begun one", "done one Ok(1000)", "close"]);
}
