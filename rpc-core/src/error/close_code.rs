//! `CloseCode`: the WebSocket close code of an ending. Which ending has which code is in `connection.rs` and, for
//! breaches of the protocol, in `protocol`. The questions in `connection.rs`, such as `is_retryable`, read from the
//! code what the other end reads from the variant.

use std::fmt;

/// The WebSocket close code that an ending maps to (RFC 6455 §7.4.1; 4000 and up are this protocol's own).
///
/// The constants are the codes that this protocol sends, and three that a WebSocket peer or a proxy may give. Other
/// codes can come too, so a `match` needs a last arm.
///
/// ```
/// use rpc_core::CloseCode;
///
/// let code = CloseCode::from(1013);
/// assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
/// assert_eq!(code.to_string(), "1013 (try again later)");
/// assert_eq!(CloseCode(4999).to_string(), "4999");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

macro_rules! close_codes {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)*) => {
        impl CloseCode {
            $(
                $(#[$doc])*
                pub const $constant: Self = Self($number);
            )*

            /// The meaning of the code, for people: for instance `normal closure`. `None` for a code without a
            /// constant.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$constant => Some($name),)*
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        const ALL: &[(CloseCode, u16)] = &[$((CloseCode::$constant, $number)),*];
    };
}

close_codes! {
    /// The purpose is fulfilled.
    NORMAL = 1000, "normal closure";
    /// The other side goes away, for instance a page that is left. This protocol does not send the code.
    GOING_AWAY = 1001, "going away";
    /// The peer broke the protocol.
    PROTOCOL = 1002, "protocol error";
    /// A text message, where only binary messages are taken.
    UNSUPPORTED = 1003, "unsupported data";
    /// A goodbye that had no code. No close frame carries this number.
    NO_STATUS = 1005, "no status received";
    /// A text message that is not UTF-8. This protocol does not send the code; raw WebSockets do.
    NOT_UTF8 = 1007, "invalid frame payload data";
    /// The other side does not allow what was sent. This protocol does not send the code.
    POLICY_VIOLATION = 1008, "policy violation";
    /// A message larger than announced limits allow.
    TOO_BIG = 1009, "message too big";
    /// The side that closes met a condition that it did not expect. This protocol does not send the code; raw
    /// WebSockets do.
    INTERNAL = 1011, "internal error";
    /// The server restarts or shuts down.
    RESTART = 1012, "service restart";
    /// The side that closes is overloaded; see [`ConnectionError::Overloaded`](super::ConnectionError::Overloaded).
    TRY_AGAIN_LATER = 1013, "try again later";
    /// The handshake was refused; the Welcome packet before it says why.
    REFUSED = 4400, "refused";
    /// The identity of the client has expired, and it was not renewed in time.
    EXPIRED = 4401, "expired";
    /// Another link has taken the place of this one.
    REPLACED = 4409, "replaced";
    /// The side that closes has given the session up, and will not resume it.
    GIVEN_UP = 4410, "given up";
    /// A time limit ran out: handshake, keepalive, a stalled message or a stalled write.
    TIMEOUT = 4408, "timeout";
}

#[cfg(feature = "session")]
impl CloseCode {
    /// Replaces the codes that stand for a missing code and must not be sent (RFC 6455 §7.4.1, §7.4.2). Any code
    /// outside of these ranges goes out as 1000.
    pub(crate) fn sendable(self) -> Self {
        match self.0 {
            1000..=1003 | 1007..=1014 | 3000..=4999 => self,
            _ => Self::NORMAL,
        }
    }
}

impl From<u16> for CloseCode {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    /// The number, and the name if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_show_their_number_and_their_name() {
        for &(code, number) in ALL {
            assert_eq!((CloseCode::from(number), u16::from(code)), (code, number));
            let name = code.name().unwrap();
            assert_eq!(code.to_string(), format!("{number} ({name})"));
        }
        assert_eq!((CloseCode(4999).name(), CloseCode(4999).to_string()), (None, "4999".to_owned()));
    }
}
