//! The credit that producers get for what has been read here: when a stream gets more, and when that is sent. Windows
//! grow in [`RecvStreams::take`], where a reader finds nothing to read.

use std::mem;

use super::{
    super::{Amount, Credit, SCARCE, recv_stream::Notice},
    RecvStreams,
};
use crate::wire::TransferId;

impl RecvStreams {
    /// Sets the window of one stream, which does not grow from then on. New credit goes out at once.
    pub(crate) fn set_window(&mut self, id: TransferId, bytes: i64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.window = Amount::of_fixed_window(bytes);
            stream.is_window_fixed = true;
            self.grant(id, true);
        }
    }

    /// The next notice to be sent in `packet`: a stream, or 0 for all streams together, and its credit. The other side
    /// has acknowledged the packets up to `acked`.
    #[inline]
    pub(crate) fn next_credit(&mut self, packet: u64, acked: u64) -> Option<(TransferId, Credit)> {
        if self.has_credit() { self.take_credit(packet, acked) } else { None }
    }

    fn take_credit(&mut self, packet: u64, acked: u64) -> Option<(TransferId, Credit)> {
        if self.all_due > 0 {
            return Some((0, Credit { bytes: mem::take(&mut self.all_due), ..Credit::default() }));
        }
        while let Some(id) = self.due.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let notice = mem::replace(&mut stream.notice, Notice::Nothing);
            let due = mem::take(&mut stream.due);
            let read = stream.items_read();
            if stream.is_live() {
                stream.reported = read;
                stream.handle_ack(acked);
                stream.note_credit(packet);
                let (items, bytes) = (due.items.unsigned_abs(), due.bytes.unsigned_abs());
                return Some((id, Credit { items, bytes, read: read.unsigned_abs() }));
            }
            if notice == Notice::Progress && !stream.is_gone() {
                return Some((id, Credit { read: read.unsigned_abs(), ..Credit::default() }));
            }
        }
        None
    }

    pub(crate) fn has_credit(&self) -> bool {
        self.all_due > 0 || !self.due.is_empty()
    }

    /// Gives the producer of a stream new credit, if that is half of the window or the producer may need it now.
    pub(super) fn renew(&mut self, id: TransferId) {
        self.grant(id, false);
    }

    /// As [`Self::renew`]; with `at_once`, also if that is less than half of the window.
    fn grant(&mut self, id: TransferId, at_once: bool) {
        let scarce = self.is_scarce();
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_live()) else { return };
        let more = (stream.window - stream.credit - stream.held).max(Amount::default());
        let is_worth_a_frame = more.doubled().reaches(stream.window) || (at_once && more != Amount::default());
        // While credit is scarce, the producer may wait for nothing but the word that all is read.
        let is_awaited = scarce && stream.has_unreported();
        if is_worth_a_frame || is_awaited {
            stream.credit += more;
            stream.due += more;
            self.push_due(id);
        }
    }

    /// Gives all producers together new credit, if that is half of their window.
    pub(super) fn renew_all(&mut self) {
        let more = self.all_window - self.all_credit - self.all_held;
        if more * 2 >= self.all_window {
            self.all_credit += more;
            self.all_due += more.unsigned_abs();
        }
    }

    /// Whether so little credit is left for all streams together that a producer may send only what keeps its reader
    /// busy.
    pub(super) fn is_scarce(&self) -> bool {
        self.all_credit <= self.all_window / SCARCE
    }

    /// The producer is to hear how far the reader is, even if it has finished the stream: the producer's call may wait
    /// for that.
    pub(super) fn report(&mut self, id: TransferId) {
        self.push_due(id);
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.notice == Notice::Credit) {
            stream.notice = Notice::Progress;
        }
    }

    /// Puts a stream into the queue of notices.
    pub(super) fn push_due(&mut self, id: TransferId) {
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.notice == Notice::Nothing) {
            stream.notice = Notice::Credit;
            self.due.push_back(id);
        }
    }
}
