//! `Security`: what lies between the sockets of a listener and HTTP.

#[cfg(feature = "tls")]
use crate::tls::Tls;

/// What lies between the sockets of a listener and HTTP.
#[derive(Clone, Debug, Default)]
pub(super) enum Security {
    #[default]
    Plain,
    #[cfg(feature = "tls")]
    Tls(Tls),
}

impl Security {
    pub(super) fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain)
    }
}
