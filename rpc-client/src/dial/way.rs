//! `Way`: by which way a connection is made.

use super::OwnStream;
use crate::proxy::Proxy;

/// By which way a connection is made.
pub(crate) enum Way {
    /// By TCP, through the proxy that this names; without one, that of the environment.
    Tcp(Option<Proxy>),
    /// Over a stream of the application.
    Own(OwnStream),
}
