//! `Origins`: which web pages may connect (RFC 6455 §10.2).

use std::net::Ipv6Addr;

use http::uri::Authority;

/// The web origins that may connect besides the server's own.
///
/// Browsers name the page's origin in each WebSocket handshake, and a page cannot change that name. Without this check
/// any page that a user visits could call a server that the user's browser can reach. Other programs send no origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    any: bool,
    allowed: Vec<Origin>,
}

/// The origin of a web page (RFC 6454 §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// The origin of pages that have no host: `null`, or `file://` in some browsers.
    Hostless(&'static str),
    Host {
        scheme: String,
        /// As browsers write it: in lower case, IPv6 addresses in brackets.
        host: String,
        /// The default of the scheme where the origin names no port.
        port: Option<u16>,
    },
}

impl Origins {
    pub(crate) fn allow_any(&mut self) {
        self.any = true;
    }

    /// Allows one more origin. The error says what is wrong with the text, and what would be right.
    pub(crate) fn allow(&mut self, origin: &str) -> Result<(), String> {
        self.allowed.push(Origin::parse(origin)?);
        Ok(())
    }

    /// Whether a page of this origin may connect. `host` is the header Host of its request, and `is_encrypted` says
    /// whether the request came by TLS.
    pub(crate) fn allows(&self, origin: &str, host: Option<&str>, is_encrypted: bool) -> bool {
        let is_own = |origin: &Origin| host.is_some_and(|host| origin.is_at(host, is_encrypted));
        self.any || Origin::parse(origin).is_ok_and(|origin| self.allowed.contains(&origin) || is_own(&origin))
    }

    pub(crate) fn allows_any(&self) -> bool {
        self.any
    }
}

impl Origin {
    fn parse(origin: &str) -> Result<Self, String> {
        for hostless in ["null", "file://"] {
            if origin == hostless {
                return Ok(Self::Hostless(hostless));
            }
        }
        if origin.contains('*') {
            return Err(
                "origins are compared as a whole, so a `*` stands for nothing; name each origin, or let every \
                        page connect with allow_any_origin"
                    .to_owned(),
            );
        }
        let Some((scheme, rest)) = origin.split_once("://") else {
            return Err(format!("an origin begins with a scheme; write {:?}", format!("https://{origin}")));
        };
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "ws" => return Err(format!("an origin is where the page is; write {:?}", format!("http://{rest}"))),
            "wss" => return Err(format!("an origin is where the page is; write {:?}", format!("https://{rest}"))),
            _ if !is_scheme(&scheme) => return Err(format!("{scheme:?} is not a scheme; write https or http")),
            _ => {}
        }
        if let Some(end) = rest.find(['/', '?', '#']) {
            let right = format!("{scheme}://{}", &rest[..end]);
            return Err(format!("an origin ends with the host or the port; write {right:?}"));
        }
        if rest.contains('@') {
            return Err("an origin has no user name; write scheme, host and port alone".to_owned());
        }
        let (host, port) = host_and_port(rest)?;
        let port = port.or_else(|| default_port(&scheme));
        Ok(Self::Host { scheme, host, port })
    }

    /// Whether the page came from the host and port to which it sends the request.
    ///
    /// By TLS come the pages of `https` alone: a third party on the way can write a page of `http`. Without TLS, both
    /// schemes come, because a proxy may have taken the TLS off.
    fn is_at(&self, at: &str, is_encrypted: bool) -> bool {
        let Self::Host { scheme, host, port } = self else { return false };
        if is_encrypted && scheme != "https" {
            return false;
        }
        // A host without a port means the default port of the page's scheme.
        let Some(default) = default_port(scheme) else { return false };
        let Ok(at) = at.parse::<Authority>() else { return false };
        let at_port = at.port_u16().unwrap_or(default);
        *port == Some(at_port) && normal_host(at.host()).is_ok_and(|at| at == *host)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// RFC 3986 §3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
}

fn host_and_port(rest: &str) -> Result<(String, Option<u16>), String> {
    // The colons of an IPv6 address stand within brackets.
    let end = if rest.starts_with('[') { rest.find(']').unwrap_or(rest.len()) } else { 0 };
    let (host, port) = match rest[end..].split_once(':') {
        None => (rest, None),
        Some((before, port)) => (&rest[..end + before.len()], Some(port)),
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => match digits.parse() {
            Ok(0) | Err(_) => return Err("a port is a number from 1 to 65535".to_owned()),
            Ok(port) => Some(port),
        },
        Some(_) => return Err("a port is a number from 1 to 65535".to_owned()),
    };
    Ok((normal_host(host)?, port))
}

/// The host in the form that browsers send.
fn normal_host(host: &str) -> Result<String, String> {
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return address.map(|address| format!("[{address}]")).ok_or_else(|| "its IPv6 address is wrong".to_owned());
    }
    if !host.is_ascii() {
        return Err("browsers send such a host in ASCII; write it as they do (xn--…)".to_owned());
    }
    match host.chars().find(|letter| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '.' | '_')) {
        Some(letter) => Err(format!("{letter:?} cannot stand in a host")),
        None => Ok(host.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &[&str], origin: &str, host: &str) -> bool {
        let mut origins = Origins::default();
        for origin in allowed {
            origins.allow(origin).unwrap();
        }
        origins.allows(origin, Some(host), false)
    }

    #[test]
    fn the_own_origin_may_connect() {
        assert!(allows(&[], "http://example.com", "example.com"));
        assert!(allows(&[], "https://example.com", "example.com"));
        assert!(allows(&[], "http://Example.com:9000", "example.COM:9000"));
        assert!(allows(&[], "http://example.com:80", "example.com"));
        assert!(allows(&[], "http://[::1]:9000", "[::1]:9000"));
        assert!(allows(&[], "http://[::1]", "[0:0:0:0:0:0:0:1]:80"));
    }

    #[test]
    fn a_page_that_came_without_tls_is_not_of_a_server_that_is_reached_by_tls() {
        let mut origins = Origins::default();
        for (origin, host, is_own) in [
            ("https://example.com", "example.com", true),
            ("https://example.com:9000", "example.com:9000", true),
            ("http://example.com", "example.com", false),
            ("http://example.com:9000", "example.com:9000", false),
        ] {
            assert_eq!(origins.allows(origin, Some(host), true), is_own, "{origin}");
        }
        origins.allow("http://example.com").unwrap();
        assert!(origins.allows("http://example.com", Some("example.com"), true), "it is named");
    }

    #[test]
    fn foreign_origins_may_not() {
        for origin in [
            "http://evil.com",
            "http://example.com:9001",
            "http://example.com.evil.com:9000",
            "http://evil.com/example.com:9000",
            "http://evil.com@example.com:9000",
            "null",
            "",
            "file://",
            "ftp://example.com:9000",
        ] {
            assert!(!allows(&[], origin, "example.com:9000"), "{origin}");
        }
        assert!(!allows(&[], "https://example.com", "example.com:80"));
        assert!(!Origins::default().allows("https://example.com", None, false));
    }

    #[test]
    fn allowed_origins_may() {
        let allowed = ["https://App.example.com", "http://localhost:3000", "chrome-extension://abcdef"];
        assert!(allows(&allowed, "https://app.example.com", "rpc.example.com"));
        assert!(allows(&allowed, "https://app.example.com:443", "rpc.example.com"));
        assert!(allows(&allowed, "http://localhost:3000", "rpc.example.com"));
        assert!(allows(&allowed, "chrome-extension://abcdef", "rpc.example.com"));
        assert!(!allows(&allowed, "http://app.example.com", "rpc.example.com"));
        assert!(!allows(&allowed, "http://localhost:3001", "rpc.example.com"));
        assert!(!allows(&allowed, "https://app.example.com/", "rpc.example.com"));
        for hostless in ["null", "file://"] {
            assert!(allows(&[hostless], hostless, "rpc.example.com"));
            assert!(!allows(&["https://a.example"], hostless, "rpc.example.com"));
        }
        assert!(allows(&["https://a.example:443"], "https://a.example", "rpc.example.com"));
        let mut any = Origins::default();
        any.allow_any();
        assert!(any.allows("http://evil.com", None, true));
    }

    #[test]
    fn what_could_never_match_is_refused_with_what_would() {
        for (wrong, advice) in [
            ("https://app.example.com/", r#"write "https://app.example.com""#),
            ("https://app.example.com:8443/chat?x", r#"write "https://app.example.com:8443""#),
            ("https://app.example.com#top", r#"write "https://app.example.com""#),
            ("app.example.com", r#"write "https://app.example.com""#),
            ("wss://app.example.com", r#"write "https://app.example.com""#),
            ("ws://app.example.com", r#"write "http://app.example.com""#),
            ("*", "allow_any_origin"),
            ("https://*.example.com", "allow_any_origin"),
            ("https://", "host is missing"),
            ("https://:443", "host is missing"),
            ("", "begins with a scheme"),
            ("1http://example.com", "is not a scheme"),
            ("https://example.com:", "1 to 65535"),
            ("https://example.com:0", "1 to 65535"),
            ("https://example.com:+1", "1 to 65535"),
            ("https://example.com:65536", "1 to 65535"),
            ("https://a:1:2", "1 to 65535"),
            ("https://[::1", "IPv6"),
            ("https://[::x]:9000", "IPv6"),
            ("https://[::1]x:9000", "IPv6"),
            ("https://user@example.com", "user name"),
            ("https://bücher.example", "xn--"),
            ("https://a b.example", "' ' cannot stand in a host"),
            ("Null", "begins with a scheme"),
        ] {
            let said = Origins::default().allow(wrong).unwrap_err();
            assert!(said.contains(advice), "{wrong:?}: {said}");
        }
    }
}
