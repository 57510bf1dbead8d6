//! WebSockets without contracts, from the client's side.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "raw")]

use std::{future::Future, net::SocketAddr, time::Duration};

use rpc_client::{
    CloseCode, ConnectError,
    raw::{ClientWebSocket, Event, Message, RawError, RawLimits},
};
use rpc_server::raw::{RawSocket, WebSocketService, websocket};
use rpc_testing::SOON;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it comes in time")
}

async fn serve(service: WebSocketService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = axum::Router::new().route_service("/ws", service);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    addr
}

async fn echo(mut socket: RawSocket) {
    let connection = socket.connection();
    let told = format!(
        "{} {:?} {}",
        connection.info().uri,
        connection.headers().get("x-key"),
        connection.protocol().unwrap_or("none")
    );
    socket.send(told).await.unwrap();
    while let Some(Ok(message)) = socket.recv().await {
        socket.send(message).await.unwrap();
    }
}

fn url(addr: SocketAddr) -> String {
    format!("ws://{addr}/ws")
}

#[tokio::test]
async fn a_client_connects_sends_receives_pings_and_closes() {
    let addr = serve(websocket(echo).protocols(["chat.v2", "chat.v1"])).await;
    let mut socket = ClientWebSocket::connect(format!("{}?room=5", url(addr)))
        .header("x-key", "value")
        .protocols(["chat.v1", "chat.v2"])
        .await
        .unwrap();
    let connection = socket.connection().clone();
    assert_eq!((connection.protocol(), connection.peer_addr()), (Some("chat.v2"), Some(addr)));
    let told = soon(socket.recv()).await.unwrap().unwrap();
    assert_eq!(told.as_text(), Some("/ws?room=5 Some(\"value\") chat.v2"));
    for message in [Message::from("Grüße"), Message::from(vec![5; 500_000]), Message::from("")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(soon(socket.recv()).await, Some(Ok(message)));
    }
    socket.ping("there?").await.unwrap();
    assert_eq!(soon(socket.recv_event()).await, Some(Ok(Event::Pong("there?".into()))));
    socket.close(CloseCode::NORMAL, "done");
    assert_eq!(soon(socket.recv()).await, None);
    assert_eq!(soon(socket.closed()).await.unwrap().code, CloseCode::NORMAL);
    assert_eq!(socket.send("too late").await, Err(RawError::Closed));
}

#[tokio::test]
async fn a_socket_is_split_over_tasks() {
    let addr = serve(websocket(echo)).await;
    let (connection, mut receiver) = ClientWebSocket::connect(url(addr)).await.unwrap().into_socket().split();
    assert!(soon(receiver.recv()).await.is_some());
    let sending: Vec<_> = (0..4)
        .map(|task| {
            let connection = connection.clone();
            tokio::spawn(async move {
                for index in 0..250 {
                    connection.send(format!("{task} {index}")).await.unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; 4];
    for _ in 0..1000 {
        let Some(Ok(Message::Text(text))) = soon(receiver.recv()).await else { panic!("the connection ended") };
        let (task, index) = text.split_once(' ').unwrap();
        let next = &mut next[task.parse::<usize>().unwrap()];
        assert_eq!(index.parse::<usize>().unwrap(), *next, "of task {task}");
        *next += 1;
    }
    for sending in sending {
        sending.await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_dialled() {
    for (builder, says) in [
        (ClientWebSocket::connect("http://127.0.0.1/"), "ws://127.0.0.1/"),
        (ClientWebSocket::connect("ws://127.0.0.1:1/").header("upgrade", "x"), "the WebSocket handshake sets it"),
        (ClientWebSocket::connect("ws://127.0.0.1:1/").protocols(["a", "b, c"]), "\"b, c\""),
        (ClientWebSocket::connect("ws://127.0.0.1:1/").protocols(["a", ""]), "no name of a sub-protocol"),
        (ClientWebSocket::connect("ws://127.0.0.1:1/").protocols(["a", "a"]), "comes twice"),
    ] {
        let error = builder.await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_none_of_the_sub_protocols_is_an_error_that_names_them() {
    let addr = serve(websocket(echo).protocols(["chat.v2"])).await;
    let error = ClientWebSocket::connect(url(addr)).protocols(["mqtt", "stomp"]).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoCommonProtocol { .. }), "{error:?}");
    assert!(error.to_string().contains("does not serve mqtt or stomp"), "{error}");
    let rpc = rpc_server::Server::builder().listen("127.0.0.1:0").await.unwrap();
    let error = ClientWebSocket::connect(format!("ws://{}/", rpc.local_addr())).protocols(["mqtt"]).await.unwrap_err();
    assert!(error.to_string().contains("does not serve mqtt, but duplex-rpc.v1"), "{error}");
}

#[tokio::test]
async fn what_answers_otherwise_is_told_as_it_is_for_sessions() {
    let addr = serve(websocket(echo)).await;
    let error = ClientWebSocket::connect(format!("ws://{addr}/elsewhere")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Http { .. }), "{error:?}");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", silent.local_addr().unwrap());
    let error = ClientWebSocket::connect(url).connect_timeout(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { reached: Some(_), .. }), "{error:?}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_its_code() {
    let addr = serve(websocket(echo)).await;
    let limits = RawLimits::default().max_message(1000);
    let mut socket = ClientWebSocket::connect(url(addr)).limits(limits).await.unwrap();
    socket.send(vec![1; 1001]).await.unwrap();
    let error = loop {
        if let Err(error) = soon(socket.recv()).await.unwrap() {
            break error;
        }
    };
    assert!(matches!(error, RawError::Protocol(error) if error.close_code() == CloseCode::TOO_BIG));
}

/// Frames may come in one piece with the answer to the handshake.
#[tokio::test]
async fn what_comes_with_the_answer_is_not_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: ").or(line.strip_prefix("Sec-WebSocket-Key: ")));
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n\u{81}\u{2}hi"
        );
        // The frame's first byte is 0x81, which is two bytes in UTF-8.
        let mut bytes: Vec<u8> = answer.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect();
        bytes.extend([0x88, 0x00]);
        socket.write_all(&bytes).await.unwrap();
        // The answer to the close frame is masked and empty, and has six bytes.
        socket.read_exact(&mut [0; 6]).await.unwrap();
    });
    let mut socket = ClientWebSocket::connect(url).await.unwrap();
    assert_eq!(soon(socket.recv()).await, Some(Ok(Message::from("hi"))));
    assert_eq!(soon(socket.recv()).await, None);
    assert_eq!(
        soon(socket.connection().closed()).await.unwrap_or_else(|error| panic!("{error}")).code,
        CloseCode::NO_STATUS
    );
    server.await.unwrap();
}

#[tokio::test]
async fn a_connect_timeout_may_be_switched_off() {
    let (near, far) = tokio::io::duplex(1024);
    drop(far);
    let connecting = ClientWebSocket::connect("ws://localhost/").over(near).connect_timeout(Duration::MAX);
    let error = timeout(SOON, connecting).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Ended { .. }), "{error}");
}
