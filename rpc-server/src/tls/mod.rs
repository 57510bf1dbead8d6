//! `Tls`: a server's certificate and key, and whose certificates it asks for.

mod handshake;
mod material;

use std::{
    fmt, mem,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rpc_core::{
    __tls::{Pem, certified_key},
    TlsError, TlsInfo,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use self::material::Material;

/// A server's certificate and key, and whose certificates it asks for:
/// [`Server::listen_tls`](crate::Server::listen_tls),
/// [`ListenOptions::tls`](crate::ListenOptions::tls).
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use rpc_server::{Server, Tls};
///
/// let tls = Tls::from_pem_files("cert.pem", "key.pem")?;
/// let server = Server::builder().listen_tls("0.0.0.0:443", tls.clone()).await?;
/// // Later, when the files have been renewed:
/// tls.reload()?;
/// # Ok(())
/// # }
/// ```
///
/// Clients and server speak TLS 1.3 or 1.2, and HTTP/1.1 within (ALPN `http/1.1`). Cheap to clone; all clones are one
/// configuration, which [`reload`](Self::reload) renews for all of them. The methods that take `self` return another
/// configuration.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    /// The files of certificates and key, unless these were given as bytes.
    own: Option<(PathBuf, PathBuf)>,
    /// The file of the clients' authorities, unless they were given as bytes, or not at all.
    client_ca: Option<PathBuf>,
    loaded: RwLock<Loaded>,
    /// Held by the one reload that may be under way.
    reloading: Mutex<()>,
}

#[derive(Clone)]
struct Loaded {
    material: Material,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads two files in PEM. The first has the server's certificate, and behind it the certificates that lead from
    /// its issuer to an authority that clients trust, if there are any. The second has the private key (PKCS#8, PKCS#1
    /// or SEC1, without a passphrase). Both may be the same file.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or lacks what it should have, or if the key does not belong to the first certificate.
    pub fn from_pem_files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let (certificates, key) = (certificates.as_ref(), key.as_ref());
        let own = certified_key(&Pem::read(certificates)?, &Pem::read(key)?)?;
        Ok(Self::new(Some((certificates.to_owned(), key.to_owned())), None, Material::new(own)))
    }

    /// Takes certificates and key as the content of such files. [`reload`](Self::reload) cannot renew them.
    ///
    /// # Errors
    ///
    /// As [`from_pem_files`](Self::from_pem_files).
    pub fn from_pem(certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let certificates = Pem::given("certificates", certificates.as_ref());
        let own = certified_key(&certificates, &Pem::given("key", key.as_ref()))?;
        Ok(Self::new(None, None, Material::new(own)))
    }

    /// Asks every client for a certificate that one of the authorities in this file (PEM) has issued for clients, and
    /// turns away clients that show none: [`client_certificates_optional`](Self::client_certificates_optional) lets
    /// these clients in. Handlers find the certificate in
    /// [`ConnectionInfo::peer_certificate`](rpc_core::ConnectionInfo::peer_certificate). The last call counts.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or has no certificate of an authority.
    pub fn client_ca_file(self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let mut material = self.material();
        material.client_ca = Some(Pem::read(path)?.authorities()?);
        Ok(Self::new(self.shared.own.clone(), Some(path.to_owned()), material))
    }

    /// As [`client_ca_file`](Self::client_ca_file), with the content of such a file. [`reload`](Self::reload) cannot
    /// renew it.
    ///
    /// # Errors
    ///
    /// If there is no certificate of an authority.
    pub fn client_ca(self, pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let mut material = self.material();
        material.client_ca = Some(Pem::given("client_ca", pem.as_ref()).authorities()?);
        Ok(Self::new(self.shared.own.clone(), None, material))
    }

    /// Lets clients in that show no certificate. A certificate that does not verify is still turned away. Without
    /// [`client_ca_file`](Self::client_ca_file) or [`client_ca`](Self::client_ca) no client is asked for one.
    #[must_use]
    pub fn client_certificates_optional(self) -> Self {
        let mut material = self.material();
        material.client_certificates_optional = true;
        Self::new(self.shared.own.clone(), self.shared.client_ca.clone(), material)
    }

    /// Reads all files again, for the connections to come of every clone. Connections that exist already keep what they
    /// have. Sessions of TLS are not resumed across a reload, so that no client gets in by an authority that is not in
    /// the files any more. Blocks the thread while it reads the files.
    ///
    /// # Errors
    ///
    /// As [`from_pem_files`](Self::from_pem_files) and [`client_ca_file`](Self::client_ca_file). After an error nothing
    /// has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let _only = self.shared.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut material = self.material();
        if let Some((certificates, key)) = &self.shared.own {
            material.own = certified_key(&Pem::read(certificates)?, &Pem::read(key)?)?;
        }
        if let Some(path) = &self.shared.client_ca {
            material.client_ca = Some(Pem::read(path)?.authorities()?);
        }
        let renewed = Loaded::new(material);
        let mut loaded = self.shared.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let old = mem::replace(&mut *loaded, renewed);
        drop((loaded, old));
        Ok(())
    }

    fn new(own: Option<(PathBuf, PathBuf)>, client_ca: Option<PathBuf>, material: Material) -> Self {
        let loaded = RwLock::new(Loaded::new(material));
        Self { shared: Arc::new(Shared { own, client_ca, loaded, reloading: Mutex::default() }) }
    }

    /// The handshake with one client. `None` if it fails; the log says why.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        peer_addr: Option<SocketAddr>,
    ) -> Option<(TlsStream<TcpStream>, TlsInfo)> {
        let acceptor = TlsAcceptor::from(self.loaded().config);
        handshake::accept(&acceptor, stream, peer_addr).await
    }

    fn material(&self) -> Material {
        self.loaded().material
    }

    fn loaded(&self) -> Loaded {
        self.shared.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Loaded {
    fn new(material: Material) -> Self {
        Self { config: material.config(), material }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = self.material();
        let mut shown = f.debug_struct("Tls");
        if let Some((certificates, key)) = &self.shared.own {
            shown.field("certificates", certificates).field("key", key);
        }
        if let Some(path) = &self.shared.client_ca {
            shown.field("client_ca", path);
        }
        let asks = material.client_ca.is_some();
        shown.field(
            "client_certificates",
            match (asks, material.client_certificates_optional) {
                (false, _) => &"not asked for",
                (true, false) => &"required",
                (true, true) => &"optional",
            },
        );
        shown.finish_non_exhaustive()
    }
}
