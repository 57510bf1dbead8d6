//! What servers and clients share for TLS: the provider of cryptography, and PEM files.

mod error;
mod pem;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use self::{
    error::TlsError,
    pem::{Pem, certified_key},
};

/// What a WebSocket begins with, as ALPN names it (RFC 7301 §6).
pub const ALPN: &[u8] = b"http/1.1";

/// The provider of cryptography. It is named wherever it is needed: the default of the process panics in programs whose
/// dependencies bring more than one.
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}
