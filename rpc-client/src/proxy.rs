//! `Proxy`: through which proxy a client reaches its server.

use std::{env, fmt, net::IpAddr};

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::error::ConnectError;

const HTTP_PORT: u16 = 80;
const SOCKS_PORT: u16 = 1080;
/// The most bytes of a user name or a password for SOCKS5 (RFC 1929 §2).
const MAX_LOGIN: usize = 255;

/// Through which proxy a client reaches its server: `.proxy(..)` of [`ConnectBuilder`](crate::ConnectBuilder).
/// Without it, the environment decides, as [`from_env`](Self::from_env) says.
///
/// The client asks the proxy for a tunnel to the host and port of the URL, and the proxy resolves the name: a proxy of
/// HTTP by CONNECT (RFC 9110 §9.3.6), one of SOCKS5 by RFC 1928. With a `wss://` URL the proxy sees no more of the
/// connection than that; with a `ws://` URL it can read everything. What the proxy takes counts under
/// [`Config::upgrade_timeout`](rpc_core::Config::upgrade_timeout), and its failures are [`ConnectError::Proxy`].
/// Through a proxy, [`Session::peer_addr`](rpc_core::Session::peer_addr) is `None`.
///
/// ```
/// use rpc_client::{Proxy, connect};
///
/// # fn main() -> Result<(), rpc_client::ConnectError> {
/// let through = connect("wss://rpc.example.com/").proxy(Proxy::http("http://user:password@proxy.example.com:3128")?);
/// let direct = connect("wss://rpc.example.com/").proxy(Proxy::none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Proxy {
    choice: Choice,
}

#[derive(Clone)]
enum Choice {
    None,
    /// Every server is reached through this proxy.
    Given(Hop),
    Environment(Box<Environment>),
}

impl Proxy {
    /// No proxy: the client connects to the server by itself, even if the environment names a proxy.
    pub fn none() -> Self {
        Self { choice: Choice::None }
    }

    /// A proxy for every host, also for those on this machine: `http://proxy:3128`, or
    /// `http://user:password@proxy:3128` if it wants Basic authorization (special characters are %-encoded). The
    /// default port is 80.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Proxy`] if the URL is not valid, or does not begin with `http://`.
    pub fn http(url: &str) -> Result<Self, ConnectError> {
        let hop = Hop::parse(url)?;
        match hop.protocol {
            Protocol::Http { .. } => Ok(Self { choice: Choice::Given(hop) }),
            Protocol::Socks5 { .. } => Err(hop.unfit("it is a proxy of SOCKS5; use Proxy::socks5")),
        }
    }

    /// A SOCKS5 proxy for every host, also for those on this machine: `socks5://proxy:1080`, or
    /// `socks5://user:password@proxy:1080` (special characters are %-encoded; at most 255 bytes each). The default port
    /// is 1080. The user name and the password go to the proxy unencrypted, as the protocol has it. `socks5h://` means
    /// the same: the proxy resolves the name.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Proxy`] if the URL is not valid, or does not begin with `socks5://` or `socks5h://`.
    pub fn socks5(url: &str) -> Result<Self, ConnectError> {
        let hop = Hop::parse(url)?;
        match hop.protocol {
            Protocol::Socks5 { .. } => Ok(Self { choice: Choice::Given(hop) }),
            Protocol::Http { .. } => Err(hop.unfit("a SOCKS5 proxy is written socks5://host:port")),
        }
    }

    /// What the environment says now, with the variables that curl and others read:
    ///
    /// | Variable | Meaning |
    /// |---|---|
    /// | `https_proxy`, else `HTTPS_PROXY` | the proxy for `wss://` URLs |
    /// | `http_proxy` | the proxy for `ws://` URLs |
    /// | `all_proxy`, else `ALL_PROXY` | the proxy where the variables above say none |
    /// | `no_proxy`, else `NO_PROXY` | hosts that are reached directly, separated by commas |
    ///
    /// `HTTP_PROXY` is not read: in a CGI program, a client sets this variable with the header `Proxy`. A host in
    /// `no_proxy` is a name, which stands for its subdomains too, an IP address, a network (`10.0.0.0/8`), or `*`.
    ///
    /// A proxy is written `http://host:port` (or `host:port`), or `socks5://host:port`. An empty variable says nothing.
    /// `localhost`, names that end in `.localhost`, and loopback addresses are always reached directly. A variable that
    /// names no proxy that can be used is an error when connecting to a host that it is for.
    pub fn from_env() -> Self {
        // What is no text is no URL either, and no reason to connect directly.
        Self::from_variables(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            let set = names.iter().filter_map(|name| variable(name));
            set.map(|value| value.trim().to_owned()).find(|value| !value.is_empty())
        };
        let all = first(&["all_proxy", "ALL_PROXY"]);
        let environment = Environment {
            ws: first(&["http_proxy"]).or_else(|| all.clone()),
            wss: first(&["https_proxy", "HTTPS_PROXY"]).or(all),
            no: first(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        };
        Self { choice: Choice::Environment(Box::new(environment)) }
    }

    /// The proxy to reach this host through, if there is one. An IPv6 address has no brackets.
    pub(crate) fn hop(&self, is_tls: bool, host: &str) -> Result<Option<Hop>, ConnectError> {
        match &self.choice {
            Choice::None => Ok(None),
            Choice::Given(hop) => Ok(Some(hop.clone())),
            Choice::Environment(environment) => environment.hop(is_tls, host),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of the environment may hold passwords.
        let shown = match &self.choice {
            Choice::None => "none",
            Choice::Given(hop) => &hop.name,
            Choice::Environment(_) => "from the environment",
        };
        f.debug_tuple("Proxy").field(&shown).finish()
    }
}

/// What the environment says.
#[derive(Clone)]
struct Environment {
    ws: Option<String>,
    wss: Option<String>,
    no: String,
}

impl Environment {
    fn hop(&self, is_tls: bool, host: &str) -> Result<Option<Hop>, ConnectError> {
        let Some(url) = (if is_tls { &self.wss } else { &self.ws }) else {
            return Ok(None);
        };
        if is_local(host) || self.excepts(host) {
            return Ok(None);
        }
        Hop::parse(url).map(Some)
    }

    /// Whether `no_proxy` names the host. The matcher knows no WebSockets, so it is asked for a URL of HTTP; the proxy
    /// is any that it takes.
    fn excepts(&self, host: &str) -> bool {
        let matcher = Matcher::builder().all("http://proxy").no(self.no.as_str()).build();
        let host = bracketed(host);
        format!("http://{host}/").parse::<Uri>().is_ok_and(|uri| matcher.intercept(&uri).is_none())
    }
}

/// Whether a host is this machine, by its name alone.
fn is_local(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(addr) => addr.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// A host as URLs have it.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A proxy that is on the way.
#[derive(Clone)]
pub(crate) struct Hop {
    /// For the resolver: no brackets around an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As errors have it: without the password.
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
}

/// What a proxy speaks, and what it is shown.
#[derive(Clone)]
pub(crate) enum Protocol {
    /// With the value of the header `Proxy-Authorization`.
    Http { authorization: Option<HeaderValue> },
    /// With a user name and a password of at most 255 bytes each.
    Socks5 { login: Option<(String, String)> },
}

impl Hop {
    fn parse(url: &str) -> Result<Self, ConnectError> {
        let bad =
            |why: &str| ConnectError::Proxy { proxy: without_password(url), why: why.to_owned(), is_temporary: false };
        let is_socks = match url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            // As curl has it, a proxy without a scheme is one of HTTP.
            Some("http") | None => false,
            Some("socks5" | "socks5h") => true,
            Some("https") => return Err(bad("a proxy that is itself reached by TLS is not supported; write http://")),
            Some(_) => return Err(bad("a proxy of this kind is not supported; write http://host:port")),
        };
        let intercept = intercept(url).ok_or_else(|| bad("its URL is not valid; write http://host:port"))?;
        let authority = intercept.uri().authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| bad("special characters of a password must be %-encoded"))?;
        let host = authority.host();
        if host.is_empty() {
            return Err(bad("its host is missing; write http://host:port"));
        }
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            None | Some("") => {
                if is_socks {
                    SOCKS_PORT
                } else {
                    HTTP_PORT
                }
            }
            Some(digits) => digits.parse().map_err(|_| bad("its port is not a number up to 65535"))?,
        };
        let protocol = if is_socks {
            let login = intercept.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
            if login.as_ref().is_some_and(|(user, password)| user.len().max(password.len()) > MAX_LOGIN) {
                return Err(bad("its user name or password has more than 255 bytes"));
            }
            Protocol::Socks5 { login }
        } else {
            Protocol::Http { authorization: intercept.basic_auth().cloned() }
        };
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            name: format!("{}://{host}:{port}", if is_socks { "socks5" } else { "http" }),
            protocol,
        })
    }

    fn unfit(self, why: &str) -> ConnectError {
        ConnectError::Proxy { proxy: self.name, why: why.to_owned(), is_temporary: false }
    }
}

/// What can be shown of a URL that is wrong: what stands before the last @ may be a password, and what stands in the
/// place of the port too, if the host was forgotten.
fn without_password(url: &str) -> String {
    let shown = url.rsplit('@').next().unwrap_or_default();
    let is_port = |text: &str| text.trim_end_matches('/').bytes().all(|byte| byte.is_ascii_digit());
    match shown.rsplit_once(':') {
        Some((before, port)) if !port.starts_with("//") && !is_port(port) => format!("{before}:…"),
        _ => shown.to_owned(),
    }
}

/// A proxy's URL, taken apart. The matcher knows schemes in small letters.
fn intercept(url: &str) -> Option<Intercept> {
    let url = match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => url.to_owned(),
    };
    Matcher::builder().all(url).build().intercept(&Uri::from_static("http://host/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Proxy {
        Proxy::from_variables(|name| variables.iter().find(|(set, _)| *set == name).map(|&(_, value)| value.to_owned()))
    }

    /// The proxies for a `ws://` and for a `wss://` URL of a host.
    fn names(proxy: &Proxy, host: &str) -> [Option<String>; 2] {
        [false, true].map(|is_tls| proxy.hop(is_tls, host).unwrap().map(|hop| hop.name))
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let [a, b] = ["http://a:1", "http://b:2"].map(|name| Some(name.to_owned()));
        for (variables, expected) in [
            (&[("http_proxy", "http://a:1"), ("https_proxy", "b:2")][..], [a.clone(), b.clone()]),
            (&[("HTTP_PROXY", "http://a:1")], [None, None]),
            (&[("HTTPS_PROXY", "http://b:2")], [None, b.clone()]),
            (&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2")], [None, b.clone()]),
            (&[("ALL_PROXY", "http://a:1")], [a.clone(), a.clone()]),
            (&[("all_proxy", "http://a:1"), ("https_proxy", "http://b:2")], [a.clone(), b]),
            (&[("http_proxy", ""), ("ALL_PROXY", "http://a:1")], [a.clone(), a]),
            (&[], [None, None]),
        ] {
            assert_eq!(names(&environment(variables), "example.com"), expected, "{variables:?}");
        }
    }

    #[test]
    fn this_machine_and_what_no_proxy_names_are_reached_directly() {
        let no = "example.com, .dotted.org,10.0.0.0/8,2001:db8::1";
        let proxy = environment(&[("all_proxy", "http://a:1"), ("no_proxy", no)]);
        let direct = ["localhost", "LOCALHOST", "localhost.", "app.localhost", "127.0.0.1", "127.1.2.3", "::1"];
        let named = ["::ffff:127.0.0.1", "example.com", "a.example.com", "a.dotted.org", "10.1.2.3", "2001:db8::1"];
        for host in direct.into_iter().chain(named) {
            assert_eq!(names(&proxy, host), [None, None], "{host}");
        }
        for host in ["notexample.com", "11.0.0.1", "2001:db8::2", "localhost.example.org"] {
            assert_eq!(names(&proxy, host), ["http://a:1"; 2].map(|name| Some(name.to_owned())), "{host}");
        }
        let all = environment(&[("all_proxy", "http://a:1"), ("NO_PROXY", "*")]);
        assert_eq!(names(&all, "example.com"), [None, None]);
        assert_eq!(names(&Proxy::http("http://a:1").unwrap(), "localhost"), ["http://a:1"; 2].map(|a| Some(a.into())));
        assert_eq!(names(&Proxy::none(), "example.com"), [None, None]);
    }

    #[test]
    fn a_url_is_taken_apart() {
        let hop = Hop::parse("http://Aladdin:open%20sesame@proxy").unwrap();
        assert_eq!((hop.host.as_str(), hop.port, hop.name.as_str()), ("proxy", 80, "http://proxy:80"));
        let Protocol::Http { authorization: Some(authorization) } = hop.protocol else { panic!("no authorization") };
        assert_eq!(authorization, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let hop = Hop::parse("http://[::1]:3128/").unwrap();
        assert_eq!((hop.host.as_str(), hop.port, hop.name.as_str()), ("::1", 3128, "http://[::1]:3128"));
        assert!(matches!(hop.protocol, Protocol::Http { authorization: None }));
        let hop = Hop::parse("SOCKS5H://Aladdin:open%20sesame@proxy").unwrap();
        assert_eq!((hop.host.as_str(), hop.port, hop.name.as_str()), ("proxy", 1080, "socks5://proxy:1080"));
        let Protocol::Socks5 { login: Some((user, password)) } = hop.protocol else { panic!("no login") };
        assert_eq!((user.as_str(), password.as_str()), ("Aladdin", "open sesame"));
        let hop = Hop::parse("socks5://[::1]:9050").unwrap();
        assert_eq!((hop.host.as_str(), hop.port), ("::1", 9050));
        assert!(matches!(hop.protocol, Protocol::Socks5 { login: None }));
    }

    #[test]
    fn a_proxy_of_another_protocol_is_an_error() {
        let error = Proxy::http("socks5://user:secret@proxy").unwrap_err().to_string();
        assert!(error.contains("use Proxy::socks5") && !error.contains("secret"), "{error}");
        let error = Proxy::socks5("http://user:secret@proxy").unwrap_err().to_string();
        assert!(error.contains("socks5://host:port") && !error.contains("secret"), "{error}");
        let long = format!("socks5://user:{}@proxy", "s".repeat(256));
        assert!(Proxy::socks5(&long).unwrap_err().to_string().contains("255"));
        let socks = environment(&[("ALL_PROXY", "socks5://user:secret@a")]);
        assert_eq!(names(&socks, "example.com"), ["socks5://a:1080"; 2].map(|name| Some(name.to_owned())));
    }

    #[test]
    fn a_url_that_cannot_be_used_is_an_error_without_its_password() {
        for (url, word) in [
            ("https://user:secret@proxy", "TLS"),
            ("socks4://user:secret@proxy", "http://"),
            ("http://user:secret@proxy:99999", "port"),
            ("http://user:secret@", "valid"),
            ("http://user:sec#ret@proxy", ""),
            ("http://user:secret@more@proxy", ""),
            ("http://user:se cret@proxy", "valid"),
            ("user:secret@pro xy", "valid"),
            ("", "valid"),
        ] {
            let error = Proxy::http(url).unwrap_err();
            assert!(matches!(error, ConnectError::Proxy { is_temporary: false, .. }), "{error:?}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(word) && !shown.contains("ret") && !shown.contains("user"), "{url}: {shown}");
            // A variable that cannot be used does not make the connection a direct one.
            let proxy = environment(&[("all_proxy", url)]);
            assert_eq!(proxy.hop(true, "example.com").is_err(), !url.is_empty(), "{url}");
            assert!(proxy.hop(true, "localhost").unwrap().is_none(), "{url}");
            assert!(!format!("{proxy:?}").contains("ret"));
        }
        for url in ["http://user:secret", "socks4://user:secret/", "user:sec:ret"] {
            let error = Proxy::http(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("ret"), "{url}: {error:?}");
        }
        let shown = format!("{:?}", Proxy::http("http://user:secret@proxy:1").unwrap());
        assert_eq!(shown, "Proxy(\"http://proxy:1\")");
    }
}
