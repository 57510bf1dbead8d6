//! How streams end, and that the other end hears of it.

use std::time::Duration;

use futures::{StreamExt, stream};
use rpc_core::{CallError, CallOptions, Code, Config, NoFault, Status, Streaming, Stub};
use rpc_testing::pass;

use crate::depot::{DepotClient, Fault, at_rest, connect, depot, with};

fn status<T: std::fmt::Debug>(item: Option<Result<T, CallError<NoFault>>>) -> Status {
    item.unwrap().unwrap_err().into()
}

#[tokio::test]
async fn a_status_comes_after_the_items() {
    let (_, _, depot) = depot();
    let mut items = depot.told(3).await.unwrap();
    for n in 0..3 {
        assert_eq!(items.next().await, Some(Ok(n)));
    }
    let end = status(items.next().await);
    assert_eq!((end.code(), end.message()), (Code::DataLoss, "the shelf broke"));
    assert_eq!(items.next().await, None);
}

/// A stream that is mapped and passed on keeps its end: the last reader sees the fault or the status of the producer.
#[tokio::test]
async fn an_end_is_passed_on_with_the_items() {
    let (_, server, depot) = depot();
    let spoiled = Streaming::from_results(stream::iter([Ok(1), Ok(2), Err(Fault::Spoiled(3))]));
    let mut doubled = depot.doubled(spoiled).await.unwrap();
    assert_eq!([doubled.next().await, doubled.next().await], [Some(Ok(2)), Some(Ok(4))]);
    assert_eq!(doubled.next().await, Some(Err(CallError::Fault(Fault::Spoiled(3)))));
    assert_eq!(doubled.next().await, None);

    let (sender, unfinished) = Streaming::channel(1);
    let mut doubled = depot.doubled(unfinished).await.unwrap();
    sender.send(1).await.unwrap();
    assert_eq!(doubled.next().await, Some(Ok(2)));
    drop(sender);
    let end = doubled.next().await.unwrap().unwrap_err();
    assert_eq!(end.status().map(Status::code), Some(Code::Aborted));
    at_rest(&server).await;
}

#[tokio::test]
async fn a_producer_that_panics_or_goes_away_is_told_apart() {
    let (_, server, depot) = depot();
    let mut items = depot.panics().await.unwrap();
    assert_eq!([items.next().await, items.next().await], [Some(Ok(0)), Some(Ok(1))]);
    let end = status(items.next().await);
    assert_eq!(end.code(), Code::Internal);
    assert!(!end.message().contains("as a user's stream may"), "what panics say stays at home");
    let mut items = depot.unfinished().await.unwrap();
    assert_eq!(items.next().await, Some(Ok(1)));
    assert_eq!(status(items.next().await).code(), Code::Aborted);
    at_rest(&server).await;
}

#[tokio::test]
async fn dropping_the_reader_frees_the_producer() {
    let (_, server, depot) = depot();
    let (sender, loads) = Streaming::channel(1);
    // The handler drops its end; the call goes on.
    assert_eq!(depot.ignore(loads).await.unwrap(), 1);
    sender.closed().await;
    assert!(sender.send(1).await.is_err());

    let mut numbers = depot.count(u64::MAX).await.unwrap();
    numbers.next().await.unwrap().unwrap();
    drop(numbers);
    at_rest(&server).await;
    at_rest(&depot.session()).await;
}

#[tokio::test]
async fn giving_a_call_up_ends_its_streams() {
    let (_, server, depot) = depot();
    let (sender, loads) = Streaming::channel(1);
    {
        let mut call = Box::pin(depot.hold(loads));
        tokio::select! {
            _ = &mut call => panic!("it never answers"),
            sent = sender.send(1) => sent.unwrap(),
        }
        while server.stats().connection.streams_receiving == 0 {
            tokio::select! {
                _ = &mut call => panic!("it never answers"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    sender.closed().await;
    at_rest(&server).await;
    at_rest(&depot.session()).await;
}

#[tokio::test]
async fn what_has_come_is_read_when_the_session_is_over() {
    let (_, server, depot) = depot();
    let session = depot.session();
    let mut numbers = depot.count(10).await.unwrap();
    while session.stats().connection.stream_bytes_held == 0 {
        tokio::task::yield_now().await;
    }
    server.close();
    session.closed().await;
    let mut came = 0;
    let end = loop {
        match numbers.next().await {
            Some(Ok(n)) => {
                assert_eq!(n, came);
                came += 1;
            }
            other => break other,
        }
    };
    assert!(came > 0);
    if let Some(error) = end {
        assert_eq!(Status::from(error.unwrap_err()).code(), Code::Unavailable);
    }
    drop(numbers);
    assert_eq!(session.stats(), rpc_core::Stats::default());
}

#[tokio::test]
async fn a_lost_link_ends_streams_in_both_directions() {
    let (_, server, depot) = depot();
    let (sender, loads) = Streaming::channel(1);
    let call = tokio::spawn(depot.hold(loads));
    sender.send(1).await.unwrap();
    let mut numbers = depot.count(u64::MAX).await.unwrap();
    numbers.next().await.unwrap().unwrap();
    server.close();
    sender.closed().await;
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
    let end = Box::pin(numbers.filter_map(async |item| item.err())).next().await.unwrap();
    assert_eq!(Status::from(end).code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn the_default_deadline_is_the_gap_between_items_and_a_timeout_is_total() {
    let (_, _, depot) = depot();
    let slow = |count: u32| {
        let items = stream::iter(0..count).then(async |n| {
            pass(Duration::from_secs(50)).await;
            u64::from(n)
        });
        items.boxed()
    };
    assert_eq!(depot.sum(slow(10)).await.unwrap(), 45);
    let options = CallOptions::new().timeout(Duration::from_secs(120));
    let end = depot.with(options).sum(slow(10)).await.unwrap_err();
    assert_eq!(end.status().unwrap().code(), Code::DeadlineExceeded);
    let end = depot.sum(stream::pending()).await.unwrap_err();
    assert_eq!(end.status().unwrap().code(), Code::DeadlineExceeded);
}

/// A reader that goes on keeps the call alive, however slow it is: what runs ahead of it, and what is left when the
/// producer has finished, is not a pause.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_waited_for() {
    let (_, server, depot) = depot();
    for (count, seconds) in [(1000, 1), (200, 5), (20, 50)] {
        assert_eq!(depot.chew(seconds, stream::iter(0..count)).await, Ok(count), "{count} items, {seconds} s each");
    }
    at_rest(&server).await;
    at_rest(&depot.session()).await;
}

/// The message of a call that took too long says which stream made no progress.
#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_says_who_paused() {
    let (_, _, depot) = depot();
    let (_sender, unfinished) = Streaming::channel(1);
    let cases = [
        (depot.hold(unfinished).await, "a StreamSender ends its stream by `finish`"),
        (depot.hold(stream::iter(0..1_000_000)).await, "the other side has not gone on reading"),
        (depot.hold(stream::iter([1])).await, "the other side has not gone on reading"),
        (depot.hold(stream::empty()).await, "no answer has come"),
        (depot.chew(70, stream::iter([1])).await.map(drop), "the other side has not gone on reading"),
    ];
    for (end, why) in cases {
        let end = end.unwrap_err();
        assert_eq!(end.code(), Code::DeadlineExceeded);
        assert!(end.message().contains(why) && end.message().contains("for 60s"), "{end}");
    }
}

/// What the framework did not send can be said so; what it began to send cannot be sent again.
#[tokio::test]
async fn a_call_with_too_many_streams_is_not_made() {
    let (_, _, client) = connect(with(|config| config.max_streams(1)));
    let depot: DepotClient = client.client();
    let end = depot.zip(stream::iter([1]), 1, stream::iter([1])).await.unwrap_err();
    assert_eq!(end.code(), Code::ResourceExhausted);
    assert!(end.is_retryable() && end.message().contains("max_streams"), "{end}");
    assert_eq!(depot.sum(stream::iter([1])).await.unwrap(), 1);
}

#[tokio::test]
async fn an_item_that_is_too_long_ends_its_stream() {
    let (_, server, client) = connect(with(|config| config.max_payload(1000)));
    let depot: DepotClient = client.client();
    let mut blocks = depot.blocks(2, 1001).await.unwrap();
    let end = status(blocks.next().await);
    assert_eq!(end.code(), Code::OutOfRange);
    assert!(end.message().contains("max_payload"), "{end}");
    at_rest(&server).await;
}

/// A peer of another mind about the contract.
#[tokio::test]
async fn items_that_do_not_fit_are_an_error_and_the_last() {
    let (_, server, depot) = depot();
    let mut numbers = depot.count(5).await.unwrap();
    assert_eq!(numbers.next().await, Some(Ok(0)));
    #[rpc_core::service(name = "Depot")]
    trait Other {
        async fn count(&self, to: u64) -> Streaming<String>;
        #[rpc(name = "ignore")]
        async fn without(&self) -> u32;
        #[rpc(name = "sum")]
        async fn with_a_number(&self, loads: Option<u8>) -> u64;
    }
    let other: OtherClient = depot.session().client();
    let mut words = other.count(5).await.unwrap();
    let end = status(words.next().await);
    assert_eq!(end.code(), Code::Internal);
    assert!(end.message().contains("Depot.count"), "{end}");
    assert_eq!(words.next().await, None);
    assert_eq!(other.without().await.unwrap_err().code(), Code::InvalidArgument);
    let end = other.with_a_number(None).await.unwrap_err();
    assert!(end.message().contains("is a stream"), "{end}");
    drop(numbers);
    at_rest(&server).await;
}

/// A drain waits for streams, whose producers hear of it.
#[tokio::test(start_paused = true)]
async fn a_subscription_ends_when_a_side_begins_to_shut_down() {
    for server_leaves in [true, false] {
        let (_, server, depot) = depot();
        let client = depot.session();
        let mut numbers = depot.subscribe().await.unwrap();
        assert_eq!(numbers.next().await, Some(Ok(0)));
        let begun = tokio::time::Instant::now();
        let leaves = if server_leaves { &server } else { &client };
        leaves.drain();
        tokio::join!(server.draining(), client.draining());
        let (rest, _) = tokio::join!(numbers.map(Result::unwrap).collect::<Vec<_>>(), client.closed());
        assert!(rest.iter().copied().eq(1..=rest.len() as u64));
        assert!(begun.elapsed() < Config::default().drain_grace(), "no stream was cut off");
    }
}

/// What does not end is cut off after the grace, and its reader is told who has gone.
#[tokio::test(start_paused = true)]
async fn streams_without_an_end_are_cut_off_after_the_grace() {
    for (server_leaves, who) in [(true, "the other side"), (false, "this side")] {
        let (_, server, depot) = depot();
        let client = depot.session();
        let mut words = depot.echo(stream::pending()).await.unwrap();
        let begun = tokio::time::Instant::now();
        let leaves = if server_leaves { &server } else { &client };
        leaves.drain();
        let end = status(words.next().await);
        assert_eq!((end.code(), begun.elapsed() >= Config::default().drain_grace()), (Code::Unavailable, true));
        assert!(end.message().contains(&format!("because {who} is shutting down")), "{end}");
        tokio::join!(server.closed(), client.closed());
    }
}
