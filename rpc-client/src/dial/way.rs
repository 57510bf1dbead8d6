//! `Way`: by which way a connection is made.

#[cfg(unix)]
use std::path::PathBuf;

use super::OwnStream;
use crate::proxy::Proxy;

/// By which way a connection is made.
pub(crate) enum Way {
    /// By TCP, through this proxy; without one, through the proxy that the environment names, if it names one.
    Tcp(Option<Proxy>),
    /// Over a stream of the application.
    Own(OwnStream),
    /// By the Unix socket at a path.
    #[cfg(unix)]
    Unix(PathBuf),
}
