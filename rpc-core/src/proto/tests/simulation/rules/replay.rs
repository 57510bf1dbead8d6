//! What is sent again over the next link, and what is not.

use std::{task::Waker, time::Instant};

use bytes::Bytes;

use super::{
    super::end::NewCall, SECOND, Server, call, client, lost, newcomer, outgoing, packet, request, token, welcomed,
    world,
};
use crate::{
    proto::{
        CallStart, Charges, Completion, Outgoing, ServedKey,
        tests::pair::{CLIENT, SERVER},
    },
    wire::{Frame, PacketHeader, Resume, read_packet},
};

#[test]
fn a_call_that_was_lost_with_its_link_arrives_over_the_next_one() {
    let mut world = world();
    world.call(CLIENT, call());
    world.transmit(CLIENT, 10);
    world.lose();
    world.come_back();
    world.answer();
    assert_eq!((world.ledger.values(), world.ledger.sent_again), (1, 1));
}

#[test]
fn an_answer_that_was_lost_twice_in_a_row_arrives_once() {
    let mut world = world();
    world.call(CLIENT, call());
    world.exchange();
    for _ in 0..2 {
        world.server[0].answer_all(&mut world.ledger);
        world.transmit(SERVER, 10);
        world.lose();
        world.pass(6 * SECOND);
    }
    world.exchange();
    assert_eq!(world.ledger.values(), 1);
}

#[test]
fn what_had_arrived_is_not_sent_again() {
    let mut world = world();
    world.call(CLIENT, call());
    world.transmit(CLIENT, 10);
    world.deliver(SERVER, 0);
    // The acknowledgement has not gone.
    world.lose();
    world.come_back();
    world.answer();
    assert_eq!((world.ledger.values(), world.ledger.sent_again), (1, 0));
}

#[test]
fn a_call_that_goes_again_says_what_is_left_of_its_time() {
    let mut server = Server::new(1 << 20);
    let [_, given_up, timeless] = [Some(10 * SECOND), None, None].map(|timeout| server.call(timeout));
    assert_eq!(server.frames().len(), 3);
    server.lose();
    server.connection.cancel_call(given_up);
    server.pass(4);
    let again = server.resume(0);
    let left: Vec<_> = again
        .iter()
        .filter_map(|frame| match frame {
            Frame::Request(request) => Some((request.id, request.deadline_ms)),
            _ => None,
        })
        .collect();
    let [(_, first), second, third] = left[..] else { panic!("{again:?}") };
    assert_eq!(first, Some(6000));
    assert_eq!(second.1, Some(0), "its caller waits no longer");
    assert_eq!(third, (timeless.id(), None));
    assert!(matches!(again[..], [Frame::Welcome(_), .., Frame::Cancel { .. }]), "{again:?}");
}

#[test]
fn with_a_full_replay_buffer_nothing_more_goes_before_an_ack() {
    let mut server = Server::new(1);
    server.call(None);
    assert_eq!(server.written().len(), 1);
    server.call(None);
    assert_eq!(server.written().len(), 0);
    assert_eq!(server.connection.stats().calls_pending, 2);
    server.say(1, &[Frame::Ping { token: 1 }]);
    assert_eq!(server.written().len(), 2, "the Pong and the call");
}

#[test]
fn a_ping_does_not_wait_for_what_is_sent_again() {
    let mut server = Server::new(1 << 20);
    for _ in 0..3 {
        server.call(None);
        assert_eq!(server.written().len(), 1);
    }
    server.lose();
    let resume = Resume { token: token(), epoch: 1, received: 0 };
    server.connection.attach(server.now, newcomer(server.now, Some(resume))).unwrap();
    let mut next = || server.connection.poll_transmit(server.now).map(|packet| read_packet(packet).unwrap().0.seq);
    assert_eq!([next(), next()], [Some(0), Some(1)], "the Welcome, and the first packet");
    server.connection.handle_packet(server.now, packet(0, 0, &[Frame::Ping { token: 1 }]));
    let mut next = || server.connection.poll_transmit(server.now).map(|packet| read_packet(packet).unwrap().0.seq);
    assert_eq!([next(), next(), next(), next()], [Some(0), Some(2), Some(3), None]);
}

#[test]
fn what_has_arrived_of_a_transfer_is_not_sent_again_and_the_rest_goes_on() {
    let mut world = world();
    world.call(CLIENT, NewCall { len: 300_000, ..call() });
    world.transmit(CLIENT, 3);
    world.deliver(SERVER, 0);
    world.deliver(SERVER, 0);
    world.lose();
    world.come_back();
    world.answer();
    assert_eq!((world.ledger.values(), world.ledger.sent_again), (1, 1));
}

#[test]
fn what_goes_again_carries_the_ack_of_today() {
    let mut server = Server::new(1 << 20);
    server.call(None);
    assert_eq!(read_packet(server.written().remove(0)).unwrap().0, PacketHeader { seq: 1, ack: 0 });
    server.say(0, &[request(1)]);
    server.lose();
    let resume = Resume { token: token(), epoch: 1, received: 0 };
    server.connection.attach(server.now, newcomer(server.now, Some(resume))).unwrap();
    assert_eq!(read_packet(server.written().remove(1)).unwrap().0, PacketHeader { seq: 1, ack: 1 });
}

#[test]
fn what_goes_again_is_the_ack_that_the_server_waits_for() {
    let now = Instant::now();
    let mut client = client(now);
    let mut start = CallStart::default();
    let (key, _) = client.begin_call(now, &mut start, Waker::noop()).unwrap();
    assert!(client.send_call(key, &mut outgoing(1, 0), Waker::noop()));
    assert!(client.poll_transmit(now).is_some());
    client.handle_lost(now, lost());
    let said = client.resume_hello(Vec::new()).unwrap();
    client.attach_to(now, welcomed(now, said, 0)).unwrap();
    assert_eq!(std::iter::from_fn(|| client.poll_transmit(now)).count(), 1);
}

#[test]
fn bulk_goes_again_within_the_window_of_the_new_link() {
    let mut server = Server::new(1 << 20);
    server.say(0, &[request(1)]);
    let (key, result) = (ServedKey::Call(1), Bytes::from(vec![7; 32 << 20]));
    server.connection.complete(key, Completion::Value(result.into()), Charges::default());
    // The path is fast, so the window grows.
    let first = server.written();
    let bytes = |packets: &[Bytes]| packets.iter().map(Bytes::len).sum::<usize>();
    let mut kept = first.clone();
    for _ in 0..4 {
        let (last, _) = read_packet(kept.last().unwrap().clone()).unwrap();
        server.say(last.seq, &[]);
        kept = server.written();
    }
    assert!(bytes(&kept) > 2 * bytes(&first));
    let (before, _) = read_packet(kept[0].clone()).unwrap();
    server.lose();
    let resume = Resume { token: token(), epoch: 1, received: before.seq - 1 };
    server.connection.attach(server.now, newcomer(server.now, Some(resume))).unwrap();
    let again = server.written();
    assert!(bytes(&again) < bytes(&first) + 100_000, "{} {}", bytes(&again), bytes(&first));
    let under_way = server.connection.stats().unacked_bulk;
    assert!(under_way + 10_000 > bytes(&again) && under_way < server.connection.stats().replay_bytes);
    let (last, _) = read_packet(again.last().unwrap().clone()).unwrap();
    server.say(last.seq, &[]);
    let rest = server.written();
    assert!(bytes(&rest) > 0 && bytes(&rest) < bytes(&first) + 100_000, "the acks have not made the window grow");
}

#[test]
fn long_packets_that_are_kept_without_a_link_do_not_keep_the_block_in_which_they_were_written() {
    let mut server = Server::new(1 << 20);
    let (key, _) = server.connection.begin_call(server.now, &mut CallStart::default(), Waker::noop()).unwrap();
    assert!(server.connection.send_call(key, &mut outgoing(10_000, 0), Waker::noop()));
    let written = server.written();
    assert_eq!(server.connection.stats().replay_bytes, written[0].len());
    server.lose();
    assert!(written[0].is_unique());
    assert_eq!(server.resume(0).len(), 2);
}

#[test]
fn what_is_kept_counts_in_the_pool_of_all_sessions_until_it_is_acknowledged() {
    let pool = crate::proto::MemoryPool::new(64 << 20);
    let mut server = Server::new(1 << 20);
    server.connection.join_pool(&pool);
    let arguments = Bytes::from(vec![0; 200_000]);
    let mut start = CallStart::default();
    let (key, _) = server.connection.begin_call(server.now, &mut start, Waker::noop()).unwrap();
    let (payload, charges) = (arguments.into(), Charges::default());
    let mut outgoing = Outgoing { method: 1, metadata: Vec::new(), payload, streams: 0, charges };
    assert!(server.connection.send_call(key, &mut outgoing, Waker::noop()));
    let packets = server.written().len() as u64;
    let kept = server.connection.stats().replay_bytes;
    assert!(kept > 128 * 1024 && pool.held() + 64 * 1024 >= kept, "{kept} {}", pool.held());
    server.say(packets, &[]);
    assert_eq!(server.connection.stats().replay_bytes, 0);
    assert!(pool.held() < 64 * 1024, "{}", pool.held());
}
