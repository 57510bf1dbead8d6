//! A link that is lost between the answer of a method that ends the session and the goodbye of the server, which
//! speaks bytes here.

use futures::{FutureExt, SinkExt, StreamExt};
use rpc_client::{ClientError, ConnectionError, connect};
use rpc_core::{
    __internals::wire::{Frame, PacketHeader, Payload, Streams, Welcome, read_packet},
    CloseCode, Config, Status, Stub,
};
use rpc_testing::{LIMITS, SOON, accept, hosted, packet};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Duration, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode as Code},
    },
};

use super::{closed, quickly};

#[rpc_core::service]
trait Door {
    #[rpc(terminating)]
    async fn leave(&self) -> u32;
    async fn look(&self) -> u32;
}

/// A server's end of a link.
struct End {
    link: WebSocketStream<TcpStream>,
    said: u64,
}

impl End {
    /// The next link, and whether its client wants to go on with a session.
    async fn next(listener: &TcpListener) -> (Self, bool) {
        let mut end = Self { link: timeout(SOON, accept(listener)).await.unwrap(), said: 0 };
        let Some(Frame::Hello(hello)) = end.hear().await.pop() else { panic!("no Hello") };
        (end, hello.resume.is_some())
    }

    /// The frames of the next packet that has some.
    async fn hear(&mut self) -> Vec<Frame> {
        loop {
            let message = timeout(SOON, self.link.next()).await.unwrap().unwrap().unwrap();
            let Message::Binary(bytes) = message else { continue };
            let frames: Vec<_> = read_packet(bytes).unwrap().1.map(Result::unwrap).collect();
            if !frames.is_empty() {
                return frames;
            }
        }
    }

    async fn say(&mut self, frame: Frame) {
        self.said += u64::from(frame.is_sequenced());
        let seq = if frame.is_sequenced() { self.said } else { 0 };
        let packet = packet(PacketHeader { seq, ack: 1 }, &[frame]);
        self.link.send(Message::Binary(packet)).await.unwrap();
    }

    async fn welcome(&mut self, resume_window_ms: u64) {
        let contracts = hosted(DoorClient::CONTRACT);
        let token = b"token"[..].into();
        let welcome = Welcome { resume_window_ms, token, ..Welcome::new(LIMITS, contracts, 1) };
        let welcome = packet(PacketHeader { seq: 0, ack: 0 }, &[Frame::Welcome(Box::new(welcome))]);
        self.link.send(Message::Binary(welcome)).await.unwrap();
    }

    /// Answers the call that comes next.
    async fn answer(&mut self) {
        let Some(Frame::Request(request)) = self.hear().await.pop() else { panic!("no call") };
        let payload = Payload::Inline([7][..].into());
        self.say(Frame::Response { id: request.id, payload, streams: Streams::default() }).await;
    }
}

#[tokio::test]
async fn a_client_that_has_the_answer_of_a_method_that_ends_the_session_dials_no_more() {
    for resume_window_ms in [0, 60_000] {
        for restarts in [false, true] {
            for leaves in [true, false] {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let config = Config::builder().resume_window(Duration::from_secs(60)).build().unwrap();
                let url = format!("ws://{}/", listener.local_addr().unwrap());
                let connecting = tokio::spawn(connect(url).config(config).reconnect(quickly()).into_future());
                let (mut end, _) = End::next(&listener).await;
                end.welcome(resume_window_ms).await;
                let client = timeout(SOON, connecting).await.unwrap().unwrap().unwrap();
                let door: DoorClient = client.client();
                let call = async move { if leaves { door.leave().await } else { door.look().await } };
                let call = tokio::spawn(call);
                end.answer().await;
                let answered: Result<u32, Status> = timeout(SOON, call).await.unwrap().unwrap();
                assert_eq!(answered, Ok(7));
                if restarts {
                    let restart = CloseFrame { code: Code::Restart, reason: "".into() };
                    let _ = end.link.close(Some(restart)).await;
                }
                drop(end);
                let case = (resume_window_ms, restarts);
                if leaves {
                    let error = closed(&client).await;
                    let ClientError::Session(ConnectionError::ClosedByPeer { code, .. }) = &error else {
                        panic!("{case:?}: {error:?}")
                    };
                    assert_eq!(*code, CloseCode::NORMAL, "{case:?}");
                    assert!(listener.accept().now_or_never().is_none(), "{case:?}: it dials again");
                } else {
                    let (_end, resumes) = End::next(&listener).await;
                    assert_eq!(resumes, resume_window_ms > 0, "{case:?}");
                }
            }
        }
    }
}
