//! Calls that arrive immediately after the handshake, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use rpc_client::Connect;
use rpc_core::{
    __internals::wire::{Frame, PacketHeader, Payload, Streams, read_packet},
    Config, Session, SessionHooks, Status, Stub, async_trait,
};
use rpc_server::Server;
use rpc_testing::{LIMITS, SOON, accept, at_rest, hosted, packet, request, welcome};
use tokio::{io::AsyncWriteExt, net::TcpListener, time::timeout};
use tokio_tungstenite::tungstenite::Message;

#[rpc_core::callback]
trait Ear {
    async fn length(&self, text: &str) -> usize;
}

#[rpc_core::service(callback = Ear)]
trait Mouth {
    async fn greet(&self) -> u8;
}

struct House;

impl Ear for House {
    async fn length(&self, text: &str) -> usize {
        text.len()
    }
}

impl Mouth for House {
    async fn greet(&self) -> u8 {
        7
    }
}

/// Encodes a binary message of a server in one frame.
fn message(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    match payload.len() {
        0..=125 => bytes.push(payload.len().try_into().unwrap()),
        len => {
            bytes.push(126);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

fn call(id: u64, len: usize) -> Frame {
    let mut payload = BytesMut::from(&[0x91, 0xda][..]);
    payload.extend(u16::try_from(len).unwrap().to_be_bytes());
    payload.extend(std::iter::repeat_n(b'x', len));
    let payload = Payload::Inline(payload.freeze());
    request(id, rpc_core::contract::method_id("Ear", "length"), payload, Streams::default())
}

/// Runs a server that writes its Welcome and these calls at once. Returns the results in the order of their arrival.
async fn welcome_and_call(calls: Vec<Frame>) -> Vec<(u64, Bytes)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = async {
        let mut socket = accept(&listener).await;
        assert!(matches!(socket.next().await, Some(Ok(Message::Binary(_)))), "the Hello");
        let welcome = welcome(LIMITS, hosted(MouthClient::CONTRACT));
        let mut bytes = message(&packet(PacketHeader { seq: 0, ack: 0 }, &[welcome]));
        for (seq, frame) in (1..).zip(calls.chunks(1)) {
            bytes.extend(message(&packet(PacketHeader { seq, ack: 0 }, frame)));
        }
        socket.get_mut().write_all(&bytes).await.unwrap();
        let mut results = Vec::new();
        while results.len() < calls.len() {
            let Some(Ok(Message::Binary(packet))) = socket.next().await else {
                panic!("the client has left after {} of {} answers", results.len(), calls.len())
            };
            for frame in read_packet(packet).unwrap().1 {
                if let Frame::Response { id, payload, .. } = frame.unwrap() {
                    results.push((id, payload.into_value().unwrap()));
                }
            }
        }
        let _ = socket.close(None).await;
        let _ = socket.flush().await;
        results
    };
    let connect = async { MouthClient::connect(url.clone()).callback(Ear::serve(House)).await.unwrap() };
    let (results, mouth) = timeout(SOON, async { tokio::join!(server, connect) }).await.unwrap();
    timeout(SOON, mouth.session().closed()).await.unwrap();
    results
}

#[tokio::test]
async fn a_large_call_right_behind_the_welcome_is_served() {
    let results = welcome_and_call(vec![call(1, 20_000)]).await;
    assert_eq!(results, [(1, Bytes::from_static(&[0xcd, 0x4e, 0x20]))]);
}

#[tokio::test]
async fn many_calls_right_behind_the_welcome_are_served() {
    let results = welcome_and_call((1..=16).map(|id| call(id, 2000)).collect()).await;
    assert_eq!(results.len(), 16);
    assert!(results.iter().all(|(_, result)| *result == [0xcd, 0x07, 0xd0][..]), "{results:?}");
}

/// Calls the client as soon as the session opens, with an argument that fills a packet.
struct Caller;

#[async_trait]
impl SessionHooks for Caller {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        let session = session.clone();
        tokio::spawn(async move {
            let ear: EarClient = session.client();
            let text = "x".repeat(60_000);
            futures::future::join_all((0..20).map(|_| ear.length(&text))).await
        });
        Ok(())
    }
}

#[tokio::test]
async fn a_server_that_calls_back_when_a_session_opens_keeps_its_clients() {
    let server = Server::builder().service(Mouth::serve(House)).hooks(Caller).config(Config::default());
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    for _ in 0..20 {
        let mouth = MouthClient::connect(url.clone()).callback(Ear::serve(House)).await.unwrap();
        assert_eq!(mouth.greet().await, Ok(7));
        at_rest(&mouth.session()).await;
    }
    timeout(SOON, server.shutdown()).await.unwrap();
}
