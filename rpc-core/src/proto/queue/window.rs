//! `Window`: how many calls of a queue are under way.

use std::collections::VecDeque;

use crate::error::{CallViolation, ProtocolError};

/// Calls that may be dropped leave the queue while fewer of them than this are not done …
const CALLS: u64 = 16;
/// … and any calls while fewer bytes than this are under way and not acknowledged. Otherwise permits, the outbox and
/// the kernel's buffers would fill with what is out of date before any policy acts.
const BYTES: usize = 64 * 1024;

/// The calls that have left a queue and are still under way.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Calls that may be dropped: how many have left the queue, and how many are done.
    sent: u64,
    done: u64,
    /// Bytes of all calls that have left the queue and are not acknowledged.
    bytes: usize,
    /// The bytes of calls that have been handed to the transport, by their packets.
    packets: VecDeque<(u64, usize)>,
    /// The session ends, and all may go.
    is_open: bool,
}

impl Window {
    pub(super) fn allows(&self, may_be_dropped: bool) -> bool {
        self.is_open || self.bytes < BYTES && (!may_be_dropped || self.sent - self.done < CALLS)
    }

    /// A call of `len` bytes has left the queue.
    pub(super) fn note_left(&mut self, len: usize, may_be_dropped: bool) {
        self.bytes += len;
        self.sent += u64::from(may_be_dropped);
    }

    /// The last byte of a call is in the packet with this number.
    pub(super) fn note_sent(&mut self, number: u64, len: usize) {
        match self.packets.back_mut() {
            Some((last, bytes)) if *last == number => *bytes += len,
            _ => self.packets.push_back((number, len)),
        }
    }

    /// A call will not be sent, and is not under way any more.
    pub(super) fn note_withdrawn(&mut self, len: usize) {
        self.bytes -= len;
    }

    /// The other side has taken the packets up to this one in.
    pub(super) fn handle_ack(&mut self, acked: u64) {
        while let Some(&(number, bytes)) = self.packets.front() {
            if number > acked {
                break;
            }
            self.packets.pop_front();
            self.bytes -= bytes;
        }
    }

    /// The other side has finished this many of the calls that may be dropped, since the session began.
    pub(super) fn handle_done(&mut self, done: u64) -> Result<(), ProtocolError> {
        if done < self.done || done > self.sent {
            return Err(CallViolation::ImpossibleMarkedDone { count: done, sent: self.sent }.into());
        }
        self.done = done;
        Ok(())
    }

    /// Every call that has left the queue is done, also if the other side does not count them.
    pub(super) fn all_done(&mut self) {
        self.done = self.sent;
    }

    /// Lets all go from now on.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_may_be_dropped_are_few_until_they_are_done() {
        let mut window = Window::default();
        for _ in 0..CALLS {
            assert!(window.allows(true));
            window.note_left(10, true);
        }
        assert!(!window.allows(true) && window.allows(false), "what is never dropped may go");
        window.handle_done(1).unwrap();
        assert!(window.allows(true));
    }

    #[test]
    fn bytes_are_under_way_until_they_are_acknowledged() {
        let mut window = Window::default();
        window.note_left(BYTES - 1, false);
        assert!(window.allows(false), "one call may go beyond");
        window.note_left(BYTES, false);
        window.note_sent(7, BYTES - 1);
        window.handle_ack(7);
        assert!(!window.allows(false), "the second has not gone out");
        window.note_sent(8, BYTES - 10);
        window.note_sent(8, 10);
        window.handle_ack(7);
        assert!(!window.allows(false));
        window.handle_ack(8);
        assert!(window.allows(false) && window.bytes == 0);
    }

    #[test]
    fn reports_that_cannot_be_are_refused() {
        let mut window = Window::default();
        window.note_left(1, true);
        window.note_left(1, false);
        assert!(window.handle_done(2).is_err(), "one of both counts");
        assert!(window.handle_done(1).is_ok() && window.handle_done(1).is_ok());
        assert!(window.handle_done(0).is_err());
    }
}
