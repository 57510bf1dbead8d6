//! The end of a connection: the outcome of every call, what is still sent, and the drain before the end.

use std::time::Duration;

use bytes::Bytes;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    error::ConnectionError,
    proto::{Completion, Outcome, ServedKey},
    status::{Code, Execution, Status},
};

fn lost() -> ConnectionError {
    ConnectionError::Lost("cut".to_owned())
}

#[test]
fn a_lost_link_resolves_every_call_and_says_what_may_have_run() {
    let config = Config::builder().max_calls(3).build().unwrap();
    let mut pair = Pair::open(&config);
    let (running, served) = pair.call_and_arrive(CLIENT, Call::new());
    let large = pair.call(CLIENT, Call::new().payload(4 << 20)).unwrap();
    pair.transmit(CLIENT);
    let queued = pair.call(CLIENT, Call::new()).unwrap();
    let waiting = pair.call(CLIENT, Call::new()).unwrap();
    pair.ends[CLIENT].connection.handle_lost(pair.now, lost());
    for (key, execution) in [
        (running, Execution::Unknown),
        (large, Execution::NotExecuted),
        (queued, Execution::NotExecuted),
        (waiting, Execution::NotExecuted),
    ] {
        let status = pair.status(CLIENT, key);
        assert_eq!((status.code(), status.execution()), (Code::Unavailable, execution));
    }
    let status = pair.call(CLIENT, Call::new()).unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    pair.ends[SERVER].connection.handle_lost(pair.now, lost());
    assert!(served.call.is_cancelled());
    pair.run();
    assert_eq!(pair.ends[SERVER].closed, Some(lost()));
    pair.answer_ok(SERVER, &served);
    pair.assert_empty();
}

/// A shell does not ask for another packet when `may_transmit` says that there is none.
#[test]
fn a_drain_with_nothing_under_way_ends_with_its_goodbye() {
    let mut pair = Pair::with_defaults();
    let (now, server) = (pair.now, &mut pair.ends[SERVER]);
    server.connection.drain(now, "bye");
    server.take_events(now);
    while server.connection.poll_transmit(now).is_some() && server.connection.may_transmit(now) {}
    server.take_events(now);
    assert_eq!(server.closed, Some(ConnectionError::ShutDown));
}

#[test]
fn closing_still_sends_one_way_calls_and_answers() {
    let mut pair = Pair::with_defaults();
    let (_, served) = pair.call_and_arrive(SERVER, Call::new());
    pair.answer_ok(CLIENT, &served);
    pair.call(CLIENT, Call::new().oneway()).unwrap();
    pair.call(CLIENT, Call::new().oneway().payload(1 << 20)).unwrap();
    let call = pair.call(CLIENT, Call::new()).unwrap();
    pair.ends[CLIENT].connection.close();
    let status = pair.status(CLIENT, call);
    assert_eq!(status.execution(), Execution::NotExecuted);
    pair.run();
    let arrived = &pair.ends[SERVER].arrived;
    assert_eq!(arrived.len(), 2, "{arrived:?}");
    assert!(arrived.iter().all(|arrived| matches!(arrived.key, ServedKey::Oneway(_))));
    assert!(!pair.ends[CLIENT].connection.has_output());
}

#[test]
fn a_drain_lets_running_and_nested_calls_finish_and_takes_no_new_ones() {
    let mut pair = Pair::with_defaults();
    let (outer, served) = pair.call_and_arrive(CLIENT, Call::new());
    // This call is on its way when the drain begins.
    let late = pair.call(CLIENT, Call::new()).unwrap();
    pair.transmit(CLIENT);
    pair.ends[SERVER].connection.drain(pair.now, "bye");
    pair.run();
    let status = pair.status(CLIENT, late);
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    let status = pair.call(CLIENT, Call::new()).unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    assert!(status.is_retryable());

    let (_, callback) = pair.call_and_arrive(SERVER, Call::new().within(&served.call));
    let (_, inner) = pair.call_and_arrive(CLIENT, Call::new().within(&callback.call));
    pair.answer_ok(SERVER, &inner);
    pair.run();
    pair.answer_ok(CLIENT, &callback);
    pair.run();
    assert!(pair.ends[SERVER].closed.is_none());
    pair.answer_ok(SERVER, &served);
    pair.run();
    assert!(pair.outcome(CLIENT, outer).is_some());
    assert!(pair.ends[SERVER].closed.is_none(), "the callback's outcome has not been taken");
}

#[test]
fn a_drain_serves_one_way_calls_that_are_on_their_way_or_nested_until_its_grace_is_over() {
    let mut pair = Pair::with_defaults();
    let (_outer, served) = pair.call_and_arrive(SERVER, Call::new());
    // A handler that does not stop keeps the session beyond the grace.
    pair.call_and_arrive(CLIENT, Call::new());
    pair.call(CLIENT, Call::new().oneway()).unwrap();
    pair.transmit(CLIENT);
    pair.ends[SERVER].connection.drain(pair.now, "bye");
    pair.run();
    assert_eq!(pair.ends[SERVER].arrived.len(), 1, "the call was on its way");
    let status = pair.call(CLIENT, Call::new().oneway()).unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    pair.call(CLIENT, Call::new().oneway().within(&served.call)).unwrap();
    pair.run();
    assert_eq!(pair.ends[SERVER].arrived.len(), 2, "the server awaits the call in whose handler it was made");
    assert_eq!(pair.ends[SERVER].connection.oneway_refused(), 0);

    pair.pass(10.1);
    pair.call(CLIENT, Call::new().oneway().within(&served.call)).unwrap();
    pair.run();
    assert_eq!(pair.ends[SERVER].connection.oneway_refused(), 1);
    assert_eq!(pair.ends[CLIENT].connection.stats().oneway_pending, 2, "the refused call is counted in Done");
}

#[test]
fn a_draining_side_answers_callbacks_of_its_own_calls() {
    let mut pair = Pair::with_defaults();
    let (outer, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.ends[CLIENT].connection.drain(pair.now, "bye");
    pair.run();
    let (callback, asked) = pair.call_and_arrive(SERVER, Call::new().within(&served.call));
    assert_eq!(asked.call.depth, 1, "its parent's depth and one more");
    pair.answer_ok(CLIENT, &asked);
    pair.run();
    assert!(matches!(pair.outcome(SERVER, callback), Some(Outcome::Value(_))));
    pair.answer_ok(SERVER, &served);
    pair.run();
    assert!(matches!(pair.outcome(CLIENT, outer), Some(Outcome::Value(_))));
}

#[test]
fn no_handler_starts_after_the_grace() {
    let mut pair = Pair::with_defaults();
    let (_, served) = pair.call_and_arrive(CLIENT, Call::new());
    let (_, callback) = pair.call_and_arrive(SERVER, Call::new().within(&served.call));
    pair.ends[SERVER].connection.drain(pair.now, "bye");
    pair.pass(10.1);
    let late = pair.call(CLIENT, Call::new().within(&callback.call)).unwrap();
    pair.run();
    let status = pair.status(CLIENT, late);
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
}

#[test]
fn a_drain_with_nothing_to_wait_for_ends_at_once() {
    let mut pair = Pair::with_defaults();
    pair.ends[SERVER].connection.drain(pair.now, "bye");
    pair.run();
    assert_eq!(pair.ends[SERVER].closed, Some(ConnectionError::ShutDown));
}

#[test]
fn a_drain_stops_handlers_after_10_s_and_closes_within_30() {
    let mut pair = Pair::with_defaults();
    let (key, served) = pair.call_and_arrive(CLIENT, Call::new());
    let (stubborn, _) = pair.call_and_arrive(CLIENT, Call::new());
    pair.ends[SERVER].connection.drain(pair.now, "bye");
    pair.pass(9.9);
    assert!(pair.ends[SERVER].cancelled.is_empty());
    pair.pass(0.2);
    assert_eq!(pair.ends[SERVER].cancelled.len(), 2);
    pair.answer(SERVER, &served, Completion::Stopped);
    pair.run();
    assert_eq!(pair.status(CLIENT, key).code(), Code::Unavailable);
    // The closing handshake may take 5 s, and a little time is left for what comes after it.
    pair.pass(13.0);
    assert!(pair.ends[SERVER].closed.is_none());
    pair.pass(1.0);
    assert_eq!(pair.ends[SERVER].closed, Some(ConnectionError::ShutDown));
    assert!(pair.outcome(CLIENT, stubborn).is_none(), "the caller learns of the end when the link ends");
}

#[test]
fn a_refused_client_is_told_why() {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    let call = pair.call(CLIENT, Call::new()).unwrap();
    let hello = pair.ends[CLIENT].connection.poll_transmit(pair.now).unwrap();
    let server = &mut pair.ends[SERVER];
    server.connection.handle_packet(pair.now, hello);
    assert!(server.connection.is_undecided());
    server.connection.refuse(Status::permission_denied("not you"));
    pair.run();
    let refused = ConnectionError::Refused(Status::permission_denied("not you").not_executed());
    assert_eq!(pair.ends[CLIENT].closed, Some(refused));
    assert_eq!(pair.status(CLIENT, call).execution(), Execution::NotExecuted);
    pair.assert_empty();
}

#[test]
fn a_long_refusal_fits_the_handshake() {
    let wordy = Config::builder().max_metadata(60_000).build().unwrap();
    let mut pair = Pair::apart(&Config::builder().max_metadata(256).build().unwrap(), &wordy);
    let hello = pair.ends[CLIENT].connection.poll_transmit(pair.now).unwrap();
    let server = &mut pair.ends[SERVER];
    server.connection.handle_packet(pair.now, hello);
    assert!(server.connection.is_undecided());
    server.connection.refuse(Status::permission_denied("x".repeat(50_000)));
    pair.run();
    let closed = pair.ends[CLIENT].closed.as_ref();
    assert!(
        matches!(closed, Some(ConnectionError::Refused(status)) if status.code() == Code::PermissionDenied),
        "{closed:?}"
    );
}

#[test]
fn a_client_may_send_all_of_16_kib_before_it_has_the_welcome() {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    let hello = pair.ends[CLIENT].connection.poll_transmit(pair.now).unwrap();
    // The packet counts 32 bytes beside its own.
    let (left, now, server) = (16 * 1024 - hello.len() - 32, pair.now, &mut pair.ends[SERVER]);
    server.connection.handle_packet(now, hello);
    server.connection.handle_packet(now, vec![0; left].into());
    assert!(server.connection.is_undecided());
    assert!(server.connection.ended().is_none());
    server.connection.handle_packet(now, Bytes::new());
    assert!(server.connection.ended().is_some(), "one packet more");
}

#[test]
fn a_side_that_leaves_says_when_to_come_back() {
    for after in [Duration::ZERO, Duration::from_millis(90_000), Duration::MAX] {
        let mut pair = Pair::with_defaults();
        pair.ends[SERVER].connection.ask_back_in(after);
        pair.ends[SERVER].connection.drain(pair.now, "bye");
        pair.run();
        let expected = after.min(Duration::from_millis(u64::MAX));
        assert_eq!(pair.ends[CLIENT].connection.asked_back_in(), expected);
        assert_eq!(pair.ends[SERVER].connection.asked_back_in(), Duration::ZERO);
    }
}

#[test]
fn a_held_drain_lets_handlers_call_until_it_is_released() {
    let mut pair = Pair::with_defaults();
    let (outer, served) = pair.call_and_arrive(CLIENT, Call::new());
    let mut other = Pair::with_defaults();
    let server = &mut other.ends[SERVER].connection;
    server.drain_held(other.now, "bye");
    other.run();
    assert!(other.ends[SERVER].closed.is_none() && other.ends[SERVER].connection.is_draining());
    assert_eq!(other.ends[SERVER].serving, [false]);
    // A handler of the first session calls the client of the second one, and only a handler does.
    let status = other.call(SERVER, Call::new()).unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    let (key, callback) = other.call_and_arrive(SERVER, Call::new().within(&served.call));
    // The client calls back within that call, and is served.
    let (nested, inner) = other.call_and_arrive(CLIENT, Call::new().within(&callback.call));
    other.run();
    assert_eq!(other.ends[SERVER].serving, [false, true]);
    let status = other.call(CLIENT, Call::new()).unwrap_err();
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::NotExecuted));
    other.answer_ok(SERVER, &inner);
    other.run();
    assert!(other.outcome(CLIENT, nested).is_some());
    assert_eq!(other.ends[SERVER].serving, [false, true, false]);
    other.ends[SERVER].connection.release();
    other.run();
    assert!(other.ends[SERVER].closed.is_none(), "a call is under way");
    // A later drain of all sessions still hears whether this one serves a call.
    let (nested, inner) = other.call_and_arrive(CLIENT, Call::new().within(&callback.call));
    other.run();
    assert_eq!(other.ends[SERVER].serving, [false, true, false, true]);
    other.answer_ok(SERVER, &inner);
    other.run();
    assert!(other.outcome(CLIENT, nested).is_some());
    assert_eq!(other.ends[SERVER].serving, [false, true, false, true, false]);
    other.answer_ok(CLIENT, &callback);
    other.run();
    assert!(other.outcome(SERVER, key).is_some());
    // The drain waited for this outcome. Its end is an event of the next round.
    other.run();
    other.run();
    assert_eq!(other.ends[SERVER].closed, Some(ConnectionError::ShutDown));
    pair.answer_ok(SERVER, &served);
    pair.run();
    assert!(pair.outcome(CLIENT, outer).is_some());
}

#[test]
fn a_drain_that_is_not_held_says_too_whether_it_serves() {
    let mut pair = Pair::with_defaults();
    let (_key, _served) = pair.call_and_arrive(SERVER, Call::new());
    pair.ends[SERVER].connection.drain(pair.now, "bye");
    pair.run();
    assert_eq!((&pair.ends[SERVER].closed, &*pair.ends[SERVER].serving), (&None, &[false][..]));
}

#[test]
fn the_grace_ends_the_hold_of_a_drain() {
    let mut pair = Pair::with_defaults();
    pair.ends[SERVER].connection.drain_held(pair.now, "bye");
    pair.run();
    pair.pass(9.0);
    assert!(pair.ends[SERVER].closed.is_none());
    pair.pass(2.0);
    assert_eq!(pair.ends[SERVER].closed, Some(ConnectionError::ShutDown));
}

#[test]
fn a_drain_waits_for_calls_of_its_own_side_as_long_as_for_handlers() {
    let mut pair = Pair::with_defaults();
    let (key, _served) = pair.call_and_arrive(SERVER, Call::new().timeout(3600));
    pair.ends[SERVER].connection.drain(pair.now, "bye");
    pair.pass(9.0);
    assert!(pair.ends[SERVER].closed.is_none());
    pair.pass(2.0);
    assert_eq!(pair.ends[SERVER].closed, Some(ConnectionError::ShutDown));
    let status = pair.status(SERVER, key);
    assert_eq!((status.code(), status.execution()), (Code::Unavailable, Execution::Unknown));
}
