//! What happened to each call, and what must be true of it.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::queues::Queues;
use crate::{
    proto::Outcome,
    status::{Execution, Status},
    wire::{Frame, read_packet},
};

/// A call of the whole simulation, by its number.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// How often a handler has begun to run.
    started: u32,
    outcome: Option<Outcome>,
    oneway: bool,
}

/// Everything that both ends have done.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    calls: Vec<Record>,
    /// The frames of each packet, by session, sender and number, apart from the deadlines of calls.
    packets: HashMap<(u64, usize, u64), Vec<Frame>>,
    pub(super) sent_again: usize,
    streams: Vec<StreamRecord>,
    pub(super) queues: Queues,
}

/// A stream of the whole simulation, by its number.
#[derive(Debug, Default)]
struct StreamRecord {
    /// Items that the connection of the producer has taken.
    items: u32,
    is_finished: bool,
}

impl Ledger {
    pub(super) fn begin(&mut self, oneway: bool) -> u64 {
        self.calls.push(Record { oneway, ..Record::default() });
        self.calls.len() as u64 - 1
    }

    pub(super) fn begin_stream(&mut self) -> u64 {
        self.streams.push(StreamRecord::default());
        self.streams.len() as u64 - 1
    }

    fn stream(&self, number: u64) -> &StreamRecord {
        &self.streams[usize::try_from(number).unwrap()]
    }

    /// How many items a stream has had.
    pub(super) fn items(&self, number: u64) -> u32 {
        self.stream(number).items
    }

    pub(super) fn produce(&mut self, number: u64) {
        self.streams[usize::try_from(number).unwrap()].items += 1;
    }

    pub(super) fn finish(&mut self, number: u64) {
        self.streams[usize::try_from(number).unwrap()].is_finished = true;
    }

    /// How many items a stream has had in all, if it is finished.
    pub(super) fn finished(&self, number: u64) -> Option<u32> {
        Some(self.stream(number)).filter(|stream| stream.is_finished).map(|stream| stream.items)
    }

    /// Items of all streams.
    pub(super) fn all_items(&self) -> u64 {
        self.streams.iter().map(|stream| u64::from(stream.items)).sum()
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The status with which a call has ended.
    pub(super) fn status(&self, number: usize) -> &Status {
        match &self.calls[number].outcome {
            Some(Outcome::Status(status)) => status,
            other => panic!("call {number}: {other:?}"),
        }
    }

    pub(super) fn values(&self) -> usize {
        self.calls
            .iter()
            .filter(|call| matches!(call.outcome, Some(Outcome::Value(_) | Outcome::Streaming(..))))
            .count()
    }

    /// Arguments that carry a call's number.
    pub(super) fn arguments(number: u64, len: usize) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u64(number);
        bytes.resize(len.max(8), 7);
        bytes.freeze()
    }

    pub(super) fn number_of(arguments: &Bytes) -> u64 {
        u64::from_be_bytes(arguments[..8].try_into().unwrap())
    }

    /// A result that belongs to this call alone.
    pub(super) fn result(number: u64, len: usize) -> Bytes {
        Self::arguments(!number, len)
    }

    pub(super) fn start(&mut self, number: u64) {
        let call = &mut self.calls[usize::try_from(number).unwrap()];
        call.started += 1;
        assert_eq!(call.started, 1, "call {number} has run twice");
    }

    pub(super) fn end(&mut self, number: u64, outcome: Outcome) {
        let call = &mut self.calls[usize::try_from(number).unwrap()];
        assert_eq!(call.outcome, None, "call {number} has ended twice");
        match &outcome {
            Outcome::Value(result) | Outcome::Streaming(result, _) => {
                assert_eq!(!Self::number_of(result), number, "the result of another call");
                assert_eq!(call.started, 1, "call {number} has a result and has not run");
            }
            Outcome::Status(_) => {}
            other => panic!("call {number}: {other:?}"),
        }
        call.outcome = Some(outcome);
    }

    /// One-way calls have no outcome once they are queued; one that could not be queued has a status.
    pub(super) fn check_end(&self) {
        for (number, call) in self.calls.iter().enumerate() {
            match &call.outcome {
                Some(Outcome::Status(status)) if status.execution() == Execution::NotExecuted => {
                    assert_eq!(call.started, 0, "call {number} ran, and its caller was told: {status}");
                }
                Some(_) => {}
                None => assert!(call.oneway, "call {number} has not ended"),
            }
        }
    }

    /// A counted packet goes out. What goes again is equal to what went first, apart from acks and deadlines.
    pub(super) fn send(&mut self, session: u64, from: usize, packet: &Bytes) {
        let (header, frames) = read_packet(packet.clone()).unwrap();
        if header.seq == 0 {
            return;
        }
        let frames: Vec<Frame> = frames.map(|frame| without_deadline(frame.unwrap())).collect();
        if let Some(first) = self.packets.get(&(session, from, header.seq)) {
            self.sent_again += 1;
            assert_eq!(&frames, first, "packet {} of session {session} has changed", header.seq);
        } else {
            self.packets.insert((session, from, header.seq), frames);
        }
    }

    /// A status of a call that never reached a session.
    pub(super) fn refuse(&mut self, number: u64, status: Status) {
        self.end(number, Outcome::Status(status));
    }
}

fn without_deadline(frame: Frame) -> Frame {
    match frame {
        Frame::Request(mut request) => {
            request.deadline_ms = None;
            Frame::Request(request)
        }
        other => other,
    }
}
