//! Whether a call has run, as its caller learns it after interceptors have handled the call.

use std::sync::{Arc, Mutex, atomic::Ordering};

use rpc_core::{
    Code, Execution, Status, async_trait,
    intercept::{CallInfo, Direction, Interceptor, Next, Reply},
};

use crate::town::open;

/// Lets the call run, and fails with this.
struct Afterwards(Status);

#[async_trait]
impl Interceptor for Afterwards {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        if call.direction() == Direction::Outgoing {
            return next.run(call).await;
        }
        next.run(call).await?;
        Err(self.0.clone())
    }
}

/// The status of a call that certainly has not run.
async fn not_executed() -> Status {
    let ends = open(|s| s, |c| c);
    ends.client.close();
    let status = ends.town.visit().await.unwrap_err();
    assert_eq!(status.execution(), Execution::NotExecuted);
    status
}

#[tokio::test(start_paused = true)]
async fn a_method_that_has_run_is_never_said_not_to_have() {
    let afterwards = Afterwards(not_executed().await);
    let ends = open(|s| s.interceptor(afterwards), |c| c);
    let status = ends.town.visit().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown));
    assert_eq!(ends.hall.visits.load(Ordering::SeqCst), 1);
    ends.at_rest().await;
}

/// Makes each call again, the second time with more metadata than a call may have.
struct Twice;

#[async_trait]
impl Interceptor for Twice {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let first = next.run(call).await;
        assert_eq!(first.unwrap_err().execution(), Execution::Unknown);
        call.set_metadata("long", "x".repeat(10_000));
        next.run(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn nor_is_one_whose_last_attempt_was_refused() {
    let afterwards = Afterwards(Status::unavailable("after it has run"));
    let ends = open(|s| s.interceptor(afterwards), |c| c.interceptor(Twice));
    let status = ends.town.visit().await.unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::InvalidArgument, Execution::Unknown));
    assert_eq!(ends.hall.visits.load(Ordering::SeqCst), 1);
    ends.at_rest().await;
}

/// Hands out the reply of the call before.
#[derive(Clone, Default)]
struct Late(Arc<Mutex<Option<Reply>>>);

#[async_trait]
impl Interceptor for Late {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let reply = next.run(call).await?;
        let before = self.0.lock().unwrap().replace(reply);
        before.ok_or_else(|| Status::unavailable("the first"))
    }
}

#[tokio::test(start_paused = true)]
async fn the_reply_of_another_call_is_not_taken() {
    let late = Late::default();
    for at_server in [true, false] {
        let late = late.clone();
        let ends = if at_server {
            open(|s| s.interceptor(late.clone()), |c| c)
        } else {
            open(|s| s, |c| c.interceptor(late.clone()))
        };
        ends.town.visit().await.unwrap_err();
        let status = ends.town.visit().await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        late.0.lock().unwrap().take();
        ends.at_rest().await;
    }
}

/// Leaves a mark for those further in, and finds it afterwards.
struct Marks;

#[derive(Clone, Debug, PartialEq)]
struct Mark(u32);

#[async_trait]
impl Interceptor for Marks {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        call.extensions_mut().insert(Mark(7));
        let reply = next.run(call).await;
        assert_eq!(call.extensions().get(), Some(&Mark(7)));
        reply
    }
}

#[tokio::test(start_paused = true)]
async fn extensions_are_there_after_the_call_too() {
    let ends = open(|s| s.interceptor(Marks), |c| c.interceptor(Marks));
    assert_eq!(ends.town.visit().await, Ok(1));
}
