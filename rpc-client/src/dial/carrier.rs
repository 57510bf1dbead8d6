//! `Carrier`: what carries a connection to the server.

#[cfg(unix)]
use std::path::PathBuf;

use super::OwnStream;
use crate::proxy::Proxy;

/// What carries a connection to the server.
pub(crate) enum Carrier {
    /// TCP, through this proxy; without one, through the proxy that the environment names, if it names one.
    Tcp(Option<Proxy>),
    /// A stream of the application.
    Own(OwnStream),
    /// The Unix socket at a path.
    #[cfg(unix)]
    Unix(PathBuf),
}
