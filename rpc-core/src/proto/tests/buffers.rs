//! A waiting item or call keeps little more memory than it counts: neither a packet of which it is a small part, nor
//! the buffer into which a transport has read many packets.

use bytes::Bytes;
use rpc_testing::ReadBuffers;

use super::{
    hostile::{Liar, request_of, request_with},
    pair::SERVER,
};
use crate::{
    Config,
    wire::{ErrorBody, Frame, Payload, TransferId},
};

const KIB: usize = 1024;

/// Sends each of these frames in a packet and a buffer of its own. Gives how many buffers are kept.
fn kept(liar: &mut Liar, packets: impl IntoIterator<Item = Vec<Frame>>) -> usize {
    let buffers = ReadBuffers::default();
    for frames in packets {
        liar.say_from(&frames, |packet| buffers.read(&packet, Config::default().packet_buffer()));
    }
    assert_eq!(liar.closed(), None);
    buffers.kept()
}

fn inline(len: usize) -> Payload {
    Payload::Inline(vec![0xc0; len].into())
}

fn streams(liar: &mut Liar, count: TransferId) {
    liar.say(&[request_with(1, |request| request.streams = (1..=count).collect::<Vec<_>>().into())]);
}

#[test]
fn waiting_items_keep_no_buffers() {
    for len in [0, 1, 100, 5000] {
        let mut liar = Liar::new(&Config::default());
        streams(&mut liar, 10);
        let items = (0..100).map(|n| vec![Frame::Item { stream: n % 10 + 1, payload: inline(len) }]);
        assert_eq!(kept(&mut liar, items), 0, "items of {len} bytes");
        assert_eq!(liar.pair.read(SERVER, 1).0, vec![Bytes::from(vec![0xc0; len]); 10]);
    }
}

#[test]
fn an_item_that_is_most_of_its_buffer_is_not_copied() {
    let mut liar = Liar::new(&Config::default());
    streams(&mut liar, 1);
    assert_eq!(kept(&mut liar, [vec![Frame::Item { stream: 1, payload: inline(60 * KIB) }]]), 1);
}

#[test]
fn errors_at_the_ends_of_streams_keep_no_buffers() {
    let mut liar = Liar::new(&Config::default());
    streams(&mut liar, 100);
    let ends = (1..=100).map(|stream| vec![Frame::End { stream, error: Some(ErrorBody::Fault(inline(1))) }]);
    assert_eq!(kept(&mut liar, ends), 0);
}

/// Whether calls wait is the shell's to know, so each call says what it keeps: see `rpc-core/tests/kept_buffers.rs`.
#[test]
fn calls_say_which_buffers_they_keep() {
    // Alone in a packet, and beside a long call.
    for (len, beside, buffer) in [
        (10, None, 32 * KIB),
        (4 * KIB - 1, None, 32 * KIB),
        (10, Some(60_000), 60_000),
        // Most of its buffer.
        (60 * KIB, None, 0),
        // Copied, because what its handler sends may keep a part of it.
        (4 * KIB, Some(60_000), 0),
    ] {
        let mut liar = Liar::new(&Config::default());
        let beside = beside.map(|len| request_of(1, inline(len)));
        let frames = beside.into_iter().chain([request_of(2, inline(len))]).collect();
        kept(&mut liar, [frames]);
        let call = liar.pair.ends[SERVER].arrived.pop().unwrap();
        assert_eq!(call.payload, vec![0xc0; len]);
        assert!((buffer..buffer + 5 * KIB).contains(&call.buffer), "{len} bytes: {} of {buffer}", call.buffer);
    }
}
