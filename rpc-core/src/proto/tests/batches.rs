//! How many frames go together, so that both ends work at the same time.

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::wire::read_packet;

/// How many frames there are in each of the packets that an end writes now.
fn written(pair: &mut Pair, at: usize) -> Vec<usize> {
    let before = pair.ends[1 - at].inbox.len();
    pair.transmit(at);
    let packets = pair.ends[1 - at].inbox.iter().skip(before);
    packets.map(|packet| read_packet(packet.clone()).unwrap().1.count()).collect()
}

#[test]
fn a_packet_takes_half_of_what_waits_until_enough_calls_are_under_way() {
    let cases: [(usize, &[usize]); 8] = [
        (0, &[]),
        (1, &[1]),
        (31, &[31]),
        (32, &[32]),
        (33, &[32, 1]),
        (64, &[32, 32]),
        (127, &[63, 32, 32]),
        (128, &[64, 64]),
    ];
    for (calls, packets) in cases {
        let mut pair = Pair::with_defaults();
        for _ in 0..calls {
            pair.call(CLIENT, Call::new()).unwrap();
        }
        assert_eq!(written(&mut pair, CLIENT), packets, "{calls} calls");
    }
}

#[test]
fn one_way_calls_that_wait_fill_packets_as_well() {
    let mut pair = Pair::with_defaults();
    for _ in 0..200 {
        pair.call(CLIENT, Call::new().oneway()).unwrap();
    }
    assert_eq!(written(&mut pair, CLIENT), [64, 64, 36, 32, 4]);
}

#[test]
fn a_backlog_is_two_full_rounds_in_a_row() {
    for (rounds, packets) in [
        (&[][..], &[32, 32][..]),
        (&[true], &[32, 32]),
        (&[true, false, true], &[32, 32]),
        (&[true, true], &[64]),
        (&[true, true, false], &[32, 32]),
    ] {
        let mut pair = Pair::with_defaults();
        for _ in 0..64 {
            pair.call(CLIENT, Call::new()).unwrap();
        }
        pair.run();
        for arrived in std::mem::take(&mut pair.ends[SERVER].arrived) {
            pair.answer_ok(SERVER, &arrived);
        }
        let server = &mut pair.ends[SERVER].connection;
        rounds.iter().for_each(|&full| server.handle_round(full));
        assert_eq!(server.batch(), packets[0]);
        assert_eq!(written(&mut pair, SERVER), packets, "after {rounds:?}");
    }
}
