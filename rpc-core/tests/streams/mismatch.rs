//! More or fewer streams than the method takes: the two ends have different versions of a contract.

use futures::stream;
use rpc_core::{Code, Execution, Hosting, Session, Status, Streaming, session};
use rpc_testing::Limit;

use crate::depot::at_rest;

/// The version of the server.
mod hosted {
    use rpc_core::Streaming;

    #[rpc_core::service]
    pub(super) trait Mill {
        async fn one(&self, first: Streaming<u32>) -> u32;
        async fn two(&self, first: Streaming<u32>, second: Streaming<u32>) -> u32;
        async fn default(&self, #[rpc(default)] first: Streaming<u32>) -> u32;
        async fn value(&self) -> u32;
        async fn flour(&self) -> Streaming<u32>;
    }
}

/// The version of the client.
mod called {
    use rpc_core::Streaming;

    #[rpc_core::service]
    pub(super) trait Mill {
        async fn one(&self, first: Streaming<u32>, second: Streaming<u32>) -> u32;
        async fn two(&self, first: Streaming<u32>) -> u32;
        async fn default(&self) -> u32;
        async fn value(&self) -> Streaming<u32>;
        async fn flour(&self);
    }
}

/// Another one, with values in the places of the streams.
mod valued {
    #[rpc_core::service]
    pub(super) trait Mill {
        async fn one(&self, first: Option<u32>) -> u32;
    }
}

struct Stones {
    _limit: Limit,
}

async fn sum(mut numbers: Streaming<u32>) -> u32 {
    let mut sum = 0;
    while let Some(Ok(number)) = numbers.next().await {
        sum += number;
    }
    sum
}

impl hosted::Mill for Stones {
    async fn one(&self, first: Streaming<u32>) -> u32 {
        sum(first).await
    }

    async fn two(&self, first: Streaming<u32>, second: Streaming<u32>) -> u32 {
        sum(first).await + sum(second).await
    }

    async fn default(&self, first: Streaming<u32>) -> u32 {
        sum(first).await
    }

    async fn value(&self) -> u32 {
        7
    }

    async fn flour(&self) -> Streaming<u32> {
        Streaming::new(stream::iter(0..))
    }
}

fn connect() -> (Session, Session) {
    use hosted::Mill;

    let server = Hosting::builder().service(Stones { _limit: Limit::begin() }.serve()).build().unwrap();
    session::connect_in_memory(&server, &Hosting::default())
}

fn refused(status: &Status) -> (Code, Execution) {
    (status.code(), status.execution())
}

#[tokio::test]
async fn streams_that_a_method_does_not_take_are_stopped() {
    let (server, client) = connect();
    let mill: called::MillClient = client.client();
    // The second stream never ends by itself.
    assert_eq!(mill.one(stream::iter([1, 2]), stream::iter(0..)).await, Ok(3));
    at_rest(&server).await;
    at_rest(&client).await;
}

#[tokio::test]
async fn a_call_without_a_stream_that_its_method_takes_is_refused() {
    let (server, client) = connect();
    let mill: called::MillClient = client.client();
    let missing = mill.two(stream::iter(0..)).await.unwrap_err();
    assert_eq!(refused(&missing), (Code::InvalidArgument, Execution::NotExecuted), "{missing}");
    let valued: valued::MillClient = client.client();
    for (value, why) in [(None, "none came"), (Some(5), "does not fit its type")] {
        let status = valued.one(value).await.unwrap_err();
        assert_eq!(refused(&status), (Code::InvalidArgument, Execution::NotExecuted));
        assert!(status.message().contains(why), "{status}");
    }
    assert_eq!(mill.default().await, Ok(0), "an empty stream");
    at_rest(&server).await;
    at_rest(&client).await;
}

#[tokio::test]
async fn a_result_with_another_number_of_streams_fails_its_call_or_is_stopped() {
    let (server, client) = connect();
    let mill: called::MillClient = client.client();
    let status = mill.value().await.unwrap_err();
    assert_eq!(refused(&status), (Code::Internal, Execution::Unknown), "{status}");
    assert_eq!(mill.flour().await, Ok(()));
    at_rest(&server).await;
    at_rest(&client).await;
}
