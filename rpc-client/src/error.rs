//! `ConnectError`: why a connection was not made.

mod retry;

use std::{error, fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use http::StatusCode;
use rpc_core::{
    Code, ConnectionError, HostingError, Status,
    text::{escaped, excerpt},
};

pub(crate) use self::retry::is_retryable_after_session;
use crate::credentials::CredentialError;

/// Why connecting failed. The message says what happened and what to do; no call was made.
///
/// [`is_retryable`](Self::is_retryable) tells a program that connects again whether the same attempt may go better
/// later:
///
/// ```
/// use rpc_client::{ConnectError, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let error = connect("http://127.0.0.1:9000/").await.unwrap_err();
/// assert!(matches!(error, ConnectError::Url { .. }) && !error.is_retryable());
/// assert!(error.to_string().contains("write ws://127.0.0.1:9000/"), "{error}");
/// # Ok(())
/// # }
/// ```
///
/// The guide has a [loop that connects again](rpc_core::guide::errors#connecting-again).
///
/// `Debug` shows the variant and the message, because a `main` that returns an error prints its `Debug`.
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be connected to, for instance because it does not begin with `ws://` or `wss://`.
    Url {
        /// The given URL, without a user name, a password, a query and a fragment, which may be secret.
        url: String,
        /// What is wrong with the URL.
        why: String,
    },
    /// A header that was set on the builder is not valid, is one that the WebSocket handshake itself sets, or announces
    /// a body.
    Header {
        /// The name of the header.
        name: String,
        /// What is wrong with the header.
        why: String,
    },
    /// There is no credential to show, or one that cannot be sent.
    Credentials {
        /// What is wrong.
        source: CredentialError,
    },
    /// The host name leads to no address.
    Resolve {
        /// The name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The machine answers, but nothing listens at the port.
    Refused {
        /// Host and port.
        authority: String,
    },
    /// The machine cannot be reached.
    Unreachable {
        /// Host and port.
        authority: String,
        /// The network's error.
        source: io::Error,
    },
    /// Reaching the server, the TLS handshake and the HTTP upgrade took longer than
    /// [`Config::upgrade_timeout`](rpc_core::Config::upgrade_timeout).
    TimedOut {
        /// Host and port.
        authority: String,
        /// The limit.
        limit: Duration,
        /// The address of the connection, if one was made. Then the answer to the HTTP upgrade did not come.
        reached: Option<SocketAddr>,
    },
    /// The Unix socket that was named with `.unix(..)` cannot be connected to.
    Unix {
        /// The path of the socket file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The function that was given to [`ConnectBuilder::over_with`](crate::ConnectBuilder::over_with) opened no stream.
    Stream {
        /// The function's error.
        source: io::Error,
    },
    /// The proxy on the way to the server made no connection to it ([`Proxy`](crate::Proxy)).
    Proxy {
        /// The proxy's URL, without a user name and a password.
        proxy: String,
        /// What is wrong, and what to do about it.
        why: String,
        /// Whether the same attempt may go better later: the proxy was not there or did not answer in time, or it says
        /// that it is overloaded or cannot reach the server.
        is_temporary: bool,
    },
    /// TLS was not agreed on: a certificate is not accepted at one of the ends, or what answers does not speak TLS.
    Tls {
        /// Host and port.
        authority: String,
        /// What is wrong, and what to do about it.
        why: String,
    },
    /// The connection ended before the HTTP upgrade was done.
    Ended {
        /// Host and port.
        authority: String,
        /// What ended it.
        source: io::Error,
    },
    /// What answered is not a WebSocket server, or does not follow RFC 6455 §4.2.2.
    NotWebSocket {
        /// Host and port.
        authority: String,
        /// What is wrong with its answer.
        why: String,
    },
    /// The server answered with an HTTP status instead of the upgrade.
    Http {
        /// The given URL, without its query.
        url: String,
        /// The status.
        status: StatusCode,
        /// The first line of the answer's body, if the body is plain text.
        body: String,
        /// How long the server asks to be left alone: its header `Retry-After` (RFC 9110 §10.2.3), if that is a number
        /// of seconds.
        retry_after: Option<Duration>,
    },
    /// The server speaks WebSocket, but none of the sub-protocols that this program offers: for a session a version of
    /// this project's protocol, for a raw WebSocket the builder's.
    NoCommonProtocol {
        /// Host and port.
        authority: String,
        /// The sub-protocols that were offered.
        offered: Vec<String>,
        /// The sub-protocols that the server says it serves; may be empty.
        served: Vec<String>,
    },
    /// The server does not host the contract of the stub.
    NotHosted {
        /// The given URL, without its query.
        url: String,
        /// The name of the contract.
        contract: &'static str,
    },
    /// The server hosts the contract of the stub, and offers the contract only to clients that host its callback
    /// contract.
    CallbackNotHosted {
        /// The given URL, without its query.
        url: String,
        /// The name of the contract.
        contract: &'static str,
        /// The name of the callback contract, as the server says.
        callback: String,
    },
    /// The server refused the session and said why.
    Rejected(Status),
    /// The session ended before it was established.
    Session(ConnectionError),
    /// The callbacks cannot be hosted together.
    Hosting(HostingError),
    /// The function that was given to [`ConnectBuilder::on_session`](crate::ConnectBuilder::on_session) failed.
    Setup(Status),
    /// The client cannot connect again as it is set up.
    Reconnect {
        /// What is wrong.
        why: &'static str,
    },
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Url { .. } => "Url",
            Self::Header { .. } => "Header",
            Self::Credentials { .. } => "Credentials",
            Self::Resolve { .. } => "Resolve",
            Self::Refused { .. } => "Refused",
            Self::Unreachable { .. } => "Unreachable",
            Self::TimedOut { .. } => "TimedOut",
            Self::Unix { .. } => "Unix",
            Self::Stream { .. } => "Stream",
            Self::Proxy { .. } => "Proxy",
            Self::Tls { .. } => "Tls",
            Self::Ended { .. } => "Ended",
            Self::NotWebSocket { .. } => "NotWebSocket",
            Self::Http { .. } => "Http",
            Self::NoCommonProtocol { .. } => "NoCommonProtocol",
            Self::NotHosted { .. } => "NotHosted",
            Self::CallbackNotHosted { .. } => "CallbackNotHosted",
            Self::Rejected(_) => "Rejected",
            Self::Session(_) => "Session",
            Self::Hosting(_) => "Hosting",
            Self::Setup(_) => "Setup",
            Self::Reconnect { .. } => "Reconnect",
        };
        write!(f, "{variant}: {self}")
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, why } => write!(f, "cannot connect to {url:?}: {why}"),
            Self::Header { name, why } => write!(f, "the header {name:?} cannot be sent: {why}"),
            Self::Credentials { source } => {
                write!(f, "there is no credential to show: {source}; see to what was given to .credentials(..)")
            }
            Self::Resolve { host, source } => {
                write!(f, "the host name {host:?} leads to no address ({source}); check its spelling and the network")
            }
            Self::Refused { authority } => {
                write!(f, "nothing listens at {authority}; check the port, and whether the server runs")
            }
            Self::Unreachable { authority, source } => {
                write!(f, "cannot reach {authority}: {source}; check the address, the network and firewalls")
            }
            Self::TimedOut { authority, limit, reached: None } => {
                write!(
                    f,
                    "cannot reach {authority} within {limit:?} (Config::upgrade_timeout); check the address, the network and firewalls"
                )
            }
            Self::TimedOut { authority, limit, reached: Some(addr) } => write!(
                f,
                "{authority} took the connection (at {addr}) and did not answer the WebSocket handshake within {limit:?} \
                 (Config::upgrade_timeout); \
                 check that this port is the RPC server's, and that it is not overloaded"
            ),
            Self::Ended { authority, source } => write!(
                f,
                "{authority} ended the connection before the WebSocket handshake was done: {source}; \
                 it may be overloaded or shutting down, or expect wss:// in place of ws://, or the reverse"
            ),
            Self::Unix { path, source } => {
                let advice = match source.kind() {
                    io::ErrorKind::PermissionDenied => "check the permissions of the socket file and its folder",
                    _ => "check the path, and whether the server runs",
                };
                write!(f, "cannot connect to the Unix socket {path:?}: {source}; {advice}")
            }
            Self::Stream { source } => write!(f, "the function of .over_with(..) opened no stream: {source}"),
            Self::Proxy { proxy, why, .. } => {
                write!(f, "no connection through the proxy {}: {}", excerpt(proxy), escaped(why))
            }
            Self::Tls { authority, why } => write!(f, "no TLS with {authority}: {}", escaped(why)),
            Self::NotWebSocket { authority, why } => {
                write!(
                    f,
                    "what answers at {authority} is not a WebSocket server: {}; check host, port and path",
                    escaped(why)
                )
            }
            Self::Http { url, status, body, .. } => {
                write!(f, "{url} answered HTTP {status} instead of the WebSocket: {}", advice(*status))?;
                if body.is_empty() { Ok(()) } else { write!(f, " (it says: {})", escaped(body)) }
            }
            Self::NoCommonProtocol { authority, offered, served } if offered.is_empty() => write!(
                f,
                "{authority} speaks {}, and none was offered; offer sub-protocols with .protocols(..), \
                 or check host, port and path",
                excerpt(&served.join(" or "))
            ),
            Self::NoCommonProtocol { authority, offered, served } if served.is_empty() => {
                write!(
                    f,
                    "{authority} is a WebSocket server that does not serve {}; check host, port and path",
                    excerpt(&offered.join(" or "))
                )
            }
            Self::NoCommonProtocol { authority, offered, served } => write!(
                f,
                "{authority} does not serve {}, but {}; use versions of the library that have one in common",
                excerpt(&offered.join(" or ")),
                excerpt(&served.join(", "))
            ),
            Self::NotHosted { url, contract } => write!(
                f,
                "the server at {url} does not host the contract `{contract}`; \
                 add it there with .service({contract}::serve(object)), or check host and port"
            ),
            Self::CallbackNotHosted { url, contract, callback } => {
                let callback = excerpt(callback);
                write!(
                    f,
                    "the server at {url} offers the contract `{contract}` only to clients that host the callback contract \
                     `{callback}`, and this client does not; connect with .callback({callback}::serve(object))"
                )
            }
            Self::Rejected(status) => {
                write!(f, "the server refused the session ({}): {}", status.code(), escaped(status.message()))?;
                if status.code() == Code::Unauthenticated {
                    f.write_str("; see to what is given to .credentials(..)")?;
                }
                Ok(())
            }
            Self::Session(error) => write!(f, "the session ended before it was established: {error}"),
            Self::Hosting(error) => error.fmt(f),
            Self::Setup(status) => {
                let (code, message) = (status.code(), escaped(status.message()));
                write!(f, "the session was not prepared: the function of .on_session(..) failed ({code}): {message}")
            }
            Self::Reconnect { why } => {
                write!(f, "{why}; open streams with .over_with(..), or leave out .reconnect(..)")
            }
        }
    }
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "it is an ordinary web server; check host, port and path",
        300..=399 => "it is elsewhere, and redirects are not followed; use the address that it points to",
        401 | 407 => "it wants credentials, or others than it got; set them with .credentials(..) or .header(..)",
        403 => "it does not let this client in; check its credentials, and its header Origin if it has one",
        404 => "nothing is served at this path; check the path of the URL",
        426 => "the upgrade was not understood; a proxy in between may have removed it",
        429 | 503 => "it is overloaded or shutting down; try again in a moment",
        502 | 504 => "a proxy in between cannot reach the server",
        400..=499 => "it does not accept the handshake; check host, port and path",
        _ => "it has failed; look into its log",
    }
}

/// The message has the message of its cause in it, so [`source`](error::Error::source) goes on with the cause of that
/// cause. The cause itself is in the variant.
impl error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Resolve { source, .. }
            | Self::Unreachable { source, .. }
            | Self::Unix { source, .. }
            | Self::Stream { source }
            | Self::Ended { source, .. } => source.source(),
            Self::Credentials { source } => source.source(),
            Self::Rejected(status) | Self::Setup(status) => status.source(),
            Self::Session(error) => error.source(),
            Self::Hosting(error) => error.source(),
            Self::Url { .. }
            | Self::Header { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Proxy { .. }
            | Self::Tls { .. }
            | Self::NotWebSocket { .. }
            | Self::Http { .. }
            | Self::NoCommonProtocol { .. }
            | Self::NotHosted { .. }
            | Self::CallbackNotHosted { .. }
            | Self::Reconnect { .. } => None,
        }
    }
}

impl From<HostingError> for ConnectError {
    fn from(error: HostingError) -> Self {
        Self::Hosting(error)
    }
}

impl From<ConnectionError> for ConnectError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Refused(status) => Self::Rejected(status),
            other => Self::Session(other),
        }
    }
}

#[cfg(test)]
mod tests;
