//! Tests of the table of streams that are read here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use super::{
    super::{Credit, ITEM},
    *,
};
use crate::proto::rare::Rare;

/// The credit of all streams together; up to a quarter of it is scarce.
const SHARED: usize = 40_000;
/// The items that a stream has credit for.
const ITEMS: u64 = 64;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn config() -> Config {
    Config::builder().streams_window(SHARED).stream_items(64).build().unwrap()
}

fn open(ids: impl IntoIterator<Item = TransferId>) -> RecvStreams {
    let mut streams = RecvStreams::new(&config());
    for id in ids {
        streams.open(id, 0).unwrap();
        streams.hand_over(id);
    }
    streams
}

/// An item comes that counts this many bytes.
fn come(streams: &mut RecvStreams, id: TransferId, bytes: usize) -> Result<(), ProtocolError> {
    let len = bytes - ITEM;
    streams.begin_item(id, len as u64, false)?;
    streams.end_item(id, vec![7; len].into(), false, &mut Vec::new());
    streams.check();
    Ok(())
}

/// The reader takes what is there, and reports one item of this many bytes.
fn read(streams: &mut RecvStreams, id: TransferId, bytes: i64) {
    let (mut items, waker) = (VecDeque::new(), Waker::noop());
    let taken = streams.take(id, Reading::default(), &mut items, 0, waker, &mut Vec::new());
    assert_eq!((taken, items.is_empty()), (Taken::Items, false));
    streams.count_read(id, Reading { items: 1, bytes, slow: false });
    streams.check();
}

/// The notices that wait: the stream, the items of credit, and how many items have been read.
fn notices(streams: &mut RecvStreams) -> Vec<(TransferId, u64, u64)> {
    let next = || streams.next_credit(1, 0).map(|(id, Credit { items, read, .. })| (id, items, read));
    std::iter::from_fn(next).collect()
}

#[test]
fn a_window_lowers_the_first_credit_if_it_is_smaller() {
    let cases = [(0, false), (1, true), (64 * 32 - 1, true), (u32::MAX, false)];
    for (window, is_lowered) in cases {
        assert_eq!(RecvStreams::is_lowered_by(&config(), window), is_lowered, "{window}");
    }
}

#[test]
fn an_item_beyond_shared_credit_that_is_just_used_up_is_a_breach() {
    let mut streams = open([1]);
    come(&mut streams, 1, SHARED).unwrap();
    let breach = come(&mut streams, 1, ITEM);
    assert_eq!(breach, Err(StreamViolation::BeyondSharedCredit { stream: 1 }.into()));
}

/// The producer of a stream that is read would wait for nothing but this word.
#[test]
fn what_is_read_is_reported_at_the_moment_when_credit_becomes_scarce() {
    let mut streams = open([1, 2]);
    come(&mut streams, 1, ITEM).unwrap();
    read(&mut streams, 1, 32);
    come(&mut streams, 2, SHARED / 2).unwrap();
    assert_eq!(notices(&mut streams), [], "one of 64 items is not worth a frame, and there is credit");
    come(&mut streams, 2, SHARED / 4 - 2 * ITEM).unwrap();
    assert_eq!(notices(&mut streams), [], "there is more than a quarter");
    come(&mut streams, 2, ITEM).unwrap();
    assert_eq!(notices(&mut streams), [(1, 0, 1)]);
    come(&mut streams, 2, ITEM).unwrap();
    assert_eq!(notices(&mut streams), [], "it is said once");
}

#[test]
fn a_stream_that_failed_here_gets_no_more_credit_and_is_not_stopped_again() {
    let mut streams = open([1]);
    for _ in 0..ITEMS {
        come(&mut streams, 1, ITEM).unwrap();
    }
    streams.count_read(1, Reading { items: 40, bytes: 40 * 32, slow: false });
    assert!(streams.has_credit());
    assert!(streams.fail(1, Status::internal("it failed here"), &mut Vec::new()));
    assert_eq!(notices(&mut streams), [], "the credit that waited does not go");
    let mut items = VecDeque::new();
    streams.take(1, Reading::default(), &mut items, 0, Waker::noop(), &mut Vec::new());
    streams.count_read(1, Reading { items: 24, bytes: 24 * 32, slow: false });
    assert_eq!(notices(&mut streams), []);
    assert!(!streams.leave(1, &mut Vec::new()), "the producer knows already");
}

#[test]
fn a_long_item_is_arriving_until_it_is_complete_or_dropped() {
    let mut streams = open([1]);
    for is_complete in [true, false] {
        assert!(!streams.is_arriving(1));
        streams.begin_item(1, 10_000, true).unwrap();
        assert!(streams.is_arriving(1) && !streams.is_arriving(2));
        if is_complete {
            streams.end_item(1, vec![7; 10_000].into(), false, &mut Vec::new());
        } else {
            streams.drop_item(1);
        }
        assert!(!streams.is_arriving(1));
        streams.check();
    }
}

#[test]
fn all_readers_that_wait_are_woken_once() {
    let mut streams = open([1, 2, 3]);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    for id in [1, 2] {
        let taken = streams.take(id, Reading::default(), &mut VecDeque::new(), 0, &waker, &mut Vec::new());
        assert_eq!(taken, Taken::Nothing);
    }
    for _ in 0..2 {
        let mut wakes = Vec::new();
        streams.wake_readers(&mut wakes);
        wakes.into_iter().for_each(Waker::wake);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn streams_are_open_until_their_producers_finish() {
    let mut streams = open([1, 2, 3]);
    assert_eq!((streams.open_count(), streams.is_idle()), (3, false));
    for (id, open) in [(1, 2), (2, 1), (3, 0)] {
        streams.finish(id, Ok(()), &mut Vec::new()).unwrap();
        assert_eq!((streams.open_count(), streams.is_idle()), (open, open == 0));
    }
    assert_eq!(streams.len(), 3, "their readers have not seen the end");
}

/// A stream has no reader if its call was not complete when the session ended.
#[test]
fn nothing_is_left_at_the_end_of_a_stream_that_was_not_handed_over() {
    let mut streams = open([]);
    streams.open(1, 0).unwrap();
    come(&mut streams, 1, 100).unwrap();
    let fault = StreamError::Fault(vec![7; 500].into());
    streams.finish(1, Err(fault), &mut Vec::new()).unwrap();
    assert!(streams.memory() >= 600, "{} bytes", streams.memory());
    streams.end(&Status::internal("the session is over"), &mut Vec::new());
    streams.check();
    assert_eq!((streams.memory(), streams.len()), (0, 0));
}

#[test]
fn shared_credit_is_given_for_what_was_read_when_that_is_half_of_the_window() {
    let mut streams = open([1]);
    assert!(!streams.has_credit(), "nothing was read");
    for _ in 0..3 {
        come(&mut streams, 1, 10_000).unwrap();
    }
    let mut items = VecDeque::new();
    streams.take(1, Reading::default(), &mut items, 0, Waker::noop(), &mut Vec::new());
    for bytes in [0, 20_000] {
        streams.count_read(1, Reading { items: 1, bytes: 10_000, slow: false });
        let shared = streams.next_credit(1, 0).map_or(0, |(id, credit)| if id == 0 { credit.bytes } else { 0 });
        assert_eq!(shared, bytes);
    }
    assert!(!streams.has_credit());
    streams.check();
}

#[test]
fn a_table_that_is_empty_goes_and_the_next_one_has_the_credit_that_is_left() {
    let mut streams = Rare::<RecvStreams>::new((config(), 0));
    streams.open(1, 0).unwrap();
    streams.hand_over(1);
    come(&mut streams, 1, 1000).unwrap();
    streams.trim(RecvStreams::trim);
    assert!(streams.is_there(), "an item waits");
    read(&mut streams, 1, 1000);
    streams.finish(1, Ok(()), &mut Vec::new()).unwrap();
    assert!(!streams.leave(1, &mut Vec::new()), "it has ended");
    streams.trim(RecvStreams::trim);
    assert!(!streams.is_there());
    streams.open(2, 0).unwrap();
    come(&mut streams, 2, SHARED - 1000).unwrap();
    let beyond = come(&mut streams, 2, ITEM + 1).unwrap_err();
    assert!(beyond.to_string().contains("credit"), "{beyond}");
}
