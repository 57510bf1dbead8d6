//! `Closing`: the closing handshake (RFC 6455 §7.1).

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Sleep, sleep},
};

use super::{
    CloseFrame, Role,
    wire::{Incoming, Wire},
};
use crate::session::yield_now;

/// The time for which input is discarded at the end. Dropping a socket with unread input resets the connection, and the
/// reset may overtake the close frame.
const DISCARD: Duration = Duration::from_secs(1);

/// The steps from this side's close frame, which the wire has taken, to the end of the stream.
#[derive(Debug)]
pub(super) struct Closing {
    step: Step,
    /// Whether the other side's close frame is still to come.
    awaits_answer: bool,
    role: Role,
    deadline: Pin<Box<Sleep>>,
}

#[derive(Debug)]
enum Step {
    Flush,
    /// Waits for the other side's close frame.
    AwaitAnswer,
    /// Waits for the end of the stream, which the server ends first (RFC 6455 §7.1.1).
    AwaitEnd,
    ShutDown,
    Discard(Pin<Box<Sleep>>),
    Done,
}

impl Closing {
    /// `awaits_answer`: this side has said goodbye first, and not because the other side broke the rules.
    pub(super) fn new(role: Role, awaits_answer: bool, limit: Duration) -> Self {
        Self { step: Step::Flush, awaits_answer, role, deadline: Box::pin(sleep(limit)) }
    }

    /// Ready when the stream has ended, or the time is over. Tells of the close frame that answers this side's.
    pub(super) fn poll<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<IO>,
        answered: &mut Option<CloseFrame>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        wire.set_waker(cx);
        while !matches!(self.step, Step::Done) {
            match self.next(wire, answered, cx) {
                Some(next) => self.step = next,
                None => return self.deadline.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }

    /// Takes one step, and gives the next one; `None` if it has to wait.
    fn next<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<IO>,
        answered: &mut Option<CloseFrame>,
        cx: &mut Context<'_>,
    ) -> Option<Step> {
        match &mut self.step {
            Step::Flush => match wire.flush() {
                Ok(false) => None,
                Ok(true) if self.awaits_answer => Some(Step::AwaitAnswer),
                Ok(true) => Some(self.after_goodbyes()),
                Err(_) => Some(Step::ShutDown),
            },
            Step::AwaitAnswer => match wire.read() {
                Ok(None) => None,
                Ok(Some(Incoming::Close(frame))) => {
                    *answered = Some(frame);
                    Some(self.after_goodbyes())
                }
                // What came before the answer is passed over, one event a turn, so that many messages do not keep this
                // thread.
                Ok(Some(Incoming::Event(_))) => {
                    yield_now(cx);
                    None
                }
                Err(_) => Some(Step::ShutDown),
            },
            Step::AwaitEnd => wire.poll_discard(cx).is_ready().then_some(Step::ShutDown),
            Step::ShutDown => match wire.poll_shutdown(cx) {
                Poll::Pending => None,
                Poll::Ready(_) => Some(Step::Discard(Box::pin(sleep(DISCARD)))),
            },
            Step::Discard(timer) => {
                let is_over = wire.poll_discard(cx).is_ready() || timer.as_mut().poll(cx).is_ready();
                is_over.then_some(Step::Done)
            }
            Step::Done => None,
        }
    }

    fn after_goodbyes(&self) -> Step {
        match self.role {
            Role::Server => Step::ShutDown,
            Role::Client => Step::AwaitEnd,
        }
    }
}
