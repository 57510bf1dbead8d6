//! WebSockets by hand, beside contracts or without them: [`ClientWebSocket`] connects to any WebSocket server.

mod socket;

pub use rpc_core::raw::{
    CloseFrame, Connection, ConnectionId, Event, Message, RawDriver, RawError, RawInfo, RawLimits, RawReceiver,
    RawSocket, Role, Text,
};
pub use socket::{ClientWebSocket, ClientWebSocketBuilder};
