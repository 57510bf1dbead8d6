//! `tunnel`: asks a proxy for a connection to the server, one of HTTP by CONNECT (RFC 9110 §9.3.6).

use std::{io, net::SocketAddr};

use http::{HeaderValue, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{head::HeadFirst, reach::reach, socks, target::Target};
use crate::{
    error::ConnectError,
    proxy::{Hop, Protocol, bracketed},
};

/// Connects to the server through a proxy. Returns the proxy's address.
pub(super) async fn tunnel(hop: &Hop, target: &Target) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let authority = format!("{}:{}", bracketed(&hop.host), hop.port);
    let reached = reach(&hop.host, hop.port, &authority).await;
    let (stream, addr) = reached.map_err(|error| failed(hop, error.to_string(), error.is_retryable()))?;
    let stream = match &hop.protocol {
        Protocol::Http { authorization } => {
            // Without its port, a proxy would have to know which one a WebSocket has.
            let server = format!("{}:{}", bracketed(&target.host), target.port);
            ask(hop, authorization.as_ref(), &server, stream).await?
        }
        Protocol::Socks5 { login } => socks::ask(hop, login.as_ref(), target, stream).await?,
    };
    Ok((stream, addr))
}

/// Sends the request, and takes the answer in.
async fn ask<IO: AsyncRead + AsyncWrite + Unpin>(
    hop: &Hop,
    authorization: Option<&HeaderValue>,
    server: &str,
    mut io: IO,
) -> Result<IO, ConnectError> {
    let ended = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => failed(hop, error.to_string(), false),
        _ => failed(hop, format!("it ended the connection before it made the tunnel: {error}"), true),
    };
    io.write_all(&request(authorization, server)).await.map_err(ended)?;
    io.flush().await.map_err(ended)?;
    let mut stream = HeadFirst::new(io);
    let mut head = Vec::new();
    stream.read_to_end(&mut head).await.map_err(ended)?;
    match status(&head) {
        // Any 2xx makes the tunnel (RFC 9110 §9.3.6).
        Some(status) if status.is_success() => {}
        Some(status) => {
            return Err(failed(
                hop,
                refusal(authorization.is_some(), server, status),
                matches!(status.as_u16(), 429 | 502..=504),
            ));
        }
        None => return Err(failed(hop, "what answers there does not speak HTTP/1.1".to_owned(), false)),
    }
    match stream.into_parts() {
        (io, early) if early.is_empty() => Ok(io),
        // A server of HTTP or TLS is silent until it has been asked, so these bytes are not the server's.
        _ => Err(failed(hop, "it sent more than the head of its answer".to_owned(), false)),
    }
}

fn request(authorization: Option<&HeaderValue>, server: &str) -> Vec<u8> {
    let mut request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n").into_bytes();
    if let Some(authorization) = authorization {
        request.extend(b"Proxy-Authorization: ");
        request.extend(authorization.as_bytes());
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    request
}

/// The status of an answer, if it is one of HTTP/1.
fn status(head: &[u8]) -> Option<StatusCode> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let [b'0' | b'1', b' ', code @ ..] = rest else {
        return None;
    };
    let (code, behind) = code.split_first_chunk::<3>()?;
    let is_whole = matches!(behind.first(), Some(b' ' | b'\r'));
    StatusCode::from_bytes(code).ok().filter(|_| is_whole)
}

fn refusal(is_authorized: bool, server: &str, status: StatusCode) -> String {
    let advice = match status.as_u16() {
        407 if is_authorized => "it does not accept this user name and password",
        407 => "it wants a user name and a password; write http://user:password@host:port",
        403 | 405 => "it does not allow tunnels there; check its rules",
        429 | 503 => "it is overloaded; try again in a moment",
        502 | 504 => "it cannot reach the server; check host and port of the URL",
        400..=499 => "it does not accept the request; check that this is an HTTP proxy",
        _ => "check that this is an HTTP proxy, and look into its log",
    };
    format!("it answered HTTP {status} to CONNECT {server}: {advice}")
}

pub(super) fn failed(hop: &Hop, why: String, is_temporary: bool) -> ConnectError {
    ConnectError::Proxy { proxy: hop.name.clone(), why, is_temporary }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_of_http_1_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n\r\n"), Some(StatusCode::OK));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED));
        for wrong in ["", "HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 2000\r\n", "HTTP/2.0 200 OK\r\n", "SSH-2.0-x\r\n"] {
            assert_eq!(status(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
