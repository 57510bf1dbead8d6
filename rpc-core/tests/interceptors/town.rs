//! Two contracts that call each other, and both ends of a session between them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures::StreamExt;
use rpc_core::{Context, Hosting, HostingBuilder, Session, Stats, Status, Streaming, session::connect_in_memory};
use rpc_testing::until;
use tokio::sync::{Semaphore, SemaphorePermit};

#[rpc_core::callback]
pub(crate) trait Citizen {
    /// What the metadata of this call say for the key.
    async fn told(&self, cx: &Context<TownClient>, key: &str) -> Option<String>;
    /// Calls the town again.
    async fn come_back(&self, cx: &Context<TownClient>) -> Result<u32, Status>;
}

#[rpc_core::service(callback = Citizen)]
pub(crate) trait Town {
    /// What the metadata of this call say for the key.
    async fn hears(&self, cx: &Context<CitizenClient>, key: &str) -> Option<String>;
    /// What the citizen is told when the town calls.
    async fn passes_on(&self, cx: &Context<CitizenClient>, key: &str) -> Result<Option<String>, Status>;
    /// Counts the citizens that have been inside.
    async fn visit(&self) -> u32;
    async fn fails(&self) -> Result<(), String>;
    /// Waits at the gate.
    async fn wait(&self) -> u32;
    /// The same, but the citizen visits meanwhile.
    async fn round_trip(&self, cx: &Context<CitizenClient>) -> Result<u32, Status>;
    #[rpc(oneway)]
    async fn note(&self);
    /// Counts the people that come in.
    #[rpc(idempotent)]
    async fn parade(&self, people: Streaming<u32>) -> Result<usize, Status>;
}

pub(crate) struct Hall {
    pub(crate) visits: AtomicU32,
    pub(crate) gate: Semaphore,
    waiting: AtomicU32,
    /// The largest number of handlers that have waited at once.
    pub(crate) most: AtomicU32,
}

impl Hall {
    pub(crate) fn new() -> Arc<Self> {
        let zero = || AtomicU32::new(0);
        Arc::new(Self { visits: zero(), gate: Semaphore::new(0), waiting: zero(), most: zero() })
    }
}

impl Town for Hall {
    async fn hears(&self, cx: &Context<CitizenClient>, key: &str) -> Option<String> {
        cx.metadata(key).map(str::to_owned)
    }

    async fn passes_on(&self, cx: &Context<CitizenClient>, key: &str) -> Result<Option<String>, Status> {
        cx.peer().told(key).await
    }

    async fn visit(&self) -> u32 {
        self.visits.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn fails(&self) -> Result<(), String> {
        Err("as asked".to_owned())
    }

    async fn wait(&self) -> u32 {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(waiting, Ordering::SeqCst);
        self.gate.acquire().await.map(SemaphorePermit::forget).unwrap();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.visit().await
    }

    async fn round_trip(&self, cx: &Context<CitizenClient>) -> Result<u32, Status> {
        cx.peer().come_back().await
    }

    async fn note(&self) {
        self.visit().await;
    }

    async fn parade(&self, people: Streaming<u32>) -> Result<usize, Status> {
        Ok(people.count().await)
    }
}

pub(crate) struct Smith;

impl Citizen for Smith {
    async fn told(&self, cx: &Context<TownClient>, key: &str) -> Option<String> {
        cx.metadata(key).map(str::to_owned)
    }

    async fn come_back(&self, cx: &Context<TownClient>) -> Result<u32, Status> {
        cx.peer().visit().await
    }
}

pub(crate) struct Ends {
    pub(crate) hall: Arc<Hall>,
    pub(crate) server: Session,
    pub(crate) client: Session,
    pub(crate) town: TownClient,
}

/// A session whose ends have what is added to their hosting.
pub(crate) fn open(
    server: impl FnOnce(HostingBuilder) -> HostingBuilder,
    client: impl FnOnce(HostingBuilder) -> HostingBuilder,
) -> Ends {
    open_with(server, |builder| client(builder.service(Smith.serve())))
}

/// As [`open`], with another citizen or none.
pub(crate) fn open_with(
    server: impl FnOnce(HostingBuilder) -> HostingBuilder,
    client: impl FnOnce(HostingBuilder) -> HostingBuilder,
) -> Ends {
    let hall = Hall::new();
    let server = server(Hosting::builder().service(Town::serve(Arc::clone(&hall)))).build().unwrap();
    let client = client(Hosting::builder()).build().unwrap();
    let (server, client) = connect_in_memory(&server, &client);
    let town = client.client();
    Ends { hall, server, client, town }
}

impl Ends {
    /// Waits until both ends hold nothing.
    pub(crate) async fn at_rest(&self) {
        for session in [&self.server, &self.client] {
            until("at rest", || session.stats() == Stats::default()).await;
        }
    }

    /// Waits until `count` handlers wait at the server.
    pub(crate) async fn handlers(&self, count: usize) {
        until("handlers", || self.server.stats().handlers == count).await;
    }
}
