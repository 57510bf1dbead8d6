//! `secure`: the TLS of a raw peer.

use std::{io, sync::Arc};

use rpc_core::__tls::provider;
use rpc_testing::SOON;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

/// Does the handshake of TLS as a client of the TLS library alone, which offers these protocols (RFC 7301).
pub(crate) async fn secure(
    stream: TcpStream,
    authority: &str,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let connecting = TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream);
    timeout(SOON, connecting).await.unwrap()
}
