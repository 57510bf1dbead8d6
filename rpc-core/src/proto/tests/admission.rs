//! Permits: the receiver announces them, the sender waits for them, and both ends count alike.

use std::task::Waker;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    proto::{CallProgress, CallStart, Completion, ServedKey},
    status::{Code, Execution},
};

fn narrow() -> Config {
    Config::builder().max_calls(1).nested_calls(1).max_oneway_calls(1).build().unwrap()
}

#[test]
fn callers_wait_on_their_own_side_and_go_in_order() {
    let mut pair = Pair::open(&narrow());
    let keys: Vec<_> = (1..=3).map(|len| pair.call(CLIENT, Call::new().payload(len)).unwrap()).collect();
    for (index, key) in keys.into_iter().enumerate() {
        pair.run();
        let served = pair.ends[SERVER].arrived.pop().expect("one is let through");
        assert!(pair.ends[SERVER].arrived.is_empty(), "only one call has gone");
        assert_eq!(served.payload.len(), index + 1);
        pair.answer_ok(SERVER, &served);
        pair.run();
        assert!(pair.outcome(CLIENT, key).is_some());
    }
    pair.assert_empty();
}

#[test]
fn nested_calls_overtake_calls_that_would_wait_for_them() {
    let mut pair = Pair::open(&narrow());
    let (outer, served) = pair.call_and_arrive(CLIENT, Call::new());
    let waiting = pair.call(CLIENT, Call::new()).unwrap();
    // The callback, and the callback's callback, have permits of their own.
    let (_, callback) = pair.call_and_arrive(SERVER, Call::new().within(&served.call));
    let (_, inner) = pair.call_and_arrive(CLIENT, Call::new().within(&callback.call));
    assert_eq!(inner.call.depth, 2);
    pair.answer_ok(SERVER, &inner);
    pair.answer_ok(CLIENT, &callback);
    pair.answer_ok(SERVER, &served);
    pair.run();
    assert!(pair.outcome(CLIENT, outer).is_some());
    assert!(pair.outcome(CLIENT, waiting).is_none());
    assert_eq!(pair.ends[SERVER].arrived.len(), 1, "then the call that waited");
}

#[test]
fn a_nested_call_waits_for_a_second_and_fails() {
    let mut pair = Pair::open(&narrow());
    let (_, served) = pair.call_and_arrive(CLIENT, Call::new());
    let mut callbacks = Vec::new();
    // There are one permit of depth 1 and one general permit.
    for _ in 0..2 {
        callbacks.push(pair.call_and_arrive(SERVER, Call::new().within(&served.call)).1);
    }
    let third = pair.call(SERVER, Call::new().within(&served.call)).unwrap();
    pair.pass(0.9);
    assert!(pair.outcome(SERVER, third).is_none());
    pair.pass(0.2);
    let status = pair.status(SERVER, third);
    assert_eq!((status.code(), status.execution()), (Code::ResourceExhausted, Execution::NotExecuted));
    assert!(status.is_retryable());
    assert!(status.message().contains("the 1 calls that it takes at once (Config::max_calls there)"), "{status}");
}

#[test]
fn a_deadline_that_passes_while_a_call_waits_names_the_limit() {
    let mut pair = Pair::open(&narrow());
    for (call, limit) in [(Call::new(), "Config::max_calls"), (Call::new().oneway(), "Config::max_oneway_calls")] {
        let _ = pair.call_and_arrive(CLIENT, call.clone());
        let second = pair.call(CLIENT, call.timeout(1)).unwrap();
        pair.pass(1.1);
        let status = pair.status(CLIENT, second);
        assert_eq!((status.code(), status.execution()), (Code::DeadlineExceeded, Execution::NotExecuted));
        assert!(status.message().contains(limit), "{status}");
    }
}

#[test]
fn one_way_calls_have_permits_of_their_own() {
    let mut pair = Pair::open(&narrow());
    let _ = pair.call_and_arrive(CLIENT, Call::new());
    let (_, first) = pair.call_and_arrive(CLIENT, Call::new().oneway());
    pair.call(CLIENT, Call::new().oneway()).unwrap();
    pair.run();
    assert!(pair.ends[SERVER].arrived.is_empty(), "the second waits for the first to be done");
    pair.answer_ok(SERVER, &first);
    pair.run();
    let second = pair.ends[SERVER].arrived.pop().unwrap();
    assert!(matches!(second.key, ServedKey::Oneway(_)));
    pair.answer(SERVER, &second, Completion::Stopped);
    pair.run();
    assert_eq!(pair.ends[CLIENT].connection.stats().oneway_pending, 0);
}

#[test]
fn a_permit_is_held_until_the_handler_has_ended() {
    let mut pair = Pair::open(&narrow());
    let (first, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.ends[CLIENT].connection.cancel_call(first);
    let second = pair.call(CLIENT, Call::new()).unwrap();
    pair.run();
    assert!(pair.ends[SERVER].arrived.is_empty());
    pair.answer(SERVER, &served, Completion::Stopped);
    pair.run();
    assert_eq!(pair.ends[SERVER].arrived.len(), 1);
    assert!(pair.outcome(CLIENT, second).is_none());
}

/// A call that is begun before the handshake may be nested deeper than the other side announces in it.
#[test]
fn a_call_nested_too_deep_for_the_peer_fails_after_the_handshake() {
    for oneway in [false, true] {
        let mut pair = Pair::apart(&Config::default(), &Config::builder().max_depth(0).build().unwrap());
        let now = pair.now;
        let mut start = CallStart { oneway, depth: 3, ..CallStart::default() };
        let client = &mut pair.ends[CLIENT].connection;
        let (key, progress) = client.begin_call(now, &mut start, Waker::noop()).unwrap();
        assert_eq!(progress, CallProgress::Waiting);
        pair.run();
        pair.pass(10.0);
        let status = pair.status(CLIENT, key);
        assert_eq!((status.code(), status.execution()), (Code::FailedPrecondition, Execution::NotExecuted), "{status}");
    }
}
