//! The last words of a session.

use std::{task::Waker, time::Instant};

use bytes::Bytes;

use super::{
    super::world::{WINDOW, World},
    SECOND, Server, call, client, greeting_client, lost, newcomer, outgoing, packet, request, token, welcome, welcomed,
    world,
};
use crate::{
    contract::MethodDescriptor,
    error::{CloseCode, ConnectionError, HandshakeViolation},
    proto::{
        CallProgress, CallStart, Charges, Completion, Connection, Resumability, ServedKey,
        pings::PING_BURST,
        tests::pair::{CLIENT, SERVER},
    },
    wire::{ErrorBody, Frame, Payload, Resume, Streams, read_packet},
};

#[test]
fn the_last_words_are_said_again() {
    for loser in [CLIENT, SERVER] {
        let mut world = world();
        world.call(CLIENT, call());
        world.exchange();
        world.server[0].answer_all(&mut world.ledger);
        world.end_mut(loser).unwrap().connection.close();
        world.transmit(loser, 10);
        let closed = |world: &World| [world.client.closed.is_some(), world.server.iter().any(|it| it.closed.is_some())];
        world.lose();
        world.is_ending = true;
        assert_eq!(closed(&world), [loser == CLIENT, loser == SERVER]);
        world.pass(6 * SECOND);
        world.exchange();
        let normal = ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason: "".into() };
        if loser == SERVER {
            assert_eq!(world.client.closed, Some(normal));
            assert_eq!(world.ledger.values(), 1, "the answer that went before the end has arrived as well");
        }
        assert!(world.server.is_empty() && world.client.is_done());
    }
}

#[test]
fn last_words_that_cross_end_both_sides_with_what_the_other_has_said() {
    let mut world = world();
    world.is_ending = true;
    let now = world.now;
    world.client.connection.close();
    world.server[0].connection.drain(now, "bye");
    for _ in 0..3 {
        world.transmit(CLIENT, 10);
        world.transmit(SERVER, 10);
    }
    world.exchange();
    assert!(world.server.is_empty() && world.client.is_done());
    let error = world.client.connection.ended().unwrap();
    assert!(error.is_shut_down(), "{error}");
}

#[test]
fn last_words_are_given_up_after_ten_seconds() {
    let mut world = world();
    world.lose();
    world.stay_away();
    world.is_ending = true;
    world.server[0].connection.close();
    world.client.connection.close();
    world.pass(11 * SECOND);
    assert!(world.server.is_empty() && world.client.is_done());
    assert_eq!(world.client.connection.poll_timeout(), None);
}

#[test]
fn a_bye_in_a_session_that_cannot_be_resumed_is_a_breach() {
    let now = Instant::now();
    let (mut connection, early) = Connection::server(1, newcomer(now, None), now);
    connection.accept(now, 1, Vec::new(), Vec::new(), early);
    connection.handle_packet(now, packet(1, 0, &[Frame::Bye { code: 1000, message: String::new() }]));
    let expected = ConnectionError::Protocol(HandshakeViolation::UnexpectedBye.into());
    assert_eq!(connection.ended(), Some(&expected));
}

#[test]
fn after_a_bye_nothing_counted_is_said_and_it_is_acknowledged_at_once() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.say(0, &[Frame::Bye { code: 1000, message: "done".to_owned() }]);
    assert_eq!(server.connection.poll_timeout(), Some(server.now));
    assert_eq!(server.written(), [packet(0, 1, &[])]);
    let closed = ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason: "done".into() };
    assert_eq!(server.closed(), Some(closed));
    server.lose();
    assert_eq!(server.connection.detached(), None, "nothing is left for which a link is needed");
}

fn bye(code: u16) -> Frame {
    Frame::Bye { code, message: String::new() }
}

#[test]
fn a_side_whose_last_words_wait_says_nothing_more_after_those_of_the_other() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.connection.close();
    server.say(0, &[bye(1008)]);
    assert!(!server.connection.is_lingering());
    assert_eq!(server.connection.stats().replay_bytes, 0);
    assert_eq!(server.written(), [packet(0, 1, &[])]);
    let reason = ConnectionError::ClosedByPeer { code: CloseCode(1008), reason: "".into() };
    assert_eq!(server.connection.ended(), Some(&reason));
}

#[test]
fn last_words_are_acknowledged_also_by_a_packet_that_is_not_the_next_one() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.connection.close();
    server.written();
    let (.., next) = server.connection.positions();
    for (ack, lingers) in [(next - 2, true), (next - 1, false)] {
        server.connection.handle_packet(server.now, packet(7, ack, &[]));
        server.connection.check();
        assert_eq!(server.connection.is_lingering(), lingers);
    }
}

#[test]
fn last_words_take_no_longer_than_the_drain() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[request(1)]);
    server.connection.drain(server.now, "bye");
    let end_by = server.connection.end_by().unwrap();
    while server.connection.is_open() {
        server.pass(1);
    }
    server.written();
    assert!(server.connection.is_lingering() && server.now < end_by);
    server.now = end_by;
    server.connection.handle_timeout(server.now);
    assert!(!server.connection.is_lingering());
}

#[test]
fn bulk_that_waits_for_acks_goes_before_the_last_words() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[request(1)]);
    let (key, result) = (ServedKey::Call(1), Bytes::from(vec![7; 4 << 20]));
    server.connection.complete(key, Completion::Value(result.into()), Charges::default());
    let mut written = server.written();
    server.connection.close();
    let mut acked = 0;
    while server.connection.is_lingering() {
        let last = written.last().map(|packet| read_packet(packet.clone()).unwrap());
        acked = last.map_or(acked, |(header, frames)| {
            let is_last = frames.flatten().any(|frame| matches!(frame, Frame::Bye { .. }));
            assert_eq!(is_last, server.connection.stats().transfer_bytes == 0);
            header.seq
        });
        server.say(acked, &[]);
        written = server.written();
    }
    assert!(acked > 60, "{acked} packets");
}

#[test]
fn last_words_over_a_further_link_are_timed_by_nothing_but_their_own_time() {
    let mut server = Server::new(1 << 20);
    server.lose();
    server.connection.close();
    server.connection.handle_timeout(server.now);
    let frames = server.resume(0);
    assert!(matches!(frames[..], [Frame::Welcome(_), Frame::Bye { .. }]), "{frames:?}");
    server.say(1, &[]);
    assert!(!server.connection.is_lingering());
    assert_eq!(server.connection.poll_timeout(), None);
}

#[test]
fn who_pings_too_much_while_last_words_wait_gets_none() {
    let burst = u64::from(PING_BURST);
    let lingering = || {
        let mut server = Server::new(1 << 20);
        server.connection.close();
        server.written();
        assert!(server.connection.is_lingering());
        server
    };
    let mut server = lingering();
    for token in 0..burst {
        server.connection.handle_packet(server.now, packet(0, 0, &[Frame::Ping { token }]));
        assert!(server.connection.is_lingering());
    }
    server.connection.handle_packet(server.now, packet(0, 0, &[Frame::Ping { token: burst }]));
    assert!(!server.connection.is_lingering() && !server.connection.has_output());
    // The WebSocket's own pings count alike.
    let mut server = lingering();
    assert!(server.connection.handle_controls(server.now, burst) && server.connection.is_lingering());
    assert!(!server.connection.handle_controls(server.now, burst + 1));
    assert!(!server.connection.is_lingering() && !server.connection.has_output());
}

#[test]
fn no_link_follows_for_last_words_that_are_given_up() {
    let mut server = Server::new(1 << 20);
    server.lose();
    server.connection.close();
    assert!(server.connection.is_lingering());
    server.connection.give_up_links();
    assert!(!server.connection.is_lingering() && !server.connection.has_output());
}

#[test]
fn a_client_with_nothing_but_its_last_words_asks_for_no_other_session() {
    let now = Instant::now();
    let mut client = client(now);
    client.handle_lost(now, lost());
    client.close();
    let said = client.resume_hello(Vec::new()).unwrap();
    assert_eq!((said.resume_window_ms, said.resume.map(|resume| resume.epoch)), (0, Some(1)));
}

#[test]
fn a_session_that_broke_a_rule_or_was_never_open_says_no_last_words() {
    let now = Instant::now();
    let mut client = greeting_client(now);
    client.close();
    assert!(!client.is_lingering() && client.poll_transmit(now).is_none());
    let mut server = Server::new(1 << 20);
    server.say(9, &[]);
    assert!(!server.connection.is_lingering());
    assert!(server.written().is_empty());
    let (mut refusing, _) = Connection::server(1, newcomer(now, None), now);
    refusing.make_resumable(Resumability { window: WINDOW, replay_buffer: 1 << 20 }, &token());
    refusing.refuse(crate::Status::unavailable("full"));
    assert!(!refusing.is_lingering());
}

#[test]
fn the_link_of_last_words_may_be_lost_twice() {
    let mut server = Server::new(1 << 20);
    server.connection.close();
    server.written();
    for _ in 0..2 {
        server.lose();
        assert!(server.connection.is_lingering() && server.connection.detached().is_some());
        assert!(matches!(server.resume(0)[..], [Frame::Welcome(_), Frame::Bye { .. }]));
    }
    server.lose();
    server.pass(11);
    assert!(!server.connection.is_lingering());
    assert_eq!(server.connection.poll_timeout(), None);
}

#[test]
fn last_words_are_given_up_when_the_other_side_ends_the_session_by_a_code() {
    let mut server = Server::new(1 << 20);
    server.connection.close();
    server.written();
    let code = CloseCode::POLICY_VIOLATION;
    server.connection.handle_lost(server.now, ConnectionError::ClosedByPeer { code, reason: "".into() });
    assert!(!server.connection.is_lingering() && server.connection.detached().is_none());
}

#[test]
fn last_words_are_given_up_when_the_server_has_an_impossible_position() {
    let now = Instant::now();
    let mut client = client(now);
    client.handle_lost(now, lost());
    client.close();
    let said = client.resume_hello(Vec::new()).unwrap();
    assert!(client.attach_to(now, welcomed(now, said, 5)).is_err());
    assert!(!client.is_lingering() && !client.has_output());
}

#[test]
fn what_goes_again_and_the_last_words_are_output() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.written();
    assert!(!server.connection.has_output());
    server.lose();
    let resume = Resume { token: token(), epoch: 1, received: 0 };
    server.connection.attach(server.now, newcomer(server.now, Some(resume))).unwrap();
    assert!(server.connection.poll_transmit(server.now).is_some(), "the Welcome");
    assert!(server.connection.has_output() && server.connection.may_transmit(server.now));
    server.written();
    server.connection.close();
    assert!(server.connection.has_output());
}

#[test]
fn a_drain_ends_a_session_without_a_link_as_soon_as_nothing_is_left_to_do() {
    let mut server = Server::new(1 << 20);
    server.lose();
    server.connection.drain(server.now, "bye");
    assert_eq!(server.closed(), None, "the shell has yet to act on what has happened");
    assert!(server.written().is_empty());
    assert!(server.connection.ended().is_some_and(ConnectionError::is_shut_down));
    assert!(server.connection.is_lingering(), "the client has yet to learn of it");
}

#[test]
fn a_machine_that_has_slept_through_its_drain_still_says_its_last_words() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[request(1)]);
    server.connection.drain(server.now, "bye");
    server.written();
    server.now += 1000 * SECOND;
    server.connection.handle_timeout(server.now);
    assert!(server.connection.is_lingering());
    assert!(server.connection.poll_timeout().is_some_and(|next| next > server.now));
    assert!(matches!(server.frames()[..], [.., Frame::Bye { .. }]));
    server.now += SECOND;
    server.connection.handle_timeout(server.now);
    assert!(!server.connection.is_lingering());
}

static LEAVE: MethodDescriptor = MethodDescriptor::new("Door", "leave", 0).terminating();
static LOOK: MethodDescriptor = MethodDescriptor::new("Door", "look", 0);

/// A client that has called the method and gets this answer. The session can be resumed, or not.
fn answered(method: &'static MethodDescriptor, answer: &Answer, is_resumable: bool) -> Connection {
    let now = Instant::now();
    let mut client = greeting_client(now);
    client.handle_packet(now, welcome(if is_resumable { 60_000 } else { 0 }));
    let mut start = CallStart { method: Some(method), ..CallStart::default() };
    let (key, _) = client.begin_call(now, &mut start, Waker::noop()).unwrap();
    assert!(client.send_call(key, &mut outgoing(8, 0), Waker::noop()));
    while client.poll_transmit(now).is_some() {}
    let (id, payload) = (key.id(), Payload::Inline(Bytes::from_static(&[0xc0])));
    let answer = match answer {
        Answer::Value => Frame::Response { id, payload, streams: Streams::default() },
        Answer::Fault => Frame::Error { id, error: ErrorBody::Fault(payload) },
        Answer::Status => Frame::Error { id, error: ErrorBody::Status(crate::Status::unavailable("not now")) },
    };
    client.handle_packet(now, packet(1, 1, &[answer]));
    assert!(matches!(client.poll_call(key, Waker::noop()), CallProgress::Done(_)));
    client
}

enum Answer {
    Value,
    Fault,
    Status,
}

#[test]
fn a_link_that_is_lost_after_a_method_that_ends_the_session_ends_it_in_order() {
    let now = Instant::now();
    let restart = ConnectionError::ClosedByPeer { code: CloseCode::RESTART, reason: "".into() };
    for is_resumable in [true, false] {
        for error in [lost(), restart.clone()] {
            let mut client = answered(&LEAVE, &Answer::Value, is_resumable);
            client.handle_lost(now, error);
            let ended = client.ended().cloned();
            let in_order = ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason: "".into() };
            assert_eq!(ended, Some(in_order), "{is_resumable}");
            assert!(!client.is_lingering() && client.detached().is_none());
        }
        // Another ending is what it is.
        let mut client = answered(&LEAVE, &Answer::Value, is_resumable);
        client.close();
        assert_eq!(client.ended(), Some(&ConnectionError::ClosedLocally));
    }
    // The link falls silent.
    let mut client = answered(&LEAVE, &Answer::Value, true);
    let mut now = now;
    while client.ended().is_none() {
        now = client.poll_timeout().unwrap().max(now);
        client.handle_timeout(now);
        while client.poll_transmit(now).is_some() {}
        assert!(client.detached().is_none(), "no other link is waited for");
    }
    assert!(matches!(client.ended(), Some(ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. })));
    // The server shuts down behind its answer.
    let mut client = answered(&LEAVE, &Answer::Value, true);
    client.handle_packet(now, packet(2, 1, &[Frame::Bye { code: 1012, message: String::new() }]));
    assert!(matches!(client.ended(), Some(ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. })));
}

#[test]
fn a_link_that_is_lost_after_another_answer_is_lost() {
    let now = Instant::now();
    for (method, answer) in [(&LOOK, Answer::Value), (&LEAVE, Answer::Fault), (&LEAVE, Answer::Status)] {
        let mut client = answered(method, &answer, true);
        client.handle_lost(now, lost());
        assert!(client.detached().is_some() && client.ended().is_none());
    }
}
