//! `Material`: the certificates and keys that have been read, and the configuration of TLS that they make.

use std::sync::Arc;

use rpc_core::__tls::{ALPN, provider};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
};

/// Certificates, keys and authorities, as they were read.
#[derive(Clone)]
pub(super) struct Material {
    /// The server's certificates with the key of the first one.
    pub(super) own: Arc<CertifiedKey>,
    /// The authorities that issue the certificates of clients, at least one; `None` if clients are not asked for
    /// certificates.
    pub(super) client_ca: Option<Arc<RootCertStore>>,
    pub(super) client_certificates_optional: bool,
}

impl Material {
    pub(super) fn new(own: Arc<CertifiedKey>) -> Self {
        Self { own, client_ca: None, client_certificates_optional: false }
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for both versions");
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), provider());
                let verifier =
                    if self.client_certificates_optional { verifier.allow_unauthenticated() } else { verifier };
                builder.with_client_cert_verifier(
                    verifier.build().expect("there is an authority, and no revocation list that could be wrong"),
                )
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.own))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Arc::new(config)
    }
}
