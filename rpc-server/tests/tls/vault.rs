//! A contract, a server of it, and clients that trust the server.

use bytes::Bytes;
use rpc_client::{Connect, ConnectBuilder, ConnectError, Tls as ClientTls};
use rpc_core::{Config, Context, Status, Streaming};
use rpc_server::{Server, ServerBuilder, ServerHandle, Tls};
use rpc_testing::{Authority, Identity, SOON, blocks, count_blocks};
use tokio::time::timeout;

#[rpc_core::callback]
pub(crate) trait Guest {
    async fn echo(&self, bytes: Bytes) -> Bytes;
}

#[rpc_core::service(callback = Guest)]
pub(crate) trait Vault {
    async fn add(&self, a: u32, b: u32) -> u32;
    async fn echo(&self, bytes: Bytes) -> Bytes;
    /// Has the client echo this.
    async fn ask(&self, cx: &Context<GuestClient>, bytes: Bytes) -> Result<Bytes, Status>;
    async fn pour(&self, blocks: u64) -> Streaming<Bytes>;
    async fn drain(&self, blocks: Streaming<Bytes>) -> Result<u64, Status>;
    /// Whether the connection is encrypted, and the names in the client's certificate, URIs first.
    async fn who(&self, cx: &Context<GuestClient>) -> (bool, Vec<String>);
    async fn forever(&self);
}

pub(crate) struct Steel;

impl Vault for Steel {
    async fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }

    async fn echo(&self, bytes: Bytes) -> Bytes {
        bytes
    }

    async fn ask(&self, cx: &Context<GuestClient>, bytes: Bytes) -> Result<Bytes, Status> {
        cx.peer().echo(bytes).await
    }

    async fn pour(&self, count: u64) -> Streaming<Bytes> {
        Streaming::new(blocks(count))
    }

    async fn drain(&self, blocks: Streaming<Bytes>) -> Result<u64, Status> {
        count_blocks(blocks).await
    }

    async fn who(&self, cx: &Context<GuestClient>) -> (bool, Vec<String>) {
        let info = cx.info();
        let names = info.peer_certificate().into_iter();
        let names = names.flat_map(|certificate| certificate.uris().chain(certificate.dns_names()));
        (info.is_encrypted(), names.map(str::to_owned).collect())
    }

    async fn forever(&self) {
        std::future::pending::<()>().await;
    }
}

pub(crate) struct Parrot;

impl Guest for Parrot {
    async fn echo(&self, bytes: Bytes) -> Bytes {
        bytes
    }
}

pub(crate) fn builder() -> ServerBuilder {
    Server::builder().service(Steel.serve())
}

/// TLS with this certificate.
pub(crate) fn of(identity: &Identity) -> Tls {
    Tls::from_pem(&identity.certificates, &identity.key).unwrap()
}

/// A server whose certificate is for localhost.
pub(crate) async fn listen(authority: &Authority) -> ServerHandle {
    listen_with(of(&authority.server(&["localhost"])), Config::default()).await
}

pub(crate) async fn listen_with(tls: Tls, config: Config) -> ServerHandle {
    builder().config(config).listen_tls("127.0.0.1:0", tls).await.unwrap()
}

/// What a client needs to trust this authority's certificates.
pub(crate) fn trusting(authority: &Authority) -> ClientTls {
    ClientTls::builder().ca(authority.pem()).build().unwrap()
}

/// As [`trusting`], with a certificate of the client.
pub(crate) fn showing(authority: &Authority, identity: &Identity) -> ClientTls {
    let tls = ClientTls::builder().ca(authority.pem());
    tls.client_certificate(&identity.certificates, &identity.key).build().unwrap()
}

pub(crate) fn connect(server: &ServerHandle, tls: ClientTls) -> ConnectBuilder<VaultClient> {
    let url = format!("wss://localhost:{}/", server.local_addr().port());
    VaultClient::connect(url).callback(Parrot.serve()).tls(tls)
}

pub(crate) async fn join(server: &ServerHandle, tls: ClientTls) -> VaultClient {
    soon(connect(server, tls)).await.unwrap()
}

pub(crate) async fn soon(connecting: ConnectBuilder<VaultClient>) -> Result<VaultClient, ConnectError> {
    timeout(SOON, connecting).await.expect("connecting ends")
}
