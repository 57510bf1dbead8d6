//! WebSockets by hand: text and binary messages, without contracts, calls and sessions.
//!
//! A server mounts them with `rpc_server::raw::websocket`, a client connects with `rpc_client::raw::ClientWebSocket`.
//! This module has what server and client share: the socket, its messages and its limits. [`RawSocket::driven`] puts
//! the socket on any byte stream.
//!
//! The task that moves the bytes answers pings, pings a silent peer itself, and ends the connection if the peer stays
//! silent or does not read. [`RawLimits`] has the limits and times. Extensions, compression among them, are never
//! agreed.

mod closing;
mod connection;
mod driver;
mod error;
mod inbox;
mod info;
mod limits;
mod message;
mod outbox;
mod receiver;
mod shared;
mod socket;
mod timers;
mod wire;

#[cfg(test)]
mod tests;

pub use connection::{Connection, ConnectionId};
pub use driver::RawDriver;
pub use error::RawError;
pub use info::{RawInfo, Role};
pub use limits::RawLimits;
pub use message::{CloseFrame, Event, Message, Text};
pub use receiver::RawReceiver;
pub use socket::RawSocket;
