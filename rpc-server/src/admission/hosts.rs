//! `Hosts`: under which names a server is reached.

use http::uri::Authority;

/// The names under which a server is reached.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// Without any, every name is right.
    allowed: Vec<Authority>,
}

impl Hosts {
    /// Adds a host, with or without a port; the error says what is wrong with the text.
    pub(crate) fn allow(&mut self, given: &str) -> Result<(), String> {
        let host =
            given.parse::<Authority>().ok().filter(is_host).ok_or("write a host, like example.com or [::1]:9000")?;
        self.allowed.push(host);
        Ok(())
    }

    /// Whether a request with this header Host is let in. A host that is allowed without a port is allowed with every
    /// port.
    pub(crate) fn allows(&self, host: &str) -> bool {
        if self.allowed.is_empty() {
            return true;
        }
        let Some(host) = host.parse::<Authority>().ok().filter(is_host) else { return false };
        self.allowed.iter().any(|allowed| {
            host.host().eq_ignore_ascii_case(allowed.host())
                && (allowed.port().is_none() || allowed.port_u16() == host.port_u16())
        })
    }
}

/// Whether a text is a host that a header can have: without a user, and with a port that is a number.
fn is_host(authority: &Authority) -> bool {
    let rest = authority.as_str().strip_prefix(authority.host());
    !authority.host().is_empty() && rest.is_some_and(|rest| rest.is_empty() || authority.port_u16().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_case_and_with_its_port_if_that_is_given() {
        assert!(Hosts::default().allows("anything.example.com"));
        let mut hosts = Hosts::default();
        for host in ["example.com", "localhost:9000", "[::1]"] {
            hosts.allow(host).unwrap();
        }
        for right in ["example.com", "EXAMPLE.com:81", "localhost:9000", "[::1]", "[::1]:9000"] {
            assert!(hosts.allows(right), "{right}");
        }
        for wrong in
            ["", "evil.com", "example.com.evil.com", "www.example.com", "localhost", "localhost:9001", "a@example.com"]
        {
            assert!(!hosts.allows(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for wrong in ["", "http://example.com", "example.com/", "a@example.com", "example.com:", "example.com:x", "a b"]
        {
            assert!(Hosts::default().allow(wrong).is_err(), "{wrong}");
        }
    }
}
