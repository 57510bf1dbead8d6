//! `ListenError` and `UpgradeError`: why a server could not start.

use std::{error, fmt, io, net::SocketAddr};

use rpc_core::{ConfigError, HostingError};

/// Why a server could not start. The message says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// The address to listen at could not be made out, for instance because the host name is unknown.
    Address(io::Error),
    /// Another socket listens at this address.
    InUse(SocketAddr),
    /// The operating system does not allow this program to listen at this address.
    Denied(SocketAddr),
    /// The address is none of this machine.
    NotLocal(SocketAddr),
    /// Listening at this address failed for another reason.
    Failed {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The services cannot be hosted together.
    Hosting(HostingError),
    /// The limits and times of the sessions cannot work.
    Config(ConfigError),
    /// [`ServerBuilder::memory`](crate::ServerBuilder::memory) is less than what one session may hold.
    Memory {
        /// Its value, in bytes.
        given: usize,
        /// The least value that works, which is [`Config::session_memory`](rpc_core::Config::session_memory).
        least: usize,
    },
}

/// Why a server could not be made for another HTTP server. The message says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The services cannot be hosted together.
    Hosting(HostingError),
    /// The limits and times of the sessions cannot work.
    Config(ConfigError),
    /// [`ServerBuilder::memory`](crate::ServerBuilder::memory) is less than what one session may hold.
    Memory {
        /// Its value, in bytes.
        given: usize,
        /// The least value that works, which is [`Config::session_memory`](rpc_core::Config::session_memory).
        least: usize,
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

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => {
                write!(f, "the address to listen at cannot be made out: {error}; write it like 127.0.0.1:9000")
            }
            Self::InUse(addr) => {
                write!(
                    f,
                    "another program listens at {addr}; stop it, or choose another port (port 0 takes any free one)"
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
                    "{} is no address of this machine; listen at 0.0.0.0 or [::] for all of its addresses",
                    addr.ip()
                )
            }
            Self::Failed { addr, source } => write!(f, "cannot listen at {addr}: {source}"),
            Self::Hosting(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Memory { given, least } => too_little_memory(f, *given, *least),
        }
    }
}

fn too_little_memory(f: &mut fmt::Formatter<'_>, given: usize, least: usize) -> fmt::Result {
    write!(
        f,
        "ServerBuilder::memory is {given}, and must be at least {least} beside Config::session_memory of {least}; raise \
         the first, or lower the other"
    )
}

/// The message has the message of its cause in it, so [`source`](error::Error::source) goes on with the cause of that
/// cause. The cause itself is in the variant.
impl error::Error for ListenError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Address(error) | Self::Failed { source: error, .. } => error.source(),
            Self::Hosting(error) => error.source(),
            Self::Config(error) => error.source(),
            Self::InUse(_) | Self::Denied(_) | Self::NotLocal(_) | Self::Memory { .. } => None,
        }
    }
}

impl From<UpgradeError> for ListenError {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::Hosting(error) => Self::Hosting(error),
            UpgradeError::Config(error) => Self::Config(error),
            UpgradeError::Memory { given, least } => Self::Memory { given, least },
        }
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosting(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Memory { given, least } => too_little_memory(f, *given, *least),
        }
    }
}

/// The message has the message of its cause in it, so [`source`](error::Error::source) goes on with the cause of that
/// cause. The cause itself is in the variant.
impl error::Error for UpgradeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Hosting(error) => error.source(),
            Self::Config(error) => error.source(),
            Self::Memory { .. } => None,
        }
    }
}

impl From<HostingError> for UpgradeError {
    fn from(error: HostingError) -> Self {
        Self::Hosting(error)
    }
}

impl From<ConfigError> for UpgradeError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
