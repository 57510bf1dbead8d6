//! `WebSocketHandler`: what a user writes to serve WebSockets. `IntoWebSocketHandler`: what else can serve them.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use rpc_core::{
    async_trait,
    raw::{CloseFrame, Connection, RawError, RawSocket, Text},
};

use super::run::serve;

/// Serves WebSockets by what comes in. One object serves all connections of a [`websocket`](super::websocket).
///
/// The methods of one connection are called one after the other, each when the one before has returned:
/// [`on_open`](Self::on_open) first and once, [`on_close`](Self::on_close) last and once, in every case. While a
/// method runs, the connection goes on to write, to answer pings and, up to a bound, to read ahead. A method runs to
/// its end, also if the connection ends meanwhile; `connection.closed()` tells the method so. If a method panics, no
/// more messages of the connection are handled, it is closed with code 1011, and `on_close` is called.
///
/// At a route of a [`Server`](crate::Server), a shutdown waits for the methods as long as
/// [`Config::drain_timeout`](rpc_core::Config::drain_timeout) allows, and a server whose last handle is dropped waits
/// for a second. Then the method that still runs is dropped, no other method is called, and the log says so.
///
/// The [`Connection`] can be cloned and kept, for instance in a
/// [`WebSocketCollection`](super::WebSocketCollection).
#[async_trait]
pub trait WebSocketHandler: Send + Sync + 'static {
    /// The connection is open. Nothing that comes in is handled before this returns.
    async fn on_open(&self, connection: &Connection) {
        let _ = connection;
    }

    /// A text message has come.
    async fn on_text(&self, connection: &Connection, text: Text) {
        let _ = (connection, text);
    }

    /// A binary message has come.
    async fn on_binary(&self, connection: &Connection, bytes: Bytes) {
        let _ = (connection, bytes);
    }

    /// A ping has come, and has been answered. In a flood of pings, some are not reported.
    async fn on_ping(&self, connection: &Connection, payload: Bytes) {
        let _ = (connection, payload);
    }

    /// A pong has come. The keepalive's own pings are empty, and so are their pongs.
    async fn on_pong(&self, connection: &Connection, payload: Bytes) {
        let _ = (connection, payload);
    }

    /// The connection ends other than by a goodbye: it is lost or silent, the other side broke a rule or a limit, or
    /// this side has aborted it, as a collection does with a member that does not keep up. `on_close` follows.
    async fn on_error(&self, connection: &Connection, error: &RawError) {
        let _ = (connection, error);
    }

    /// The connection has ended. `goodbye` is the close frame of the other side, if one has come.
    async fn on_close(&self, connection: &Connection, goodbye: Option<&CloseFrame>) {
        let _ = (connection, goodbye);
    }
}

/// What [`websocket`](super::websocket) takes: a [`WebSocketHandler`], one in an [`Arc`], or an `async fn` of a
/// [`RawSocket`]. `Kind` tells the two kinds apart, and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot serve WebSockets",
    note = "a handler is a type that implements `WebSocketHandler`, or a function that takes a `RawSocket` by value and returns nothing: `async fn echo(mut socket: RawSocket)`",
    note = "such a function's future is `Send`"
)]
pub trait IntoWebSocketHandler<Kind>: Sized {
    #[doc(hidden)]
    fn into_serve(self) -> Serve;
}

/// The kind of a [`WebSocketHandler`].
#[derive(Debug)]
pub enum ByEvents {}

/// The kind of a [`WebSocketHandler`] in an [`Arc`].
#[derive(Debug)]
pub enum ByShared {}

/// The kind of an `async fn` of a [`RawSocket`].
#[derive(Debug)]
pub enum ByFunction {}

/// Serves one connection to its end.
pub(super) type Serve = Arc<dyn Fn(RawSocket) -> BoxFuture<'static, ()> + Send + Sync>;

impl<H: WebSocketHandler> IntoWebSocketHandler<ByEvents> for H {
    fn into_serve(self) -> Serve {
        Arc::new(self).into_serve()
    }
}

impl<H: WebSocketHandler> IntoWebSocketHandler<ByShared> for Arc<H> {
    fn into_serve(self) -> Serve {
        Arc::new(move |socket| serve(Arc::clone(&self), socket).boxed())
    }
}

/// When the function returns, what is queued is written and the connection is closed with code 1000; if it panics, with
/// 1011.
impl<F, R> IntoWebSocketHandler<ByFunction> for F
where
    F: Fn(RawSocket) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn into_serve(self) -> Serve {
        Arc::new(move |socket| self(socket).boxed())
    }
}
