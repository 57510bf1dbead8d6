//! The budget of transfers that long items hold comes back, however their streams end.

use std::{collections::VecDeque, task::Waker};

use bytes::Bytes;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    Config, ConnectionError,
    proto::{CallKey, LongState},
    wire::TransferId,
};

const LEN: usize = 3 << 20;

/// A stream with a long item, which holds its length of the budget.
fn open(config: &Config) -> (Pair, CallKey, TransferId) {
    let mut pair = Pair::open(config);
    let (key, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(1));
    let id = arrived.streams[0];
    pair.ends[CLIENT].transfers_released = 0;
    let mut items = VecDeque::from([(Bytes::from(vec![7; LEN]).into(), u32::try_from(LEN).unwrap())]);
    let now = pair.now;
    assert!(pair.ends[CLIENT].connection.push_items(now, id, &mut items) && items.is_empty());
    (pair, key, id)
}

#[test]
fn the_budget_of_a_long_item_comes_back() {
    type End = fn(&mut Pair, CallKey, TransferId);
    let ends: [(&str, End); 4] = [
        ("it goes", |_, _, _| {}),
        ("its reader leaves", |pair, _, id| pair.ends[SERVER].connection.leave_stream(id)),
        ("its call is given up", |pair, key, _| pair.ends[CLIENT].connection.cancel_call(key)),
        ("one side shuts down", |pair, _, _| {
            let now = pair.now;
            pair.ends[CLIENT].connection.drain(now, "bye");
            pair.ends[CLIENT].inbox.clear();
            pair.now += std::time::Duration::from_secs(11);
        }),
    ];
    for (what, end) in ends {
        for begun in [false, true] {
            let (mut pair, key, id) = open(&Config::default());
            if begun {
                pair.transmit(CLIENT);
                assert!(pair.ends[CLIENT].connection.stats().stream_bytes_queued > 0, "it is under way");
            }
            assert_eq!(pair.ends[CLIENT].transfers_released, 0);
            end(&mut pair, key, id);
            pair.run();
            assert_eq!(pair.ends[CLIENT].transfers_released, LEN, "{what}, under way: {begun}");
        }
    }
}

/// The item is not even made before there is shared credit, and then holds its length of the budget once.
#[test]
fn a_long_item_holds_nothing_while_it_waits_for_shared_credit() {
    let (mut pair, _, id) = open(&Config::builder().streams_window(1).max_payload(8 << 20).build().unwrap());
    pair.pass(0.1);
    assert_eq!(pair.ends[CLIENT].transfers_released, LEN, "the first item may go beyond the credit");
    // The reader grants credit of the stream, and no shared credit.
    pair.ends[SERVER].connection.set_stream_window(id, 4 * LEN);
    pair.pass(0.1);
    assert_eq!(pair.ends[CLIENT].connection.poll_long_item(id, LEN, Waker::noop()), Some(false), "there is no credit");
    assert_eq!(pair.read(SERVER, id).0.len(), 1);
    pair.pass(0.1);
    assert_eq!(pair.ends[CLIENT].connection.poll_long_item(id, LEN, Waker::noop()), Some(true));
    let mut items = VecDeque::from([(Bytes::from(vec![7; LEN]).into(), u32::try_from(LEN).unwrap())]);
    let now = pair.now;
    assert!(pair.ends[CLIENT].connection.push_items(now, id, &mut items) && items.is_empty());
    assert!(matches!(pair.ends[CLIENT].connection.poll_long(id, Waker::noop()), Some(LongState::Waits)));
    pair.pass(0.1);
    assert!(matches!(pair.ends[CLIENT].connection.poll_long(id, Waker::noop()), Some(LongState::Gone)));
    assert_eq!(pair.ends[CLIENT].transfers_released, 2 * LEN);
    assert_eq!(pair.read(SERVER, id).0.len(), 1);
    pair.ends[CLIENT].connection.handle_lost(pair.now, ConnectionError::Lost("cut".to_owned()));
}

/// A stream with a long item that is queued, and another stream whose one short item has used the shared credit.
fn long_item_without_shared_credit() -> (Pair, TransferId, TransferId) {
    let mut pair = Pair::open(&Config::builder().streams_window(100).max_payload(8 << 20).build().unwrap());
    let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(2));
    let [long, short] = [arrived.streams[0], arrived.streams[1]];
    pair.ends[CLIENT].transfers_released = 0;
    assert_eq!(pair.ends[CLIENT].connection.poll_long_item(long, LEN, Waker::noop()), Some(true));
    assert_eq!(pair.produce(CLIENT, short, [vec![0; 1000].into()]), 0, "one item goes without shared credit");
    pair.run();
    let mut items = VecDeque::from([(Bytes::from(vec![7; LEN]).into(), u32::try_from(LEN).unwrap())]);
    let now = pair.now;
    assert!(pair.ends[CLIENT].connection.push_items(now, long, &mut items) && items.is_empty());
    (pair, long, short)
}

/// If another stream has used the shared credit, a long item is dropped with its part of the budget, and made again.
#[test]
fn a_long_item_without_shared_credit_is_given_back() {
    let (mut pair, long, short) = long_item_without_shared_credit();
    pair.run();
    pair.run();
    pair.check();
    assert!(matches!(pair.ends[CLIENT].connection.poll_long(long, Waker::noop()), Some(LongState::Returned)));
    assert_eq!(pair.ends[CLIENT].connection.stats().stream_bytes_queued, 0);
    assert_eq!(pair.ends[CLIENT].transfers_released, LEN);
    assert_eq!(pair.ends[CLIENT].connection.poll_long_item(long, LEN, Waker::noop()), Some(false));
    assert_eq!(pair.read(SERVER, short).0.len(), 1);
    pair.run();
    assert_eq!(pair.ends[CLIENT].connection.poll_long_item(long, LEN, Waker::noop()), Some(true));
    pair.check();
}

/// A producer that has finished cannot make its last item again, so that item waits for credit instead.
#[test]
fn the_last_long_item_of_a_finished_stream_waits_for_credit() {
    let (mut pair, long, short) = long_item_without_shared_credit();
    let now = pair.now;
    pair.ends[CLIENT].connection.finish_stream(now, long, Ok(()));
    pair.run();
    pair.check();
    assert_eq!(pair.read(SERVER, long), (vec![], None), "the item has no credit");
    assert_eq!(pair.read(SERVER, short).0.len(), 1);
    pair.pass(0.1);
    let (items, end) = pair.read(SERVER, long);
    assert_eq!((items.len(), end), (1, Some(Ok(()))));
    assert_eq!(pair.ends[CLIENT].transfers_released, LEN);
    pair.check();
}
