//! What servers and clients share for TLS: the provider of cryptography, and PEM files.

mod error;
mod pem;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use self::{
    error::TlsError,
    pem::{Pem, certified_key},
};

/// The protocol that a WebSocket begins with, as ALPN names it (RFC 7301 §6).
pub const ALPN: &[u8] = b"http/1.1";

/// Bytes that a connection encrypts ahead of its socket, at most: one record (RFC 8446 §5.1).
///
/// What the TLS library has taken counts as sent. On a link that brings no more than 64 KiB in each
/// [`progress_timeout`](crate::Config::progress_timeout), as a link must, the library's own limit of 64 KiB takes
/// longer to go out than [`write_timeout`](crate::Config::write_timeout), and the session would seem stuck.
pub const WRITE_AHEAD: usize = 16 * 1024;

/// The provider of cryptography. All code that needs a provider names this one: the default of the process panics in
/// programs whose dependencies bring more than one.
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}
