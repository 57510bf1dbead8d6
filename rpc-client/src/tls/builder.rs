//! `TlsBuilder`: a program's settings for the TLS of its connections.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rpc_core::{
    __tls::{ALPN, Pem, certified_key, provider},
    TlsError,
};
use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::ServerName, sign::SingleCertAndKey};

use super::config::Tls;

/// A program's settings for the TLS of its connections; [`build`](Self::build) reads the files.
#[must_use = "nothing is read before `build`"]
#[derive(Default)]
pub struct TlsBuilder {
    authorities: Vec<Source>,
    own: Option<(Source, Source)>,
    server_name: Option<String>,
}

/// Where a text in PEM comes from.
enum Source {
    File(PathBuf),
    /// The method that took the text, and the text.
    Given(&'static str, Vec<u8>),
}

impl TlsBuilder {
    /// Trusts the authorities in this file (PEM), and no longer the operating system's authorities. May be called
    /// several times, also with [`ca`](Self::ca): all of the authorities are trusted.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.authorities.push(Source::File(path.as_ref().to_owned()));
        self
    }

    /// As [`ca_file`](Self::ca_file), with the content of such a file.
    pub fn ca(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.authorities.push(Source::Given("ca", pem.as_ref().to_vec()));
        self
    }

    /// Shows a certificate to servers that ask for one. The first file (PEM) has the certificate, and behind it those
    /// that lead from its issuer to an authority that the server trusts, if there are any; the second file has the
    /// private key (PKCS#8, PKCS#1 or SEC1, without a passphrase). The last call counts.
    pub fn client_certificate_files(mut self, certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.own = Some((Source::File(certificates.as_ref().to_owned()), Source::File(key.as_ref().to_owned())));
        self
    }

    /// As [`client_certificate_files`](Self::client_certificate_files), with the content of such files.
    pub fn client_certificate(mut self, certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let given = |pem: &[u8]| Source::Given("client_certificate", pem.to_vec());
        self.own = Some((given(certificates.as_ref()), given(key.as_ref())));
        self
    }

    /// Expects the server's certificate to have this name, instead of the host of the URL: for a server that is reached
    /// by an address that its certificate does not have.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Reads the files. Blocks the thread meanwhile; where no authority was named, the operating system's list is read,
    /// which may take milliseconds.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or lacks what it should have, if a key does not belong to its certificate, if the name
    /// is no valid name of a server, or if the operating system trusts no authority.
    pub fn build(self) -> Result<Tls, TlsError> {
        let server_name = self.server_name.map(server_name).transpose()?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for both versions");
        let builder = if self.authorities.is_empty() {
            let verifier = Verifier::new(provider()).map_err(|error| TlsError::Platform { why: error.to_string() })?;
            // In spite of its name, this method is safe here: the verifier asks the operating system, which checks
            // everything.
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            let mut trusted = RootCertStore::empty();
            for source in &self.authorities {
                trusted.extend(source.read()?.authorities()?.roots.iter().cloned());
            }
            builder.with_root_certificates(trusted)
        };
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let own = certified_key(&certificates.read()?, &key.read()?)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Tls::new(config, server_name))
    }
}

impl Source {
    fn read(&self) -> Result<Pem, TlsError> {
        match self {
            Self::File(path) => Pem::read(path),
            Self::Given(method, pem) => Ok(Pem::given(method, pem)),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            // The text may be a key.
            Self::Given(..) => f.write_str("given"),
        }
    }
}

impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsBuilder")
            .field("authorities", &self.authorities)
            .field("client_certificate", &self.own)
            .field("server_name", &self.server_name)
            .finish()
    }
}

fn server_name(name: String) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName { name })
}
