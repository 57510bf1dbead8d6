//! Checks of an HTTP request that asks for the WebSocket (RFC 6455 §4.2.1).

use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts};
use rpc_core::{TlsInfo, session::SUBPROTOCOL};

use super::refusal::Refusal;
use crate::{
    admission::{Hosts, Origins},
    headers::{MAX_HEAD, has_token, single, tokens},
};

/// The only version of the WebSocket there is (RFC 6455 §4.4).
const VERSION: &str = "13";
/// Sixteen bytes in base64: 22 digits and the padding.
const KEY_DIGITS: usize = 22;

/// Returns the WebSocket key of a request that may become a session.
pub(super) fn check(head: &Parts, origins: &Origins) -> Result<String, Refusal> {
    let key = check_handshake(head, origins)?;
    // Names of sub-protocols are compared as they are (RFC 6455 §1.9, §11.3.4).
    if !tokens(&head.headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == SUBPROTOCOL) {
        return Err(Refusal::SubProtocol);
    }
    Ok(key)
}

/// Returns the WebSocket key of a request that may be upgraded. The sub-protocols that it offers are not checked.
pub(crate) fn check_handshake(head: &Parts, origins: &Origins) -> Result<String, Refusal> {
    let headers = &head.headers;
    // The listener's buffer has a limit of its own, which the last read may overshoot.
    if size(headers) > MAX_HEAD {
        return Err(Refusal::TooLarge);
    }
    if head.method != Method::GET {
        return Err(Refusal::Method);
    }
    if head.version != Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    // What one side takes for a body, the other side would take for packets.
    if has_body(headers) {
        return Err(Refusal::Body);
    }
    if !has_token(headers, &header::UPGRADE, "websocket") || !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(Refusal::NoUpgrade);
    }
    // An empty Host is allowed (RFC 9112 §3.2), a missing one is not.
    let host = single(headers, &header::HOST).ok_or(Refusal::Host)?;
    // A host in the target counts more than the header (RFC 9112 §3.2.2), and all else here looks at the header.
    if head.uri.authority().is_some_and(|target| !target.as_str().eq_ignore_ascii_case(host)) {
        return Err(Refusal::Target);
    }
    if !comes_from_allowed(head, origins) {
        return Err(Refusal::Origin);
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(Refusal::WebSocketVersion);
    }
    let key = single(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key)).ok_or(Refusal::Key)?;
    Ok(key.to_owned())
}

/// Refuses a request with more headers than the server takes. A listener does so by itself; another HTTP server may
/// have a higher limit.
pub(crate) fn check_number(head: &Parts, most: usize) -> Result<(), Refusal> {
    if head.headers.len() > most { Err(Refusal::TooManyHeaders) } else { Ok(()) }
}

/// Refuses a request that does not come by an allowed name of the server. A page that has its own name lead to the
/// address of this server is of the same host as the request, so the check of origins lets it in.
pub(crate) fn check_host(head: &Parts, hosts: &Hosts) -> Result<(), Refusal> {
    let host = single(&head.headers, &header::HOST).unwrap_or_default();
    if hosts.allows(host) { Ok(()) } else { Err(Refusal::Misdirected) }
}

/// Whether the request comes from a web page that may connect, or from another program.
fn comes_from_allowed(head: &Parts, origins: &Origins) -> bool {
    let headers = &head.headers;
    if origins.allows_any() || !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let (host, is_encrypted) = (single(headers, &header::HOST), head.extensions.get::<TlsInfo>().is_some());
    single(headers, &header::ORIGIN).is_some_and(|origin| origins.allows(origin, host, is_encrypted))
}

fn has_body(headers: &HeaderMap) -> bool {
    let is_none = |length: &HeaderValue| length.as_bytes().iter().all(|&digit| digit == b'0');
    headers.contains_key(header::TRANSFER_ENCODING) || !headers.get_all(header::CONTENT_LENGTH).iter().all(is_none)
}

/// The length of the header lines.
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else { return false };
    digits.len() == KEY_DIGITS
        && digits.bytes().all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn good() -> Parts {
        Request::get("/")
            .header("Host", "example.com")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY)
            .header("Sec-WebSocket-Protocol", SUBPROTOCOL)
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    fn with(name: &'static str, value: &'static str) -> Result<String, Refusal> {
        let mut request = good();
        request.headers.insert(name, value.parse().unwrap());
        check(&request, &Origins::default())
    }

    fn without(name: &str) -> Result<String, Refusal> {
        let mut request = good();
        request.headers.remove(name);
        check(&request, &Origins::default())
    }

    #[test]
    fn a_good_request_gives_its_key() {
        assert_eq!(check(&good(), &Origins::default()), Ok(KEY.into()));
    }

    #[test]
    fn lists_and_case_are_read_as_http_says() {
        assert!(with("connection", "keep-alive, uPGRADE").is_ok());
        assert!(with("upgrade", "h2c,WebSocket").is_ok());
        assert!(with("sec-websocket-protocol", "chat, duplex-rpc.v2 ,duplex-rpc.v1").is_ok());
        let mut request = good();
        request.headers.insert("sec-websocket-protocol", "chat".parse().unwrap());
        request.headers.append("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        assert!(check(&request, &Origins::default()).is_ok());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for name in ["upgrade", "connection"] {
            assert_eq!(without(name), Err(Refusal::NoUpgrade));
            assert_eq!(with(name, "close"), Err(Refusal::NoUpgrade));
        }
        assert_eq!(without("host"), Err(Refusal::Host));
        assert_eq!(without("sec-websocket-version"), Err(Refusal::WebSocketVersion));
        assert_eq!(with("sec-websocket-version", "8"), Err(Refusal::WebSocketVersion));
        assert_eq!(without("sec-websocket-key"), Err(Refusal::Key));
        for bad in ["", "==", "c2hvcnQ=", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j!Q=="] {
            assert_eq!(with("sec-websocket-key", bad), Err(Refusal::Key), "{bad}");
        }
        assert_eq!(without("sec-websocket-protocol"), Err(Refusal::SubProtocol));
        for bad in ["", "chat", "duplex-rpc.v2", "DUPLEX-RPC.V1", "duplex-rpc.v1x"] {
            assert_eq!(with("sec-websocket-protocol", bad), Err(Refusal::SubProtocol), "{bad}");
        }
    }

    #[test]
    fn two_keys_or_hosts_are_none() {
        for (name, value, refusal) in [("sec-websocket-key", KEY, Refusal::Key), ("host", "example.com", Refusal::Host)]
        {
            let mut request = good();
            request.headers.append(name, value.parse().unwrap());
            assert_eq!(check(&request, &Origins::default()), Err(refusal));
        }
    }

    #[test]
    fn a_body_is_refused_and_its_absence_is_not() {
        for (name, value) in [("content-length", "1"), ("content-length", "010"), ("transfer-encoding", "chunked")] {
            assert_eq!(with(name, value), Err(Refusal::Body), "{name}: {value}");
        }
        assert!(with("content-length", "0").is_ok());
    }

    #[test]
    fn pages_of_foreign_origins_are_refused() {
        assert!(with("origin", "http://example.com").is_ok());
        assert_eq!(with("origin", "http://evil.com"), Err(Refusal::Origin));
        let mut request = good();
        request.headers.append("origin", "http://example.com".parse().unwrap());
        request.headers.append("origin", "http://example.com".parse().unwrap());
        assert_eq!(check(&request, &Origins::default()), Err(Refusal::Origin), "two origins are none");
        let mut any = Origins::default();
        any.allow_any();
        assert!(check(&request, &any).is_ok());
    }

    #[test]
    fn other_methods_and_versions_of_http_are_refused() {
        let mut request = good();
        request.method = Method::POST;
        assert_eq!(check(&request, &Origins::default()), Err(Refusal::Method));
        for version in [Version::HTTP_10, Version::HTTP_2] {
            let mut request = good();
            request.version = version;
            assert_eq!(check(&request, &Origins::default()), Err(Refusal::HttpVersion));
        }
    }
}
