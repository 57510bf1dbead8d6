//! Peers that do not keep the rules, or keep them badly.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{Frame, HostedContract, Notify, PacketHeader, Payload, PeerLimits, Streams},
    Code, Concurrency, Config, ConnectionError, ConnectionInfo, Execution, Hosting, Session, SessionHooks, Status,
    async_trait,
    contract::method_id,
    session::{Handshake, Memory, Transport, connect, memory},
};
use rpc_testing::{LIMITS, hello, packet, request, until, welcome};
use tokio::{sync::Semaphore, time::timeout};

use crate::pairs::{host, open};

#[rpc_core::service]
trait Booth {
    async fn buy(&self, tickets: u32) -> u32;
    #[rpc(oneway)]
    async fn tip(&self, coins: u32);
}

#[rpc_core::callback]
trait Passer {
    #[rpc(oneway, timeout = "2s")]
    async fn shout(&self, text: &str);
}

struct Clerk;

impl Booth for Clerk {
    async fn buy(&self, tickets: u32) -> u32 {
        tickets
    }

    async fn tip(&self, _: u32) {}
}

/// It takes one one-way call at a time.
const ONE_NOTIFY: PeerLimits = PeerLimits { notifies: 1, ..LIMITS };

/// An end that says what the test wants.
struct Raw {
    transport: Memory,
    seq: u64,
}

impl Raw {
    /// At the other end of a server's session that it has said Hello to.
    async fn client(hosting: &Hosting, contracts: Vec<HostedContract>) -> (Self, Session) {
        let (near, far) = memory();
        let mut raw = Self { transport: far, seq: 0 };
        raw.put(0, &[hello(ONE_NOTIFY, contracts)]);
        let handshake = Handshake::read(near, &Config::default()).await.unwrap();
        let (session, driver) = handshake.accept(hosting, ConnectionInfo::default());
        tokio::spawn(driver);
        (raw, session)
    }

    /// At the other end of a client's session that it has said Welcome to.
    fn server(hosting: &Hosting, config: Config) -> (Self, Session) {
        let (near, far) = memory();
        let (session, driver) = connect(near, hosting, &config, ConnectionInfo::default());
        tokio::spawn(driver);
        let mut raw = Self { transport: far, seq: 0 };
        raw.put(0, &[welcome(ONE_NOTIFY, Vec::new())]);
        (raw, session)
    }

    fn put(&mut self, seq: u64, frames: &[Frame]) {
        self.transport.start_send(packet(PacketHeader { seq, ack: 0 }, frames)).unwrap();
    }

    fn say(&mut self, frames: &[Frame]) {
        self.seq += 1;
        self.put(self.seq, frames);
    }

    /// Waits until the other end reads on. What it says is read meanwhile.
    async fn ready(&mut self) {
        poll_fn(|cx| {
            while let Poll::Ready(packet) = self.transport.poll_receive(cx) {
                packet.unwrap();
            }
            self.transport.poll_ready(cx)
        })
        .await
        .unwrap();
    }
}

fn buy(id: u64, payload: Payload) -> Frame {
    request(id, method_id("Booth", "buy"), payload, Streams::default())
}

/// Waits until it is let go, or for ever.
struct Slow(Arc<Semaphore>);

#[async_trait]
impl SessionHooks for Slow {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        self.0.acquire().await.unwrap().forget();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_floods_a_client_whose_hooks_still_run_has_to_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let hosting = Hosting::builder().hooks(Slow(gate.clone())).build().unwrap();
    let (mut raw, session) = Raw::server(&hosting, Config::default());
    // Each pair gives its permit back at once, so that permits bound nothing here.
    let mut transfer = 0;
    let mut flood = async || {
        for _ in 0..1000 {
            raw.ready().await;
            let pairs = (0..64).flat_map(|_| {
                transfer += 1;
                let payload = Payload::announced(transfer, 1);
                let notify = Notify { method: 1, depth: 0, metadata: Vec::new(), payload, missed: None };
                [Frame::Notify(notify), Frame::Abort { transfer }]
            });
            raw.say(&pairs.collect::<Vec<_>>());
        }
    };
    timeout(Duration::from_secs(1), flood()).await.unwrap_err();
    assert_eq!(session.stats().connection.oneway_served, 0);
    gate.add_permits(1);
    timeout(Duration::from_secs(1), flood()).await.unwrap();
}

/// Counts what it has sold.
#[derive(Clone, Default)]
struct Till(Arc<AtomicU32>);

impl Booth for Till {
    async fn buy(&self, tickets: u32) -> u32 {
        self.0.fetch_add(tickets, Ordering::SeqCst) + tickets
    }

    async fn tip(&self, coins: u32) {
        self.0.fetch_add(coins, Ordering::SeqCst);
    }
}

/// A one-way call cannot be cancelled, so the end of the link that comes after it does not stop it.
#[tokio::test(start_paused = true)]
async fn one_way_calls_that_came_before_the_end_are_begun() {
    let till = Till::default();
    let (mut raw, session) = Raw::client(&host(till.clone().serve()), Vec::new()).await;
    session.established().await.unwrap();
    let payload = Payload::Inline(Bytes::from_static(&[0x91, 1]));
    let tip = Notify { method: method_id("Booth", "tip"), depth: 0, metadata: Vec::new(), payload, missed: None };
    for _ in 0..20 {
        raw.say(&vec![Frame::Notify(tip.clone()); 5]);
    }
    drop(raw);
    session.closed().await;
    assert_eq!(till.0.load(Ordering::SeqCst), 100);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_while_hooks_ran_is_never_begun() {
    let (gate, till) = (Arc::new(Semaphore::new(0)), Till::default());
    let hosting = Hosting::builder().service(till.clone().serve()).hooks(Slow(gate.clone())).build().unwrap();
    let (mut raw, session) = Raw::server(&hosting, Config::default());
    let argument = || Payload::Inline(Bytes::from_static(&[0x91, 1]));
    raw.say(&[buy(1, argument()), buy(2, argument()), Frame::Cancel { id: 1, expired: false }]);
    until("taken in", || session.stats().connection.calls_served == 2).await;
    gate.add_permits(1);
    until("answered", || session.stats().connection.calls_served == 0).await;
    assert_eq!(till.0.load(Ordering::SeqCst), 1, "the second one alone");
}

#[tokio::test(start_paused = true)]
async fn a_clients_hook_that_waits_for_ever_is_given_up() {
    let hosting = Hosting::builder().hooks(Slow(Arc::new(Semaphore::new(0)))).build().unwrap();
    let ends = open(&Hosting::default(), &hosting);
    match ends.client.established().await {
        Err(ConnectionError::RefusedPeer(status)) => {
            assert_eq!(status.code(), Code::DeadlineExceeded);
            assert!(status.message().contains("Config::hook_timeout"), "{status}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_way_calls_to_a_client_that_never_finishes_one_end_with_their_own_timeout() {
    let booth = host(Clerk.serve());
    let contracts = vec![HostedContract { name: "Passer".to_owned(), fingerprint: 0, windows: Vec::new() }];
    let (_raw, session) = Raw::client(&booth, contracts).await;
    session.established().await.unwrap();
    let passer: PasserClient = session.client();
    passer.shout("one").await.unwrap();
    let begun = tokio::time::Instant::now();
    let status = passer.shout("two").await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::DeadlineExceeded, Execution::NotExecuted));
    assert_eq!(begun.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_arrive_in_full_hold_up_their_own_session_only() {
    let booth = host(Clerk.serve().concurrency(Concurrency::Single));
    let (mut raw, hostile) = Raw::client(&booth, Vec::new()).await;
    hostile.established().await.unwrap();
    let argument = Bytes::from_static(&[0x91, 1]);
    let arriving = (1..=500).map(|id| buy(id, Payload::announced(id, 1)));
    let behind = (501..=1000).map(|id| buy(id, Payload::Inline(argument.clone())));
    raw.say(&arriving.chain(behind).collect::<Vec<_>>());
    until("taken in", || hostile.stats().connection.calls_served == 1000).await;
    let ends = open(&booth, &Hosting::default());
    for tickets in 0..10 {
        assert_eq!(ends.client.client::<BoothClient>().buy(tickets).await.unwrap(), tickets);
    }
    assert_eq!(hostile.stats().connection.calls_served, 1000);
    // When they have arrived, or have been given up, the others are served.
    for id in 1..=500 {
        raw.say(&[if id % 2 == 0 {
            Frame::Abort { transfer: id }
        } else {
            Frame::Chunk { transfer: id, data: Bytes::from_static(&[0x90]).into() }
        }]);
    }
    until("all served", || hostile.stats().connection.calls_served == 0).await;
}

#[rpc_core::service]
trait Depot {
    async fn fetch(&self, n: u32) -> Vec<u8>;
}

#[derive(Clone, Default)]
struct Yard(Arc<Mutex<Vec<u32>>>);

impl Depot for Yard {
    async fn fetch(&self, n: u32) -> Vec<u8> {
        self.0.lock().unwrap().push(n);
        vec![0; 3 << 20]
    }
}

/// The answers of one who does not acknowledge wait for their way out; the object does not wait with them.
#[tokio::test(start_paused = true)]
async fn a_turn_ends_with_the_method_and_not_with_the_answers_way_out() {
    let yard = Yard::default();
    let depot = host(yard.clone().serve().concurrency(Concurrency::Single));
    let (mut raw, session) = Raw::client(&depot, Vec::new()).await;
    session.established().await.unwrap();
    let fetch = |id: u64| {
        let payload = Payload::Inline(vec![0x91, u8::try_from(id).unwrap()].into());
        request(id, method_id("Depot", "fetch"), payload, Streams::default())
    };
    // Five results fill what may be under way; the others have no room.
    raw.say(&(1..=12).map(fetch).collect::<Vec<_>>());
    until("all have run", || yard.0.lock().unwrap().len() == 12).await;
    assert!(session.stats().handlers > 0, "answers wait");
    let other = open(&depot, &Hosting::default());
    assert_eq!(other.client.client::<DepotClient>().fetch(13).await.unwrap().len(), 3 << 20);
}

/// Contracts with long names, and a program that hosts them all.
macro_rules! many {
    ($($contract:ident in $module:ident),*) => {
        $(mod $module {
            #[rpc_core::service]
            pub(super) trait $contract {
                async fn first(&self);
                #[rpc(initiating = false)]
                async fn second(&self);
            }

            pub(super) struct Object;

            impl $contract for Object {
                async fn first(&self) {}
                async fn second(&self) {}
            }
        })*

        fn host_many() -> Hosting {
            Hosting::builder()$(.service($module::$contract::serve($module::Object)))*.build().unwrap()
        }
    };
}

many!(
    TheFirstOfManyContractsWithLongNames in one,
    TheSecondOfManyContractsWithLongNames in two,
    TheThirdOfManyContractsWithLongNames in three,
    TheFourthOfManyContractsWithLongNames in four,
    TheFifthOfManyContractsWithLongNames in five,
    TheSixthOfManyContractsWithLongNames in six,
    TheSeventhOfManyContractsWithLongNames in seven,
    TheEighthOfManyContractsWithLongNames in eight
);

#[tokio::test(start_paused = true)]
async fn the_refusal_of_an_unknown_method_does_not_list_all_that_is_hosted() {
    let ends = open(&host_many(), &Hosting::default());
    let booth: BoothClient = ends.client.client();
    let status = booth.buy(1).await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unimplemented, Execution::NotExecuted));
    assert!(status.message().contains("TheFirstOfMany"), "{status}");
    assert!(status.message().contains("and 3 more"), "{status}");
    assert!(status.message().len() < 400, "{} bytes: {status}", status.message().len());
}
