//! Translates errors and close frames of the WebSocket library to errors of a session.

use std::io;

use tokio_tungstenite::tungstenite::{
    error::{CapacityError, Error, ProtocolError as Violation},
    protocol::{CloseFrame, frame::coding},
};

use crate::{
    error::{CloseCode, ProtocolError},
    session::transport::TransportError,
};

/// "No status received", which is never sent (RFC 6455 §7.4.1).
const NO_STATUS: CloseCode = CloseCode(1005);
/// The library answers a forbidden close code with 1002 and this reason, and returns its answer instead of the frame
/// that came in.
const BAD_CODE: &str = "Protocol violation";

/// Translates an error that ended a WebSocket. `text_seen` tells whether invalid UTF-8 was in a text message or in the
/// reason of a close frame.
pub(crate) fn failure(error: Error, text_seen: bool) -> TransportError {
    match error {
        Error::Io(error) => TransportError::Lost(lost(&error)),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => TransportError::Protocol(
            ProtocolError::too_big(format!("a message of {size} bytes or more, where at most {max_size} are taken")),
        ),
        Error::Utf8(_) if text_seen => TransportError::Protocol(text()),
        Error::Utf8(_) => violation("the reason of a close frame is not UTF-8"),
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
        other => violation(&other.to_string()),
    }
}

/// Translates a close frame of the other side.
pub(crate) fn goodbye(frame: Option<CloseFrame>) -> TransportError {
    match frame {
        Some(CloseFrame { code: coding::CloseCode::Protocol, reason }) if reason == BAD_CODE => {
            violation("a close frame with a code that must not be sent (RFC 6455 §7.4)")
        }
        Some(frame) => TransportError::Closed { code: CloseCode(frame.code.into()), reason: frame.reason.to_string() },
        None => TransportError::Closed { code: NO_STATUS, reason: String::new() },
    }
}

/// The error for text messages, which are refused (RFC 6455 §7.4.1: 1003).
pub(super) fn text() -> ProtocolError {
    ProtocolError::unsupported("a text message, where only binary ones are taken")
}

fn violation(what: &str) -> TransportError {
    TransportError::Protocol(ProtocolError::new(what))
}

fn describe(found: &Violation) -> &str {
    match found {
        Violation::UnmaskedFrameFromClient => "a frame from the client is not masked (RFC 6455 §5.1)",
        Violation::MaskedFrameFromServer => "a frame from the server is masked (RFC 6455 §5.1)",
        Violation::NonZeroReservedBits => "a frame has reserved bits set, and no extension was agreed (RFC 6455 §5.2)",
        Violation::InvalidOpcode(_) | Violation::UnknownControlFrameType(_) | Violation::UnknownDataFrameType(_) => {
            "a frame has a reserved opcode (RFC 6455 §5.2)"
        }
        Violation::FragmentedControlFrame => "a control frame is fragmented (RFC 6455 §5.5)",
        Violation::ControlFrameTooBig => "a control frame has more than 125 bytes (RFC 6455 §5.5)",
        Violation::UnexpectedContinueFrame => "a continuation without a message to continue (RFC 6455 §5.4)",
        Violation::ExpectedFragment(_) => "a new message before the end of a fragmented one (RFC 6455 §5.4)",
        Violation::ReceivedAfterClosing => "data after the close frame (RFC 6455 §5.5.1)",
        Violation::InvalidCloseSequence => "a close frame of one byte (RFC 6455 §5.5.1)",
        _ => "the WebSocket framing is broken",
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
