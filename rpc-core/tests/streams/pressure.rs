//! Readers hold their producers back, and no more than them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use rpc_core::{Streaming, Stub};
use rpc_testing::{Lines, settle};
use tracing::Level;

use crate::depot::{DepotClient, at_rest, connect, depot, with};

async fn settled(mut look: impl FnMut() -> u64) -> u64 {
    let mut last = look();
    let mut same = 0;
    while same < 200 {
        tokio::task::yield_now().await;
        let now = look();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

#[tokio::test]
async fn a_reader_that_stops_stops_its_producer_within_the_window() {
    let (house, server, depot) = depot();
    let mut numbers = depot.count(u64::MAX).await.unwrap();
    let ahead = settled(|| house.produced.load(Ordering::SeqCst)).await;
    // 64 items are announced.
    assert_eq!(ahead, 64);
    for n in 0..10_000 {
        assert_eq!(numbers.next().await, Some(Ok(n)));
    }
    // Others are not held up.
    assert_eq!(depot.sum(stream::iter(0..100)).await.unwrap(), 4950);
    drop(numbers);
    at_rest(&server).await;
}

#[tokio::test]
async fn a_window_can_be_fixed_for_a_method_and_for_a_stream() {
    let (house, _, depot) = depot();
    for wide in [false, true] {
        let before = house.produced.load(Ordering::SeqCst);
        let mut numbers = depot.narrow().await.unwrap();
        // The producer begins with the window of the method: items count 33 bytes, so the second exceeds the window.
        let ahead = settled(|| house.produced.load(Ordering::SeqCst)).await - before;
        assert_eq!(ahead, 2);
        if wide {
            numbers = numbers.with_window(10_000);
            let ahead = settled(|| house.produced.load(Ordering::SeqCst)).await - before;
            assert!((280..=320).contains(&ahead), "the credit goes out at once: {ahead}");
        }
        for _ in 0..20_000 {
            numbers.next().await.unwrap().unwrap();
        }
        let ahead = settled(|| house.produced.load(Ordering::SeqCst)).await - before - 20_000;
        // Items of 3 bytes count 35; new credit comes when half of the window has been read.
        let expected = if wide { 140..=290 } else { 1..=3 };
        assert!(expected.contains(&ahead), "{wide} {ahead}");
        drop(numbers);
        settled(|| house.produced.load(Ordering::SeqCst)).await;
    }
}

#[tokio::test]
async fn a_window_of_a_method_holds_for_its_arguments_from_the_first_item() {
    let (_, _, depot) = depot();
    for read in [0, 100] {
        let produced = Arc::new(AtomicU64::new(0));
        let counted = produced.clone();
        let numbers = stream::iter(0..).inspect(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let call = tokio::spawn(depot.sip(read, numbers));
        let ahead = settled(|| produced.load(Ordering::SeqCst)).await - read;
        assert!((1..=3).contains(&ahead), "{ahead} beyond the {read} that were read");
        call.abort();
    }
}

#[tokio::test]
async fn the_log_says_where_a_window_cannot_be_fixed() {
    Lines::keep();
    let (_, _, depot) = depot();
    let said = || Lines::read(Level::WARN).into_iter().filter(|line| line.contains("with_window")).collect::<Vec<_>>();
    // A stream that has come, before and after its first items, and one that is over: nothing to say.
    let mut come = depot.count(3).await.unwrap().with_window(1000);
    assert_eq!(come.next().await, Some(Ok(0)));
    let mut come = come.with_window(2000);
    assert_eq!([come.next().await, come.next().await, come.next().await], [Some(Ok(1)), Some(Ok(2)), None]);
    assert_eq!(come.with_window(3000).next().await, None);
    assert_eq!(said(), Vec::<String>::new());
    let mut made = Streaming::<u64>::new(stream::iter(0..2)).with_window(1000);
    let lines = said();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains("only the side that reads a stream") && line.contains("pressure.rs:"), "{line}");
    assert_eq!([made.next().await, made.next().await, made.next().await], [Some(Ok(0)), Some(Ok(1)), None]);
}

#[tokio::test]
async fn ten_thousand_streams_at_once_deliver_everything_in_order() {
    let (_, server, depot) = depot();
    let mut streams = Vec::new();
    for _ in 0..100 {
        let opened = join_all((0..100).map(|_| depot.count(10))).await;
        streams.extend(opened.into_iter().map(Result::unwrap));
    }
    let read = streams.into_iter().map(|stream| stream.try_collect::<Vec<u64>>());
    for numbers in join_all(read).await {
        assert_eq!(numbers.unwrap(), (0..10).collect::<Vec<_>>());
    }
    at_rest(&server).await;
}

/// With a window for all streams that is full, each can still move.
#[tokio::test]
async fn no_stream_waits_for_the_reader_of_another() {
    let (_, server, client) = connect(with(|config| config.streams_window(1000)));
    let depot: DepotClient = client.client();
    let stuck = depot.count(10_000).await.unwrap();
    let (sender, loads) = Streaming::channel(1);
    let held = tokio::spawn(depot.hold(loads));
    let pushed = tokio::spawn(async move { while sender.send(1).await.is_ok() {} });
    assert_eq!(depot.sum(stream::iter(0..500)).await.unwrap(), (0..500).sum::<u64>());
    let read: Vec<u64> = depot.count(500).await.unwrap().try_collect().await.unwrap();
    assert_eq!(read.len(), 500);
    assert_eq!(stuck.count().await, 10_000);
    held.abort();
    pushed.await.unwrap();
    at_rest(&server).await;
    at_rest(&depot.session()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_calls_and_callbacks_side_by_side() {
    let (_, server, depot) = depot();
    let tasks = (0..20).map(|n| {
        let depot = depot.clone();
        tokio::spawn(async move {
            let numbers = depot.count(2000).await.unwrap().map(Result::unwrap);
            assert_eq!(depot.sum(numbers).await.unwrap(), (0..2000).sum::<u64>());
            assert_eq!(depot.round_trip(300).await.unwrap(), (0..300).sum::<u32>());
            let blocks = depot.blocks(10, 10_000 * (n % 8)).await.unwrap().map(Result::unwrap);
            assert_eq!(depot.length(blocks).await.unwrap(), 10 * 10_000 * (n % 8));
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    at_rest(&server).await;
    at_rest(&depot.session()).await;
}

/// Unread streams use up the credit that all streams share. Long items that wait for this credit do not keep a call
/// from its large result.
#[tokio::test(start_paused = true)]
async fn large_results_do_not_wait_for_readers_of_streams() {
    let (house, server, client) =
        connect(with(|config| config.streams_window(100_000).max_assembly(400_000).max_payload(400_000)));
    let depot: DepotClient = client.client();
    let mut unread = Vec::new();
    for (count, size) in [(10, 40_000), (10, 40_000), (10, 40_000), (3, 390_000), (3, 390_000)] {
        unread.push(depot.blocks(count, size).await.unwrap());
        // Until its producer waits.
        settle().await;
    }
    *house.result.lock().unwrap() = Some(vec![1; 300_000].into());
    assert_eq!(depot.swap(Bytes::new()).await.unwrap().len(), 300_000);
    // And all of it can be read.
    let read = join_all(unread.into_iter().map(|stream| stream.try_collect::<Vec<Bytes>>())).await;
    let lengths: Vec<_> =
        read.into_iter().map(|blocks| blocks.unwrap().iter().map(Bytes::len).sum::<usize>()).collect();
    assert_eq!(lengths, [400_000, 400_000, 400_000, 1_170_000, 1_170_000]);
    at_rest(&server).await;
    at_rest(&client).await;
}

/// Producers that had nothing to send when there was room for it, and now all have at once, make no more than there is
/// room for.
#[tokio::test(start_paused = true)]
async fn producers_that_all_wake_at_once_make_no_more_than_has_room() {
    const STREAMS: usize = 100;
    let (_, _, client) = connect(with(|config| config.streams_window(200_000)));
    let depot: DepotClient = client.client();
    let (go, gone) = tokio::sync::watch::channel(false);
    let made = Arc::new(AtomicU64::new(0));
    for _ in 0..STREAMS {
        let (depot, mut gone, made) = (depot.clone(), gone.clone(), made.clone());
        let blocks = stream::once(async move { gone.wait_for(|gone| *gone).await.is_ok() }).flat_map(move |_| {
            let made = made.clone();
            stream::repeat_with(move || {
                made.fetch_add(1, Ordering::SeqCst);
                Bytes::from_static(&[7; 1000])
            })
        });
        tokio::spawn(async move { depot.keep(blocks).await });
    }
    settle().await;
    go.send(true).unwrap();
    settle().await;
    // One of each, and what the window and the queues of all together take; 64 of each were asked for.
    let made = made.load(Ordering::SeqCst);
    assert!((100..1000).contains(&made), "{made} items");
}
