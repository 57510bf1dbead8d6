//! A small client for HTTP, which stands for a browser: one request a connection.

use std::{fmt, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::{Outcome, door::Stream};

/// Where to ask, and by which way.
#[derive(Clone)]
pub struct Http {
    addr: SocketAddr,
    tls: Option<TlsConnector>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The number of the status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Http {
    /// Asks at this address; by TLS if there is the certificate of an authority, in PEM.
    ///
    /// # Errors
    ///
    /// If it is no certificate.
    pub fn new(addr: SocketAddr, authority: Option<&str>) -> Outcome<Self> {
        let Some(authority) = authority else { return Ok(Self { addr, tls: None }) };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { addr, tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// Asks for a page. `cookie` may be empty.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, or its answer is not HTTP.
    pub async fn get(&self, path: &str, cookie: &str) -> Outcome<Answer> {
        self.ask("GET", path, cookie, "").await
    }

    /// Sends a form. `cookie` may be empty.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn post(&self, path: &str, cookie: &str, form: &str) -> Outcome<Answer> {
        self.ask("POST", path, cookie, form).await
    }

    async fn ask(&self, method: &str, path: &str, cookie: &str, form: &str) -> Outcome<Answer> {
        let mut stream = self.stream().await?;
        let (port, length) = (self.addr.port(), form.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no end of its headers")?;
        let status = head.split(' ').nth(1).ok_or("the answer has no status")?.parse()?;
        Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }

    async fn stream(&self) -> Outcome<Box<dyn Stream>> {
        let socket = TcpStream::connect(self.addr).await?;
        match &self.tls {
            None => Ok(Box::new(socket)),
            Some(tls) => Ok(Box::new(tls.connect(ServerName::try_from("localhost")?, socket).await?)),
        }
    }
}

impl Answer {
    /// The value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The cookie that the server sets, as it is sent back.
    pub fn cookie(&self) -> Option<&str> {
        self.header("set-cookie")?.split(';').next()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("addr", &self.addr).field("is_encrypted", &self.tls.is_some()).finish()
    }
}
