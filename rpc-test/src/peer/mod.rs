//! `FakePeer`: one end of a session, played by a test frame by frame.

#![allow(clippy::result_large_err, reason = "the frames of a test are few")]

mod call;
mod expect;
mod frame;
mod link;
mod names;

use std::{fmt, time::Duration};

use bytes::Bytes;
use rpc_client::{Client, Connect, ConnectBuilder, connect};
use rpc_core::{__internals::wire::HostedContract, CloseCode, Status, Stub, contract::ContractDescriptor};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub use self::{
    call::Call,
    frame::{ErrorBody, Frame, Payload},
    link::Goodbye,
};
use self::{
    link::{Command, End, Link, Received, Role},
    names::Names,
};
use crate::{
    network::{Network, NetworkStream},
    server::TestServer,
};

/// How long an expectation waits, unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// The URL of a fake server.
const URL: &str = "ws://localhost/";

/// One end of a session, which a test plays frame by frame: it shows how a program behaves beside a peer that is slow,
/// or that breaks the rules.
///
/// A fake [`server`](Self::server) gives a `ConnectBuilder` for the client under test; a fake
/// [`client`](Self::client) connects to a [`TestServer`]. The peer does the handshake, acknowledges packets and answers
/// pings by itself. It grants no credit to streams, and answers no call: that is for the test. It works under a paused
/// clock too. Methods that begin with `expect` wait for the next frame, and panic if another one comes; the message
/// says what came.
///
/// ```
/// use std::time::Duration;
///
/// use rpc_client::{CallOptions, Code, Status};
/// use rpc_test::FakePeer;
///
/// #[rpc_client::service]
/// trait Chat {
///     async fn post(&self, room: &str, text: &str) -> u64;
/// }
///
/// // In a test: #[tokio::test(start_paused = true)]
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (connect, mut server) = FakePeer::server::<ChatClient>();
/// let chat = connect.await?;
///
/// let post = tokio::spawn({
///     let chat = chat.clone();
///     async move { chat.post("lobby", "hello").await }
/// });
/// let call = server.expect_request("Chat.post").await;
/// assert_eq!(call.arguments::<(String, String)>().1, "hello");
/// server.reply(&call, &7_u64);
/// assert_eq!(post.await?, Ok(7));
///
/// // A server that takes too long:
/// let hurried = chat.with(CallOptions::new().timeout(Duration::from_secs(5)));
/// let status = hurried.post("lobby", "anyone?").await.unwrap_err();
/// assert_eq!(status.code(), Code::DeadlineExceeded);
/// # Ok(())
/// # }
/// ```
///
/// Dropping a peer ends its link without a goodbye, after everything that the test has sent before.
pub struct FakePeer {
    names: Names,
    commands: UnboundedSender<Command>,
    received: UnboundedReceiver<Received>,
    network: Network,
    /// How the link has ended, once the test has seen all frames before.
    end: Option<End>,
    patience: Duration,
    next_id: u64,
}

impl FakePeer {
    /// Plays a server that hosts the contract of this stub. Awaiting the returned builder connects the client; it takes
    /// the settings of a client before that.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn server<S: Stub>() -> (ConnectBuilder<S>, Self) {
        let network = Network::new();
        let (near, far) = network.pair();
        (S::connect(URL).over(near), Self::start(network, far, Role::Server, &[S::CONTRACT], &[S::CONTRACT]))
    }

    /// Plays a server that hosts several contracts, for instance
    /// `FakePeer::server_of(&[ChatClient::CONTRACT, AdminClient::CONTRACT])`: otherwise as [`server`](Self::server).
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn server_of(contracts: &[&'static ContractDescriptor]) -> (ConnectBuilder<Client>, Self) {
        let network = Network::new();
        let (near, far) = network.pair();
        (connect(URL).over(near), Self::start(network, far, Role::Server, contracts, contracts))
    }

    /// Connects to a server that refuses its client with this status: awaiting the builder gives an error.
    ///
    /// ```
    /// # use rpc_client::Status;
    /// # use rpc_test::FakePeer;
    /// # #[rpc_client::service]
    /// # trait Chat {
    /// #     async fn post(&self, text: &str);
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let connect = FakePeer::refusing::<ChatClient>(Status::unavailable("the house is full"));
    /// let error = connect.await.unwrap_err();
    /// assert!(error.to_string().contains("the house is full"));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn refusing<S: Stub>(status: Status) -> ConnectBuilder<S> {
        let network = Network::new();
        let (near, far) = network.pair();
        let mut peer = Self::start(network, far, Role::Refusing(status), &[], &[]);
        // The client closes after the refusal; until then the peer is held.
        tokio::spawn(async move { while peer.received.recv().await.is_some() {} });
        S::connect(URL).over(near)
    }

    /// Plays a client of a server, which hosts the callback contract of this stub's service, if there is one.
    ///
    /// ```
    /// # use rpc_server::{Code, Server};
    /// # use rpc_test::{FakePeer, TestServer};
    /// # #[rpc_server::service]
    /// # trait Adder {
    /// #     async fn add(&self, a: i64, b: i64) -> i64;
    /// # }
    /// # struct Calculator;
    /// # impl Adder for Calculator {
    /// #     async fn add(&self, a: i64, b: i64) -> i64 {
    /// #         a + b
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = TestServer::start(Server::builder().service(Calculator.serve()))?;
    /// let mut client = FakePeer::client::<AdderClient>(&server).await;
    /// let id = client.call("Adder.add", &(1, 2));
    /// assert_eq!(client.expect_response::<i64>(id).await, 3);
    ///
    /// let id = client.call("Adder.add", &("one", "two")); // of the wrong types
    /// assert_eq!(client.expect_status(id).await.code(), Code::InvalidArgument);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the server does not let it in. If it is called outside of a tokio runtime.
    pub async fn client<S: Stub>(server: &TestServer) -> Self {
        let role = Role::Client { url: server.url().to_owned() };
        let hosted: Vec<_> = S::CONTRACT.callback().into_iter().collect();
        let mut peer = Self::start(server.network().clone(), server.link(), role, &hosted, &[S::CONTRACT]);
        peer.expect_welcome().await;
        peer
    }

    fn start(
        network: Network,
        stream: NetworkStream,
        role: Role,
        hosted: &[&'static ContractDescriptor],
        known: &[&'static ContractDescriptor],
    ) -> Self {
        let hosted = hosted.iter().map(|contract| HostedContract {
            name: contract.name().to_owned(),
            fingerprint: contract.fingerprint(),
            windows: Vec::new(),
        });
        let ((commands, told), (tell, received)) = (unbounded_channel(), unbounded_channel());
        let link = Link { role, hosted: hosted.collect(), commands: told, received: tell };
        tokio::spawn(link.run(stream));
        Self { names: Names::of(known), commands, received, network, end: None, patience: PATIENCE, next_id: 1 }
    }

    /// Sets how long each expectation waits until it fails: 60 s, unless the test sets another time. Under a paused
    /// clock it is virtual time.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The network between the two ends: cut it, or hold it still. A fake client shares the network of its server.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Sends a frame, in a packet of its own. It may break the rules: an answer to no call, an item beyond the credit.
    /// Like everything that is sent before the handshake is done, it waits until then.
    pub fn send(&self, frame: Frame) {
        self.tell(Command::Send(frame));
    }

    /// Sends a WebSocket message with these bytes, which need not be a packet of the protocol.
    pub fn send_message(&self, bytes: impl Into<Bytes>) {
        self.tell(Command::Message(bytes.into()));
    }

    /// Calls a method by its name, `"Chat.post"`, and returns the number of the call. The arguments are a tuple with an
    /// element for each: `&("lobby",)`; `&()` if there are none.
    ///
    /// # Panics
    ///
    /// If the arguments do not serialize.
    #[track_caller]
    pub fn call<T: Serialize + ?Sized>(&mut self, method: &str, arguments: &T) -> u64 {
        let (id, method, payload) = (self.next_id, self.names.id(method), Payload::arguments(arguments));
        self.next_id += 1;
        let (deadline_ms, depth, parent, window) = (None, 0, None, 0);
        let (metadata, streams) = (Vec::new(), Vec::new());
        self.send(Frame::Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window });
        id
    }

    /// Calls a one-way method: otherwise as [`call`](Self::call).
    ///
    /// # Panics
    ///
    /// If the arguments do not serialize.
    #[track_caller]
    pub fn notify<T: Serialize + ?Sized>(&self, method: &str, arguments: &T) {
        let (method, payload) = (self.names.id(method), Payload::arguments(arguments));
        self.send(Frame::Notify { method, depth: 0, metadata: Vec::new(), payload, missed: None });
    }

    /// Answers a call with a result.
    ///
    /// # Panics
    ///
    /// If the call is one-way, or the result does not serialize.
    #[track_caller]
    pub fn reply<T: Serialize + ?Sized>(&self, call: &Call, result: &T) {
        self.send(Frame::Response { id: id_of(call), payload: Payload::of(result), streams: Vec::new() });
    }

    /// Answers a call with the contract's own error.
    ///
    /// # Panics
    ///
    /// If the call is one-way, or the error does not serialize.
    #[track_caller]
    pub fn fault<E: Serialize + ?Sized>(&self, call: &Call, fault: &E) {
        self.send(Frame::Error { id: id_of(call), error: ErrorBody::Fault(Payload::of(fault)) });
    }

    /// Answers a call with a status.
    ///
    /// # Panics
    ///
    /// If the call is one-way.
    #[track_caller]
    pub fn fail(&self, call: &Call, status: Status) {
        self.send(Frame::Error { id: id_of(call), error: ErrorBody::Status(status) });
    }

    /// Closes the WebSocket with a code and a reason.
    pub fn close(&self, code: CloseCode, reason: impl Into<String>) {
        self.tell(Command::Close(code, reason.into()));
    }

    /// Sets whether the peer reads. While it does not, what the program under test sends fills the buffers between the
    /// two, and then waits; pings are not answered either.
    pub fn read(&self, reads: bool) {
        self.tell(Command::Read(reads));
    }

    /// Sets whether the peer answers pings, as it does from the beginning.
    pub fn answer_pings(&self, answers: bool) {
        self.tell(Command::AnswerPings(answers));
    }

    fn tell(&self, command: Command) {
        // Sending fails when the link has ended, which the next expectation tells.
        let _ = self.commands.send(command);
    }
}

impl fmt::Debug for FakePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakePeer").field("network", &self.network).finish_non_exhaustive()
    }
}

#[track_caller]
fn id_of(call: &Call) -> u64 {
    match call.id() {
        Some(id) => id,
        None => panic!("{} is one-way and has no answer", call.method),
    }
}
