//! Tables that a peak has made large become small again within seconds, and nothing else changes.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;

use super::{
    hostile::Liar,
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    error::{MemoryLimit, Overload},
    proto::CallKey,
    wire::{Frame, Payload, Streams},
};

const PEAK: usize = 1000;
const PERIOD: Duration = Duration::from_secs(5);
/// A little longer than that.
const SECONDS: f64 = 5.1;

/// Calls that have come, in their order.
fn begin(pair: &mut Pair, count: usize) -> Vec<CallKey> {
    let keys = (0..count).map(|_| pair.call(CLIENT, Call::new()).unwrap()).collect();
    pair.run();
    keys
}

/// Answers the calls that came first, and takes the outcomes.
fn end(pair: &mut Pair, keys: &[CallKey]) {
    let served: Vec<_> = pair.ends[SERVER].arrived.drain(..keys.len()).collect();
    served.iter().for_each(|served| pair.answer_ok(SERVER, served));
    pair.run();
    assert!(keys.iter().all(|key| pair.outcome(CLIENT, *key).is_some()));
}

fn room(pair: &Pair) -> usize {
    pair.ends[CLIENT].connection.room_for_calls()
}

fn trims(pair: &Pair) -> [usize; 2] {
    [&pair.ends[CLIENT], &pair.ends[SERVER]].map(|end| end.trims)
}

#[test]
fn a_session_at_rest_keeps_nothing_of_a_peak() {
    let mut pair = Pair::with_defaults();
    let keys = begin(&mut pair, PEAK);
    end(&mut pair, &keys);
    assert!(room(&pair) >= PEAK);
    pair.pass(SECONDS);
    assert_eq!((room(&pair), trims(&pair)), (0, [1, 1]));
    pair.assert_empty();
}

#[test]
fn a_session_in_use_keeps_nothing_of_a_peak() {
    let mut pair = Pair::with_defaults();
    let keys = begin(&mut pair, PEAK);
    // There are always some calls under way.
    let mut last = keys[PEAK - 8..].to_vec();
    end(&mut pair, &keys[..PEAK - 8]);
    for _ in 0..12 {
        pair.pass(1.0);
        let next = begin(&mut pair, 8);
        end(&mut pair, &last);
        last = next;
    }
    assert!(room(&pair) <= 64, "{}", room(&pair));
    assert_eq!(trims(&pair), [2, 2]);
    end(&mut pair, &last);
    pair.assert_empty();
}

#[test]
fn calls_that_wait_or_are_given_up_without_a_packet_leave_nothing() {
    let mut pair = Pair::open(&Config::builder().max_calls(1).build().unwrap());
    let keys = begin(&mut pair, 1);
    pair.pass(SECONDS);
    let waiting = begin(&mut pair, PEAK);
    waiting.iter().for_each(|key| pair.ends[CLIENT].connection.cancel_call(*key));
    pair.pass(SECONDS);
    assert!(room(&pair) <= 4, "{}", room(&pair));
    end(&mut pair, &keys);
    pair.assert_empty();
}

#[test]
fn a_session_at_rest_sleeps() {
    let config = Config::builder().keepalive(Duration::MAX).keepalive_timeout(Duration::MAX).build().unwrap();
    let mut pair = Pair::open(&config);
    let keys = begin(&mut pair, PEAK);
    end(&mut pair, &keys);
    pair.pass(SECONDS);
    let hour = pair.now + Duration::from_secs(3600);
    for end in &pair.ends {
        assert!(end.connection.poll_timeout().is_none_or(|next| next > hour));
        assert_eq!(end.trims, 1);
    }
    // A single call starts one more period.
    let keys = begin(&mut pair, 1);
    end(&mut pair, &keys);
    pair.pass(3600.0);
    assert_eq!(trims(&pair), [2, 2]);
}

#[test]
fn pings_start_no_period() {
    let mut pair = Pair::with_defaults();
    pair.pass(150.0);
    // Each keepalive trims, and nothing does between two of them.
    assert!(trims(&pair).into_iter().all(|trims| trims <= 10), "{:?}", trims(&pair));
}

#[test]
fn an_end_leaves_no_period() {
    let mut pair = Pair::with_defaults();
    begin(&mut pair, 1);
    // It has something to write after its end.
    pair.ends[SERVER].connection.overload(Overload::new(MemoryLimit::Session, 1, 2));
    pair.call(CLIENT, Call::new()).unwrap();
    pair.ends[CLIENT].connection.close();
    pair.run();
    assert!(pair.ends.iter().all(|end| end.closed.is_some()));
    for end in &mut pair.ends {
        assert_eq!((end.connection.poll_timeout(), end.trims), (None, 0));
    }
}

/// A second completion of an old call is stray, and no new call takes it for its own.
#[test]
fn a_late_completion_of_an_old_call_ends_no_new_one() {
    let mut liar = Liar::new(&Config::default());
    let begin = |liar: &mut Liar| -> Vec<CallKey> {
        let keys = (0..PEAK).map(|_| liar.pair.call(SERVER, Call::new()).unwrap()).collect();
        liar.pair.transmit(SERVER);
        keys
    };
    let answer = |key: &CallKey| {
        let payload = Payload::Inline(Bytes::from_static(&[1]));
        Frame::Response { id: key.id(), payload, streams: Streams::default() }
    };
    let old = begin(&mut liar);
    old.iter().for_each(|key| liar.say(&[answer(key)]));
    assert!(old.iter().all(|key| liar.pair.outcome(SERVER, *key).is_some()));
    let after = liar.pair.now + PERIOD;
    liar.pair.ends[SERVER].connection.handle_timeout(after);
    assert_eq!(liar.pair.ends[SERVER].connection.room_for_calls(), 0);
    let new = begin(&mut liar);
    let numbers: HashSet<_> = old.iter().chain(&new).collect();
    assert_eq!(numbers.len(), 2 * PEAK);
    // One more stray completion would end the session.
    old[..100].iter().for_each(|key| liar.say(&[answer(key)]));
    assert!(new.iter().all(|key| liar.pair.outcome(SERVER, *key).is_none()));
    new.iter().for_each(|key| liar.say(&[answer(key)]));
    assert!(new.iter().all(|key| liar.pair.outcome(SERVER, *key).is_some()));
    assert_eq!(liar.closed(), None);
}
