//! `TurnedAway`: connections that have no place, until they have heard why.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::JoinSet,
    time::timeout,
};

use crate::{shared::MOST_LINGERING, socket::Incoming};

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 170\r\n\
    connection: close\r\n\
    \r\n\
    The server has too many connections, in all or from this address. Try again when some have ended; its operator can \
    raise max_connections and max_connections_per_address.\n";
/// How long a connection may linger.
pub(super) const LONGEST: Duration = Duration::from_secs(1);
/// The most bytes that a connection may send while it lingers.
const MOST_SAID: usize = 256 * 1024;

/// The connections that have been turned away and linger. Dropping this closes the connections.
///
/// A system resets a connection that is closed before its bytes are read, and the reset can overtake the answer
/// (RFC 9112 §9.6). So the server says why, closes its half, and reads on until the peer closes the other half.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    lingering: JoinSet<()>,
}

impl TurnedAway {
    /// Says why, and closes the connection: at once if too many of them linger.
    pub(super) fn add(&mut self, incoming: Incoming) {
        while self.lingering.try_join_next().is_some() {}
        if self.lingering.len() < MOST_LINGERING {
            let lingering = async {
                match incoming {
                    Incoming::Tcp(stream, _) => linger(stream).await,
                    #[cfg(unix)]
                    Incoming::Unix(stream) => linger(stream).await,
                }
            };
            self.lingering.spawn(async { drop(timeout(LONGEST, lingering).await) });
        } else {
            // The buffer of the socket is empty, so it normally takes the answer without a wait.
            let _ = match incoming {
                Incoming::Tcp(stream, _) => stream.try_write(FULL),
                #[cfg(unix)]
                Incoming::Unix(stream) => stream.try_write(FULL),
            };
        }
    }
}

/// Says why, and reads on until the peer has closed its half.
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.write_all(FULL).await?;
    stream.shutdown().await?;
    discard(stream).await
}

/// Reads on until the peer has closed its half, or has sent too much.
pub(super) async fn discard(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut scrap = vec![0; 4096];
    let mut said = 0;
    while said < MOST_SAID {
        match stream.read(&mut scrap).await? {
            0 => break,
            more => said += more,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::Refusal;

    #[test]
    fn the_answer_to_one_too_many_is_whole() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        assert_eq!(body, Refusal::Full.text(), "a request gets the same answer");
    }
}
