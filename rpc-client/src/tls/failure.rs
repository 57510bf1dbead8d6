//! Failures of TLS in words: what happened, and what a person can do about it.

use std::io;

use rpc_core::text::cut;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, PeerIncompatible, pki_types::UnixTime};

/// The number of names of a certificate that are shown, and the bytes of each.
const MAX_NAMES: usize = 5;
const MAX_NAME: usize = 100;

/// Why TLS has ended a connection. `None` if something else has ended it.
pub(crate) fn explain(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => "what answers there does not speak TLS; \
            check the port, or write ws:// if the server listens without TLS"
            .to_owned(),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered,
        ) => old(),
        other => format!("the handshake failed ({other}); check that this port is the RPC server's"),
    })
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => expired(""),
        CertificateError::ExpiredContext { time, not_after } => expired(&format!(" {} ago", between(*not_after, *time))),
        CertificateError::NotValidYet => not_valid_yet(""),
        CertificateError::NotValidYetContext { time, not_before } => {
            not_valid_yet(&format!(" before {} from now", between(*time, *not_before)))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            wrong_name(&expected.to_str(), &names(presented))
        }
        CertificateError::NotValidForName => wrong_name("this host", "other names"),
        CertificateError::UnknownIssuer => "the server's certificate comes from an authority that is not trusted here; \
            name the authority with Tls::builder().ca_file(..), or let the server send the certificates in between"
            .to_owned(),
        CertificateError::Revoked => "the server's certificate has been revoked; the server needs a new one".to_owned(),
        CertificateError::BadSignature => "the server's certificate has a wrong signature; name the authority that has \
            issued it, or let the server use a certificate of that authority"
            .to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not made for servers; the server needs one with the extended key usage serverAuth"
                .to_owned()
        }
        // Only the text tells, because the type belongs to another crate.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => "the server shows the certificate of an authority \
            (CA:TRUE), as `openssl req -x509` makes it; the server needs one of its own, which the authority has issued"
            .to_owned(),
        other => format!("the server's certificate is not accepted ({other})"),
    }
}

fn expired(when: &str) -> String {
    format!("the server's certificate has expired{when}; the server needs a new one, unless the clock here is wrong")
}

fn not_valid_yet(when: &str) -> String {
    format!("the server's certificate is not valid{when}; check the clocks of both machines")
}

fn wrong_name(expected: &str, presented: &str) -> String {
    format!(
        "the server's certificate is not for {expected}, but for {presented}; connect to a name that it has, or set one \
         with Tls::builder().server_name(..)"
    )
}

/// The other side's alert (RFC 8446 §6.2).
fn refused(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "the server requires a client certificate; \
            show one with Tls::builder().client_certificate_files(..)"
            .to_owned(),
        AlertDescription::CertificateExpired => {
            "the server says that the client certificate has expired; get a new one".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => format!(
            "the server does not accept the client certificate ({alert:?}); show one of an authority that the server trusts, \
             or let the server trust this authority"
        ),
        AlertDescription::ProtocolVersion => old(),
        AlertDescription::NoApplicationProtocol => {
            "the server does not speak HTTP/1.1 at this port; check the port".to_owned()
        }
        AlertDescription::UnrecognisedName => {
            "the server does not know the name that was asked for; check the host, or Tls::builder().server_name(..)"
                .to_owned()
        }
        AlertDescription::HandshakeFailure => {
            "the server has no way to encrypt in common with this client, or requires a \
            client certificate (Tls::builder().client_certificate_files(..))"
                .to_owned()
        }
        other => format!("the server ended the handshake with the alert {other:?}; its log may say why"),
    }
}

fn old() -> String {
    "the server speaks no version of TLS from 1.2 on; it needs a newer TLS library".to_owned()
}

/// The library's list has names as `DnsName("example.com")` and `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner.trim_end_matches(')'));
        cut(inner.trim_matches('"'), MAX_NAME).to_owned()
    };
    let mut shown: Vec<_> = presented.iter().take(MAX_NAMES).map(plain).collect();
    match presented.len() {
        0 => return "no name at all (it lacks a subjectAltName)".to_owned(),
        all if all > MAX_NAMES => shown.push(format!("{} more", all - MAX_NAMES)),
        _ => {}
    }
    shown.join(", ")
}

/// The time between two instants in words, in the largest unit that fits.
fn between(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
