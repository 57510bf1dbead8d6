//! Which links a session takes, and from where it goes on.

use std::time::{Duration, Instant};

use super::{
    super::world::{WINDOW, World},
    SECOND, Server, call, client, greeting_client, lost, newcomer, packet, request, token, welcome, welcomed, world,
};
use crate::{
    config::Config,
    error::{CloseCode, ConnectionError, HandshakeViolation, ProtocolError, TimeLimit, Timeout},
    proto::{
        Connection, Event, Resumability, ResumeVerdict,
        tests::pair::{CLIENT, SERVER},
    },
    wire::{Frame, Resume, read_packet},
};

#[test]
fn a_client_that_comes_back_before_the_server_has_noticed_takes_the_place_of_its_old_link() {
    let mut world = world();
    world.call(CLIENT, call());
    world.transmit(CLIENT, 10);
    // The client alone learns that the link is lost, and its packet arrives late.
    world.client.link = None;
    world.client.connection.handle_lost(world.now, ConnectionError::Lost("cut".to_owned()));
    world.settle();
    let late = world.links[0].to[SERVER].queue.drain(..).collect::<Vec<_>>();
    world.come_back();
    assert_eq!(world.server[0].losses, 0, "the server has noticed nothing");
    assert_eq!(world.closes, [(SERVER, 0, CloseCode::REPLACED)]);
    world.links[0].to[SERVER].queue.extend(late);
    while world.deliver(SERVER, 0) {}
    world.answer();
    assert_eq!((world.ledger.values(), world.resumed), (1, 1));
}

#[test]
fn a_new_session_whose_welcome_is_lost_leaves_nothing_behind() {
    let mut world = World::new(1, Config::default(), 1 << 20);
    world.transmit(CLIENT, 10);
    world.deliver(SERVER, 0);
    world.transmit(SERVER, 10);
    assert_eq!(world.server.len(), 1);
    world.lose();
    assert!(world.server.is_empty(), "it would wait for a client that does not know of it");
    world.pass(6 * SECOND);
    world.exchange();
    assert_eq!((world.server.len(), world.resumed), (1, 0));
}

#[test]
fn a_resumed_session_whose_welcome_is_lost_waits_for_the_next_link() {
    let mut world = world();
    world.lose();
    world.dial_again();
    world.transmit(CLIENT, 10);
    world.deliver(SERVER, 1);
    world.transmit(SERVER, 10);
    assert_eq!(world.server[0].connection.epoch(), 1);
    world.lose();
    assert_eq!(world.server.len(), 1);
    world.come_back();
    assert_eq!(world.server[0].connection.epoch(), 2);
}

#[test]
fn a_server_that_was_restarted_gives_a_new_session_and_the_calls_end_as_they_must() {
    let mut world = world();
    world.call(CLIENT, call());
    world.exchange();
    world.restart_server();
    while world.deliver(CLIENT, 0) {}
    // This one waits for a link, and is never handed to one.
    world.call(CLIENT, call());
    world.pass(6 * SECOND);
    world.exchange();
    assert_eq!((world.server.len(), world.resumed), (1, 0));
    world.ledger.check_end();
    let executions = [0, 1].map(|number| world.ledger.status(number).execution());
    assert_eq!(executions, [crate::Execution::Unknown, crate::Execution::NotExecuted]);
}

#[test]
fn a_goodbye_that_was_lost_is_said_again() {
    let mut world = world();
    world.call(CLIENT, call());
    world.exchange();
    let now = world.now;
    world.server[0].connection.drain(now, "bye");
    world.transmit(SERVER, 10);
    world.lose();
    assert!(!world.client.connection.is_leaving());
    world.come_back();
    assert!(world.client.connection.is_leaving());
}

#[test]
fn positions_and_epochs_that_cannot_be_are_found() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.call(None);
    assert_eq!(server.written().len(), 1);
    server.call(None);
    assert_eq!(server.written().len(), 1);
    server.say(1, &[]);
    let verdict = |epoch, received| server.connection.judge_resume(&Resume { token: token(), epoch, received });
    assert_eq!(verdict(1, 0), ResumeVerdict::Impossible, "it had packet 1");
    assert_eq!(verdict(1, 3), ResumeVerdict::Impossible, "there was none");
    assert_eq!([verdict(1, 1), verdict(9, 2)], [ResumeVerdict::Possible; 2]);
    assert_eq!(verdict(0, 1), ResumeVerdict::Stale);
    server.resume(2);
    let again = Resume { token: token(), epoch: 1, received: 2 };
    assert_eq!(server.connection.judge_resume(&again), ResumeVerdict::Stale);
    assert_eq!(server.connection.attach(server.now, newcomer(server.now, Some(again))), Err(CloseCode::NORMAL));
    assert_eq!(server.connection.epoch(), 1);
    let other = Server { connection: Connection::server(1, newcomer(server.now, None), server.now).0, ..server };
    let resume = Resume { token: token(), epoch: 1, received: 0 };
    assert_eq!(other.connection.judge_resume(&resume), ResumeVerdict::Over, "it cannot be resumed");
}

#[test]
fn a_client_whose_server_has_an_impossible_position_ends_its_session() {
    let now = Instant::now();
    let mut client = client(now);
    client.handle_lost(now, lost());
    assert!(client.detached().is_some());
    let said = client.resume_hello(Vec::new()).unwrap();
    assert_eq!(said.resume, Some(Resume { token: token(), epoch: 1, received: 0 }));
    let error = client.attach_to(now, welcomed(now, said, 1)).unwrap_err();
    let violation = HandshakeViolation::ImpossiblePosition { received: 1, acked: 0, last: 0 };
    assert_eq!(error, ConnectionError::Protocol(ProtocolError::from(violation)));
    assert_eq!(client.ended(), Some(&error));
    assert_eq!(error.close_code(), CloseCode::PROTOCOL);
}

#[test]
fn a_client_that_wants_to_resume_waits_for_the_welcome() {
    let now = Instant::now();
    let (_, mut early) = Connection::server(1, newcomer(now, None), now);
    early.keep(now, packet(0, 0, &[])).unwrap();
    let error = early.keep(now, packet(1, 0, &[request(1)])).unwrap_err();
    assert_eq!(error, HandshakeViolation::BeforeWelcome.into());
}

#[test]
fn what_a_lost_link_still_delivers_is_not_taken_in() {
    let mut server = Server::new(1 << 20);
    server.lose();
    server.say(0, &[request(1)]);
    assert_eq!(server.connection.positions().0, 0);
    assert!(!std::iter::from_fn(|| server.connection.poll_event()).any(|event| matches!(event, Event::Call { .. })));
}

#[test]
fn a_link_that_took_the_place_of_another_may_be_lost_before_anything_has_come_over_it() {
    let mut server = Server::unknown(1 << 20);
    server.resume(0);
    server.lose();
    assert!(server.connection.is_open() && server.connection.detached().is_some());
    server.resume(0);
}

#[test]
fn a_client_that_goes_on_says_at_once_that_it_has_the_welcome() {
    let now = Instant::now();
    let mut client = client(now);
    client.handle_lost(now, lost());
    let said = client.resume_hello(Vec::new()).unwrap();
    client.attach_to(now, welcomed(now, said, 0)).unwrap();
    assert_eq!(client.poll_timeout(), Some(now));
    assert_eq!(client.poll_transmit(now), Some(packet(0, 0, &[])));
    assert_eq!(client.poll_transmit(now), None);
}

#[test]
fn a_link_is_lost_once() {
    let mut server = Server::new(1 << 20);
    server.connection.expire_at(Some(server.now + 5 * SECOND));
    server.lose();
    let since = server.now;
    server.pass(1);
    server.connection.handle_lost(server.now, ConnectionError::Expired);
    // The identity expires meanwhile.
    server.pass(10);
    assert_eq!(server.connection.detached(), Some((since, &lost())));
    let events = std::iter::from_fn(|| server.connection.poll_event());
    assert_eq!(events.filter(|event| matches!(event, Event::Detached(_))).count(), 1);
    server.pass(50);
    assert_eq!(server.closed(), Some(lost()), "the time without a link has not begun anew");
}

#[test]
fn an_identity_that_expires_costs_the_link_alone() {
    let mut server = Server::new(1 << 20);
    server.connection.expire_at(Some(server.now + 5 * SECOND));
    server.pass(6);
    assert!(server.connection.is_open());
    assert_eq!(server.connection.detached().map(|(_, error)| error), Some(&ConnectionError::Expired));
}

#[test]
fn a_session_that_is_over_is_not_resumed() {
    let mut server = Server::new(1 << 20);
    server.connection.close();
    server.written();
    let resume = Resume { token: token(), epoch: 1, received: 0 };
    assert_eq!(server.connection.judge_resume(&resume), ResumeVerdict::Possible, "its last words may be lost");
    server.say(1, &[]);
    assert_eq!(server.connection.judge_resume(&resume), ResumeVerdict::Over);
    assert_eq!(server.connection.attach(server.now, newcomer(server.now, Some(resume))), Err(CloseCode::NORMAL));
}

#[test]
fn a_session_whose_client_came_from_an_impossible_position_ends_for_good() {
    for lingers in [false, true] {
        let mut server = Server::new(1 << 20);
        server.lose();
        if lingers {
            server.connection.close();
        }
        let resume = Resume { token: token(), epoch: 1, received: 7 };
        assert_eq!(server.connection.judge_resume(&resume), ResumeVerdict::Impossible);
        server.connection.end_unresumed();
        assert_eq!(server.closed(), Some(if lingers { ConnectionError::ClosedLocally } else { lost() }));
        assert!(!server.connection.is_lingering() && !server.connection.has_output());
    }
}

#[test]
fn a_server_that_grants_what_was_not_asked_for_grants_nothing() {
    let now = Instant::now();
    let mut client = Connection::client(1, Config::default(), Vec::new(), now);
    client.poll_transmit(now).unwrap();
    client.handle_packet(now, welcome(60_000));
    assert!(client.is_open() && client.token().is_none());
    client.handle_lost(now, lost());
    assert_eq!(client.ended(), Some(&lost()));
}

#[test]
fn a_link_that_was_found_does_not_run_out() {
    let mut server = Server::new(1 << 20);
    server.lose();
    server.pass(50);
    server.resume(0);
    let events: Vec<_> = std::iter::from_fn(|| server.connection.poll_event()).collect();
    assert!(matches!(events[..], [Event::Detached(_), Event::Trim, Event::Attached]), "{events:?}");
    server.pass(100);
    assert!(server.connection.is_open() && server.connection.detached().is_none());
}

#[test]
fn a_goodbye_that_is_said_without_a_link_goes_over_the_next_one_once() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    server.written();
    server.lose();
    server.connection.drain(server.now, "bye");
    assert!(!server.connection.has_output());
    let frames = server.resume(1);
    assert!(matches!(frames[..], [Frame::Welcome(_), Frame::GoAway { .. }]), "{frames:?}");
}

#[test]
fn a_side_that_gives_a_session_up_says_so_with_a_code_of_its_own() {
    let timeout = |limit| ConnectionError::TimedOut(Timeout::new(limit, SECOND));
    let server = Server::new(1 << 20);
    assert_eq!(server.connection.close_code(&timeout(TimeLimit::Payloads)), Some(CloseCode::GIVEN_UP));
    assert_eq!(server.connection.close_code(&ConnectionError::ClosedLocally), Some(CloseCode::NORMAL));
    let (other, _) = Connection::server(1, newcomer(server.now, None), server.now);
    assert_eq!(other.close_code(&timeout(TimeLimit::Payloads)), Some(CloseCode::TIMEOUT));
}

#[test]
fn what_comes_before_the_welcome_does_not_say_that_the_client_has_it() {
    let now = Instant::now();
    let (mut connection, mut early) = Connection::server(1, newcomer(now, None), now);
    connection.make_resumable(Resumability { window: WINDOW, replay_buffer: 1 }, &token());
    early.keep(now, packet(0, 0, &[])).unwrap();
    connection.accept(now, 1, Vec::new(), Vec::new(), early);
    connection.handle_lost(now, ConnectionError::Lost("cut".to_owned()));
    assert!(connection.ended().is_some(), "its client does not know of it");
}

#[test]
fn a_window_of_less_than_a_millisecond_is_none() {
    let now = Instant::now();
    let (mut connection, early) = Connection::server(1, newcomer(now, None), now);
    let window = Duration::from_micros(999);
    connection.make_resumable(Resumability { window, replay_buffer: 1 }, &token());
    connection.accept(now, 1, Vec::new(), Vec::new(), early);
    let welcome = read_packet(connection.poll_transmit(now).unwrap()).unwrap().1.next().unwrap().unwrap();
    let Frame::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
    assert_eq!((welcome.resume_window_ms, welcome.token.len()), (0, 0));
    let resume = Resume { token: token(), epoch: 1, received: 0 };
    assert_eq!(connection.judge_resume(&resume), ResumeVerdict::Over);
}

#[test]
fn a_client_asks_for_another_link_only_while_it_has_none() {
    let now = Instant::now();
    let mut client = client(now);
    assert_eq!(client.resume_hello(Vec::new()), None);
    client.handle_lost(now, lost());
    let said = client.resume_hello(Vec::new()).unwrap();
    client.attach_to(now, welcomed(now, said, 0)).unwrap();
    // Another epoch would make the session deaf to the link that it has.
    assert_eq!((client.resume_hello(Vec::new()), client.epoch()), (None, 1));
    client.handle_lost(now, lost());
    assert_eq!(client.resume_hello(Vec::new()).and_then(|said| said.resume).map(|resume| resume.epoch), Some(2));
}

#[test]
fn a_client_asks_for_the_window_that_it_would_like_on_each_of_its_links() {
    let now = Instant::now();
    let mut asking = Connection::client(1, Config::default(), Vec::new(), now);
    asking.make_resumable(Resumability { window: 7 * SECOND, replay_buffer: 1 }, &[]);
    assert_eq!(asking.take_hello().map(|hello| hello.resume_window_ms), Some(7_000));
    // What it was granted last does not change what it would like of a further session.
    let mut client = greeting_client(now);
    client.handle_packet(now, welcome(1_000));
    client.handle_lost(now, lost());
    assert_eq!(u128::from(client.resume_hello(Vec::new()).unwrap().resume_window_ms), WINDOW.as_millis());
}
