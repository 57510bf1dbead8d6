//! WebSockets by hand, beside contracts or without them.
//!
//! [`websocket`] makes a [`tower_service::Service`] of a handler, for any HTTP server that is built on hyper. A handler
//! is a [`WebSocketHandler`], whose methods are called for what comes in, or an `async fn` that takes the
//! [`RawSocket`].
//!
//! ```
//! use rpc_server::{
//!     async_trait,
//!     raw::{Connection, RawSocket, Text, WebSocketHandler, websocket},
//! };
//!
//! struct Echo;
//!
//! #[async_trait]
//! impl WebSocketHandler for Echo {
//!     async fn on_text(&self, connection: &Connection, text: Text) {
//!         // It fails if the connection is closing; then on_close is called next.
//!         let _ = connection.send(text).await;
//!     }
//! }
//!
//! async fn echo(mut socket: RawSocket) {
//!     while let Some(Ok(message)) = socket.recv().await {
//!         if socket.send(message).await.is_err() {
//!             break;
//!         }
//!     }
//! }
//!
//! let by_events = websocket(Echo).protocols(["echo.v2", "echo.v1"]);
//! let by_function = websocket(echo);
//! ```

mod answer;
mod collection;
mod handler;
mod hosted;
mod run;
mod service;

pub use collection::WebSocketCollection;
pub(crate) use hosted::Hosted;

pub use handler::{ByEvents, ByFunction, ByShared, IntoWebSocketHandler, WebSocketHandler};
pub use service::{WebSocketFuture, WebSocketService, websocket};

pub use rpc_core::raw::{
    CloseFrame, Connection, ConnectionId, Event, Message, RawDriver, RawError, RawInfo, RawLimits, RawReceiver,
    RawSocket, Role, Text,
};
