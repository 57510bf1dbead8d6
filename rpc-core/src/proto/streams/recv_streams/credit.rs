//! The credit that producers get for what has been read here: when it is renewed, and when it is sent.

use std::mem;

use super::{
    super::{Credit, MAX_CREDIT, SCARCE, weight},
    RecvStreams,
};
use crate::wire::TransferId;

impl RecvStreams {
    /// Sets what the reader of one stream lets wait.
    pub(crate) fn set_window(&mut self, id: TransferId, bytes: i64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let bytes = bytes.clamp(1, MAX_CREDIT);
            // As many as there can be within the bytes.
            stream.window = ((bytes / weight(0)).max(1), bytes);
            stream.fixed = true;
            self.renew(id);
        }
    }

    /// Credit that is to be sent in this packet, where those up to `acked` have been acknowledged: a stream, or 0 for
    /// all of them.
    #[inline]
    pub(crate) fn next_credit(&mut self, packet: u64, acked: u64) -> Option<(TransferId, Credit)> {
        if self.has_credit() { self.take_credit(packet, acked) } else { None }
    }

    fn take_credit(&mut self, packet: u64, acked: u64) -> Option<(TransferId, Credit)> {
        if self.all_due > 0 {
            return Some((0, Credit { bytes: mem::take(&mut self.all_due), ..Credit::default() }));
        }
        while let Some(id) = self.due.pop_front() {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.is_due = false;
                let (items, bytes) = mem::take(&mut stream.due);
                let tell = mem::take(&mut stream.must_report);
                if stream.is_wanted() && !stream.finished {
                    stream.reported = stream.received.0 - stream.held.0;
                    stream.handle_ack(acked);
                    stream.note_credit(packet);
                    return Some((id, Credit { items, bytes, read: stream.reported.unsigned_abs() }));
                }
                if tell && stream.read {
                    let read = (stream.received.0 - stream.held.0).unsigned_abs();
                    return Some((id, Credit { items: 0, bytes: 0, read }));
                }
            }
        }
        None
    }

    pub(crate) fn has_credit(&self) -> bool {
        self.all_due > 0 || !self.due.is_empty()
    }

    /// Gives the producer of a stream new credit, if there is enough of it to be worth a frame.
    pub(super) fn renew(&mut self, id: TransferId) {
        let scarce = self.is_scarce();
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_wanted() && !stream.finished) else {
            return;
        };
        let items = (stream.window.0 - stream.credit.0 - stream.held.0).max(0);
        let bytes = (stream.window.1 - stream.credit.1 - stream.held.1).max(0);
        let enough = items * 2 >= stream.window.0 || bytes * 2 >= stream.window.1;
        // It may wait for nothing else.
        let needed = scarce && stream.has_unreported();
        if !enough && !needed {
            return;
        }
        stream.credit.0 += items;
        stream.credit.1 += bytes;
        stream.due.0 += items.unsigned_abs();
        stream.due.1 += bytes.unsigned_abs();
        self.push_due(id);
    }

    pub(super) fn renew_all(&mut self) {
        let bytes = self.all_window - self.all_credit - self.all_held;
        if bytes * 2 >= self.all_window {
            self.all_credit += bytes;
            self.all_due += bytes.unsigned_abs();
        }
    }

    /// Whether producers go by what their readers have read, because little credit is left for all together.
    pub(super) fn is_scarce(&self) -> bool {
        self.all_credit <= self.all_window / SCARCE
    }

    /// The producer is to hear how far the reader is, even if it has ended the stream: its call waits for that.
    pub(super) fn report(&mut self, id: TransferId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.must_report = true;
            self.push_due(id);
        }
    }

    /// The producer of a stream is to get what is due.
    pub(super) fn push_due(&mut self, id: TransferId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            if !mem::replace(&mut stream.is_due, true) {
                self.due.push_back(id);
            }
        }
    }
}
