//! The wire as a whole: frames there and back, broken packets, and payloads beside serde_json.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, option, prelude::*};
use rpc_core::{
    __internals::wire::{
        ErrorBody, Frame, Hello, HostedContract, MAX_TOKEN, Notify, PacketHeader, Payload, PeerLimits, Request, Resume,
        Streams, Welcome, WithheldContract, put_frame, put_header, read_packet,
    },
    Code, Status,
};
use rpc_testing::packet;

#[path = "wire/payloads.rs"]
mod payloads;

fn encoded(frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    put_frame(&mut out, frame);
    out
}

/// Numbers of all lengths, not only the long ones.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
}

fn small() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0..32_u32).prop_map(|(number, shift)| number >> shift)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 250..300)].prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,40}", "[a-zß]{240,280}"]
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        bytes().prop_map(Payload::Inline),
        (number(), number()).prop_map(|(transfer, total)| Payload::announced(transfer, total))
    ]
}

fn metadata() -> impl Strategy<Value = Vec<(String, String)>> {
    prop_oneof![Just(Vec::new()), vec((text(), text()), 1..20)]
}

/// Only the framework may say that a call did not run, so the last byte of the frame is set by hand.
fn not_executed(status: Status) -> Status {
    let mut bytes = BytesMut::new();
    put_header(&mut bytes, PacketHeader { seq: 1, ack: 0 });
    put_frame(&mut bytes, &Frame::Error { id: 0, error: ErrorBody::Status(status) });
    *bytes.last_mut().unwrap() = 1;
    match read_packet(bytes.freeze()).unwrap().1.next() {
        Some(Ok(Frame::Error { error: ErrorBody::Status(status), .. })) => status,
        other => panic!("{other:?}"),
    }
}

fn status() -> impl Strategy<Value = Status> {
    (1..17_u64, text(), bytes(), any::<bool>()).prop_map(|(code, message, details, executed)| {
        let status = Status::new(Code::from_number(code), message).with_details(details);
        if executed { status } else { not_executed(status) }
    })
}

fn limits() -> impl Strategy<Value = PeerLimits> {
    let counts = (1..=u32::MAX, 1..=u32::MAX, 1..=u32::MAX, small());
    let windows = (small(), 1..=u32::MAX, number(), number());
    let held = (number(), prop_oneof![number(), Just(u64::MAX)], number());
    (counts, number(), number(), number(), number(), number(), windows, held).prop_map(
        |(
            (calls, nested, notifies, depth),
            payload,
            assembly,
            arguments,
            packet,
            chunk,
            (streams, stream_items, stream_bytes, streams_bytes),
            (nesting, values, containers),
        )| PeerLimits {
            streams,
            stream_items,
            stream_bytes,
            streams_bytes,
            calls,
            nested,
            notifies,
            depth,
            payload,
            assembly,
            arguments,
            packet,
            chunk,
            nesting,
            values,
            containers,
        },
    )
}

fn contracts() -> impl Strategy<Value = Vec<HostedContract>> {
    let windows = vec((small(), small()), 0..3);
    let contract = (text(), number(), windows).prop_map(|(name, fingerprint, windows)| HostedContract {
        name,
        fingerprint,
        windows,
    });
    vec(contract, 0..18)
}

fn hello() -> impl Strategy<Value = Frame> {
    let resume = (token(), number(), number()).prop_map(|(token, epoch, received)| Resume { token, epoch, received });
    (number(), limits(), number(), contracts(), vec(any::<u8>(), 0..300), option::of(resume), number()).prop_map(
        |(version, limits, keepalive_ms, contracts, credentials, resume, resume_window_ms)| {
            Frame::Hello(Box::new(Hello {
                version,
                limits,
                keepalive_ms,
                contracts,
                credentials,
                resume,
                resume_window_ms,
            }))
        },
    )
}

fn token() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=MAX_TOKEN).prop_map(Into::into)
}

fn withheld() -> impl Strategy<Value = Vec<WithheldContract>> {
    vec((text(), text()).prop_map(|(name, callback)| WithheldContract { name, callback }), 0..18)
}

fn welcome() -> impl Strategy<Value = Frame> {
    let (lists, resuming) = ((contracts(), withheld()), (token(), number()));
    let whole = (limits(), number(), lists, number(), resuming, option::of(status())).prop_map(
        |(limits, keepalive_ms, (contracts, withheld), session, (token, resume_window_ms), refusal)| Welcome {
            keepalive_ms,
            withheld,
            token,
            refusal,
            resume_window_ms,
            ..Welcome::new(limits, contracts, session)
        },
    );
    // A Welcome that resumes says nothing else.
    prop_oneof![whole, number().prop_map(Welcome::resume)].prop_map(|welcome| Frame::Welcome(Box::new(welcome)))
}

fn request() -> impl Strategy<Value = Frame> {
    let head = (number(), small(), option::of(number()), small(), option::of(number()));
    (head, metadata(), payload(), streams(), small()).prop_map(
        |((id, method, deadline_ms, depth, parent), metadata, payload, streams, window)| {
            Frame::Request(Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window })
        },
    )
}

fn streams() -> impl Strategy<Value = Streams> {
    vec(number(), 0..20).prop_map(Into::into)
}

fn ending() -> impl Strategy<Value = ErrorBody> {
    prop_oneof![payload().prop_map(ErrorBody::Fault), status().prop_map(ErrorBody::Status)]
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        hello(),
        welcome(),
        request(),
        (small(), small(), metadata(), payload(), option::of(number())).prop_map(
            |(method, depth, metadata, payload, missed)| {
                Frame::Notify(Notify { method, depth, metadata, payload, missed })
            }
        ),
        (number(), payload(), streams()).prop_map(|(id, payload, streams)| Frame::Response { id, payload, streams }),
        (number(), payload()).prop_map(|(stream, payload)| Frame::Item { stream, payload }),
        (number(), option::of(ending())).prop_map(|(stream, error)| Frame::End { stream, error }),
        (number(), number(), number(), number()).prop_map(|(stream, items, bytes, read)| Frame::Credit {
            stream,
            items,
            bytes,
            read
        }),
        (number(), payload()).prop_map(|(id, fault)| Frame::Error { id, error: ErrorBody::Fault(fault) }),
        (number(), status()).prop_map(|(id, status)| Frame::Error { id, error: ErrorBody::Status(status) }),
        (number(), any::<bool>()).prop_map(|(id, expired)| Frame::Cancel { id, expired }),
        (number(), bytes()).prop_map(|(transfer, data)| Frame::Chunk { transfer, data: data.into() }),
        number().prop_map(|transfer| Frame::Abort { transfer }),
        number().prop_map(|transfer| Frame::Stop { transfer }),
        (small(), number(), number(), number()).prop_map(|(depth, count, bytes, marked)| Frame::Done {
            depth,
            count,
            bytes,
            marked
        }),
        (any::<u16>(), text()).prop_map(|(code, message)| Frame::Bye { code, message }),
        number().prop_map(|token| Frame::Ping { token }),
        number().prop_map(|token| Frame::Pong { token }),
        (number(), text(), number()).prop_map(|(last_seq, message, after_ms)| Frame::GoAway {
            last_seq,
            message,
            after_ms
        }),
    ]
}

/// The frames of a packet up to the first error, which is the end. They can be written and read: only what a Welcome
/// says beside a session that goes on is read and not written.
fn read_all(bytes: Bytes) -> Vec<Frame> {
    let len = bytes.len();
    let Ok((header, mut rest)) = read_packet(bytes) else { return Vec::new() };
    let mut read = Vec::new();
    for frame in &mut rest {
        match frame {
            Ok(frame) => read.push(frame),
            Err(error) => {
                assert!(error.offset().is_none_or(|at| at <= len), "{error} in {len} bytes");
                break;
            }
        }
    }
    assert!(rest.next().is_none(), "nothing follows an error");
    let written = packet(header, &read);
    let (again, rest) = read_packet(written.clone()).unwrap();
    assert_eq!(packet(again, &rest.map(Result::unwrap).collect::<Vec<_>>()), written);
    read
}

/// Where each frame of a packet with this header ends.
fn ends(header: PacketHeader, frames: &[Frame]) -> Vec<usize> {
    (1..=frames.len()).map(|count| packet(header, &frames[..count]).len()).collect()
}

proptest! {
    #[test]
    fn frames_come_back_as_they_went(seq in number(), ack in number(), frames in vec(frame(), 0..6)) {
        let header = PacketHeader { seq, ack };
        let (read, rest) = read_packet(packet(header, &frames)).unwrap();
        prop_assert_eq!(read, header);
        let rest: Result<Vec<_>, _> = rest.collect();
        prop_assert_eq!(rest.unwrap(), frames);
    }

    #[test]
    fn the_hint_is_never_too_small(frame in frame()) {
        let (len, hint) = (encoded(&frame).len(), frame.encoded_len_hint());
        prop_assert!(hint >= len, "{} takes {len} bytes, the hint says {hint}", frame.kind_name());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        read_all(bytes.into());
    }
}

proptest! {
    // Each case reads a packet as often as it has bytes or bits.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_packet_cut_anywhere_has_the_frames_before_the_cut(frames in vec(frame(), 1..3)) {
        let header = PacketHeader { seq: 300, ack: 70_000 };
        let (packet, ends) = (packet(header, &frames), ends(header, &frames));
        for len in 0..packet.len() {
            let whole = ends.iter().filter(|end| **end <= len).count();
            prop_assert_eq!(&read_all(packet.slice(..len))[..], &frames[..whole], "{} bytes of {}", len, packet.len());
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused(frame in frame()) {
        let packet = packet(PacketHeader { seq: 1, ack: 0 }, std::slice::from_ref(&frame));
        for len in 3..packet.len() {
            let (_, frames) = read_packet(packet.slice(..len)).unwrap();
            prop_assert!(frames.last().unwrap().is_err(), "{} bytes of {}", len, packet.len());
        }
    }

    #[test]
    fn a_packet_with_a_flipped_bit_has_the_frames_before_it(frames in vec(frame(), 1..3)) {
        let header = PacketHeader { seq: 300, ack: 70_000 };
        let (packet, ends) = (packet(header, &frames), ends(header, &frames));
        for bit in 0..packet.len() * 8 {
            let mut flipped = BytesMut::from(&packet[..]);
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = read_all(flipped.freeze());
            let whole = ends.iter().filter(|end| **end <= bit / 8).count();
            prop_assert_eq!(read.get(..whole), Some(&frames[..whole]), "bit {}", bit);
        }
    }
}

#[test]
fn nothing_follows_an_error() {
    let (_, mut frames) = read_packet(Bytes::from_static(&[1, 0, 0x91, 20, 0x92, 16, 1])).unwrap();
    assert!(frames.next().unwrap().is_err());
    assert!(frames.next().is_none());
}

#[test]
fn what_is_passed_over_is_still_checked() {
    // Kind 64 with an extension type, at byte 5 of the packet.
    let (_, mut frames) = read_packet(Bytes::from_static(&[1, 0, 0x93, 64, 7, 0xd4, 1, 2])).unwrap();
    assert_eq!(frames.next().unwrap().unwrap_err().offset(), Some(5));
}
