//! Fast readers get every quote while a slow one is held back, and nothing is left of those who go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../src/cable.rs"]
mod cable;

use std::time::Duration;

use cable::Cable;
use futures::StreamExt;
use prices::{Missed, Prices, PricesClient, Ticker, config, demo};
use rpc_client::{CallError, Client, ClientEvent, Connect, Reconnect, Stub};
use rpc_server::{Server, ServerHandle};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(60);

async fn ticker() -> (Ticker, ServerHandle) {
    let ticker = Ticker::new();
    let server = Server::builder()
        .service(ticker.clone().serve())
        .config(config().unwrap())
        .resume_anonymous(true)
        .listen("127.0.0.1:0")
        .await
        .unwrap();
    (ticker, server)
}

async fn client(server: &ServerHandle) -> PricesClient {
    PricesClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_what_its_readers_saw() {
    let mut out = Vec::new();
    timeout(SOON, demo(|slow| slow.skipped() > 0, &mut out)).await.unwrap().unwrap();
    let out = String::from_utf8(out).unwrap();
    let line = |name: &str| out.lines().find(|line| line.trim().starts_with(name)).unwrap().to_owned();
    assert!(line("first").contains(", 0 skipped") && line("second").contains(", 0 skipped"), "{out}");
    assert!(!line("slow").contains(", 0 skipped"), "{out}");
    assert!(out.ends_with("Readers left at the ticker: 0\n"), "{out}");
}

/// The clock is paused, so no socket takes part.
#[tokio::test(start_paused = true)]
async fn a_ticker_with_few_quotes_a_second_says_them_in_their_time() {
    let ticker = Ticker::new();
    let (mut every, begun) = (ticker.every().await, Instant::now());
    let quotes = async {
        for number in 0..100 {
            assert_eq!(every.next().await.unwrap().unwrap().number, number);
        }
    };
    tokio::select! {
        () = ticker.run(40) => {}
        () = quotes => {}
    }
    // There are 100 ticks a second, and the first comes at once.
    assert_eq!(begun.elapsed().as_millis(), 100 * 1000 / 40 - 10);
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_delays_no_other_reader() {
    let (ticker, server) = ticker().await;
    let (fast, slow) = (client(&server).await, client(&server).await);
    let (mut every, mut latest) = (fast.every().await.unwrap(), slow.latest().await.unwrap());
    for round in 0..200 {
        ticker.say(50);
        for number in 0..50 {
            assert_eq!(every.next().await.unwrap().unwrap().number, round * 50 + number);
        }
    }
    // The slow reader has read nothing; the items that wait for it are within its window.
    let held = slow.session().stats().connection.stream_bytes_held;
    assert!(held <= 256 * 1024, "{held}");
    let (mut read, mut newest) = (0, 0);
    while newest < 9_999 {
        let number = latest.next().await.unwrap().unwrap().number;
        assert!(read == 0 || number > newest);
        (read, newest) = (read + 1, number);
    }
    assert!(read < 9_000, "{read}");
}

#[tokio::test]
async fn who_cannot_keep_up_with_every_quote_is_told() {
    let (ticker, server) = ticker().await;
    let prices = client(&server).await;
    let mut every = prices.every().await.unwrap();
    ticker.say(300_000);
    let end = loop {
        match every.next().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(CallError::Fault(Missed { quotes: 1.. })))), "{end:?}");
}

#[tokio::test]
async fn a_reader_who_goes_leaves_his_seat() {
    let (ticker, server) = ticker().await;
    let prices = client(&server).await;
    let streams = (prices.every().await.unwrap(), prices.latest().await.unwrap());
    assert_eq!(prices.readers().await.unwrap(), 2);
    drop(streams);
    timeout(SOON, async { while prices.readers().await.unwrap() > 0 {} }).await.unwrap();
    ticker.say(1);
}

#[tokio::test]
async fn a_stream_goes_on_when_the_cable_was_pulled() {
    let (ticker, server) = ticker().await;
    let cable = Cable::new(server.local_addr()).await.unwrap();
    let quickly = Reconnect::default().initial_delay(Duration::from_millis(5)).max_delay(Duration::from_millis(20));
    let connecting = PricesClient::connect(format!("ws://{}/", cable.addr())).config(config().unwrap());
    let prices = connecting.reconnect(quickly).await.unwrap();
    let mut events = Client::of(&prices).unwrap().events();
    let mut every = prices.every().await.unwrap();
    ticker.say(100);
    for round in 0..5_u64 {
        let read = async {
            for number in 0..100 {
                assert_eq!(every.next().await.unwrap().unwrap().number, round * 100 + number);
            }
        };
        timeout(SOON, read).await.expect("the stream has stopped");
        if round < 4 {
            cable.pull();
            let lost = timeout(SOON, events.next()).await.unwrap();
            assert!(matches!(lost, Some(ClientEvent::LinkLost { .. })), "{lost:?}");
            // These are said while the reader is away.
            ticker.say(100);
            cable.plug_in();
            let resumed = timeout(SOON, events.next()).await.unwrap();
            assert!(matches!(resumed, Some(ClientEvent::Resumed { .. })), "{resumed:?}");
        }
    }
    assert_eq!(prices.readers().await.unwrap(), 1);
}
