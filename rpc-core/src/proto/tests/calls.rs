//! Calls in both directions, what nested calls inherit, and cancellation at every step of a call.

use std::{task::Waker, time::Duration};

use bytes::Bytes;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    proto::{CallKey, CallProgress, CallStart, Charges, Completion, Outcome, Outgoing, Released, ServedKey},
    status::{Code, Execution, Status},
};

#[test]
fn results_faults_and_statuses_reach_the_caller() {
    for from in [CLIENT, SERVER] {
        let mut pair = Pair::with_defaults();
        for (completion, outcome) in [
            (Completion::Value(Bytes::from_static(b"v").into()), Outcome::Value(Bytes::from_static(b"v"))),
            (Completion::Fault(Bytes::from_static(b"f").into()), Outcome::Fault(Bytes::from_static(b"f"))),
            (Completion::Status(Status::not_found("s")), Outcome::Status(Status::not_found("s"))),
        ] {
            let (key, arrived) = pair.call_and_arrive(from, Call::new().payload(3));
            assert_eq!(arrived.payload, [7, 7, 7][..]);
            pair.answer(1 - from, &arrived, completion);
            pair.run();
            assert_eq!(pair.outcome(from, key), Some(outcome));
        }
        pair.assert_empty();
    }
}

#[test]
fn one_way_calls_are_done_when_sent_and_their_permits_return() {
    let mut pair = Pair::with_defaults();
    for _ in 0..3 {
        let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().oneway());
        assert!(matches!(arrived.key, ServedKey::Oneway(_)));
        assert_eq!(pair.ends[CLIENT].connection.stats().oneway_pending, 1);
        pair.answer_ok(SERVER, &arrived);
        // The report waits as long as an ack.
        pair.pass(0.2);
        pair.assert_empty();
    }
}

/// Begins a one-way call of the client that has reserved what it needs, and tells how that went.
fn start_oneway(pair: &mut Pair, timeout: Option<Duration>) -> Result<(Option<CallKey>, CallProgress), Status> {
    let deadline = timeout.map(|timeout| pair.now + timeout);
    let (origin, idle_timeout) = (None, None);
    let mut start =
        CallStart { method: None, oneway: true, depth: 0, origin, deadline, deadline_origin: None, idle_timeout };
    let charges = Charges { room: 100, ..Charges::default() };
    let payload = Bytes::from_static(&[0x90]).into();
    let mut call = Outgoing { method: 2, metadata: Vec::new(), payload, streams: 0, charges };
    let begun = pair.ends[CLIENT].connection.start_call(pair.now, &mut start, &mut call, Waker::noop());
    assert_eq!(call.charges, Charges::default(), "they have been handed over");
    begun
}

#[test]
fn a_one_way_call_has_a_slot_only_while_it_waits() {
    let mut pair = Pair::open(&crate::Config::builder().max_oneway_calls(1).build().unwrap());
    let room = |pair: &mut Pair| pair.ends[CLIENT].connection.take_released();
    assert_eq!(start_oneway(&mut pair, None), Ok((None, CallProgress::Admitted)));
    let stats = pair.ends[CLIENT].connection.stats();
    assert_eq!((stats.calls_pending, stats.oneway_pending), (0, 1));
    assert_eq!(room(&mut pair), Released::default(), "the call has its room until it has gone");

    let (waits, progress) = start_oneway(&mut pair, None).unwrap();
    assert_eq!(progress, CallProgress::Waiting);
    assert_eq!(room(&mut pair).room, 100, "a call that waits holds nothing");
    assert_eq!(pair.ends[CLIENT].connection.stats().calls_pending, 1);
    pair.run();
    let arrived = pair.ends[SERVER].arrived.pop().unwrap();
    pair.answer_ok(SERVER, &arrived);
    pair.run();
    let client = &mut pair.ends[CLIENT].connection;
    assert_eq!(client.poll_call(waits.unwrap(), Waker::noop()), CallProgress::Admitted);
    client.cancel_call(waits.unwrap());

    assert_eq!(start_oneway(&mut pair, None), Ok((None, CallProgress::Admitted)));
    assert_eq!(start_oneway(&mut pair, Some(Duration::ZERO)).unwrap_err().code(), Code::DeadlineExceeded);
    let now = pair.now;
    pair.ends[CLIENT].connection.drain(now, "bye");
    let refused = start_oneway(&mut pair, None).unwrap_err();
    assert_eq!((refused.code(), refused.execution()), (Code::Unavailable, Execution::NotExecuted));
}

#[test]
fn a_call_in_a_one_way_handler_is_one_deeper_and_has_no_parent() {
    let mut pair = Pair::with_defaults();
    let (_, served) = pair.call_and_arrive(CLIENT, Call::new().oneway());
    let (_, callback) = pair.call_and_arrive(SERVER, Call::new().within(&served.call));
    assert_eq!(callback.call.depth, 1);
    // A call with a live parent would go out to an end that drains.
    pair.ends[CLIENT].connection.drain(pair.now, "bye");
    pair.run();
    let refused = pair.call(SERVER, Call::new().within(&served.call)).unwrap_err();
    assert_eq!((refused.code(), refused.execution()), (Code::Unavailable, Execution::NotExecuted));
}

#[test]
fn a_nested_call_carries_its_parent_and_depth() {
    let mut pair = Pair::with_defaults();
    let (outer, served) = pair.call_and_arrive(CLIENT, Call::new());
    let (middle, callback) = pair.call_and_arrive(SERVER, Call::new().within(&served.call));
    assert_eq!(callback.call.depth, 1);
    // The client made the outer call outside any handler, so the chain ends there.
    assert!(callback.call.parent.is_none());
    let (inner, deepest) = pair.call_and_arrive(CLIENT, Call::new().within(&callback.call));
    assert_eq!(deepest.call.depth, 2);
    let parent = deepest.call.parent.as_ref().expect("the server sees its own call in the chain");
    assert!(std::sync::Arc::ptr_eq(parent, &served.call));
    pair.answer_ok(SERVER, &deepest);
    pair.answer_ok(CLIENT, &callback);
    pair.answer_ok(SERVER, &served);
    pair.run();
    for (at, key) in [(CLIENT, outer), (SERVER, middle), (CLIENT, inner)] {
        assert!(matches!(pair.outcome(at, key), Some(Outcome::Value(_))));
    }
    pair.assert_empty();
}

#[test]
fn depth_16_is_served_and_17_is_an_error() {
    let mut pair = Pair::with_defaults();
    let (_, mut served) = pair.call_and_arrive(CLIENT, Call::new());
    let mut chain = vec![(SERVER, served.clone())];
    for depth in 1..=16 {
        let from = depth % 2;
        served = pair.call_and_arrive(from, Call::new().within(&served.call)).1;
        assert_eq!(served.call.depth, u32::try_from(depth).unwrap());
        chain.push((1 - from, served.clone()));
    }
    let status = pair.call(SERVER, Call::new().within(&served.call)).unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::FailedPrecondition, Execution::NotExecuted));
    for (at, served) in chain.into_iter().rev() {
        pair.answer_ok(at, &served);
        pair.run();
    }
}

/// The cases follow a call from the wait for a permit to its completion.
#[test]
fn a_call_may_be_cancelled_at_every_step_of_its_life() {
    let config = crate::Config::builder().max_calls(1).build().unwrap();

    // Waiting for a permit: the other side never hears of the call.
    let mut pair = Pair::open(&config);
    let (first, served) = pair.call_and_arrive(CLIENT, Call::new());
    let second = pair.call(CLIENT, Call::new()).unwrap();
    pair.ends[CLIENT].connection.cancel_call(second);
    pair.answer_ok(SERVER, &served);
    pair.run();
    assert!(pair.outcome(CLIENT, first).is_some());
    assert!(pair.ends[SERVER].arrived.is_empty());
    pair.assert_empty();

    // In the outbox: the request is skipped, and its permit is free at once.
    let queued = pair.call(CLIENT, Call::new()).unwrap();
    pair.ends[CLIENT].connection.cancel_call(queued);
    let (next, served) = pair.call_and_arrive(CLIENT, Call::new());
    assert!(pair.ends[SERVER].arrived.is_empty());
    pair.answer_ok(SERVER, &served);
    pair.run();
    assert!(pair.outcome(CLIENT, next).is_some());
    pair.assert_empty();

    // Sent, and not arrived.
    let sent = pair.call(CLIENT, Call::new()).unwrap();
    pair.transmit(CLIENT);
    pair.ends[CLIENT].connection.cancel_call(sent);
    pair.run();
    let served = pair.ends[SERVER].arrived.pop().unwrap();
    assert_eq!(pair.ends[SERVER].cancelled, [served.key]);
    assert!(served.call.is_cancelled());
    // The permit is taken until the handler has ended.
    assert_eq!(pair.ends[CLIENT].connection.stats().calls_pending, 1);
    pair.answer(SERVER, &served, Completion::Stopped);
    pair.run();
    pair.assert_empty();

    // Running: as before, and a handler that answers nevertheless does no harm.
    let (running, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.ends[CLIENT].connection.cancel_call(running);
    pair.run();
    pair.answer_ok(SERVER, &served);
    pair.run();
    pair.assert_empty();

    // Answered, with the answer on its way: the cancel crosses the answer and is ignored.
    let (answered, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.answer_ok(SERVER, &served);
    pair.transmit(SERVER);
    pair.ends[CLIENT].connection.cancel_call(answered);
    pair.run();
    pair.assert_empty();

    // Answered, with an answer that has arrived and has not been taken.
    let (completed, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.answer_ok(SERVER, &served);
    pair.run();
    pair.ends[CLIENT].connection.cancel_call(completed);
    pair.run();
    pair.assert_empty();

    // The only permit has survived every step.
    let (last, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.answer_ok(SERVER, &served);
    pair.run();
    assert!(pair.outcome(CLIENT, last).is_some());
    pair.assert_empty();
}

#[test]
fn cancelled_numbers_are_never_used_again() {
    let mut pair = Pair::with_defaults();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..10_000 {
        let key = pair.call(CLIENT, Call::new()).unwrap();
        assert!(seen.insert(key));
        pair.ends[CLIENT].connection.cancel_call(key);
    }
    pair.run();
    pair.assert_empty();
}
