//! `Pem`: certificates and keys as text (RFC 7468), with errors that name the file, the line and the way out.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use webpki::EndEntityCert;

use super::{TlsError, provider};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const CERTIFICATE: &str = "CERTIFICATE";
/// Forms of keys: PKCS#8, PKCS#1 and SEC1.
const KEYS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
const ENCRYPTED: &str = "ENCRYPTED";
/// What a file in DER begins with: an ASN.1 sequence whose length has two bytes.
const DER: &[u8] = &[0x30, 0x82];

/// A text in PEM, from a file or from memory.
pub struct Pem {
    place: String,
    bytes: Vec<u8>,
}

/// One section of the text.
struct Section<'a> {
    label: String,
    /// The line in which it begins, counted from 1.
    line: usize,
    text: &'a [u8],
}

impl Pem {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        let bytes = fs::read(path).map_err(|source| TlsError::Read { path: PathBuf::from(path), source })?;
        Ok(Self { place: format!("{path:?}"), bytes })
    }

    /// Takes a text that was given as `place`.
    pub fn given(place: &str, bytes: &[u8]) -> Self {
        Self { place: format!("the PEM given as {place}"), bytes: bytes.to_vec() }
    }

    /// All certificates in their order; at least one.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let sections = self.sections()?;
        let mut found = Vec::new();
        for section in sections.iter().filter(|section| section.label == CERTIFICATE) {
            let certificate = CertificateDer::from_pem_slice(section.text).map_err(|_| self.not_base64(section))?;
            if let Err(error) = EndEntityCert::try_from(&certificate) {
                let line = section.line;
                return Err(self.bad(format!("the certificate in line {line} is not valid: {}", not_valid(error))));
            }
            found.push(certificate);
        }
        if found.is_empty() { Err(self.lacks("certificate", &sections)) } else { Ok(found) }
    }

    /// The one private key.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let sections = self.sections()?;
        if let Some(section) = sections.iter().find(|section| section.is_encrypted_key()) {
            return Err(self.bad(format!(
                "the key in line {} needs a passphrase; write it without one: openssl pkey -in KEY -out NEW",
                section.line
            )));
        }
        let mut keys = sections.iter().filter(|section| KEYS.contains(&section.label.as_str()));
        let Some(section) = keys.next() else { return Err(self.lacks("private key", &sections)) };
        if let Some(second) = keys.next() {
            let (line, other) = (section.line, second.line);
            return Err(self.bad(format!("it has two private keys, in lines {line} and {other}; leave one")));
        }
        PrivateKeyDer::from_pem_slice(section.text).map_err(|_| self.not_base64(section))
    }

    /// All certificates, as those of authorities that are trusted.
    pub fn authorities(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut store = RootCertStore::empty();
        for (index, certificate) in self.certificates()?.into_iter().enumerate() {
            let refused = |error| self.bad(format!("certificate {} is no authority's: {error}", index + 1));
            store.add(certificate).map_err(refused)?;
        }
        Ok(Arc::new(store))
    }

    fn sections(&self) -> Result<Vec<Section<'_>>, TlsError> {
        let mut sections = Vec::new();
        let mut open: Option<(String, usize, usize)> = None;
        let mut at = 0;
        for (index, line) in self.bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let (start, text) = (at, line.trim_ascii());
            at += line.len();
            if let Some(label) = text.strip_prefix(BEGIN) {
                if let Some((label, line, _)) = open {
                    return Err(self.cut_off(&label, line));
                }
                let label = label.strip_suffix(b"-----").unwrap_or(label);
                open = Some((String::from_utf8_lossy(label).into_owned(), index + 1, start));
            } else if text.starts_with(END) {
                if let Some((label, line, start)) = open.take() {
                    sections.push(Section { label, line, text: &self.bytes[start..at] });
                }
            }
        }
        match open {
            Some((label, line, _)) => Err(self.cut_off(&label, line)),
            None => Ok(sections),
        }
    }

    fn lacks(&self, what: &str, sections: &[Section<'_>]) -> TlsError {
        let labels: Vec<_> = sections.iter().map(|section| section.label.as_str()).collect();
        self.bad(match labels.as_slice() {
            [] if self.bytes.starts_with(DER) => format!(
                "it has no {what} in PEM, and looks like DER; write it as PEM: openssl x509 (or pkey) -inform der -in OLD -out NEW"
            ),
            [] => format!("it has no {what}: nothing in it begins with -----BEGIN; is it the right file?"),
            labels => format!("it has no {what}, but {}; is it the right file?", labels.join(", ")),
        })
    }

    fn cut_off(&self, label: &str, line: usize) -> TlsError {
        self.bad(format!("the {label} that begins in line {line} has no end; the file may be cut off"))
    }

    fn not_base64(&self, section: &Section<'_>) -> TlsError {
        let (label, line) = (&section.label, section.line);
        self.bad(format!("the {label} that begins in line {line} is not base64; the file may be damaged"))
    }

    fn bad(&self, why: String) -> TlsError {
        TlsError::Pem { place: self.place.clone(), why }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes may be a key.
        f.debug_struct("Pem").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Section<'_> {
    fn is_encrypted_key(&self) -> bool {
        let is_key = self.label.ends_with("PRIVATE KEY");
        // Either its label says so, or a header line behind it (RFC 1421 §4.6.1.1).
        is_key && self.text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED.as_bytes())
    }
}

/// The certificates of `chain`, of which the first belongs to `key`.
pub fn certified_key(chain: &Pem, key: &Pem) -> Result<Arc<CertifiedKey>, TlsError> {
    let (certificates, private_key) = (chain.certificates()?, key.key()?);
    match CertifiedKey::from_der(certificates, private_key, &provider()) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(key.bad(format!(
            "its key is not that of the first certificate in {}; one's own certificate comes first, then its issuers",
            chain.place
        ))),
        Err(error) => Err(key.bad(format!("the kind of its key is not known, or it is damaged ({error})"))),
    }
}

fn not_valid(error: webpki::Error) -> String {
    match error {
        webpki::Error::UnsupportedCertVersion => {
            "it has no extensions, and so no names (X.509 version 1); make it with a subjectAltName".to_owned()
        }
        error => format!("{error:?}"),
    }
}
