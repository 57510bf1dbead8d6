//! `ask`: asks a SOCKS5 proxy for a connection to the server (RFC 1928, and RFC 1929 for the password).

use std::{io, net::IpAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{target::Target, tunnel::failed};
use crate::{error::ConnectError, proxy::Hop};

const VERSION: u8 = 5;
const NO_PASSWORD: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Sends the request, and takes the answer in. What comes behind the answer is not read.
pub(super) async fn ask<IO: AsyncRead + AsyncWrite + Unpin>(
    hop: &Hop,
    login: Option<&(String, String)>,
    target: &Target,
    mut io: IO,
) -> Result<IO, ConnectError> {
    // The address comes first, so that nothing is sent for one that the protocol cannot name.
    let address = address(target).ok_or_else(|| failed(hop, "the host of the URL is too long".to_owned(), false))?;
    let wrong = |why: &str| failed(hop, why.to_owned(), false);
    let ended = |error: io::Error| {
        failed(hop, format!("it ended the connection before it made a connection to the server: {error}"), true)
    };
    let greeting: &[u8] =
        if login.is_some() { &[VERSION, 2, NO_PASSWORD, PASSWORD] } else { &[VERSION, 1, NO_PASSWORD] };
    io.write_all(greeting).await.map_err(ended)?;
    match (read::<_, 2>(&mut io).await.map_err(ended)?, login) {
        ([VERSION, NO_PASSWORD], _) => {}
        ([VERSION, PASSWORD], Some((user, password))) => {
            io.write_all(&credentials(user, password)).await.map_err(ended)?;
            match read(&mut io).await.map_err(ended)? {
                [PASSWORD_VERSION, 0] => {}
                [PASSWORD_VERSION, _] => return Err(wrong("it does not accept this user name and password")),
                _ => return Err(wrong("it does not follow RFC 1929; check that this is a SOCKS5 proxy")),
            }
        }
        ([VERSION, NO_METHOD], Some(_)) => return Err(wrong("it takes no user name and password")),
        ([VERSION, NO_METHOD], None) => {
            return Err(wrong("it wants a user name and a password; write socks5://user:password@host:port"));
        }
        ([VERSION, _], _) => return Err(wrong("it chose an authentication that was not offered")),
        _ => return Err(wrong("what answers there does not speak SOCKS5")),
    }
    io.write_all(&[&[VERSION, CONNECT, 0], address.as_slice()].concat()).await.map_err(ended)?;
    let bound = match read(&mut io).await.map_err(ended)? {
        [VERSION, 0, _, IPV4] => 4,
        [VERSION, 0, _, IPV6] => 16,
        [VERSION, 0, _, NAME] => usize::from(io.read_u8().await.map_err(ended)?),
        [VERSION, 0, ..] => return Err(wrong("its answer has an address of a kind that RFC 1928 does not know")),
        [VERSION, reply, ..] => {
            // A failure, a network, a host or a port that cannot be reached now, or a time that is over.
            return Err(failed(hop, refusal(reply).to_owned(), matches!(reply, 1 | 3..=6)));
        }
        _ => return Err(wrong("what answers there does not speak SOCKS5")),
    };
    // The address and the port from which the proxy has connected.
    io.read_exact(&mut vec![0; bound + 2]).await.map_err(ended)?;
    Ok(io)
}

async fn read<IO: AsyncRead + Unpin, const LEN: usize>(io: &mut IO) -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Host and port of the server, as the request has them.
fn address(target: &Target) -> Option<Vec<u8>> {
    let mut address = match target.host.parse() {
        Ok(IpAddr::V4(addr)) => [&[IPV4], addr.octets().as_slice()].concat(),
        Ok(IpAddr::V6(addr)) => [&[IPV6], addr.octets().as_slice()].concat(),
        Err(_) => [&[NAME, u8::try_from(target.host.len()).ok()?], target.host.as_bytes()].concat(),
    };
    address.extend(target.port.to_be_bytes());
    Some(address)
}

/// `Hop` has checked the lengths.
fn credentials(user: &str, password: &str) -> Vec<u8> {
    let mut bytes = vec![PASSWORD_VERSION];
    for text in [user, password] {
        bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn refusal(reply: u8) -> &'static str {
    match reply {
        1 => "it has failed; look into its log",
        2 => "it does not allow connections there; check its rules",
        3 => "it cannot reach the network of the server; check the host of the URL",
        4 => "it cannot reach the server, or does not know its name; check the host of the URL",
        5 => "nothing listens at the server's port; check the port, and whether the server runs",
        6 => "it cannot reach the server in time; check the host of the URL",
        7 => "it does not make connections for its clients (CONNECT)",
        8 => "it does not know addresses of this kind; write the host of the URL in another way",
        _ => "it refuses for a reason that RFC 1928 does not know",
    }
}
