//! `Link`: one end of a WebSocket and the raw bytes of its peer.

use std::{future::poll_fn, task::Poll, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

use crate::{
    config::Config,
    error::{CloseCode, ProtocolError},
    session::{
        transport::{Transport, TransportError},
        websocket::WebSocket,
    },
};

pub(crate) const PIPE: usize = 1024 * 1024;
pub(super) const KIB: usize = 1024;
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
pub(crate) const FIN: u8 = 0x80;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum End {
    Server,
    Client,
}

pub(super) const BOTH: [End; 2] = [End::Server, End::Client];

/// One end of ours and the raw bytes of its peer.
pub(super) struct Link {
    end: End,
    pub(super) ours: WebSocket<DuplexStream>,
    pub(super) raw: DuplexStream,
}

impl Link {
    pub(super) fn new(end: End) -> Self {
        Self::with(end, &Config::default(), PIPE, Bytes::new())
    }

    pub(super) fn established(end: End) -> Self {
        let mut link = Self::new(end);
        link.ours.handshake_done();
        link
    }

    pub(super) fn with(end: End, config: &Config, pipe: usize, leftover: Bytes) -> Self {
        let (near, raw) = tokio::io::duplex(pipe);
        let config = &config.clone();
        let ours = match end {
            End::Server => WebSocket::server(near, leftover, config),
            End::Client => WebSocket::client(near, leftover, config),
        };
        Self { end, ours, raw }
    }

    /// A frame as the peer of this end must send it: masked towards the server (RFC 6455 §5.1).
    pub(super) fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        frame(first, payload, self.end == End::Server)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.raw.write_all(bytes).await.unwrap();
    }

    pub(super) async fn receive(&mut self) -> Result<Bytes, TransportError> {
        timeout(Duration::from_secs(30), poll_fn(|cx| self.ours.poll_receive(cx))).await.expect("something comes")
    }

    /// Lets our end read everything that is there, expecting that it is no whole message.
    pub(super) async fn receive_nothing(&mut self) {
        poll_fn(|cx| {
            for _ in 0..1000 {
                assert_eq!(self.ours.poll_receive(cx), Poll::Pending);
            }
            Poll::Ready(())
        })
        .await;
    }

    pub(super) async fn send(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        poll_fn(|cx| self.ours.poll_ready(cx)).await?;
        self.ours.start_send(Bytes::copy_from_slice(packet))?;
        poll_fn(|cx| self.ours.poll_flush(cx)).await
    }

    /// Sends bytes, and returns the error in which they end at our end, with the close code that goes back.
    pub(super) async fn refused(mut self, bytes: &[u8]) -> (ProtocolError, u16) {
        self.write(bytes).await;
        let error = loop {
            match self.receive().await {
                Ok(_) => {}
                Err(TransportError::Protocol(error)) => break error,
                Err(other) => panic!("not the peer's fault: {other:?}"),
            }
        };
        assert_eq!(self.receive().await, Err(TransportError::Protocol(error.clone())), "the end is final");
        let frames = self.close(error.close_code(), &error.reason()).await;
        let (first, payload) = frames.last().expect("a close frame");
        assert_eq!(*first, FIN | CLOSE);
        (error, u16::from_be_bytes([payload[0], payload[1]]))
    }

    /// Closes our end against a peer that hangs up once it has the goodbye, and returns the frames that the peer got.
    pub(super) async fn close(mut self, code: CloseCode, reason: &str) -> Vec<(u8, Vec<u8>)> {
        let peer = async {
            let mut bytes = Vec::new();
            self.raw.read_to_end(&mut bytes).await.unwrap();
            drop(self.raw);
            bytes
        };
        let ((), bytes) = tokio::join!(poll_fn(|cx| self.ours.poll_close(cx, code, reason)), peer);
        frames(&bytes)
    }
}

pub(crate) fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64, masked);
    let mask = if masked { MASK } else { [0; 4] };
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

pub(super) fn header(first: u8, payload: u64, masked: bool) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut header = vec![first];
    match payload {
        0..=125 => header.push(mask_bit | u8::try_from(payload).unwrap()),
        126..=0xffff => {
            header.push(mask_bit | 126);
            header.extend(u16::try_from(payload).unwrap().to_be_bytes());
        }
        _ => {
            header.push(mask_bit | 127);
            header.extend(payload.to_be_bytes());
        }
    }
    if masked {
        header.extend(MASK);
    }
    header
}

/// Takes whole frames apart: first byte and unmasked payload.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(rest[..2].try_into().unwrap())), &rest[2..]),
            127 => (usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap(), &rest[8..]),
            short => (usize::from(short), rest),
        };
        let (mask, rest) =
            if second & 0x80 == 0 { ([0; 4], rest) } else { (rest[..4].try_into().unwrap(), &rest[4..]) };
        let payload = rest[..len].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        frames.push((*first, payload));
        bytes = &rest[len..];
    }
    frames
}
