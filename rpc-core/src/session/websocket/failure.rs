//! Translates errors and close frames of the WebSocket library to errors of a session.

use std::io;

use tokio_tungstenite::tungstenite::{
    error::{CapacityError, Error, ProtocolError as Violation},
    protocol::{CloseFrame, frame::coding},
};

use crate::{
    error::{CloseCode, HandshakeViolation, WebSocketViolation},
    session::transport::TransportError,
};

/// The library answers a forbidden close code with 1002 and this reason, and returns its answer instead of the frame
/// that came in.
const BAD_CODE: &str = "Protocol violation";

/// Translates an error that ended a WebSocket. `text_seen` tells whether invalid UTF-8 was in a text message or in the
/// reason of a close frame.
pub(crate) fn failure(error: Error, text_seen: bool) -> TransportError {
    match error {
        Error::Io(error) => TransportError::Lost(lost(&error)),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            violation(WebSocketViolation::MessageTooLong { len: size, max: max_size })
        }
        Error::Utf8(_) if text_seen => violation(WebSocketViolation::Text),
        Error::Utf8(_) => violation(WebSocketViolation::ReasonNotUtf8),
        Error::Protocol(Violation::ResetWithoutClosingHandshake) => {
            TransportError::Lost("the other side ended the connection without closing the WebSocket".into())
        }
        Error::Protocol(Violation::SendAfterClosing) | Error::ConnectionClosed | Error::AlreadyClosed => {
            TransportError::Lost("the WebSocket is closed already".into())
        }
        Error::WriteBufferFull(_) => {
            TransportError::Lost("more was queued for writing than the write buffer may hold".into())
        }
        Error::Protocol(found) => violation(describe(&found)),
        // The other errors are about HTTP requests and TLS, and do not come from an open WebSocket.
        _ => violation(WebSocketViolation::Framing),
    }
}

/// Translates a close frame of the other side.
pub(crate) fn goodbye(frame: Option<CloseFrame>) -> TransportError {
    match frame {
        Some(CloseFrame { code: coding::CloseCode::Protocol, reason }) if reason == BAD_CODE => {
            violation(WebSocketViolation::ForbiddenCode)
        }
        Some(frame) => TransportError::Closed { code: CloseCode(frame.code.into()), reason: frame.reason.to_string() },
        None => TransportError::Closed { code: CloseCode::NO_STATUS, reason: String::new() },
    }
}

/// The end of a WebSocket on which more came before the handshake was done than `max` bytes.
pub(super) fn handshake_too_long(max: usize) -> TransportError {
    TransportError::Protocol(HandshakeViolation::TooLong { max }.into())
}

/// The end of a WebSocket whose other side broke this rule.
pub(super) fn violation(violation: WebSocketViolation) -> TransportError {
    TransportError::Protocol(violation.into())
}

fn describe(found: &Violation) -> WebSocketViolation {
    match found {
        Violation::UnmaskedFrameFromClient => WebSocketViolation::Unmasked,
        Violation::MaskedFrameFromServer => WebSocketViolation::Masked,
        Violation::NonZeroReservedBits => WebSocketViolation::ReservedBits,
        Violation::InvalidOpcode(_) | Violation::UnknownControlFrameType(_) | Violation::UnknownDataFrameType(_) => {
            WebSocketViolation::ReservedOpcode
        }
        Violation::FragmentedControlFrame => WebSocketViolation::FragmentedControl,
        Violation::ControlFrameTooBig => WebSocketViolation::ControlTooLong,
        Violation::UnexpectedContinueFrame => WebSocketViolation::StrayContinuation,
        Violation::ExpectedFragment(_) => WebSocketViolation::UnfinishedMessage,
        Violation::ReceivedAfterClosing => WebSocketViolation::DataAfterClose,
        Violation::InvalidCloseSequence => WebSocketViolation::CloseOfOneByte,
        _ => WebSocketViolation::Framing,
    }
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "the connection was reset by the other side or on the way".into(),
        io::ErrorKind::BrokenPipe => "the other side has ended the connection".into(),
        io::ErrorKind::UnexpectedEof => "the connection ended in the middle of the stream".into(),
        io::ErrorKind::TimedOut => "the network gave up on the connection".into(),
        _ => error.to_string(),
    }
}
