//! Frames of a peer that keeps the rules, so that a session lives long enough to have a history.

use bytes::Bytes;
use rpc_core::{
    __internals::wire::{ErrorBody, Frame, MetadataPairs, Notify, Payload, Request, Streams},
    Status,
};

use super::peer::Peer;
use crate::source::Source;

/// What a polite peer has begun and not ended.
#[derive(Default)]
pub(super) struct Begun {
    /// Payloads in chunks, with the bytes that are still to come.
    transfers: Vec<(u64, u64)>,
    streams: Vec<u64>,
}

impl Peer {
    /// The next frame of a peer that breaks no rule, apart from the limits that its other end has announced.
    pub(super) fn polite_frame(&mut self, source: &mut Source<'_>) -> Frame {
        match source.below(12) {
            0 | 1 => self.call(source),
            2 => self.tell(source),
            3 | 4 => self.answer(source),
            5 => match take(&mut self.made, source) {
                Some(id) => Frame::Cancel { id, expired: source.flag() },
                None => self.call(source),
            },
            6..9 => self.chunk(source).unwrap_or_else(|| self.call(source)),
            9 => self.item(source).unwrap_or_else(|| self.call(source)),
            10 => match take(&mut self.begun.streams, source) {
                // The chunks of an item come before the end.
                Some(stream) if self.begun.transfers.iter().all(|(id, _)| *id != stream) => {
                    let error = source.flag().then(|| ErrorBody::Status(Status::aborted("no")));
                    Frame::End { stream, error }
                }
                Some(stream) => {
                    self.begun.streams.push(stream);
                    self.chunk(source).unwrap_or_else(|| self.call(source))
                }
                None => self.tell(source),
            },
            _ => {
                let stream = self.receiving.get(usize::from(source.byte())).copied().unwrap_or(0);
                let (items, bytes) = (u64::from(source.byte() % 8), source.len() as u64);
                Frame::Credit { stream, items: if stream > 0 { items } else { 0 }, bytes, read: 0 }
            }
        }
    }

    fn call(&mut self, source: &mut Source<'_>) -> Frame {
        self.last_call += 1;
        self.made.push(self.last_call);
        Frame::Request(Request {
            id: self.last_call,
            method: 1,
            deadline_ms: source.flag().then(|| u64::from(source.byte()) * 20),
            depth: u32::from(source.byte() % 3),
            parent: self.serving.last().copied().filter(|_| source.flag()),
            metadata: MetadataPairs::new(),
            payload: self.value(source),
            streams: self.open(source),
            window: 0,
        })
    }

    fn tell(&mut self, source: &mut Source<'_>) -> Frame {
        let (choices, metadata) = (source.byte(), MetadataPairs::new());
        let (depth, missed) = (u32::from(choices % 3), (choices >= 0x80).then_some(u64::from(choices)));
        Frame::Notify(Notify { method: 2, depth, metadata, payload: self.value(source), missed })
    }

    fn answer(&mut self, source: &mut Source<'_>) -> Frame {
        let Some(id) = take(&mut self.serving, source) else { return self.call(source) };
        if source.below(4) == 0 {
            return Frame::Error { id, error: ErrorBody::Status(Status::aborted("no")) };
        }
        Frame::Response { id, payload: self.value(source), streams: self.open(source) }
    }

    /// A payload in its frame, or one that is announced and follows.
    fn value(&mut self, source: &mut Source<'_>) -> Payload {
        let len = source.len();
        if len < 250 {
            return Payload::Inline(vec![0xc0; len].into());
        }
        self.last_transfer += 1;
        self.begun.transfers.push((self.last_transfer, len as u64));
        Payload::announced(self.last_transfer, len as u64)
    }

    fn open(&mut self, source: &mut Source<'_>) -> Streams {
        let first = self.last_transfer + 1;
        self.last_transfer += source.below(8).saturating_sub(5) as u64;
        let opened: Vec<u64> = (first..=self.last_transfer).collect();
        self.begun.streams.extend(&opened);
        opened.into()
    }

    fn chunk(&mut self, source: &mut Source<'_>) -> Option<Frame> {
        let count = self.begun.transfers.len();
        let which = usize::from(source.byte()) % count.max(1);
        let (transfer, left) = self.begun.transfers.get_mut(which)?;
        let (transfer, len) = (*transfer, (source.len().max(1) as u64).min(*left));
        *left -= len;
        self.begun.transfers.retain(|(_, left)| *left > 0);
        Some(Frame::Chunk { transfer, data: vec![0; usize::try_from(len).unwrap_or(1)].into() })
    }

    fn item(&mut self, source: &mut Source<'_>) -> Option<Frame> {
        let which = usize::from(source.byte()) % self.begun.streams.len().max(1);
        let stream = *self.begun.streams.get(which)?;
        if self.begun.transfers.iter().any(|(id, _)| *id == stream) {
            return self.chunk(source);
        }
        let len = source.len();
        let payload = if len < 250 {
            Payload::Inline(Bytes::from(vec![0xc0; len]))
        } else {
            self.begun.transfers.push((stream, len as u64));
            Payload::announced(stream, len as u64)
        };
        Some(Frame::Item { stream, payload })
    }
}

/// Takes one of the numbers out of a list.
fn take(list: &mut Vec<u64>, source: &mut Source<'_>) -> Option<u64> {
    if list.is_empty() {
        return None;
    }
    let which = usize::from(source.byte()) % list.len();
    Some(list.remove(which))
}
