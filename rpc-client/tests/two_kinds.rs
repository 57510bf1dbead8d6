//! Two kinds of clients on one port: each hosts one of the server's callback contracts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{SinkExt, StreamExt};
use rpc_client::{Code, Connect, ConnectError, Status, Stub, connect};
use rpc_core::{
    __internals::wire::{ErrorBody, Frame, Notify, PacketHeader, Payload, Welcome, WithheldContract, read_packet},
    Context, Execution,
    contract::method_id,
};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{LIMITS, SOON, greeting, hello, hosted, join, packet, request};
use tokio::{net::TcpStream, sync::Barrier, time::timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

#[rpc_client::callback]
trait Device {
    async fn measure(&self) -> u32;
}

#[rpc_client::callback]
trait Console {
    async fn confirm(&self, question: &str) -> bool;
}

#[rpc_client::service(callback = Device)]
trait Fleet {
    async fn register(&self, cx: &Context<DeviceClient>) -> Result<u32, Status>;
}

#[rpc_client::service(callback = Console)]
trait Operator {
    async fn stop(&self, cx: &Context<ConsoleClient>, device: &str) -> Result<bool, Status>;
    #[rpc(oneway)]
    async fn note(&self, cx: &Context<ConsoleClient>, text: &str);
}

#[rpc_client::service(callback = Console, optional)]
trait Alarm {
    async fn ring(&self, cx: &Context<Option<ConsoleClient>>) -> Result<String, Status>;
    async fn reset(&self, cx: &Context<AlarmClient>) -> bool;
}

#[rpc_client::service]
trait Clock {
    async fn hour(&self) -> u8;
}

/// The server's object, and both kinds of clients.
#[derive(Clone, Default)]
struct Plant {
    /// The handlers of `Operator` that ran, and the objects that were made for it.
    operated: Arc<AtomicUsize>,
    /// Where both kinds of clients meet while they are called back.
    meeting: Option<Arc<Barrier>>,
}

impl Plant {
    async fn listen(&self) -> (ServerHandle, String) {
        let (made, counted) = (self.clone(), self.operated.clone());
        let operators = Operator::per_session(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            made.clone()
        });
        let server = Server::builder().service(Fleet::serve(self.clone())).service(operators);
        let server = server.service(Alarm::serve(self.clone())).service(Clock::serve(self.clone()));
        let server = server.listen("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", server.local_addr());
        (server, url)
    }

    async fn meet(&self) {
        if let Some(meeting) = &self.meeting {
            meeting.wait().await;
        }
    }

    fn operated(&self) -> usize {
        self.operated.load(Ordering::SeqCst)
    }
}

impl Device for Plant {
    async fn measure(&self) -> u32 {
        self.meet().await;
        21
    }
}

impl Console for Plant {
    async fn confirm(&self, question: &str) -> bool {
        self.meet().await;
        question == "stop the pump?"
    }
}

impl Fleet for Plant {
    async fn register(&self, cx: &Context<DeviceClient>) -> Result<u32, Status> {
        Ok(2 * cx.peer().measure().await?)
    }
}

impl Operator for Plant {
    async fn stop(&self, cx: &Context<ConsoleClient>, device: &str) -> Result<bool, Status> {
        self.operated.fetch_add(1, Ordering::SeqCst);
        cx.peer().confirm(&format!("stop the {device}?")).await
    }

    async fn note(&self, _: &Context<ConsoleClient>, _: &str) {
        self.operated.fetch_add(1, Ordering::SeqCst);
    }
}

impl Alarm for Plant {
    async fn ring(&self, cx: &Context<Option<ConsoleClient>>) -> Result<String, Status> {
        let Some(console) = cx.peer() else { return Ok("no one to ask".into()) };
        Ok(if console.confirm("stop the pump?").await? { "stopped" } else { "ringing" }.to_owned())
    }

    async fn reset(&self, cx: &Context<AlarmClient>) -> bool {
        cx.session().hosts("Console")
    }
}

impl Clock for Plant {
    async fn hour(&self) -> u8 {
        12
    }
}

#[tokio::test]
async fn both_kinds_call_and_are_called_back_at_the_same_time() {
    let meeting = Some(Arc::new(Barrier::new(2)));
    let (server, url) = Plant::default().listen().await;
    let kind = || Plant { meeting: meeting.clone(), ..Plant::default() };
    let fleet = FleetClient::connect(&url).callback(Device::serve(kind())).await.unwrap();
    let operator = OperatorClient::connect(&url).callback(Console::serve(kind())).await.unwrap();
    // Neither callback returns before the other has come.
    let both = async { tokio::join!(fleet.register(), operator.stop("pump")) };
    let (measured, stopped) = timeout(SOON, both).await.unwrap();
    assert_eq!((measured.unwrap(), stopped.unwrap()), (42, true));
    assert_eq!(server.sessions().clients::<DeviceClient>().count(), 1);
    assert_eq!(server.sessions().clients::<ConsoleClient>().count(), 1);
    let offered = |session: &rpc_client::Session| ["Fleet", "Operator", "Alarm", "Clock"].map(|it| session.hosts(it));
    assert_eq!(offered(&fleet.session()), [true, false, true, true]);
    assert_eq!(offered(&operator.session()), [false, true, true, true]);
}

#[tokio::test]
async fn a_client_that_hosts_both_or_more_than_the_server_needs_has_all_services() {
    #[rpc_client::callback]
    trait Radio {
        async fn play(&self);
    }
    impl Radio for Plant {
        async fn play(&self) {}
    }

    let (_server, url) = Plant::default().listen().await;
    let all = connect(&url).callback(Device::serve(Plant::default())).callback(Console::serve(Plant::default()));
    let client = all.callback(Radio::serve(Plant::default())).await.unwrap();
    assert_eq!(client.client::<FleetClient>().register().await.unwrap(), 42);
    assert!(client.client::<OperatorClient>().stop("pump").await.unwrap());
    assert_eq!(client.client::<ClockClient>().hour().await.unwrap(), 12);
}

#[tokio::test]
async fn connecting_for_a_service_that_is_not_offered_says_what_to_host() {
    let plant = Plant::default();
    let (_server, url) = plant.listen().await;
    let says = |error: ConnectError| {
        assert!(!error.is_retryable());
        assert!(matches!(error, ConnectError::CallbackNotHosted { .. }), "{error:?}");
        let text = format!(
            "the server at {url} offers the contract `Operator` only to clients that host the callback contract \
             `Console`, and this client does not; connect with .callback(Console::serve(object))"
        );
        assert_eq!(error.to_string(), text);
    };
    says(OperatorClient::connect(&url).await.unwrap_err());
    says(OperatorClient::connect(&url).callback(Device::serve(Plant::default())).await.unwrap_err());
    assert_eq!(plant.operated(), 0);
}

#[tokio::test]
async fn connecting_for_a_service_that_is_not_hosted_says_so() {
    let server = Server::builder().service(Clock::serve(Plant::default())).listen("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr());
    let text = format!(
        "the server at {url} does not host the contract `Operator`; add it there with .service(Operator::serve(object)), \
         or check host and port"
    );
    // Whether or not the client hosts the callback contract.
    let error = OperatorClient::connect(&url).await.unwrap_err();
    assert_eq!(error.to_string(), text);
    let error = OperatorClient::connect(&url).callback(Console::serve(Plant::default())).await.unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_stub_of_a_service_that_is_not_offered_says_why_it_fails() {
    let plant = Plant::default();
    let (_server, url) = plant.listen().await;
    let client = connect(&url).callback(Device::serve(Plant::default())).await.unwrap();
    assert_eq!(client.client::<FleetClient>().register().await.unwrap(), 42);
    assert_eq!(client.session().missing_callback("Operator").as_deref(), Some("Console"));
    assert_eq!(client.session().missing_callback("Fleet"), None);
    assert_eq!(client.session().missing_callback("Elsewhere"), None);
    let error = client.client::<OperatorClient>().stop("pump").await.unwrap_err();
    assert_eq!((error.code(), error.execution()), (Code::Unimplemented, Execution::NotExecuted));
    assert_eq!(
        error.message(),
        "Operator.stop cannot be called: `Operator` is only for clients that host the callback contract \
         `Console`; connect with .callback(Console::serve(object))"
    );
    assert_eq!(plant.operated(), 0);
}

#[tokio::test]
async fn an_optional_callback_is_there_for_clients_that_host_it() {
    let (_server, url) = Plant::default().listen().await;
    let with = AlarmClient::connect(&url).callback(Console::serve(Plant::default())).await.unwrap();
    assert_eq!((with.ring().await.unwrap().as_str(), with.reset().await.unwrap()), ("stopped", true));
    for without in [AlarmClient::connect(&url), AlarmClient::connect(&url).callback(Device::serve(Plant::default()))] {
        let without = without.await.unwrap();
        assert_eq!((without.ring().await.unwrap().as_str(), without.reset().await.unwrap()), ("no one to ask", false));
    }
}

/// A client that speaks bytes.
struct Raw(WebSocketStream<TcpStream>);

impl Raw {
    async fn say(&mut self, packet: bytes::Bytes) {
        self.0.send(Message::Binary(packet)).await.unwrap();
    }

    /// The frames of the next packet that has any.
    async fn hear(&mut self) -> Vec<Frame> {
        loop {
            let message = timeout(SOON, self.0.next()).await.unwrap().unwrap().unwrap();
            let Message::Binary(packet) = message else { continue };
            let frames: Vec<_> = read_packet(packet).unwrap().1.map(Result::unwrap).collect();
            if !frames.is_empty() {
                return frames;
            }
        }
    }

    async fn welcomed(&mut self) -> Box<Welcome> {
        match self.hear().await.pop() {
            Some(Frame::Welcome(welcome)) => welcome,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_welcome_lists_what_is_offered_and_names_what_is_not() {
    let (server, _) = Plant::default().listen().await;
    let withheld = |of: &[(&str, &str)]| {
        let contract = |&(name, callback): &(&str, &str)| (name.to_owned(), callback.to_owned());
        let contracts = of.iter().map(contract).map(|(name, callback)| WithheldContract { name, callback });
        contracts.collect::<Vec<_>>()
    };
    let names = |welcome: &Welcome| welcome.contracts.iter().map(|it| it.name.clone()).collect::<Vec<_>>();

    let mut nothing = Raw(join(server.local_addr()).await);
    nothing.say(greeting()).await;
    let welcome = nothing.welcomed().await;
    assert_eq!(names(&welcome), ["Alarm", "Clock"]);
    assert_eq!(welcome.withheld, withheld(&[("Fleet", "Device"), ("Operator", "Console")]));

    let mut console = Raw(join(server.local_addr()).await);
    console.say(packet(PacketHeader { seq: 0, ack: 0 }, &[hello(LIMITS, hosted(ConsoleClient::CONTRACT))])).await;
    let welcome = console.welcomed().await;
    assert_eq!(names(&welcome), ["Operator", "Alarm", "Clock"]);
    assert_eq!(welcome.withheld, withheld(&[("Fleet", "Device")]));
}

#[tokio::test]
async fn a_raw_peers_calls_of_a_service_that_is_not_offered_run_nothing() {
    let plant = Plant::default();
    let (server, _) = plant.listen().await;
    let mut peer = Raw(join(server.local_addr()).await);
    peer.say(greeting()).await;
    peer.welcomed().await;
    let payload = || Payload::Inline(bytes::Bytes::from_static(b"\x91\xa4pump"));
    let note = method_id("Operator", "note");
    let frames = [
        Frame::Notify(Notify { method: note, depth: 0, metadata: Vec::new(), payload: payload(), missed: None }),
        request(1, method_id("Operator", "stop"), payload(), Default::default()),
        request(2, method_id("Operator", "elsewhere"), payload(), Default::default()),
    ];
    peer.say(packet(PacketHeader { seq: 1, ack: 0 }, &frames)).await;
    let (mut answers, mut done) = (Vec::new(), false);
    while answers.len() < 2 || !done {
        for frame in peer.hear().await {
            match frame {
                Frame::Error { id, error: ErrorBody::Status(status) } => answers.push((id, status)),
                Frame::Done { count, .. } => done = count == 1,
                _ => {}
            }
        }
    }
    for (_, status) in &answers {
        assert_eq!((status.code(), status.execution()), (Code::Unimplemented, Execution::NotExecuted), "{status}");
    }
    assert!(answers[0].1.message().contains("`Operator` is only for clients"), "{}", answers[0].1);
    assert!(answers[1].1.message().contains("hosts Alarm, Clock;"), "{}", answers[1].1);
    assert_eq!(plant.operated(), 0);
}
