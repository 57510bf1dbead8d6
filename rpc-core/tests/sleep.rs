//! A session frees what a busy time needed within seconds, and then sleeps until something happens.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::join_all;
use rpc_core::{
    Config, ConnectionInfo, Hosting,
    session::{Driver, Handshake, connect, memory},
};
use rpc_testing::pass;

#[rpc_core::service]
trait Mill {
    async fn grind(&self, corn: u32) -> u32;
}

struct Stones;

impl Mill for Stones {
    async fn grind(&self, corn: u32) -> u32 {
        corn * 2
    }
}

/// A driver whose polls are counted.
struct Counted {
    driver: Driver,
    polls: Arc<AtomicUsize>,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls.fetch_add(1, SeqCst);
        Pin::new(&mut self.driver).poll(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_at_rest_sleeps_after_a_peak() {
    // Nothing else than the peak sets a timer.
    let config = Config::builder().keepalive(Duration::MAX).keepalive_timeout(Duration::MAX).build().unwrap();
    let hosting = Hosting::builder().service(Stones.serve()).build().unwrap();
    let ((near, far), polls) = (memory(), Arc::<AtomicUsize>::default());
    let spawn = |driver| tokio::spawn(Counted { driver, polls: polls.clone() });
    let (client, driver) = connect(far, &Hosting::default(), &config, ConnectionInfo::default());
    spawn(driver);
    let (_server, driver) = Handshake::read(near, &config).await.unwrap().accept(&hosting, ConnectionInfo::default());
    spawn(driver);
    client.established().await.unwrap();
    let mill: MillClient = client.client();
    for _ in 0..2 {
        assert!(join_all((0..2000).map(|corn| mill.grind(corn))).await.into_iter().all(|flour| flour.is_ok()));
        pass(Duration::from_secs(3600)).await;
        let before = polls.load(SeqCst);
        pass(Duration::from_secs(3600)).await;
        assert_eq!(polls.load(SeqCst), before, "a driver was woken");
    }
}
