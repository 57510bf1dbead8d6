//! `UpgradeBody`: what follows the head of an answer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

/// The body of an answer to a request for the WebSocket: empty if the request is upgraded, otherwise a sentence that
/// says what to do. HTTP servers on hyper, axum among them, take it as it is.
#[derive(Debug, Default)]
pub struct UpgradeBody {
    bytes: Full<Bytes>,
}

impl UpgradeBody {
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self { bytes: Full::new(text.into()) }
    }

    pub(crate) fn into_bytes(self) -> Full<Bytes> {
        self.bytes
    }
}

impl Body for UpgradeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.bytes).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}
