//! Handlers that keep the calls of other sessions waiting do not wait long for a session without a link.

use std::{sync::Arc, task::Waker};

use super::{Server, outgoing, request};
use crate::{
    proto::{CallKey, CallProgress, CallStart, Event, Outcome, ServedCall, chain::NewCall},
    status::{Code, Execution, Status},
    wire::{CallId, Frame},
};

/// A call that is served, of this session, with a turn that sessions share or without.
fn serving(server: &mut Server, id: CallId, has_turn: bool) -> Arc<ServedCall> {
    server.say(0, &[request(id)]);
    let call = std::iter::from_fn(|| server.connection.poll_event()).find_map(|event| match event {
        Event::Call { call, .. } => Some(call),
        _ => None,
    });
    let call = call.unwrap();
    call.set_shared_turn(has_turn);
    call
}

fn begin(server: &mut Server, origin: &Arc<ServedCall>) -> Result<CallKey, Status> {
    let mut start = CallStart { origin: Some(origin.clone()), depth: 1, ..CallStart::default() };
    let (key, progress) = server.connection.begin_call(server.now, &mut start, Waker::noop())?;
    assert_eq!(progress, CallProgress::Admitted);
    assert!(server.connection.send_call(key, &mut outgoing(1, 0), Waker::noop()));
    Ok(key)
}

/// How a call has failed, if it has ended.
fn failed(server: &mut Server, key: CallKey) -> Option<(Code, Execution)> {
    match server.connection.poll_call(key, Waker::noop()) {
        CallProgress::Done(Outcome::Status(status)) => Some((status.code(), status.execution())),
        CallProgress::Done(other) => panic!("{other:?}"),
        _ => None,
    }
}

#[test]
fn calls_that_hold_up_other_sessions_wait_for_a_link_for_a_short_time() {
    let mut server = Server::new(1 << 20);
    let (holds_up, free) = (serving(&mut server, 5, true), serving(&mut server, 7, false));
    let sent = [begin(&mut server, &holds_up).unwrap(), begin(&mut server, &free).unwrap()];
    server.written();
    server.lose();
    let queued = [begin(&mut server, &holds_up).unwrap(), begin(&mut server, &free).unwrap()];
    let outcomes = |server: &mut Server| [sent[0], queued[0], sent[1], queued[1]].map(|key| failed(server, key));
    server.pass(4);
    assert_eq!(outcomes(&mut server), [None; 4]);
    server.pass(1);
    let (unknown, not_executed) =
        ((Code::Unavailable, Execution::Unknown), (Code::Unavailable, Execution::NotExecuted));
    assert_eq!(outcomes(&mut server), [Some(unknown), Some(not_executed), None, None]);
    let refused = begin(&mut server, &holds_up).unwrap_err();
    assert_eq!((refused.code(), refused.execution()), not_executed);
    assert!(refused.message().contains("detached_turn"), "{refused}");
    begin(&mut server, &free).unwrap();
    let frames = server.resume(0);
    let cancelled: Vec<_> = frames.iter().filter(|frame| matches!(frame, Frame::Cancel { .. })).collect();
    assert!(matches!(cancelled[..], [Frame::Cancel { id, .. }] if *id == sent[0].id()), "{frames:?}");
    // With the next loss the time begins anew.
    begin(&mut server, &holds_up).unwrap();
    server.lose();
    server.pass(4);
    begin(&mut server, &holds_up).unwrap();
}

#[test]
fn a_call_holds_up_other_sessions_if_one_further_up_its_chain_does() {
    let mut server = Server::new(1 << 20);
    let top = serving(&mut server, 5, true);
    let call = Arc::new(ServedCall::new(NewCall {
        session: 9,
        id: Some(1),
        origin: Some(crate::proto::chain::Origin { call: top.clone(), through: None }),
        ..NewCall::default()
    }));
    server.lose();
    server.pass(5);
    begin(&mut server, &call).unwrap_err();
    top.set_shared_turn(false);
    begin(&mut server, &call).unwrap();
}

fn begin_oneway(server: &mut Server, origin: &Arc<ServedCall>) -> (CallKey, CallProgress) {
    let mut start = CallStart { oneway: true, origin: Some(origin.clone()), depth: 1, ..CallStart::default() };
    server.connection.begin_call(server.now, &mut start, Waker::noop()).unwrap()
}

#[test]
fn one_way_calls_hold_no_one_up_unless_they_wait() {
    let mut server = Server::new(1 << 20);
    let (holds_up, free) = (serving(&mut server, 5, true), serving(&mut server, 7, false));
    server.lose();
    // They have their permits, and may wait for room.
    let admitted = [begin_oneway(&mut server, &holds_up), begin_oneway(&mut server, &free)];
    assert!(admitted.iter().all(|(_, progress)| *progress == CallProgress::Admitted));
    server.pass(5);
    // The first has failed with the time; the next may be sent.
    let not_executed = Some((Code::Unavailable, Execution::NotExecuted));
    assert_eq!(failed(&mut server, admitted[0].0), not_executed);
    let (sent, progress) = begin_oneway(&mut server, &holds_up);
    assert_eq!(progress, CallProgress::Admitted);
    assert!(server.connection.send_call(sent, &mut outgoing(1, 0), Waker::noop()));
    // One that finds no room.
    let (short, _) = begin_oneway(&mut server, &holds_up);
    server.connection.end_if_it_holds_up(short);
    assert_eq!(failed(&mut server, short), not_executed);
    server.connection.end_if_it_holds_up(admitted[1].0);
    assert_eq!(failed(&mut server, admitted[1].0), None);
    // Or no permit.
    let waiting = loop {
        if let (key, CallProgress::Waiting) = begin_oneway(&mut server, &free) {
            break key;
        }
    };
    let (late, _) = begin_oneway(&mut server, &holds_up);
    assert_eq!([waiting, late].map(|key| failed(&mut server, key)), [None, not_executed]);
    server.connection.check();
}

#[test]
fn one_way_calls_that_wait_for_a_permit_and_hold_others_up_fail_with_the_time() {
    let mut server = Server::new(1 << 20);
    let (holds_up, free) = (serving(&mut server, 5, true), serving(&mut server, 7, false));
    server.lose();
    while begin_oneway(&mut server, &free).1 == CallProgress::Admitted {}
    let [held, other] = [&holds_up, &free].map(|origin| begin_oneway(&mut server, origin).0);
    server.pass(4);
    assert_eq!([held, other].map(|key| failed(&mut server, key)), [None, None]);
    server.pass(1);
    let not_executed = Some((Code::Unavailable, Execution::NotExecuted));
    assert_eq!([held, other].map(|key| failed(&mut server, key)), [not_executed, None]);
    server.connection.check();
}
