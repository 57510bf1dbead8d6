//! When an end gives its peer up, and the second look that it takes before that.

use std::time::Duration;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{Config, error::TimeLimit};

const KIB: u64 = 1024;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One end is woken after this time and has nothing to read yet, as after a blocked thread or a stopped process.
fn wake(pair: &mut Pair, at: usize, after: Duration) {
    pair.now += after;
    let (now, end) = (pair.now, &mut pair.ends[at]);
    end.connection.handle_timeout(now);
    end.take_events(now);
}

/// A moment passes, after which the end looks again.
fn wait(pair: &mut Pair, at: usize) {
    wake(pair, at, Duration::from_millis(150));
}

#[test]
fn an_idle_session_lives_whatever_its_times_are() {
    let times = [1, 2, 5, 15, 60, u64::MAX].map(seconds);
    for keepalive in times {
        for keepalive_timeout in &times[1..] {
            let config = Config::builder().keepalive(keepalive).keepalive_timeout(*keepalive_timeout).build().unwrap();
            for (client, server) in [(&config, &config), (&config, &Config::default()), (&Config::default(), &config)] {
                let mut pair = Pair::apart(client, server);
                pair.pass(900.0);
                for end in &pair.ends {
                    assert_eq!(end.closed, None, "{keepalive:?}, {keepalive_timeout:?}");
                    assert!(end.connection.is_open());
                }
            }
        }
    }
}

#[test]
fn a_peer_that_stalls_is_not_sent_more_pings_than_it_takes() {
    let config = Config::builder().keepalive(seconds(1)).keepalive_timeout(seconds(120)).build().unwrap();
    let mut pair = Pair::apart(&config, &Config::default());
    pair.run();
    // The server's process is stopped for a while; the client's pings wait in its socket.
    let until = pair.now + seconds(25);
    while let Some(next) = pair.ends[CLIENT].connection.poll_timeout().filter(|next| *next < until) {
        pair.now = next.max(pair.now);
        pair.ends[CLIENT].connection.handle_timeout(next);
        pair.transmit(CLIENT);
    }
    assert!(!pair.ends[SERVER].inbox.is_empty());
    pair.now = until;
    pair.run();
    pair.pass(100.0);
    assert!(pair.ends.iter().all(|end| end.connection.is_open()), "{:?}", pair.ends[SERVER].closed);
}

#[test]
fn an_end_that_was_blocked_reads_its_socket_before_it_gives_the_peer_up() {
    let config = Config::builder().keepalive_timeout(Duration::from_millis(2500)).build().unwrap();
    let mut pair = Pair::open(&config);
    pair.transmit(SERVER);
    // The client's ping has gone, and the answer waits while the client is blocked.
    wake(&mut pair, CLIENT, Duration::from_millis(1250));
    pair.transmit(CLIENT);
    while pair.receive(SERVER) {}
    pair.transmit(SERVER);
    assert!(!pair.ends[CLIENT].inbox.is_empty(), "an answer to a ping is on its way");
    wake(&mut pair, CLIENT, seconds(5));
    assert_eq!(pair.ends[CLIENT].closed, None);
    while pair.receive(CLIENT) {}
    wait(&mut pair, CLIENT);
    pair.pass(100.0);
    assert!(pair.ends.iter().all(|end| end.connection.is_open()));
}

#[test]
fn an_end_that_was_blocked_before_it_could_ping_asks_before_it_gives_up() {
    let config = Config::builder().keepalive_timeout(Duration::from_millis(2500)).build().unwrap();
    // The server sends nothing unasked.
    let mut pair = Pair::apart(&config, &Config::default());
    pair.run();
    wake(&mut pair, CLIENT, seconds(5));
    pair.transmit(CLIENT);
    // A round trip takes a while.
    wake(&mut pair, CLIENT, Duration::from_millis(800));
    assert_eq!(pair.ends[CLIENT].closed, None);
    pair.run();
    pair.pass(100.0);
    assert!(pair.ends.iter().all(|end| end.connection.is_open()));
}

#[test]
fn a_peer_that_is_gone_is_given_up_although_this_end_was_blocked() {
    let config = Config::builder().keepalive_timeout(Duration::from_millis(2500)).build().unwrap();
    let mut pair = Pair::open(&config);
    wake(&mut pair, CLIENT, seconds(5));
    for _ in 0..10 {
        if pair.ends[CLIENT].closed.is_some() {
            break;
        }
        pair.transmit(CLIENT);
        let next = pair.ends[CLIENT].connection.poll_timeout().unwrap();
        let after = next.saturating_duration_since(pair.now);
        wake(&mut pair, CLIENT, after);
    }
    assert_eq!(pair.ends[CLIENT].ran_out(), Some(TimeLimit::Keepalive));
}

#[test]
fn a_hello_and_a_welcome_that_wait_in_the_socket_are_read() {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    pair.transmit(CLIENT);
    wake(&mut pair, SERVER, seconds(6));
    assert_eq!(pair.ends[SERVER].closed, None);
    while pair.receive(SERVER) {}
    pair.transmit(SERVER);
    wake(&mut pair, CLIENT, Duration::ZERO);
    assert_eq!(pair.ends[CLIENT].closed, None);
    while pair.receive(CLIENT) {}
    pair.pass(1.0);
    assert!(pair.ends.iter().all(|end| end.connection.is_open()));
}

#[test]
fn a_hello_that_does_not_come_is_given_up_at_the_second_look() {
    let mut pair = Pair::apart(&Config::default(), &Config::default());
    wake(&mut pair, SERVER, seconds(6));
    wait(&mut pair, SERVER);
    assert_eq!(pair.ends[SERVER].ran_out(), Some(TimeLimit::Hello));
}

#[test]
fn a_message_goes_on_after_this_end_was_blocked() {
    for goes_on in [true, false] {
        let mut pair = Pair::with_defaults();
        let now = pair.now;
        pair.ends[CLIENT].connection.handle_activity(now, 100_000, true);
        // Other packets arrive, so the peer is not silent.
        pair.now += seconds(29);
        let now = pair.now;
        pair.ends[CLIENT].connection.handle_activity(now, 100_100, true);
        wake(&mut pair, CLIENT, seconds(5));
        assert_eq!(pair.ends[CLIENT].closed, None);
        let now = pair.now;
        pair.ends[CLIENT].connection.handle_activity(now, if goes_on { 120_000 } else { 100_200 }, true);
        wait(&mut pair, CLIENT);
        assert_eq!(pair.ends[CLIENT].ran_out(), (!goes_on).then_some(TimeLimit::Message));
    }
}

#[test]
fn a_transfer_goes_on_after_this_end_was_blocked() {
    for goes_on in [true, false] {
        let mut pair = Pair::with_defaults();
        pair.call(CLIENT, Call::new().payload(4 << 20)).unwrap();
        pair.transmit(CLIENT);
        pair.receive(SERVER);
        wake(&mut pair, SERVER, seconds(29));
        let now = pair.now;
        pair.ends[SERVER].connection.handle_activity(now, 1, false);
        // The first period had its chunk.
        wake(&mut pair, SERVER, seconds(2));
        wake(&mut pair, SERVER, seconds(31));
        assert_eq!(pair.ends[SERVER].closed, None);
        if goes_on {
            assert!(pair.receive(SERVER), "a chunk waited");
        }
        let now = pair.now;
        pair.ends[SERVER].connection.handle_activity(now, 2, false);
        wait(&mut pair, SERVER);
        assert_eq!(pair.ends[SERVER].ran_out(), (!goes_on).then_some(TimeLimit::Payloads));
    }
}

#[test]
fn acks_that_wait_in_the_socket_are_read() {
    for acked in [true, false] {
        let mut pair = Pair::with_defaults();
        pair.call(CLIENT, Call::new().payload(4 << 20)).unwrap();
        // The window is full; the rest waits for acknowledgements.
        pair.transmit(CLIENT);
        while pair.receive(SERVER) {}
        pair.transmit(SERVER);
        let now = pair.now + seconds(29);
        pair.ends[CLIENT].connection.handle_activity(now, 1, false);
        wake(&mut pair, CLIENT, seconds(31));
        assert_eq!(pair.ends[CLIENT].closed, None);
        if acked {
            while pair.receive(CLIENT) {}
        }
        wait(&mut pair, CLIENT);
        assert_eq!(pair.ends[CLIENT].ran_out(), (!acked).then_some(TimeLimit::Acks { least: 64 * 1024 }));
    }
}

#[test]
fn a_write_that_could_go_on_is_tried_again() {
    for goes_on in [true, false] {
        let mut pair = Pair::with_defaults();
        let now = pair.now;
        pair.ends[CLIENT].connection.handle_write(now, true, 100);
        wake(&mut pair, CLIENT, seconds(11));
        assert_eq!(pair.ends[CLIENT].closed, None);
        let now = pair.now;
        pair.ends[CLIENT].connection.handle_write(now, true, if goes_on { 101 } else { 100 });
        wait(&mut pair, CLIENT);
        assert_eq!(pair.ends[CLIENT].ran_out(), (!goes_on).then_some(TimeLimit::Write));
    }
}

/// The other side reads at this rate in bytes a second, while these bytes wait here. Gives the second at which it is
/// given up.
fn take_slowly(waiting: usize, per_second: u64) -> Option<u64> {
    let mut pair = Pair::with_defaults();
    let calls = waiting.div_ceil(32 * 1024);
    for _ in 0..calls {
        pair.call(CLIENT, Call::new().timeout(100_000).payload(waiting / calls)).unwrap();
    }
    pair.ends[CLIENT].send_admitted();
    for second in 1..=3600 {
        pair.now += seconds(1);
        let (now, client) = (pair.now, &mut pair.ends[CLIENT]);
        client.connection.handle_activity(now, second, false);
        client.connection.handle_write(now, true, second * per_second);
        client.connection.handle_timeout(now);
        client.take_events(now);
        if pair.ends[CLIENT].ran_out().is_some() {
            return Some(second);
        }
    }
    None
}

#[test]
fn a_peer_that_reads_too_slowly_is_given_up() {
    let least = 64 * KIB / 30;
    let given_up = take_slowly(100 * 1024, 2000).expect("it is given up");
    assert!((30..=62).contains(&given_up), "at {given_up} s");
    assert_eq!(take_slowly(100 * 1024, least + 10), None, "just fast enough");
    assert_eq!(take_slowly(60 * 1024, 1), None, "less than 64 KiB waits");
}

/// A client whose server was heard a moment ago, and has nothing to say.
fn quiet() -> Pair {
    let mut pair = Pair::open(&Config::default());
    pair.pass(1.0);
    assert!(pair.ends[CLIENT].connection.poll_transmit(pair.now).is_none());
    pair
}

/// The server does not answer: how long until the client gives it up, and for which limit.
fn until_given_up(pair: &mut Pair) -> (Duration, TimeLimit) {
    let begun = pair.now;
    loop {
        let next = pair.ends[CLIENT].connection.poll_timeout().unwrap();
        pair.now = next.max(pair.now);
        wake(pair, CLIENT, Duration::ZERO);
        while pair.ends[CLIENT].connection.poll_transmit(pair.now).is_some() {}
        if let Some(limit) = pair.ends[CLIENT].ran_out() {
            return (pair.now - begun, limit);
        }
    }
}

#[test]
fn a_peer_that_does_not_answer_after_a_sleep_is_given_up_soon() {
    let mut pair = quiet();
    pair.ends[CLIENT].connection.woke(pair.now);
    assert!(pair.ends[CLIENT].connection.has_output(), "it is asked at once");
    let (after, limit) = until_given_up(&mut pair);
    assert_eq!(limit, TimeLimit::Wake);
    assert!(after >= seconds(5) && after < seconds(6), "{after:?}");

    // Without the sleep it takes longer.
    let (after, limit) = until_given_up(&mut quiet());
    assert_eq!(limit, TimeLimit::Keepalive);
    assert!(after > seconds(25), "{after:?}");
}

#[test]
fn a_peer_that_was_silent_before_a_sleep_gets_no_more_time_by_it() {
    let mut pair = quiet();
    for _ in 0..2 {
        // The second sleep does not begin the time anew, and the end of the usual patience stays.
        pair.ends[CLIENT].connection.woke(pair.now);
        wake(&mut pair, CLIENT, seconds(4));
    }
    assert_eq!(pair.ends[CLIENT].closed, None);
    wait(&mut pair, CLIENT);
    assert_eq!(pair.ends[CLIENT].ran_out(), Some(TimeLimit::Wake));

    let mut pair = quiet();
    // The ping is sent after 15 s.
    for after in [15, 12] {
        wake(&mut pair, CLIENT, seconds(after));
        while pair.ends[CLIENT].connection.poll_transmit(pair.now).is_some() {}
    }
    pair.ends[CLIENT].connection.woke(pair.now);
    let (after, limit) = until_given_up(&mut pair);
    assert!(after < seconds(4), "{after:?}");
    assert_eq!(limit, TimeLimit::Keepalive);
}

#[test]
fn a_peer_that_answers_after_a_sleep_stays() {
    let mut pair = quiet();
    for _ in 0..3 {
        pair.ends[CLIENT].connection.woke(pair.now);
        pair.run();
        pair.pass(100.0);
    }
    assert!(pair.ends.iter().all(|end| end.connection.is_open()));
}

#[test]
fn a_sleep_after_the_end_is_of_no_consequence() {
    let mut pair = quiet();
    let now = pair.now;
    pair.ends[CLIENT].connection.close();
    pair.run();
    pair.ends[CLIENT].connection.woke(now);
    assert!(!pair.ends[CLIENT].connection.has_output());
    assert_eq!(pair.ends[CLIENT].connection.poll_timeout(), None);
}
