//! `AuthRequest`: an upgrade request, as an authenticator looks at it.

use std::{fmt, net::SocketAddr};

use http::{HeaderMap, Uri, header};
use rpc_core::{ConnectionInfo, Credential, text::excerpt};

use crate::headers::tokens;

/// The beginning of a sub-protocol that holds a token.
const TOKEN_PROTOCOL: &str = "duplex-rpc.bearer.";

/// An HTTP request that asks for the upgrade, as an [`Authenticator`](super::Authenticator) looks at it.
pub struct AuthRequest<'a> {
    uri: &'a Uri,
    info: &'a ConnectionInfo,
}

impl<'a> AuthRequest<'a> {
    pub(crate) fn new(uri: &'a Uri, info: &'a ConnectionInfo) -> Self {
        Self { uri, info }
    }

    /// The path and the query that the client asks for.
    pub fn uri(&self) -> &Uri {
        self.uri
    }

    /// The headers of the request.
    pub fn headers(&self) -> &HeaderMap {
        &self.info.headers
    }

    /// The client's address; `None` if it is not known.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.info.peer_addr
    }

    /// A typed value that an HTTP layer around the upgrade has added.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.info.extensions.get()
    }

    /// The facts of the connection, as the session will have them.
    pub fn info(&self) -> &ConnectionInfo {
        self.info
    }

    /// The token of `Authorization: Bearer …`, if that header comes once, or else the token in a sub-protocol
    /// `duplex-rpc.bearer.…`, in which a browser sends it: a page cannot set headers of a WebSocket.
    ///
    /// Such a page connects with `new WebSocket(url, ["duplex-rpc.v1", "duplex-rpc.bearer." + token])`. The names of
    /// sub-protocols consist of letters, digits and ``!#$%&'*+-.^_`|~``; a token that consists of these characters,
    /// such as one in base64url, needs no encoding. The server agrees to `duplex-rpc.v1`, and never sends the token
    /// back.
    pub fn bearer(&self) -> Option<Credential> {
        let mut lines = self.headers().get_all(header::AUTHORIZATION).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => {
                let (scheme, token) = line.to_str().ok()?.trim().split_once(' ')?;
                let token = token.trim();
                (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Credential::bearer(token))
            }
            (None, _) => self.protocol_token(),
            (Some(_), Some(_)) => None,
        }
    }

    /// The value of a cookie (RFC 6265 §4.2.1), if a cookie of this name comes once. Browsers send cookies by
    /// themselves, also for a page of another origin: a server that trusts cookies must not
    /// [allow any origin](crate::ServerBuilder::allow_any_origin).
    pub fn cookie(&self, name: &str) -> Option<Credential> {
        let lines = self.headers().get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|&(own, _)| own == name).map(|(_, value)| value);
        let value = values.next().filter(|_| values.next().is_none())?;
        let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some(Credential::bearer(unquoted.unwrap_or(value)))
    }

    fn protocol_token(&self) -> Option<Credential> {
        let names = tokens(self.headers(), &header::SEC_WEBSOCKET_PROTOCOL);
        let mut tokens = names.filter_map(|name| name.strip_prefix(TOKEN_PROTOCOL));
        tokens.next().filter(|token| !token.is_empty() && tokens.next().is_none()).map(Credential::bearer)
    }
}

impl fmt::Debug for AuthRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a token.
        f.debug_struct("AuthRequest")
            .field("path", &format_args!("{}", excerpt(self.uri.path())))
            .field("peer_addr", &self.info.peer_addr)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn info(lines: &[(&'static str, &str)]) -> ConnectionInfo {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::try_from(*value).unwrap());
        }
        ConnectionInfo::default().with_headers(headers)
    }

    fn bearer(lines: &[(&'static str, &str)]) -> Option<String> {
        let (uri, info) = (Uri::from_static("/rpc?token=hunter2"), info(lines));
        let request = AuthRequest::new(&uri, &info);
        assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
        request.bearer().map(|token| token.expose_text().unwrap().to_owned())
    }

    #[test]
    fn a_bearer_token_is_found_in_the_header_and_among_the_sub_protocols() {
        let (auth, protocol) = ("authorization", "sec-websocket-protocol");
        for value in ["Bearer hunter2", "bearer hunter2", "BEARER  hunter2 "] {
            assert_eq!(bearer(&[(auth, value)]).as_deref(), Some("hunter2"), "{value}");
        }
        for value in ["Basic hunter2", "Bearer", "Bearer ", "hunter2", ""] {
            assert_eq!(bearer(&[(auth, value)]), None, "{value}");
        }
        assert_eq!(bearer(&[(auth, "Bearer hunter2"), (auth, "Bearer hunter3")]), None, "which one?");
        let offered = "duplex-rpc.v1, duplex-rpc.bearer.hunter2.sig";
        assert_eq!(bearer(&[(protocol, offered)]).as_deref(), Some("hunter2.sig"));
        assert_eq!(bearer(&[(protocol, offered), (auth, "Bearer hunter3")]).as_deref(), Some("hunter3"));
        assert_eq!(bearer(&[(protocol, "duplex-rpc.bearer.hunter2, duplex-rpc.bearer.hunter3")]), None);
        assert_eq!(bearer(&[(protocol, "duplex-rpc.v1, duplex-rpc.bearer.")]), None);
        assert_eq!(bearer(&[]), None);
    }

    #[test]
    fn a_cookie_is_found_by_its_name() {
        let uri = Uri::from_static("/");
        let cookie = |lines: &[(&'static str, &str)], name: &str| {
            let info = info(lines);
            AuthRequest::new(&uri, &info).cookie(name).map(|value| value.expose_text().unwrap().to_owned())
        };
        let lines = [("cookie", "theme=dark; session=hunter2"), ("cookie", "quoted=\"a=b\"")];
        assert_eq!(cookie(&lines, "session").as_deref(), Some("hunter2"));
        assert_eq!(cookie(&lines, "quoted").as_deref(), Some("a=b"));
        assert_eq!(cookie(&lines, "sessio"), None);
        assert_eq!(cookie(&[("cookie", "session=a; session=b")], "session"), None, "which one?");
    }
}
