//! `Way`: by which way a connection is made.

#[cfg(unix)]
use std::path::PathBuf;

use super::OwnStream;
use crate::proxy::Proxy;

/// By which way a connection is made.
pub(crate) enum Way {
    /// By TCP, through the proxy that this names; without one, that of the environment.
    Tcp(Option<Proxy>),
    /// Over a stream of the application.
    Own(OwnStream),
    /// By the Unix socket at a path.
    #[cfg(unix)]
    Unix(PathBuf),
}
