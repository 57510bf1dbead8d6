//! Who is in which group: by joining, leaving and ending, one after the other and at once.

mod many;
mod presence;
mod storm;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use rpc_core::{
    ConnectionError, Hosting, Principal, Session, SessionHooks, Status, async_trait, session::connect_in_memory,
};
use rpc_testing::{SOON, until};
use tokio::time::timeout;

use super::*;
use crate::{sessions::Sessions, testing::Random};

#[rpc_core::callback(group)]
pub(super) trait Screen {
    #[rpc(oneway)]
    async fn show(&self, text: &str);
}

#[rpc_core::callback(group)]
trait Printer {
    #[rpc(oneway)]
    async fn print(&self, text: &str);
}

struct Console;

impl Screen for Console {
    async fn show(&self, _: &str) {}
}

/// A server's sessions, in memory.
pub(super) struct House {
    pub(super) sessions: Sessions,
    server: Hosting,
    client: Hosting,
}

impl House {
    pub(super) fn new() -> Self {
        Self::with(|_, hosting| hosting)
    }

    /// With more in the server's hosting.
    pub(super) fn with(more: impl FnOnce(&Groups, rpc_core::HostingBuilder) -> rpc_core::HostingBuilder) -> Self {
        let sessions = Sessions::new();
        let server = more(sessions.groups(), Hosting::builder()).hooks(sessions.hooks()).build().unwrap();
        let client = Hosting::builder().service(Console.serve()).build().unwrap();
        Self { sessions, server, client }
    }

    pub(super) fn groups(&self) -> &Groups {
        self.sessions.groups()
    }

    pub(super) fn lobby(&self) -> Group<ScreenClient> {
        self.groups().get("lobby")
    }

    /// The server's end of an open session.
    pub(super) async fn open(&self) -> Session {
        let (session, _) = connect_in_memory(&self.server, &self.client);
        timeout(SOON, session.established()).await.unwrap().unwrap();
        session
    }

    /// Ends a session, and waits until the collection knows it.
    pub(super) async fn end(&self, session: &Session) {
        session.close();
        until("the end of a session", || self.sessions.get(session.id()).is_none()).await;
    }

    /// The number of groups, and the number of sessions in groups.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.groups().registry.len(), self.groups().registry.sessions())
    }
}

fn ids(members: &[rpc_core::Member]) -> BTreeSet<SessionId> {
    members.iter().map(rpc_core::Member::id).collect()
}

#[tokio::test]
async fn joining_and_leaving_twice_changes_nothing() {
    let house = House::new();
    let (one, lobby) = (house.open().await, house.lobby());
    assert!(lobby.is_empty() && !lobby.leave(&one));
    assert_eq!((lobby.join(&one), lobby.join(&one)), (Ok(true), Ok(false)));
    assert_eq!((lobby.len(), lobby.contains(one.id()), ids(&lobby.members())), (1, true, BTreeSet::from([one.id()])));
    assert!(lobby.leave(&one) && !lobby.leave(&one) && lobby.is_empty());
    assert_eq!(house.counts(), (0, 0), "a group is gone with its last member");
}

#[tokio::test]
async fn a_group_is_its_name_and_its_contract() {
    let house = House::new();
    let one = house.open().await;
    assert!(house.lobby().join(&one).unwrap());
    assert!(house.groups().get::<ScreenClient>("attic").join(&one).unwrap());
    let names: Vec<_> = one.groups().iter().map(|name| (name.name().to_owned(), name.contract())).collect();
    assert_eq!(names, [("attic".to_owned(), "Screen"), ("lobby".to_owned(), "Screen")]);
    assert_eq!(house.groups().of(&one), one.groups());
    let refused = house.groups().get::<PrinterClient>("lobby").join(&one).unwrap_err();
    assert_eq!(refused, JoinError::NotHosted { session: one.id(), contract: "Printer" });
    assert!(Status::from(refused).message().contains("`Printer`"));
    house.end(&one).await;
    assert!(one.groups().is_empty() && house.counts() == (0, 0));
}

#[tokio::test]
async fn another_note_replaces_the_first_one() {
    let house = House::new();
    let (one, lobby) = (house.open().await, house.lobby());
    let note = || lobby.members()[0].note::<&str>().map(|note| *note);
    lobby.join(&one).unwrap();
    assert_eq!(note(), None);
    assert!(!lobby.join_with(&one, "at lunch").unwrap());
    assert_eq!(note(), Some("at lunch"));
    assert!(!lobby.join(&one).unwrap());
    assert_eq!(note(), Some("at lunch"), "to join without a note is no other note");
    assert_eq!(lobby.members()[0].note::<u32>(), None);
}

#[tokio::test]
async fn an_ended_session_joins_no_group() {
    let house = House::new();
    let one = house.open().await;
    house.lobby().join(&one).unwrap();
    house.end(&one).await;
    assert_eq!(house.lobby().join(&one), Err(JoinError::Ended { session: one.id() }));
    // Its state says it before anything has taken it out of its groups.
    let two = house.open().await;
    house.lobby().join(&two).unwrap();
    two.close();
    assert_eq!(house.lobby().join(&two), Err(JoinError::Ended { session: two.id() }));
    until("rest", || house.counts() == (0, 0)).await;
}

/// Joins a group as soon as it can, and looks at the group when the session has ended.
struct Joins {
    lobby: Group<ScreenClient>,
    seen: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl SessionHooks for Joins {
    async fn opened(&self, session: &Session) -> Result<(), Status> {
        self.lobby.join(session)?;
        Ok(())
    }

    async fn closed(&self, session: &Session, _: &ConnectionError) {
        let again = self.lobby.join(session);
        self.seen.lock().unwrap().push(format!("{} {again:?}", self.lobby.len()));
    }
}

/// Refuses every session.
struct Refuses;

#[async_trait]
impl SessionHooks for Refuses {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        Err(Status::permission_denied("nothing to see here"))
    }
}

#[tokio::test]
async fn a_session_has_left_before_its_closed_hooks_run() {
    for refuses in [false, true] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let house = House::with(|groups, hosting| {
            let joins = groups.before(Joins { lobby: groups.get("lobby"), seen: Arc::clone(&seen) });
            let hosting = hosting.hooks(joins);
            if refuses { hosting.hooks(Refuses) } else { hosting }
        });
        let (session, _) = connect_in_memory(&house.server, &house.client);
        if !refuses {
            timeout(SOON, session.established()).await.unwrap().unwrap();
            assert_eq!(house.lobby().len(), 1);
            session.close();
        }
        until("the hook", || !seen.lock().unwrap().is_empty()).await;
        let expected = format!("0 {:?}", Err::<bool, _>(JoinError::Ended { session: session.id() }));
        assert_eq!(*seen.lock().unwrap(), [expected], "refused: {refuses}");
        assert_eq!(house.counts(), (0, 0));
    }
}

#[tokio::test]
async fn a_list_of_members_never_changes() {
    let house = House::new();
    let (one, two, lobby) = (house.open().await, house.open().await, house.lobby());
    lobby.join(&one).unwrap();
    let before = house.groups().registry.members(lobby.name());
    assert!(Arc::ptr_eq(&before, &house.groups().registry.members(lobby.name())), "it is made once");
    lobby.join(&two).unwrap();
    assert_eq!((before.len(), lobby.members().len()), (1, 2));
    house.end(&one).await;
    assert_eq!(ids(&lobby.members()), BTreeSet::from([two.id()]));
}

#[tokio::test]
async fn principals_are_found_whenever_they_were_set() {
    let house = House::new();
    let (one, two, three) = (house.open().await, house.open().await, house.open().await);
    let ada = Principal::from("ada");
    assert!(house.sessions.of(&ada).is_empty());
    two.set_principal(ada.clone());
    three.set_principal("bob".into());
    let found = |principal| house.sessions.of(principal).iter().map(Session::id).collect::<Vec<_>>();
    assert_eq!(found(&ada), [two.id()]);
    one.set_principal(ada.clone().with_value(7));
    assert_eq!(found(&ada), [one.id(), two.id()]);
    assert!(one.renew(rpc_core::Identity::new("ada").value("a newer value")));
    assert_eq!(found(&ada), [one.id(), two.id()]);
    house.end(&one).await;
    assert_eq!(found(&ada), [two.id()]);
}

/// Random joins, leaves and ends agree with a model of them.
#[tokio::test]
async fn groups_are_what_their_history_says() {
    for seed in 0..20 {
        let (house, mut random) = (House::new(), Random(seed));
        let mut sessions = Vec::new();
        for _ in 0..8 {
            sessions.push(house.open().await);
        }
        let groups: Vec<Group<ScreenClient>> = (0..3).map(|n| house.groups().get(format!("{n}"))).collect();
        let mut model = vec![BTreeMap::<SessionId, Option<usize>>::new(); groups.len()];
        let mut ended = BTreeSet::new();
        for step in 0..300 {
            let (session, which) = (&sessions[random.below(sessions.len())], random.below(groups.len()));
            let (group, id) = (&groups[which], session.id());
            match random.below(40) {
                0 if ended.len() < sessions.len() / 2 => {
                    house.end(session).await;
                    ended.insert(id);
                    for group in &mut model {
                        group.remove(&id);
                    }
                }
                1..16 => {
                    let joined = group.join(session);
                    let is_new = !model[which].contains_key(&id);
                    let is_open = !ended.contains(&id);
                    assert_eq!(joined, if is_open { Ok(is_new) } else { Err(JoinError::Ended { session: id }) });
                    if is_open {
                        model[which].entry(id).or_default();
                    }
                }
                16..24 if !ended.contains(&id) => {
                    group.join_with(session, step).unwrap();
                    model[which].insert(id, Some(step));
                }
                _ => assert_eq!(group.leave(session), model[which].remove(&id).is_some()),
            }
            for (group, model) in groups.iter().zip(&model) {
                let is: BTreeMap<_, _> =
                    group.members().iter().map(|m| (m.id(), m.note::<usize>().map(|note| *note))).collect();
                assert_eq!((&is, group.len()), (model, model.len()), "seed {seed}, step {step}");
            }
        }
        for session in &sessions {
            house.end(session).await;
        }
        assert_eq!(house.counts(), (0, 0), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_in_a_bounded_number_of_groups_with_names_of_bounded_length() {
    let house = House::new();
    house.groups().set_most(2);
    let session = house.open().await;
    let group = |name: &str| house.groups().get::<ScreenClient>(name);
    assert_eq!(group("a").join(&session), Ok(true));
    assert_eq!(group("b").join(&session), Ok(true));
    assert_eq!(group("a").join(&session), Ok(false), "it is a member");
    assert_eq!(group("c").join(&session), Err(JoinError::TooMany { session: session.id(), most: 2 }));
    assert!(group("b").leave(&session));
    let long = "x".repeat(1025);
    assert_eq!(group(&long).join(&session), Err(JoinError::NameTooLong { len: 1025 }));
    assert_eq!(group(&long[1..]).join(&session), Ok(true));
}
