//! Methods that may not come first, and methods that come last.

use std::cell::Cell;

use rpc_core::{CloseCode, Code, ConnectionError, Context, Execution, Peer, Status};

use crate::pairs::{at_rest, host, open, settle};

#[rpc_core::service]
trait Account {
    async fn log_in(&self, right: bool) -> Result<(), String>;
    #[rpc(initiating = false)]
    async fn balance(&self) -> u32;
    #[rpc(initiating = false, oneway)]
    async fn touch(&self);
    #[rpc(initiating = false, terminating)]
    async fn log_out(&self, sure: bool) -> Result<Vec<u8>, String>;
}

thread_local! {
    static TOUCHED: Cell<u32> = const { Cell::new(0) };
}

struct Bank;

impl Account for Bank {
    async fn log_in(&self, right: bool) -> Result<(), String> {
        if right { Ok(()) } else { Err("wrong".to_owned()) }
    }

    async fn balance(&self) -> u32 {
        tokio::task::yield_now().await;
        100
    }

    async fn touch(&self) {
        TOUCHED.with(|touched| touched.set(touched.get() + 1));
    }

    async fn log_out(&self, sure: bool) -> Result<Vec<u8>, String> {
        if sure { Ok(vec![7; 300_000]) } else { Err("stay".to_owned()) }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_come_first_is_refused_until_something_has_succeeded() {
    let ends = open(&host(Bank.serve()), &host_nothing());
    let account: AccountClient = ends.client.client();
    let status = account.balance().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::FailedPrecondition, Execution::NotExecuted));
    assert!(status.message().contains("Account.balance"), "{status}");
    assert!(status.message().contains("Account.log_in"), "it says what must come first: {status}");
    account.log_in(false).await.unwrap_err();
    assert_eq!(account.balance().await.unwrap_err().code(), Code::FailedPrecondition, "a fault is no success");
    account.log_in(true).await.unwrap();
    assert_eq!(account.balance().await, Ok(100));
    at_rest(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn each_session_begins_for_itself() {
    let server = host(Bank.serve());
    let [one, two] = [open(&server, &host_nothing()), open(&server, &host_nothing())];
    one.client.client::<AccountClient>().log_in(true).await.unwrap();
    let status = two.client.client::<AccountClient>().balance().await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test(start_paused = true)]
async fn one_way_calls_before_the_first_are_dropped_and_their_permits_return() {
    let ends = open(&host(Bank.serve()), &host_nothing());
    let account: AccountClient = ends.client.client();
    for _ in 0..3000 {
        account.touch().await.unwrap();
    }
    at_rest(&ends).await;
    assert_eq!(TOUCHED.get(), 0);
    account.log_in(true).await.unwrap();
    account.touch().await.unwrap();
    at_rest(&ends).await;
    assert_eq!(TOUCHED.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_call_is_answered_in_full_and_ends_the_session() {
    let ends = open(&host(Bank.serve()), &host_nothing());
    let account: AccountClient = ends.client.client();
    account.log_in(true).await.unwrap();
    account.log_out(false).await.unwrap_err();
    assert_eq!(account.balance().await, Ok(100), "a fault ends nothing");
    assert_eq!(account.log_out(true).await.unwrap().len(), 300_000);
    assert_eq!(ends.server.closed().await, ConnectionError::ClosedLocally);
    let reason = ends.client.closed().await;
    assert!(matches!(reason, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }), "{reason:?}");
    assert_eq!(account.balance().await.unwrap_err().code(), Code::Unavailable);
}

/// Under `Single`, a call that waits for its turn behind the first one is judged when the turn comes.
#[tokio::test(start_paused = true)]
async fn calls_that_queue_behind_the_first_find_it_done() {
    struct SlowBank;
    impl Account for SlowBank {
        async fn log_in(&self, _: bool) -> Result<(), String> {
            // Until the second call waits as well.
            settle().await;
            Ok(())
        }
        async fn balance(&self) -> u32 {
            1
        }
        async fn touch(&self) {}
        async fn log_out(&self, _: bool) -> Result<Vec<u8>, String> {
            Ok(Vec::new())
        }
    }
    let ends = open(&host(SlowBank.serve().concurrency(rpc_core::Concurrency::Single)), &host_nothing());
    let account: AccountClient = ends.client.client();
    ends.client.established().await.unwrap();
    let (first, second) = tokio::join!(account.log_in(true), account.balance());
    first.unwrap();
    assert_eq!(second, Ok(1));
}

/// A callback contract has gates too.
#[tokio::test(start_paused = true)]
async fn a_client_may_end_the_session_by_a_callback() {
    #[rpc_core::callback]
    trait Watch {
        #[rpc(terminating)]
        async fn enough(&self) -> u32;
    }
    #[rpc_core::service(callback = Watch)]
    trait Show {
        async fn play(&self, cx: &Context<WatchClient>) -> Result<u32, Status>;
    }
    struct Stage;
    impl Show for Stage {
        async fn play(&self, cx: &Context<WatchClient>) -> Result<u32, Status> {
            cx.peer().enough().await
        }
    }
    struct Viewer;
    impl Watch for Viewer {
        async fn enough(&self) -> u32 {
            3
        }
    }
    let ends = open(&host(Stage.serve()), &host(Viewer.serve()));
    let status = ends.client.client::<ShowClient>().play().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown));
    assert_eq!(ends.client.closed().await, ConnectionError::ClosedLocally);
    let _: Peer = ends.client.peer();
}

fn host_nothing() -> rpc_core::Hosting {
    rpc_core::Hosting::default()
}
