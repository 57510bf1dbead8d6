//! Dialling: makes a WebSocket from a URL, by TCP and the HTTP upgrade.

mod carrier;
mod head;
mod own;
mod reach;
mod settings;
mod socks;
mod target;
mod tunnel;

use std::{future::Future, io, net::SocketAddr, pin::pin, time::Duration};

use bytes::Bytes;
#[cfg(feature = "raw")]
use http::Uri;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use rpc_core::{Config, ConnectionInfo, session::SUBPROTOCOL};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        Error,
        error::{CapacityError, ProtocolError, SubProtocolError},
        handshake::client::generate_key,
    },
};

#[cfg(unix)]
use self::reach::reach_unix;
pub(crate) use self::{carrier::Carrier, own::OwnStream, settings::DialSettings, target::shown};
use self::{
    head::HeadFirst,
    reach::reach,
    target::Target,
    tunnel::{failed as proxy_failed, tunnel},
};
use crate::{
    error::ConnectError,
    proxy::Proxy,
    tls::{Tls, TlsStream, explain},
};

const SUB_PROTOCOL: HeaderValue = HeaderValue::from_static(SUBPROTOCOL);
/// The time beyond the limit in which the runtime may still notice an answer that came in time.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The most bytes that are read of a refusal's text, and the time that reading the text may take.
const MAX_BODY: usize = 1024;
const BODY_WAIT: Duration = Duration::from_millis(500);

/// The stream of a dialled connection. It has several forms, so that the usual streams do not pay for the rare ones.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(TlsStream<TcpStream>),
    /// A stream of the application, with TLS on top or without.
    Own(OwnStream),
}

/// Connects and upgrades to a session's WebSocket. Dropping the future closes what it has opened.
pub(crate) async fn dial(
    url: &str,
    carrier: Carrier,
    tls: Option<Tls>,
    headers: &HeaderMap,
    config: &Config,
) -> Result<Opened, ConnectError> {
    open(url, carrier, tls, headers, Some(SUB_PROTOCOL), config.upgrade_timeout()).await
}

/// A connection that has become a WebSocket.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    /// What was read behind the head of the answer.
    pub(crate) leftover: Bytes,
    pub(crate) info: ConnectionInfo,
    #[cfg(feature = "raw")]
    pub(crate) uri: Uri,
}

/// Connects and upgrades, with an offer of sub-protocols. Dropping the future closes what it has opened.
pub(crate) async fn open(
    url: &str,
    carrier: Carrier,
    tls: Option<Tls>,
    headers: &HeaderMap,
    protocols: Option<HeaderValue>,
    after: Duration,
) -> Result<Opened, ConnectError> {
    let target = Target::parse(url)?;
    let tls = security(&target, tls).await?;
    let request = request(&target, headers, protocols);
    let limit = Limit::new(after);
    let proxy = match carrier {
        Carrier::Tcp(proxy) => proxy,
        Carrier::Own(stream) => return open_own(target, stream, tls, request, &limit).await,
        Carrier::Opened(open) => {
            let stream = async move { open().await.map_err(|source| ConnectError::Stream { source }) };
            let stream = limit.bound(&target, None, stream).await?;
            return open_own(target, stream, tls, request, &limit).await;
        }
        #[cfg(unix)]
        Carrier::Unix(path) => {
            let stream = limit.bound(&target, None, reach_unix(path)).await?;
            return open_own(target, Box::new(stream), tls, request, &limit).await;
        }
    };
    let (stream, addr, info) = connect(&target, proxy, &limit).await?;
    let Some(tls) = tls else {
        let (io, leftover, headers) = limit.bound(&target, Some(addr), upgrade(&target, stream, request)).await?;
        return Ok(opened(Stream::Plain(io), leftover, info.with_headers(headers), target));
    };
    let secure = tls.connect(&target.host, &target.authority, stream);
    let (stream, tls_info) = limit.bound(&target, Some(addr), secure).await?;
    let (io, leftover, headers) = limit.bound(&target, Some(addr), upgrade(&target, stream, request)).await?;
    let info = info.with_tls(tls_info).with_headers(headers);
    Ok(opened(Stream::Tls(io), leftover, info, target))
}

/// Upgrades over the application's own stream.
async fn open_own(
    target: Target,
    stream: OwnStream,
    tls: Option<Tls>,
    request: Request<()>,
    limit: &Limit,
) -> Result<Opened, ConnectError> {
    let (stream, info) = match tls {
        None => (stream, ConnectionInfo::default()),
        Some(tls) => {
            let secure = tls.connect(&target.host, &target.authority, stream);
            let (stream, tls_info) = limit.bound(&target, None, secure).await?;
            let stream: OwnStream = stream;
            (stream, ConnectionInfo::default().with_tls(tls_info))
        }
    };
    let (io, leftover, headers) = limit.bound(&target, None, upgrade(&target, stream, request)).await?;
    Ok(opened(Stream::Own(io), leftover, info.with_headers(headers), target))
}

/// Makes the TCP connection, by itself or through a proxy. Also returns its address, and what the session has of it.
async fn connect(
    target: &Target,
    proxy: Option<Proxy>,
    limit: &Limit,
) -> Result<(TcpStream, SocketAddr, ConnectionInfo), ConnectError> {
    let Some(hop) = proxy.unwrap_or_else(Proxy::from_env).hop(target.is_tls, &target.host)? else {
        let host = target.to_resolve();
        let reached = reach(&host, target.port, &target.authority);
        let (stream, addr) = limit.bound(target, None, reached).await?;
        return Ok((stream, addr, ConnectionInfo::default().with_peer_addr(addr)));
    };
    let (stream, addr) = limit.bound(target, None, tunnel(&hop, target)).await.map_err(|error| match error {
        ConnectError::TimedOut { limit, .. } => {
            proxy_failed(&hop, format!("it made no tunnel within {limit:?} (Config::upgrade_timeout)"), true)
        }
        other => other,
    })?;
    // The address of the server is not known.
    Ok((stream, addr, ConnectionInfo::default()))
}

#[cfg_attr(not(feature = "raw"), expect(unused_variables, reason = "a session does not need the URL"))]
fn opened(stream: Stream, leftover: Vec<u8>, info: ConnectionInfo, target: Target) -> Opened {
    Opened {
        stream,
        leftover: leftover.into(),
        info,
        #[cfg(feature = "raw")]
        uri: target.uri,
    }
}

/// The TLS that the URL's scheme asks for; `None` for `ws://`.
async fn security(target: &Target, given: Option<Tls>) -> Result<Option<Tls>, ConnectError> {
    match (target.is_tls, given) {
        (false, None) => Ok(None),
        (true, Some(tls)) => Ok(Some(tls)),
        (true, None) => Tls::of_platform(&target.authority).await.map(Some),
        (false, Some(_)) => Err(ConnectError::Url {
            url: target.url.clone(),
            why: "a ws:// URL is not encrypted; write wss://, or leave .tls(..) out".to_owned(),
        }),
    }
}

struct Limit {
    /// `None` if the time is longer than a clock can tell.
    at: Option<Instant>,
    after: Duration,
}

impl Limit {
    fn new(after: Duration) -> Self {
        Self { at: Instant::now().checked_add(after), after }
    }

    async fn bound<T>(
        &self,
        target: &Target,
        reached: Option<SocketAddr>,
        step: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let Some(at) = self.at else { return step.await };
        let mut step = pin!(step);
        if let Ok(done) = timeout_at(at, &mut step).await {
            return done;
        }
        // This process may have been stopped, and the answer may wait in the socket.
        timeout(LOOK_AGAIN, step).await.unwrap_or_else(|_| {
            Err(ConnectError::TimedOut { authority: target.authority.clone(), limit: self.after, reached })
        })
    }
}

/// The request of the handshake. [`DialSettings`] has checked these headers.
fn request(target: &Target, headers: &HeaderMap, protocols: Option<HeaderValue>) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = target.uri.clone();
    *request.headers_mut() = headers.clone();
    let headers = request.headers_mut();
    let host = HeaderValue::try_from(&target.authority).expect("a host and a port of a URL are a valid header value");
    let key = HeaderValue::try_from(generate_key()).expect("base64 is a valid header value");
    headers.insert(header::HOST, host);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
    if let Some(protocols) = protocols {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols);
    }
    request
}

/// Does the HTTP upgrade. Returns the stream, the bytes that were read behind the answer, and the answer's headers.
async fn upgrade<IO>(
    target: &Target,
    stream: IO,
    request: Request<()>,
) -> Result<(IO, Vec<u8>, HeaderMap), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = HeadFirst::new(stream);
    let offered = names(request.headers());
    let answer = client_async(request, &mut stream).await.map(|(_, response)| response);
    let response = match answer {
        Ok(response) => response,
        Err(Error::Http(response)) => return Err(refused(target, offered, &response, stream).await),
        Err(_) if !target.is_tls && stream.speaks_tls() => {
            let why = "what answers there expects TLS; write wss:// in place of ws://".to_owned();
            return Err(ConnectError::Tls { authority: target.authority.clone(), why });
        }
        Err(error) => return Err(failed(target, offered, error)),
    };
    if response.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        // RFC 6455 §4.1: an extension that was not offered fails the connection.
        return Err(not_websocket(target, "it uses an extension that was not offered"));
    }
    let (io, leftover) = stream.into_parts();
    Ok((io, leftover, response.into_parts().0.headers))
}

/// The error for an answer whose status is not 101.
async fn refused<T, IO>(
    target: &Target,
    offered: Vec<String>,
    response: &Response<T>,
    stream: HeadFirst<IO>,
) -> ConnectError
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    if response.status() == StatusCode::BAD_REQUEST && response.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        let served = names(response.headers());
        return ConnectError::NoCommonProtocol { authority: target.authority.clone(), offered, served };
    }
    let is_text = |value: &HeaderValue| value.as_bytes().starts_with(b"text/plain");
    let body = match response.headers().get(header::CONTENT_TYPE) {
        Some(content) if is_text(content) => text(response, stream).await,
        _ => String::new(),
    };
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    ConnectError::Http { url: target.url.clone(), status: response.status(), body, retry_after }
}

/// The sub-protocols that a request offers, or that an answer names.
fn names(headers: &HeaderMap) -> Vec<String> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    let names = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    names.map(|name| name.trim().to_owned()).collect()
}

/// The first line of an answer's body, without control characters.
async fn text<T, IO>(response: &Response<T>, stream: HeadFirst<IO>) -> String
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let length = response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let most = MAX_BODY.min(length.unwrap_or(MAX_BODY));
    let body = timeout(BODY_WAIT, stream.body(most)).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    text.lines().next().unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect()
}

fn failed(target: &Target, offered: Vec<String>, error: Error) -> ConnectError {
    let authority = target.authority.clone();
    if let Some(why) = io_error(&error).and_then(explain) {
        // With TLS 1.3, a server that does not accept this client's certificate says so after the handshake.
        return ConnectError::Tls { authority, why };
    }
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => not_websocket(target, &error.to_string()),
        Error::Io(source) => ConnectError::Ended { authority, source },
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            ConnectError::Ended { authority, source: io::ErrorKind::UnexpectedEof.into() }
        }
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(found)) => match found {
            SubProtocolError::NoSubProtocol => {
                ConnectError::NoCommonProtocol { authority, offered, served: Vec::new() }
            }
            _ => not_websocket(target, "it chose a sub-protocol that was not offered"),
        },
        Error::Protocol(ProtocolError::HttparseError(_)) | Error::HttpFormat(_) => {
            not_websocket(target, "it does not speak HTTP/1.1")
        }
        Error::Protocol(found) => not_websocket(target, &format!("its answer is wrong ({found})")),
        Error::Capacity(CapacityError::TooManyHeaders) => not_websocket(target, "its answer has too many headers"),
        other => not_websocket(target, &other.to_string()),
    }
}

fn io_error(error: &Error) -> Option<&io::Error> {
    match error {
        Error::Io(error) => Some(error),
        _ => None,
    }
}

fn not_websocket(target: &Target, why: &str) -> ConnectError {
    ConnectError::NotWebSocket { authority: target.authority.clone(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_came_while_this_process_was_stopped_is_read_before_the_server_is_given_up() {
        let target = Target::parse("ws://127.0.0.1:1/").unwrap();
        let after = Duration::from_secs(10);
        for (late, taken) in [(Duration::from_millis(50), true), (Duration::from_secs(1), false)] {
            let limit = Limit::new(after);
            let step = async {
                sleep(after + late).await;
                Ok(())
            };
            assert_eq!(limit.bound(&target, None, step).await.is_ok(), taken, "{late:?} after the limit");
        }
    }
}
