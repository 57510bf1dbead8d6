//! `Front`: what a server answers at which path, as one service.

mod answer;

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use tower_service::Service;

pub(crate) use self::answer::{Arrival, answer};
use crate::{
    routes::{FrontBody, RequestBody},
    shared::KeepAlive,
    upgrade::peer_addr,
};

/// All that a server serves, as one service for another HTTP server: the sessions at their path, the routes of the
/// application, the health routes. [`Server::front`](crate::Server::front) makes it.
///
/// A listener of the server has the same paths. Where another HTTP server has routes of its own, mount the sessions
/// alone: [`Server::upgrade`](crate::Server::upgrade), whose documentation says what that HTTP server must do.
///
/// Cheap to clone. Each clone is a handle of the server, which ends when the last of its handles is dropped.
#[derive(Clone, Debug)]
pub struct Front {
    alive: Arc<KeepAlive>,
}

impl Front {
    pub(crate) fn new(alive: Arc<KeepAlive>) -> Self {
        Self { alive }
    }
}

impl<B> Service<Request<B>> for Front
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<FrontBody>;
    type Error = Infallible;
    type Future = FrontFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> FrontFuture {
        let peer_addr = peer_addr(request.extensions(), None);
        let shared = Arc::clone(&self.alive.shared);
        let request = request.map(RequestBody::other);
        let arrival = Arrival { peer_addr, reads_headers: true, place: None, kept: None };
        FrontFuture { answer: Box::pin(answer(shared, request, arrival)) }
    }
}

/// The answer of a [`Front`], as a future. Nothing happens before its first poll. Dropping it before it is ready gives
/// the request up without an answer.
#[must_use = "a request is not answered unless the future is polled"]
pub struct FrontFuture {
    answer: Pin<Box<dyn Future<Output = Response<FrontBody>> + Send>>,
}

impl Future for FrontFuture {
    type Output = Result<Response<FrontBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for FrontFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontFuture").finish_non_exhaustive()
    }
}
