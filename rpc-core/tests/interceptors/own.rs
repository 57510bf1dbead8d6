//! Interceptors that a user writes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::stream;
use rpc_core::{
    CallOptions, Code, Execution, Principal, Session, SessionHooks, Status, async_trait,
    intercept::{CallInfo, Direction, Interceptor, Next, Reply},
};
use tokio::time::timeout;

use crate::town::{Ends, open};

/// Lets in the callers that have the right name.
struct Guard {
    direction: Direction,
    method: &'static str,
    name: &'static str,
}

#[async_trait]
impl Interceptor for Guard {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let guarded = call.direction() == self.direction && call.method().name() == self.method;
        if guarded && call.principal().is_none_or(|principal| principal.name() != self.name) {
            return Err(Status::permission_denied(format!("{} is for {}", call.method(), self.name)));
        }
        next.run(call).await
    }
}

/// Says who is there.
struct Named(&'static str);

#[async_trait]
impl SessionHooks for Named {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        session.set_principal(Principal::new(self.0));
        Ok(())
    }
}

/// Adds metadata to all that goes out.
struct Tenant(&'static str);

#[async_trait]
impl Interceptor for Tenant {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        if call.direction() == Direction::Outgoing {
            call.set_metadata("tenant", self.0);
        }
        next.run(call).await
    }
}

/// Counts calls by direction, method and how they end, including calls that are given up.
#[derive(Clone, Default)]
struct Meter(Arc<Mutex<BTreeMap<String, u32>>>);

impl Meter {
    fn count(&self, call: &CallInfo, outcome: &str) {
        let direction = if call.direction() == Direction::Incoming { "in" } else { "out" };
        *self.0.lock().unwrap().entry(format!("{direction} {} {outcome}", call.method())).or_default() += 1;
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(what, count)| format!("{what} {count}")).collect()
    }
}

#[async_trait]
impl Interceptor for Meter {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        self.count(call, "begun");
        let result = next.run(call).await;
        match &result {
            Ok(reply) if reply.is_fault() => self.count(call, "FAULT"),
            Ok(_) => self.count(call, "OK"),
            Err(status) => self.count(call, status.code().name()),
        }
        result
    }
}

/// Makes calls again that did not run.
struct Retry(u32);

#[async_trait]
impl Interceptor for Retry {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let mut result = next.run(call).await;
        if call.direction() == Direction::Incoming {
            return result;
        }
        for _ in 0..self.0 {
            match &result {
                Err(status) if status.is_retryable() && status.execution() == Execution::NotExecuted => {
                    result = next.run(call).await;
                }
                _ => break,
            }
        }
        result
    }
}

/// Refuses the first calls, as a limit would.
struct Busy(AtomicU32);

#[async_trait]
impl Interceptor for Busy {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if call.direction() == Direction::Incoming && left.is_ok() {
            return Err(Status::unavailable("busy"));
        }
        next.run(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_refused_by_principal_at_the_server() {
    let guard = || Guard { direction: Direction::Incoming, method: "visit", name: "root" };
    for (name, lets_in) in [("root", true), ("ann", false)] {
        let ends = open(|server| server.interceptor(guard()).hooks(Named(name)), |client| client);
        let outcome = ends.town.visit().await;
        assert_eq!(outcome.is_ok(), lets_in);
        if let Err(status) = outcome {
            assert_eq!((status.code(), status.execution()), (Code::PermissionDenied, Execution::NotExecuted));
            assert!(status.message().contains("Town.visit is for root"), "{status}");
        }
        assert_eq!(ends.town.hears("x").await, Ok(None), "other methods are for all");
        assert_eq!(ends.hall.visits.load(Ordering::SeqCst), u32::from(lets_in));
        ends.at_rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn and_in_every_other_place() {
    let guard = |direction, method| Guard { direction, method, name: "root" };
    let places: [(&str, Ends); 3] = [
        ("the client's own calls", open(|s| s, |c| c.interceptor(guard(Direction::Outgoing, "passes_on")))),
        ("callbacks at the client", open(|s| s, |c| c.interceptor(guard(Direction::Incoming, "told")))),
        ("callbacks at the server", open(|s| s.interceptor(guard(Direction::Outgoing, "told")), |c| c)),
    ];
    for (place, ends) in places {
        let status = ends.town.passes_on("x").await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{place}");
        ends.at_rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_are_added_at_both_ends() {
    let ends = open(|server| server.interceptor(Tenant("hall")), |client| client.interceptor(Tenant("smith")));
    assert_eq!(ends.town.hears("tenant").await.unwrap().as_deref(), Some("smith"));
    assert_eq!(ends.town.passes_on("tenant").await.unwrap().as_deref(), Some("hall"));
    // What the caller says is replaced, not doubled.
    let by_hand = ends.town.with(CallOptions::new().metadata("tenant", "eve"));
    assert_eq!(by_hand.hears("tenant").await.unwrap().as_deref(), Some("smith"));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_adds_its_own_handler_sees() {
    struct Stamp;
    #[async_trait]
    impl Interceptor for Stamp {
        async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
            call.set_metadata("stamp", "seen");
            call.remove_metadata("secret");
            next.run(call).await
        }
    }
    let ends = open(|server| server.interceptor(Stamp), |client| client);
    let town = ends.town.with(CallOptions::new().metadata("secret", "x"));
    assert_eq!(town.hears("stamp").await.unwrap().as_deref(), Some("seen"));
    assert_eq!(town.hears("secret").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_measured_at_both_ends() {
    let (at_server, at_client) = (Meter::default(), Meter::default());
    let ends = open(|s| s.interceptor(at_server.clone()), |c| c.interceptor(at_client.clone()));
    ends.town.passes_on("x").await.unwrap();
    ends.town.fails().await.unwrap_err();
    ends.town.note().await.unwrap();
    let hasty = ends.town.with(CallOptions::new().timeout(Duration::from_secs(1)));
    assert_eq!(hasty.wait().await.unwrap_err().code(), Code::DeadlineExceeded);
    ends.at_rest().await;
    let expected = [
        "in Citizen.told OK 1",
        "in Citizen.told begun 1",
        "out Town.fails FAULT 1",
        "out Town.fails begun 1",
        "out Town.note OK 1",
        "out Town.note begun 1",
        "out Town.passes_on OK 1",
        "out Town.passes_on begun 1",
        "out Town.wait DEADLINE_EXCEEDED 1",
        "out Town.wait begun 1",
    ];
    assert_eq!(at_client.read(), expected);
    let server = at_server.read();
    let seen = |what: &str| server.iter().any(|line| line == what);
    assert!(seen("out Citizen.told OK 1"), "{server:?}");
    assert!(seen("in Town.fails FAULT 1") && seen("in Town.note OK 1") && seen("in Town.wait begun 1"), "{server:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_did_not_run_are_made_again() {
    let ends = open(|s| s.interceptor(Busy(AtomicU32::new(2))), |c| c.interceptor(Retry(3)));
    assert_eq!(ends.town.visit().await, Ok(1), "it ran once");
    ends.at_rest().await;
    let ends = open(|s| s.interceptor(Busy(AtomicU32::new(9))), |c| c.interceptor(Retry(3)));
    let status = ends.town.visit().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "busy"));
    assert_eq!(ends.hall.visits.load(Ordering::SeqCst), 0);
    ends.at_rest().await;
}

/// Streams can be sent once. An interceptor that makes the call again nevertheless gets the first outcome again.
#[tokio::test(start_paused = true)]
async fn a_call_whose_streams_have_gone_is_not_made_again() {
    struct Again(Arc<Mutex<Vec<bool>>>);
    #[async_trait]
    impl Interceptor for Again {
        async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
            let note = |call: &CallInfo| self.0.lock().unwrap().push(call.is_repeatable());
            note(call);
            let first = next.run(call).await;
            note(call);
            if first.is_ok() { first } else { next.run(call).await }
        }
    }
    let seen = Arc::<Mutex<Vec<bool>>>::default();
    let ends = open(|s| s.interceptor(Busy(AtomicU32::new(1))), |c| c.interceptor(Again(Arc::clone(&seen))));
    let status = ends.town.parade(stream::iter(0..3)).await.unwrap_err();
    assert_eq!((status.code(), status.message(), status.is_retryable()), (Code::Unavailable, "busy", true));
    assert_eq!(*seen.lock().unwrap(), [true, false]);
    assert_eq!(ends.town.parade(stream::iter(0..3)).await, Ok(3), "with a new stream");
    assert_eq!(ends.town.visit().await, Ok(1));
    assert_eq!(seen.lock().unwrap()[4..], [true, true], "a call without streams");
    ends.at_rest().await;
}

#[tokio::test(start_paused = true)]
async fn callbacks_are_made_again_as_well() {
    let ends = open(|s| s.interceptor(Retry(3)), |c| c.interceptor(Busy(AtomicU32::new(2))));
    assert_eq!(ends.town.passes_on("x").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn the_first_one_is_the_outermost() {
    struct Layer(&'static str, Arc<Mutex<Vec<String>>>);
    #[async_trait]
    impl Interceptor for Layer {
        async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
            self.1.lock().unwrap().push(format!("{} in", self.0));
            let result = next.run(call).await;
            self.1.lock().unwrap().push(format!("{} out", self.0));
            result
        }
    }
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let layer = |name| Layer(name, Arc::clone(&seen));
    let ends = open(
        |s| s.interceptor(layer("server 1")).interceptor(layer("server 2")),
        |c| c.interceptor(layer("client 1")).interceptor(layer("client 2")),
    );
    ends.town.visit().await.unwrap();
    let expected = ["client 1 in", "client 2 in", "server 1 in", "server 2 in"].map(str::to_owned).into_iter();
    let back = ["server 2 out", "server 1 out", "client 2 out", "client 1 out"].map(str::to_owned);
    assert_eq!(*seen.lock().unwrap(), expected.chain(back).collect::<Vec<_>>());
}

/// Dropping the rest cancels the call, at either end.
#[tokio::test(start_paused = true)]
async fn a_timeout_around_the_rest_cancels_the_call() {
    struct Impatient;
    #[async_trait]
    impl Interceptor for Impatient {
        async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
            let rest = timeout(Duration::from_secs(1), next.run(call)).await;
            rest.unwrap_or_else(|_| Err(Status::deadline_exceeded("no patience")))
        }
    }
    for ends in [open(|s| s.interceptor(Impatient), |c| c), open(|s| s, |c| c.interceptor(Impatient))] {
        let status = ends.town.wait().await.unwrap_err();
        assert_eq!((status.message(), status.execution()), ("no patience", Execution::Unknown));
        ends.at_rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_an_error_and_no_panic() {
    /// Serves a call twice.
    struct Twice;
    #[async_trait]
    impl Interceptor for Twice {
        async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
            next.run(call).await?;
            next.run(call).await
        }
    }
    /// Gives every call the reply of the one before, which may be of another kind.
    #[derive(Clone, Default)]
    struct Swap(Arc<Mutex<Option<Reply>>>);
    #[async_trait]
    impl Interceptor for Swap {
        async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
            let reply = next.run(call).await?;
            Ok(self.0.lock().unwrap().replace(reply).unwrap_or_else(|| panic!("as asked")))
        }
    }
    let ends = open(|s| s.interceptor(Twice), |c| c);
    let status = ends.town.visit().await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(ends.hall.visits.load(Ordering::SeqCst), 1);
    ends.at_rest().await;

    let swap = Swap::default();
    let ends = open(|s| s.interceptor(swap.clone()), |c| c.interceptor(swap.clone()));
    assert_eq!(ends.town.visit().await.unwrap_err().code(), Code::Internal, "the panic");
    assert_eq!(ends.town.visit().await.unwrap_err().code(), Code::Internal, "another's reply");
}
