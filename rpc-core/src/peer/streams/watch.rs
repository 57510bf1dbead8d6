//! `StreamWatch`: counts the items of a result's stream for the interceptors of its call.

use std::fmt;

use crate::{
    panics::{Panicked, catch},
    proto::{StreamEnd, StreamError},
    status::Status,
};

/// What has become of the stream of a result, as [`Reply::on_stream_end`](crate::intercept::Reply::on_stream_end) tells
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSummary {
    /// The number of items: at the side that produces the stream the items that were encoded, at the side that reads it
    /// the items that were read.
    pub items: u64,
    /// The number of bytes of these items, as they are encoded.
    pub bytes: u64,
    /// How the stream ended.
    pub outcome: StreamOutcome,
}

/// How the stream of a result ended, at the side that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamOutcome {
    /// The producer has finished it; at the reader, all items have been read as well.
    Finished,
    /// The producer has ended it with a fault of the contract.
    Fault,
    /// It has failed: the producer has ended it with this status or panicked, an item could not be sent, or the session
    /// has ended.
    Failed(Status),
    /// It was dropped before its end. At the producer: its reader has dropped it, or a drain has cut it off. At the
    /// reader: the program has dropped it, or an item did not decode.
    Stopped,
}

/// What is called once with the summary.
type OnStreamEnd = Box<dyn FnOnce(&StreamSummary) + Send + Sync>;

/// Counts the items of one stream, and reports its end when it is dropped. Most streams are not watched.
#[derive(Default)]
pub(crate) struct StreamWatch(Option<Box<Watched>>);

#[derive(Default)]
struct Watched {
    items: u64,
    bytes: u64,
    /// `None` before the end.
    outcome: Option<StreamOutcome>,
    reports: Vec<OnStreamEnd>,
}

impl StreamWatch {
    pub(crate) fn report_to(&mut self, report: OnStreamEnd) {
        self.0.get_or_insert_default().reports.push(report);
    }

    /// Reports nothing, because there is no stream.
    pub(crate) fn forget(mut self) {
        self.0 = None;
    }

    /// Counts an item.
    #[inline]
    pub(super) fn count(&mut self, len: usize) {
        if let Some(watched) = &mut self.0 {
            watched.items += 1;
            watched.bytes += len as u64;
        }
    }

    /// Notes how the stream ended. The first end stays.
    pub(super) fn note(&mut self, end: &StreamEnd) {
        if let Some(watched) = &mut self.0 {
            watched.outcome.get_or_insert_with(|| match end {
                Ok(()) => StreamOutcome::Finished,
                Err(StreamError::Fault(_)) => StreamOutcome::Fault,
                Err(StreamError::Status(status)) => StreamOutcome::Failed(status.clone()),
            });
        }
    }
}

impl Drop for StreamWatch {
    fn drop(&mut self) {
        let Some(watched) = self.0.take() else { return };
        let Watched { items, bytes, outcome, reports } = *watched;
        let summary = StreamSummary { items, bytes, outcome: outcome.unwrap_or(StreamOutcome::Stopped) };
        for report in reports {
            if let Err(Panicked) = catch(|| report(&summary)) {
                tracing::error!("an interceptor panicked at the end of a stream");
            }
        }
    }
}

impl fmt::Debug for StreamWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamWatch").field(&self.0.is_some()).finish()
    }
}
