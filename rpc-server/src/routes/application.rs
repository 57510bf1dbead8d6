//! `Application`: a service of the application behind a route.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use rpc_core::{logging::LogLimit, text::excerpt_of};
use tokio::time::Instant;
use tower_service::Service;
use tracing::warn;

use super::{
    body::{FrontBody, RequestBody},
    health::text,
};

/// A service that a server can have at a path: any tower service of HTTP requests, for instance an axum `Router`. All
/// such services implement this trait; do not implement it yourself.
///
/// Each request is served by a clone of the service. A request's extensions have the client's
/// [`SocketAddr`](std::net::SocketAddr) where it is known. If a service fails, the answer is 500, and the log says why.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot serve the requests of a path",
    note = "a route is a tower service: Service<Request<RequestBody>, Response = Response<B>>, which is Clone + Send + Sync",
    note = "an axum `Router` is one once its state is set: Router::with_state"
)]
pub trait RouteService: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    fn answer(self, request: Request<RequestBody>) -> impl Future<Output = Response<FrontBody>> + Send;
}

impl<S, B> RouteService for S
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    async fn answer(mut self, request: Request<RequestBody>) -> Response<FrontBody> {
        let answered = match poll_fn(|cx| self.poll_ready(cx).map_err(Into::into)).await {
            Ok(()) => self.call(request).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        match answered {
            Ok(response) => response.map(FrontBody::application),
            Err(error) => failed(&*error),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Response<FrontBody>> + Send>>;

/// A service of the application, of any type.
#[derive(Clone)]
pub(crate) struct Application {
    answer: Arc<dyn Fn(Request<RequestBody>) -> Answer + Send + Sync>,
}

impl Application {
    pub(crate) fn new(service: impl RouteService) -> Self {
        Self { answer: Arc::new(move |request| Box::pin(service.clone().answer(request))) }
    }

    pub(crate) fn answer(&self, request: Request<RequestBody>) -> Answer {
        (self.answer)(request)
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").finish_non_exhaustive()
    }
}

fn failed(error: &(dyn Error + Send + Sync)) -> Response<FrontBody> {
    static FAILURES: LogLimit = LogLimit::new();
    if let Some(more) = FAILURES.admit(Instant::now().into_std()) {
        warn!("a route of the application failed: {}{more}", excerpt_of(&error));
    }
    text(StatusCode::INTERNAL_SERVER_ERROR, "The application failed to answer. Its log says why.\n")
}
