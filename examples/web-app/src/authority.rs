//! A certificate for this machine, from an authority that the program makes.

use std::fmt;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;

use crate::{Outcome, door::acceptor};

/// An authority that vouches for itself, so that only those trust it who are given its [`pem`](Self::pem).
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority with a new key.
    ///
    /// # Errors
    ///
    /// If no key can be made.
    pub fn new() -> Outcome<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "the web-app example");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its certificate, which clients need.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for `localhost` and `127.0.0.1`, with a new key.
    ///
    /// # Errors
    ///
    /// If no key can be made.
    pub fn local(&self) -> Outcome<TlsAcceptor> {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        acceptor(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
