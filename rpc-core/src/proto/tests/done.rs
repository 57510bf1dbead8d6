//! When the caller of one-way calls is told that they are over.

use std::time::Duration;

use super::pair::{Arrived, CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    wire::{Frame, read_packet},
};

/// As long as an ack may wait.
const DELAY: Duration = Duration::from_millis(200);

fn with_permits(permits: u32) -> Pair {
    Pair::open(&Config::builder().max_oneway_calls(permits).build().unwrap())
}

/// One-way calls of the client that have come to the server.
fn arrive(pair: &mut Pair, calls: usize) -> Vec<Arrived> {
    for _ in 0..calls {
        pair.call(CLIENT, Call::new().oneway()).unwrap();
    }
    pair.run();
    std::mem::take(&mut pair.ends[SERVER].arrived)
}

fn finish(pair: &mut Pair, calls: &[Arrived]) {
    calls.iter().for_each(|call| pair.answer_ok(SERVER, call));
    pair.run();
}

/// One-way calls that hold a permit at the client.
fn pending(pair: &Pair) -> usize {
    pair.ends[CLIENT].connection.stats().oneway_pending
}

/// What the server writes now, packet by packet.
fn written(pair: &mut Pair) -> Vec<Vec<Frame>> {
    pair.transmit(SERVER);
    let packets = pair.ends[CLIENT].inbox.iter();
    packets.map(|packet| read_packet(packet.clone()).unwrap().1.map(Result::unwrap).collect()).collect()
}

#[test]
fn a_report_waits_as_long_as_an_ack_and_takes_the_ack_along() {
    let mut pair = Pair::with_defaults();
    let calls = arrive(&mut pair, 2);
    finish(&mut pair, &calls[..1]);
    pair.pass(0.15);
    finish(&mut pair, &calls[1..]);
    assert_eq!(pending(&pair), 2);
    assert_eq!(pair.ends[SERVER].connection.poll_timeout(), Some(pair.now + Duration::from_millis(50)));
    pair.now += Duration::from_millis(50);
    assert_eq!(written(&mut pair), [[Frame::Done { depth: 0, count: 2, bytes: 0, marked: 0 }]]);
    pair.run();
    assert_eq!(pending(&pair), 0);
    assert!(pair.ends[SERVER].connection.poll_timeout() > Some(pair.now + DELAY), "no ack is due any more");
}

#[test]
fn a_report_waits_for_itself_where_the_ack_has_gone_before() {
    let mut pair = Pair::with_defaults();
    let calls = arrive(&mut pair, 1);
    pair.pass(1.0);
    finish(&mut pair, &calls);
    assert_eq!(pending(&pair), 1);
    pair.pass(0.199);
    assert_eq!(pending(&pair), 1);
    pair.pass(0.001);
    assert_eq!(pending(&pair), 0);
}

#[test]
fn a_report_goes_with_the_next_packet() {
    let mut pair = Pair::with_defaults();
    let calls = arrive(&mut pair, 1);
    finish(&mut pair, &calls);
    let (_, two_way) = pair.call_and_arrive(CLIENT, Call::new());
    pair.answer_ok(SERVER, &two_way);
    let packets = written(&mut pair);
    assert!(
        matches!(&packets[..], [frames] if matches!(frames[..], [Frame::Response { .. }, Frame::Done { .. }])),
        "{packets:?}"
    );
}

#[test]
fn a_report_goes_at_once_when_half_of_the_permits_are_used() {
    let mut pair = with_permits(64);
    let calls = arrive(&mut pair, 31);
    finish(&mut pair, &calls);
    assert_eq!(pending(&pair), 31, "less than half is used");
    let runs = arrive(&mut pair, 1);
    assert_eq!(pending(&pair), 1, "with the call that runs it is half");
    let more = arrive(&mut pair, 30);
    finish(&mut pair, &more);
    assert_eq!(pending(&pair), 31);
    finish(&mut pair, &runs);
    assert_eq!(pending(&pair), 31, "a call that ends changes nothing in the sum");
    let last = arrive(&mut pair, 1);
    assert_eq!(pending(&pair), 1);
    finish(&mut pair, &last);
    pair.pass(0.2);
    pair.assert_empty();
}

#[test]
fn a_report_goes_at_once_where_permits_are_few() {
    for (permits, waits) in [(1, false), (63, false), (64, true)] {
        let mut pair = with_permits(permits);
        let calls = arrive(&mut pair, 1);
        finish(&mut pair, &calls);
        assert_eq!(pending(&pair), usize::from(waits), "{permits} permits");
    }
}

#[test]
fn a_report_that_returns_bytes_goes_at_once() {
    for (payload, waits) in [(4 * 1024, true), (4 * 1024 + 1, false)] {
        let mut pair = Pair::with_defaults();
        let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().oneway().payload(payload));
        finish(&mut pair, &[arrived]);
        assert_eq!(pending(&pair), usize::from(waits), "{payload} bytes");
    }
}

#[test]
fn an_end_that_leaves_or_is_left_reports_at_once() {
    for leaves in [CLIENT, SERVER] {
        let mut pair = Pair::with_defaults();
        let calls = arrive(&mut pair, 2);
        finish(&mut pair, &calls[..1]);
        assert_eq!(pending(&pair), 2);
        let now = pair.now;
        // The other call and a two-way one keep both ends open.
        let (_, two_way) = pair.call_and_arrive(CLIENT, Call::new());
        pair.ends[leaves].connection.drain(now, "bye");
        pair.run();
        assert_eq!(pending(&pair), 1, "what was over is reported");
        finish(&mut pair, &calls[1..]);
        assert_eq!(pending(&pair), 0, "and so is what ends during the drain");
        pair.answer_ok(SERVER, &two_way);
    }
}

#[test]
fn a_report_that_cannot_be_written_sets_no_timer() {
    let mut pair = Pair::with_defaults();
    let calls = arrive(&mut pair, 1);
    pair.pass(1.0);
    finish(&mut pair, &calls);
    let due = pair.now + DELAY;
    assert_eq!(pair.ends[SERVER].connection.poll_timeout(), Some(due));
    pair.ends[SERVER].connection.handle_write(pair.now, true, 0);
    assert!(pair.ends[SERVER].connection.poll_timeout() > Some(due));
}

#[test]
fn a_caller_that_is_out_of_permits_never_waits_for_a_report() {
    for permits in [1, 2, 63, 64, 65, 1024] {
        let mut pair = with_permits(permits);
        let (calls, mut served) = (3000, 0);
        for _ in 0..calls {
            pair.call(CLIENT, Call::new().oneway()).unwrap();
        }
        // No time passes.
        while served < calls {
            pair.run();
            let arrived = std::mem::take(&mut pair.ends[SERVER].arrived);
            assert!(!arrived.is_empty(), "{permits} permits: {served} calls were served, and then nothing came");
            served += arrived.len();
            finish(&mut pair, &arrived);
        }
    }
}
