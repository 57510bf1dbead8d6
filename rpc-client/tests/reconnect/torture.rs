//! Links that are cut at any byte, that stop one way, or that never answer: each call runs once, and streams lose
//! nothing. `TORTURE_SECONDS` sets how long it takes.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use rpc_client::{Client, ClientEvent};
use rpc_core::{Config, ConfigBuilder, Context, Status, Streaming};
use rpc_server::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::client as client_at;

#[rpc_core::callback]
pub(super) trait Echo {
    async fn back(&self, number: u32) -> u32;
}

#[rpc_core::service(callback = Echo)]
pub(super) trait Work {
    async fn run(&self, task: u32, number: u32) -> u32;
    async fn ask(&self, cx: &Context<EchoClient>, number: u32) -> Result<u32, Status>;
    async fn count(&self, items: Streaming<u32>) -> Result<u32, Status>;
    async fn produce(&self, items: u32) -> Streaming<u32>;
}

pub(super) struct Mirror(pub(super) Arc<AtomicUsize>);

impl Echo for Mirror {
    async fn back(&self, number: u32) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed);
        number
    }
}

/// Notes what has run, by task.
pub(super) struct Worker(pub(super) Arc<Mutex<Vec<Vec<u32>>>>);

impl Work for Worker {
    async fn run(&self, task: u32, number: u32) -> u32 {
        let mut all = self.0.lock().unwrap();
        all[task as usize].push(number);
        number
    }

    async fn ask(&self, cx: &Context<EchoClient>, number: u32) -> Result<u32, Status> {
        cx.peer().back(number).await
    }

    async fn count(&self, mut items: Streaming<u32>) -> Result<u32, Status> {
        let mut next = 0;
        while let Some(item) = items.next().await {
            assert_eq!(item?, next, "an item is lost, or came twice");
            next += 1;
        }
        Ok(next)
    }

    async fn produce(&self, items: u32) -> Streaming<u32> {
        Streaming::new(stream::iter(0..items))
    }
}

/// A random number that follows from a seed.
pub(super) fn random(seed: &AtomicU64, limit: u64) -> u64 {
    let mut mixed = seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % limit
}

/// A relay whose connections each come to a bad end, and all of them when the server dies. Gives its address, and
/// counts its connections.
pub(super) async fn bad_line(
    server: SocketAddr,
    seed: Arc<AtomicU64>,
    cuts: Arc<AtomicUsize>,
    lives: watch::Receiver<bool>,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            cuts.fetch_add(1, Ordering::Relaxed);
            let (seed, mut lives) = (seed.clone(), lives.clone());
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(server).await else { return };
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                let bytes = |seed: &AtomicU64| 300 + random(seed, 30_000);
                let (there, back) = (bytes(&seed), bytes(&seed));
                // One in ten stops one way, and the ends have to notice.
                let stops = random(&seed, 10) == 0;
                let there = forward(near_in, far_out, there, stops);
                let back = forward(far_in, near_out, back, false);
                tokio::select! {
                    () = there => {}
                    () = back => {}
                    // A test that has ended has no use for it either.
                    _ = lives.wait_for(|lives| !lives) => {}
                }
            });
        }
    });
    addr
}

/// Moves this many bytes, and then ends or stops.
async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut left: u64,
    stops: bool,
) {
    let mut buffer = vec![0; 1024];
    while left > 0 {
        let most = usize::try_from(left).unwrap().min(buffer.len());
        let Ok(count @ 1..) = from.read(&mut buffer[..most]).await else { return };
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        left -= count as u64;
    }
    if stops {
        std::future::pending::<()>().await;
    }
}

async fn work(task: u32, work: WorkClient, until: Instant, done: Arc<Mutex<Vec<Vec<u32>>>>) {
    let mut number = 0;
    while Instant::now() < until {
        match task % 4 {
            0 | 1 => {
                assert_eq!(work.run(task, number).await.unwrap(), number);
                done.lock().unwrap()[task as usize].push(number);
            }
            2 => assert_eq!(work.ask(number).await.unwrap(), number),
            _ => {
                assert_eq!(work.count(stream::iter(0..500)).await.unwrap(), 500);
                let items: Vec<u32> = work.produce(500).await.unwrap().map(Result::unwrap).collect().await;
                assert!(items.iter().copied().eq(0..500), "an item is lost, or came twice");
            }
        }
        number += 1;
    }
}

/// Counts how often the session went on. It is lost only when the client is closed, and no call with it.
async fn tell(client: Client) -> usize {
    let (mut events, mut resumed) = (client.events(), 0);
    drop(client);
    while let Some(event) = events.next().await {
        match event {
            ClientEvent::Resumed { .. } => resumed += 1,
            ClientEvent::SessionLost { unknown, not_executed, .. } => assert_eq!((unknown, not_executed), (0, 0)),
            _ => {}
        }
    }
    resumed
}

/// A number from the environment, or else this one.
pub(super) fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// Sessions that can be resumed, and notice soon that a link is silent.
pub(super) fn config() -> ConfigBuilder {
    Config::builder()
        .resume_window(Duration::from_secs(60))
        .keepalive(Duration::from_secs(1))
        .keepalive_timeout(Duration::from_secs(2))
        .call_timeout(Duration::from_secs(60))
}

pub(super) async fn connect(line: SocketAddr, config: &Config, mirror: Mirror) -> Client {
    let callback = Echo::serve(mirror);
    loop {
        // The first session may be cut before it is there.
        let builder = client_at(line).callback(callback.clone()).config(config.clone());
        if let Ok(Ok(client)) = timeout(Duration::from_secs(5), builder).await {
            return client;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_runs_once_and_streams_lose_nothing() {
    let (seconds, first) = (setting("TORTURE_SECONDS", 5), setting("TORTURE_SEED", 1));
    let (seed, cuts, calls_back) = (Arc::new(AtomicU64::new(first)), Arc::default(), Arc::default());
    let (ran, done) = (Arc::new(Mutex::new(vec![Vec::new(); 8])), Arc::new(Mutex::new(vec![Vec::new(); 8])));
    let (_alive, lives) = watch::channel(true);
    let config = config().build().unwrap();
    let server =
        Server::builder().service(Work::serve(Worker(ran.clone()))).config(config.clone()).resume_anonymous(true);
    let server = server.listen("127.0.0.1:0").await.unwrap();
    let line = bad_line(server.local_addr(), seed, Arc::clone(&cuts), lives).await;
    let client = connect(line, &config, Mirror(Arc::clone(&calls_back))).await;
    let events = tokio::spawn(tell(client.clone()));
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        tasks.spawn(work(task, client.client(), until, done.clone()));
    }
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    };
    if timeout(Duration::from_secs(seconds + 40), all).await.is_err() {
        let sessions = server.sessions();
        let there: Vec<_> = sessions.iter().map(|session| (session.state(), session.stats())).collect();
        panic!(
            "it hangs: {:?} {:?} {:?} {there:?}",
            client.state(),
            client.session().state(),
            client.session().stats()
        );
    }
    assert_eq!(*ran.lock().unwrap(), *done.lock().unwrap(), "each ran once, in its order");
    client.close().await;
    let resumed = events.await.unwrap();
    let calls: usize = done.lock().unwrap().iter().map(Vec::len).sum();
    println!(
        "seed {first}: {} connections, {resumed} resumes, {calls} calls, {} callbacks",
        cuts.load(Ordering::Relaxed),
        calls_back.load(Ordering::Relaxed)
    );
    assert!(resumed > 3 && calls > 50, "{resumed} {calls}");
}
