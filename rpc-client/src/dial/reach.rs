//! `reach`: makes a TCP connection to one of the addresses of a host. `reach_unix`: connects to a Unix socket.

#[cfg(unix)]
use std::path::PathBuf;
use std::{io, net::SocketAddr, time::Duration};

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::sleep,
};

use crate::error::ConnectError;

/// When an address has not answered for this time, the next one is tried as well (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of the host's addresses that answers. An address that does not answer does not delay the next
/// one for long (RFC 8305 §5). Errors name the `authority`.
pub(super) async fn reach(host: &str, port: u16, authority: &str) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let resolve = |source| ConnectError::Resolve { host: host.to_owned(), source };
    let mut addrs = lookup_host((host, port)).await.map_err(resolve)?;
    let (mut failed, mut attempts) = (None, JoinSet::new());
    loop {
        let next = addrs.next();
        let is_last = next.is_none();
        if let Some(addr) = next {
            attempts.spawn(async move { (addr, TcpStream::connect(addr).await) });
        }
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = sleep(ATTEMPT_DELAY), if !is_last => continue,
        };
        match ended {
            Some(Ok((addr, Ok(stream)))) => {
                // Packets are whole when they are written; waiting to fill a segment would only delay them.
                stream.set_nodelay(true).map_err(|source| unreachable(authority, source))?;
                return Ok((stream, addr));
            }
            Some(Ok((_, Err(source)))) => failed = Some(unreachable(authority, source)),
            Some(Err(_)) => {}
            None if is_last => break,
            None => {}
        }
    }
    Err(failed.unwrap_or_else(|| resolve(io::Error::other("the resolver found none"))))
}

fn unreachable(authority: &str, source: io::Error) -> ConnectError {
    let authority = authority.to_owned();
    match source.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused { authority },
        _ => ConnectError::Unreachable { authority, source },
    }
}

#[cfg(unix)]
pub(super) async fn reach_unix(path: PathBuf) -> Result<UnixStream, ConnectError> {
    UnixStream::connect(&path).await.map_err(|source| ConnectError::Unix { path, source })
}
