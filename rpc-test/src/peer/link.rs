//! The task of a fake peer: WebSocket, handshake, packets, acknowledgements, pongs.

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use rpc_core::{
    __internals::wire::{
        self, Hello, HostedContract, PacketHeader, PeerLimits, Welcome, put_frame, put_header, read_packet,
    },
    CloseCode, Status,
    session::SUBPROTOCOL,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        handshake::server::{Request, Response},
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::CloseFrame,
    },
};

use super::frame::Frame;
use crate::network::NetworkStream;

/// What a fake peer takes: much, so that the program under test does not wait for it.
const LIMITS: PeerLimits = PeerLimits {
    calls: 1024,
    nested: 4,
    notifies: 1024,
    depth: 16,
    payload: 4 << 20,
    assembly: 16 << 20,
    arguments: 16 << 20,
    packet: 128 << 10,
    chunk: 64 << 10,
    streams: 64,
    stream_items: 64,
    stream_bytes: 256 << 10,
    streams_bytes: 16 << 20,
    nesting: 128,
    values: 1_000_000,
    containers: 131_072,
};

/// What a test tells the task.
#[derive(Debug)]
pub(super) enum Command {
    Send(Frame),
    /// A binary message, as it is.
    Message(Bytes),
    Read(bool),
    AnswerPings(bool),
    Close(CloseCode, String),
}

/// What the task tells the test.
#[derive(Debug)]
pub(super) enum Received {
    /// The handshake is done.
    Opened,
    Frame(Frame),
    End(End),
}

/// How the link has ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Closed(Goodbye),
    /// Without a Close frame.
    Lost(String),
}

/// How the other end has closed its WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// The code of the Close frame; 1005 if the frame had none.
    pub code: CloseCode,
    /// The reason of the Close frame.
    pub reason: String,
}

/// Which end of a session a fake peer plays.
#[derive(Debug)]
pub(super) enum Role {
    /// A client that asks for this URL.
    Client { url: String },
    /// A server.
    Server,
    /// A server that refuses its client.
    Refusing(Status),
}

pub(super) struct Link {
    pub(super) role: Role,
    pub(super) hosted: Vec<HostedContract>,
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) received: UnboundedSender<Received>,
}

impl Link {
    /// Runs until the link ends, or the test has dropped its peer and all that it told before has gone out.
    pub(super) async fn run(self, stream: NetworkStream) {
        let received = self.received.clone();
        if let Err(end) = self.session(stream).await {
            tell(&received, Received::End(end));
        }
    }

    async fn session(self, stream: NetworkStream) -> Result<(), End> {
        let Self { role, hosted, mut commands, received } = self;
        let upgrade = async {
            match &role {
                Role::Client { url } => connect(url, stream).await,
                Role::Server | Role::Refusing(_) => accept(stream).await,
            }
        };
        let socket = tokio::select! {
            socket = upgrade => socket.map_err(lost)?,
            _ = next(&mut commands, &received, false) => return Ok(()),
        };
        let mut line = Line { socket, sent: 0, taken: 0 };
        let (mut is_open, mut reads, mut answers_pings) = (false, true, true);
        if let Role::Client { .. } = role {
            line.send(wire::Frame::Hello(Box::new(Hello::new(LIMITS, hosted.clone())))).await;
        }
        loop {
            tokio::select! {
                biased;
                command = next(&mut commands, &received, is_open) => match command {
                    Some(Command::Send(frame)) => line.send(frame.into_wire()).await,
                    Some(Command::Message(bytes)) => line.message(Message::Binary(bytes)).await,
                    Some(Command::Read(on)) => reads = on,
                    Some(Command::AnswerPings(on)) => answers_pings = on,
                    Some(Command::Close(code, reason)) => line.close(code, reason).await,
                    None => return Ok(()),
                },
                message = line.socket.next(), if reads => {
                    for frame in line.take(message).await? {
                        match Frame::read(frame) {
                            Ok(frame) => tell(&received, Received::Frame(frame)),
                            Err(wire::Frame::Ping { token }) if answers_pings => {
                                line.send(wire::Frame::Pong { token }).await;
                            }
                            Err(wire::Frame::Hello(_)) => {
                                let mut welcome = Welcome::new(LIMITS, hosted.clone(), 1);
                                if let Role::Refusing(status) = &role {
                                    welcome.refusal = Some(status.clone());
                                }
                                line.send(wire::Frame::Welcome(Box::new(welcome))).await;
                                is_open = true;
                                tell(&received, Received::Opened);
                            }
                            Err(wire::Frame::Welcome(welcome)) => {
                                if let Some(status) = welcome.refusal {
                                    return Err(End::Lost(format!("the server has refused the session: {status}")));
                                }
                                is_open = true;
                                tell(&received, Received::Opened);
                            }
                            Err(_) => {}
                        }
                    }
                }
            }
        }
    }
}

/// What the test tells next, once the handshake is done. `None` when the test has dropped its peer, and everything that
/// it told before has been returned.
async fn next(
    commands: &mut UnboundedReceiver<Command>,
    received: &UnboundedSender<Received>,
    is_open: bool,
) -> Option<Command> {
    if is_open {
        return commands.recv().await;
    }
    received.closed().await;
    if commands.is_empty() { None } else { std::future::pending().await }
}

/// A WebSocket with the numbers of packets.
struct Line {
    socket: WebSocketStream<NetworkStream>,
    /// The number of the last packet with one that was sent.
    sent: u64,
    /// The number of the last such packet that has come.
    taken: u64,
}

/// A write that fails says nothing here: what the other end has sent before it left is still to be read, and then the
/// end of the link.
impl Line {
    async fn send(&mut self, frame: wire::Frame) {
        let is_sequenced = frame.is_sequenced();
        self.sent += u64::from(is_sequenced);
        let seq = if is_sequenced { self.sent } else { 0 };
        self.packet(seq, Some(frame)).await;
    }

    async fn packet(&mut self, seq: u64, frame: Option<wire::Frame>) {
        let mut packet = BytesMut::new();
        put_header(&mut packet, PacketHeader { seq, ack: self.taken });
        frame.iter().for_each(|frame| put_frame(&mut packet, frame));
        self.message(Message::Binary(packet.freeze())).await;
    }

    async fn close(&mut self, code: CloseCode, reason: String) {
        let frame = CloseFrame { code: u16::from(code).into(), reason: reason.into() };
        self.message(Message::Close(Some(frame))).await;
    }

    async fn message(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
    }

    /// The frames of a message, which is acknowledged.
    async fn take(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> Result<Vec<wire::Frame>, End> {
        let packet = match message {
            None => return Err(End::Lost("the other end has dropped the link".to_owned())),
            Some(Err(error)) => return Err(lost(error)),
            Some(Ok(Message::Binary(packet))) => packet,
            Some(Ok(Message::Close(frame))) => {
                // The library answers the Close frame with the next write.
                let _ = self.socket.flush().await;
                let (code, reason) = frame
                    .map_or((1005, String::new()), |frame| (u16::from(frame.code), frame.reason.as_str().to_owned()));
                return Err(End::Closed(Goodbye { code: CloseCode::from(code), reason }));
            }
            Some(Ok(_)) => return Ok(Vec::new()),
        };
        let broken = |error| End::Lost(format!("the other end has sent a packet that breaks the rules: {error}"));
        let (header, frames) = read_packet(packet).map_err(broken)?;
        let frames = frames.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        if header.seq > 0 {
            self.taken = header.seq;
            self.packet(0, None).await;
        }
        Ok(frames)
    }
}

fn tell(received: &UnboundedSender<Received>, what: Received) {
    // The receiver is gone when the test drops its peer, which ends the task.
    let _ = received.send(what);
}

fn lost(error: tungstenite::Error) -> End {
    End::Lost(error.to_string())
}

async fn connect(url: &str, stream: NetworkStream) -> Result<WebSocketStream<NetworkStream>, tungstenite::Error> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(client_async(request, stream).await?.0)
}

async fn accept(stream: NetworkStream) -> Result<WebSocketStream<NetworkStream>, tungstenite::Error> {
    #[allow(clippy::result_large_err, reason = "the library's signature")]
    let agree = |_: &Request, mut response: Response| {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    accept_hdr_async(stream, agree).await
}
