//! What a callee enforces by itself, against a peer that keeps no limits.

use std::{sync::Arc, time::Duration};

use super::{
    hostile::{Liar, notify, request, request_with},
    pair::{Arrived, Call, SERVER},
};
use crate::{Config, proto::CallKey, status::Code, wire::Frame};

fn config(calls: u32) -> Config {
    Config::builder().max_calls(calls).max_oneway_calls(1).build().unwrap()
}

/// The only call that has arrived.
fn arrived(liar: &mut Liar) -> Arrived {
    let arrived = liar.pair.ends[SERVER].arrived.pop().expect("a call has arrived");
    assert!(liar.pair.ends[SERVER].arrived.is_empty(), "one call");
    arrived
}

#[test]
fn one_way_calls_beyond_the_limit_do_not_run_and_are_reported_done() {
    let mut liar = Liar::new(&config(1));
    liar.say(&[notify(), notify(), notify()]);
    let first = arrived(&mut liar);
    liar.pair.now += Duration::from_secs(1);
    assert_eq!(liar.heard(), [Frame::Done { depth: 0, count: 2, bytes: 0, marked: 0 }], "the two that were refused");
    liar.pair.answer_ok(SERVER, &first);
    liar.pair.now += Duration::from_secs(1);
    assert_eq!(liar.heard(), [Frame::Done { depth: 0, count: 3, bytes: 0, marked: 0 }]);
    liar.say(&[notify()]);
    arrived(&mut liar);
    assert_eq!(liar.closed(), None);
}

#[test]
fn a_permit_returns_when_the_packet_with_the_completion_has_gone() {
    let mut liar = Liar::new(&config(1));
    liar.say(&[request(1)]);
    let first = arrived(&mut liar);
    liar.pair.answer_ok(SERVER, &first);
    // The answer waits to be written.
    liar.say(&[request(2)]);
    assert!(liar.pair.ends[SERVER].arrived.is_empty());
    assert_eq!(liar.statuses(), [(2, Code::ResourceExhausted)]);
    // It has gone, together with the refusal.
    liar.say(&[request(3)]);
    arrived(&mut liar);
    assert_eq!(liar.closed(), None);
}

/// The liar has called, and the server has called back within that call.
fn chain(config: &Config) -> (Liar, Arrived, CallKey) {
    let mut liar = Liar::new(config);
    liar.say(&[request(1)]);
    let outer = arrived(&mut liar);
    let callback = liar.pair.call(SERVER, Call::new().within(&outer.call)).unwrap();
    assert!(matches!(&liar.heard()[..], [Frame::Request(callback)] if callback.depth == 1));
    (liar, outer, callback)
}

/// A call that declares no depth, and this parent.
fn flat(id: u64, parent: CallKey) -> Frame {
    request_with(id, |nested| (nested.depth, nested.parent) = (0, Some(parent.id())))
}

#[test]
fn the_depth_of_a_liar_is_raised_to_that_of_its_chain() {
    for max_depth in [1, 2] {
        let (mut liar, outer, callback) = chain(&Config::builder().max_depth(max_depth).build().unwrap());
        liar.say(&[flat(2, callback)]);
        if max_depth == 1 {
            assert_eq!(liar.statuses(), [(2, Code::FailedPrecondition)]);
            assert!(liar.pair.ends[SERVER].arrived.is_empty());
            continue;
        }
        let nested = arrived(&mut liar).call;
        assert_eq!(nested.depth, 2);
        assert!(Arc::ptr_eq(nested.parent.as_ref().expect("it is in the chain"), &outer.call));
        assert_eq!(liar.closed(), None);
    }
}

#[test]
fn a_parent_whose_caller_has_given_up_is_none() {
    let (mut liar, _, callback) = chain(&Config::default());
    liar.pair.ends[SERVER].connection.cancel_call(callback);
    liar.say(&[flat(2, callback)]);
    let nested = arrived(&mut liar).call;
    assert_eq!(nested.depth, 0);
    assert!(nested.parent.is_none());
    assert_eq!(liar.closed(), None);
}
