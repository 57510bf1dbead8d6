//! Sessions that outlive their links, with their drivers, in virtual time: who may come back and when, and how such a
//! session ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt;
use rpc_core::{
    CloseCode, Config, ConnectionError, ConnectionInfo, Hosting, Resume, Session, SessionHooks, SessionState, Status,
    async_trait,
    session::{
        Greeting, Handshake, Memory, ResumableSessions, ResumeOutcome, Resumed, Transport, TransportError,
        connect_in_memory_with, connect_with, memory, resume,
    },
};
use rpc_testing::until;
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

fn config(resume_window: Duration) -> Config {
    Config::builder().resume_window(resume_window).build().unwrap()
}

/// Carries packets between two ends until it is cut.
struct Line(JoinHandle<()>);

impl Line {
    fn new() -> (Memory, Memory, Self) {
        let ((near, mut one), (far, mut other)) = (memory(), memory());
        let carried = poll_fn(move |cx| {
            let (there, back) = (carry(&mut one, &mut other, cx), carry(&mut other, &mut one, cx));
            if there.is_ready() && back.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        });
        (near, far, Self(tokio::spawn(carried)))
    }

    fn cut(&self) {
        self.0.abort();
    }
}

/// Carries what has come. Ready when nothing more will come.
fn carry(from: &mut Memory, to: &mut Memory, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        match from.poll_receive(cx) {
            Poll::Ready(Ok(packet)) => to.start_send(packet).unwrap(),
            Poll::Ready(Err(TransportError::Closed { code, reason })) => return to.poll_close(cx, code, &reason),
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Both ends of a session that can be resumed, and what its server has for clients that come back.
struct Ends {
    server: Session,
    client: Session,
    line: Line,
    hosting: Hosting,
    configs: [Config; 2],
    resumable: ResumableSessions,
}

impl Ends {
    async fn begin(hosting: Hosting, configs: [Config; 2]) -> Self {
        let (near, far, line) = Line::new();
        let (resuming, info) = (Greeting { resumes: true, ..Greeting::default() }, ConnectionInfo::default);
        let (client, driver) = connect_with(resuming, far, &Hosting::default(), &configs[1], info());
        tokio::spawn(driver);
        let (server, driver) = Handshake::read(near, &configs[0]).await.unwrap().accept(&hosting, info());
        tokio::spawn(driver);
        let resumable = ResumableSessions::new();
        resumable.insert(&server);
        client.established().await.unwrap();
        // The server has to learn that its Welcome has come.
        sleep(SECOND).await;
        Self { server, client, line, hosting, configs, resumable }
    }

    async fn lose(&self) {
        self.line.cut();
        for session in [&self.server, &self.client] {
            until("the loss is noticed", || session.state() == SessionState::Detached).await;
        }
    }

    /// The client dials, and wants to go on. `decided` is how long the server takes to learn who it is.
    async fn come_back(
        &self,
        resumable: &ResumableSessions,
        decided: Duration,
    ) -> (ResumeOutcome, JoinHandle<Result<Resumed, ConnectionError>>) {
        let (near, far, _line) = Line::new();
        let (client, config) = (self.client.clone(), self.configs[1].clone());
        let back = tokio::spawn(async move {
            resume(&client, None, far, &Hosting::default(), &config, ConnectionInfo::default()).await
        });
        let handshake = Handshake::read(near, &self.configs[0]).await.unwrap();
        sleep(decided).await;
        let outcome = resumable.resume(handshake, &self.hosting, &ConnectionInfo::default(), pending()).await;
        (outcome, back)
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_a_link_no_longer_than_either_side_would_like() {
    let (short, long) = (3 * SECOND, 60 * SECOND);
    for windows in [[short, long], [long, short]] {
        let ends = Ends::begin(Hosting::default(), windows.map(config)).await;
        ends.lose().await;
        let lost = Instant::now();
        ends.server.closed().await;
        assert!((2..4).contains(&lost.elapsed().as_secs()), "{windows:?}: {:?}", lost.elapsed());
        ends.client.closed().await;
        let longest = short + ends.configs[1].keepalive_timeout() + SECOND;
        assert!(lost.elapsed() < longest, "{windows:?}: {:?}", lost.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_comes_when_the_session_has_a_link_again_leaves_it_alone() {
    let ends = Ends::begin(Hosting::default(), [config(60 * SECOND), config(60 * SECOND)]).await;
    ends.lose().await;
    let (outcome, back) = ends.come_back(&ends.resumable, Duration::ZERO).await;
    assert!(matches!((&outcome, back.await.unwrap()), (ResumeOutcome::Done(_), Ok(Resumed::Same))), "{outcome:?}");
    sleep(SECOND).await;
    let (near, far, _line) = Line::new();
    let (hosting, info) = (Hosting::default(), ConnectionInfo::default());
    let late = resume(&ends.client, None, far, &hosting, &ends.configs[1], info).await;
    assert_eq!(late.unwrap_err(), ConnectionError::ClosedLocally);
    assert!(Handshake::read(near, &ends.configs[0]).await.is_err(), "the server is asked for nothing");
    // The session is not deaf to its link.
    let closed = Instant::now();
    ends.server.close();
    ends.client.closed().await;
    assert!(closed.elapsed() < SECOND, "{:?}", closed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_session_the_server_does_not_know_says_so() {
    let ends = Ends::begin(Hosting::default(), [config(60 * SECOND), config(60 * SECOND)]).await;
    assert!(ends.client.is_resumable() && ends.server.is_resumable());
    ends.lose().await;
    sleep(2 * SECOND).await;
    let (outcome, back) = ends.come_back(&ResumableSessions::new(), Duration::ZERO).await;
    let ResumeOutcome::New(handshake) = outcome else { panic!("{outcome:?}") };
    let (_other, driver) = handshake.accept(&Hosting::default(), ConnectionInfo::default());
    tokio::spawn(driver);
    assert!(matches!(back.await.unwrap(), Ok(Resumed::Other(..))));
    let error = ends.client.closed().await;
    assert!(error.is_lost(), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("the other end is gone") && said.contains("after 2s the server did not know"), "{said}");
    assert!(!ends.client.is_resumable());
}

/// Never decides.
struct Slow;

#[async_trait]
impl SessionHooks for Slow {
    async fn resuming(&self, _: &Session, _: &ConnectionInfo) -> Result<Resume, Status> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_that_decide_who_may_come_back_have_what_is_left_of_the_time_for_the_hello() {
    for (hook_timeout, decided, all) in [(600, 0, 5), (600, 3, 5), (1, 3, 4)] {
        let server = Config::builder().hook_timeout(hook_timeout * SECOND).resume_window(60 * SECOND);
        let hosting = Hosting::builder().hooks(Slow).build().unwrap();
        let ends = Ends::begin(hosting, [server.build().unwrap(), config(60 * SECOND)]).await;
        ends.lose().await;
        let begun = Instant::now();
        let (outcome, _back) = ends.come_back(&ends.resumable, decided * SECOND).await;
        let took = begun.elapsed();
        assert!(matches!(outcome, ResumeOutcome::New(_)), "{outcome:?}");
        assert!(took >= all * SECOND && took < all * SECOND + SECOND / 2, "{hook_timeout}, {decided}: {took:?}");
        assert_eq!(ends.server.state(), SessionState::Detached, "it is as it was");
    }
}

/// Counts the sessions that have ended, and says so.
#[derive(Clone)]
struct Bell(Arc<Semaphore>, Arc<AtomicUsize>);

#[async_trait]
impl SessionHooks for Bell {
    async fn closed(&self, _: &Session, _: &ConnectionError) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.add_permits(1);
    }
}

fn bell() -> (Bell, Hosting) {
    let bell = Bell(Arc::new(Semaphore::new(0)), Arc::default());
    (bell.clone(), Hosting::builder().hooks(bell).build().unwrap())
}

/// Less than last words wait.
const AT_ONCE: Duration = Duration::from_secs(1);

impl Bell {
    /// The session has ended, has no last words that wait, and is over soon.
    async fn is_over_at_once(&self, session: &Session) -> ConnectionError {
        let ended = Instant::now();
        assert_eq!(session.state(), SessionState::Closing);
        let reason = session.closed().await;
        assert!(ended.elapsed() < AT_ONCE, "{:?}", ended.elapsed());
        assert_eq!(session.state(), SessionState::Closed);
        self.0.acquire().await.unwrap().forget();
        assert!(ended.elapsed() < AT_ONCE, "{:?}", ended.elapsed());
        assert_eq!(self.1.load(Ordering::Relaxed), 1, "the hook has run once");
        assert!(session.stats().is_at_rest(), "{:?}", session.stats());
        reason
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_resumed_is_over_at_once() {
    let (bell, hosting) = bell();
    let (server, client) = connect_in_memory_with(&hosting, &Hosting::default(), &config(60 * SECOND));
    client.established().await.unwrap();
    drop(server.close());
    assert_eq!(bell.is_over_at_once(&server).await, ConnectionError::ClosedLocally);
    assert_eq!(client.closed().await.close_code(), CloseCode::NORMAL);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_given_up_is_over_at_once() {
    let (bell, hosting) = bell();
    let ends = Ends::begin(hosting, [(); 2].map(|()| config(60 * SECOND))).await;
    ends.lose().await;
    assert!(ends.server.discard());
    assert!(bell.is_over_at_once(&ends.server).await.is_lost());
    // Also with last words, of which the other side will not hear.
    assert!(ends.client.close().now_or_never().is_none());
    assert_eq!(ends.client.state(), SessionState::Closing);
    assert!(ends.client.discard());
    let given_up = Instant::now();
    assert_eq!(ends.client.closed().await, ConnectionError::ClosedLocally);
    assert!(given_up.elapsed() < AT_ONCE, "{:?}", given_up.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_last_words_are_acknowledged_or_heard_is_over_at_once() {
    for server_closes in [true, false] {
        let (bell, hosting) = bell();
        let ends = Ends::begin(hosting, [(); 2].map(|()| config(60 * SECOND))).await;
        let begun = Instant::now();
        let (closes, hears) = if server_closes { (&ends.server, &ends.client) } else { (&ends.client, &ends.server) };
        drop(closes.close());
        assert_eq!(closes.state(), SessionState::Closing);
        assert_eq!(closes.closed().await, ConnectionError::ClosedLocally);
        let normal = ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason: "".into() };
        assert_eq!(hears.closed().await, normal);
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        bell.0.acquire().await.unwrap().forget();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_nothing_but_its_last_words_waits_for_them_and_its_server_says_that_it_knows_no_session() {
    let ends = Ends::begin(Hosting::default(), [(); 2].map(|()| config(60 * SECOND))).await;
    ends.lose().await;
    let closing = ends.client.close();
    assert_eq!(ends.client.state(), SessionState::Closing);
    let (outcome, back) = ends.come_back(&ResumableSessions::new(), Duration::ZERO).await;
    assert!(matches!(outcome, ResumeOutcome::Closed), "{outcome:?}");
    let told = back.await.unwrap().unwrap_err();
    assert_eq!(told.close_code(), CloseCode::NORMAL, "{told}");
    assert_eq!(ends.client.state(), SessionState::Closing, "what follows from that is for the one who dials");
    let waited = Instant::now();
    assert_eq!(closing.await, ConnectionError::ClosedLocally);
    assert!((5..=10).contains(&waited.elapsed().as_secs()), "{:?}", waited.elapsed());
    assert_eq!(ends.client.state(), SessionState::Closed);
    assert_eq!(ends.server.state(), SessionState::Detached);
}
