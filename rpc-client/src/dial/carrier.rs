//! `Carrier`: what carries a connection to the server.

#[cfg(unix)]
use std::path::PathBuf;

use super::own::{Opener, OwnStream};
use crate::proxy::Proxy;

/// What carries a connection to the server.
pub(crate) enum Carrier {
    /// TCP, through this proxy; without one, through the proxy that the environment names, if it names one.
    Tcp(Option<Proxy>),
    /// A stream of the application.
    Own(OwnStream),
    /// Streams that a function of the application opens.
    Opened(Opener),
    /// The Unix socket at a path.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Carrier {
    /// The carrier of another connection; `None` for a stream of the application, which can be used once.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Tcp(proxy) => Some(Self::Tcp(proxy.clone())),
            Self::Own(_) => None,
            Self::Opened(open) => Some(Self::Opened(open.clone())),
            #[cfg(unix)]
            Self::Unix(path) => Some(Self::Unix(path.clone())),
        }
    }
}
