//! How streams and large payloads share the link, and a packet.

use bytes::Bytes;

use super::pair::{CLIENT, Call, Pair, SERVER};
use crate::{
    Config,
    proto::StreamError,
    status::Status,
    wire::{Frame, TransferId, read_packet},
};

const MIB: usize = 1024 * 1024;

/// Streams that always have something to send, beside payloads: the bytes of both that have gone when the first payload
/// is complete.
fn share(streams: usize, item: usize, payloads: usize) -> (usize, usize) {
    let mut pair = Pair::with_defaults();
    let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(streams));
    for _ in 0..payloads {
        pair.call(CLIENT, Call::new().payload(2 * MIB)).unwrap();
    }
    let (mut of_streams, mut of_payloads) = (0, 0);
    while pair.ends[SERVER].arrived.is_empty() {
        for id in &arrived.streams {
            while pair.produce(CLIENT, *id, [vec![7; item].into()]) == 0 {}
        }
        if let Some(packet) = pair.ends[CLIENT].connection.poll_transmit(pair.now) {
            for frame in read_packet(packet.clone()).unwrap().1 {
                match frame.unwrap() {
                    Frame::Item { payload, .. } => of_streams += usize::try_from(payload.len()).unwrap(),
                    Frame::Chunk { data, .. } => of_payloads += data.len(),
                    _ => {}
                }
            }
            pair.ends[SERVER].inbox.push_back(packet);
        }
        step(&mut pair, &arrived.streams);
    }
    (of_streams, of_payloads)
}

/// The server receives and reads what has come, and its packets arrive.
fn step(pair: &mut Pair, streams: &[TransferId]) {
    while pair.receive(SERVER) {}
    for id in streams {
        let _: (Vec<Bytes>, _) = pair.read(SERVER, *id);
    }
    pair.transmit(SERVER);
    while pair.receive(CLIENT) {}
}

/// The ratio is three to one for items of any length, and for any number of streams and payloads.
#[test]
fn streams_and_payloads_share_the_link() {
    for (streams, item, payloads) in [(1, 65_000, 1), (1, 40_000, 3), (20, 10_000, 1), (20, 60_000, 2), (50, 2_000, 3)]
    {
        let (of_streams, of_payloads) = share(streams, item, payloads);
        let ratio = of_streams as f64 / of_payloads as f64;
        assert!((2.7..3.3).contains(&ratio), "{streams} streams of {item}, {payloads} payloads: {ratio}");
    }
}

#[test]
fn streams_take_turns_whatever_the_length_of_their_items() {
    let mut pair = Pair::with_defaults();
    let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(2));
    let [long, short] = arrived.streams[..] else { panic!("two streams") };
    let mut came = [0, 0];
    for _ in 0..200 {
        while pair.produce(CLIENT, long, [vec![7; 65_000].into()]) == 0 {}
        while pair.produce(CLIENT, short, [vec![7; 5_000].into()]) == 0 {}
        if let Some(packet) = pair.ends[CLIENT].connection.poll_transmit(pair.now) {
            pair.ends[SERVER].inbox.push_back(packet);
        }
        while pair.receive(SERVER) {}
        for (id, came) in [long, short].into_iter().zip(&mut came) {
            *came += pair.read(SERVER, id).0.iter().map(Bytes::len).sum::<usize>();
        }
        step(&mut pair, &[]);
    }
    let ratio = came[0] as f64 / came[1] as f64;
    assert!((0.8..1.25).contains(&ratio), "{came:?}");
}

/// The end of a stream may take as many bytes as an item, and no packet is longer than the other side takes.
#[test]
fn ends_keep_within_the_packet() {
    let fault = || StreamError::Fault(vec![7; 60_000].into());
    let status = || StreamError::Status(Status::data_loss("x".repeat(8_000)));
    let small = Config::builder().chunk(65_536).max_packet(65_536 + 512).max_metadata(256).build().unwrap();
    let cases = [
        (Config::default(), fault(), 10),
        (small.clone(), fault(), 0),
        (Config::default(), status(), 11),
        (small, status(), 11),
    ];
    for (config, end, calls) in cases {
        let mut pair = Pair::open(&config);
        let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(2));
        for id in &arrived.streams {
            assert_eq!(pair.produce(CLIENT, *id, [vec![7; 65_000].into()]), 0);
            pair.finish(CLIENT, *id, Err(end.clone()));
        }
        for _ in 0..calls {
            pair.call(CLIENT, Call::new().payload(5_900)).unwrap();
        }
        pair.run();
        for id in &arrived.streams {
            // A long message is cut if packets are small.
            let same = match (pair.read(SERVER, *id).1, &end) {
                (Some(Err(StreamError::Status(came))), StreamError::Status(sent)) => came.code() == sent.code(),
                (came, sent) => came.as_ref() == Some(&Err(sent.clone())),
            };
            assert!(same);
        }
        assert_eq!(pair.ends[SERVER].closed, None);
    }
}

/// Credit for many streams at once goes to an end that takes small packets.
#[test]
fn credit_keeps_within_the_packet() {
    let config = Config::builder().chunk(256).max_packet(768).max_metadata(256).stream_items(300).build().unwrap();
    let mut pair = Pair::open(&config);
    let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().payload(1).streams(80));
    for _ in 0..60 {
        for id in &arrived.streams {
            pair.produce(CLIENT, *id, (0..300).map(|_| vec![7; 8].into()));
        }
        pair.run();
    }
    step(&mut pair, &arrived.streams);
    assert_eq!(pair.ends[CLIENT].closed, None);
}

/// Streams that are not read leave credit to a stream that is read, which is faster than one item a round trip.
#[test]
fn streams_that_are_not_read_leave_credit_to_others() {
    for (unread, len) in [(64, 60_000), (250, 1_000)] {
        let mut pair = Pair::with_defaults();
        let stuck: Vec<_> =
            (0..unread).map(|_| pair.call_and_arrive(CLIENT, Call::new().streams(1)).1.streams[0]).collect();
        for _ in 0..100 {
            for id in &stuck {
                pair.produce(CLIENT, *id, (0..100).map(|_| vec![0; len].into()));
            }
            pair.run();
        }
        let (_, arrived) = pair.call_and_arrive(CLIENT, Call::new().streams(1));
        let (id, mut left, mut read, mut round_trips) = (arrived.streams[0], 300, 0, 0);
        while read < 300 {
            left = pair.produce(CLIENT, id, (0..left).map(|_| vec![0; 100].into()));
            pair.transmit(CLIENT);
            while pair.receive(SERVER) {}
            read += pair.read(SERVER, id).0.len();
            pair.transmit(SERVER);
            while pair.receive(CLIENT) {}
            round_trips += 1;
            assert!(
                round_trips < 20,
                "{read} of 300 items in {round_trips} round trips beside {unread} of {len} bytes"
            );
        }
        pair.check();
    }
}
