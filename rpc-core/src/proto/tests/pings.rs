//! The budget that all kinds of pings and pongs share, and that an honest side never exceeds.

use std::time::Duration;

use super::{
    hostile::Liar,
    pair::{CLIENT, Call, Pair, SERVER},
};
use crate::{
    Config,
    error::{CloseCode, ProtocolError},
    wire::Frame,
};

/// The kinds of pings and pongs that a peer may send.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Ping,
    Unasked,
    /// A ping or pong of the WebSocket.
    Control,
}

impl Kind {
    fn say(self, liar: &mut Liar, count: u64) {
        match self {
            Self::Ping => liar.say_apart(&[Frame::Ping { token: count }]),
            Self::Unasked => liar.say_apart(&[Frame::Pong { token: 1000 + count }]),
            Self::Control => {
                let now = liar.pair.now;
                let server = &mut liar.pair.ends[SERVER];
                server.connection.handle_controls(now, count);
                server.take_events(now);
            }
        }
    }
}

#[test]
fn pings_and_pongs_of_all_kinds_share_one_budget() {
    use Kind::{Control, Ping, Unasked};
    for kinds in [vec![Ping], vec![Unasked], vec![Control], vec![Ping, Unasked, Control], vec![Control, Ping]] {
        let mut liar = Liar::new(&Config::default());
        let (mut controls, mut said) = (0, 0);
        let mut say = |liar: &mut Liar| {
            let kind = kinds[said % kinds.len()];
            said += 1;
            controls += u64::from(matches!(kind, Control));
            kind.say(liar, if matches!(kind, Control) { controls } else { said as u64 });
            liar.closed()
        };
        for _ in 0..10 {
            assert_eq!(say(&mut liar), None, "{kinds:?}");
        }
        liar.pair.now += Duration::from_secs(1);
        assert_eq!(say(&mut liar), None, "{kinds:?}");
        assert_eq!(say(&mut liar), Some(CloseCode::PROTOCOL), "{kinds:?}");
        assert_eq!(liar.pair.ends[SERVER].broken(), Some(ProtocolError::TooManyPings { burst: 10 }), "{kinds:?}");
    }
}

#[test]
fn a_pong_that_answers_a_ping_is_free_once() {
    let mut liar = Liar::new(&Config::builder().keepalive_timeout(Duration::MAX).build().unwrap());
    // This side sends 20 Pings, and each is answered.
    for token in 1..=20 {
        let server = &mut liar.pair.ends[SERVER];
        while !server.connection.has_output() {
            liar.pair.now = server.connection.poll_timeout().unwrap();
            server.connection.handle_timeout(liar.pair.now);
        }
        while server.connection.poll_transmit(liar.pair.now).is_some() {}
        liar.say_apart(&[Frame::Pong { token }]);
    }
    assert_eq!(liar.closed(), None);
    // Further Pongs answer nothing.
    for _ in 0..10 {
        liar.say_apart(&[Frame::Pong { token: 20 }]);
    }
    assert_eq!(liar.closed(), None);
    liar.say_apart(&[Frame::Pong { token: 7 }]);
    liar.assert_broken(ProtocolError::TooManyPings { burst: 10 }, CloseCode::PROTOCOL, "the 11th");
}

fn open(pair: &Pair) -> bool {
    pair.ends.iter().all(|end| end.connection.is_open())
}

#[test]
fn a_keepalive_of_a_second_at_both_ends_is_within_the_budget_for_hours() {
    let config = Config::builder().keepalive(Duration::from_secs(1)).build().unwrap();
    let mut pair = Pair::open(&config);
    for round in 0..2000_u32 {
        // Some seconds of silence, in which both ends ping, and now and then a call.
        pair.pass(0.3 + f64::from(round % 13));
        let (from, to) = if round % 2 == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let (key, arrived) = pair.call_and_arrive(from, Call::new());
        pair.pass(f64::from(round % 7) * 0.4);
        pair.answer_ok(to, &arrived);
        pair.run();
        assert!(pair.outcome(from, key).is_some());
    }
    assert!(open(&pair), "{:?}", pair.ends.each_ref().map(|end| &end.closed));
}

#[test]
fn pings_that_a_stalled_link_delivers_at_once_are_within_the_budget() {
    let config = Config::builder().keepalive(Duration::from_secs(1)).build().unwrap();
    for stalled in [vec![CLIENT], vec![SERVER], vec![CLIENT, SERVER]] {
        let mut pair = Pair::open(&config);
        for _ in 0..100 {
            // Nothing arrives for a long time, and then everything at once.
            let until = pair.now + Duration::from_secs(25);
            while pair.now < until {
                let next = pair.ends.iter().filter_map(|end| end.connection.poll_timeout()).min().unwrap();
                pair.now = pair.now.max(next.min(until));
                for at in [CLIENT, SERVER] {
                    pair.ends[at].connection.handle_timeout(pair.now);
                    pair.transmit(at);
                    while !stalled.contains(&at) && pair.receive(at) {}
                }
            }
            pair.pass(1.0);
            assert!(open(&pair), "{:?}", pair.ends.each_ref().map(|end| &end.closed));
        }
    }
}
