//! How long a call with streams may stand still, in virtual time.

use std::time::Duration;

use futures::{StreamExt, stream, stream::BoxStream};
use rpc_core::{
    CallOptions, Code, Config, Hosting, Status, Streaming,
    session::{connect_in_memory, connect_in_memory_with},
};
use rpc_testing::pass;

#[rpc_core::service]
trait Scanner {
    async fn usual(&self, pages: Streaming<u64>) -> u64;
    #[rpc(idle_timeout = "30s")]
    async fn hasty(&self, pages: Streaming<u64>) -> u64;
    #[rpc(idle_timeout = "30s", timeout = "100s")]
    async fn bounded(&self, pages: Streaming<u64>) -> u64;
    #[rpc(timeout = "100s")]
    async fn timed(&self, pages: Streaming<u64>) -> u64;
    async fn plain(&self);
}

struct Glass;

async fn count(pages: Streaming<u64>) -> u64 {
    pages.filter(|page| std::future::ready(page.is_ok())).count().await as u64
}

impl Scanner for Glass {
    async fn usual(&self, pages: Streaming<u64>) -> u64 {
        count(pages).await
    }

    async fn hasty(&self, pages: Streaming<u64>) -> u64 {
        count(pages).await
    }

    async fn bounded(&self, pages: Streaming<u64>) -> u64 {
        count(pages).await
    }

    async fn timed(&self, pages: Streaming<u64>) -> u64 {
        count(pages).await
    }

    async fn plain(&self) {
        std::future::pending::<()>().await;
    }
}

fn scanner() -> ScannerClient {
    let hosting = Hosting::builder().service(Glass.serve()).build().unwrap();
    connect_in_memory(&hosting, &Hosting::default()).1.client()
}

/// `count` pages, each after this many seconds.
fn pages(count: u64, seconds: u64) -> BoxStream<'static, u64> {
    let page = move |page| async move {
        pass(Duration::from_secs(seconds)).await;
        page
    };
    stream::iter(0..count).then(page).boxed()
}

fn idle(seconds: u64) -> CallOptions {
    CallOptions::new().idle_timeout(Duration::from_secs(seconds))
}

/// The message of a call that took too long.
fn late<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    status.message().to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_method_says_how_long_a_pause_may_be() {
    let scanner = scanner();
    assert_eq!(scanner.hasty(pages(20, 20)).await, Ok(20));
    let message = late(scanner.hasty(pages(2, 40)).await);
    assert!(message.contains("Scanner.hasty: for 30s no item was produced"), "{message}");
    assert!(message.ends_with("(idle_timeout of the method)"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn the_caller_says_it_before_the_method_and_the_configuration() {
    let scanner = scanner();
    assert_eq!(scanner.with(idle(300)).hasty(pages(3, 200)).await, Ok(3));
    assert_eq!(scanner.with(idle(300)).usual(pages(3, 200)).await, Ok(3));
    for result in [scanner.with(idle(5)).hasty(pages(2, 10)).await, scanner.with(idle(5)).usual(pages(2, 10)).await] {
        let message = late(result);
        assert!(message.contains("for 5s") && message.ends_with("(CallOptions::idle_timeout)"), "{message}");
    }
    // A later option replaces the idle timeout alone.
    let patient = scanner.with(idle(5)).with(CallOptions::new().metadata("page", "A4")).with(idle(300));
    assert_eq!(patient.usual(pages(2, 200)).await, Ok(2));
    let endless = CallOptions::new().idle_timeout(Duration::MAX);
    assert_eq!(scanner.with(endless).hasty(pages(2, 100_000)).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_bounds_the_whole_call_beside_it() {
    let scanner = scanner();
    assert!(late(scanner.bounded(pages(2, 40)).await).contains("for 30s"));
    let message = late(scanner.bounded(pages(20, 10)).await);
    assert!(message.contains("within 100s (timeout of the method)"), "{message}");
    // The caller replaces either of both, and leaves the other as it is.
    let longer = CallOptions::new().timeout(Duration::from_secs(1000));
    assert_eq!(scanner.with(longer.clone()).bounded(pages(20, 10)).await, Ok(20));
    assert!(late(scanner.with(longer).bounded(pages(2, 40)).await).contains("for 30s"));
    assert_eq!(scanner.with(idle(50)).bounded(pages(2, 40)).await, Ok(2));
    // A timeout alone says nothing of pauses, as long as no idle timeout does.
    assert_eq!(scanner.timed(pages(1, 90)).await, Ok(1));
    assert!(late(scanner.with(idle(50)).timed(pages(1, 90)).await).contains("for 50s"));
}

#[tokio::test(start_paused = true)]
async fn the_message_of_the_configuration_names_both_options() {
    let hosting = Hosting::builder().service(Glass.serve()).build().unwrap();
    let config = Config::builder().call_timeout(Duration::from_secs(7)).build().unwrap();
    let scanner: ScannerClient = connect_in_memory_with(&hosting, &Hosting::default(), &config).1.client();
    let message = late(scanner.usual(pages(1, 8)).await);
    assert!(message.contains("for 7s") && message.contains("Config::call_timeout"), "{message}");
    assert!(message.contains("takes an `idle_timeout`, of its method or of CallOptions"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_streams_keeps_its_timeout() {
    let message = late(scanner().with(idle(300)).plain().await);
    assert!(message.contains("within 60s (Config::call_timeout)"), "{message}");
}
