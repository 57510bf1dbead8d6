//! Errors, split by blame: a failed call, a link that ended, a peer that broke the rules.

mod call;
mod close_code;
mod connection;
mod limits;
mod protocol;

pub use call::CallError;
pub use close_code::CloseCode;
pub use connection::{ConnectionError, Side};
pub use limits::{MemoryLimit, Overload, TimeLimit, Timeout};
pub use protocol::{
    CallViolation, HandshakeViolation, ProtocolError, StreamViolation, TransferViolation, WebSocketViolation,
};
