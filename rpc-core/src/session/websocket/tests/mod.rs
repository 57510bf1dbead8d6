//! The WebSocket against a peer that speaks raw bytes.

mod early;
mod fragments;
mod pings;
pub(crate) mod raw;
mod rest;
mod silence;

use std::{future::poll_fn, task::Poll, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use self::raw::{
    BINARY, BOTH, CLOSE, CONTINUATION, End, FIN, KIB, Link, PING, PIPE, PONG, TEXT, frame, frames, header,
};
use crate::{
    config::Config,
    error::{CloseCode, HandshakeViolation, ProtocolError, WebSocketViolation},
    session::transport::{Transport, TransportError},
};

/// Whether a message was longer than the 128 KiB that a packet may have. How much of it had come depends on the reads.
fn is_too_long(error: &ProtocolError) -> bool {
    matches!(error, ProtocolError::WebSocket(WebSocketViolation::MessageTooLong { len, max }) if len > max && *max == 128 * KIB)
}

#[tokio::test]
async fn packets_travel_both_ways() {
    for end in BOTH {
        let mut link = Link::established(end);
        let packet = vec![7; 100 * KIB];
        let bytes = link.frame(FIN | BINARY, &packet);
        link.write(&bytes).await;
        assert_eq!(link.receive().await.unwrap(), packet);
        link.send(&packet).await.unwrap();
        let sent = link.close(CloseCode::NORMAL, "done").await;
        assert_eq!(sent[0], (FIN | BINARY, packet));
        assert_eq!(sent[1], (FIN | CLOSE, [&1000_u16.to_be_bytes()[..], b"done"].concat()));
        assert_eq!(sent.len(), 2);
    }
}

/// This is why what waits is copied out of its packet: a packet that is kept keeps the buffer, with all that was read
/// into it.
#[tokio::test]
async fn packets_that_were_read_at_once_lie_in_one_buffer() {
    for end in BOTH {
        let mut link = Link::established(end);
        let bytes = [link.frame(FIN | BINARY, &[1; 10]), link.frame(FIN | BINARY, &[2; 10])].concat();
        link.write(&bytes).await;
        let (first, second) = (link.receive().await.unwrap(), link.receive().await.unwrap());
        let between = second.as_ptr() as usize - first.as_ptr() as usize;
        assert_eq!(between, bytes.len() / 2, "{end:?}");
    }
}

#[tokio::test]
async fn bytes_read_with_the_upgrade_are_not_lost() {
    for end in BOTH {
        let whole = frame(FIN | BINARY, b"hello", end == End::Server);
        let (early, late) = whole.split_at(3);
        let mut link = Link::with(end, &Config::default(), PIPE, Bytes::copy_from_slice(early));
        link.receive_nothing().await;
        assert!(link.ours.progress().mid_message);
        link.write(late).await;
        assert_eq!(link.receive().await.unwrap(), "hello");
        assert_eq!(link.ours.progress().received, whole.len() as u64);
    }
}

#[tokio::test]
async fn packets_taken_before_a_flush_go_out_in_one_write() {
    let mut link = Link::established(End::Server);
    for _ in 0..100 {
        poll_fn(|cx| link.ours.poll_ready(cx)).await.unwrap();
        link.ours.start_send(Bytes::from_static(&[1; 100])).unwrap();
    }
    assert_eq!(link.ours.progress().writes, 0);
    poll_fn(|cx| link.ours.poll_flush(cx)).await.unwrap();
    let progress = link.ours.progress();
    assert_eq!((progress.writes, progress.sent), (1, 100 * 102));
}

#[tokio::test]
async fn a_full_pipe_makes_the_sender_wait_and_loses_nothing() {
    let mut link = Link::with(End::Server, &Config::default(), 1000, Bytes::new());
    link.ours.handshake_done();
    let packet = Bytes::from(vec![9; 100 * KIB]);
    link.ours.start_send(packet.clone()).unwrap();
    poll_fn(|cx| {
        assert_eq!(link.ours.poll_ready(cx), Poll::Pending);
        Poll::Ready(())
    })
    .await;
    let mut got = vec![0; packet.len() + 10];
    let (flushed, _) = tokio::join!(poll_fn(|cx| link.ours.poll_ready(cx)), link.raw.read_exact(&mut got));
    flushed.unwrap();
    assert_eq!(frames(&got), [(FIN | BINARY, packet.to_vec())]);
}

#[tokio::test]
async fn fragments_are_put_together_around_a_ping_that_is_answered() {
    for end in BOTH {
        let mut link = Link::established(end);
        let bytes = [
            link.frame(BINARY, b"one "),
            link.frame(FIN | PING, b"there?"),
            link.frame(CONTINUATION, b""),
            link.frame(FIN | CONTINUATION, b"two"),
        ]
        .concat();
        link.write(&bytes).await;
        assert_eq!(link.receive().await.unwrap(), "one two");
        assert!(!link.ours.progress().mid_message);
        link.receive_nothing().await;
        let sent = link.close(CloseCode::NORMAL, "").await;
        assert_eq!(sent[0], (FIN | PONG, b"there?".to_vec()));
    }
}

#[tokio::test]
async fn one_round_reads_a_bounded_amount() {
    let mut link = Link::established(End::Server);
    let bytes = link.frame(FIN | BINARY, &[0; 1000]).repeat(500);
    link.write(&bytes).await;
    let mut rounds = 0;
    let mut packets = 0;
    poll_fn(|cx| {
        rounds += 1;
        let before = link.ours.progress().received;
        while let Poll::Ready(packet) = link.ours.poll_receive(cx) {
            packet.unwrap();
            packets += 1;
        }
        assert!(link.ours.progress().received - before <= 96 * KIB as u64);
        if packets == 500 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert!(rounds >= 500 * 1000 / (96 * KIB), "{rounds} rounds");
}

#[tokio::test]
async fn a_packet_with_a_whole_chunk_is_there_after_one_round_whatever_was_read_before() {
    for end in BOTH {
        let mut link = Link::established(end);
        let packet = vec![9; Config::default().chunk() + 100];
        let bytes = link.frame(FIN | BINARY, &packet).repeat(5);
        link.write(&bytes).await;
        for count in 0..5 {
            let received = poll_fn(|cx| Poll::Ready(link.ours.poll_receive(cx))).await;
            assert!(matches!(received, Poll::Ready(Ok(bytes)) if bytes == packet), "packet {count}");
            // The driver writes what has come of it, and the next round begins.
            assert!(poll_fn(|cx| link.ours.poll_ready(cx)).await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_goodbye_is_reported_and_answered() {
    for end in BOTH {
        let mut link = Link::established(end);
        let bytes = link.frame(FIN | CLOSE, &[&4400_u16.to_be_bytes()[..], b"no callbacks"].concat());
        link.write(&bytes).await;
        let goodbye = TransportError::Closed { code: CloseCode::REFUSED, reason: "no callbacks".into() };
        assert_eq!(link.receive().await, Err(goodbye));
        let sent = link.close(CloseCode::NORMAL, "").await;
        assert_eq!(sent, [(FIN | CLOSE, [&4400_u16.to_be_bytes()[..], b"no callbacks"].concat())], "{end:?}");
    }
}

#[tokio::test]
async fn a_goodbye_without_a_code_is_1005() {
    let mut link = Link::established(End::Server);
    let bytes = link.frame(FIN | CLOSE, b"");
    link.write(&bytes).await;
    assert_eq!(link.receive().await, Err(TransportError::Closed { code: CloseCode::NO_STATUS, reason: String::new() }));
}

#[tokio::test]
async fn an_end_without_a_goodbye_is_a_lost_link() {
    for end in BOTH {
        let mut link = Link::established(end);
        let half = link.frame(FIN | BINARY, b"half").split_off(3);
        link.write(&half[..2]).await;
        drop(std::mem::replace(&mut link.raw, tokio::io::duplex(1).0));
        let error = link.receive().await.unwrap_err();
        assert!(matches!(error, TransportError::Lost(_)), "{error:?}");
        assert!(matches!(link.send(b"x").await, Err(TransportError::Lost(_))));
        timeout(Duration::from_secs(30), poll_fn(|cx| link.ours.poll_close(cx, CloseCode::NORMAL, ""))).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn closing_discards_input_for_a_second_and_no_longer() {
    let mut link = Link::established(End::Server);
    let start = Instant::now();
    poll_fn(|cx| link.ours.poll_close(cx, CloseCode::NORMAL, "")).await;
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(2), "{took:?}");
    poll_fn(|cx| link.ours.poll_close(cx, CloseCode::NORMAL, "")).await;
}

#[tokio::test]
async fn closing_reads_away_what_the_peer_still_sends() {
    let mut link = Link::with(End::Server, &Config::default(), 4 * KIB, Bytes::new());
    let flood = link.frame(FIN | BINARY, &[0; KIB]).repeat(200);
    let peer = async {
        link.raw.write_all(&flood).await.unwrap();
        let mut bytes = Vec::new();
        link.raw.read_to_end(&mut bytes).await.unwrap();
        drop(link.raw);
        bytes
    };
    let ((), bytes) = tokio::join!(poll_fn(|cx| link.ours.poll_close(cx, CloseCode::TIMEOUT, "slow")), peer);
    assert_eq!(frames(&bytes), [(FIN | CLOSE, [&4408_u16.to_be_bytes()[..], b"slow"].concat())]);
}

#[tokio::test]
async fn a_long_reason_is_cut_between_characters_and_a_reserved_code_is_not_sent() {
    let sent = Link::established(End::Server).close(CloseCode(1006), &"ä".repeat(100)).await;
    assert_eq!(sent, [(FIN | CLOSE, [&1000_u16.to_be_bytes()[..], "ä".repeat(61).as_bytes()].concat())]);
}

#[tokio::test]
async fn row_7_a_packet_over_the_handshake_limit() {
    for end in BOTH {
        let link = Link::new(end);
        let bytes = link.frame(FIN | BINARY, &[0; 17 * KIB]);
        let rule = HandshakeViolation::TooLong { max: 16 * KIB };
        assert_eq!(link.refused(&bytes).await, (rule.into(), 1009));
    }
}

#[tokio::test]
async fn row_7_many_packets_before_the_end_of_the_handshake() {
    let link = Link::new(End::Server);
    let bytes = link.frame(FIN | BINARY, &[0; KIB]).repeat(17);
    assert_eq!(link.refused(&bytes).await, (HandshakeViolation::TooLong { max: 16 * KIB }.into(), 1009));
}

#[tokio::test]
async fn the_handshake_limit_ends_with_the_handshake() {
    let mut link = Link::new(End::Server);
    let first = link.frame(FIN | BINARY, &[0; 16 * KIB]);
    link.write(&first).await;
    assert_eq!(link.receive().await.unwrap().len(), 16 * KIB);
    link.ours.handshake_done();
    let largest = link.frame(FIN | BINARY, &[0; 128 * KIB]);
    link.write(&largest).await;
    assert_eq!(link.receive().await.unwrap().len(), 128 * KIB);
    let larger = link.frame(FIN | BINARY, &[0; 128 * KIB + 1]);
    let rule = WebSocketViolation::MessageTooLong { len: 128 * KIB + 1, max: 128 * KIB };
    assert_eq!(link.refused(&larger).await, (rule.into(), 1009));
}

#[tokio::test]
async fn what_is_left_of_the_handshake_may_come_in_one_packet_after_it() {
    let small = Config::builder().max_packet(1024).chunk(256).max_metadata(256).build().unwrap();
    let mut link = Link::with(End::Server, &small, PIPE, Bytes::new());
    let hello = link.frame(FIN | BINARY, &[0; 6 * KIB]);
    link.write(&hello).await;
    assert_eq!(link.receive().await.unwrap().len(), 6 * KIB);
    link.ours.handshake_done();
    let late = link.frame(FIN | BINARY, &[0; 10 * KIB]);
    link.write(&late).await;
    assert_eq!(link.receive().await.unwrap().len(), 10 * KIB);
    let longer = link.frame(FIN | BINARY, &[0; 10 * KIB + 1]);
    assert_eq!(link.refused(&longer).await.1, 1009);
}

#[tokio::test]
async fn row_8_an_absurd_length() {
    for end in BOTH {
        for length in [1 << 63, u64::MAX, 1 << 32] {
            let header = header(FIN | BINARY, length, end == End::Server);
            let (error, code) = Link::established(end).refused(&header).await;
            assert_eq!(code, 1009);
            assert!(is_too_long(&error), "{error:?}");
        }
    }
}

/// The header comes with the message before it, in one read, and nothing comes behind it.
#[tokio::test]
async fn a_frame_that_begins_behind_a_message_is_refused_before_more_of_it_comes() {
    for end in BOTH {
        let masked = end == End::Server;
        let absurd = (header(FIN | BINARY, 1 << 63, masked), 1009);
        let reserved = (header(FIN | 3, 2, masked), 1002);
        for (header, code) in [absurd, reserved] {
            let mut link = Link::established(end);
            let bytes = [link.frame(FIN | BINARY, b"first"), header.clone()].concat();
            link.write(&bytes).await;
            assert_eq!(link.receive().await.unwrap(), "first");
            let (_, heard) = link.refused(&[]).await;
            assert_eq!(heard, code, "{end:?}, {header:?}");
        }
    }
}

#[tokio::test]
async fn row_9_a_message_over_the_limit_by_fragments() {
    for end in BOTH {
        let link = Link::established(end);
        let rest = link.frame(CONTINUATION, &[0; 32 * KIB]);
        let bytes = [link.frame(BINARY, &[0; 32 * KIB]), rest.repeat(4)].concat();
        let (error, code) = link.refused(&bytes).await;
        assert_eq!(code, 1009);
        assert!(is_too_long(&error), "{error:?}");
    }
}

#[tokio::test]
async fn row_10_endless_empty_and_tiny_fragments() {
    for end in BOTH {
        for payload in [&b""[..], b"x"] {
            let link = Link::established(end);
            let bytes = [link.frame(BINARY, b""), link.frame(CONTINUATION, payload).repeat(100 * KIB)].concat();
            let rule = WebSocketViolation::TooManyFragments { max: 192 * KIB };
            assert_eq!(link.refused(&bytes).await, (rule.into(), 1009));
        }
    }
}

#[tokio::test]
async fn row_10_before_the_handshake_17_kib_in_all() {
    let mut link = Link::new(End::Server);
    let bytes = [link.frame(BINARY, b""), link.frame(CONTINUATION, b"").repeat(17 * KIB / 6 - 2)].concat();
    assert!(bytes.len() < 17 * KIB);
    link.write(&bytes).await;
    link.receive_nothing().await;
    let more = link.frame(CONTINUATION, b"").repeat(10);
    let rule = WebSocketViolation::TooManyFragments { max: 17 * KIB };
    assert_eq!(link.refused(&more).await, (rule.into(), 1009));
}

#[tokio::test]
async fn row_13_wrong_masking_reserved_bits_and_opcodes() {
    for end in BOTH {
        let wrong_mask = frame(FIN | BINARY, b"x", end == End::Client);
        let rule = if end == End::Server { WebSocketViolation::Unmasked } else { WebSocketViolation::Masked };
        assert_eq!(Link::established(end).refused(&wrong_mask).await, (rule.into(), 1002));
        for first in [0xc2, 0xa2, 0x92, 0x83, 0x87, 0x8b, 0x8f] {
            let has_reserved_bits = first & 0x70 != 0;
            let (bits, opcode) = (WebSocketViolation::ReservedBits, WebSocketViolation::ReservedOpcode);
            let rule = if has_reserved_bits { bits } else { opcode };
            let link = Link::established(end);
            let bytes = link.frame(first, b"x");
            assert_eq!(link.refused(&bytes).await, (rule.into(), 1002), "first byte {first:#x}");
        }
    }
}

#[tokio::test]
async fn row_13_broken_fragments_and_control_frames() {
    for end in BOTH {
        let link = Link::established(end);
        let cases = [
            (link.frame(FIN | CONTINUATION, b"nothing to continue"), WebSocketViolation::StrayContinuation),
            (
                [link.frame(BINARY, b"a"), link.frame(FIN | BINARY, b"b")].concat(),
                WebSocketViolation::UnfinishedMessage,
            ),
            (link.frame(PING, b"fragmented"), WebSocketViolation::FragmentedControl),
            (link.frame(FIN | PING, &[0; 126]), WebSocketViolation::ControlTooLong),
            (link.frame(FIN | CLOSE, &[3]), WebSocketViolation::CloseOfOneByte),
            (link.frame(FIN | CLOSE, &[3, 0xe8, 0xff]), WebSocketViolation::ReasonNotUtf8),
        ];
        for (bytes, rule) in cases {
            assert_eq!(Link::established(end).refused(&bytes).await, (rule.into(), 1002));
        }
    }
}

/// The library answers such a code as it should, and then reports its own answer as the other side's close frame.
#[tokio::test]
async fn a_close_code_that_must_not_be_sent_is_a_breach_and_not_the_goodbye_of_the_other_side() {
    for end in BOTH {
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 2000, 5000, u16::MAX] {
            let link = Link::established(end);
            let bytes = link.frame(FIN | CLOSE, &code.to_be_bytes());
            let (error, answered) = link.refused(&bytes).await;
            assert_eq!((&error, answered), (&WebSocketViolation::ForbiddenCode.into(), 1002), "{code}");
            assert!(error.reason().contains("RFC 6455 §7.4"), "{code}: {error}");
        }
    }
}

#[tokio::test]
async fn row_14_text() {
    for end in BOTH {
        for payload in [&b"{}"[..], &[0xff, 0xfe]] {
            let link = Link::established(end);
            let bytes = link.frame(FIN | TEXT, payload);
            let (error, code) = link.refused(&bytes).await;
            assert_eq!((&error, code), (&WebSocketViolation::Text.into(), 1003));
            assert!(error.reason().contains("text"), "{error}");
        }
    }
}
