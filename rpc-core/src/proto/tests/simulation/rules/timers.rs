//! Times that stand still without a link, and times that do not.

use std::task::Waker;

use super::{super::world::WINDOW, SECOND, Server, call, outgoing, world};
use crate::{
    config::Config,
    error::{ConnectionError, TimeLimit},
    proto::{CallProgress, CallStart, DeadlineSetting, IdleTimeout, Outcome, tests::pair::CLIENT},
    status::Execution,
    wire::{Frame, Payload, Request},
};

#[test]
fn both_ends_give_a_session_up_when_its_time_without_a_link_is_over() {
    let mut world = world();
    world.call(CLIENT, call());
    world.transmit(CLIENT, 10);
    world.lose();
    world.is_ending = true;
    // No link is made.
    world.stay_away();
    world.pass(WINDOW - SECOND);
    assert_eq!(world.server.len(), 1);
    world.pass(2 * SECOND);
    assert!(world.server.is_empty());
    assert!(world.client.connection.is_open(), "the server may have noticed the loss later");
    world.pass(Config::default().keepalive_timeout());
    assert!(matches!(world.client.closed, Some(ConnectionError::Lost(_))), "{:?}", world.client.closed);
    assert!(world.client.is_done() && world.client.is_quiet());
}

#[test]
fn a_peer_that_withholds_its_acks_loses_its_link_and_then_the_session() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.written();
    server.pass(29);
    assert!(server.connection.detached().is_none());
    server.pass(2);
    assert!(server.connection.detached().is_some() && server.connection.is_open());
    server.resume(0);
    server.pass(29);
    assert!(server.connection.is_open());
    server.pass(2);
    let closed = server.closed();
    assert!(matches!(&closed, Some(ConnectionError::TimedOut(it)) if matches!(it.limit, TimeLimit::Acks { .. })));
    // An ack that came with a resume is one, too.
    let mut server = Server::new(1 << 20);
    for received in 0..4 {
        server.call(None);
        server.written();
        server.pass(31);
        assert!(server.connection.detached().is_some() && server.connection.is_open());
        server.resume(received + 1);
    }
}

#[test]
fn a_peer_that_cuts_each_link_in_time_does_not_hold_a_transfer_for_ever() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[Frame::Request(Request::plain(1, 1, Payload::announced(1, 4 << 20)))]);
    let mut links = 0;
    while server.connection.is_open() {
        server.pass(20);
        server.lose();
        server.pass(5);
        if server.connection.is_open() {
            server.resume(server.connection.positions().1);
        }
        links += 1;
        assert!(links < 10, "the transfer is held for ever");
    }
    assert!((3..=5).contains(&links), "{links}");
    assert_eq!(server.connection.stats(), Default::default());
}

#[test]
fn the_time_for_acks_stands_still_without_a_link() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.written();
    server.pass(20);
    server.lose();
    server.pass(40);
    server.resume(0);
    server.pass(9);
    assert!(server.connection.detached().is_none());
    server.pass(2);
    assert!(server.connection.detached().is_some() && server.connection.is_open());
}

#[test]
fn a_call_that_finds_no_link_in_time_says_how_the_last_one_was_lost() {
    let mut server = Server::new(1 << 20);
    server.lose();
    let deadline = Some(server.now + SECOND);
    let mut start = CallStart { deadline, ..CallStart::default() };
    let (key, _) = server.connection.begin_call(server.now, &mut start, Waker::noop()).unwrap();
    server.pass(2);
    let CallProgress::Done(Outcome::Status(status)) = server.connection.poll_call(key, Waker::noop()) else {
        panic!("it has ended");
    };
    assert_eq!(status.execution(), Execution::NotExecuted);
    let said = status.message();
    assert!(
        said.ends_with("the session has lost its link, and had no other one yet (the link was lost: cut)"),
        "{said}"
    );
}

#[test]
fn the_gap_between_two_items_begins_anew_with_the_next_link() {
    let mut server = Server::new(1 << 20);
    let idle_timeout = Some(IdleTimeout { time: 10 * SECOND, setting: DeadlineSetting::Config });
    let mut start = CallStart { idle_timeout, ..CallStart::default() };
    let (key, _) = server.connection.begin_call(server.now, &mut start, Waker::noop()).unwrap();
    assert!(server.connection.send_call(key, &mut outgoing(1, 1), Waker::noop()));
    server.written();
    server.pass(6);
    server.lose();
    server.pass(20);
    server.resume(1);
    server.pass(9);
    assert_eq!(server.connection.poll_call(key, Waker::noop()), CallProgress::Waiting);
    server.pass(2);
    assert!(matches!(server.connection.poll_call(key, Waker::noop()), CallProgress::Done(_)));
}

#[test]
fn each_period_needs_an_ack() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.written();
    server.pass(15);
    server.call(None);
    server.written();
    server.say(1, &[]);
    server.pass(16);
    assert!(server.connection.detached().is_none());
    server.pass(30);
    assert!(server.connection.detached().is_some());
}

#[test]
fn a_transfer_that_has_grown_since_it_cost_a_link_costs_a_link_again_and_no_session() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[Frame::Request(Request::plain(1, 1, Payload::announced(1, 4 << 20)))]);
    for _ in 0..3 {
        while server.connection.is_open() && server.connection.detached().is_none() {
            server.pass(1);
        }
        assert!(server.connection.is_open());
        server.resume(0);
        server.say(0, &[Frame::Chunk { transfer: 1, data: vec![7; 20_000].into() }]);
    }
    while server.connection.is_open() && server.connection.detached().is_none() {
        server.pass(1);
    }
    server.resume(0);
    server.pass(62);
    assert!(!server.connection.is_open());
}

#[test]
fn what_came_before_a_transfer_cost_its_link_does_not_count_with_the_next_one() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[Frame::Request(Request::plain(1, 1, Payload::announced(1, 4 << 20)))]);
    // Each part alone is too little for a period, and both together are not.
    let part = || Frame::Chunk { transfer: 1, data: vec![7; 10_000].into() };
    server.say(0, &[part()]);
    server.pass(31);
    assert!(server.connection.detached().is_some() && server.connection.is_open());
    server.resume(0);
    server.say(0, &[part()]);
    server.pass(29);
    assert!(server.connection.is_open());
    server.pass(2);
    assert!(!server.connection.is_open());
}

#[test]
fn silence_costs_the_link_alone() {
    let mut server = Server::new(1 << 20);
    while let Some(next) = server.connection.poll_timeout().filter(|_| server.connection.detached().is_none()) {
        server.now = next;
        server.connection.handle_timeout(server.now);
        server.written();
    }
    assert!(server.connection.is_open());
    let why = server.connection.detached().map(|(_, error)| error.clone());
    assert!(matches!(why, Some(ConnectionError::TimedOut(it)) if it.limit == TimeLimit::Keepalive));
}
