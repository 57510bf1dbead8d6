//! `Ended`: a handler's end, as it is reported to the connection.

use std::{mem, sync::Arc};

use crate::{
    peer::{SessionShared, StreamWriters, start_streams},
    proto::{self, Charges, ServedKey},
    service::{HandlerOutput, Handling},
    status::Status,
    wire::Streams,
};

/// A handler's end, to be reported under the next lock.
pub(super) struct Ended {
    pub(super) key: ServedKey,
    pub(super) completion: proto::Completion,
    pub(super) charges: Charges,
    /// The session ends with the reply.
    pub(super) terminates: bool,
    /// The streams of its result.
    pub(super) writers: StreamWriters,
}

/// The streams of a result that is on its way, to be started outside any lock.
#[must_use]
pub(super) struct Produced {
    streams: Streams,
    writers: StreamWriters,
}

impl Produced {
    pub(super) fn start(self, shared: &Arc<SessionShared>) {
        start_streams(shared, &self.streams, self.writers);
    }
}

impl Ended {
    /// The end with a status: of a call that is refused, and of one whose handler has run and returned a status. Only a
    /// status with `Execution::NotExecuted` says that no handler has run.
    pub(super) fn with_status(key: ServedKey, status: Status) -> Self {
        Self::because(key, proto::Completion::Status(status))
    }

    pub(super) fn because(key: ServedKey, completion: proto::Completion) -> Self {
        Self { key, completion, charges: Charges::default(), terminates: false, writers: StreamWriters::default() }
    }

    /// The end of a call that `handling` has served.
    #[inline]
    pub(super) fn of(key: ServedKey, handling: &Handling, result: Result<HandlerOutput, Status>) -> Self {
        match result {
            Ok(completion) => {
                let terminates = handling.method.is_terminating() && !completion.is_fault();
                let (completion, charges, writers) = completion.into_parts();
                Self { key, completion, charges, terminates, writers }
            }
            Err(_) if handling.call.call.is_cancelled() && !handling.call.call.has_started() => {
                Self::because(key, proto::Completion::NotStarted)
            }
            Err(status) => Self::with_status(key, status),
        }
    }

    /// Reports the end to the connection, once. Gives the streams of the result, if there are any.
    #[inline]
    pub(super) fn report(&mut self, connection: &mut proto::Connection) -> Option<Produced> {
        let is_plain = self.charges.transfers == 0 && !self.terminates;
        if let (ServedKey::Call(id), proto::Completion::Value(result)) = (self.key, &mut self.completion) {
            if is_plain && connection.complete_plain(id, result, self.charges.room) {
                return None;
            }
        }
        self.report_any(connection)
    }

    #[inline(never)]
    fn report_any(&mut self, connection: &mut proto::Connection) -> Option<Produced> {
        if self.terminates {
            connection.end_after(self.key);
        }
        let completion = mem::replace(&mut self.completion, proto::Completion::Stopped);
        let streams = connection.complete(self.key, completion, mem::take(&mut self.charges));
        let writers = mem::take(&mut self.writers);
        (!writers.is_empty()).then_some(Produced { streams, writers })
    }
}
