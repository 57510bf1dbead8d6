//! Hooks, and the objects of a session from its beginning to its end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use rpc_core::{
    CloseCode, Code, Config, ConnectionError, ConnectionInfo, Context, Execution, Hosting, Peer, Principal, Session,
    SessionHooks, Stats, Status, TimeLimit, async_trait,
    session::{Handshake, connect, memory},
};
use rpc_testing::{Lines, Wrapped};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use tracing::Level;

use crate::pairs::{at_rest, host, open, open_with, settle, until};

#[rpc_core::callback]
trait Guest {
    async fn name(&self) -> String;
}

#[rpc_core::service(callback = Guest)]
trait Inn {
    async fn sleep(&self) -> Result<String, Status>;
    async fn greet(&self) -> Result<String, Status>;
}

struct Traveller;

impl Guest for Traveller {
    async fn name(&self) -> String {
        "Ada".to_owned()
    }
}

/// An object a session, which keeps the session's handle and the stub of its guest.
struct InnRoom {
    session: Session,
    guest: GuestClient,
    beds: Arc<Semaphore>,
    gone: Arc<AtomicUsize>,
}

impl Drop for InnRoom {
    fn drop(&mut self) {
        self.gone.fetch_add(1, Ordering::SeqCst);
    }
}

impl Inn for InnRoom {
    async fn sleep(&self) -> Result<String, Status> {
        self.beds.acquire().await.unwrap().forget();
        Ok(self.session.id().to_string())
    }

    async fn greet(&self) -> Result<String, Status> {
        Ok(format!("welcome, {}", self.guest.name().await?))
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_a_session_is_made_with_its_session_and_dropped_with_it() {
    let (beds, gone) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
    let service = {
        let (beds, gone) = (beds.clone(), gone.clone());
        Inn::per_session(move |session| InnRoom {
            session: session.clone(),
            guest: session.client(),
            beds: beds.clone(),
            gone: gone.clone(),
        })
    };
    let server = host(service);
    let [one, two] = [open(&server, &host(Traveller.serve())), open(&server, &host(Traveller.serve()))];
    assert_eq!(one.client.client::<InnClient>().greet().await.unwrap(), "welcome, Ada");
    let asleep = tokio::spawn({
        let inn: InnClient = one.client.client();
        async move { inn.sleep().await }
    });
    until("served", || one.server.stats().handlers > 0).await;
    // The link goes in the middle of everything.
    one.client.close();
    one.server.closed().await;
    assert_eq!(asleep.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(gone.load(Ordering::SeqCst), 1, "the object is gone with its session, although it held the session");
    assert_eq!(one.server.stats(), Stats::default());
    assert_eq!(two.client.client::<InnClient>().greet().await.unwrap(), "welcome, Ada", "the other session lives");
    beds.add_permits(1);
    assert_eq!(two.client.client::<InnClient>().sleep().await.unwrap(), two.server.id().to_string());
}

#[tokio::test(start_paused = true)]
async fn a_factory_may_take_its_time_and_refuse() {
    let counted = Arc::new(Semaphore::new(0));
    let of_factory = Arc::clone(&counted);
    let service = Inn::try_per_session(move |session: Session| {
        let counted = Arc::clone(&of_factory);
        async move {
            let _beds = counted.acquire().await.unwrap();
            Result::<InnRoom, _>::Err(Status::resource_exhausted(format!("the inn is full, session {}", session.id())))
        }
    });
    let ends = open(&host(service), &host(Traveller.serve()));
    settle().await;
    assert!(ends.client.established().now_or_never().is_none(), "the factory has not decided");
    counted.add_permits(1);
    match ends.client.established().await {
        Err(ConnectionError::Refused(status)) => {
            assert_eq!(
                (status.code(), status.message()),
                (Code::ResourceExhausted, format!("the inn is full, session {}", ends.server.id()).as_str())
            );
            assert!(status.is_retryable(), "nothing has run");
        }
        other => panic!("{other:?}"),
    }
}

/// Writes down what it sees.
#[derive(Clone, Default)]
struct Diary {
    name: &'static str,
    seen: Arc<Mutex<Vec<String>>>,
    refuse: bool,
    wait: Option<Arc<Notify>>,
    call: bool,
}

impl Diary {
    fn write(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(format!("{} {}", self.name, what.into()));
    }

    fn read(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl SessionHooks for Diary {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        if let Some(wait) = &self.wait {
            wait.notified().await;
        }
        if self.call {
            let status = session.client::<GuestClient>().name().await.unwrap_err();
            self.write(format!("{}", status.code()));
        }
        session.set_principal(Principal::new(self.name));
        if self.refuse {
            return Err(Status::permission_denied("not today"));
        }
        self.write("opened");
        Ok(())
    }

    async fn closed(&self, session: &Session, reason: &ConnectionError) {
        assert_eq!(session.stats(), Stats::default(), "all is over by now");
        self.write(format!("closed: {reason:?}"));
    }
}

fn with_hooks(hooks: impl IntoIterator<Item = Diary>) -> Hosting {
    hooks.into_iter().fold(Hosting::builder(), |builder, hooks| builder.hooks(hooks)).build().unwrap()
}

async fn written(diary: &Diary, lines: usize) -> Vec<String> {
    until("written", || diary.read().len() >= lines).await;
    diary.read()
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_and_back() {
    let outer = Diary { name: "outer", ..Diary::default() };
    let inner = Diary { name: "inner", seen: outer.seen.clone(), ..Diary::default() };
    let ends = open(&with_hooks([outer.clone(), inner]), &Hosting::default());
    ends.client.established().await.unwrap();
    assert_eq!(ends.server.principal().unwrap().name(), "outer", "said once, by the first");
    ends.server.close();
    let seen = written(&outer, 4).await;
    let expected = ["outer opened", "inner opened", "inner closed: ClosedLocally", "outer closed: ClosedLocally"];
    assert_eq!(seen, expected);
}

fn says_not_today(status: &Status) {
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not today"));
    assert_eq!(status.execution(), Execution::NotExecuted);
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_refuse_and_the_client_is_told_why() {
    let outer = Diary { name: "outer", ..Diary::default() };
    let inner = Diary { name: "inner", seen: outer.seen.clone(), refuse: true, ..Diary::default() };
    let ends = open(&with_hooks([outer.clone(), inner]), &Hosting::default());
    match ends.client.established().await {
        Err(ConnectionError::Refused(status)) => says_not_today(&status),
        other => panic!("{other:?}"),
    }
    let seen = written(&outer, 2).await;
    assert_eq!(seen.len(), 2, "the hook that refused has not seen it open: {seen:?}");
    assert!(seen[1].starts_with("outer closed: RefusedPeer"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_may_refuse_its_server_as_well() {
    let diary = Diary { refuse: true, ..Diary::default() };
    let ends = open(&Hosting::default(), &with_hooks([diary]));
    match ends.client.established().await {
        Err(ConnectionError::RefusedPeer(status)) => says_not_today(&status),
        other => panic!("{other:?}"),
    }
    match ends.server.closed().await {
        ConnectionError::ClosedByPeer { reason, .. } => assert_eq!(&*reason, "not today"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_before_the_hooks_have_returned() {
    for at_server in [true, false] {
        let wait = Arc::new(Notify::new());
        let diary = Diary { wait: Some(wait.clone()), ..Diary::default() };
        let slow = Hosting::builder().service(Traveller.serve()).hooks(diary).build().unwrap();
        let plain = host(Traveller.serve());
        let ends = if at_server { open(&slow, &plain) } else { open(&plain, &slow) };
        let slow = if at_server { &ends.client } else { &ends.server };
        let guest: GuestClient = slow.client();
        let call = tokio::spawn(async move { guest.name().await });
        settle().await;
        assert!(!call.is_finished());
        wait.notify_one();
        assert_eq!(call.await.unwrap().unwrap(), "Ada");
        at_rest(&ends).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_waits_for_ever_ends_with_the_handshake() {
    Lines::keep();
    let diary = Diary { wait: Some(Arc::default()), ..Diary::default() };
    let ends = open(&with_hooks([diary.clone()]), &Hosting::default());
    // The client hears the server's reason, although both ends have the same timeout.
    match ends.client.established().await.unwrap_err() {
        ConnectionError::ClosedByPeer { code: CloseCode::TIMEOUT, reason } => {
            assert!(reason.contains("`opened` hooks") && reason.contains("hello_timeout of the server"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    match ends.server.closed().await {
        ConnectionError::TimedOut(timeout) => {
            assert_eq!(timeout.limit, TimeLimit::Opening);
            let why = timeout.to_string();
            assert!(why.contains("`opened` hooks") && why.contains("Config::hello_timeout"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert!(diary.read().is_empty());
    let warned =
        || Lines::read(Level::WARN).iter().any(|line| line.contains("took longer than 5s (Config::hello_timeout"));
    until("the server's log tells of its slow hook", warned).await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_cannot_wait_for_a_call() {
    let diary = Diary { call: true, ..Diary::default() };
    let ends = open(&with_hooks([diary.clone()]), &host(Traveller.serve()));
    ends.client.established().await.unwrap();
    assert_eq!(diary.read()[0].trim(), "FAILED_PRECONDITION");
}

#[tokio::test(start_paused = true)]
async fn a_closed_hook_is_given_up_in_time() {
    struct Endless(Arc<AtomicUsize>);
    #[async_trait]
    impl SessionHooks for Endless {
        async fn closed(&self, _: &Session, _: &ConnectionError) {
            let _counted = Counted(self.0.clone());
            std::future::pending::<()>().await;
        }
    }
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let ended = Arc::<AtomicUsize>::default();
    let server = Hosting::builder().hooks(Endless(ended.clone())).build().unwrap();
    let ends = open_with(&server, &Hosting::default(), Config::default());
    ends.client.established().await.unwrap();
    ends.server.close();
    ends.server.closed().await;
    let begun = Instant::now();
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    until("the hook is given up", || ended.load(Ordering::SeqCst) == 1).await;
    assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_object_a_call_sees_its_call() {
    #[rpc_core::service]
    trait Echo {
        async fn who(&self) -> String;
    }
    struct Once(String);
    impl Echo for Once {
        async fn who(&self) -> String {
            self.0.clone()
        }
    }
    let service = Echo::per_call(|cx: &Context<Peer>| {
        let user = cx.metadata("user").expect("metadata");
        Once(format!("{user} by {}", cx.method()))
    });
    let ends = open(&host(service), &Hosting::default());
    let echo: EchoClient = ends.client.client();
    let named = echo.with(rpc_core::CallOptions::new().metadata("user", "ada"));
    assert_eq!(named.who().await.unwrap(), "ada by Echo.who");
    assert_eq!(echo.who().await.unwrap_err().code(), Code::Internal, "its factory panicked");
    assert_eq!(named.who().await.unwrap(), "ada by Echo.who");
}

/// Panics when it is dropped.
struct Cursed;

impl Drop for Cursed {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "as users' objects may");
    }
}

impl Guest for Cursed {
    async fn name(&self) -> String {
        "Ada".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_panics_while_it_is_dropped_spoils_no_goodbye() {
    let ends = open(&host(Guest::per_session(|_| Cursed)), &Hosting::default());
    assert_eq!(ends.client.client::<GuestClient>().name().await.unwrap(), "Ada");
    ends.server.close();
    assert_eq!(ends.server.closed().await, ConnectionError::ClosedLocally);
    let reason = ends.client.closed().await;
    assert!(matches!(reason, ConnectionError::ClosedByPeer { .. }), "{reason:?}");
    at_rest(&ends).await;
}

#[tokio::test(start_paused = true)]
async fn the_socket_does_not_wait_for_closed_hooks() {
    struct Endless(Arc<AtomicUsize>);
    #[async_trait]
    impl SessionHooks for Endless {
        async fn closed(&self, _: &Session, _: &ConnectionError) {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    }
    let begun = Arc::<AtomicUsize>::default();
    let hosting = Hosting::builder().hooks(Endless(begun.clone())).build().unwrap();
    let (near, far) = memory();
    let held = Arc::default();
    let (config, info) = (Config::default(), ConnectionInfo::default());
    let (client, other) = connect(far, &Hosting::default(), &config, info.clone());
    tokio::spawn(other);
    let handshake = Handshake::read(Wrapped::new(near, &held), &config).await.unwrap();
    let (server, driver) = handshake.accept(&hosting, info);
    let driver = tokio::spawn(driver);
    client.established().await.unwrap();
    server.close();
    until("the transport is dropped", || Arc::strong_count(&held) == 1).await;
    until("the hook has begun", || begun.load(Ordering::SeqCst) == 1).await;
    assert!(!driver.is_finished(), "it waits for the hook");
}
