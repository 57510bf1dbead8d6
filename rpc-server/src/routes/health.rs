//! `Probe`: what orchestrators ask a server.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;

use super::body::FrontBody;

/// What an orchestrator asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Whether the process lives.
    Health,
    /// Whether new clients are welcome.
    Readiness,
}

impl Probe {
    pub(crate) fn answer(self, method: &Method, is_ready: bool) -> Response<FrontBody> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Ask with GET or HEAD.\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let mut response = match self {
            Self::Health => text(StatusCode::OK, "healthy\n"),
            Self::Readiness if is_ready => text(StatusCode::OK, "ready\n"),
            Self::Readiness => text(StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.\n"),
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// An answer of the server itself.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<FrontBody> {
    let mut response = Response::new(FrontBody::own(Full::new(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
