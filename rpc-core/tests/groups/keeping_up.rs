//! One-way calls to one session, with policies.

use std::time::Duration;

use rpc_core::{CallOptions, Config, Hosting, Overflow, observe::Metrics};

use rpc_testing::{at_rest, pass};

use crate::rooms::{Client, Room, ScreenClient, deaf};

fn few() -> Config {
    Config::builder().max_queued_calls(2).build().unwrap()
}

fn with(client: &Client, overflow: Overflow) -> ScreenClient {
    client.at_server.client::<ScreenClient>().with(CallOptions::new().overflow(overflow))
}

/// Calls whose handlers have begun, and the ones that wait for these to end.
const UNDER_WAY: usize = 16;

async fn fill(client: &Client, screen: &ScreenClient) {
    client.hold();
    for n in 0..UNDER_WAY {
        screen.said(&format!("early {n}")).await.unwrap();
        while client.at_server.stats().connection.queued_calls > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_keep_up_is_told_what_it_missed() {
    for (overflow, late) in
        [(Overflow::DropOldest, ["late 8 after 8", "late 9"]), (Overflow::DropNewest, ["late 0 after 8", "late 1"])]
    {
        let metrics = Metrics::new();
        let server = Hosting::builder().observer(metrics.clone()).build().unwrap();
        let client = Client::of(&server, &few()).await;
        let screen = with(&client, overflow);
        fill(&client, &screen).await;
        for n in 0..10 {
            screen.said(&format!("late {n}")).await.unwrap();
        }
        assert_eq!(client.at_server.stats().oneway_dropped, 8);
        client.let_go();
        assert_eq!(client.hear(UNDER_WAY + 2).await[UNDER_WAY..], late, "{overflow:?}");
        for end in [&client.at_server, &client.at_client] {
            at_rest(end).await;
        }
        client.at_client.close().await;
        client.at_server.closed().await;
        assert_eq!(metrics.snapshot().oneway_dropped, 8);
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_latest_value_of_each_key_arrives() {
    let client = Client::new(&Config::default()).await;
    let screen: ScreenClient = client.at_server.client();
    fill(&client, &with(&client, Overflow::DropOldest)).await;
    for n in 0..100 {
        screen.price("oil", n).await.unwrap();
        screen.price("tin", 1000 + n).await.unwrap();
    }
    assert_eq!(client.at_server.stats().connection.queued_calls, 2);
    client.let_go();
    assert_eq!(client.hear(UNDER_WAY + 2).await[UNDER_WAY..], ["oil 99 0", "tin 1099 0"]);
    assert_eq!(client.at_server.stats().oneway_dropped, 0, "a value that was replaced was not dropped");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_too_old_when_its_turn_comes_is_dropped() {
    let client = Client::new(&Config::default()).await;
    let screen = with(&client, Overflow::DropOldest);
    fill(&client, &screen).await;
    let hasty = screen.with(CallOptions::new().ttl(Duration::from_secs(2)));
    hasty.said("old").await.unwrap();
    pass(Duration::from_secs(3)).await;
    hasty.said("new").await.unwrap();
    client.let_go();
    assert_eq!(client.hear(UNDER_WAY + 1).await[UNDER_WAY..], ["new after 1"]);
}

#[tokio::test(start_paused = true)]
async fn large_calls_wait_in_the_queue_for_what_they_need() {
    let config =
        Config::builder().max_assembly(400_000).max_arguments(400_000).max_queued_bytes(8 << 20).build().unwrap();
    let client = Client::new(&config).await;
    let room = || Room::of([&client.at_server]).all();
    let text = |n: usize| format!("{n}{}", "x".repeat(300_000));
    for n in 0..5 {
        assert_eq!(room().said(&text(n)).await.unwrap().queued, 1);
        assert_eq!(room().said(&n.to_string()).await.unwrap().queued, 1);
    }
    let heard = client.hear(10).await;
    let large: Vec<_> = heard.iter().filter(|text| text.len() > 10).cloned().collect();
    assert!(large == (0..5).map(text).collect::<Vec<_>>(), "large calls arrive in their order");
    at_rest(&client.at_server).await;
}

#[tokio::test(start_paused = true)]
async fn large_calls_in_the_queue_of_a_session_that_ends_hold_nothing() {
    let config = Config::builder().max_queued_bytes(8 << 20).build().unwrap();
    let (session, driver) = deaf(&config).await;
    let room = Room::of([&session]).all();
    for _ in 0..10 {
        room.said(&"x".repeat(300_000)).await.unwrap();
    }
    tokio::task::yield_now().await;
    drop(driver);
    session.closed().await;
    assert!(session.stats().is_at_rest(), "{:?}", session.stats());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_fails_at_its_sender() {
    let client = Client::new(&Config::default()).await;
    let screen = with(&client, Overflow::DropOldest);
    let refused = screen.said(&"x".repeat(5 << 20)).await.unwrap_err();
    assert!(refused.message().contains("Config::max_payload"), "{refused}");
    let delivery = Room::of([&client.at_server]).all().said(&"x".repeat(5 << 20)).await.unwrap();
    assert_eq!((delivery.queued, delivery.failed), (0, 1));
}
