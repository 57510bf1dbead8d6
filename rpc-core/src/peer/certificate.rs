//! `PeerCertificate`: the certificate that the other side of a connection has shown.

use std::{fmt, sync::Arc};

#[cfg(feature = "tls")]
use crate::tls::TlsError;

/// The certificate (X.509) that the other side of a connection has shown, and that TLS has verified. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    parts: Arc<Parts>,
}

#[derive(PartialEq, Eq)]
struct Parts {
    der: Box<[u8]>,
    uris: Vec<Box<str>>,
    dns_names: Vec<Box<str>>,
}

impl PeerCertificate {
    /// Takes a certificate in DER, which another TLS library has verified. This function verifies nothing.
    ///
    /// # Errors
    ///
    /// If the bytes are no certificate of X.509 version 3.
    #[cfg(feature = "tls")]
    pub fn from_der(der: &[u8]) -> Result<Self, TlsError> {
        let certificate = rustls::pki_types::CertificateDer::from(der);
        let parsed = webpki::EndEntityCert::try_from(&certificate)
            .map_err(|error| TlsError::Certificate { why: format!("{error:?}") })?;
        let parts = Parts {
            der: der.into(),
            uris: parsed.valid_uri_names().map(Box::from).collect(),
            dns_names: parsed.valid_dns_names().map(Box::from).collect(),
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The whole certificate in DER, for what is not found here.
    pub fn der(&self) -> &[u8] {
        &self.parts.der
    }

    /// Its names that are URIs (of the extension subjectAltName), for instance `spiffe://example.com/billing`, in their
    /// order. Compare a whole name, not a part of it.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.parts.uris.iter().map(|name| &**name)
    }

    /// Its names that are DNS names (of the extension subjectAltName), in their order; one may begin with `*.`.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.parts.dns_names.iter().map(|name| &**name)
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate")
            .field("uris", &self.parts.uris)
            .field("dns_names", &self.parts.dns_names)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use rpc_testing::Authority;
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    #[test]
    fn the_names_are_those_of_the_certificate() {
        let pem = Authority::new("test").client(&["a.example.com", "*.example.org", "192.0.2.1"], "urn:a").certificates;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let certificate = PeerCertificate::from_der(&der).unwrap();
        assert_eq!(certificate.der(), &*der);
        assert_eq!(certificate.uris().collect::<Vec<_>>(), ["urn:a"]);
        assert_eq!(certificate.dns_names().collect::<Vec<_>>(), ["a.example.com", "*.example.org"]);
        assert_eq!(certificate, PeerCertificate::from_der(&der).unwrap());
        assert!(format!("{certificate:?}").contains("urn:a"));
    }

    #[test]
    fn other_bytes_are_no_certificate() {
        for bytes in [&b""[..], b"-----BEGIN CERTIFICATE-----", &[0x30, 0x82, 0xff, 0xff]] {
            assert!(matches!(PeerCertificate::from_der(bytes), Err(TlsError::Certificate { .. })));
        }
    }
}
