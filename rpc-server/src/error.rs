//! `BuildError` and `ListenError`: why a server could not start.

use std::{error, fmt, io, net::SocketAddr, path::PathBuf};

use rpc_core::HostingError;

/// Why a server could not be built. The message says what to do.
///
/// `Debug` shows the variant and the message, because a `main` that returns an error prints its `Debug`.
///
/// ```
/// use rpc_server::{BuildError, Server};
///
/// match Server::builder().max_connections(0).build() {
///     Err(BuildError::NoConnections { setting }) => assert_eq!(setting, "max_connections"),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The services cannot be hosted together.
    Hosting(HostingError),
    /// [`ServerBuilder::memory`](crate::ServerBuilder::memory) is less than what one session may hold.
    Memory {
        /// The given value, in bytes.
        given: usize,
        /// The least value that works, which is [`Config::session_memory`](rpc_core::Config::session_memory).
        least: usize,
    },
    /// [`ServerBuilder::replay_total`](crate::ServerBuilder::replay_total) is more than what all sessions may hold.
    ReplayTotal {
        /// The given value, in bytes.
        given: usize,
        /// The greatest value that works, which is [`ServerBuilder::memory`](crate::ServerBuilder::memory).
        most: usize,
    },
    /// A limit of connections is 0, so no client could connect.
    NoConnections {
        /// The method of [`ServerBuilder`](crate::ServerBuilder) that was given 0.
        setting: &'static str,
    },
    /// [`ServerBuilder::max_headers`](crate::ServerBuilder::max_headers) is a number of headers with which no request
    /// could be answered, or one that bounds nothing.
    MaxHeaders {
        /// The given number.
        given: usize,
        /// The greatest number that works; the least is 1.
        most: usize,
    },
    /// [`ServerBuilder::allow_origin`](crate::ServerBuilder::allow_origin) was given a text that no web page has as its
    /// origin.
    Origin {
        /// The given text.
        given: String,
        /// What is wrong with the text, and what is right.
        why: String,
    },
    /// The `allow_origin` of a raw WebSocket's service was given a text that no web page has as its origin.
    #[cfg(feature = "raw")]
    RawOrigin {
        /// The given text.
        given: String,
        /// What is wrong with the text, and what is right.
        why: String,
    },
    /// [`ServerBuilder::allow_host`](crate::ServerBuilder::allow_host) was given a text that is no host.
    Host {
        /// The given text.
        given: String,
        /// What is wrong with the text, and what is right.
        why: String,
    },
    /// [`ServerBuilder::keep_headers`](crate::ServerBuilder::keep_headers) was given a text that no header has as its
    /// name.
    HeaderName {
        /// The given text.
        given: String,
    },
    /// [`ServerBuilder::trusted_proxies`](crate::ServerBuilder::trusted_proxies) was given a text that is no address
    /// and no network.
    TrustedProxy {
        /// The given text.
        given: String,
        /// What is wrong with the text, and what is right.
        why: String,
    },
    /// A path cannot be served: [`ServerBuilder::path`](crate::ServerBuilder::path) or
    /// [`ServerBuilder::route`](crate::ServerBuilder::route) was given a text that is no path, or a path that is taken.
    Path {
        /// The given path.
        given: String,
        /// What is wrong with the path.
        why: String,
    },
}

/// Why a server does not listen. The message says what to do.
///
/// `Debug` shows the variant and the message, because a `main` that returns an error prints its `Debug`.
///
/// ```
/// use rpc_server::{ListenError, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().build()?;
/// let first = server.listen("127.0.0.1:0").await?;
/// let second = server.listen(first.local_addr()).await;
/// assert!(matches!(second, Err(ListenError::InUse(addr)) if addr == first.local_addr()));
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub enum ListenError {
    /// The server could not be built. Only [`ServerBuilder::listen`](crate::ServerBuilder::listen) and the methods
    /// beside it give this error.
    Build(BuildError),
    /// The server has been shut down.
    ShutDown,
    /// The address could not be resolved, for instance because the host name is unknown.
    Address(io::Error),
    /// Another socket listens at this address.
    InUse(SocketAddr),
    /// The operating system does not allow this program to listen at this address.
    Denied(SocketAddr),
    /// This machine does not have this address.
    NotLocal(SocketAddr),
    /// Listening at this address failed for another reason.
    Failed {
        /// The address.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol) at a server without
    /// [`trusted_proxies`](crate::ServerBuilder::trusted_proxies), whose headers would be believed.
    NoTrustedProxies,
    /// Another socket listens at this path. Only `Server::listen_unix` gives this error, and the next.
    PathInUse(PathBuf),
    /// A socket file cannot be made, or what lies at its path cannot be removed.
    Path {
        /// The path of the socket file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}

impl ListenError {
    pub(crate) fn bind(addr: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(addr),
            io::ErrorKind::PermissionDenied => Self::Denied(addr),
            io::ErrorKind::AddrNotAvailable => Self::NotLocal(addr),
            _ => Self::Failed { addr, source: error },
        }
    }
}

impl fmt::Debug for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Build(_) => "Build",
            Self::ShutDown => "ShutDown",
            Self::Address(_) => "Address",
            Self::InUse(_) => "InUse",
            Self::Denied(_) => "Denied",
            Self::NotLocal(_) => "NotLocal",
            Self::Failed { .. } => "Failed",
            Self::NoTrustedProxies => "NoTrustedProxies",
            Self::PathInUse(_) => "PathInUse",
            Self::Path { .. } => "Path",
        };
        write!(f, "{variant}: {self}")
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::ShutDown => f.write_str("the server has been shut down, and listens no more; build a new one"),
            Self::Address(error) => {
                write!(f, "the address to listen at cannot be made out: {error}; write it like 127.0.0.1:9000")
            }
            Self::InUse(addr) => {
                write!(
                    f,
                    "another socket (perhaps of this program) listens at {addr}; close it, or choose another port (port 0 takes any free one)"
                )
            }
            Self::Denied(addr) if addr.port() < 1024 => {
                write!(
                    f,
                    "this program may not listen at {addr}; ports below 1024 often need a privilege, so choose a higher one"
                )
            }
            Self::Denied(addr) => write!(f, "this program may not listen at {addr}; the operating system forbids it"),
            Self::NotLocal(addr) => {
                write!(
                    f,
                    "{} is not an address of this machine; listen at 0.0.0.0 or [::] for all of its addresses",
                    addr.ip()
                )
            }
            Self::Failed { addr, source } => write!(f, "cannot listen at {addr}: {source}"),
            Self::NoTrustedProxies => f.write_str(
                "no proxy may speak the PROXY protocol at this address; name those that may with \
                 ServerBuilder::trusted_proxies",
            ),
            Self::PathInUse(path) => {
                write!(
                    f,
                    "another socket (perhaps of this program) listens at {path:?}; close it, or choose another path"
                )
            }
            // A socket's address has room for about 100 bytes.
            Self::Path { path, source } if source.kind() == io::ErrorKind::InvalidInput => {
                write!(f, "cannot listen at {path:?}: {source}; choose a shorter path, or a relative one")
            }
            Self::Path { path, source } => {
                write!(
                    f,
                    "cannot listen at {path:?}: {source}; choose a path in a folder that is there and that this program may write to"
                )
            }
        }
    }
}

/// The message has the message of its cause in it, so [`source`](error::Error::source) goes on with the cause of that
/// cause. The cause itself is in the variant.
impl error::Error for ListenError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Build(error) => error.source(),
            Self::Address(error) | Self::Failed { source: error, .. } | Self::Path { source: error, .. } => {
                error.source()
            }
            Self::ShutDown
            | Self::InUse(_)
            | Self::Denied(_)
            | Self::NotLocal(_)
            | Self::NoTrustedProxies
            | Self::PathInUse(_) => None,
        }
    }
}

impl From<BuildError> for ListenError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Hosting(_) => "Hosting",
            Self::Memory { .. } => "Memory",
            Self::ReplayTotal { .. } => "ReplayTotal",
            Self::NoConnections { .. } => "NoConnections",
            Self::MaxHeaders { .. } => "MaxHeaders",
            Self::Origin { .. } => "Origin",
            #[cfg(feature = "raw")]
            Self::RawOrigin { .. } => "RawOrigin",
            Self::Host { .. } => "Host",
            Self::HeaderName { .. } => "HeaderName",
            Self::TrustedProxy { .. } => "TrustedProxy",
            Self::Path { .. } => "Path",
        };
        write!(f, "{variant}: {self}")
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosting(error) => error.fmt(f),
            Self::Memory { given, least } => write!(
                f,
                "ServerBuilder::memory is {given}, and must be at least {least} beside Config::session_memory of {least}; raise \
                 the first, or lower the other"
            ),
            Self::ReplayTotal { given, most } => write!(
                f,
                "ServerBuilder::replay_total is {given}, and must be at most {most}, which is ServerBuilder::memory; \
                 lower the first, or raise the other"
            ),
            Self::NoConnections { setting } => {
                write!(f, "ServerBuilder::{setting} is 0, so no client could connect; 1 is the least that works")
            }
            Self::MaxHeaders { given, most } => {
                write!(f, "ServerBuilder::max_headers is {given}, and must be from 1 to {most}; the default is 100")
            }
            Self::Origin { given, why } => {
                write!(f, "ServerBuilder::allow_origin was given {given:?}, which no web page has as its origin: {why}")
            }
            #[cfg(feature = "raw")]
            Self::RawOrigin { given, why } => {
                write!(
                    f,
                    "WebSocketService::allow_origin was given {given:?}, which no web page has as its origin: {why}"
                )
            }
            Self::Host { given, why } => {
                write!(f, "ServerBuilder::allow_host was given {given:?}, which is no host: {why}")
            }
            Self::HeaderName { given } => {
                write!(
                    f,
                    "ServerBuilder::keep_headers was given {given:?}; write the name of a header, like x-request-id"
                )
            }
            Self::TrustedProxy { given, why } => {
                write!(f, "ServerBuilder::trusted_proxies was given {given:?}, which is no network: {why}")
            }
            Self::Path { given, why } => write!(f, "ServerBuilder cannot serve the path {given:?}: {why}"),
        }
    }
}

/// The message has the message of its cause in it, so [`source`](error::Error::source) goes on with the cause of that
/// cause. The cause itself is in the variant.
impl error::Error for BuildError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Hosting(error) => error.source(),
            Self::Memory { .. }
            | Self::ReplayTotal { .. }
            | Self::NoConnections { .. }
            | Self::MaxHeaders { .. }
            | Self::Origin { .. }
            | Self::Host { .. }
            | Self::HeaderName { .. }
            | Self::TrustedProxy { .. }
            | Self::Path { .. } => None,
            #[cfg(feature = "raw")]
            Self::RawOrigin { .. } => None,
        }
    }
}

impl From<HostingError> for BuildError {
    fn from(error: HostingError) -> Self {
        Self::Hosting(error)
    }
}
