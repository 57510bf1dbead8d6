//! Packets: any bytes are read or refused, and what has been read comes back as it went.

use bytes::{Bytes, BytesMut};
use rpc_core::__internals::wire::{
    Frame, Frames, MetadataPairs, Notify, PacketHeader, Payload, PlainFrame, Request, RequestHead, Streams, Welcome,
    metadata_size, put_frame, put_header, read_packet,
};

/// A limit on metadata that short inputs exceed.
const MAX_METADATA: usize = 100;

/// Reads `data` as a packet, in each way in which a session reads one.
pub fn run(data: &[u8]) {
    let packet = Bytes::copy_from_slice(data);
    let Ok((header, mut frames)) = read_packet(packet.clone()) else { return };
    let (read, is_whole) = valid(&mut frames, data.len());
    come_back(header, &read);
    read_alike_if_plain(packet.clone(), &read, is_whole);
    keep_metadata_within_its_limit(packet, &read, is_whole);
}

/// The frames up to the first error, and whether there was none.
fn valid(frames: &mut Frames, len: usize) -> (Vec<Frame>, bool) {
    let mut read = Vec::new();
    for frame in &mut *frames {
        match frame {
            Ok(frame) => read.push(frame),
            Err(error) => {
                assert!(error.offset().is_none_or(|at| at <= len), "{error}, in {len} bytes");
                assert!(frames.next().is_none(), "nothing follows an error");
                return (read, false);
            }
        }
    }
    (read, true)
}

/// Frames that were read are written, and are read as the same frames.
fn come_back(header: PacketHeader, frames: &[Frame]) {
    let mut written = BytesMut::new();
    put_header(&mut written, header);
    for frame in frames {
        let before = written.len();
        put_frame(&mut written, frame);
        let (len, hint) = (written.len() - before, frame.encoded_len_hint());
        assert!(len <= hint, "a {} takes {len} bytes, and the hint says {hint}", frame.kind_name());
    }
    let written = written.freeze();
    let Ok((again, mut rest)) = read_packet(written.clone()) else { panic!("{written:02x?} has a header") };
    let (rest, is_whole) = valid(&mut rest, written.len());
    assert!(is_whole, "what was written is valid: {written:02x?}");
    assert_eq!(again, header);
    assert_eq!(rest.len(), frames.len());
    for (frame, again) in frames.iter().zip(&rest) {
        assert_eq!(&as_written(frame.clone()), again, "{frame:?} came back otherwise");
    }
}

/// The part of a frame that is written: a Welcome of a session that goes on says nothing beside that, and any other
/// Welcome does not say how much has been received.
fn as_written(mut frame: Frame) -> Frame {
    if let Frame::Welcome(welcome) = &mut frame {
        if welcome.resumed {
            let version = welcome.version;
            **welcome = Welcome { version, ..Welcome::resume(welcome.received) };
        } else {
            welcome.received = 0;
        }
    }
    frame
}

/// The short way of plain frames reads what the long one reads.
fn read_alike_if_plain(packet: Bytes, frames: &[Frame], is_whole: bool) {
    let Ok((_, mut rest)) = read_packet(packet) else { panic!("the packet has a header") };
    for frame in frames {
        let read = match rest.next_plain() {
            Some(plain) => Some(from_plain(plain)),
            None => rest.next().and_then(Result::ok),
        };
        assert_eq!(read.as_ref(), Some(frame));
    }
    if !is_whole {
        // The frame that is refused, perhaps behind frames that are passed over.
        assert!(rest.next_plain().is_none());
        assert!(rest.next().is_some_and(|frame| frame.is_err()));
    }
    assert!(rest.next_plain().is_none() && rest.next().is_none());
}

fn from_plain(plain: PlainFrame) -> Frame {
    let (metadata, streams) = (MetadataPairs::new(), Streams::default());
    match plain {
        PlainFrame::Request { head, arguments } => {
            let RequestHead { id, method, deadline_ms, depth, parent } = head;
            let payload = Payload::Inline(arguments);
            Frame::Request(Request { id, method, deadline_ms, depth, parent, metadata, payload, streams, window: 0 })
        }
        PlainFrame::Notify { method, depth, arguments, missed } => {
            Frame::Notify(Notify { method, depth, metadata, payload: Payload::Inline(arguments), missed })
        }
        PlainFrame::Response { id, result } => Frame::Response { id, payload: Payload::Inline(result), streams },
    }
}

/// A limit on metadata drops pairs, and nothing else.
fn keep_metadata_within_its_limit(packet: Bytes, frames: &[Frame], is_whole: bool) {
    let Ok((_, rest)) = read_packet(packet.clone()) else { panic!("the packet has a header") };
    let (read, again) = valid(&mut rest.with_max_metadata(MAX_METADATA), packet.len());
    assert_eq!((read.len(), again), (frames.len(), is_whole));
    for (mut cut, mut whole) in read.into_iter().zip(frames.iter().cloned()) {
        let (pairs, all) = (take_metadata(&mut cut), take_metadata(&mut whole));
        assert_eq!(cut, whole);
        assert!(all.starts_with(&pairs));
        let (size, before) = (metadata_size(&pairs), pairs.len().saturating_sub(1));
        assert!(metadata_size(&pairs[..before].to_vec()) <= MAX_METADATA, "a pair was kept beyond the limit");
        assert!(pairs.len() == all.len() || size > MAX_METADATA, "a pair was dropped within the limit");
    }
}

fn take_metadata(frame: &mut Frame) -> MetadataPairs {
    match frame {
        Frame::Request(request) => std::mem::take(&mut request.metadata),
        Frame::Notify(notify) => std::mem::take(&mut notify.metadata),
        _ => MetadataPairs::new(),
    }
}
