//! What a session keeps to be resumed is a cache, and may be forgotten.

use std::task::Waker;

use bytes::Bytes;

use super::{SECOND, Server, call, lost, newcomer, outgoing, packet, request, token, world};
use crate::{
    error::{CloseCode, ConnectionError, MemoryLimit, TimeLimit},
    proto::{
        CallProgress, CallStart, Charges, Completion, Kept, MemoryPool, Outcome, ResumeVerdict, ServedKey,
        tests::pair::{CLIENT, SERVER},
    },
    status::Execution,
    wire::{Frame, Resume},
};

fn verdict(server: &Server, received: u64) -> ResumeVerdict {
    let resume = Resume { token: token(), epoch: server.connection.epoch() + 1, received };
    server.connection.judge_resume(&resume)
}

/// A server with a call under way that it has forgotten.
fn forgetful() -> Server {
    let mut server = Server::new(1 << 20);
    server.call(None);
    assert_eq!(server.written().len(), 1);
    server.connection.forget();
    assert_eq!(server.connection.stats().replay_bytes, 0);
    server
}

#[test]
fn a_session_that_forgets_keeps_its_link_and_calls_go_on() {
    let mut world = world();
    world.call(CLIENT, call());
    world.exchange();
    world.server[0].answer_all(&mut world.ledger);
    world.transmit(SERVER, 10);
    world.forget(SERVER);
    world.exchange();
    assert_eq!((world.ledger.values(), world.forgotten), (1, 1));
    world.call(CLIENT, call());
    world.exchange();
    world.answer();
    assert_eq!(world.ledger.values(), 2);
}

#[test]
fn a_session_that_loses_its_link_before_the_ack_of_what_it_forgot_is_over() {
    let mut server = forgetful();
    server.lose();
    assert_eq!(server.closed(), Some(lost()));
    assert_eq!(verdict(&server, 0), ResumeVerdict::Over);
    assert_eq!(server.connection.stats().replay_bytes, 0);
    // So it is if this side gives the link up.
    let mut server = forgetful();
    server.connection.expire_at(Some(server.now));
    server.connection.handle_timeout(server.now);
    assert_eq!(server.closed(), Some(ConnectionError::Expired));
}

#[test]
fn a_session_can_be_resumed_again_once_all_that_it_forgot_is_acknowledged() {
    let mut server = forgetful();
    server.call(None);
    assert_eq!(server.written().len(), 1);
    assert!(server.connection.stats().replay_bytes > 0, "what follows is kept");
    server.say(1, &[]);
    server.lose();
    assert!(server.connection.detached().is_some());
    let again = server.resume(1);
    assert!(matches!(&again[1..], [Frame::Request(_)]), "{again:?}");
    server.say(2, &[]);
    assert_eq!(server.connection.stats().replay_bytes, 0);
}

#[test]
fn a_session_without_a_link_that_forgets_is_over_as_its_link_was() {
    let mut server = Server::new(1 << 20);
    let sent = server.call(None);
    assert_eq!(server.written().len(), 1);
    server.lose();
    let (waiting, progress) =
        server.connection.begin_call(server.now, &mut CallStart::default(), Waker::noop()).unwrap();
    assert_eq!(progress, CallProgress::Waiting);
    server.connection.forget();
    assert_eq!(server.closed(), Some(lost()));
    let mut execution = |key| match server.connection.poll_call(key, Waker::noop()) {
        CallProgress::Done(Outcome::Status(status)) => status.execution(),
        other => panic!("{other:?}"),
    };
    assert_eq!(execution(sent), Execution::Unknown);
    assert_eq!(execution(waiting), Execution::NotExecuted);
}

#[test]
fn a_client_that_has_what_was_forgotten_goes_on_and_another_one_begins_anew() {
    // The server does not know yet that the old link is lost.
    let server = forgetful();
    assert_eq!(verdict(&server, 0), ResumeVerdict::Impossible);
    assert_eq!(verdict(&server, 1), ResumeVerdict::Possible);
    let mut server = server;
    server.connection.end_unresumed();
    let closed = server.closed();
    let is_said = matches!(&closed, Some(ConnectionError::Lost(why)) if why.contains("ServerBuilder::replay_total"));
    assert!(is_said, "{closed:?}");
    let mut server = forgetful();
    assert!(matches!(server.resume(1)[..], [Frame::Welcome(_)]));
}

#[test]
fn a_client_whose_server_has_forgotten_begins_a_new_session_when_the_old_one_is_over() {
    let mut world = world();
    world.call(SERVER, call());
    world.transmit(SERVER, 10);
    world.forget(SERVER);
    // What was on its way does not come, and the server does not notice.
    world.lose_silently();
    let link = world.links.len() - 1;
    world.links[link].to[CLIENT].push(super::super::network::OnItsWay::Lost);
    world.deliver(CLIENT, link);
    world.pass(6 * SECOND);
    world.exchange();
    assert_eq!((world.resumed, world.server.len()), (0, 1));
    assert_eq!(world.tokens, 2, "the server has begun another session");
    assert_eq!(world.ledger.status(0).execution(), Execution::Unknown);
}

#[test]
fn a_session_that_has_yet_to_send_again_what_it_keeps_is_over_if_it_forgets() {
    let mut server = Server::new(1 << 20);
    for _ in 0..2 {
        server.call(None);
        assert_eq!(server.written().len(), 1);
    }
    server.lose();
    let resume = Resume { token: token(), epoch: 1, received: 0 };
    server.connection.attach(server.now, newcomer(server.now, Some(resume))).unwrap();
    for _ in 0..2 {
        assert!(server.connection.poll_transmit(server.now).is_some(), "the Welcome, and one of the packets");
    }
    server.connection.forget();
    let closed = server.closed().unwrap();
    let is_said = matches!(&closed, ConnectionError::Overloaded(overload) if overload.limit == MemoryLimit::Replay);
    assert!(is_said, "{closed:?}");
    assert_eq!(server.connection.close_code(&closed), Some(CloseCode::GIVEN_UP));
    assert_eq!(server.connection.stats().replay_bytes, 0);
}

#[test]
fn a_peer_that_withholds_the_acks_of_what_was_forgotten_is_judged_all_the_same() {
    let mut server = forgetful();
    server.pass(29);
    assert!(server.connection.is_open());
    server.pass(2);
    let closed = server.closed();
    assert!(matches!(&closed, Some(ConnectionError::TimedOut(it)) if matches!(it.limit, TimeLimit::Acks { .. })));
}

#[test]
fn last_words_that_are_forgotten_are_not_said_again() {
    let mut server = Server::new(1 << 20);
    server.connection.close();
    assert!(matches!(server.frames()[..], [Frame::Bye { .. }]));
    server.connection.forget();
    assert!(server.connection.is_lingering(), "their ack may still come over this link");
    let mut acked = Server::new(1 << 20);
    acked.connection.close();
    acked.written();
    acked.connection.forget();
    acked.say(1, &[]);
    assert!(!acked.connection.is_lingering());
    server.lose();
    assert!(!server.connection.is_lingering());
    assert_eq!(server.connection.poll_timeout(), None);
    // Without a link they are given up at once.
    let mut server = Server::new(1 << 20);
    server.lose();
    server.connection.close();
    assert!(server.connection.is_lingering());
    server.connection.forget();
    assert!(!server.connection.is_lingering());
}

/// A server that keeps the arguments of a call, whose handler has a result, and the pool in which that counts.
fn pooled() -> (Server, MemoryPool) {
    let pool = MemoryPool::new(64 << 20);
    let mut server = Server::new(1 << 20);
    server.connection.join_replay_pool(&pool);
    server.say(0, &[request(1)]);
    let (key, _) = server.connection.begin_call(server.now, &mut CallStart::default(), Waker::noop()).unwrap();
    assert!(server.connection.send_call(key, &mut outgoing(60_000, 0), Waker::noop()));
    assert_eq!(server.written().len(), 1);
    (server, pool)
}

#[test]
fn what_is_kept_counts_until_it_is_acknowledged_or_forgotten() {
    let (mut server, pool) = pooled();
    let kept = server.connection.stats().replay_bytes;
    assert!(kept > 60_000 && pool.held() == kept + 64, "{kept} {}", pool.held());
    assert_eq!(server.connection.kept(), Kept { bytes: kept + 64, attached_for: None });
    server.say(1, &[]);
    assert_eq!((pool.held(), server.connection.kept()), (0, Kept::default()));
    let (mut server, pool) = pooled();
    server.connection.forget();
    assert_eq!(pool.held(), 0);
}

#[test]
fn without_a_link_all_that_a_session_holds_counts() {
    let (mut server, pool) = pooled();
    let whole = MemoryPool::new(64 << 20);
    server.connection.join_pool(&whole);
    let with_link = pool.held();
    server.now += 5 * SECOND;
    server.lose();
    assert!(pool.held() < with_link + 1024, "{with_link} {}", pool.held());
    let result = Bytes::from(vec![7; 100_000]);
    server.connection.complete(ServedKey::Call(1), Completion::Value(result.into()), Charges::default());
    assert!(server.written().is_empty());
    assert!(pool.held() > with_link + 100_000, "{with_link} {}", pool.held());
    assert!(whole.held().abs_diff(pool.held()) < 8192, "it is a part of the whole: {} {}", whole.held(), pool.held());
    server.now += 5 * SECOND;
    let kept = server.connection.kept();
    assert_eq!((kept.bytes, kept.attached_for), (pool.held(), Some(5 * SECOND)));
    let resume = Resume { token: token(), epoch: 1, received: 0 };
    server.connection.attach(server.now, newcomer(server.now, Some(resume))).unwrap();
    assert_eq!(pool.held(), with_link);
    server.now += SECOND;
    server.lose();
    assert_eq!(server.connection.kept().attached_for, Some(6 * SECOND), "over both links");
    server.connection.forget();
    assert_eq!((pool.held(), pool.sessions()), (0, 0));
}

#[test]
fn without_a_link_little_counts_as_well() {
    let (mut server, pool) = (Server::new(1 << 20), MemoryPool::new(64 << 20));
    server.connection.join_replay_pool(&pool);
    server.call(None);
    server.say(0, &[request(1)]);
    server.written();
    assert_eq!(pool.held(), 0, "a session in use reports steps");
    server.lose();
    let held = pool.held();
    assert!(held > 64);
    assert_eq!(server.connection.kept().bytes, held);
    // What comes later counts as well.
    let result = Completion::Value(Bytes::from(vec![7; 3000]).into());
    server.connection.complete(ServedKey::Call(1), result, Charges::default());
    server.written();
    assert!(pool.held() > held + 2000, "{} and {held}", pool.held());
    let held = pool.held();
    assert_eq!(server.connection.kept().bytes, held);
}

#[test]
fn last_words_count_until_they_are_acknowledged() {
    let (mut server, pool) = pooled();
    server.connection.close();
    server.written();
    assert!(pool.held() > 60_000);
    server.connection.handle_packet(server.now, packet(0, 2, &[]));
    assert_eq!((pool.held(), pool.sessions()), (0, 0));
}
