//! Sharing a link among many payloads and streams is not mistaken for a stall.

use std::{collections::VecDeque, task::Waker, time::Duration};

use bytes::Bytes;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    proto::{Completion, LongState},
};

/// Packets go one by one, and there is always more to send than goes at once: many results and a stream of long items,
/// within what the receiver assembles at once. Streams send three bytes for each byte of a result, so a result waits
/// while several times `max_assembly` of other bytes come.
#[test]
fn results_that_wait_for_their_turns_beside_a_stream_do_not_count_as_stalled() {
    const CALLS: usize = 30;
    const ITEM: usize = 16 * 1024;
    let config =
        Config::builder().chunk(1024).max_assembly(64 * 1024).progress_timeout(Duration::from_secs(1)).build().unwrap();
    let mut pair = Pair::open(&config);
    let (key, arrived) = pair.call_and_arrive(CLIENT, Call::new());
    let stream = pair.answer(SERVER, &arrived, Completion::Streaming(Bytes::from_static(&[1]).into(), 1))[0];
    pair.run();
    assert!(pair.outcome(CLIENT, key).is_some());
    let (mut calls, mut answered, mut items) = (Vec::new(), 0, 0);
    for _ in 0..5000 {
        while calls.len() < CALLS {
            calls.push(pair.call(CLIENT, Call::new()).unwrap());
        }
        pair.transmit(CLIENT);
        while pair.receive(SERVER) {}
        for arrived in std::mem::take(&mut pair.ends[SERVER].arrived) {
            pair.answer(SERVER, &arrived, Completion::Value(Bytes::from(vec![7; 1500]).into()));
        }
        let now = pair.now;
        let server = &mut pair.ends[SERVER].connection;
        if !matches!(server.poll_long(stream, Waker::noop()), Some(LongState::Waits))
            && server.stats().stream_bytes_queued == 0
        {
            assert_eq!(server.poll_long_item(stream, ITEM, Waker::noop()), Some(true));
            assert!(server.push_items(now, stream, &mut VecDeque::from([(Bytes::from(vec![7; ITEM]).into(), 0)])));
        }
        if let Some(packet) = server.poll_transmit(now) {
            pair.ends[CLIENT].inbox.push_back(packet);
        }
        while pair.receive(CLIENT) {}
        items += pair.read(CLIENT, stream).0.len();
        let before = calls.len();
        calls.retain(|key| pair.outcome(CLIENT, *key).is_none());
        answered += before - calls.len();
        pair.now += Duration::from_millis(1);
        let now = pair.now;
        for end in &mut pair.ends {
            end.connection.handle_timeout(now);
            end.take_events(now);
            assert_eq!(end.closed, None, "after {answered} results and {items} items");
        }
    }
    assert!(answered > 500 && items > 100, "{answered} results and {items} items");
}
