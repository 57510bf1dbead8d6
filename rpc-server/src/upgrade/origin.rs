//! `Origins`: which web pages may connect (RFC 6455 §10.2).

use http::{HeaderMap, Uri, header};

use super::{headers::single, refusal::Refusal};

/// The web origins that may connect besides the server's own.
///
/// Browsers name the page's origin in each WebSocket handshake and cannot be made to lie by a page; without this check
/// any page that a user visits could call a server that the user's browser can reach. Other programs send no origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    any: bool,
    allowed: Vec<String>,
}

impl Origins {
    /// Allows one more: `https://app.example.com`, or `*` for all.
    pub(crate) fn allow(&mut self, origin: &str) {
        if origin == "*" {
            self.any = true;
        } else {
            self.allowed.push(normal(origin));
        }
    }

    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.any || !headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let origin = single(headers, &header::ORIGIN).ok_or(Refusal::Origin)?;
        if self.allowed.contains(&normal(origin)) || is_own(origin, single(headers, &header::HOST)) {
            return Ok(());
        }
        Err(Refusal::Origin)
    }
}

fn normal(origin: &str) -> String {
    let origin = origin.trim_end_matches('/').to_ascii_lowercase();
    match (origin.strip_prefix("http://"), origin.strip_prefix("https://")) {
        (Some(rest), _) if rest.ends_with(":80") => origin.trim_end_matches(":80").to_owned(),
        (_, Some(rest)) if rest.ends_with(":443") => origin.trim_end_matches(":443").to_owned(),
        _ => origin,
    }
}

/// Whether the page came from the host and port that the request went to.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Ok(origin), Some(host)) = (origin.parse::<Uri>(), host) else { return false };
    let Ok(host) = host.parse::<http::uri::Authority>() else { return false };
    // A host without a port means the default port of the scheme that the page has; a proxy may have taken the TLS off.
    let default = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let same_port = origin.port_u16().unwrap_or(default) == host.port_u16().unwrap_or(default);
    same_port && origin.host().is_some_and(|name| name.eq_ignore_ascii_case(host.host()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[&str], origin: Option<&str>, host: &str) -> bool {
        let mut origins = Origins::default();
        for origin in allowed {
            origins.allow(origin);
        }
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        origins.check(&headers).is_ok()
    }

    #[test]
    fn no_origin_is_no_browser_and_may_connect() {
        assert!(check(&[], None, "example.com"));
    }

    #[test]
    fn the_own_origin_may_connect() {
        assert!(check(&[], Some("http://example.com"), "example.com"));
        assert!(check(&[], Some("https://example.com"), "example.com"));
        assert!(check(&[], Some("http://Example.com:9000"), "example.COM:9000"));
        assert!(check(&[], Some("http://example.com:80"), "example.com"));
        assert!(check(&[], Some("http://[::1]:9000"), "[::1]:9000"));
    }

    #[test]
    fn foreign_origins_may_not() {
        for origin in [
            "http://evil.com",
            "http://example.com:9001",
            "http://example.com.evil.com:9000",
            "http://evil.com/example.com:9000",
            "null",
            "",
            "file://",
            "ftp://example.com:9000",
        ] {
            assert!(!check(&[], Some(origin), "example.com:9000"), "{origin}");
        }
        assert!(!check(&[], Some("https://example.com"), "example.com:80"));
    }

    #[test]
    fn allowed_origins_may() {
        let allowed = ["https://App.example.com/", "http://localhost:3000"];
        assert!(check(&allowed, Some("https://app.example.com"), "rpc.example.com"));
        assert!(check(&allowed, Some("https://app.example.com:443"), "rpc.example.com"));
        assert!(check(&allowed, Some("http://localhost:3000"), "rpc.example.com"));
        assert!(!check(&allowed, Some("http://app.example.com"), "rpc.example.com"));
        assert!(!check(&allowed, Some("http://localhost:3001"), "rpc.example.com"));
        assert!(check(&["*"], Some("http://evil.com"), "rpc.example.com"));
        assert!(check(&["null"], Some("null"), "rpc.example.com"));
    }

    #[test]
    fn two_origins_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "example.com".parse().unwrap());
        headers.append("origin", "http://example.com".parse().unwrap());
        headers.append("origin", "http://example.com".parse().unwrap());
        assert_eq!(Origins::default().check(&headers), Err(Refusal::Origin));
    }
}
