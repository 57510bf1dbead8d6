//! Members: clients that write down what they hear, and some that hear nothing.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use rpc_core::{
    __groups::{Audience, Members, Selection},
    Config, Context, GroupStub, Hosting, Member, Overflow, Session, SessionId, Status,
    session::{Driver, Greeting, Handshake, connect_in_memory_with, connect_with, memory},
};
use rpc_testing::until;
use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::Notify;

/// A text that counts how often it is serialized.
#[derive(Clone, Deserialize)]
pub(crate) struct Post(pub(crate) String);

pub(crate) static ENCODED: AtomicUsize = AtomicUsize::new(0);

impl Serialize for Post {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ENCODED.fetch_add(1, SeqCst);
        serializer.serialize_str(&self.0)
    }
}

#[rpc_core::callback(group)]
pub(crate) trait Screen {
    #[rpc(oneway)]
    async fn posted(&self, post: Post);
    #[rpc(oneway)]
    async fn said(&self, cx: &Context<ScreenClient>, text: &str);
    #[rpc(oneway, overflow = "conflate", key = "symbol")]
    async fn price(&self, cx: &Context<ScreenClient>, symbol: &str, price: u32);
    async fn confirm(&self, question: &str) -> bool;
    async fn vote(&self) -> Result<u32, Status>;
}

/// What a client heard, and what holds its handlers up.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) heard: Mutex<Vec<String>>,
    /// The calls of `said` whose handlers wait for this to be closed.
    pub(crate) busy: Mutex<Option<Arc<Notify>>>,
    pub(crate) asked: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    pub(crate) answer: Mutex<Option<bool>>,
}

#[derive(Clone)]
pub(crate) struct Display(pub(crate) Arc<Seen>);

impl Display {
    fn hear(&self, text: String) {
        self.0.heard.lock().unwrap().push(text);
    }

    async fn wait(&self) {
        let busy = self.0.busy.lock().unwrap().clone();
        if let Some(busy) = busy {
            busy.notified().await;
        }
    }
}

impl Screen for Display {
    async fn posted(&self, post: Post) {
        self.hear(post.0);
    }

    async fn said(&self, cx: &Context<ScreenClient>, text: &str) {
        let missed = cx.missed();
        self.wait().await;
        self.hear(if missed > 0 { format!("{text} after {missed}") } else { text.to_owned() });
    }

    async fn price(&self, cx: &Context<ScreenClient>, symbol: &str, price: u32) {
        let missed = cx.missed();
        self.wait().await;
        self.hear(format!("{symbol} {price} {missed}"));
    }

    async fn confirm(&self, _question: &str) -> bool {
        struct Dropped<'a>(&'a Seen);
        impl Drop for Dropped<'_> {
            fn drop(&mut self) {
                self.0.dropped.fetch_add(1, SeqCst);
            }
        }
        self.0.asked.fetch_add(1, SeqCst);
        let answer = *self.0.answer.lock().unwrap();
        match answer {
            Some(answer) => answer,
            None => {
                let _dropped = Dropped(&self.0);
                std::future::pending().await
            }
        }
    }

    async fn vote(&self) -> Result<u32, Status> {
        match self.0.asked.fetch_add(1, SeqCst) {
            0 => Ok(7),
            _ => Err(Status::resource_exhausted("once")),
        }
    }
}

/// A client, and the session at the server that calls it.
pub(crate) struct Client {
    pub(crate) at_server: Session,
    pub(crate) at_client: Session,
    pub(crate) seen: Arc<Seen>,
}

impl Client {
    pub(crate) async fn new(config: &Config) -> Self {
        Self::of(&Hosting::default(), config).await
    }

    pub(crate) async fn of(server: &Hosting, config: &Config) -> Self {
        let seen = Arc::new(Seen { answer: Mutex::new(Some(true)), ..Seen::default() });
        let hosting = Hosting::builder().service(Display(seen.clone()).serve()).build().unwrap();
        let (at_server, at_client) = connect_in_memory_with(server, &hosting, config);
        at_server.established().await.unwrap();
        at_client.established().await.unwrap();
        Self { at_server, at_client, seen }
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.seen.heard.lock().unwrap().clone()
    }

    /// Waits until this many calls were heard.
    pub(crate) async fn hear(&self, count: usize) -> Vec<String> {
        until("the calls arrive", || self.seen.heard.lock().unwrap().len() >= count).await;
        self.heard()
    }

    /// From now on the handlers of this client wait.
    pub(crate) fn hold(&self) {
        *self.seen.busy.lock().unwrap() = Some(Arc::new(Notify::new()));
    }

    /// Lets all handlers that wait go on, and all that begin.
    pub(crate) fn let_go(&self) {
        if let Some(busy) = self.seen.busy.lock().unwrap().take() {
            busy.notify_waiters();
        }
    }
}

/// A session whose client reads nothing after the handshake.
pub(crate) async fn deaf(config: &Config) -> (Session, Driver) {
    deaf_with(Greeting::default(), config).await
}

/// As [`deaf`], for a client that has more to say in its Hello.
pub(crate) async fn deaf_with(greeting: Greeting<'_>, config: &Config) -> (Session, Driver) {
    let (near, far) = memory();
    let hosting = Hosting::builder().service(Display(Arc::default()).serve()).build().unwrap();
    let (client, mut driver) = connect_with(greeting, far, &hosting, config, Default::default());
    let accepted = async {
        let handshake = Handshake::read(near, config).await.unwrap();
        let (session, server) = handshake.accept(&Hosting::default(), Default::default());
        tokio::spawn(server);
        session.established().await.unwrap();
        client.established().await.unwrap();
        // The client says that it has its Welcome, without which its session cannot be resumed.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        session
    };
    let session = tokio::select! {
        session = accepted => session,
        () = &mut driver => panic!("the client has ended"),
    };
    drop(client);
    (session, driver)
}

/// A group without a registry.
pub(crate) struct Room {
    members: Arc<[Member]>,
    overflow: Overflow,
}

impl Members for Room {
    fn members(&self) -> Arc<[Member]> {
        self.members.clone()
    }

    fn overflow(&self) -> Overflow {
        self.overflow
    }
}

impl Room {
    pub(crate) fn of<'a>(sessions: impl IntoIterator<Item = &'a Session>) -> Self {
        let members = sessions.into_iter().map(|session| Member::__new(session.clone(), None)).collect();
        Self { members, overflow: Overflow::Disconnect }
    }

    pub(crate) fn with(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }
    }

    pub(crate) fn all(self) -> ScreenGroup {
        self.select(Selection::All)
    }

    pub(crate) fn except(self, ids: &[SessionId]) -> ScreenGroup {
        self.select(Selection::except(ids.iter().copied()))
    }

    pub(crate) fn only(self, ids: &[SessionId]) -> ScreenGroup {
        self.select(Selection::only(ids.iter().copied()))
    }

    fn select(self, selection: Selection) -> ScreenGroup {
        ScreenClient::of_audience(Audience::__new(Arc::new(self), selection))
    }
}
