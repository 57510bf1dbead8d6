//! Deadlines, keepalive and stalls, with the defaults.

use std::time::Duration;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    error::TimeLimit,
    proto::Completion,
    status::{Code, Execution},
};

#[test]
fn a_deadline_ends_the_call_on_both_sides() {
    let mut pair = Pair::with_defaults();
    let (key, served) = pair.call_and_arrive(CLIENT, Call::new().timeout(5));
    let left = served.call.deadline.unwrap().duration_since(pair.now);
    assert_eq!(left.as_secs(), 5);
    pair.pass(4.9);
    assert!(pair.outcome(CLIENT, key).is_none());
    pair.pass(0.2);
    let status = pair.status(CLIENT, key);
    assert_eq!((status.code(), status.execution()), (Code::DeadlineExceeded, Execution::Unknown));
    assert_eq!(pair.ends[SERVER].cancelled, [served.key]);
    pair.answer(SERVER, &served, Completion::Stopped);
    pair.run();
    pair.assert_empty();
}

#[test]
fn a_deadline_while_waiting_for_a_permit_means_that_nothing_ran() {
    let mut pair = Pair::open(&Config::builder().max_calls(1).build().unwrap());
    let _ = pair.call_and_arrive(CLIENT, Call::new());
    let key = pair.call(CLIENT, Call::new().timeout(5)).unwrap();
    pair.pass(5.1);
    assert_eq!(pair.status(CLIENT, key).execution(), Execution::NotExecuted);
    assert!(pair.ends[SERVER].arrived.is_empty());
}

#[test]
fn an_answer_after_the_deadline_is_dropped_and_frees_the_slot() {
    let mut pair = Pair::with_defaults();
    let (key, served) = pair.call_and_arrive(CLIENT, Call::new().timeout(1));
    pair.answer_ok(SERVER, &served);
    pair.transmit(SERVER);
    pair.now += Duration::from_secs(2);
    pair.ends[CLIENT].connection.handle_timeout(pair.now);
    assert_eq!(pair.status(CLIENT, key).code(), Code::DeadlineExceeded);
    assert_eq!(pair.ends[CLIENT].connection.stats().calls_pending, 1);
    pair.run();
    pair.assert_empty();
}

#[test]
fn no_hello_and_no_welcome_within_5_s() {
    for alone in [CLIENT, SERVER] {
        let mut pair = Pair::apart(&Config::default(), &Config::default());
        // The client waits a tenth longer. The end looks twice, a moment apart.
        let first = if alone == CLIENT { 5.4 } else { 4.9 };
        for (seconds, over) in [(first, false), (0.2, false), (0.2, true)] {
            pair.now += Duration::from_secs_f64(seconds);
            let now = pair.now;
            pair.ends[alone].connection.handle_timeout(now);
            pair.ends[alone].take_events(now);
            let limit = if alone == CLIENT { TimeLimit::Welcome } else { TimeLimit::Hello };
            assert_eq!(pair.ends[alone].ran_out(), over.then_some(limit));
        }
    }
}

#[test]
fn a_silent_link_is_kept_alive_by_pings() {
    let mut pair = Pair::with_defaults();
    pair.pass(3600.0);
    assert!(pair.ends.iter().all(|end| end.connection.is_open()));
}

#[test]
fn a_peer_that_is_gone_is_given_up_after_30_s() {
    let mut pair = Pair::with_defaults();
    for (seconds, over) in [(29.9, false), (0.2, true)] {
        let until = pair.now + Duration::from_secs_f64(seconds);
        while pair.now < until {
            let next = pair.ends[CLIENT].connection.poll_timeout().map_or(until, |next| next.min(until));
            pair.now = next.max(pair.now);
            pair.ends[CLIENT].connection.handle_timeout(next);
            pair.transmit(CLIENT);
            pair.ends[SERVER].inbox.clear();
        }
        assert_eq!(pair.ends[CLIENT].ran_out(), over.then_some(TimeLimit::Keepalive), "after {seconds} s more");
    }
}

#[test]
fn any_bytes_count_as_life() {
    let mut pair = Pair::with_defaults();
    for second in 1..=100_u64 {
        pair.now += Duration::from_secs(1);
        let now = pair.now;
        // A large message trickles in, just fast enough.
        pair.ends[CLIENT].connection.handle_activity(now, second * 1024, true);
        pair.ends[CLIENT].connection.handle_timeout(now);
        pair.ends[CLIENT].take_events(now);
    }
    assert!(pair.ends[CLIENT].closed.is_none());
}

#[test]
fn a_message_that_does_not_grow_by_16_kib_in_30_s_ends_the_session() {
    let mut pair = Pair::with_defaults();
    // The end looks twice, a moment apart.
    for second in 1..=32_u64 {
        assert!(pair.ends[CLIENT].closed.is_none(), "at {second} s");
        pair.now += Duration::from_secs(1);
        let now = pair.now;
        pair.ends[CLIENT].connection.handle_activity(now, second * 100, true);
        pair.ends[CLIENT].connection.handle_timeout(now);
        pair.ends[CLIENT].take_events(now);
    }
    assert_eq!(pair.ends[CLIENT].ran_out(), Some(TimeLimit::Message));
}

#[test]
fn a_transfer_that_stalls_for_30_s_ends_the_session() {
    let mut pair = Pair::with_defaults();
    pair.call(CLIENT, Call::new().payload(4 << 20)).unwrap();
    pair.transmit(CLIENT);
    pair.receive(SERVER);
    let rest = std::mem::take(&mut pair.ends[SERVER].inbox);
    assert!(!rest.is_empty());
    let mut received = 0;
    // The first period has its 64 KiB, and the second has nothing. The end looks twice, a moment apart.
    for (seconds, over) in [(30.1, false), (29.8, false), (0.2, false), (0.2, true)] {
        pair.now += Duration::from_secs_f64(seconds);
        let (now, server) = (pair.now, &mut pair.ends[SERVER]);
        // The link itself is alive.
        received += 1;
        server.connection.handle_activity(now, received, false);
        server.connection.handle_timeout(now);
        server.take_events(now);
        assert_eq!(pair.ends[SERVER].ran_out(), over.then_some(TimeLimit::Payloads));
    }
}

#[test]
fn transfers_that_are_served_in_turn_are_judged_as_a_whole() {
    let mut pair = Pair::with_defaults();
    for _ in 0..150 {
        pair.call(CLIENT, Call::new().payload(100_000)).unwrap();
    }
    // A packet of 64 KiB goes every 3 s, so the last transfer gets its first chunk after minutes.
    for second in 1..=120_u64 {
        pair.now += Duration::from_secs(1);
        if second % 3 == 0 {
            pair.transmit(CLIENT);
            let now = pair.now;
            let server = &mut pair.ends[SERVER];
            if let Some(packet) = server.inbox.pop_front() {
                server.connection.handle_packet(now, packet);
            }
        }
        let (now, server) = (pair.now, &mut pair.ends[SERVER]);
        server.connection.handle_timeout(now);
        server.take_events(now);
        assert!(server.closed.is_none(), "at {second} s: {:?}", server.closed);
        // The way back is quick, so acknowledgements let the sender go on.
        pair.transmit(SERVER);
        let client = &mut pair.ends[CLIENT];
        while let Some(packet) = client.inbox.pop_front() {
            client.connection.handle_packet(now, packet);
        }
        client.take_events(now);
    }
}

#[test]
fn a_write_without_progress_for_10_s_ends_the_session() {
    let mut pair = Pair::with_defaults();
    let start = pair.now;
    // The end looks twice, a moment apart.
    let steps =
        [(0, 100, false), (9, 100, false), (11, 101, false), (20, 101, false), (22, 101, false), (23, 101, true)];
    for (seconds, sent, over) in steps {
        let now = start + Duration::from_secs(seconds);
        let client = &mut pair.ends[CLIENT];
        client.connection.handle_write(now, true, sent);
        client.connection.handle_timeout(now);
        client.take_events(now);
        assert_eq!(pair.ends[CLIENT].ran_out(), over.then_some(TimeLimit::Write), "after {seconds} s");
    }
}

#[test]
fn times_may_be_for_ever() {
    let config = Config::builder()
        .nested_wait(Duration::MAX)
        .keepalive(Duration::MAX)
        .keepalive_timeout(Duration::MAX)
        .drain_grace(Duration::MAX)
        .drain_timeout(Duration::MAX)
        .progress_timeout(Duration::MAX)
        .build()
        .unwrap();
    let mut pair = Pair::open(&config);
    let (key, served) = pair.call_and_arrive(CLIENT, Call::new());
    pair.pass(100_000.0);
    pair.ends[SERVER].connection.drain(pair.now, "bye");
    pair.pass(100_000.0);
    pair.answer_ok(SERVER, &served);
    pair.run();
    assert!(pair.outcome(CLIENT, key).is_some());
}

#[test]
fn an_ack_that_cannot_be_written_sets_no_timer() {
    let mut pair = Pair::with_defaults();
    pair.call(CLIENT, Call::new()).unwrap();
    pair.transmit(CLIENT);
    pair.receive(SERVER);
    let due = pair.now + Duration::from_millis(200);
    assert_eq!(pair.ends[SERVER].connection.poll_timeout(), Some(due));
    pair.ends[SERVER].connection.handle_write(pair.now, true, 0);
    assert!(pair.ends[SERVER].connection.poll_timeout() > Some(due));
}
