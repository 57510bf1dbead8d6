//! Many sessions that join, leave and end at once.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use futures::future::join_all;
use rpc_core::ConnectionError;
use rpc_testing::until;

use super::{House, JoinError};

/// Each session ends in one thread and joins in another, both at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_races_an_end_is_refused_or_undone() {
    let house = House::new();
    let (mut refused, mut undone) = (0, 0);
    for _ in 0..300 {
        let (session, lobby) = (house.open().await, house.lobby());
        let start = Barrier::new(2);
        let joined = thread::scope(|scope| {
            let joins = scope.spawn(|| {
                start.wait();
                lobby.join(&session)
            });
            start.wait();
            session.close();
            joins.join().unwrap()
        });
        match joined {
            Ok(is_new) => {
                assert!(is_new);
                undone += 1;
            }
            Err(error) => {
                assert_eq!(error, JoinError::Ended { session: session.id() });
                refused += 1;
            }
        }
        until("rest", || house.counts() == (0, 0)).await;
    }
    assert_eq!(refused + undone, 300);
}

/// An end that comes right after a join has looked at the session's state still takes the session out.
#[tokio::test]
async fn an_end_after_a_join_takes_the_session_out() {
    let house = House::new();
    let session = house.open().await;
    house.lobby().join(&session).unwrap();
    house.groups().ended(session.id(), &ConnectionError::ClosedLocally);
    assert_eq!((house.counts(), house.lobby().len()), ((0, 0), 0));
    house.end(&session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_that_come_and_go_leave_nothing() {
    const SESSIONS: usize = 10_000;
    let house = House::new();
    let sessions = join_all((0..SESSIONS).map(|_| house.open())).await;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let walks = scope.spawn(|| {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(house.groups().registry.members(house.lobby().name()).len());
            }
            most
        });
        let quarters: Vec<_> = sessions
            .chunks(SESSIONS / 4)
            .map(|quarter| {
                let (lobby, attic) = (house.lobby(), house.groups().get::<super::ScreenClient>("attic"));
                scope.spawn(move || {
                    for session in quarter {
                        assert!(lobby.join(session).unwrap());
                        assert!(attic.join_with(session, 7).unwrap());
                    }
                    for session in quarter.iter().step_by(2) {
                        assert!(lobby.leave(session));
                    }
                })
            })
            .collect();
        quarters.into_iter().for_each(|quarter| quarter.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        assert!(walks.join().unwrap() <= SESSIONS);
    });
    assert_eq!((house.lobby().len(), house.counts()), (SESSIONS / 2, (2, SESSIONS)));
    for session in &sessions {
        session.close();
    }
    until("rest", || house.counts() == (0, 0)).await;
    assert_eq!(house.lobby().members().len(), 0);
    until("the end of all sessions", || house.sessions.is_empty()).await;
}
