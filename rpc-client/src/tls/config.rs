//! `Tls`: whom a client trusts, and who it is.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use rpc_core::{__tls::WRITE_AHEAD, PeerCertificate, TlsError, TlsInfo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::spawn_blocking,
};
use tokio_rustls::{
    TlsConnector, client,
    rustls::{ClientConfig, ClientConnection, pki_types::ServerName},
};

use super::{builder::TlsBuilder, failure::explain};
use crate::error::ConnectError;

/// The stream of a TLS connection. It is in a box, because it is three times as large as the rest of a connection.
pub(crate) type TlsStream<IO> = Box<client::TlsStream<IO>>;

/// Whom a client trusts, and who it is: what [`ConnectBuilder::tls`](crate::ConnectBuilder::tls) takes for `wss://`
/// URLs.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use rpc_client::{Tls, connect};
///
/// let tls = Tls::builder().ca_file("ca.pem").client_certificate_files("me.pem", "me.key").build()?;
/// let client = connect("wss://rpc.example.com/").tls(tls).await?;
/// # Ok(())
/// # }
/// ```
///
/// The server's certificate is always verified; nothing switches that off. Client and server speak TLS 1.3 or 1.2.
/// Cheap to clone. Use one value for many connections, which then resume TLS sessions.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Trusts the authorities that the operating system trusts now, and shows no certificate.
    ///
    /// A `wss://` URL without [`tls`](crate::ConnectBuilder::tls) uses this as well, made once in the process. To
    /// follow changes of the operating system's list, make another value.
    ///
    /// On Android, the program must have initialised the crate `rustls-platform-verifier` 0.7 before.
    ///
    /// # Errors
    ///
    /// If the operating system trusts no authority, or its list cannot be read.
    pub fn platform() -> Result<Self, TlsError> {
        Self::builder().build()
    }

    /// Sets whom to trust, and who the client is.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    pub(super) fn new(config: ClientConfig, server_name: Option<ServerName<'static>>) -> Self {
        Self { connector: TlsConnector::from(Arc::new(config)), server_name }
    }

    /// The `Tls` that all connections of the process share, made as [`Self::platform`] does.
    pub(crate) async fn of_platform(authority: &str) -> Result<Self, ConnectError> {
        static PLATFORM: OnceLock<Tls> = OnceLock::new();
        if let Some(made) = PLATFORM.get() {
            return Ok(made.clone());
        }
        let made = match spawn_blocking(Self::platform).await {
            Ok(made) => made.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match made {
            Ok(made) => Ok(PLATFORM.get_or_init(|| made).clone()),
            Err(why) => Err(ConnectError::Tls { authority: authority.to_owned(), why }),
        }
    }

    /// The handshake with the server at this host.
    pub(crate) async fn connect<IO>(
        &self,
        host: &str,
        authority: &str,
        stream: IO,
    ) -> Result<(TlsStream<IO>, TlsInfo), ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let failed = |error: io::Error| match explain(&error) {
            Some(why) => ConnectError::Tls { authority: authority.to_owned(), why },
            None => ConnectError::Ended { authority: authority.to_owned(), source: error },
        };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Tls {
                authority: authority.to_owned(),
                why: "no certificate can have this host's name; set one with Tls::builder().server_name(..)".into(),
            })?,
        };
        let limit = |connection: &mut ClientConnection| connection.set_buffer_limit(Some(WRITE_AHEAD));
        let stream = self.connector.connect_with(name, stream, limit).await.map_err(failed)?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let info = match certificate.map(|certificate| PeerCertificate::from_der(certificate)).transpose() {
            Ok(Some(certificate)) => TlsInfo::default().with_peer_certificate(certificate),
            Ok(None) => TlsInfo::default(),
            Err(error) => return Err(failed(io::Error::other(error))),
        };
        Ok((Box::new(stream), info))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds the key, so it is not shown.
        let name = self.server_name.as_ref().map(ServerName::to_str);
        f.debug_struct("Tls").field("server_name", &name).finish_non_exhaustive()
    }
}
