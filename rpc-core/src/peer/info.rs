//! Facts of a connection besides the protocol.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::runtime::Handle;

use super::{
    certificate::PeerCertificate,
    principal::{Identity, Principal},
    session_id::SessionId,
    values::Values,
};

/// Headers that may hold credentials. Browsers put a token among the sub-protocols, because they let pages set no
/// other header.
const SECRET_HEADERS: [http::HeaderName; 4] = [
    http::header::AUTHORIZATION,
    http::header::PROXY_AUTHORIZATION,
    http::header::COOKIE,
    http::header::SEC_WEBSOCKET_PROTOCOL,
];

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
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The other side's address; `None` if it is not known.
    pub peer_addr: Option<SocketAddr>,
    /// The path and the query that the client has asked for: `/rpc?room=5`. `None` at a client. The query may hold a
    /// token, so `Debug` shows the path alone.
    pub uri: Option<http::Uri>,
    /// The headers of the HTTP upgrade: at a server the request's, at a client the answer's.
    pub headers: http::HeaderMap,
    /// What is known of the TLS that encrypts the connection; `None` if it came without TLS, or if a proxy has ended
    /// the TLS.
    pub tls: Option<TlsInfo>,
    /// Typed values that the HTTP layers around the upgrade have added. If there is an [`Identity`] or a [`Principal`]
    /// among them, the session begins with it.
    pub extensions: http::Extensions,
}

impl ConnectionInfo {
    /// Sets the other side's address.
    #[must_use]
    pub fn with_peer_addr(mut self, addr: SocketAddr) -> Self {
        self.peer_addr = Some(addr);
        self
    }

    /// Sets the path and the query. This copies them, as [`with_headers`](Self::with_headers) copies values.
    #[must_use]
    pub fn with_uri(mut self, uri: &http::Uri) -> Self {
        self.uri = uri.path_and_query().and_then(|target| target.as_str().parse().ok());
        self
    }

    /// Sets the headers of the upgrade. This copies their values: an HTTP server leaves the values in the buffer into
    /// which it read the request, and the session would keep the whole buffer for its lifetime. Those that may hold
    /// credentials are marked as sensitive: `Debug` does not show them.
    #[must_use]
    pub fn with_headers(mut self, mut headers: http::HeaderMap) -> Self {
        for (name, value) in &mut headers {
            if let Ok(mut own) = http::HeaderValue::from_bytes(value.as_bytes()) {
                own.set_sensitive(value.is_sensitive() || SECRET_HEADERS.contains(name));
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

impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("peer_addr", &self.peer_addr)
            .field("path", &self.uri.as_ref().map(http::Uri::path))
            .field("headers", &self.headers)
            .field("tls", &self.tls)
            .field("extensions", &self.extensions)
            .finish()
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

/// The facts of a session that do not come from the protocol.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) id: SessionId,
    known: Mutex<Known>,
    /// What the application keeps on the session.
    pub(super) values: Values,
    /// The session's runtime. Callers may run outside of this runtime.
    pub(crate) runtime: Option<Handle>,
}

/// What is known of the other side, and changes with the session's link.
#[derive(Debug)]
struct Known {
    /// The facts of the newest link.
    info: Arc<ConnectionInfo>,
    /// Who is at the other end; an identity that is renewed replaces the older one.
    identity: Option<Box<Identity>>,
    /// The identity came from [`Facts::set_principal`], and not with a link.
    is_assigned: bool,
}

/// What is known of a connection over which a session may go on.
pub(crate) struct NextFacts {
    info: Arc<ConnectionInfo>,
    shown: Option<Identity>,
}

impl NextFacts {
    pub(crate) fn new(info: ConnectionInfo) -> Self {
        Self { shown: shown_by(&info), info: kept(info) }
    }
}

/// What a session keeps of a connection. An HTTP server takes its own values out of the extensions, and leaves the
/// memory of their table.
fn kept(mut info: ConnectionInfo) -> Arc<ConnectionInfo> {
    if info.extensions.is_empty() {
        info.extensions = http::Extensions::new();
    }
    Arc::new(info)
}

impl Facts {
    pub(crate) fn new(id: SessionId, info: ConnectionInfo) -> Self {
        let (identity, info) = (shown_by(&info), kept(info));
        let known = Mutex::new(Known { info, identity: identity.map(Box::new), is_assigned: false });
        Self { id, known, values: Values::new(), runtime: Handle::try_current().ok() }
    }

    /// The facts of the session's newest connection.
    pub(crate) fn info(&self) -> Arc<ConnectionInfo> {
        self.lock().info.clone()
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.lock().info.peer_addr
    }

    pub(crate) fn principal(&self) -> Option<Principal> {
        self.lock().identity.as_ref().map(|identity| identity.principal().clone())
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.lock().identity.as_deref().cloned()
    }

    /// When the identity expires, if it does.
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.lock().identity.as_deref().and_then(Identity::expires)
    }

    /// Replaces the identity by one of the same name. False if there is none, or it has another name.
    pub(crate) fn renew(&self, renewed: Identity) -> bool {
        let mut known = self.lock();
        let is_same = known.identity.as_ref().is_some_and(|own| own.principal() == renewed.principal());
        let old = if is_same { known.identity.replace(Box::new(renewed)) } else { None };
        drop(known);
        // The drop of a value is users' code.
        drop(old);
        is_same
    }

    /// False if a principal was known already.
    pub(crate) fn set_principal(&self, principal: Principal) -> bool {
        let mut known = self.lock();
        let unknown = known.identity.is_none();
        known.is_assigned |= unknown;
        known.identity.get_or_insert_with(|| Box::new(principal.into()));
        unknown
    }

    /// Whether a client that comes with another connection is the one whose session this is: neither has an identity,
    /// or both have shown one of the same name. An identity that the program has given the session is not shown again.
    pub(crate) fn is_of(&self, info: &ConnectionInfo) -> bool {
        let known = self.lock();
        match (&known.identity, shown_by(info)) {
            (None, None) => true,
            (Some(own), Some(shown)) => !known.is_assigned && own.principal() == shown.principal(),
            _ => false,
        }
    }

    /// The session goes on over another connection. If that has shown no identity, the session keeps its own. Gives
    /// what was known before, to be dropped outside of any lock: the drop of a value is users' code.
    #[must_use]
    pub(crate) fn go_on(&self, next: NextFacts) -> impl Sized + use<> {
        let NextFacts { info, shown } = next;
        let mut known = self.lock();
        let old_info = std::mem::replace(&mut known.info, info);
        let old_identity = shown.and_then(|shown| {
            known.is_assigned = false;
            known.identity.replace(Box::new(shown))
        });
        (old_info, old_identity)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionInfo {
    /// Whether an authenticator, or the HTTP server, has found out who the client is.
    #[doc(hidden)]
    pub fn shows_identity(&self) -> bool {
        shown_by(self).is_some()
    }
}

/// The identity that has come with a connection.
fn shown_by(info: &ConnectionInfo) -> Option<Identity> {
    let principal = || info.extensions.get::<Principal>().cloned().map(Identity::from);
    info.extensions.get::<Identity>().cloned().or_else(principal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &'static str) -> ConnectionInfo {
        let headers = [(http::HeaderName::from_static(name), http::HeaderValue::from_static("hunter2"))];
        ConnectionInfo::default().with_headers(headers.into_iter().collect())
    }

    #[test]
    fn headers_with_credentials_are_not_shown() {
        for name in ["authorization", "cookie", "proxy-authorization", "sec-websocket-protocol"] {
            let info = info(name);
            assert_eq!(info.headers[name], "hunter2");
            assert!(!format!("{info:?}").contains("hunter2"), "{info:?}");
        }
        assert!(format!("{:?}", info("x-other")).contains("hunter2"), "others are");
    }

    #[test]
    fn a_query_is_not_shown() {
        let asked = http::Uri::from_static("http://localhost/rpc?token=hunter2");
        let info = ConnectionInfo::default().with_uri(&asked);
        assert_eq!(info.uri.as_ref().unwrap(), "/rpc?token=hunter2");
        let shown = format!("{info:?}");
        assert!(shown.contains("/rpc") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_session_begins_with_the_identity_among_the_extensions() {
        let begin = |extensions| Facts::new(SessionId::next(), ConnectionInfo::default().with_extensions(extensions));
        let mut extensions = http::Extensions::new();
        assert_eq!(begin(extensions.clone()).principal(), None);
        extensions.insert(Principal::from("ada"));
        assert_eq!(begin(extensions.clone()).principal(), Some("ada".into()));
        extensions.insert(Identity::new("bob"));
        let facts = begin(extensions);
        assert_eq!(facts.principal(), Some("bob".into()));
        assert!(!facts.set_principal("eve".into()));
        assert_eq!(facts.principal(), Some("bob".into()));
    }

    #[test]
    fn a_session_goes_on_for_the_one_who_has_shown_the_same_name() {
        let with = |name: Option<&str>| {
            let mut extensions = http::Extensions::new();
            if let Some(name) = name {
                extensions.insert(Identity::new(name));
            }
            ConnectionInfo::default().with_extensions(extensions)
        };
        let begin = |name| Facts::new(SessionId::next(), with(name));
        assert!(begin(None).is_of(&with(None)) && begin(Some("ada")).is_of(&with(Some("ada"))));
        assert!(!begin(None).is_of(&with(Some("ada"))) && !begin(Some("ada")).is_of(&with(None)));
        assert!(!begin(Some("ada")).is_of(&with(Some("bob"))));
        let assigned = begin(None);
        assigned.set_principal("ada".into());
        assert!(!assigned.is_of(&with(Some("ada"))) && !assigned.is_of(&with(None)));
    }

    #[test]
    fn an_identity_is_replaced_by_one_of_the_same_name() {
        let facts = Facts::new(SessionId::next(), ConnectionInfo::default());
        assert!(!facts.renew(Identity::new("ada")), "there is none to be renewed");
        assert!(facts.set_principal("ada".into()));
        assert!(facts.renew(Identity::new("ada").value(7_u8)));
        assert!(!facts.renew(Identity::new("bob")));
        assert_eq!(facts.principal().unwrap().value::<u8>(), Some(&7));
    }
}
