//! An object that serves all sessions one call after another, and a client that loses its link in its turn.

use std::{future::pending, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use rpc_client::{Client, connect};
use rpc_core::{Code, Concurrency, Config, Context, Execution, Status, Streaming};
use rpc_server::{Server, ServerHandle};
use rpc_testing::{SOON, until};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{away, line::Line, quickly};

#[rpc_core::callback]
trait Guest {
    /// Answers never.
    async fn think(&self);
    /// Gives one number, and no other.
    async fn numbers(&self) -> Streaming<u32>;
    #[rpc(oneway)]
    async fn hear(&self, news: Vec<u8>);
}

#[rpc_core::service(callback = Guest)]
trait Counter {
    async fn ask(&self, cx: &Context<GuestClient>, read: bool) -> Result<(), Status>;
    /// Tells the client news until that fails; if `is_late`, only when a call of the client has failed.
    async fn tell(&self, cx: &Context<GuestClient>, len: usize, is_late: bool) -> Result<(), Status>;
    async fn next(&self) -> u32;
}

/// What the calls of the guests have come to.
struct Clerk(mpsc::UnboundedSender<Status>);

impl Counter for Clerk {
    async fn ask(&self, cx: &Context<GuestClient>, read: bool) -> Result<(), Status> {
        let asked = if read { read_all(cx.peer()).await } else { cx.peer().think().await };
        self.0.send(asked.clone().unwrap_err()).unwrap();
        asked
    }

    async fn tell(&self, cx: &Context<GuestClient>, len: usize, is_late: bool) -> Result<(), Status> {
        if is_late {
            cx.peer().think().await.unwrap_err();
        }
        let failed = loop {
            if let Err(status) = cx.peer().hear(vec![7; len]).await {
                break status;
            }
        };
        self.0.send(failed.clone()).unwrap();
        Err(failed)
    }

    async fn next(&self) -> u32 {
        1
    }
}

async fn read_all(guest: &GuestClient) -> Result<(), Status> {
    let mut numbers = guest.numbers().await?;
    while let Some(number) = numbers.next().await {
        number?;
    }
    Ok(())
}

/// Says when it is asked.
struct Thinker(Arc<Semaphore>);

impl Guest for Thinker {
    async fn think(&self) {
        self.0.add_permits(1);
        pending::<()>().await;
    }

    async fn hear(&self, _: Vec<u8>) {
        self.0.add_permits(1);
    }

    async fn numbers(&self) -> Streaming<u32> {
        let asked = self.0.clone();
        Streaming::new(stream::once(async { 1 }).chain(stream::once(async move {
            asked.add_permits(1);
            pending().await
        })))
    }
}

fn config() -> Config {
    Config::builder().resume_window(Duration::from_secs(60)).detached_turn(Duration::from_millis(1)).build().unwrap()
}

async fn guest(line: &Line, asked: &Arc<Semaphore>) -> Client {
    let guest = connect(format!("ws://{}/", line.addr())).callback(Thinker(asked.clone()).serve());
    guest.config(config()).reconnect(quickly()).await.unwrap()
}

async fn serve() -> (ServerHandle, mpsc::UnboundedReceiver<Status>) {
    let (told, asked) = mpsc::unbounded_channel();
    let service = Clerk(told).serve().concurrency(Concurrency::Single);
    (
        Server::builder().service(service).config(config()).resume_anonymous(true).listen("127.0.0.1:0").await.unwrap(),
        asked,
    )
}

#[tokio::test]
async fn a_client_that_loses_its_link_in_its_turn_does_not_hold_up_others() {
    let (server, mut told) = serve().await;
    for read in [false, true] {
        let (line, other_line) = (Line::to(server.local_addr()).await, Line::to(server.local_addr()).await);
        let asked = Arc::new(Semaphore::new(0));
        let (away_one, other) = (guest(&line, &asked).await, guest(&other_line, &asked).await);
        let counter: CounterClient = away_one.client();
        let ask = tokio::spawn(async move { counter.ask(read).await });
        timeout(SOON, asked.acquire()).await.unwrap().unwrap().forget();
        let counter: CounterClient = other.client();
        let next = tokio::spawn(async move { counter.next().await });
        line.close();
        away(&away_one).await;
        assert_eq!(timeout(SOON, next).await.expect("the other client is held up").unwrap(), Ok(1), "read: {read}");
        let status = timeout(SOON, told.recv()).await.unwrap().unwrap();
        assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown), "{status}");
        assert!(status.message().contains("Config::detached_turn"), "{status}");
        // The session itself goes on.
        line.open(server.local_addr());
        let status = timeout(SOON, ask).await.unwrap().unwrap().unwrap_err();
        assert!(status.message().contains("Config::detached_turn"), "{status}");
        away_one.close().await;
        other.close().await;
        until("both have left", || server.sessions().is_empty()).await;
    }
}

#[tokio::test]
async fn one_way_calls_that_wait_for_a_client_without_a_link_do_not_hold_up_others() {
    let (server, mut told) = serve().await;
    // Short ones use up the permits, and long ones the room.
    for (len, is_late) in [(1, false), (60_000, false), (1, true), (60_000, true)] {
        let (line, other_line) = (Line::to(server.local_addr()).await, Line::to(server.local_addr()).await);
        let asked = Arc::new(Semaphore::new(0));
        let (away_one, other) = (guest(&line, &asked).await, guest(&other_line, &asked).await);
        let counter: CounterClient = away_one.client();
        let tell = tokio::spawn(async move { counter.tell(len, is_late).await });
        timeout(SOON, asked.acquire()).await.unwrap().unwrap().forget();
        let counter: CounterClient = other.client();
        let next = tokio::spawn(async move { counter.next().await });
        line.close();
        away(&away_one).await;
        assert_eq!(timeout(SOON, next).await.expect("the other client is held up").unwrap(), Ok(1), "{len} {is_late}");
        let status = timeout(SOON, told.recv()).await.unwrap().unwrap();
        assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted), "{status}");
        assert!(status.message().contains("Config::detached_turn"), "{status}");
        line.open(server.local_addr());
        timeout(SOON, tell).await.unwrap().unwrap().unwrap_err();
        away_one.close().await;
        other.close().await;
        until("both have left", || server.sessions().is_empty()).await;
    }
}
