//! The window with which a stream begins, where its method has one, seen from the reader.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    Config,
    error::{ProtocolError, StreamViolation},
    proto::{
        ITEM, Reading,
        streams::{Credit, RecvStreams},
    },
    wire::TransferId,
};

const STREAM: TransferId = 1;
/// The handshake gives each stream 64 items.
const ANNOUNCED: usize = 64;

/// A stream whose method has a window of this many empty items; 0 for none.
fn stream(items: usize) -> RecvStreams {
    let mut streams = RecvStreams::new(&Config::default());
    streams.open(STREAM, u32::try_from(items * ITEM).unwrap()).unwrap();
    streams.hand_over(STREAM);
    streams
}

/// This many empty items come.
fn come(streams: &mut RecvStreams, items: usize) -> Result<(), ProtocolError> {
    for _ in 0..items {
        streams.begin_item(STREAM, 0, false)?;
        streams.end_item(STREAM, Bytes::new(), false, &mut Vec::new());
    }
    streams.check();
    Ok(())
}

/// The reader reads this many items. Gives the items of credit that the producer gets for that.
fn read(streams: &mut RecvStreams, items: usize) -> u64 {
    let read = i64::try_from(items).unwrap();
    let bytes = i64::try_from(items * ITEM).unwrap();
    streams.count_read(STREAM, Reading { items: read, bytes, slow: false });
    streams.check();
    credit(streams)
}

fn credit(streams: &mut RecvStreams) -> u64 {
    streams.next_credit(1, 0).map_or(0, |(_, Credit { items, .. })| items)
}

#[test]
fn a_producer_that_knows_the_window_gets_credit_by_the_window() {
    let mut streams = stream(16);
    come(&mut streams, 16).unwrap();
    assert_eq!(read(&mut streams, 7), 0, "less than half a window");
    assert_eq!(read(&mut streams, 1), 8);
    come(&mut streams, 8).unwrap();
    assert_eq!(read(&mut streams, 16), 16);
}

#[test]
fn a_producer_that_does_not_know_the_window_begins_with_the_credit_of_the_handshake() {
    let mut streams = stream(16);
    come(&mut streams, ANNOUNCED).unwrap();
    let beyond = come(&mut streams, 1).unwrap_err();
    assert_eq!(beyond, StreamViolation::BeyondCredit { stream: STREAM }.into());
    // From then on it is held to the window.
    assert_eq!(read(&mut streams, ANNOUNCED - 16), 0);
    assert_eq!(read(&mut streams, 8), 8);
    assert_eq!(read(&mut streams, 8), 8);
    come(&mut streams, 16).unwrap();
    assert!(come(&mut streams, 1).is_err());
}

#[test]
fn a_producer_that_uses_the_credit_of_the_handshake_late_may() {
    let mut streams = stream(16);
    come(&mut streams, 16).unwrap();
    assert_eq!(read(&mut streams, 16), 16);
    // 16 items of credit for what was read, and 48 that a producer has that does not know the window.
    come(&mut streams, ANNOUNCED).unwrap();
    assert!(come(&mut streams, 1).is_err());
}

#[test]
fn a_window_beyond_the_credit_of_the_handshake_gives_the_rest_at_once() {
    let mut streams = stream(0);
    assert_eq!(credit(&mut streams), 0);
    // The stream has 256 KiB already.
    let window = i64::try_from((ANNOUNCED + 1) * ITEM).unwrap();
    streams.set_window(STREAM, window);
    assert_eq!(credit(&mut streams), 1, "also if it is little");
    streams.set_window(STREAM, 2 * window);
    assert_eq!(credit(&mut streams), ANNOUNCED as u64 + 1);
    let mut into = VecDeque::new();
    streams.take(STREAM, Reading::default(), &mut into, 0, std::task::Waker::noop(), &mut Vec::new());
    assert_eq!(credit(&mut streams), 0, "a window that was set does not grow");
}
