//! The header of the PROXY protocol, in which a proxy says for whom it has connected (HAProxy's proxy-protocol.txt).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::socket::canonical;

/// The beginning of a header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The most bytes of a header of version 1, with the end of its line (section 2.1).
const MOST_TEXT: usize = 107;
/// The most bytes behind the first 16 of version 2. The addresses need 36 at most; what proxies add is short.
const MOST_BLOCK: usize = 4096;

/// Reads a header, and nothing behind it. Returns the client's address; `None` if the proxy has connected for itself,
/// or the header has no IP address.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    // Both versions are longer than this.
    let mut first = [0; SIGNATURE.len()];
    stream.read_exact(&mut first).await?;
    let client =
        if first == SIGNATURE { read_binary(stream).await? } else { read_text(stream, first.to_vec()).await? };
    Ok(client.map(canonical))
}

async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let (version_and_command, family) = (stream.read_u8().await?, stream.read_u8().await?);
    let len = usize::from(stream.read_u16().await?);
    if len > MOST_BLOCK {
        return Err(wrong("it is too long"));
    }
    let mut block = vec![0; len];
    stream.read_exact(&mut block).await?;
    let is_proxied = match version_and_command {
        0x20 => false,
        0x21 => true,
        _ => return Err(wrong("its version or its command is not known")),
    };
    match family {
        _ if !is_proxied => Ok(None),
        // The addresses of the source and of the destination, then their ports.
        0x11 => match block.first_chunk::<12>() {
            Some(&[a, b, c, d, _, _, _, _, high, low, _, _]) => {
                Ok(Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into()))
            }
            None => Err(wrong("it is too short for its addresses")),
        },
        0x21 => match (block.first_chunk::<16>(), block.get(32..36)) {
            (Some(&source), Some(&[high, low, _, _])) => {
                Ok(Some((Ipv6Addr::from(source), u16::from_be_bytes([high, low])).into()))
            }
            _ => Err(wrong("it is too short for its addresses")),
        },
        _ => Ok(None),
    }
}

async fn read_text(stream: &mut (impl AsyncRead + Unpin), mut line: Vec<u8>) -> io::Result<Option<SocketAddr>> {
    if !line.starts_with(b"PROXY ") {
        return Err(wrong("the connection does not begin with it"));
    }
    while !line.ends_with(b"\r\n") {
        if line.len() == MOST_TEXT {
            return Err(wrong("its line is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    let text = std::str::from_utf8(&line).map_err(|_| wrong("its line is no text"))?;
    let mut words = text.trim_end_matches("\r\n").split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let words: Vec<_> = words.collect();
    let &[source, destination, port, other_port] = words.as_slice() else {
        return Err(wrong("it has not two addresses and two ports"));
    };
    let parsed = match family {
        "TCP4" => {
            source.parse::<Ipv4Addr>().ok().zip(destination.parse::<Ipv4Addr>().ok()).map(|(source, _)| source.into())
        }
        "TCP6" => {
            source.parse::<Ipv6Addr>().ok().zip(destination.parse::<Ipv6Addr>().ok()).map(|(source, _)| source.into())
        }
        _ => None,
    };
    match (parsed, port.parse::<u16>(), other_port.parse::<u16>()) {
        (Some(source), Ok(port), Ok(_)) => Ok(Some(SocketAddr::new(source, port))),
        _ => Err(wrong("its addresses or ports are wrong")),
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the header of the PROXY protocol is wrong: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read, and how many bytes are left behind it.
    async fn parse(mut bytes: &[u8]) -> Result<(Option<SocketAddr>, usize), io::ErrorKind> {
        let read = read(&mut bytes).await;
        read.map(|addr| (addr, bytes.len())).map_err(|error| error.kind())
    }

    fn binary(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version_and_command, family]);
        bytes.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
        bytes.extend(block);
        bytes
    }

    const IPV4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80];

    fn ipv6() -> Vec<u8> {
        let mut block = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets().to_vec();
        block.extend([0; 16]);
        block.extend([0x12, 0x67, 0, 80]);
        block
    }

    #[tokio::test]
    async fn headers_of_both_versions_tell_the_client() {
        let with_more = [&IPV4[..], &[4, 0, 1, 7]].concat();
        let cases: [(Vec<u8>, Option<&str>); 10] = [
            (binary(0x21, 0x11, &IPV4), Some("203.0.113.9:4711")),
            (binary(0x21, 0x11, &with_more), Some("203.0.113.9:4711")),
            (binary(0x21, 0x21, &ipv6()), Some("[2001:db8::7]:4711")),
            (binary(0x20, 0x11, &IPV4), None),
            (binary(0x21, 0x00, b"anything"), None),
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec(), Some("203.0.113.9:4711")),
            (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".to_vec(), Some("[2001:db8::7]:4711")),
            (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 4711 80\r\n".to_vec(), Some("203.0.113.9:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
        ];
        for (mut bytes, expected) in cases {
            bytes.extend(b"GET /");
            let expected = expected.map(|addr| addr.parse().unwrap());
            assert_eq!(parse(&bytes).await, Ok((expected, 5)), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn wrong_headers_are_refused() {
        let cases = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            binary(0x11, 0x11, &IPV4),
            binary(0x22, 0x11, &IPV4),
            binary(0x21, 0x11, &IPV4[..11]),
            binary(0x21, 0x21, &ipv6()[..35]),
            binary(0x21, 0x11, &[0; MOST_BLOCK + 1]),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80 90\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 471100 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 ::1 4711 80\r\n".to_vec(),
            b"PROXY TCP5 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec(),
            [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; MOST_TEXT]].concat(),
            b"PROXY TCP4 \xff\xff 10.0.0.1 4711 80\r\n".to_vec(),
        ];
        for bytes in cases {
            assert_eq!(parse(&bytes).await, Err(io::ErrorKind::InvalidData), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn no_bytes_make_it_panic_or_wait_for_more_than_a_header() {
        let seeds = [
            binary(0x21, 0x11, &IPV4),
            binary(0x21, 0x21, &ipv6()),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec(),
        ];
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random >> 33).unwrap()
        };
        for seed in &seeds {
            for len in 0..seed.len() {
                assert_eq!(parse(&seed[..len]).await, Err(io::ErrorKind::UnexpectedEof), "{len} bytes");
            }
            for _ in 0..20_000 {
                let mut bytes = seed.clone();
                for _ in 0..1 + next() % 3 {
                    let at = next() % bytes.len();
                    bytes[at] = u8::try_from(next() % 256).unwrap();
                }
                bytes.resize(bytes.len() + MOST_BLOCK + MOST_TEXT, b'x');
                // With this many bytes behind it, the answer is never that bytes are missing.
                assert_ne!(parse(&bytes).await, Err(io::ErrorKind::UnexpectedEof), "{bytes:?}");
            }
        }
    }
}
