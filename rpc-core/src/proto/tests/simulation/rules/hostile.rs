//! What a peer with a raw socket may try.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    super::world::WINDOW, SECOND, Server, client, greeting_client, lost, newcomer, outgoing, packet, request, token,
    welcome,
};
use crate::{
    config::Config,
    error::{CloseCode, ConnectionError, HandshakeViolation, ProtocolError},
    proto::{CallStart, Charges, Completion, Event, ResumeVerdict},
    wire::{Frame, Notify, Payload, Request, Resume, Welcome},
};

const BYE: Frame = Frame::Bye { code: 1000, message: String::new() };

#[test]
fn frames_of_the_layer_below_on_a_lost_link_do_not_end_the_session() {
    let mut server = Server::new(1 << 20);
    server.lose();
    let next = server.connection.poll_timeout();
    assert!(server.connection.handle_controls(server.now, 1000));
    server.connection.handle_activity(server.now, 1000, true);
    server.connection.handle_write(server.now, true, 1000);
    assert!(server.connection.is_open());
    assert_eq!(server.connection.poll_timeout(), next, "nothing arrives, and nothing is stuck");
}

#[test]
fn a_first_welcome_cannot_resume() {
    let now = Instant::now();
    let mut client = greeting_client(now);
    client.handle_packet(now, packet(0, 0, &[Frame::Welcome(Box::new(Welcome::resume(0)))]));
    let expected = ConnectionError::Protocol(HandshakeViolation::UnexpectedResume.into());
    assert_eq!(client.ended(), Some(&expected));
}

#[test]
fn no_server_makes_a_client_keep_its_session_for_longer_than_the_client_has_asked_for() {
    let now = Instant::now();
    let mut client = greeting_client(now);
    client.handle_packet(now, welcome(u64::MAX));
    client.handle_lost(now, lost());
    let until = now + WINDOW + Config::default().keepalive_timeout();
    client.handle_timeout(until);
    assert_eq!(client.ended(), Some(&lost()));
}

#[test]
fn a_peer_that_has_broken_a_rule_does_not_change_why_the_session_has_ended() {
    let mut server = Server::new(1 << 20);
    server.connection.handle_packet(server.now, packet(2, 0, &[request(1)]));
    let breach = ConnectionError::Protocol(ProtocolError::OutOfSequence { seq: 2, expected: 1 });
    assert_eq!(server.connection.ended(), Some(&breach));
    server.say(0, &[BYE]);
    assert_eq!(server.connection.ended(), Some(&breach));
}

#[test]
fn only_a_counted_bye_is_one() {
    let mut server = Server::new(1 << 20);
    server.connection.close();
    assert_eq!(server.written().len(), 1);
    server.connection.handle_packet(server.now, packet(0, 0, &[BYE]));
    assert!(server.connection.is_lingering());
    assert_eq!(server.connection.ended(), Some(&ConnectionError::ClosedLocally));
}

#[test]
fn frames_behind_a_bye_are_not_taken_in() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[request(1), BYE, request(2), Frame::Bye { code: 1008, message: String::new() }]);
    let ids = std::iter::from_fn(|| server.connection.poll_event()).filter_map(|event| match event {
        Event::Call { key, .. } => Some(key),
        _ => None,
    });
    assert_eq!(ids.collect::<Vec<_>>(), [crate::proto::ServedKey::Call(1)]);
    let normal = ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, reason: "".into() };
    assert_eq!(server.connection.ended(), Some(&normal));
}

#[test]
fn a_second_handshake_in_the_middle_is_a_breach() {
    for frame in [Frame::Welcome(Box::new(Welcome::resume(0))), Frame::Hello(super::hello(None))] {
        let mut server = Server::new(1 << 20);
        server.call(None);
        server.connection.handle_packet(server.now, packet(0, 0, &[frame]));
        let second = ConnectionError::Protocol(HandshakeViolation::Second.into());
        assert_eq!(server.closed(), Some(second));
        server.lose();
        assert!(server.connection.detached().is_none() && !server.connection.is_lingering());
    }
}

#[test]
fn acks_that_go_back_change_nothing() {
    let mut server = Server::new(1 << 20);
    for _ in 0..3 {
        server.call(None);
        assert_eq!(server.written().len(), 1);
    }
    server.say(2, &[]);
    server.say(0, &[]);
    server.connection.check();
    server.lose();
    let resume = Resume { token: token(), epoch: 1, received: 1 };
    assert_eq!(server.connection.judge_resume(&resume), ResumeVerdict::Impossible);
    assert_eq!(server.resume(2).len(), 2, "the Welcome and the third call");
    server.say(0, &[]);
    server.connection.check();
}

#[test]
fn a_client_that_comes_back_all_the_time_is_sent_away_and_its_session_lives() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.written();
    let again = |server: &mut Server| {
        server.lose();
        let resume = Resume { token: token(), epoch: server.connection.epoch() + 1, received: 0 };
        server.connection.attach(server.now, newcomer(server.now, Some(resume)))
    };
    assert_eq!((0..1000).filter(|_| again(&mut server).is_ok()).count(), 10);
    assert_eq!(again(&mut server), Err(CloseCode::TRY_AGAIN_LATER));
    assert_eq!((server.connection.epoch(), server.connection.is_open()), (10, true));
    assert!(server.connection.detached().is_some(), "the session is as it was");
    server.now += SECOND;
    assert_eq!(again(&mut server), Ok(()));
    server.connection.check();
}

#[test]
fn the_highest_epoch_is_the_last_one() {
    let mut server = Server::new(1 << 20);
    let resume = |epoch| Resume { token: token(), epoch, received: 0 };
    assert_eq!(server.connection.attach(server.now, newcomer(server.now, Some(resume(u64::MAX)))), Ok(()));
    server.lose();
    for epoch in [0, 1, u64::MAX] {
        assert_eq!(server.connection.judge_resume(&resume(epoch)), ResumeVerdict::Stale);
    }
    server.pass(61);
    assert_eq!(server.closed(), Some(lost()));
}

#[test]
fn a_peer_that_cuts_each_link_before_the_second_look_does_not_hold_a_transfer_for_ever() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[Frame::Request(Request::plain(1, 1, Payload::announced(1, 4 << 20)))]);
    server.pass(29);
    // The timer runs out, and this end is about to look again.
    server.now += SECOND;
    server.connection.handle_packet(server.now, packet(0, 0, &[]));
    server.connection.handle_timeout(server.now);
    assert!(server.connection.detached().is_none());
    let is_cut = (0..20).any(|_| {
        server.lose();
        server.pass(1);
        server.resume(0);
        server.now += Duration::from_millis(60);
        server.connection.handle_timeout(server.now);
        server.connection.detached().is_some()
    });
    assert!(is_cut);
}

#[test]
fn a_session_that_ends_while_its_link_is_made_says_its_last_words_over_it() {
    let now = Instant::now();
    let mut client = client(now);
    client.handle_lost(now, lost());
    let said = client.resume_hello(Vec::new()).unwrap();
    assert_eq!(said.resume_window_ms, 60_000);
    client.close();
    client.attach_to(now, super::welcomed(now, said, 0)).unwrap();
    let bye = client.poll_transmit(now).unwrap();
    let (header, mut frames) = crate::wire::read_packet(bye).unwrap();
    assert_eq!(header.seq, 1);
    assert!(matches!(frames.next(), Some(Ok(Frame::Bye { code: 1000, .. }))));
    client.handle_packet(now, packet(0, 1, &[]));
    assert!(!client.is_lingering());
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn a_peer_that_withholds_its_acks_does_not_make_this_side_spin() {
    let mut server = Server::new(1);
    let payload = Payload::Inline(Bytes::from_static(&[0x90]));
    server.say(0, &[Frame::Notify(Notify { method: 1, depth: 0, metadata: Vec::new(), payload, missed: None })]);
    let key = std::iter::from_fn(|| server.connection.poll_event()).find_map(|event| match event {
        Event::Call { key, .. } => Some(key),
        _ => None,
    });
    let value = Completion::Value(Bytes::from_static(&[0xc0]).into());
    server.connection.complete(key.unwrap(), value, Charges::default());
    assert!(server.written().is_empty(), "the report waits for another packet");
    // There is no room for the report in this one, and then no packet goes before an ack.
    let (call, _) = server.connection.begin_call(server.now, &mut CallStart::default(), Waker::noop()).unwrap();
    assert!(server.connection.send_call(call, &mut outgoing(64 * 1024, 0), Waker::noop()));
    assert_eq!(server.frames().len(), 1);
    for _ in 0..2 {
        let next = server.connection.poll_timeout().unwrap();
        assert!(next > server.now, "nothing can be sent, and this side wakes all the same");
        server.now = next;
        server.connection.handle_timeout(server.now);
        server.written();
    }
    server.say(1, &[]);
    assert!(server.frames().iter().any(|frame| matches!(frame, Frame::Done { count: 1, .. })));
}

#[test]
fn a_link_that_comes_when_all_is_said_is_not_taken() {
    let now = Instant::now();
    let mut client = client(now);
    client.handle_lost(now, lost());
    let said = client.resume_hello(Vec::new()).unwrap();
    client.close();
    client.handle_timeout(now);
    client.handle_timeout(now + 11 * SECOND);
    assert!(!client.is_lingering());
    while client.poll_event().is_some() {}
    assert_eq!(client.attach_to(now, super::welcomed(now, said, 0)), Err(ConnectionError::ClosedLocally));
    assert!(client.poll_event().is_none() && client.poll_timeout().is_none());
    assert!(!client.has_output());
}
