//! What those hear who watch a group.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use rpc_core::{ConnectionError, Session, SessionId};
use rpc_testing::pass;

use super::House;
use crate::{
    groups::{LeaveReason, Presence, PresenceChange},
    testing::Random,
};

const ALMOST: Duration = Duration::from_millis(1_900);
const REST: Duration = Duration::from_millis(200);

/// What a reader knows: who is there and away, how many are there if it does not know who, and the last number.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) members: BTreeMap<SessionId, Option<usize>>,
    pub(super) away: BTreeSet<SessionId>,
    count: Option<usize>,
    number: u64,
    /// How many lists it has got.
    lists: usize,
}

impl Reader {
    /// Takes one change in. False if there is none now.
    pub(super) fn read(&mut self, presence: &mut Presence) -> bool {
        let Some(Some(change)) = presence.next().now_or_never() else { return false };
        let note = |member: &rpc_core::Member| member.note::<usize>().map(|note| *note);
        match change {
            PresenceChange::Sync { members, detached, as_of } => {
                assert!(as_of >= self.number);
                self.members = members.iter().map(|member| (member.id(), note(member))).collect();
                self.away = detached.into_iter().collect();
                (self.number, self.count, self.lists) = (as_of, None, self.lists + 1);
            }
            PresenceChange::Count { members, as_of } => {
                assert!(as_of >= self.number);
                (self.number, self.count) = (as_of, Some(members));
            }
            PresenceChange::Joined { number, member } => {
                self.next(number);
                assert!(self.members.insert(member.id(), note(&member)).is_none());
            }
            PresenceChange::Updated { number, member } => {
                self.next(number);
                assert!(self.members.insert(member.id(), note(&member)).is_some());
            }
            PresenceChange::Detached { number, member } => {
                self.next(number);
                assert!(self.members.contains_key(&member.id()) && self.away.insert(member.id()));
            }
            PresenceChange::Resumed { number, member } => {
                self.next(number);
                assert!(self.away.remove(&member.id()));
            }
            PresenceChange::Left { number, member, .. } => {
                self.next(number);
                self.away.remove(&member.id());
                assert!(self.members.remove(&member.id()).is_some());
            }
        }
        true
    }

    fn next(&mut self, number: u64) {
        self.number += 1;
        assert_eq!(number, self.number, "no change is left out, and none comes twice");
    }
}

/// All that a stream has to tell now.
fn told(presence: &mut Presence) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(change) = presence.next().now_or_never() {
        told.push(match change {
            Some(PresenceChange::Sync { members, detached, as_of }) => {
                format!("{as_of}: sync {} {}", members.len(), detached.len())
            }
            Some(PresenceChange::Count { members, as_of }) => format!("{as_of}: count {members}"),
            Some(PresenceChange::Joined { number, .. }) => format!("{number}: joined"),
            Some(PresenceChange::Updated { number, .. }) => format!("{number}: updated"),
            Some(PresenceChange::Detached { number, .. }) => format!("{number}: detached"),
            Some(PresenceChange::Resumed { number, .. }) => format!("{number}: resumed"),
            Some(PresenceChange::Left { number, reason: LeaveReason::Left, .. }) => format!("{number}: left"),
            Some(PresenceChange::Left { number, reason: LeaveReason::Ended(why), .. }) => format!("{number}: {why:?}"),
            None => "end".to_owned(),
        });
        if told.last().is_some_and(|last| last == "end") {
            break;
        }
    }
    told
}

fn link(house: &House, session: &Session, is_lost: bool) {
    house.groups().registry.link_changed(session.id(), || is_lost);
}

#[tokio::test(start_paused = true)]
async fn who_watches_hears_each_change_with_its_number() {
    let house = House::new();
    let (one, two, lobby) = (house.open().await, house.open().await, house.lobby());
    lobby.join(&one).unwrap();
    let mut presence = lobby.presence();
    assert_eq!(told(&mut presence), ["1: sync 1 0"]);
    lobby.join(&two).unwrap();
    lobby.join(&two).unwrap();
    lobby.join_with(&two, 7).unwrap();
    assert_eq!(told(&mut presence), ["2: joined", "3: updated"]);
    lobby.leave(&one);
    house.end(&two).await;
    let end = format!("5: {:?}", ConnectionError::ClosedLocally);
    assert_eq!(told(&mut presence), ["4: left", end.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn a_member_is_detached_after_two_seconds_without_a_link() {
    let house = House::new();
    let (one, two, lobby) = (house.open().await, house.open().await, house.lobby());
    lobby.join(&one).unwrap();
    lobby.join(&two).unwrap();
    let mut presence = lobby.presence();
    assert_eq!(told(&mut presence), ["2: sync 2 0"]);
    link(&house, &one, true);
    pass(ALMOST).await;
    link(&house, &one, false);
    pass(REST).await;
    assert!(told(&mut presence).is_empty(), "it was back in time");
    link(&house, &one, true);
    pass(ALMOST).await;
    link(&house, &two, true);
    link(&house, &one, true);
    assert!(told(&mut presence).is_empty());
    pass(REST).await;
    assert_eq!(told(&mut presence), ["3: detached"]);
    assert_eq!(told(&mut lobby.presence()), ["3: sync 2 1"]);
    link(&house, &one, false);
    link(&house, &two, false);
    assert_eq!(told(&mut presence), ["4: resumed"]);
    pass(ALMOST * 2).await;
    assert!(told(&mut presence).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_is_woken_when_a_member_is_overdue() {
    let house = House::new();
    let (one, lobby) = (house.open().await, house.lobby());
    lobby.join(&one).unwrap();
    let mut presence = lobby.presence();
    assert_eq!(told(&mut presence), ["1: sync 1 0"]);
    let waiting = tokio::spawn(async move { (presence.next().await, presence.next().await) });
    rpc_testing::settle().await;
    link(&house, &one, true);
    pass(ALMOST + REST).await;
    lobby.leave(&one);
    let heard = tokio::time::timeout(rpc_testing::SOON, waiting).await.unwrap().unwrap();
    let is_so = matches!(heard, (Some(PresenceChange::Detached { .. }), Some(PresenceChange::Left { .. })));
    assert!(is_so, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_a_new_list() {
    let house = House::new();
    let (one, lobby) = (house.open().await, house.lobby());
    let (mut slow, mut reader) = (lobby.presence(), Reader::default());
    assert!(reader.read(&mut slow));
    for note in 0..256_usize {
        lobby.join_with(&one, note).unwrap();
    }
    while reader.read(&mut slow) {}
    assert_eq!((reader.lists, reader.number), (1, 256), "it was not too slow");
    for note in 0..257_usize {
        lobby.join_with(&one, note).unwrap();
    }
    while reader.read(&mut slow) {}
    assert_eq!((reader.lists, reader.number), (2, 513));
    assert_eq!(reader.members, BTreeMap::from([(one.id(), Some(256))]));
}

#[tokio::test(start_paused = true)]
async fn too_many_members_are_counted() {
    let (house, mut sessions) = (House::new(), Vec::new());
    for _ in 0..9 {
        sessions.push(house.open().await);
    }
    let lobby = house.lobby();
    let mut presence = lobby.presence().most_listed(8);
    for session in &sessions[..8] {
        lobby.join(session).unwrap();
    }
    assert_eq!(told(&mut presence), ["8: sync 8 0"]);
    lobby.join(&sessions[8]).unwrap();
    assert_eq!(told(&mut presence), ["9: count 9"]);
    lobby.leave(&sessions[8]);
    assert_eq!(told(&mut presence), ["10: count 8"], "it does not change back and forth at the limit");
    lobby.leave(&sessions[7]);
    assert_eq!(told(&mut presence), ["11: sync 7 0"]);
    lobby.join(&sessions[7]).unwrap();
    assert_eq!(told(&mut presence), ["12: joined"]);
}

#[tokio::test(start_paused = true)]
async fn numbers_go_on_when_a_group_is_gone_and_comes_again() {
    let house = House::new();
    let (one, lobby) = (house.open().await, house.lobby());
    let mut presence = lobby.presence();
    assert_eq!((told(&mut presence), house.counts()), (vec!["0: sync 0 0".to_owned()], (1, 0)));
    lobby.join(&one).unwrap();
    lobby.leave(&one);
    assert_eq!(told(&mut presence), ["1: joined", "2: left"]);
    assert_eq!(house.counts(), (1, 0), "a group that is watched is kept");
    drop(presence);
    assert_eq!(house.counts(), (0, 0));
    lobby.join(&one).unwrap();
    assert_eq!(told(&mut lobby.presence()), ["3: sync 1 0"]);
    lobby.leave(&one);
    assert_eq!(house.counts(), (0, 0));
}

#[tokio::test]
async fn a_stream_ends_with_the_server() {
    let house = House::new();
    let (one, lobby) = (house.open().await, house.lobby());
    lobby.join(&one).unwrap();
    let mut presence = lobby.presence();
    assert_eq!(told(&mut presence), ["1: sync 1 0"]);
    house.end(&one).await;
    house.sessions.close();
    let heard = told(&mut presence);
    assert_eq!((heard.len(), heard.last().map(String::as_str)), (2, Some("end")));
}

/// Readers of every pace know in the end what is true.
#[tokio::test(start_paused = true)]
async fn all_readers_agree_in_the_end() {
    let house = House::new();
    let mut sessions = Vec::new();
    for _ in 0..12 {
        sessions.push(house.open().await);
    }
    for seed in 0..20 {
        let (lobby, mut random) = (house.lobby(), Random(seed));
        let mut lost = BTreeSet::new();
        let limits = [1_000, 1_000, 6, 9];
        let mut readers: Vec<_> =
            limits.iter().map(|most| (lobby.presence().most_listed(*most), Reader::default())).collect();
        for step in 0..1_500 {
            let session = &sessions[random.below(sessions.len())];
            match random.below(8) {
                0..2 => assert!(lobby.join(session).is_ok()),
                2 => assert!(lobby.join_with(session, step).is_ok()),
                3 => assert_eq!(lobby.contains(session.id()), lobby.leave(session)),
                4 if lobby.contains(session.id()) => {
                    let is_lost = lost.insert(session.id()) || !lost.remove(&session.id());
                    link(&house, session, is_lost);
                }
                5 => tokio::time::advance(Duration::from_millis(500)).await,
                // The first reader reads seldom.
                _ => {
                    let which = random.below(readers.len());
                    let (presence, reader) = &mut readers[which];
                    if which > 0 || random.below(40) == 0 {
                        reader.read(presence);
                    }
                }
            }
            lost.retain(|session| lobby.contains(*session));
        }
        pass(Duration::from_secs(3)).await;
        let truth: BTreeMap<_, _> =
            lobby.members().iter().map(|m| (m.id(), m.note::<usize>().map(|note| *note))).collect();
        for ((presence, reader), most) in readers.iter_mut().zip(limits) {
            while reader.read(presence) {}
            match reader.count {
                Some(count) => assert!(count == truth.len() && count > most - most / 8, "seed {seed}"),
                None => assert_eq!((&reader.members, &reader.away), (&truth, &lost), "seed {seed}"),
            }
        }
        drop(readers);
        for session in &sessions {
            lobby.leave(session);
        }
        assert_eq!(house.counts(), (0, 0), "seed {seed}");
    }
}
