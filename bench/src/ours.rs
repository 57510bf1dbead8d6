//! Typed calls through Duplex RPC.

use std::time::{Duration, Instant};

use common::{Outcome, announce};
use rpc_client::{Connect, Reconnect};
use rpc_core::Stub;
use rpc_server::Server;
use tokio::task::JoinSet;

#[rpc_core::service]
trait Counter {
    async fn next(&self, number: u64) -> u64;
}

struct Plain;

impl Counter for Plain {
    async fn next(&self, number: u64) -> u64 {
        number + 1
    }
}

pub(crate) async fn serve(resumable: bool) -> Outcome<()> {
    let server = Server::builder().service(Plain.serve()).resume_anonymous(resumable).listen("127.0.0.1:0").await?;
    announce(server.local_addr())?;
    server.wait().await;
    Ok(())
}

pub(crate) async fn call(addr: &str, in_flight: usize, time: Duration, resumable: bool) -> Outcome<f64> {
    // As the peers beside it, the client of a session that ends with its link does not connect again.
    let reconnect = if resumable { Reconnect::default() } else { Reconnect::never() };
    let counter = CounterClient::connect(format!("ws://{addr}/")).reconnect(reconnect).await?;
    assert_eq!(counter.session().is_resumable(), resumable);
    // Warm up, then measure.
    calls(&counter, in_flight, time / 5).await?;
    calls(&counter, in_flight, time).await
}

async fn calls(counter: &CounterClient, in_flight: usize, time: Duration) -> Outcome<f64> {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let counter = counter.clone();
        callers.spawn(async move {
            let mut made = 0_u64;
            // The clock is asked once in a while, as in the echo.
            while made & 63 != 0 || start.elapsed() < time {
                assert_eq!(counter.next(made).await?, made + 1);
                made += 1;
            }
            Ok::<_, rpc_core::Status>(made)
        });
    }
    let mut made = 0;
    while let Some(caller) = callers.join_next().await {
        made += caller??;
    }
    Ok(made as f64 / start.elapsed().as_secs_f64())
}
