//! Tests of a single stream that is read here.

use super::*;

const FIRST: Amount = Amount { items: 10, bytes: 10_000 };
const ONE: Amount = Amount { items: 1, bytes: 100 };

fn granted(times: i64) -> Amount {
    FIRST + Amount { items: times, bytes: 100 * times }
}

#[test]
fn an_item_may_have_as_many_bytes_as_32_bits_count() {
    let (stream, most) = (RecvStream::new(FIRST, 0), u64::from(u32::MAX));
    assert_eq!(stream.check_item(1, most, true, true), Ok(()));
    let violation = StreamViolation::ItemTooLong { stream: 1, len: most + 1 };
    assert_eq!(stream.check_item(1, most + 1, true, true), Err(violation));
}

#[test]
fn a_stream_is_live_while_it_has_both_a_reader_and_a_producer() {
    let mut failed = RecvStream::new(FIRST, 0);
    assert!(failed.is_live());
    failed.end_with(Status::internal("it failed here"));
    assert!(!failed.is_live(), "its producer goes on, and no reader wants the items");
    let mut finished = RecvStream::new(FIRST, 0);
    finished.arrival = ArrivalState::Finished;
    assert!(!finished.is_live());
}

#[test]
fn a_reader_has_something_to_report_when_it_has_read_all_that_came() {
    let mut stream = RecvStream::new(FIRST, 0);
    assert!(!stream.has_unreported(), "nothing has come");
    stream.count_item(ONE, false);
    stream.count_item(ONE, false);
    assert!(!stream.has_unreported(), "nothing is read");
    stream.held -= ONE;
    assert!(!stream.has_unreported(), "an item waits");
    stream.held -= ONE;
    assert!(stream.has_unreported());
    stream.reported = 1;
    assert!(stream.has_unreported(), "the producer knows of one");
    stream.reported = 2;
    assert!(!stream.has_unreported(), "the producer knows of both");
    stream.reported = 0;
    stream.end_with(Status::internal("it failed here"));
    assert!(!stream.has_unreported(), "the producer may send nothing more");
}

#[test]
fn credit_is_known_to_the_producer_when_its_packet_is_acknowledged() {
    let mut stream = RecvStream::new(FIRST, 0);
    for packet in 1..=2 {
        stream.credit += ONE;
        stream.note_credit(packet);
    }
    for (acked, times) in [(0, 0), (1, 1), (1, 1), (5, 2)] {
        stream.handle_ack(acked);
        assert_eq!(stream.acknowledged, granted(times), "packets up to {acked} are acknowledged");
    }
}

/// The last of many grants stands for all that are not remembered.
#[test]
fn eight_grants_are_remembered_until_they_are_acknowledged() {
    let mut stream = RecvStream::new(FIRST, 0);
    for packet in 1..=20 {
        stream.credit += ONE;
        stream.note_credit(packet);
    }
    for (acked, times) in [(6, 6), (19, 7), (20, 20)] {
        stream.handle_ack(acked);
        assert_eq!(stream.acknowledged, granted(times), "packets up to {acked} are acknowledged");
    }
}

#[test]
fn a_window_doubles_up_to_the_most_and_one_that_was_set_by_hand_stays() {
    let mut stream = RecvStream::new(FIRST, 0);
    for (items, bytes) in [(20, 20_000), (40, 40_000), (80, 50_000), (160, 50_000)] {
        assert!(stream.grow(50_000));
        assert_eq!(stream.window, Amount { items, bytes });
    }
    assert!((0..20).any(|_| !stream.grow(50_000)), "it stops growing");
    assert_eq!(stream.window, Amount::of_window(50_000), "as many items as the bytes are enough for");
    let mut fixed = RecvStream::new(FIRST, 5000);
    let window = fixed.window;
    assert!(!fixed.grow(50_000));
    assert_eq!((window, window.bytes), (fixed.window, 5000));
}

#[test]
fn copies_of_small_items_fill_a_block_of_8_kib() {
    let mut stream = RecvStream::new(FIRST, 0);
    stream.held.bytes = 1 << 20;
    let mut copies = Vec::new();
    for left in (0..64).rev().chain([63]) {
        copies.push(stream.copy(&[7; 128]));
        assert_eq!(stream.block.capacity(), left * 128);
    }
    assert!(copies.iter().all(|copy| copy[..] == [7; 128]));
    stream.trim();
    assert_eq!(stream.block.capacity(), 0);
}

#[test]
fn a_reader_that_waits_keeps_the_larger_buffer_and_a_small_one() {
    // The batch's room and the stream's, before and after.
    let cases = [
        ((100, 0), (0, 100), "the larger one is for the items to come"),
        ((10, 50), (10, 50), "the smaller one is small"),
        ((64, 100), (64, 100), "just small enough"),
        ((65, 100), (0, 100), "too large to be kept twice"),
        ((200, 100), (0, 200), "both are large"),
    ];
    for ((batch, items), after, why) in cases {
        let mut stream = RecvStream::new(FIRST, 0);
        let mut batch = VecDeque::with_capacity(batch);
        stream.items = VecDeque::with_capacity(items);
        stream.keep_room(&mut batch);
        assert_eq!((batch.capacity(), stream.items.capacity()), after, "{why}");
        stream.trim();
        assert_eq!(stream.items.capacity(), 0, "nothing came");
    }
}
