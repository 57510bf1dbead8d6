//! The process that is counted: a server and a client on one thread, with a loopback WebSocket between them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use clap::ValueEnum;
use common::Outcome;
use rpc_client::{Connect, Reconnect};
use rpc_core::{Config, Status};
use rpc_server::Server;
use tokio::task::{JoinSet, yield_now};

/// Which calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// A number there and a number back, one call at a time.
    Small,
    /// The same calls, always 64 of them in flight.
    #[value(name = "small-64")]
    Small64,
    /// As `Small64`, by a client that connects again, in a session that can be resumed. The other clients have one
    /// session, which ends with its link.
    #[value(name = "resumable-64")]
    Resumable64,
    /// One-way calls with a number. Each is sent when the one before it has left for the kernel.
    OneWay,
    /// 1 KiB there and 1 KiB back, one call at a time.
    Kib,
}

impl Mode {
    /// The name of the mode, in options, in tables and in the recorded counts.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[rpc_core::service]
trait Counter {
    async fn next(&self, number: u64) -> u64;
    async fn echo(&self, payload: Bytes) -> Bytes;
    #[rpc(oneway)]
    async fn tick(&self, number: u64);
    async fn ticks(&self) -> u64;
}

#[derive(Default)]
struct Plain {
    ticks: AtomicU64,
}

impl Counter for Plain {
    async fn next(&self, number: u64) -> u64 {
        number + 1
    }

    async fn echo(&self, payload: Bytes) -> Bytes {
        payload
    }

    async fn tick(&self, _: u64) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    async fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }
}

/// Makes this number of calls.
pub(crate) fn make(mode: Mode, calls: u64) -> Outcome<()> {
    // Programs have more than one thread, and libc takes shortcuts where there is one alone.
    std::thread::spawn(std::thread::park);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        // The calls are a task of their own, so that looking at this timeout is no part of them.
        tokio::time::timeout(Duration::from_secs(600), tokio::spawn(connect_and_make(mode, calls))).await??
    })
}

async fn connect_and_make(mode: Mode, calls: u64) -> Outcome<()> {
    let is_resumable = mode == Mode::Resumable64;
    let builder = Server::builder().config(patient()).resume_anonymous(is_resumable);
    let server = builder.service(Plain::default().serve()).listen("127.0.0.1:0").await?;
    let reconnect = if is_resumable { Reconnect::default() } else { Reconnect::never() };
    let connecting = CounterClient::connect(format!("ws://{}/", server.local_addr())).reconnect(reconnect);
    let counter = connecting.config(patient()).await?;
    match mode {
        Mode::Small => small(&counter, calls).await?,
        Mode::Small64 | Mode::Resumable64 => {
            let mut callers = JoinSet::new();
            for _ in 0..64 {
                let counter = counter.clone();
                callers.spawn(async move { small(&counter, calls / 64).await });
            }
            while let Some(caller) = callers.join_next().await {
                caller??;
            }
        }
        Mode::OneWay => {
            for number in 0..calls {
                counter.tick(number).await?;
            }
            // What the server does for the last ones counts as well.
            while counter.ticks().await? != calls {
                yield_now().await;
            }
        }
        Mode::Kib => {
            let payload = Bytes::from(vec![7; 1024]);
            for _ in 0..calls {
                assert_eq!(counter.echo(payload.clone()).await?.len(), payload.len());
            }
        }
    }
    Ok(())
}

async fn small(counter: &CounterClient, calls: u64) -> Result<(), Status> {
    for number in 0..calls {
        assert_eq!(counter.next(number).await?, number + 1);
    }
    Ok(())
}

/// The defaults with times that valgrind cannot use up, so that no timer fires while calls are counted. They are not
/// for ever, because setting a deadline is part of what a call costs.
fn patient() -> Config {
    const HOUR: Duration = Duration::from_secs(3600);
    Config::builder()
        .call_timeout(HOUR)
        .upgrade_timeout(HOUR)
        .hello_timeout(HOUR)
        .keepalive(HOUR)
        .keepalive_timeout(2 * HOUR)
        .progress_timeout(HOUR)
        .write_timeout(HOUR)
        .slow_poll(HOUR)
        .build()
        .unwrap()
}
