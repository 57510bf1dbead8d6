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

    /// All certificates, as trusted authorities.
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
        // Either the label says that the key is encrypted, or a header line behind it (RFC 1421 §4.6.1.1).
        is_key && self.text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED.as_bytes())
    }
}

/// The certificates of `chain`, of which the first belongs to `key`.
pub fn certified_key(chain: &Pem, key: &Pem) -> Result<Arc<CertifiedKey>, TlsError> {
    let (certificates, private_key) = (chain.certificates()?, key.key()?);
    match CertifiedKey::from_der(certificates, private_key, &provider()) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(key.bad(format!(
            "its key does not belong to the first certificate in {}; put the certificate of this key first, then its issuers",
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

#[cfg(test)]
mod tests {
    use rpc_testing::{Authority, Identity};

    use super::*;

    fn identity() -> Identity {
        Authority::new("test").server(&["localhost"])
    }

    fn given(text: &str) -> Pem {
        Pem::given("test", text.as_bytes())
    }

    /// The text of an error, which must name where the PEM comes from and have these words.
    #[track_caller]
    fn refused<T>(result: Result<T, TlsError>, words: &[&str]) {
        let Err(error) = result else { panic!("taken") };
        let shown = error.to_string();
        for word in ["the PEM given as test"].iter().chain(words) {
            assert!(shown.contains(word), "{word:?} is missing in: {shown}");
        }
    }

    /// The content of a section as bytes, of which tests make other forms.
    fn der(pem: &str) -> Vec<u8> {
        PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap().secret_der().to_vec()
    }

    /// Base64 (RFC 4648 §4).
    fn section(label: &str, der: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for triple in der.chunks(3) {
            let bits = triple.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - triple.len()));
            for digit in 0..4 {
                let value = (bits >> (18 - 6 * digit)) & 63;
                text.push(if digit <= triple.len() { char::from(DIGITS[value as usize]) } else { '=' });
            }
        }
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    #[test]
    fn certificates_and_key_may_share_a_text_with_others_around() {
        let identity = identity();
        let both = format!("a comment\r\n{}\r\n{}\nmore\n", identity.key, identity.certificates.replace('\n', "\r\n"));
        let both = given(&both);
        assert_eq!(certified_key(&both, &both).unwrap().cert.len(), 1);
    }

    #[test]
    fn keys_come_in_three_forms() {
        let identity = identity();
        let pkcs8 = der(&identity.key);
        // Behind the head of PKCS#8 (RFC 5958), an octet string has the key as SEC1 has it (RFC 5915).
        let sec1 = pkcs8.windows(2).position(|pair| pair == [4, 0x6d]).unwrap() + 2;
        let parameters = section("EC PARAMETERS", &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        let sec1 = format!("{parameters}{}", section("EC PRIVATE KEY", &pkcs8[sec1..]));
        assert!(certified_key(&given(&identity.certificates), &given(&sec1)).is_ok());
        assert!(certified_key(&given(&identity.certificates), &given(&section("PRIVATE KEY", &pkcs8))).is_ok());
        let rsa = given(&section("RSA PRIVATE KEY", b"a key")).key().unwrap();
        assert!(matches!(rsa, PrivateKeyDer::Pkcs1(_)));
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_there() {
        let identity = identity();
        refused(given("").certificates(), &["no certificate", "-----BEGIN"]);
        refused(given("hello\n").key(), &["no private key", "right file"]);
        refused(given(&identity.key).certificates(), &["no certificate, but PRIVATE KEY"]);
        refused(given(&identity.certificates).key(), &["no private key, but CERTIFICATE"]);
        refused(given(&identity.key).authorities(), &["no certificate, but PRIVATE KEY"]);
        let der = Pem::given("test", &[0x30, 0x82, 1, 2, 3]);
        refused(der.certificates(), &["looks like DER", "openssl"]);
    }

    #[test]
    fn what_is_damaged_is_named_with_its_line() {
        let identity = identity();
        let cut = &identity.certificates[..identity.certificates.len() / 2];
        refused(given(&format!("\n\n{cut}")).certificates(), &["CERTIFICATE that begins in line 3 has no end"]);
        refused(given(&format!("{cut}\n{}", identity.key)).key(), &["line 1 has no end"]);
        refused(given(&section("CERTIFICATE", b"no").replace('=', "!")).certificates(), &["line 1 is not base64"]);
        refused(
            given(&section("CERTIFICATE", b"no certificate")).certificates(),
            &["certificate in line 1 is not valid"],
        );
        let key = section("PRIVATE KEY", b"no key");
        refused(certified_key(&given(&identity.certificates), &given(&key)), &["not known, or it is damaged"]);
    }

    #[test]
    fn keys_that_cannot_be_used_say_why() {
        let (identity, other) = (identity(), identity());
        refused(given(&section("ENCRYPTED PRIVATE KEY", b"x")).key(), &["passphrase", "openssl pkey"]);
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        refused(given(old).key(), &["passphrase"]);
        refused(given(&format!("{}{}", identity.key, other.key)).key(), &["two private keys, in lines 1 and "]);
        let mismatch = certified_key(&given(&identity.certificates), &given(&other.key));
        refused(mismatch, &["does not belong to the first certificate", "certificate of this key first"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = Pem::read(Path::new("/no/such/cert.pem")).unwrap_err();
        assert!(error.to_string().contains("\"/no/such/cert.pem\""), "{error}");
        assert!(!format!("{:?}", given(&identity().key)).contains("PRIVATE"));
    }
}
