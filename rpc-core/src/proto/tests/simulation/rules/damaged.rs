//! Damaged packets in the states that only a session has that can be resumed.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Server, client, greeting_client, request};
use crate::{
    error::ConnectionError,
    proto::{
        Connection, Event,
        tests::damaged::{Known, frames},
    },
    wire::read_packet,
};

/// A state of an end whose session can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At a client: the Welcome has not come.
    Greeting,
    /// At a client: the session is open.
    Client,
    /// The client may not have got its Welcome.
    Unknown,
    /// Packets are kept until they are acknowledged.
    Keeping,
    /// The link was lost.
    Detached,
    /// The last words have gone, and are not acknowledged.
    Lingering,
    /// The last words went over a link that was lost.
    Away,
}

const STATES: [State; 7] =
    [State::Greeting, State::Client, State::Unknown, State::Keeping, State::Detached, State::Lingering, State::Away];

/// An end in this state, and the number of the next packet that it gets.
fn prepared(state: State) -> (Connection, Instant, u64) {
    let now = Instant::now();
    match state {
        State::Greeting => (greeting_client(now), now, 1),
        State::Client => (client(now), now, 1),
        State::Unknown => {
            let server = Server::unknown(1 << 20);
            (server.connection, server.now, 1)
        }
        State::Keeping | State::Detached | State::Lingering | State::Away => {
            let mut server = Server::new(1 << 20);
            server.say(0, &[request(1)]);
            server.call(None);
            if matches!(state, State::Lingering | State::Away) {
                server.connection.close();
            }
            server.written();
            if matches!(state, State::Detached | State::Away) {
                server.lose();
            }
            (server.connection, server.now, 2)
        }
    }
}

fn closed(connection: &mut Connection) -> Option<ConnectionError> {
    std::iter::from_fn(|| connection.poll_event()).find_map(|event| match event {
        Event::Closed(error) => Some(error),
        _ => None,
    })
}

/// Gives this packet to an end in this state, and looks at what has become of the end.
fn take(state: State, packet: Bytes, what: &str) {
    let (mut connection, now, _) = prepared(state);
    closed(&mut connection);
    let before = connection.stats();
    let is_whole = read_packet(packet.clone()).is_ok_and(|(_, mut frames)| frames.all(|frame| frame.is_ok()));
    connection.handle_packet(now, packet);
    let closed = closed(&mut connection);
    match state {
        State::Detached | State::Away => {
            assert!(closed.is_none() && connection.stats() == before, "{what}: it came over no link");
        }
        State::Lingering => assert_eq!(closed, None, "{what}: it has ended already"),
        _ if !is_whole => {
            // What stands behind a Bye counts for nothing.
            let is_breach = matches!(closed, Some(ConnectionError::Protocol(_)));
            let is_bye = matches!(closed, Some(ConnectionError::ClosedByPeer { .. }));
            assert!(is_breach || is_bye && what.contains("Bye"), "{what}: it cannot be read, and {closed:?}");
        }
        _ => {}
    }
    let mut packets = 0;
    while connection.poll_transmit(now).is_some() {
        packets += 1;
        assert!(packets < 100, "{what}: it says more and more");
    }
    connection.handle_timeout(now);
    connection.check();
}

#[test]
fn damaged_packets_of_a_session_that_can_be_resumed() {
    let known = Known { served: 1, made: 1, arriving: 1, read: 2, produced: 3 };
    for state in STATES {
        let next = prepared(state).2;
        for frame in frames(known) {
            let seq = if frame.is_sequenced() { next } else { 0 };
            let packet = super::packet(seq, 0, std::slice::from_ref(&frame));
            for len in 0..=packet.len() {
                take(state, packet.slice(..len), &format!("{state:?}: {len} bytes of {frame:?}"));
            }
            for bit in 0..packet.len() * 8 {
                let mut flipped = BytesMut::from(&packet[..]);
                flipped[bit / 8] ^= 1 << (bit % 8);
                take(state, flipped.freeze(), &format!("{state:?}: {frame:?} with bit {bit} flipped"));
            }
        }
    }
}
