//! Streams as results, as arguments and as both, in services and in callbacks.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use rpc_core::{CallError, Config, Session, Streaming, Stub};

use crate::depot::{Fault, at_rest, connect, depot};

#[tokio::test]
async fn a_result_is_a_stream() {
    let (_, server, depot) = depot();
    let mut numbers = depot.count(1000).await.unwrap();
    assert_eq!(numbers.next().await, Some(Ok(0)));
    let rest: Vec<u64> = numbers.try_collect().await.unwrap();
    assert_eq!(rest, (1..1000).collect::<Vec<_>>());
    at_rest(&server).await;
    at_rest(&Stub::session(&depot)).await;
}

#[tokio::test]
async fn arguments_are_streams() {
    let (_, server, depot) = depot();
    assert_eq!(depot.sum(stream::iter(0..10_000)).await.unwrap(), (0..10_000).sum::<u64>());
    // Any stream will do, or a `Streaming`.
    assert_eq!(depot.sum(Streaming::new(stream::iter([1, 2]))).await.unwrap(), 3);
    let (sender, loads) = Streaming::channel(1);
    let (sum, ()) = tokio::join!(depot.sum(loads), async {
        for n in [4, 5, 6] {
            sender.send(n).await.unwrap();
        }
        sender.finish().await.unwrap();
    });
    assert_eq!(sum.unwrap(), 15);
    let spoiled = Streaming::from_results(stream::iter([Ok(1), Err(Fault::Spoiled(3))]));
    assert_eq!(depot.sum_checked(spoiled).await, Err(CallError::Fault(Fault::Spoiled(3))));
    at_rest(&server).await;
}

#[tokio::test]
async fn a_stream_goes_in_and_one_comes_out() {
    let (_, _, depot) = depot();
    let words = ["a", "stream", "of", "words"].map(str::to_owned);
    let echoed = depot.echo(stream::iter(words.clone())).await.unwrap();
    assert_eq!(echoed.try_collect::<Vec<_>>().await.unwrap(), words);
}

#[tokio::test]
async fn one_call_has_several() {
    let (_, _, depot) = depot();
    let pairs = depot.zip(stream::iter(0..100), 2, stream::iter(0..100)).await.unwrap();
    let pairs: Vec<_> = pairs.try_collect().await.unwrap();
    assert_eq!(pairs, (0..100).map(|n| (n, 2 * n)).collect::<Vec<_>>());
}

#[tokio::test]
async fn callbacks_have_streams_too() {
    let (_, server, depot) = depot();
    assert_eq!(depot.round_trip(1000).await.unwrap(), (0..1000).sum::<u32>());
    at_rest(&server).await;
}

#[tokio::test]
async fn a_stream_stands_inside_a_result() {
    let (_, _, depot) = depot();
    assert_eq!(depot.checked(0).await.unwrap_err(), CallError::Fault(Fault::Spoiled(0)));
    let items: Vec<_> = depot.checked(3).await.unwrap().collect().await;
    assert_eq!(items, [Ok(0), Ok(1), Ok(2), Err(CallError::Fault(Fault::Spoiled(3)))]);
    assert_eq!(depot.told(0).await.unwrap_err().code(), rpc_core::Code::NotFound);
}

/// Items longer than a chunk go in chunks; bytes arrive as they were.
#[tokio::test]
async fn items_of_any_length() {
    for size in [0, 1, 100, 65_530, 65_536, 70_000, 1 << 20] {
        let (_, server, depot) = depot();
        let blocks: Vec<Bytes> = depot.blocks(5, size).await.unwrap().try_collect().await.unwrap();
        assert_eq!(blocks.len(), 5);
        assert!((b'a'..).zip(&blocks).all(|(byte, block)| *block == vec![byte; size]), "{size}");
        assert_eq!(depot.length(stream::iter(blocks)).await.unwrap(), 5 * size);
        at_rest(&server).await;
    }
}

/// The owner of some bytes does something when the bytes are dropped, which must not happen under the session's lock.
#[tokio::test]
async fn bytes_may_have_an_owner_who_asks_the_session() {
    struct Owner(Vec<u8>, Session);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            self.1.stats();
        }
    }
    for size in [10_000, 100_000] {
        let (house, server, depot) = depot();
        let session = Stub::session(&depot);
        let owned = move |session: &Session| Bytes::from_owner(Owner(vec![1; size], session.clone()));
        // As items, to the end and given up; as an argument and a result.
        let (mine, theirs) = (session.clone(), server.clone());
        assert_eq!(depot.length(stream::iter(0..5).map(move |_| owned(&mine))).await.unwrap(), 5 * size);
        let mine = session.clone();
        let endless = stream::repeat_with(move || owned(&mine));
        tokio::select! {
            _ = depot.keep(endless) => panic!("it never answers"),
            () = house.kept.notified() => {}
        }
        *house.result.lock().unwrap() = Some(owned(&theirs));
        assert_eq!(depot.swap(owned(&session)).await.unwrap().len(), size);
        {
            let mut call = std::pin::pin!(depot.swap(owned(&session)));
            assert!(futures::poll!(&mut call).is_pending());
        }
        at_rest(&server).await;
        at_rest(&session).await;
        // Under way when the session ends.
        let mine = session.clone();
        let call = tokio::spawn(async move { depot.keep(stream::repeat_with(move || owned(&mine))).await });
        house.kept.notified().await;
        server.close();
        call.await.unwrap().unwrap_err();
    }
}

/// With every bound at its least.
#[tokio::test]
async fn every_bound_at_one() {
    let config = Config::builder()
        .max_streams(2)
        .stream_items(1)
        .stream_window(1)
        .max_stream_window(1)
        .streams_window(1)
        .chunk(256)
        .max_assembly(1)
        .max_payload(4096)
        .max_calls(1)
        .nested_calls(1)
        .outbox_soft(8960)
        .outbox_hard(17920)
        .build()
        .unwrap();
    let (_, server, client) = connect(config);
    let depot = client.client::<crate::depot::DepotClient>();
    assert_eq!(depot.sum(stream::iter(0..500)).await.unwrap(), (0..500).sum::<u64>());
    let blocks: Vec<Bytes> = depot.blocks(20, 1000).await.unwrap().try_collect().await.unwrap();
    assert_eq!(blocks.len(), 20);
    let pairs = depot.zip(stream::iter(0..50), 1, stream::iter(0..50)).await.unwrap();
    assert_eq!(pairs.count().await, 50);
    assert_eq!(depot.round_trip(100).await.unwrap(), 4950);
    at_rest(&server).await;
    at_rest(&client).await;
}
