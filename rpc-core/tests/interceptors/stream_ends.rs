//! What interceptors see of the streams of results: how many items, and how they ended.

use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use rpc_core::{
    Code, Hosting, Session, Status, Streaming, Stub, async_trait,
    intercept::{CallInfo, Direction, Interceptor, Next, Reply, StreamOutcome, StreamSummary},
    session::connect_in_memory,
};
use rpc_testing::until;

#[rpc_core::service]
trait Mint {
    async fn coins(&self, count: u32) -> Streaming<u32>;
    async fn fake(&self) -> Streaming<u32, String>;
    async fn broken(&self) -> Streaming<u32>;
    async fn endless(&self) -> Streaming<u32>;
    async fn long(&self) -> Streaming<Vec<u32>>;
    async fn none(&self) -> Result<Streaming<u32>, String>;
    async fn coin(&self) -> u32;
    async fn melt(&self, coins: Streaming<u32>) -> u32;
}

struct Press;

impl Mint for Press {
    async fn coins(&self, count: u32) -> Streaming<u32> {
        Streaming::new(stream::iter(0..count))
    }

    async fn fake(&self) -> Streaming<u32, String> {
        Streaming::from_results(stream::iter([Ok(1), Err("lead".to_owned())]))
    }

    async fn broken(&self) -> Streaming<u32> {
        Streaming::new(stream::iter(0..3).map(|n| if n < 2 { n } else { panic!("as the test wants") }))
    }

    async fn endless(&self) -> Streaming<u32> {
        Streaming::new(stream::iter([1]).chain(stream::pending()))
    }

    async fn long(&self) -> Streaming<Vec<u32>> {
        Streaming::new(stream::iter([vec![7; 100_000], vec![7]]))
    }

    async fn none(&self) -> Result<Streaming<u32>, String> {
        Err("empty".to_owned())
    }

    async fn coin(&self) -> u32 {
        1
    }

    async fn melt(&self, coins: Streaming<u32>) -> u32 {
        u32::try_from(coins.count().await).unwrap()
    }
}

type Seen = Arc<Mutex<Vec<(Direction, bool, StreamSummary)>>>;

/// Keeps the summaries of the streams, with the direction of the call and which of two interceptors it was.
struct Watch(Seen, bool);

#[async_trait]
impl Interceptor for Watch {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let mut reply = next.run(call).await?;
        let is_stream = !matches!(call.method().name(), "coin" | "melt" | "none");
        assert_eq!(reply.has_stream(), is_stream, "{call:?}");
        let (seen, direction, outer) = (self.0.clone(), call.direction(), self.1);
        reply.on_stream_end(move |end| seen.lock().unwrap().push((direction, outer, end.clone())));
        Ok(reply)
    }
}

fn begin() -> (Session, MintClient, Seen) {
    let seen = Seen::default();
    let hosting = |hosting: rpc_core::HostingBuilder| {
        hosting.interceptor(Watch(seen.clone(), true)).interceptor(Watch(seen.clone(), false)).build().unwrap()
    };
    let (server, client) =
        connect_in_memory(&hosting(Hosting::builder().service(Press.serve())), &hosting(Hosting::builder()));
    (server, client.client(), seen)
}

/// The summary at the caller, and the summary at the callee. Both interceptors of an end see the same.
async fn ends(seen: &Seen) -> (StreamSummary, StreamSummary) {
    until("both ends have seen the end", || seen.lock().unwrap().len() == 4).await;
    let mut all = std::mem::take(&mut *seen.lock().unwrap());
    all.sort_by_key(|(direction, outer, _)| (*direction, *outer));
    let [made, made_outer, served, served_outer] = all.try_into().unwrap();
    assert_eq!((&made.2, &served.2), (&made_outer.2, &served_outer.2));
    assert!(made.0 == Direction::Outgoing && served.0 == Direction::Incoming);
    (made.2, served.2)
}

async fn read<T, E>(mut stream: Streaming<T, E>) {
    while stream.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_finished() {
    let (_server, mint, seen) = begin();
    for count in [0, 3, 1000] {
        read(mint.coins(count).await.unwrap()).await;
        let (made, served) = ends(&seen).await;
        assert_eq!((made.items, &made.outcome), (count.into(), &StreamOutcome::Finished));
        assert_eq!(made, served);
    }
    read(mint.long().await.unwrap()).await;
    let (made, served) = ends(&seen).await;
    assert!(made == served && made.items == 2 && made.bytes > 100_000, "{made:?} {served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails() {
    let (_server, mint, seen) = begin();
    read(mint.fake().await.unwrap()).await;
    let (made, served) = ends(&seen).await;
    assert_eq!((made.items, &made.outcome), (1, &StreamOutcome::Fault));
    assert_eq!(made, served);

    read(mint.broken().await.unwrap()).await;
    let (made, served) = ends(&seen).await;
    for end in [made, served] {
        let StreamOutcome::Failed(status) = end.outcome else { panic!("{:?}", end.outcome) };
        assert_eq!((end.items, status.code()), (2, Code::Internal));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_reader_drops() {
    let (_server, mint, seen) = begin();
    let mut coins = mint.endless().await.unwrap();
    assert!(seen.lock().unwrap().is_empty(), "the reply has come, and the stream goes on");
    assert_eq!(coins.next().await, Some(Ok(1)));
    drop(coins);
    let (made, served) = ends(&seen).await;
    assert_eq!((made.items, &made.outcome), (1, &StreamOutcome::Stopped));
    assert_eq!((served.items, &served.outcome), (1, &StreamOutcome::Stopped));

    // The stream is never taken out of its reply.
    drop(mint.endless().await.unwrap());
    let (made, _) = ends(&seen).await;
    assert_eq!((made.items, made.outcome), (0, StreamOutcome::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_end_of_the_session_cuts_off() {
    let (server, mint, seen) = begin();
    let mut coins = mint.endless().await.unwrap();
    assert_eq!(coins.next().await, Some(Ok(1)));
    drop(server.close());
    assert!(coins.next().await.unwrap().is_err());
    drop(coins);
    let (made, served) = ends(&seen).await;
    for end in [made, served] {
        let StreamOutcome::Failed(status) = end.outcome else { panic!("{:?}", end.outcome) };
        assert_eq!((end.items, status.code()), (1, Code::Unavailable));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_a_stream_reports_nothing() {
    let (_server, mint, seen) = begin();
    assert_eq!(mint.coin().await, Ok(1));
    assert_eq!(mint.melt(stream::iter(0..7)).await, Ok(7));
    assert!(mint.none().await.is_err());
    mint.session().close().await;
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_report_that_panics_harms_neither_the_stream_nor_the_other_reports() {
    struct Bad;
    #[async_trait]
    impl Interceptor for Bad {
        async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
            let mut reply = next.run(call).await?;
            reply.on_stream_end(|_| panic!("as the test wants"));
            Ok(reply)
        }
    }
    let seen = Seen::default();
    let server = Hosting::builder().service(Press.serve()).interceptor(Watch(seen.clone(), true)).interceptor(Bad);
    let (_server, client) = connect_in_memory(&server.build().unwrap(), &Hosting::default());
    let mint: MintClient = client.client();
    read(mint.coins(3).await.unwrap()).await;
    until("the other report has run", || seen.lock().unwrap().len() == 1).await;
    assert_eq!(mint.coin().await, Ok(1));
}
