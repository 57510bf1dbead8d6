//! `Socket`: the WebSocket library over a metered stream. The library's state exists only while it has something to do.
//!
//! The library clears its read buffer before each attempt to read, and a state of the library holds that buffer as long
//! as it lives. So the socket itself reads, into a buffer that the thread lends, and feeds the library from there when
//! something has come. [`Framing`](super::framing::Framing) counts the messages that have come whole, so that the
//! library is not asked for a message that is not there.
//!
//! A socket is *at rest* when a new state of the library would do as well as its own:
//!
//! - all that was read has been given to the library, and it has given out all messages of it,
//! - no message and no frame has begun without having ended,
//! - all that was written has been flushed, answers to pings included,
//! - neither end has begun to close, and nothing has failed.
//!
//! A socket at rest gives its state back to its thread's [`pool`], and takes one when it has to read or write again.

use std::{
    io::{self, Read, Write},
    mem,
    task::Poll,
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{
    Message,
    error::Error,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

use super::{
    metered::Metered,
    pool::{self, READ, State},
    unread::Unread,
};

/// A state has grown when it has taken a longer message, or has held more for writing.
const SHORT: usize = 16 * 1024;
/// When a state has taken or held more than this, it is not kept for another connection.
const LONG: usize = 128 * 1024;

/// Reads and writes messages. A write that would wait fails with `WouldBlock`, and the stream's waker is called later.
#[derive(Debug)]
pub(crate) struct Socket<IO> {
    metered: Metered<IO>,
    role: Role,
    settings: WebSocketConfig,
    /// None while the socket is at rest.
    state: Option<State>,
    unread: Unread,
    /// The most bytes that are read at once.
    most: usize,
    /// The number of messages and control frames that the library has given out.
    taken: u64,
    /// Whether the library has given a message out and has not looked at what came behind the message.
    has_given: bool,
    /// Bytes of the messages that were written since the last flush.
    unflushed: usize,
    /// Whether something has been handed to the library, or queued by it, that is not flushed.
    is_dirty: bool,
    /// Whether the library has queued an answer to a ping, which reading sends.
    owes_pong: bool,
    /// The longest message that the state has taken, or the most that it has held for writing. At rest, the same
    /// of the state before.
    longest: usize,
    has_failed: bool,
}

impl<IO> Socket<IO> {
    /// Reads `leftover` first, which `metered` has counted already.
    pub(crate) fn new(metered: Metered<IO>, leftover: &[u8], role: Role, settings: WebSocketConfig) -> Self {
        Self {
            metered,
            role,
            settings,
            state: None,
            unread: Unread::copied(leftover),
            most: READ,
            taken: 0,
            has_given: false,
            unflushed: 0,
            is_dirty: false,
            owes_pong: false,
            longest: 0,
            has_failed: false,
        }
    }

    pub(crate) fn metered(&self) -> &Metered<IO> {
        &self.metered
    }

    pub(crate) fn metered_mut(&mut self) -> &mut Metered<IO> {
        &mut self.metered
    }

    /// Limits the bytes that are read at once; 32 KiB at first, which is the most.
    pub(crate) fn limit_reads(&mut self, most: usize) {
        self.most = most;
    }

    /// Changes the settings. The length of the library's read buffer must stay.
    pub(crate) fn set_config(&mut self, change: impl FnOnce(&mut WebSocketConfig)) {
        change(&mut self.settings);
        if let Some(state) = &mut self.state {
            state.library.set_config(|own| *own = self.settings);
        }
    }

    /// Reading stops for a while: what has been read and not been taken keeps no longer buffer than it needs.
    pub(crate) fn settle(&mut self) {
        self.unread.settle();
    }

    /// Whether the socket holds no buffers.
    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.state.is_none() && self.held() == 0
    }

    /// The length of the buffer that holds what has been read and not been taken.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.unread.held()
    }

    /// Gives the library's state back, if the socket is at rest.
    fn rest(&mut self) {
        let framing = self.metered.framing();
        let has_taken_all = self.unread.is_empty() && framing.unfinished() == 0 && framing.completed() == self.taken;
        if !has_taken_all || self.is_dirty || self.has_failed {
            return;
        }
        if let Some(mut state) = self.state.take_if(|state| state.library.can_write()) {
            state.has_grown |= self.longest > SHORT;
            if self.longest <= LONG {
                pool::keep_state(self.role, state);
            }
        }
    }

    /// The library's state, and what it reads from and writes to.
    fn library(&mut self) -> (&mut WebSocketContext, Feed<'_, IO>) {
        let state = self.state.get_or_insert_with(|| {
            let has_long_messages = mem::take(&mut self.longest) > SHORT;
            pool::state(self.role, &self.settings, has_long_messages)
        });
        (&mut state.library, Feed { metered: &mut self.metered, unread: &mut self.unread, end: None })
    }

    /// Notes an error that is final.
    fn note<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.has_failed |= result.as_ref().is_err_and(|error| !would_block(error));
        result
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Socket<IO> {
    /// Reads the next message. Answers to pings go out with the next read, unless a write or a flush sends them first.
    pub(crate) fn poll_read(&mut self) -> Poll<Result<Message, Error>> {
        loop {
            let mut end = None;
            if self.unread.is_empty() && self.metered.framing().completed() == self.taken {
                self.answer()?;
                // Most often a caller has woken the task, and there is nothing to read.
                let may_read = self.metered.may_read();
                let filled = if may_read { self.unread.poll_fill(&mut self.metered, self.most) } else { Poll::Pending };
                match filled {
                    // Nothing may ever come behind the header of a frame that is refused for its header.
                    Poll::Pending if self.has_given && self.metered.framing().unfinished() > 0 => {}
                    Poll::Pending => {
                        if may_read {
                            self.rest();
                        }
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(read)) if read > 0 => {}
                    Poll::Ready(over) => end = Some(over),
                }
            }
            let (library, mut feed) = self.library();
            feed.end = end;
            let read = library.read(&mut feed);
            self.has_given = read.is_ok();
            match read {
                // The library has taken all that was read, and needs more for the next message.
                Err(error) if would_block(&error) => self.taken = self.metered.framing().completed(),
                Err(error) => return Poll::Ready(self.note(Err(error))),
                Ok(message) => {
                    self.taken += 1;
                    self.longest = self.longest.max(message.len());
                    self.owes_pong |= message.is_ping();
                    self.is_dirty |= message.is_ping() || message.is_close();
                    return Poll::Ready(Ok(message));
                }
            }
        }
    }

    /// Takes a message, which may stay in a buffer until it is flushed. The library takes it also if it would block.
    pub(crate) fn write(&mut self, message: Message) -> Result<(), Error> {
        let unflushed = self.unflushed.saturating_add(message.len());
        let (library, mut feed) = self.library();
        let written = library.write(&mut feed, message);
        (self.is_dirty, self.unflushed) = (true, unflushed);
        self.longest = self.longest.max(unflushed);
        self.note(written)
    }

    /// Writes everything out.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if !self.is_dirty {
            return Ok(());
        }
        let (library, mut feed) = self.library();
        let flushed = library.flush(&mut feed);
        if flushed.is_ok() {
            (self.is_dirty, self.owes_pong, self.unflushed) = (false, false, 0);
            self.rest();
        }
        self.note(flushed)
    }

    /// Queues a close frame and flushes. If the other side's close frame has come, the answer to it is queued already,
    /// and goes out instead.
    pub(crate) fn close(&mut self, frame: CloseFrame) -> Result<(), Error> {
        self.is_dirty = true;
        let (library, mut feed) = self.library();
        let closed = library.close(&mut feed, Some(frame));
        self.note(closed)
    }

    /// Sends the answer to a ping, as far as the stream takes it.
    fn answer(&mut self) -> Result<(), Error> {
        match self.owes_pong.then(|| self.flush()) {
            Some(Err(error)) if !would_block(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// What the library reads: bytes that were read before it was asked, and then nothing for now, or the end. It writes
/// straight to the stream.
struct Feed<'a, IO> {
    metered: &'a mut Metered<IO>,
    unread: &'a mut Unread,
    /// How the stream has ended.
    end: Option<io::Result<usize>>,
}

impl<IO> Read for Feed<'_, IO> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            return self.end.take().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()));
        }
        Ok(self.unread.take(into))
    }
}

impl<IO: AsyncWrite + Unpin> Write for Feed<'_, IO> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.metered.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.metered.flush()
    }
}

pub(crate) fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}
