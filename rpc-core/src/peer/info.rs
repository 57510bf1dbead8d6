//! Facts of a connection besides the protocol, and the principal at its other end.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tokio::runtime::Handle;

use super::{certificate::PeerCertificate, session_id::SessionId};

/// The facts of a connection that its HTTP upgrade gave. All fields are empty if there was no upgrade.
///
/// ```
/// use rpc_core::ConnectionInfo;
///
/// /// The token that a client has sent with `.header("authorization", "Bearer …")`.
/// fn token(info: &ConnectionInfo) -> Option<&str> {
///     info.headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
/// }
///
/// // In a program: `session.info()`, `cx.info()`, or `call.info()` in an interceptor.
/// let mut headers = http::HeaderMap::new();
/// headers.insert("authorization", "Bearer 4711".parse()?);
/// let info = ConnectionInfo::default().with_peer_addr("192.0.2.1:40000".parse()?).with_headers(headers);
/// assert_eq!(token(&info), Some("4711"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The other side's address; `None` if it is not known.
    pub peer_addr: Option<SocketAddr>,
    /// The headers of the HTTP upgrade: those of the request at a server, those of the server's answer at a client.
    pub headers: http::HeaderMap,
    /// What is known of the TLS that encrypts the connection; `None` if it came without TLS, or if a proxy has ended
    /// the TLS.
    pub tls: Option<TlsInfo>,
    /// Typed values that the HTTP layers around the upgrade have added. If there is a [`Principal`] among them, it
    /// becomes the session's principal.
    pub extensions: http::Extensions,
}

impl ConnectionInfo {
    /// Sets the other side's address.
    #[must_use]
    pub fn with_peer_addr(mut self, addr: SocketAddr) -> Self {
        self.peer_addr = Some(addr);
        self
    }

    /// Sets the headers of the upgrade. This copies their values: an HTTP server leaves the values in the buffer into
    /// which it read the request, and the session would keep the whole buffer for its lifetime.
    #[must_use]
    pub fn with_headers(mut self, mut headers: http::HeaderMap) -> Self {
        for value in headers.values_mut() {
            if let Ok(mut own) = http::HeaderValue::from_bytes(value.as_bytes()) {
                own.set_sensitive(value.is_sensitive());
                *value = own;
            }
        }
        self.headers = headers;
        self
    }

    /// Sets the typed values.
    #[must_use]
    pub fn with_extensions(mut self, extensions: http::Extensions) -> Self {
        self.extensions = extensions;
        self
    }

    /// Encrypted by TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsInfo) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Whether TLS encrypts the connection between this process and the one at the other end of the socket, which may
    /// be a proxy.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The certificate that the other side has shown, verified: at a client the server's; at a server the client's, if
    /// the server asks for one.
    pub fn peer_certificate(&self) -> Option<&PeerCertificate> {
        self.tls.as_ref()?.peer_certificate.as_ref()
    }
}

/// What is known of the TLS that encrypts a connection.
///
/// A listener of this project fills it in. Another HTTP server that does TLS puts it into a request's extensions before
/// the request goes to the upgrade; the certificate must be verified by then.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The certificate of the other side, which TLS has verified.
    pub peer_certificate: Option<PeerCertificate>,
}

impl TlsInfo {
    /// With the verified certificate of the other side.
    #[must_use]
    pub fn with_peer_certificate(mut self, certificate: PeerCertificate) -> Self {
        self.peer_certificate = Some(certificate);
        self
    }
}

/// The party at the other end: a name that an application gives to a party that it knows. Cheap to clone.
///
/// ```
/// use rpc_core::Principal;
///
/// let ada = Principal::from("ada");
/// assert_eq!((ada.name(), ada.to_string()), ("ada", "ada".to_owned()));
/// assert_eq!(ada, Principal::from(String::from("ada")));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// A principal of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Principal {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Principal {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Principal").field(&self.0).finish()
    }
}

/// The facts of a session that do not come from the protocol.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) id: SessionId,
    info: Arc<ConnectionInfo>,
    principal: OnceLock<Principal>,
    /// The session's runtime. Callers may run outside of this runtime.
    pub(crate) runtime: Option<Handle>,
}

impl Facts {
    pub(crate) fn new(id: SessionId, info: ConnectionInfo) -> Self {
        let principal = OnceLock::new();
        if let Some(known) = info.extensions.get::<Principal>() {
            let _ = principal.set(known.clone());
        }
        Self { id, info: Arc::new(info), principal, runtime: Handle::try_current().ok() }
    }

    /// The facts of the session's connection, as they are now.
    pub(crate) fn info(&self) -> Arc<ConnectionInfo> {
        self.info.clone()
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.info.peer_addr
    }

    pub(crate) fn principal(&self) -> Option<Principal> {
        self.principal.get().cloned()
    }

    /// False if a principal was known already.
    pub(crate) fn set_principal(&self, principal: Principal) -> bool {
        self.principal.set(principal).is_ok()
    }
}
