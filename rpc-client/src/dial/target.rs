//! `Target`: the host, port and path of a URL (RFC 6455 §3).

use http::{
    Uri,
    uri::{Authority, PathAndQuery},
};

use crate::error::ConnectError;

const PORT: u16 = 80;
const TLS_PORT: u16 = 443;

/// The host and port to dial, and the names that the handshake sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The URL as errors show it.
    pub(super) url: String,
    pub(super) is_tls: bool,
    /// The host: no brackets around an IPv6 address, and no zone.
    pub(super) host: String,
    /// The zone of an IPv6 address, which says something on this machine alone (RFC 6874 §4).
    zone: Option<String>,
    pub(super) port: u16,
    /// Host and port, as the header Host has them: without the default port.
    pub(super) authority: String,
    /// The URL, with its scheme in small letters and a path.
    pub(super) uri: Uri,
}

/// What to write in place of a URL that names no host.
const EXAMPLE: &str = "write it like ws://127.0.0.1:9000/";

/// What can be shown of a URL: no query and no fragment, which may hold a token, and nothing of what stands before an
/// `@`, which may be a password. A password may have a `?` or a `#` that is not encoded: then a part of it stands where
/// the port would.
pub(crate) fn shown(url: &str) -> String {
    let (before, cut) = match url.find(['?', '#']) {
        Some(at) => (&url[..at], format!("{}…", &url[at..=at])),
        None => (url, String::new()),
    };
    let (scheme, rest) = before.split_at(before.find("://").map_or(0, |at| at + 3));
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}…@{host}{cut}"),
        None if url[before.len()..].contains('@') && !ends_with_port(rest) => format!("{scheme}…"),
        None => format!("{before}{cut}"),
    }
}

/// Whether what stands behind the last colon of the authority, if there is one, may be a port.
fn ends_with_port(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((_, port)) => authority.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit()),
        None => true,
    }
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, ConnectError> {
        let safe = shown(url);
        let bad = |why: &str| ConnectError::Url { url: safe.clone(), why: why.to_owned() };
        let Some((scheme, rest)) = safe.split_once("://") else {
            let rest = safe.trim_start_matches("wss:").trim_start_matches("ws:").trim_start_matches('/');
            return Err(bad(&match rest {
                "" => format!("a URL has a scheme and a host; {EXAMPLE}"),
                _ => format!("a URL begins with its scheme; write ws://{rest}, or wss://{rest} for TLS"),
            }));
        };
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            "https" => return Err(bad(&format!("a WebSocket's URL begins with wss://; write wss://{rest}"))),
            "http" => return Err(bad(&format!("a WebSocket's URL begins with ws://; write ws://{rest}"))),
            "unix" => return Err(bad("a Unix socket is named with .unix(..), beside a URL like ws://localhost/")),
            _ => return Err(bad("a WebSocket's URL begins with ws://, or with wss:// for TLS")),
        };
        if rest.is_empty() || rest.starts_with('/') {
            return Err(bad(&format!("the host is missing; {EXAMPLE}")));
        }
        if url.contains('#') {
            return Err(bad("a WebSocket's URL has no fragment (the part from # on)"));
        }
        let uri: Uri = url.parse().map_err(|error| bad(&format!("it is not a valid URL: {error}")))?;
        let authority = uri.authority().ok_or_else(|| bad("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a user name and password in the URL are not sent; use .header(\"authorization\", ..)"));
        }
        let named = authority.host();
        let (host, zone) = without_zone(named).ok_or_else(|| {
            bad("the zone of an IPv6 address stands behind %25; write it like ws://[fe80::1%25eth0]:9000/")
        })?;
        if host.is_empty() {
            return Err(bad("the host is missing"));
        }
        let default_port = if is_tls { TLS_PORT } else { PORT };
        let port = match authority.as_str()[named.len()..].split_at_checked(1) {
            None | Some((":", "")) => default_port,
            Some((":", port)) => number(port).ok_or_else(|| bad("the port is not a number up to 65535"))?,
            Some(_) => return Err(bad("only a port may stand behind the host, and a : before it")),
        };
        Ok(Self {
            is_tls,
            uri: normal(&uri, authority, is_tls).map_err(|error| bad(&format!("it is not a valid URL: {error}")))?,
            authority: if port == default_port { host.clone() } else { format!("{host}:{port}") },
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            zone,
            port,
            url: safe,
        })
    }

    /// The host as the resolver takes it.
    pub(super) fn to_resolve(&self) -> String {
        match &self.zone {
            Some(zone) => format!("{}%{zone}", self.host),
            None => self.host.clone(),
        }
    }
}

/// A port, which has digits alone (RFC 3986 §3.2.3).
fn number(port: &str) -> Option<u16> {
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?
}

/// Takes the zone out of a host (RFC 6874 §2). `None` if the zone is not written as a URL has it.
fn without_zone(host: &str) -> Option<(String, Option<String>)> {
    let Some((address, zone)) = host.split_once('%') else { return Some((host.to_owned(), None)) };
    let zone = zone.strip_prefix("25")?.strip_suffix(']').filter(|zone| !zone.is_empty())?;
    let is_plain = zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    is_plain.then(|| (format!("{address}]"), Some(zone.to_owned())))
}

/// The URL as a request has it. A request's target begins with the path, which may be left out of a URL (RFC 9112
/// §3.2.1), and the scheme may have large letters (RFC 3986 §3.1), which the WebSocket library does not know.
fn normal(uri: &Uri, authority: &Authority, is_tls: bool) -> Result<Uri, http::Error> {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let path = if target.starts_with('/') { "" } else { "/" };
    let scheme = if is_tls { "wss" } else { "ws" };
    Uri::builder().scheme(scheme).authority(authority.clone()).path_and_query(format!("{path}{target}")).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(url: &str) -> String {
        match Target::parse(url) {
            Err(ConnectError::Url { url: named, why }) => {
                assert_eq!(named, shown(url));
                why
            }
            other => panic!("{url}: {other:?}"),
        }
    }

    fn parts(url: &str) -> (String, u16, String, String) {
        let target = Target::parse(url).unwrap();
        (target.host, target.port, target.authority, target.uri.path_and_query().unwrap().to_string())
    }

    #[test]
    fn urls_are_taken_apart() {
        let of = |host: &str, port, authority: &str, path: &str| (host.into(), port, authority.into(), path.into());
        assert_eq!(parts("ws://127.0.0.1:9000/"), of("127.0.0.1", 9000, "127.0.0.1:9000", "/"));
        assert_eq!(parts("ws://example.com"), of("example.com", 80, "example.com", "/"));
        assert_eq!(parts("WS://example.com:80/a?b=c"), of("example.com", 80, "example.com", "/a?b=c"));
        assert_eq!(parts("ws://example.com?b=c"), of("example.com", 80, "example.com", "/?b=c"));
        assert_eq!(parts("ws://example.com:81?b=/c"), of("example.com", 81, "example.com:81", "/?b=/c"));
        assert_eq!(parts("ws://[::1]:9000/rpc"), of("::1", 9000, "[::1]:9000", "/rpc"));
        assert_eq!(parts("ws://[::1]"), of("::1", 80, "[::1]", "/"));
        assert_eq!(parts("ws://example.com:443"), of("example.com", 443, "example.com:443", "/"));
        assert_eq!(parts("wss://example.com"), of("example.com", 443, "example.com", "/"));
        assert_eq!(parts("WSS://example.com:443/a"), of("example.com", 443, "example.com", "/a"));
        assert_eq!(parts("wss://example.com:80/"), of("example.com", 80, "example.com:80", "/"));
        assert!(
            !Target::parse("Ws://example.com").unwrap().is_tls && Target::parse("wSs://example.com").unwrap().is_tls
        );
    }

    #[test]
    fn the_scheme_is_sent_in_small_letters() {
        for (url, uri) in [("WS://a", "ws://a/"), ("wSs://a:1?b", "wss://a:1/?b"), ("WS://A/B", "ws://A/B")] {
            assert_eq!(Target::parse(url).unwrap().uri, uri.parse::<Uri>().unwrap());
        }
        assert_eq!(Target::parse("WS://a").unwrap().uri.scheme_str(), Some("ws"));
    }

    #[test]
    fn only_the_resolver_hears_of_a_zone() {
        for (url, zone) in [("ws://[fe80::1%25eth0]:9000/rpc", "eth0"), ("ws://[fe80::1%252]:9000", "2")] {
            let target = Target::parse(url).unwrap();
            assert_eq!((&*target.host, &*target.authority), ("fe80::1", "[fe80::1]:9000"));
            assert_eq!(target.to_resolve(), format!("fe80::1%{zone}"));
        }
        assert_eq!(Target::parse("ws://[fe80::1%25eth0]").unwrap().authority, "[fe80::1]");
        assert_eq!(Target::parse("ws://[fe80::1]").unwrap().to_resolve(), "fe80::1");
        for url in ["ws://[fe80::1%eth0]/", "ws://[fe80::1%25]/", "ws://[fe80::1%25a%20b]/"] {
            assert!(why(url).contains("ws://[fe80::1%25eth0]"), "{url}: {}", why(url));
        }
    }

    #[test]
    fn errors_show_no_part_of_a_url_in_which_secrets_lie() {
        for (url, expected) in [
            ("ws://example.com/rpc", "ws://example.com/rpc"),
            ("ws://ada:pw@example.com/@home", "ws://…@home"),
            ("ada:p@w@example.com", "…@example.com"),
            ("ws://example.com?token=1@2", "ws://example.com?…"),
            ("wss://ada@example.com/rpc?token=1#2", "wss://…@example.com/rpc?…"),
            ("ws://ada:p?w@example.com/", "ws://…"),
            ("ws://ada:p#w@example.com/", "ws://…"),
            ("ws://[::1]:9000?user=ada@example.com", "ws://[::1]:9000?…"),
            ("ws://[::1]?user=ada@example.com", "ws://[::1]?…"),
            ("ws://example.com/#top", "ws://example.com/#…"),
            ("", ""),
        ] {
            assert_eq!(shown(url), expected);
        }
        assert_eq!(Target::parse("ws://example.com/rpc?token=1").unwrap().url, "ws://example.com/rpc?…");
        assert!(why("http://ada:pw@example.com/?token=1").ends_with("write ws://…@example.com/?…"));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_way_out() {
        assert!(why("127.0.0.1:9000").contains("ws://127.0.0.1:9000"));
        assert!(why("").contains("ws://"));
        assert!(why("http://example.com/x").contains("ws://example.com/x"));
        assert!(why("https://example.com/x").contains("wss://example.com/x"));
        assert!(why("127.0.0.1:9000").contains("wss://127.0.0.1:9000"));
        assert!(why("ftp://example.com").contains("ws://"));
        for url in ["", "ws:", "ws://", "wss://", "ws:///path"] {
            assert!(why(url).contains("host") && why(url).contains("write it like ws://127.0.0.1:9000/"), "{url}");
        }
        assert!(why("ws:/x").contains("write ws://x"), "{}", why("ws:/x"));
        assert!(why("ws://a b/").contains("URL"));
        assert!(why("unix:///run/rpc.sock").contains(".unix(..)"));
        assert!(why("ws://user:secret@example.com").contains("header"));
        assert!(why("ws://example.com/#top").contains("fragment"));
        for port in ["99999", "+80", "8O"] {
            assert!(why(&format!("ws://example.com:{port}/")).contains("port"), "{port}");
        }
        for url in ["ws://[::1]x:9000/", "ws://[::1]9000/", "ws://[fe80::1%25eth0]x/"] {
            assert!(why(url).contains("behind the host"), "{url}: {}", why(url));
        }
    }
}
