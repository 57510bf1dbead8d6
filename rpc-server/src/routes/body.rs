//! `RequestBody` and `FrontBody`: what follows the heads of requests and answers.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::caps::Visit;

/// Why reading a body failed.
type BodyError = Box<dyn Error + Send + Sync>;

/// The body of a request to a route of an application. HTTP frameworks on hyper, axum among them, take this body as it
/// is.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Connection(Incoming),
    Other(UnsyncBoxBody<Bytes, BodyError>),
}

impl RequestBody {
    /// The body of a request that came by a listener of this crate.
    pub(crate) fn incoming(body: Incoming) -> Self {
        Self { source: Source::Connection(body) }
    }

    /// The body of a request of another HTTP server.
    pub(crate) fn other<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Self { source: Source::Other(UnsyncBoxBody::new(body.map_err(Into::into))) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Connection(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Connection(body) => body.is_end_stream(),
            Source::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Connection(body) => body.size_hint(),
            Source::Other(body) => body.size_hint(),
        }
    }
}

/// The body of an answer of a [`Front`](crate::Front): of the server itself, or of a route of the application.
pub struct FrontBody {
    content: Content,
    /// The place of the request, until the answer has been sent or given up.
    visit: Option<Visit>,
}

enum Content {
    Own(Full<Bytes>),
    Application(UnsyncBoxBody<Bytes, BodyError>),
}

impl FrontBody {
    pub(crate) fn own(bytes: Full<Bytes>) -> Self {
        Self { content: Content::Own(bytes), visit: None }
    }

    pub(crate) fn application<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Self { content: Content::Application(UnsyncBoxBody::new(body.map_err(Into::into))), visit: None }
    }

    pub(crate) fn with_visit(self, visit: Option<Visit>) -> Self {
        Self { visit, ..self }
    }
}

impl Body for FrontBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Own(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Content::Application(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(body) => body.is_end_stream(),
            Content::Application(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(body) => body.size_hint(),
            Content::Application(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for FrontBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontBody").field("visit", &self.visit).finish_non_exhaustive()
    }
}
