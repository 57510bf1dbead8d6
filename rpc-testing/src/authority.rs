//! Certificates that tests make as they need them.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};

/// An authority that issues certificates. Only a program that gets its [`pem`](Self::pem) trusts them.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The certificates between this authority and the first one. They stand behind each certificate that is issued.
    chain: String,
}

/// Certificates in PEM, the holder's own first, and the key of the first in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The holder's certificate, and the certificates behind it.
    pub certificates: String,
    /// The key of the holder's certificate (PKCS#8).
    pub key: String,
}

impl Authority {
    /// An authority that nothing else vouches for.
    pub fn new(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap();
        Self { issuer, chain: String::new() }
    }

    /// An authority that this one vouches for.
    pub fn below(&self, name: &str) -> Self {
        let issuer = CertifiedIssuer::signed_by(authority(name), KeyPair::generate().unwrap(), &self.issuer).unwrap();
        let chain = format!("{}{}", issuer.pem(), self.chain);
        Self { issuer, chain }
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its certificate and key, as if it were a server's.
    pub fn as_server(&self) -> Identity {
        Identity { certificates: self.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// A server's certificate for these DNS names and addresses.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// A server's certificate that was valid in the year 2000 only.
    pub fn expired(&self, names: &[&str]) -> Identity {
        self.issue(names, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2000, 12, 31));
        })
    }

    /// A client's certificate for these DNS names and this URI.
    pub fn client(&self, names: &[&str], uri: &str) -> Identity {
        self.issue(names, |params| {
            params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let own = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificates: format!("{}{}", own.pem(), self.chain), key: key.serialize_pem() }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}
