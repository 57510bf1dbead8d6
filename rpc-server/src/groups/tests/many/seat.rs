//! `Seat`: a session with a client that writes down what it hears, and what the client may and must hear.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use rpc_core::{
    Config, ConnectionInfo, Context, Hosting, MemoryPool, Overflow, Session, SessionState,
    session::{Greeting, Handshake, ResumableSessions, ResumeOutcome, connect_with, memory, resume},
};
use rpc_testing::SOON;
use tokio::time::timeout;

use crate::{
    caps::Caps,
    sessions::{Kind, Sessions},
    testing::Cable,
};

#[rpc_core::callback(group)]
pub(super) trait Board {
    #[rpc(oneway)]
    async fn post(&self, cx: &Context<BoardClient>, number: u64);
    #[rpc(oneway, overflow = "conflate", key = "symbol")]
    async fn price(&self, cx: &Context<BoardClient>, symbol: u8, number: u64);
}

/// A call that has begun: the symbol of a price, the number, and how many were missed.
type Heard = (Option<u8>, u64, u64);

#[derive(Clone, Default)]
struct Reads(Arc<Mutex<Vec<Heard>>>);

impl Board for Reads {
    async fn post(&self, cx: &Context<BoardClient>, number: u64) {
        self.0.lock().unwrap().push((None, number, cx.missed()));
    }

    async fn price(&self, cx: &Context<BoardClient>, symbol: u8, number: u64) {
        self.0.lock().unwrap().push((Some(symbol), number, cx.missed()));
    }
}

/// The server's side: its sessions, and those that outlive their links.
pub(super) struct Server {
    pub(super) sessions: Sessions,
    pub(super) resumable: Arc<ResumableSessions>,
    hosting: Hosting,
    config: Config,
}

impl Server {
    pub(super) fn new(config: Config) -> Self {
        let sessions = Sessions::new();
        let hosting = Hosting::builder().hooks(sessions.hooks()).build().unwrap();
        Self { sessions, resumable: Arc::default(), hosting, config }
    }
}

pub(super) struct Seat {
    pub(super) session: Session,
    client: Session,
    hosting: Hosting,
    pub(super) cable: Cable,
    heard: Reads,
    /// The calls that were sent while it was a member, with their policies.
    sent: BTreeMap<u64, Overflow>,
    /// The posts with a policy that were sent.
    posts: u64,
    /// The last price of each symbol that was sent.
    prices: BTreeMap<u8, u64>,
    /// Posts that waited for room. They may arrive later than newer ones.
    late: BTreeSet<u64>,
}

impl Seat {
    pub(super) async fn open(server: &Server) -> Self {
        let (near, far) = memory();
        let (cable, heard) = (Cable::default(), Reads::default());
        let hosting = Hosting::builder().service(heard.clone().serve()).build().unwrap();
        let greeting = Greeting { resumes: true, ..Greeting::default() };
        let info = ConnectionInfo::default;
        let (client, driver) = connect_with(greeting, cable.around(far), &hosting, &server.config, info());
        tokio::spawn(driver);
        let handshake = Handshake::read(near, &server.config).await.unwrap();
        let (session, driver) = handshake.accept(&server.hosting, info());
        let place = Arc::new(Caps::new(1, 1).enter(None).unwrap());
        let mut entry = server.sessions.enter(place, Kind::Newcomer(None)).unwrap();
        entry.begun(&session);
        server.resumable.insert(&session);
        let (sessions, resumable, served) = (server.sessions.clone(), server.resumable.clone(), session.clone());
        tokio::spawn(async move {
            let pool = || MemoryPool::new(usize::MAX);
            sessions.run(served.clone(), Box::new(driver), entry, [pool(), pool()]).await;
            resumable.remove(&served);
        });
        timeout(SOON, client.established()).await.unwrap().unwrap();
        let (sent, prices) = Default::default();
        Self { session, client, hosting, cable, heard, sent, posts: 0, prices, late: BTreeSet::new() }
    }

    /// Whether neither end has ended.
    pub(super) fn lives(&self) -> bool {
        let is_over = |session: &Session| matches!(session.state(), SessionState::Closing | SessionState::Closed);
        !is_over(&self.session) && !is_over(&self.client)
    }

    /// The client comes back over another link, if it knows that it has none. True if it did.
    pub(super) async fn resume(&mut self, server: &Server) -> bool {
        if !self.client.is_detached() {
            return false;
        }
        let ((near, far), cable) = (memory(), Cable::default());
        let info = ConnectionInfo::default();
        let goes_on = resume(&self.client, None, cable.around(far), &self.hosting, &server.config, info.clone());
        let taken = async {
            let Ok(handshake) = Handshake::read(near, &server.config).await else { return false };
            let stop = std::future::pending();
            let outcome = server.resumable.resume(handshake, &server.hosting, &info, stop).await;
            matches!(outcome, ResumeOutcome::Done(_))
        };
        let (resumed, taken) = timeout(SOON, async { tokio::join!(goes_on, taken) }).await.unwrap();
        self.cable = cable;
        if !taken {
            self.client.close();
        }
        taken && resumed.is_ok()
    }

    /// A call is sent to it.
    pub(super) fn expect(&mut self, number: u64, symbol: Option<u8>, overflow: Overflow) {
        self.sent.insert(number, overflow);
        match symbol {
            Some(symbol) => drop(self.prices.insert(symbol, number)),
            None => self.posts += u64::from(overflow != Overflow::Wait),
        }
    }

    /// This post waits for room.
    pub(super) fn may_be_late(&mut self, number: u64) {
        self.late.insert(number);
    }

    pub(super) fn has_heard(&self, number: u64) -> bool {
        self.heard.0.lock().unwrap().iter().any(|(_, heard, _)| *heard == number)
    }

    /// All that has arrived was sent to it, once, and in order.
    pub(super) fn check_order(&self) {
        let (mut seen, mut posted, mut prices) = (BTreeSet::new(), 0, BTreeMap::new());
        let mut newest_price = 0;
        for (symbol, number, _) in self.heard.0.lock().unwrap().iter().copied() {
            assert!(self.sent.contains_key(&number), "{number} was sent while it was no member");
            assert!(seen.insert(number), "{number} has arrived twice");
            if self.late.contains(&number) {
                continue;
            }
            assert!(number > posted, "{number} has arrived after {posted}");
            match symbol {
                Some(symbol) => {
                    let last = prices.insert(symbol, number);
                    assert!(last < Some(number), "{number} has arrived after {last:?}");
                    newest_price = newest_price.max(number);
                }
                None => {
                    assert!(number > newest_price, "{number} has arrived after {newest_price}");
                    posted = number;
                }
            }
        }
    }

    /// Nothing is lost without being counted: each post has arrived or was told as missed, and so has the last price of
    /// each symbol. Gives the number of calls that were missed.
    pub(super) fn check_all_counted(&self) -> u64 {
        let heard = self.heard.0.lock().unwrap();
        let waited = |number: &u64| self.sent[number] == Overflow::Wait;
        let (mut posts, mut missed, mut missed_prices, mut prices) = (0, 0, 0, BTreeMap::new());
        for (symbol, number, more) in heard.iter() {
            match symbol {
                Some(symbol) => {
                    missed_prices += more;
                    prices.insert(*symbol, *number);
                }
                None => {
                    missed += more;
                    posts += u64::from(!waited(number));
                }
            }
        }
        assert_eq!(posts + missed, self.posts, "posts that have arrived, and that were missed");
        assert!(missed_prices > 0 || prices == self.prices, "{prices:?} have arrived, {:?} were sent", self.prices);
        assert_eq!(missed + missed_prices, self.session.stats().oneway_dropped, "what was told, and what was counted");
        missed + missed_prices
    }

    /// Both ends are at rest.
    pub(super) async fn is_at_rest(&self) {
        rpc_testing::at_rest(&self.session).await;
        rpc_testing::at_rest(&self.client).await;
    }
}
