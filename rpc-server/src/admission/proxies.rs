//! `Proxies`: which proxies are believed, and what they say about clients.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::socket::canonical;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies that are believed.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    trusted: Vec<IpNet>,
}

impl Proxies {
    /// Adds an address or a network; the error says what is wrong with the text.
    pub(crate) fn trust(&mut self, given: &str) -> Result<(), String> {
        let net = match given.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address.to_canonical()),
            Err(_) => {
                given.parse::<IpNet>().map_err(|_| "write an address or a network, like 10.0.0.0/8".to_owned())?
            }
        };
        // 10.1.2.3/8 is a typing error, or else a misunderstanding of what is trusted.
        if net.trunc() != net {
            return Err(format!(
                "the address has bits beyond the length of the network; write {:?}",
                net.trunc().to_string()
            ));
        }
        self.trusted.push(net);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.trusted.is_empty()
    }

    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        // A socket for both families shows an IPv4 address within an IPv6 address.
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The client behind a connection: the last hop that is no trusted proxy. The port is 0 if the proxy does not tell
    /// it.
    ///
    /// Each proxy adds the address from which a request reached it at the right end of the list, so every address is as
    /// trustworthy as the hop to its right. The client may have made up what stands to the left of its own address, or
    /// to the left of something that is no address.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let mut client = peer;
        // A proxy may put the client's address behind what the client itself wrote, in the same line, and that need not
        // be text.
        let lines = headers.get_all(FORWARDED_FOR).into_iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
        while self.is_trusted(client.ip()) {
            match hops.next().map(address) {
                Some(Some(hop)) => client = hop,
                Some(None) | None => break,
            }
        }
        client
    }
}

/// An address with or without a port, and with or without the brackets of IPv6.
fn address(hop: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    ip.or_else(|_| text.parse()).ok().map(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(trusted: &[&str]) -> Proxies {
        let mut proxies = Proxies::default();
        trusted.iter().for_each(|net| proxies.trust(net).unwrap());
        proxies
    }

    fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        proxies(trusted).client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_the_client() {
        let trusted = &["10.0.0.0/8", "192.0.2.1", "fd00::/8"];
        let cases: [(&str, &[&str], &str); 12] = [
            ("10.0.0.1:50", &["203.0.113.9"], "203.0.113.9:0"),
            ("10.0.0.1:50", &["203.0.113.9:4711"], "203.0.113.9:4711"),
            ("10.0.0.1:50", &["1.1.1.1, 203.0.113.9, 10.2.2.2 ,192.0.2.1"], "203.0.113.9:0"),
            ("10.0.0.1:50", &["1.1.1.1, 203.0.113.9", "10.2.2.2"], "203.0.113.9:0"),
            ("10.0.0.1:50", &["2001:db8::7"], "[2001:db8::7]:0"),
            ("[fd00::1]:50", &["[2001:db8::7]:4711"], "[2001:db8::7]:4711"),
            ("[::ffff:10.0.0.1]:50", &["[2001:db8::7]"], "[2001:db8::7]:0"),
            ("10.0.0.1:50", &["::ffff:203.0.113.9"], "203.0.113.9:0"),
            // No header names a client, or all hops are trusted.
            ("10.0.0.1:50", &[], "10.0.0.1:50"),
            ("10.0.0.1:50", &["10.0.0.2"], "10.0.0.2:0"),
            // The client may have made up these addresses.
            ("10.0.0.1:50", &["1.1.1.1, unknown, 10.2.2.2"], "10.2.2.2:0"),
            ("203.0.113.9:50", &["1.1.1.1"], "203.0.113.9:50"),
        ];
        for (peer, lines, expected) in cases {
            assert_eq!(client(trusted, peer, lines), expected, "{peer} {lines:?}");
        }
        assert_eq!(client(&[], "127.0.0.1:50", &["1.1.1.1"]), "127.0.0.1:50");
    }

    #[test]
    fn what_is_no_text_hides_no_hop_to_its_right() {
        for nonsense in [&b"\xff"[..], b"1.1.1.1, \x80\x81", b"\xff, 1.1.1.1\xff"] {
            let mut headers = HeaderMap::new();
            let line = [nonsense, b", 203.0.113.9, 10.2.2.2"].concat();
            headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(&line).unwrap());
            let client = proxies(&["10.0.0.0/8"]).client("10.0.0.1:50".parse().unwrap(), &headers);
            assert_eq!(client.to_string(), "203.0.113.9:0", "{nonsense:?}");
        }
    }

    #[test]
    fn a_line_that_is_no_text_is_believed_by_none() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, "1.1.1.1".parse().unwrap());
        headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(b"\xff").unwrap());
        let peer = "10.0.0.1:50".parse().unwrap();
        assert_eq!(proxies(&["10.0.0.0/8"]).client(peer, &headers), peer);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let mut proxies = Proxies::default();
        for wrong in ["", "proxy.example.com", "10.0.0.0/33", "10.0.0.1:80", "10.*"] {
            assert!(proxies.trust(wrong).unwrap_err().contains("10.0.0.0/8"), "{wrong}");
        }
        assert!(proxies.trust("10.1.2.3/8").unwrap_err().ends_with(r#"write "10.0.0.0/8""#));
        assert!(proxies.trust("::ffff:10.0.0.1").is_ok() && proxies.is_trusted("10.0.0.1".parse().unwrap()));
    }
}
