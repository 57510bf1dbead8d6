//! Bounds on how much a peer can make a connection hold, and for how long.

use std::time::Duration;

use bytes::Bytes;

use super::{
    hostile::{Liar, request_of, request_with},
    pair::{CLIENT, SERVER},
};
use crate::{
    Config,
    error::{CloseCode, ProtocolError, TimeLimit},
    proto::Completion,
    wire::{Frame, PacketHeader, Payload, put_frame, put_header, read_packet},
};

fn chunk(transfer: u64, len: usize) -> Frame {
    Frame::Chunk { transfer, data: vec![0; len].into() }
}

/// Lets time pass until the server closes, while the peer sends something each second. Gives the seconds that it took.
fn seconds_until_closed(liar: &mut Liar, most: u64, mut each_second: impl FnMut(&mut Liar, u64)) -> Option<u64> {
    (1..=most).find(|second| {
        liar.pair.now += Duration::from_secs(1);
        each_second(liar, *second);
        let now = liar.pair.now;
        let server = &mut liar.pair.ends[SERVER];
        server.connection.handle_activity(now, *second, false);
        server.connection.handle_timeout(now);
        server.take_events(now);
        liar.closed().is_some()
    })
}

/// Finishing or aborting a tiny transfer now and then is no progress of other transfers.
#[test]
fn finished_transfers_do_not_keep_others_alive() {
    for abort in [false, true] {
        let mut liar = Liar::new(&Config::default());
        let large = |id| request_of(id, Payload::announced(id, 4 << 20));
        liar.say(&[large(1), large(2), large(3)]);
        let mut id = 3;
        let closed = seconds_until_closed(&mut liar, 300, |liar, second| {
            if second % 10 == 0 {
                id += 1;
                let end = if abort { Frame::Abort { transfer: id } } else { chunk(id, 1) };
                liar.say(&[request_of(id, Payload::announced(id, 1)), end]);
            }
        });
        assert!(closed.is_some_and(|seconds| seconds <= 61), "{closed:?}");
        assert_eq!(liar.pair.ends[SERVER].ran_out(), Some(TimeLimit::Payloads));
    }
}

/// A transfer that goes on does not excuse one that does not: an honest sender serves its transfers in turn.
#[test]
fn a_transfer_that_is_never_served_ends_the_connection() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[request_of(1, Payload::announced(1, 4 << 20))]);
    let mut id = 1;
    let closed = seconds_until_closed(&mut liar, 3_000, |liar, second| {
        if second % 64 == 1 {
            id += 1;
            liar.say(&[request_of(id, Payload::announced(id, 4 << 20))]);
        }
        liar.say(&[chunk(id, 64 << 10)]);
    });
    assert!(closed.is_some(), "{closed:?}");
    assert_eq!(liar.pair.ends[SERVER].ran_out(), Some(TimeLimit::Payloads));
}

/// The receiver waits for transfers that are served in turn, however slowly the limits allow.
#[test]
fn the_receiver_waits_for_slow_transfers_in_turn() {
    let mut liar = Liar::new(&Config::default());
    let ids = 1..=4_u64;
    for id in ids.clone() {
        liar.say(&[request_of(id, Payload::announced(id, 1 << 20))]);
    }
    let mut turns = ids.clone().cycle();
    let closed = seconds_until_closed(&mut liar, 16 * 4 * 25, |liar, second| {
        if second % 25 == 0 {
            let id = turns.next().unwrap();
            liar.say(&[chunk(id, 64 << 10)]);
        }
    });
    assert_eq!(closed, None);
    assert_eq!(liar.pair.ends[SERVER].arrived.len(), 4);
}

/// A chunk takes longer than a period to arrive on a link that is just fast enough for its packet.
#[test]
fn the_receiver_waits_for_a_chunk_that_is_on_its_way() {
    for (bytes_a_second, lives) in [(600, true), (0, false)] {
        let mut liar = Liar::new(&Config::default());
        liar.say(&[request_of(1, Payload::announced(1, 200_000))]);
        for second in 1..=100 {
            liar.pair.now += Duration::from_secs(1);
            let now = liar.pair.now;
            let server = &mut liar.pair.ends[SERVER];
            server.connection.handle_activity(now, second * bytes_a_second + 1, bytes_a_second > 0);
            server.connection.handle_timeout(now);
            server.take_events(now);
        }
        assert_eq!(liar.closed().is_none(), lives, "{bytes_a_second} bytes a second");
    }
}

/// A series of small acknowledgements does not show that a result is being read.
#[test]
fn acks_that_come_one_by_one_do_not_keep_results_for_ever() {
    let mut liar = Liar::new(&Config::default());
    liar.say(&[request_with(1, |_| {})]);
    let arrived = liar.pair.ends[SERVER].arrived.pop().unwrap();
    let one = Bytes::from_static(&[0xc0]);
    let streams = liar.pair.answer(SERVER, &arrived, Completion::Streaming(one.into(), 1));
    liar.say(&[Frame::Credit { stream: streams[0], items: 1 << 30, bytes: 1 << 40, read: 0 }]);
    // Each packet carries little bulk, so the peer can save up acknowledgements.
    for _ in 0..20_000 {
        if liar.pair.produce(SERVER, streams[0], [Bytes::from(vec![0; 8])]) > 0 {
            break;
        }
        liar.pair.transmit(SERVER);
    }
    liar.pair.ends[CLIENT].inbox.clear();
    liar.say(&[request_with(2, |_| {})]);
    let arrived = liar.pair.ends[SERVER].arrived.pop().unwrap();
    liar.pair.answer(SERVER, &arrived, Completion::Value(Bytes::from(vec![7; 3 << 20]).into()));
    liar.pair.transmit(SERVER);
    let mut acked = 1;
    let closed = seconds_until_closed(&mut liar, 600, |liar, second| {
        if second % 29 == 0 {
            acked += 1;
            liar.acknowledge(acked);
        }
        liar.pair.transmit(SERVER);
    });
    assert!(closed.is_some_and(|seconds| seconds <= 62), "{closed:?}");
    assert_eq!(liar.pair.ends[SERVER].ran_out(), Some(TimeLimit::Acks { least: 64 * 1024 }));
}

/// The sender waits for a reader that takes 64 KiB in each period.
#[test]
fn the_sender_waits_for_a_slow_reader_of_a_result() {
    let mut liar = Liar::new(&Config::builder().chunk(64 * 1024).build().unwrap());
    liar.say(&[request_with(1, |_| {})]);
    let arrived = liar.pair.ends[SERVER].arrived.pop().unwrap();
    liar.pair.answer(SERVER, &arrived, Completion::Value(Bytes::from(vec![7; 3 << 20]).into()));
    liar.pair.transmit(SERVER);
    let mut acked = 0;
    let closed = seconds_until_closed(&mut liar, 48 * 28, |liar, second| {
        if second % 28 == 0 {
            acked += 1;
            liar.acknowledge(acked);
        }
        liar.pair.transmit(SERVER);
    });
    assert_eq!((closed, liar.pair.ends[SERVER].connection.stats().transfer_bytes), (None, 0));
}

#[test]
fn a_packet_of_too_many_frames_closes_with_1002() {
    for (frames, closed) in [(1024, None), (1025, Some(CloseCode::PROTOCOL))] {
        let mut liar = Liar::new(&Config::default());
        liar.say(&vec![Frame::Cancel { id: 1, expired: false }; frames]);
        assert_eq!(liar.closed(), closed, "{frames} frames");
        let broken = liar.pair.ends[SERVER].broken();
        let is_named = matches!(broken, Some(ProtocolError::TooManyFrames { max: 1024, at: Some(_) }));
        assert_eq!(is_named, closed.is_some(), "{broken:?}");
    }
}

/// Little is kept of metadata that will be refused, and a pair counts the memory that it takes.
#[test]
fn metadata_beyond_the_limit_is_not_kept() {
    let of = |pairs: usize| request_with(1, |many| many.metadata = vec![("k".to_owned(), "v".to_owned()); pairs]);
    let mut packet = bytes::BytesMut::new();
    put_header(&mut packet, PacketHeader { seq: 1, ack: 0 });
    put_frame(&mut packet, &of(20_000));
    let (_, mut frames) = read_packet(packet.freeze()).unwrap();
    frames = frames.with_max_metadata(8192);
    let Some(Ok(Frame::Request(request))) = frames.next() else { panic!("it is a Request") };
    assert_eq!(request.metadata.len(), 8192 / 50 + 1);
    assert!(frames.next().is_none());
    for (pairs, served) in [(163, 1), (164, 0)] {
        let mut liar = Liar::new(&Config::default());
        liar.say(&[of(pairs)]);
        assert_eq!((liar.closed(), liar.pair.ends[SERVER].arrived.len()), (None, served), "{pairs} pairs");
    }
}

#[test]
fn a_number_used_again_leaves_no_deadline_behind() {
    let mut liar = Liar::new(&Config::default());
    let call = |liar: &mut Liar, deadline_ms| {
        liar.say(&[request_with(1, |timed| timed.deadline_ms = Some(deadline_ms))]);
        liar.pair.ends[SERVER].arrived.pop().unwrap()
    };
    for i in 0..5000 {
        let arrived = call(&mut liar, 10 + i % 1000);
        liar.pair.answer_ok(SERVER, &arrived);
        liar.statuses();
    }
    assert!(liar.pair.ends[SERVER].connection.deadlines_held() < 600);
    // Nor does an old deadline end a new call.
    call(&mut liar, 60_000);
    liar.pair.now += Duration::from_secs(30);
    let now = liar.pair.now;
    let server = &mut liar.pair.ends[SERVER];
    server.connection.handle_activity(now, 1, false);
    server.connection.handle_timeout(now);
    server.take_events(now);
    assert_eq!((liar.statuses(), liar.closed()), (Vec::new(), None));
}
