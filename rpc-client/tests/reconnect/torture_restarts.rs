//! A server that is killed, or shut down, and started again on the same address, behind a bad line: each call has one
//! honest outcome, and the client comes to a new session by itself. `TORTURE_SECONDS` sets how long it takes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use rpc_client::{Client, ClientEvent, Code, Status};
use rpc_core::{Config, Execution, Streaming};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{SOON, until};
use tokio::{
    runtime::Runtime,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::torture::{Mirror, Work, WorkClient, Worker, bad_line, config, connect, random, setting};

const TASKS: u32 = 8;

/// A server in a runtime of its own, with which it can be killed.
struct Process {
    runtime: Runtime,
    server: ServerHandle,
}

impl Process {
    /// Starts at this address, where another one may just have ended.
    async fn start(addr: SocketAddr, ran: &Arc<Mutex<Vec<Vec<u32>>>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (grace, whole) = (Duration::from_millis(200), Duration::from_secs(2));
        let config = config().drain_grace(grace).drain_timeout(whole).build().unwrap();
        let ran = ran.clone();
        let begin = async move {
            loop {
                let server = Server::builder()
                    .service(Work::serve(Worker(ran.clone())))
                    .config(config.clone())
                    .resume_anonymous(true);
                match server.listen(addr).await {
                    Ok(server) => return server,
                    Err(_) => sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let server = timeout(SOON, runtime.spawn(begin)).await.expect("the address is not free").unwrap();
        Self { runtime, server }
    }

    /// Ends without a word: nothing of what its sessions say in their end comes through.
    async fn kill(self, alive: &watch::Sender<bool>) {
        alive.send_replace(false);
        // The line itself looks, and each connection that it carries.
        until("the line is dead", || alive.receiver_count() == 1).await;
        self.runtime.shutdown_background();
    }

    async fn shut_down(self) {
        let Self { runtime, server } = self;
        let ended = timeout(SOON, runtime.spawn(async move { server.shutdown().await })).await;
        ended.expect("the shutdown hangs").unwrap();
        runtime.shutdown_background();
    }
}

/// The outcome of a call of `run`: its value, or whether it has run.
type Outcome = Result<u32, Execution>;

/// Each call of `run` has a number of its own.
#[derive(Default)]
struct Ledger(Mutex<HashMap<(u32, u32), Outcome>>);

/// Whether a call that has failed like this may have run.
fn honest(status: &Status) -> Execution {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    status.execution()
}

async fn numbers(mut items: Streaming<u32>) -> Result<u32, Status> {
    let mut next = 0;
    while let Some(item) = items.next().await {
        assert_eq!(item?, next, "an item is lost, or came twice");
        next += 1;
    }
    Ok(next)
}

/// One piece of work. True if it has gone well.
async fn step(task: u32, number: u32, work: &WorkClient, ledger: &Ledger) -> bool {
    match task % 4 {
        0 | 1 => {
            let outcome = work.run(task, number).await.map_err(|status| honest(&status));
            assert!(outcome.is_err() || outcome == Ok(number));
            let before = ledger.0.lock().unwrap().insert((task, number), outcome);
            assert!(before.is_none());
            outcome.is_ok()
        }
        2 => match work.ask(number).await {
            Ok(answer) => answer == number,
            // The server passes on what it was told of its own call.
            Err(status) => honest(&status) == Execution::NotExecuted,
        },
        _ => {
            let counted = work.count(stream::iter(0..500)).await;
            assert!(counted.is_err() || counted == Ok(500), "{counted:?}");
            let produced = match work.produce(500).await {
                Ok(items) => numbers(items).await,
                Err(status) => Err(status),
            };
            assert!(produced.is_err() || produced == Ok(500), "{produced:?}");
            for status in [counted.as_ref().err(), produced.as_ref().err()].into_iter().flatten() {
                honest(status);
            }
            counted.is_ok() && produced.is_ok()
        }
    }
}

/// Works until the time is over, and then until a piece of work has gone well.
async fn work(task: u32, client: WorkClient, until: Instant, ledger: Arc<Ledger>) {
    let mut number = 0;
    loop {
        let went_well = step(task, number, &client, &ledger).await;
        number += 1;
        if went_well && Instant::now() >= until {
            return;
        }
    }
}

/// Counts how often the session went on, and how often another one began.
async fn tell(client: Client) -> (usize, usize) {
    let (mut events, mut resumed, mut begun) = (client.events(), 0, 0);
    drop(client);
    while let Some(event) = events.next().await {
        match event {
            ClientEvent::Resumed { .. } => resumed += 1,
            ClientEvent::SessionStarted { .. } => begun += 1,
            _ => {}
        }
    }
    (resumed, begun)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_restarted_leaves_one_honest_outcome_to_each_call() {
    let (seconds, first) = (setting("TORTURE_SECONDS", 5), setting("TORTURE_SEED", 1));
    let seed = Arc::new(AtomicU64::new(first));
    let ran = Arc::new(Mutex::new(vec![Vec::new(); TASKS as usize]));
    let mut process = Process::start("127.0.0.1:0".parse().unwrap(), &ran).await;
    let addr = process.server.local_addr();
    let (cuts, (alive, lives)) = (Arc::<AtomicUsize>::default(), watch::channel(true));
    let line = bad_line(addr, seed.clone(), cuts.clone(), lives).await;
    let config: Config = config().build().unwrap();
    let client = connect(line, &config, Mirror(Arc::default())).await;
    let events = tokio::spawn(tell(client.clone()));
    let (ledger, until) = (Arc::<Ledger>::default(), Instant::now() + Duration::from_secs(seconds));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(work(task, client.client(), until, ledger.clone()));
    }
    let mut restarts = 0;
    while Instant::now() < until {
        sleep(Duration::from_millis(100 + random(&seed, 500))).await;
        match random(&seed, 3) {
            0 => process.shut_down().await,
            _ => process.kill(&alive).await,
        }
        // It may be away for a while.
        sleep(Duration::from_millis(random(&seed, 50))).await;
        process = Process::start(addr, &ran).await;
        alive.send_replace(true);
        restarts += 1;
    }
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    };
    if timeout(SOON, all).await.is_err() {
        let sessions = process.server.sessions();
        let there: Vec<_> = sessions.iter().map(|session| (session.state(), session.stats())).collect();
        let session = client.session();
        panic!("it hangs: {:?} {:?} {:?} {there:?}", client.state(), session.state(), session.stats());
    }
    client.close().await;
    let (resumed, begun) = events.await.unwrap();
    process.shut_down().await;
    let mut runs = HashMap::<(u32, u32), usize>::new();
    for (task, numbers) in (0..).zip(&*ran.lock().unwrap()) {
        numbers.iter().for_each(|number| *runs.entry((task, *number)).or_default() += 1);
    }
    let outcomes = ledger.0.lock().unwrap();
    for (call, outcome) in &*outcomes {
        let count = runs.remove(call).unwrap_or_default();
        let is_honest = match outcome {
            Ok(_) => count == 1,
            Err(Execution::NotExecuted) => count == 0,
            Err(Execution::Unknown) => count <= 1,
        };
        assert!(is_honest, "seed {first}: call {call:?} ran {count} times, and its outcome is {outcome:?}");
    }
    assert!(runs.is_empty(), "seed {first}: calls that were not made have run: {runs:?}");
    let well = outcomes.values().filter(|outcome| outcome.is_ok()).count();
    println!(
        "seed {first}: {restarts} restarts, {} connections, {resumed} resumes, {begun} sessions, {} calls, {well} well",
        cuts.load(Ordering::Relaxed),
        outcomes.len()
    );
    assert!(restarts > 2 && begun > 1 && well > 20, "{restarts} {begun} {well}");
}
