//! `TlsError`: why certificates, keys or names cannot be used for TLS.

use std::{error, fmt, io, path::PathBuf};

use crate::text::escaped;

/// Why certificates, keys or names cannot be used for TLS. The message says what to do; it never shows a key.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The content of a file or a text in PEM cannot be used.
    Pem {
        /// The file, or what the text was given for.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// Bytes that were given as a certificate in DER are no certificate.
    Certificate {
        /// What is wrong with it.
        why: String,
    },
    /// The name that a server's certificate must have is no valid name of a server.
    ServerName {
        /// The name.
        name: String,
    },
    /// The operating system's list of trusted authorities cannot be used.
    Platform {
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => {
                write!(f, "cannot read {path:?}: {source}; check the path and who may read the file")
            }
            Self::Pem { place, why } => write!(f, "{place} cannot be used: {}", escaped(why)),
            Self::Certificate { why } => write!(f, "this is no certificate in DER: {}", escaped(why)),
            Self::ServerName { name } => {
                write!(f, "{name:?} can be no server's name; write a DNS name like rpc.example.com, or an IP address")
            }
            Self::Platform { why } => write!(
                f,
                "the authorities that this machine trusts cannot be used: {}; install them (on Debian the package \
                 ca-certificates), or name your own with Tls::builder().ca_file(..)",
                escaped(why)
            ),
        }
    }
}

/// The message contains the message of its cause, so [`source`](error::Error::source) goes on with the cause of that
/// cause. The cause itself is in the variant.
impl error::Error for TlsError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => source.source(),
            Self::Pem { .. } | Self::Certificate { .. } | Self::ServerName { .. } | Self::Platform { .. } => None,
        }
    }
}
