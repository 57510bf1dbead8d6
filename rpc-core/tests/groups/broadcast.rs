use std::{
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures::FutureExt;
use rpc_core::{
    CallOptions, Code, Config, Context, Hosting, Overflow, Session, Status, async_trait,
    intercept::{CallInfo, Interceptor, Next, Reply, TimeoutCap},
};
use rpc_testing::at_rest;
use tokio::time::{Instant, timeout};

use crate::rooms::{Client, ENCODED, Post, Room, ScreenClient, deaf};

async fn clients(count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Client::new(&Config::default()).await);
    }
    clients
}

fn sessions(clients: &[Client]) -> impl Iterator<Item = &Session> {
    clients.iter().map(|client| &client.at_server)
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_is_encoded_once_and_reaches_every_member() {
    let clients = clients(5).await;
    let room = Room::of(sessions(&clients)).all();
    for len in [3, 3000, 5000, 300_000] {
        ENCODED.store(0, SeqCst);
        let text = "x".repeat(len);
        let sent = room.posted(Post(text.clone()));
        assert_eq!(ENCODED.load(SeqCst), 1, "it is encoded when the method is called");
        let delivery = sent.await.unwrap();
        assert_eq!((delivery.queued, delivery.dropped, delivery.failed), (5, 0, 0));
        for client in &clients {
            let heard = client.hear(1).await;
            assert!(heard == [text.clone()], "{len} bytes");
            client.seen.heard.lock().unwrap().clear();
        }
        assert_eq!(ENCODED.load(SeqCst), 1);
    }
    for client in &clients {
        at_rest(&client.at_server).await;
    }
}

#[tokio::test(start_paused = true)]
async fn selections_leave_members_out() {
    let clients = clients(4).await;
    let id = |n: usize| clients[n].at_server.id();
    assert_eq!(Room::of(sessions(&clients)).except(&[id(0), id(1)]).posted(Post("a".into())).await.unwrap().queued, 2);
    assert_eq!(Room::of(sessions(&clients)).only(&[id(1)]).posted(Post("b".into())).await.unwrap().queued, 1);
    for (n, heard) in [&[][..], &["b"], &["a"], &["a"]].into_iter().enumerate() {
        assert_eq!(clients[n].hear(heard.len()).await, heard);
    }
    let none = Room::of([]).all();
    assert_eq!(none.posted(Post("c".into())).await.unwrap(), rpc_core::Delivery::default());
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_to_many_lets_other_tasks_run_and_is_sent_to_all_or_to_none() {
    let clients = clients(200).await;
    let room = Room::of(sessions(&clients)).all();
    // The first poll ends before every member has the call, and the others get it when the future is dropped.
    assert!(room.posted(Post("first".into())).now_or_never().is_none());
    room.posted(Post("second".into())).await.unwrap();
    for client in &clients {
        assert_eq!(client.hear(2).await, ["first", "second"]);
    }
    drop(room.posted(Post("never".into())));
    let others = async { tokio::task::yield_now().await };
    let sent = tokio::select! {
        biased;
        sent = room.posted(Post("third".into())) => Some(sent),
        () = others => None,
    };
    assert_eq!(sent, None, "another task has its turn first");
    for client in &clients {
        assert_eq!(client.hear(3).await, ["first", "second", "third"]);
        at_rest(&client.at_server).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_ended_is_counted_and_delays_no_other() {
    let clients = clients(2).await;
    clients[0].at_client.close().await;
    clients[0].at_server.closed().await;
    let delivery = Room::of(sessions(&clients)).all().posted(Post("a".into())).await.unwrap();
    assert_eq!((delivery.queued, delivery.failed), (1, 1));
    assert_eq!(clients[1].hear(1).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_task_arrive_in_their_order_alone_or_in_a_group() {
    let clients = clients(2).await;
    let (room, one) = (Room::of(sessions(&clients)).all(), clients[0].at_server.client::<ScreenClient>());
    let mut expected = Vec::new();
    for n in 0..300 {
        let text = n.to_string();
        match n % 3 {
            0 => one.said(&text).await.unwrap(),
            1 => drop(room.said(&text).await.unwrap()),
            _ => drop(room.posted(Post(text.clone())).await.unwrap()),
        }
        expected.push(text);
    }
    assert_eq!(clients[0].hear(300).await, expected);
    assert_eq!(clients[1].hear(200).await.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_reads_nothing_delays_no_other_and_loses_its_session() {
    let config = Config::builder().write_timeout(Duration::from_secs(60)).build().unwrap();
    let clients = clients(3).await;
    let (session, _driver) = deaf(&config).await;
    let room = Room::of(sessions(&clients).chain([&session])).all();
    let begun = Instant::now();
    for n in 0..1000 {
        let delivery = room.said(&format!("{n:200}")).await.unwrap();
        assert_eq!((delivery.queued, delivery.failed), (4, 0));
    }
    for client in &clients {
        assert_eq!(client.hear(1000).await.len(), 1000);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "no timer was waited for");
    assert!(session.stats().connection.queued_calls > 0);
    let reason = timeout(Duration::from_secs(20), session.closed()).await.unwrap();
    assert!(begun.elapsed() >= config.queue_timeout());
    assert_eq!(reason.close_code().0, 1013, "{reason}");
    assert!(session.stats().is_at_rest(), "{:?}", session.stats());
    assert!(clients.iter().all(|client| client.at_server.stats().connection.queued_calls == 0));
    assert_eq!(room.said("last").await.unwrap().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_waits_waits_for_its_slowest_member_alone() {
    let config = Config::builder().max_oneway_calls(1).build().unwrap();
    let (quick, slow) = (Client::new(&config).await, Client::new(&config).await);
    slow.hold();
    let room = || Room::of([&slow.at_server, &quick.at_server]).with(Overflow::Wait).all();
    assert_eq!(room().said("a").await.unwrap().queued, 2);
    assert_eq!(quick.hear(1).await, ["a"]);
    let group = room();
    let mut second = tokio::spawn(async move { group.said("b").await });
    assert_eq!(quick.hear(2).await, ["a", "b"], "who has room is served at once");
    assert!(timeout(Duration::from_secs(5), &mut second).await.is_err());
    slow.let_go();
    assert_eq!(second.await.unwrap().unwrap().queued, 2);
    assert_eq!(slow.hear(2).await, ["a", "b"]);
    slow.hold();
    let third = room().with(CallOptions::new().timeout(Duration::from_secs(1)));
    assert_eq!(third.said("c").await.unwrap().queued, 2);
    let delivery = third.said("d").await.unwrap();
    assert_eq!((delivery.queued, delivery.failed), (1, 1), "the time of the call is over");
}

#[rpc_core::service(callback = Screen)]
trait Desk {
    async fn announce(&self, cx: &Context<ScreenClient>, text: &str) -> usize;
}

/// Calls all of its members, under a policy that waits, in a handler.
struct Speaker(Arc<Mutex<Vec<Session>>>);

impl Desk for Speaker {
    async fn announce(&self, _cx: &Context<ScreenClient>, text: &str) -> usize {
        let sessions = self.0.lock().unwrap().clone();
        let room = Room::of(&sessions).with(Overflow::Wait).all();
        room.said(text).await.unwrap().failed
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_in_a_handler_waits_for_a_moment_and_never_for_its_own_caller() {
    let config = Config::builder().max_oneway_calls(1).nested_calls(1).build().unwrap();
    let members = Arc::<Mutex<Vec<Session>>>::default();
    let server = Hosting::builder().service(Speaker(members.clone()).serve()).build().unwrap();
    let (caller, other) = (Client::of(&server, &config).await, Client::of(&server, &config).await);
    *members.lock().unwrap() = vec![caller.at_server.clone()];
    caller.hold();
    other.hold();
    let desk: DeskClient = caller.at_client.client();
    let begun = Instant::now();
    // The caller has no room for the third one.
    for failed in [0, 0, 1] {
        assert_eq!(desk.announce("a").await, Ok(failed));
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    members.lock().unwrap().push(other.at_server.clone());
    for failed in [1, 1, 2] {
        assert_eq!(desk.announce("b").await, Ok(failed), "the other one has room twice");
    }
    assert!(begun.elapsed() >= config.nested_wait() && begun.elapsed() < 2 * config.nested_wait());
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_waits_ends_when_an_interceptor_says() {
    let cap = TimeoutCap::outgoing(Duration::from_secs(1));
    let server = Hosting::builder().interceptor(cap).build().unwrap();
    let client = Client::of(&server, &Config::builder().max_oneway_calls(1).build().unwrap()).await;
    client.hold();
    let room = Room::of([&client.at_server]).with(Overflow::Wait).all();
    let begun = Instant::now();
    while room.said("a").await.unwrap().failed == 0 {
        assert_eq!(begun.elapsed(), Duration::ZERO, "there was room");
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

/// Writes down what it sees of calls, and refuses one.
#[derive(Default)]
struct Watcher(Mutex<Vec<(String, Option<usize>)>>);

#[async_trait]
impl Interceptor for Watcher {
    async fn intercept(&self, call: &mut CallInfo, mut next: Next<'_>) -> Result<Reply, Status> {
        self.0.lock().unwrap().push((call.method().name().to_owned(), call.members()));
        if call.metadata("secret").is_some() {
            return Err(Status::permission_denied("no secrets"));
        }
        next.run(call).await
    }
}

struct Shared(Arc<Watcher>);

#[async_trait]
impl Interceptor for Shared {
    async fn intercept(&self, call: &mut CallInfo, next: Next<'_>) -> Result<Reply, Status> {
        self.0.intercept(call, next).await
    }
}

#[tokio::test(start_paused = true)]
async fn interceptors_see_a_broadcast_once_and_each_question() {
    let watcher = Arc::<Watcher>::default();
    let server = Hosting::builder().interceptor(Shared(watcher.clone())).build().unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::of(&server, &Config::default()).await);
    }
    let room = Room::of(sessions(&clients)).all();
    assert_eq!(room.said("a").await.unwrap().queued, 3);
    assert_eq!(room.confirm("?").collect().await.len(), 3);
    let secret = room.with(CallOptions::new().metadata("secret", "yes"));
    let refused = secret.said("b").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let seen = watcher.0.lock().unwrap().clone();
    let (said, confirm) = (("said".to_owned(), Some(3)), ("confirm".to_owned(), None));
    assert_eq!(seen, [said.clone(), confirm.clone(), confirm.clone(), confirm, said]);
    for client in &clients {
        assert_eq!(client.hear(1).await, ["a"]);
    }
}
