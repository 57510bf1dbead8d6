//! TLS at a client: whom it trusts, who it is, and what its failures mean.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod builder;
#[cfg(feature = "tls")]
mod config;
#[cfg(feature = "tls")]
mod failure;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Tls, TlsStream, explain};
#[cfg(feature = "tls")]
pub use builder::TlsBuilder;
#[cfg(feature = "tls")]
pub use config::Tls;
#[cfg(feature = "tls")]
pub(crate) use config::TlsStream;
#[cfg(feature = "tls")]
pub(crate) use failure::explain;
