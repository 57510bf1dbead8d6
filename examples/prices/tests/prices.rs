//! Fast readers get every quote while a slow one is held back, and nothing is left of those who go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use cable::Cable;
use futures::StreamExt;
use prices::{Missed, Prices, PricesClient, Reader, Ticker, demo};
use rpc_client::{CallError, Client, ClientEvent, Connect, Reconnect, Stub};
use rpc_server::{Server, ServerHandle};
use rpc_test::TestServer;
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(60);

async fn ticker() -> (Ticker, ServerHandle) {
    let builder = Server::builder().resume_anonymous(true);
    let ticker = Ticker::new(&builder.groups());
    let server = builder.service(ticker.clone().serve()).listen("127.0.0.1:0").await.unwrap();
    (ticker, server)
}

async fn client(server: &ServerHandle) -> PricesClient {
    PricesClient::connect(format!("ws://{}/", server.local_addr())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_what_its_readers_saw() {
    let mut out = Vec::new();
    timeout(SOON, demo(|slow| slow.skipped() > 100, &mut out)).await.unwrap().unwrap();
    let out = String::from_utf8(out).unwrap();
    let line = |name: &str| out.lines().find(|line| line.trim().starts_with(name)).unwrap().to_owned();
    assert!(line("first").contains(", 0 skipped") && line("second").contains(", 0 skipped"), "{out}");
    assert!(!line("slow").contains(", 0 skipped"), "{out}");
    assert!(out.contains("The slow reader has the latest prices: ADA 1"), "{out}");
    assert!(out.ends_with("Readers left at the ticker: 0\n"), "{out}");
}

/// The clock is paused, so no socket takes part.
#[tokio::test(start_paused = true)]
async fn a_ticker_with_few_quotes_a_second_says_them_in_their_time() {
    let ticker = Ticker::new(&Server::builder().groups());
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

/// The clock is paused and the network in memory. The slow reader takes an hour for each price.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_hears_the_latest_prices_and_delays_no_other_reader() {
    const HOUR: Duration = Duration::from_secs(3600);
    let builder = Server::builder();
    let ticker = Ticker::new(&builder.groups());
    let server = TestServer::start(builder.service(ticker.clone().serve())).unwrap();
    let (fast, reader) = (server.connect::<PricesClient>().await.unwrap(), Reader::default());
    let slow = server.connect::<PricesClient>().callback(reader.board(HOUR)).await.unwrap();
    slow.follow().await.unwrap();

    let mut every = fast.every().await.unwrap();
    let begun = Instant::now();
    for round in 0..200 {
        ticker.say(50).await;
        for number in 0..50 {
            assert_eq!(every.next().await.unwrap().unwrap().number, round * 50 + number);
        }
    }
    assert!(begun.elapsed() < HOUR, "the ticker and the fast reader do not wait");

    let latest = ticker.latest().await;
    assert_eq!(latest.iter().map(|quote| quote.number).collect::<Vec<_>>(), [9_996, 9_997, 9_998, 9_999]);
    timeout(100 * HOUR, reader.catches_up(&latest)).await.unwrap();
    // A few were under way before the first was taken, and four symbols waited.
    assert!(reader.read_so_far() < 50, "{}", reader.read_so_far());
    assert!(reader.skipped() > 9_000, "{}", reader.skipped());
}

#[tokio::test]
async fn a_reader_without_a_board_cannot_follow() {
    let (_ticker, server) = ticker().await;
    let error = client(&server).await.follow().await.unwrap_err();
    assert!(error.to_string().contains("does not host `Board`"), "{error}");
}

#[tokio::test]
async fn who_cannot_keep_up_with_every_quote_is_told() {
    let (ticker, server) = ticker().await;
    let prices = client(&server).await;
    let mut every = prices.every().await.unwrap();
    ticker.say(300_000).await;
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
    let board = Reader::default().board(Duration::ZERO);
    let follower = PricesClient::connect(format!("ws://{}/", server.local_addr())).callback(board).await.unwrap();
    follower.follow().await.unwrap();
    let every = prices.every().await.unwrap();
    assert_eq!(prices.readers().await.unwrap(), 2);
    drop(every);
    follower.session().close().await;
    timeout(SOON, async { while prices.readers().await.unwrap() > 0 {} }).await.unwrap();
    ticker.say(1).await;
}

#[tokio::test]
async fn a_stream_goes_on_when_the_cable_was_pulled() {
    let (ticker, server) = ticker().await;
    let cable = Cable::new(server.local_addr()).await.unwrap();
    let quickly = Reconnect::default().initial_delay(Duration::from_millis(5)).max_delay(Duration::from_millis(20));
    let connecting = PricesClient::connect(format!("ws://{}/", cable.addr()));
    let prices = connecting.reconnect(quickly).await.unwrap();
    let mut events = Client::of(&prices).unwrap().events();
    let mut every = prices.every().await.unwrap();
    ticker.say(100).await;
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
            ticker.say(100).await;
            cable.plug_in();
            let resumed = timeout(SOON, events.next()).await.unwrap();
            assert!(matches!(resumed, Some(ClientEvent::Resumed { .. })), "{resumed:?}");
        }
    }
    assert_eq!(prices.readers().await.unwrap(), 1);
}
