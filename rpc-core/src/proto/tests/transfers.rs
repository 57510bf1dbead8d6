//! Payloads in chunks: complete, in turn with other frames, stopped, aborted, and within their limits.

use bytes::Bytes;

use super::{
    hostile::Liar,
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    proto::{Completion, Outcome},
    status::{Code, Execution},
    wire::{ErrorBody, Frame, Payload, Streams, read_packet},
};

const MIB: usize = 1024 * 1024;

fn large(len: usize) -> Bytes {
    (0..=250_u8).cycle().take(len).collect::<Vec<_>>().into()
}

#[test]
fn four_mebibytes_go_each_way() {
    let mut pair = Pair::with_defaults();
    let call = Call { payload: large(4 * MIB), ..Call::new() };
    let (key, served) = pair.call_and_arrive(CLIENT, call);
    assert_eq!(served.payload, large(4 * MIB));
    pair.answer(SERVER, &served, Completion::Value(large(4 * MIB).into()));
    pair.run();
    assert_eq!(pair.outcome(CLIENT, key), Some(Outcome::Value(large(4 * MIB))));
    pair.assert_empty();
    let (key, served) = pair.call_and_arrive(SERVER, Call::new());
    pair.answer(CLIENT, &served, Completion::Fault(large(MIB).into()));
    pair.run();
    assert_eq!(pair.outcome(SERVER, key), Some(Outcome::Fault(large(MIB))));
    pair.assert_empty();
}

#[test]
fn small_calls_do_not_wait_behind_large_ones() {
    let mut pair = Pair::with_defaults();
    pair.call(CLIENT, Call::new().payload(4 * MIB)).unwrap();
    pair.transmit(CLIENT);
    let unacked = pair.ends[CLIENT].connection.stats().unacked_bulk;
    assert!(unacked <= 512 * 1024 + 128 * 1024, "{unacked} bytes are under way");
    pair.ends[SERVER].inbox.clear();
    pair.call(CLIENT, Call::new().payload(1)).unwrap();
    let packet = pair.ends[CLIENT].connection.poll_transmit(pair.now).expect("the small call goes at once");
    let (_, mut frames) = read_packet(packet).unwrap();
    assert!(matches!(frames.next(), Some(Ok(Frame::Request(request))) if request.payload.len() == 1));
}

#[test]
fn arguments_over_the_limit_fail_that_call_only() {
    // The sender assumes a larger limit than the receiver has, as a careless peer may.
    let small = Config::builder().max_payload(100_000).build().unwrap();
    let mut pair = Pair::open(&small);
    let key = pair.call(CLIENT, Call::new().payload(200_000)).unwrap();
    pair.run();
    let status = pair.status(CLIENT, key);
    assert_eq!((status.code(), status.execution()), (Code::OutOfRange, Execution::NotExecuted));
    assert!(pair.ends[SERVER].connection.is_open());
    pair.assert_empty();
}

#[test]
fn a_result_over_the_callers_limit_is_a_status() {
    let small = Config::builder().max_payload(100_000).build().unwrap();
    let mut pair = Pair::apart(&small, &Config::default());
    pair.run();
    let (key, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.answer(SERVER, &served, Completion::Value(large(200_000).into()));
    pair.run();
    assert_eq!(pair.status(CLIENT, key).code(), Code::OutOfRange);
    pair.assert_empty();
}

/// A peer that ignores the caller's limit gains nothing by sending the result in its frame.
#[test]
fn a_result_in_its_frame_is_held_to_the_callers_limit_too() {
    let mut liar = Liar::new(&Config::builder().max_payload(1000).build().unwrap());
    let payload = |len: usize| Payload::Inline(large(len));
    let value = |id, len| Frame::Response { id, payload: payload(len), streams: Streams::default() };
    let fault = |id, len| Frame::Error { id, error: ErrorBody::Fault(payload(len)) };
    let keys: Vec<_> = (0..4).map(|_| liar.pair.call(SERVER, Call::new()).expect("there are permits")).collect();
    liar.pair.transmit(SERVER);
    let [a, b, c, d] = [0, 1, 2, 3].map(|index: usize| keys[index].id());
    liar.say(&[value(a, 1000), value(b, 1001), fault(c, 1000), fault(d, 1001)]);
    let ends = keys.iter().map(|key| match liar.pair.outcome(SERVER, *key) {
        Some(Outcome::Status(status)) => Some(status.code()),
        Some(Outcome::Value(_) | Outcome::Fault(_)) => None,
        other => panic!("{other:?}"),
    });
    assert_eq!(ends.collect::<Vec<_>>(), [None, Some(Code::OutOfRange), None, Some(Code::OutOfRange)]);
    assert_eq!(liar.closed(), None);
}

#[test]
fn a_caller_who_leaves_while_arguments_are_sent_stops_them() {
    let mut pair = Pair::with_defaults();
    let key = pair.call(CLIENT, Call::new().payload(4 * MIB)).unwrap();
    pair.transmit(CLIENT);
    pair.receive(SERVER);
    assert!(pair.ends[SERVER].connection.stats().assemblies == 1);
    pair.ends[CLIENT].connection.cancel_call(key);
    pair.run();
    assert!(pair.ends[SERVER].arrived.is_empty(), "the handler never starts");
    pair.assert_empty();
}

#[test]
fn a_caller_who_leaves_while_the_result_arrives_stops_it() {
    let mut pair = Pair::with_defaults();
    let (key, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.answer(SERVER, &served, Completion::Value(large(4 * MIB).into()));
    pair.transmit(SERVER);
    pair.receive(CLIENT);
    assert_eq!(pair.ends[CLIENT].connection.stats().assemblies, 1);
    pair.ends[CLIENT].connection.cancel_call(key);
    pair.run();
    pair.assert_empty();
    let sent = pair.ends[SERVER].connection.stats();
    assert_eq!(sent.transfer_bytes, 0);
}

#[test]
fn a_deadline_in_the_middle_of_a_transfer_ends_it() {
    for results in [false, true] {
        let mut pair = Pair::with_defaults();
        let call = Call::new().timeout(1).payload(if results { 1 } else { 4 * MIB });
        let key = pair.call(CLIENT, call).unwrap();
        if results {
            pair.run();
            let served = pair.ends[SERVER].arrived.pop().unwrap();
            pair.answer(SERVER, &served, Completion::Value(large(4 * MIB).into()));
            pair.transmit(SERVER);
            pair.receive(CLIENT);
        } else {
            pair.transmit(CLIENT);
            pair.receive(SERVER);
        }
        pair.now += std::time::Duration::from_secs(2);
        pair.run();
        assert_eq!(pair.status(CLIENT, key).code(), Code::DeadlineExceeded);
        pair.assert_empty();
    }
}

#[test]
fn large_one_way_arguments_return_their_bytes() {
    let mut pair = Pair::with_defaults();
    let (_, served) = pair.call_and_arrive(CLIENT, Call { payload: large(MIB), ..Call::new().oneway() });
    assert_eq!(served.payload.len(), MIB);
    pair.answer_ok(SERVER, &served);
    pair.transmit(SERVER);
    while let Some(packet) = pair.ends[CLIENT].inbox.pop_front() {
        pair.ends[CLIENT].connection.handle_packet(pair.now, packet);
    }
    assert_eq!(pair.ends[CLIENT].connection.take_released().arguments, MIB);
    pair.run();
    pair.assert_empty();
}
