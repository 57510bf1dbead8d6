//! Groups over real sockets: who hears what is sent to a group, who answers, and who is there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "reconnect/line.rs"]
#[allow(dead_code, reason = "the tests of clients that connect again use the rest")]
mod line;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use line::Line;
use rpc_client::{Client, connect};
use rpc_core::{
    CallOptions, Config, ConnectionInfo, Context, Delivery, Principal, Resume, Session, SessionHooks, Status,
    async_trait,
};
use rpc_server::{Group, Groups, LeaveReason, Presence, PresenceChange, Server, ServerHandle, SessionGroups};
use rpc_testing::{SOON, until};
use tokio::time::timeout;

#[rpc_core::callback(group)]
trait ChatEvents {
    #[rpc(oneway)]
    async fn posted(&self, text: &str);
    async fn confirm(&self, question: &str) -> bool;
    async fn vote(&self, question: &str) -> Result<u32, String>;
}

#[rpc_core::service(callback = ChatEvents)]
trait Chat {
    /// Enters a room.
    async fn enter(&self, cx: &Context<ChatEventsClient>, room: &str) -> Result<bool, Status>;
    /// Leaves a room.
    async fn leave(&self, cx: &Context<ChatEventsClient>, room: &str) -> bool;
    /// Posts to the others in a room. Tells how many have got it.
    async fn post(&self, cx: &Context<ChatEventsClient>, room: &str, text: &str) -> Result<usize, Status>;
}

struct House(Groups);

impl Chat for House {
    async fn enter(&self, cx: &Context<ChatEventsClient>, room: &str) -> Result<bool, Status> {
        Ok(self.0.get::<ChatEventsClient>(room).join(&cx.session())?)
    }

    async fn leave(&self, cx: &Context<ChatEventsClient>, room: &str) -> bool {
        self.0.get::<ChatEventsClient>(room).leave(&cx.session())
    }

    async fn post(&self, cx: &Context<ChatEventsClient>, room: &str, text: &str) -> Result<usize, Status> {
        let sent = self.0.get::<ChatEventsClient>(room).others(cx).posted(text).await?;
        Ok(sent.queued)
    }
}

/// Names each session after its client's header.
struct Door;

#[async_trait]
impl SessionHooks for Door {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        if let Some(name) = session.info().headers.get("x-name").and_then(|name| name.to_str().ok()) {
            session.set_principal(Principal::new(name));
        }
        Ok(())
    }

    async fn resuming(&self, session: &Session, info: &ConnectionInfo) -> Result<Resume, Status> {
        let is_same = session.info().headers.get("x-name") == info.headers.get("x-name");
        Ok(if is_same { Resume::Allow } else { Resume::NoOpinion })
    }
}

/// One client's screen.
#[derive(Clone, Default)]
struct Screen {
    heard: Arc<Mutex<Vec<String>>>,
    answer: u32,
}

impl ChatEvents for Screen {
    async fn posted(&self, text: &str) {
        self.heard.lock().unwrap().push(text.to_owned());
    }

    async fn confirm(&self, _: &str) -> bool {
        self.answer > 0
    }

    async fn vote(&self, question: &str) -> Result<u32, String> {
        if self.answer > 0 { Ok(self.answer) } else { Err(question.to_owned()) }
    }
}

/// A client, what it hears, and the server's session of it.
struct Visitor {
    client: Client,
    screen: Screen,
    session: Session,
}

impl Visitor {
    fn chat(&self) -> ChatClient {
        self.client.client()
    }

    async fn hears(&self, expected: &[&str]) {
        until("it has heard everything", || self.screen.heard.lock().unwrap().len() >= expected.len()).await;
        assert_eq!(*self.screen.heard.lock().unwrap(), expected);
    }
}

fn config() -> Config {
    Config::builder().resume_window(Duration::from_secs(60)).build().unwrap()
}

async fn serve() -> ServerHandle {
    let builder = Server::builder().config(config()).resume_anonymous(true).hooks(Door);
    let house = House(builder.groups());
    builder.service(house.serve()).listen("127.0.0.1:0").await.unwrap()
}

async fn visit(server: &ServerHandle, name: &str, answer: u32) -> Visitor {
    visit_by(server, &format!("ws://{}/", server.local_addr()), name, answer).await
}

async fn visit_by(server: &ServerHandle, url: &str, name: &str, answer: u32) -> Visitor {
    let screen = Screen { answer, ..Screen::default() };
    let before: Vec<_> = server.sessions().iter().map(|session| session.id()).collect();
    let client = connect(url).config(config()).header("x-name", name).callback(screen.clone().serve()).await.unwrap();
    let new = || server.sessions().iter().find(|session| !before.contains(&session.id()));
    until("the server knows the session", || new().is_some()).await;
    Visitor { client, screen, session: new().unwrap() }
}

fn lobby(server: &ServerHandle) -> Group<ChatEventsClient> {
    server.groups().get("lobby")
}

fn queued(queued: usize) -> Result<Delivery, Status> {
    let mut delivery = Delivery::default();
    delivery.queued = queued;
    Ok(delivery)
}

async fn three(server: &ServerHandle) -> [Visitor; 3] {
    let all = [visit(server, "ann", 1).await, visit(server, "bob", 2).await, visit(server, "ann", 0).await];
    for visitor in &all {
        assert!(visitor.chat().enter("lobby").await.unwrap());
    }
    all
}

#[tokio::test]
async fn each_selector_reaches_those_that_it_names() {
    let server = serve().await;
    let [one, two, three] = three(&server).await;
    let outside = visit(&server, "eve", 1).await;
    let lobby = lobby(&server);
    assert_eq!(lobby.all().posted("all").await, queued(3));
    assert_eq!(lobby.except([one.session.id()]).posted("but one").await, queued(2));
    assert_eq!(lobby.only([two.session.id(), outside.session.id()]).posted("two").await, queued(1));
    assert_eq!(lobby.of(&"ann".into()).posted("ann").await, queued(2));
    assert_eq!(one.chat().post("lobby", "hello").await.unwrap(), 2);
    assert_eq!(server.sessions().broadcast::<ChatEventsClient>().posted("everywhere").await, queued(4));
    one.hears(&["all", "ann", "everywhere"]).await;
    two.hears(&["all", "but one", "two", "hello", "everywhere"]).await;
    three.hears(&["all", "but one", "ann", "hello", "everywhere"]).await;
    outside.hears(&["everywhere"]).await;
}

#[tokio::test]
async fn nothing_that_is_sent_after_leaving_arrives() {
    let server = serve().await;
    let [one, two, three] = three(&server).await;
    assert_eq!(one.session.groups().len(), 1);
    assert!(one.chat().leave("lobby").await.unwrap());
    assert!(!one.chat().leave("lobby").await.unwrap());
    three.client.close().await;
    until("the session is gone", || server.sessions().len() == 2).await;
    assert_eq!(lobby(&server).all().posted("still here").await, queued(1));
    assert!(one.chat().enter("lobby").await.unwrap());
    assert_eq!(lobby(&server).all().posted("back").await, queued(2));
    one.hears(&["back"]).await;
    two.hears(&["still here", "back"]).await;
}

#[tokio::test]
async fn every_member_answers_for_itself() {
    let server = serve().await;
    let [one, two, three] = three(&server).await;
    let all = lobby(&server).all().with(CallOptions::new().timeout(SOON));
    let mut confirmed = timeout(SOON, all.confirm("Lunch?").collect()).await.unwrap();
    confirmed.sort_by_key(|(member, _)| member.id());
    let confirmed: Vec<_> = confirmed.into_iter().map(|(member, answer)| (member.id(), answer)).collect();
    let expected = [(&one, true), (&two, true), (&three, false)].map(|(visitor, yes)| (visitor.session.id(), Ok(yes)));
    assert_eq!(confirmed, expected);
    let (mut votes, mut sum, mut faults) = (all.vote("Tea?"), 0, 0);
    while let Some((_, vote)) = timeout(SOON, votes.next()).await.unwrap() {
        match vote {
            Ok(vote) => sum += vote,
            Err(_) => faults += 1,
        }
    }
    assert_eq!((sum, faults), (3, 1));
    let first = lobby(&server).only([two.session.id(), three.session.id()]).vote("Tea?").first_ok().await.unwrap();
    assert_eq!((first.0.id(), first.1), (two.session.id(), 2));
}

async fn next(presence: &mut Presence) -> PresenceChange {
    timeout(SOON, presence.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn presence_follows_a_member_whose_link_is_lost() {
    let server = serve().await;
    let line = Line::to(server.local_addr()).await;
    let mut presence = lobby(&server).presence();
    assert!(matches!(next(&mut presence).await, PresenceChange::Sync { members, as_of: 0, .. } if members.is_empty()));
    let one = visit_by(&server, &format!("ws://{}/", line.addr()), "ann", 1).await;
    assert!(one.chat().enter("lobby").await.unwrap());
    assert!(matches!(next(&mut presence).await, PresenceChange::Joined { number: 1, .. }));
    line.close();
    assert!(matches!(next(&mut presence).await, PresenceChange::Detached { number: 2, .. }));
    assert!(lobby(&server).contains(one.session.id()), "a member without a link stays");
    line.open(server.local_addr());
    assert!(matches!(next(&mut presence).await, PresenceChange::Resumed { number: 3, .. }));
    one.client.close().await;
    match next(&mut presence).await {
        PresenceChange::Left { number: 4, member, reason: LeaveReason::Ended(why) } => {
            assert_eq!((member.id(), why.closed_by()), (one.session.id(), Some(rpc_core::Side::Remote)));
        }
        other => panic!("{other:?}"),
    }
    server.shutdown().await;
    assert!(timeout(SOON, presence.next()).await.unwrap().is_none(), "it ends with the server");
}
