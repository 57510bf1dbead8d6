//! `Credential`: what a client shows to prove who it is.

use std::{fmt, sync::Arc};

/// What a client shows to prove who it is, for instance a token. Cheap to clone.
///
/// A credential is secret: `Debug` shows nothing of it, and there is no `Display`. The framework puts credentials into
/// no log line and into no error. It does not wipe the memory of a credential that is dropped, because copies of it
/// have passed through the buffers of HTTP, TLS and the operating system.
///
/// ```
/// use rpc_core::Credential;
///
/// let token = Credential::bearer("4711");
/// assert_eq!(token.expose_text(), Some("4711"));
/// assert!(token.matches("4711") && !token.matches("4712"));
/// assert_eq!(format!("{token:?}"), "Credential(secret)");
/// ```
#[derive(Clone)]
pub struct Credential {
    secret: Arc<[u8]>,
    in_hello: bool,
}

impl Credential {
    /// A token, which a client sends as `Authorization: Bearer …` with the HTTP upgrade (RFC 6750 §2.1).
    pub fn bearer(token: impl AsRef<str>) -> Self {
        Self { secret: token.as_ref().as_bytes().into(), in_hello: false }
    }

    /// Any bytes, which a client sends in its Hello, the first frame of the protocol. The HTTP servers and proxies
    /// before the server do not see them. A Hello has room for 8 KiB, or for less beside the names of many callback
    /// contracts.
    pub fn in_hello(secret: impl AsRef<[u8]>) -> Self {
        Self { secret: secret.as_ref().into(), in_hello: true }
    }

    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.secret
    }

    /// The secret itself, if it is text in UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.secret).ok()
    }

    /// Whether this is the expected secret. The time that the comparison takes depends on the two lengths alone.
    pub fn matches(&self, expected: impl AsRef<[u8]>) -> bool {
        let expected = expected.as_ref();
        let differences = self.secret.iter().zip(expected).fold(0, |found, (own, other)| found | (own ^ other));
        self.secret.len() == expected.len() && std::hint::black_box(differences) == 0
    }

    /// Whether a client sends it in its Hello, and not with the HTTP upgrade.
    pub fn is_in_hello(&self) -> bool {
        self.in_hello
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_matches_itself_alone() {
        let token = Credential::bearer("secret");
        for (other, same) in [("secret", true), ("secre", false), ("secret ", false), ("", false), ("Secret", false)] {
            assert_eq!(token.matches(other), same, "{other}");
        }
        assert!(Credential::in_hello([]).matches(""));
    }

    #[test]
    fn nothing_of_it_is_shown() {
        for credential in [Credential::bearer("hunter2"), Credential::in_hello("hunter2")] {
            let shown = format!("{credential:?} {credential:#?}");
            assert!(!shown.contains("hunter2") && !shown.contains('7'), "{shown}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_exposed_as_bytes() {
        let credential = Credential::in_hello([0xff, 0x00]);
        assert_eq!((credential.expose(), credential.expose_text()), (&[0xff, 0x00][..], None));
        assert!(credential.is_in_hello() && !Credential::bearer("").is_in_hello());
    }
}
