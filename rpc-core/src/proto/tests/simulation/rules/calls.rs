//! Calls of a session that loses its link.

use std::task::Waker;

use bytes::Bytes;

use super::{
    super::{end::NewCall, queues},
    SECOND, Server, call, outgoing, request, world,
};
use crate::{
    proto::{
        CallProgress, CallStart, Charges, Completion, Event, PlainArguments, PlainStart,
        tests::pair::{CLIENT, SERVER},
    },
    wire::{Frame, Payload, Request, Rope},
};

#[test]
fn calls_that_wait_for_a_link_keep_their_order_and_their_deadlines() {
    let mut world = world();
    world.lose();
    world.stay_away();
    for timeout in [None, Some(SECOND), None] {
        world.call(CLIENT, NewCall { timeout, ..call() });
    }
    world.pass(2 * SECOND);
    assert_eq!(world.ledger.status(1).code(), crate::Code::DeadlineExceeded);
    assert!(world.ledger.status(1).message().contains("has lost its link"), "{}", world.ledger.status(1));
    world.dial_again();
    world.exchange();
    assert_eq!(world.server[0].served(), [0, 2]);
}

#[test]
fn a_call_behind_the_queue_of_a_session_without_a_link_says_that_it_has_none() {
    let mut world = world();
    world.policies = queues::ALL - 1;
    world.lose();
    world.stay_away();
    queues::step(&mut world, SERVER);
    let before = usize::try_from(world.ledger.begin(true)).unwrap();
    world.call(SERVER, NewCall { timeout: Some(SECOND), ..call() });
    world.pass(2 * SECOND);
    let status = world.ledger.status(before + 1);
    assert!(status.message().contains("has lost its link"), "{status}");
}

#[test]
fn a_server_calls_its_client_when_that_is_back() {
    let mut world = world();
    world.lose();
    world.call(SERVER, call());
    world.come_back();
    world.client.answer_all(&mut world.ledger);
    world.exchange();
    assert_eq!(world.ledger.values(), 1);
}

#[test]
fn a_call_without_time_is_not_executed() {
    let mut server = Server::new(1 << 20);
    let late = Request { deadline_ms: Some(0), ..Request::plain(7, 1, Payload::Inline(Bytes::from_static(&[0x90]))) };
    server.say(0, &[Frame::Request(late)]);
    assert!(!std::iter::from_fn(|| server.connection.poll_event()).any(|event| matches!(event, Event::Call { .. })));
    let frames = server.frames();
    let [Frame::Error { id: 7, error: crate::wire::ErrorBody::Status(status) }] = &frames[..] else {
        panic!("{frames:?}")
    };
    assert_eq!((status.code(), status.execution()), (crate::Code::DeadlineExceeded, crate::Execution::NotExecuted));
}

#[test]
fn handlers_run_on_without_a_link_and_their_results_go_over_the_next() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[Frame::Request(Request::plain(5, 1, Payload::Inline(Bytes::from_static(&[0x90]))))]);
    server.lose();
    let key = std::iter::from_fn(|| server.connection.poll_event()).find_map(|event| match event {
        Event::Call { key, .. } => Some(key),
        _ => None,
    });
    server.connection.complete(key.unwrap(), Completion::Value(Bytes::from_static(&[1]).into()), Charges::default());
    assert!(server.written().is_empty());
    let frames = server.resume(0);
    assert!(matches!(frames[..], [Frame::Welcome(_), Frame::Response { id: 5, .. }]), "{frames:?}");
}

#[test]
fn without_a_link_calls_wait_unless_a_handler_makes_them() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[request(5)]);
    let origin = std::iter::from_fn(|| server.connection.poll_event()).find_map(|event| match event {
        Event::Call { call, .. } => Some(call),
        _ => None,
    });
    server.lose();
    let mut begun = Vec::new();
    for (oneway, origin) in [(false, None), (true, None), (false, origin.clone()), (true, origin)] {
        let depth = u32::from(origin.is_some());
        let mut start = CallStart { oneway, origin, depth, ..CallStart::default() };
        begun.push(server.connection.begin_call(server.now, &mut start, Waker::noop()).unwrap());
    }
    let progress: Vec<_> = begun.iter().map(|(_, progress)| progress).collect();
    assert_eq!(
        progress,
        [&CallProgress::Waiting, &CallProgress::Waiting, &CallProgress::Admitted, &CallProgress::Admitted]
    );
    let is_admitted = |server: &Server| [0, 1].map(|call: usize| server.connection.peek_admitted(begun[call].0));
    assert_eq!(is_admitted(&server), [Some(false); 2]);
    server.resume(0);
    assert_eq!(is_admitted(&server), [Some(true); 2]);
}

#[test]
fn without_a_link_no_call_is_queued_at_once() {
    let mut server = Server::new(1 << 20);
    let held = |server: &Server| server.connection.stats().outbox_bytes;
    server.lose();
    for oneway in [false, true] {
        let mut start = CallStart { oneway, ..CallStart::default() };
        let mut bytes = Rope::from(Bytes::from_static(&[0x90]));
        let arguments = PlainArguments { method: 1, bytes: &mut bytes, room: 0 };
        let begun = server.connection.start_plain(server.now, &mut start, arguments, Waker::noop());
        assert!(matches!(begun, PlainStart::Refused) && bytes.len() == 1);
        let begun = server.connection.start_call(server.now, &mut start, &mut outgoing(1, 0), Waker::noop()).unwrap();
        assert!(matches!(begun, (Some(_), CallProgress::Waiting)), "{begun:?}");
    }
    assert_eq!(held(&server), 0);
    server.resume(0);
    let mut start = CallStart::default();
    let mut bytes = Rope::from(Bytes::from_static(&[0x90]));
    let arguments = PlainArguments { method: 1, bytes: &mut bytes, room: 0 };
    let begun = server.connection.start_plain(server.now, &mut start, arguments, Waker::noop());
    assert!(matches!(begun, PlainStart::TwoWay(_)) && held(&server) > 0);
}

#[test]
fn a_call_that_comes_too_late_leaves_nothing_of_its_arguments() {
    let mut server = Server::new(1 << 20);
    let late = Request {
        deadline_ms: Some(0),
        streams: vec![2].into(),
        ..Request::plain(7, 1, Payload::announced(1, 100_000))
    };
    server.say(0, &[Frame::Request(late)]);
    let frames = server.frames();
    let is_stopped = |id| frames.iter().any(|frame| matches!(frame, Frame::Stop { transfer } if *transfer == id));
    assert!(is_stopped(1) && is_stopped(2), "{frames:?}");
    assert!(frames.iter().any(|frame| matches!(frame, Frame::Error { id: 7, .. })));
}
