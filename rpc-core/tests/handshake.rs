//! A server that has read a client's Hello, and has no session with it yet.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::{pending, poll_fn, ready},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{Frame, HostedContract, PacketHeader, read_packet},
    CloseCode, Closing, Code, Config, ConnectionError, ConnectionInfo, Execution, Hosting, Session, SessionHooks,
    SessionState, Status, async_trait,
    session::{Handshake, Memory, Transport, TransportError, memory},
};
use rpc_testing::{Bar, Keeper, LIMITS, Wrapped, greeting, hello, order, packet, settle, until};
use tokio::{
    sync::Semaphore,
    time::{Instant, advance, sleep},
};

const UNSEQUENCED: PacketHeader = PacketHeader { seq: 0, ack: 0 };

/// Lets no session in until it is opened.
#[derive(Clone)]
struct Gate {
    open: Arc<Semaphore>,
    /// Sessions that wait.
    asked: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self { open: Arc::new(Semaphore::new(0)), asked: Arc::new(Semaphore::new(0)) }
    }

    fn hosting(&self) -> Hosting {
        Hosting::builder().service(Keeper.serve()).hooks(self.clone()).build().unwrap()
    }

    async fn asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl SessionHooks for Gate {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        self.asked.add_permits(1);
        self.open.acquire().await.unwrap().forget();
        Ok(())
    }
}

fn config() -> Config {
    Config::default()
}

/// A Hello, changed.
fn greeting_with(set: impl FnOnce(&mut rpc_core::__internals::wire::Hello)) -> Bytes {
    let contracts = vec![HostedContract { name: "Guest".to_owned(), fingerprint: 7, windows: Vec::new() }];
    let Frame::Hello(mut said) = hello(LIMITS, contracts) else { unreachable!("it is one") };
    set(&mut said);
    packet(UNSEQUENCED, &[Frame::Hello(said)])
}

/// What comes at the client's end.
async fn receive(far: &mut Memory) -> Result<Bytes, TransportError> {
    poll_fn(|cx| far.poll_receive(cx)).await
}

/// The goodbye at the client's end, with nothing before it.
async fn goodbye(far: &mut Memory) -> (CloseCode, String) {
    match receive(far).await {
        Err(TransportError::Closed { code, reason }) => (code, reason),
        other => panic!("{other:?}"),
    }
}

/// Asserts that the Welcome comes with a refusal, and then the close code.
async fn refusal(far: &mut Memory) -> Status {
    let (header, mut frames) = read_packet(receive(far).await.unwrap()).unwrap();
    assert_eq!(header, UNSEQUENCED);
    let Some(Ok(Frame::Welcome(welcome))) = frames.next() else { panic!("it is a Welcome") };
    assert_eq!(goodbye(far).await.0, CloseCode::REFUSED);
    welcome.refusal.expect("it refuses")
}

/// A client whose session waits for its hooks.
async fn before_the_gate(gate: &Gate) -> (Session, Memory) {
    let (near, mut far) = memory();
    far.start_send(greeting()).unwrap();
    let handshake = Handshake::read(near, &config()).await.unwrap();
    let (session, driver) = handshake.accept(&gate.hosting(), ConnectionInfo::default());
    tokio::spawn(driver);
    gate.asked().await;
    (session, far)
}

#[tokio::test(start_paused = true)]
async fn the_hello_is_known_before_there_is_a_session() {
    let (near, mut far) = memory();
    far.start_send(greeting_with(|said| said.credentials = b"open sesame".to_vec())).unwrap();
    let handshake = Handshake::read(near, &config()).await.unwrap();
    assert_eq!(handshake.contracts().collect::<Vec<_>>(), ["Guest"]);
    assert_eq!(handshake.credentials(), b"open sesame");
    let shown = format!("{handshake:?}");
    assert!(shown.contains("Guest") && !shown.contains("sesame") && !shown.contains("111"), "{shown}");
    let (session, driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
    assert_eq!(session.state(), SessionState::Connecting);
    assert!(session.hosts("Guest"));
    tokio::spawn(driver);
    session.established().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_the_rules_is_told_what_the_error_says() {
    let cases = [
        (packet(UNSEQUENCED, &[Frame::Ping { token: 1 }]), CloseCode::PROTOCOL),
        (Bytes::from_static(b"GET / HTTP/1.1"), CloseCode::PROTOCOL),
        (vec![0; 16 * 1024 + 1].into(), CloseCode::TOO_BIG),
        (greeting_with(|said| said.limits.chunk = 1), CloseCode::PROTOCOL),
    ];
    for (said, code) in cases {
        let (near, mut far) = memory();
        far.start_send(said).unwrap();
        let error = Handshake::read(near, &config()).await.unwrap_err();
        assert!(matches!(&error, ConnectionError::Protocol(_)), "{error}");
        assert_eq!(error.close_code(), code, "{error}");
        assert_eq!(goodbye(&mut far).await, (code, error.close_reason().to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_told_after_5_s() {
    let ((near, mut far), begun) = (memory(), Instant::now());
    let error = Handshake::read(near, &config()).await.unwrap_err();
    assert!(
        error.to_string().contains("no Hello came from the client within 5s (Config::hello_timeout of the server)"),
        "{error}"
    );
    assert!((5.0..6.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    assert_eq!(goodbye(&mut far).await, (CloseCode::TIMEOUT, error.close_reason().to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_hello_is_the_reason() {
    let (near, far) = memory();
    drop(far);
    assert!(matches!(Handshake::read(near, &config()).await, Err(ConnectionError::Lost(_))));
    let (near, mut far) = memory();
    poll_fn(|cx| far.poll_close(cx, CloseCode::NORMAL, "never mind")).await;
    match Handshake::read(near, &config()).await {
        Err(ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason }) => assert_eq!(&*reason, "never mind"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_does_not_wait_for_the_hello() {
    let (near, mut far) = memory();
    let stopped = Handshake::read_unless(near, &config(), ready(())).await.unwrap_err();
    assert_eq!(stopped, ConnectionError::ShutDown);
    assert_eq!(goodbye(&mut far).await.0, CloseCode::RESTART);
    // The stop wins over a Hello that has come: its session would be told to end before its first call.
    let (near, mut far) = memory();
    far.start_send(greeting()).unwrap();
    let stopped = Handshake::read_unless(near, &config(), ready(())).await.unwrap_err();
    assert_eq!(stopped, ConnectionError::ShutDown);
    assert_eq!(goodbye(&mut far).await.0, CloseCode::RESTART);
    // Without a stop the Hello is taken.
    let (near, mut far) = memory();
    far.start_send(greeting()).unwrap();
    Handshake::read_unless(near, &config(), pending()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_takes_no_longer_than_its_time() {
    let begun = Instant::now();
    let (near, _far) = memory();
    Handshake::read_unless(Wrapped::deaf(near), &config(), ready(())).await.unwrap_err();
    let (near, mut far) = memory();
    far.start_send(Bytes::from_static(b"?")).unwrap();
    Handshake::read(Wrapped::deaf(near), &config()).await.unwrap_err();
    let (near, mut far) = memory();
    far.start_send(greeting()).unwrap();
    Handshake::read(Wrapped::deaf(near), &config()).await.unwrap().refuse(Status::unavailable("closed")).await;
    assert!((15.0..16.0).contains(&begun.elapsed().as_secs_f64()), "5 s each: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_cuts_short_every_goodbye() {
    let config = Config::builder().close_timeout(Duration::from_secs(60)).drain_timeout(Duration::from_secs(2));
    let config = config.build().unwrap();
    // The test is about the time that is left after the stop.
    let stop = || sleep(Duration::from_secs(1));
    let other = greeting_with(|said| said.version = 9);
    for (said, code) in [(Bytes::from_static(b"?"), CloseCode::PROTOCOL), (other, CloseCode::REFUSED)] {
        let begun = Instant::now();
        let (near, mut far) = memory();
        far.start_send(said).unwrap();
        let error = Handshake::read_unless(Wrapped::deaf(near), &config, stop()).await.unwrap_err();
        assert_eq!(error.close_code(), code, "{error}");
        let passed = begun.elapsed().as_secs_f64();
        assert!((2.0..3.0).contains(&passed), "1 s until the stop, and less than the drain after it: {passed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_refused_is_told_before_it_is_closed() {
    let (near, mut far) = memory();
    far.start_send(greeting()).unwrap();
    far.start_send(order(1)).unwrap();
    let handshake = Handshake::read(near, &config()).await.unwrap();
    let error = handshake.refuse(Status::permission_denied("not you")).await;
    let ConnectionError::RefusedPeer(status) = &error else { panic!("{error:?}") };
    let told = refusal(&mut far).await;
    assert_eq!(&told, status);
    assert_eq!((told.code(), told.message()), (Code::PermissionDenied, "not you"));
    assert_eq!(told.execution(), Execution::NotExecuted);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_version_is_told_before_it_is_closed() {
    let (near, mut far) = memory();
    far.start_send(greeting_with(|said| said.version = 9)).unwrap();
    let error = Handshake::read(near, &config()).await.unwrap_err();
    assert!(error.to_string().contains("the client speaks version 9 of the protocol"), "{error}");
    assert_eq!(refusal(&mut far).await.code(), Code::FailedPrecondition);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_dropped_is_a_lost_link() {
    let config = config();
    // While the Hello is awaited, and after it.
    let (near, mut far) = memory();
    tokio::select! {
        biased;
        _ = Handshake::read(near, &config) => panic!("there is no Hello"),
        () = ready(()) => {}
    }
    assert!(matches!(receive(&mut far).await, Err(TransportError::Lost(_))));
    let (near, mut far) = memory();
    far.start_send(greeting()).unwrap();
    drop(Handshake::read(near, &config).await.unwrap());
    assert!(matches!(receive(&mut far).await, Err(TransportError::Lost(_))));
}

#[tokio::test(start_paused = true)]
async fn the_time_for_the_hello_covers_the_hooks() {
    let (gate, begun) = (Gate::new(), Instant::now());
    let (near, mut far) = memory();
    let (handshake, ()) = tokio::join!(async { Handshake::read(near, &config()).await.unwrap() }, async {
        advance(Duration::from_secs(3)).await;
        far.start_send(greeting()).unwrap();
    });
    let (session, driver) = handshake.accept(&gate.hosting(), ConnectionInfo::default());
    tokio::spawn(driver);
    let ConnectionError::TimedOut(why) = session.closed().await else { panic!("its time is over") };
    assert!(
        why.to_string()
            .contains("not open within 5s of the beginning of its link (Config::hello_timeout of the server)"),
        "{why}"
    );
    assert!((5.0..6.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    assert_eq!(goodbye(&mut far).await.0, CloseCode::TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_with_the_hello_wait_for_the_hooks() {
    let gate = Gate::new();
    let (session, mut far) = before_the_gate(&gate).await;
    for id in 1..=3 {
        far.start_send(order(id)).unwrap();
    }
    settle().await;
    assert_eq!(session.stats().connection.calls_served, 0, "nothing is taken in before the hooks have returned");
    gate.open.add_permits(1);
    let mut answered = Vec::new();
    while answered.len() < 3 {
        for frame in read_packet(receive(&mut far).await.unwrap()).unwrap().1 {
            match frame.unwrap() {
                Frame::Response { id, .. } => answered.push(id),
                Frame::Welcome(welcome) => assert!(answered.is_empty() && welcome.refusal.is_none()),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(answered, [1, 2, 3]);
    until("nothing is left", || session.stats().is_at_rest()).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_too_much_while_hooks_run_is_closed() {
    for (len, count) in [(15 * 1024, 2), (2, 600)] {
        let gate = Gate::new();
        let (session, mut far) = before_the_gate(&gate).await;
        for _ in 0..count {
            far.start_send(vec![0; len].into()).unwrap();
        }
        let error = session.closed().await;
        assert_eq!(error.close_code(), CloseCode::TOO_BIG, "{error}");
        assert_eq!(goodbye(&mut far).await.0, CloseCode::TOO_BIG);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_hooks_run_is_noticed() {
    let gate = Gate::new();
    let (session, far) = before_the_gate(&gate).await;
    drop(far);
    assert!(matches!(session.closed().await, ConnectionError::Lost(_)));
    assert_eq!(Arc::strong_count(&gate.open), 1, "the hook is gone");
}

#[tokio::test(start_paused = true)]
async fn no_hook_runs_for_a_session_that_has_ended_before_its_driver_runs() {
    let ends: [fn(&Session) -> Closing; 3] = [Session::drain, Session::close, Session::abort];
    for (end, code) in ends.into_iter().zip([CloseCode::RESTART, CloseCode::NORMAL, CloseCode::RESTART]) {
        let gate = Gate::new();
        let (near, mut far) = memory();
        far.start_send(greeting()).unwrap();
        let handshake = Handshake::read(near, &config()).await.unwrap();
        let (session, driver) = handshake.accept(&gate.hosting(), ConnectionInfo::default());
        drop(end(&session));
        tokio::spawn(driver);
        session.closed().await;
        assert_eq!(gate.asked.available_permits(), 0, "the hook was asked");
        assert_eq!(goodbye(&mut far).await.0, code);
    }
}
