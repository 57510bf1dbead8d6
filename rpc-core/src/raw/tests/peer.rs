//! `Peer`: what is at the other end, in raw bytes.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

pub(super) use crate::session::websocket::tests::raw::{BINARY, CLOSE, CONTINUATION, FIN, PING, PIPE, PONG, TEXT};
use crate::{
    raw::{RawInfo, RawLimits, RawSocket, Role},
    session::websocket::tests::raw::{frame, frames},
};

pub(super) const BOTH: [Role; 2] = [Role::Server, Role::Client];

/// The raw bytes of a socket's other end.
pub(super) struct Peer {
    /// Whether this end masks.
    masks: bool,
    pub(super) io: DuplexStream,
}

impl Peer {
    /// A socket in this role, and its peer.
    pub(super) fn new(role: Role) -> (RawSocket, Self) {
        Self::with(role, &RawLimits::default())
    }

    pub(super) fn with(role: Role, limits: &RawLimits) -> (RawSocket, Self) {
        Self::through(role, limits, PIPE)
    }

    /// As [`Self::new`], through a pipe that takes this number of bytes.
    pub(super) fn through(role: Role, limits: &RawLimits, pipe: usize) -> (RawSocket, Self) {
        let (near, io) = tokio::io::duplex(pipe);
        let (socket, driver) = RawSocket::driven(near, Bytes::new(), role, RawInfo::default(), limits);
        tokio::spawn(driver);
        (socket, Self { masks: role == Role::Server, io })
    }

    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        soon(self.io.write_all(bytes)).await.unwrap();
    }

    pub(super) async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.bytes(&encode(first, payload, self.masks)).await;
    }

    /// The next frame: first byte and payload.
    pub(super) async fn next(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let mut bytes = vec![0; 2];
            self.io.read_exact(&mut bytes).await.unwrap();
            let extended = match bytes[1] & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            self.more(&mut bytes, extended).await;
            let short = usize::from(bytes[1] & 0x7f);
            let len = match extended {
                0 => short,
                _ => bytes[2..].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)),
            };
            let mask = if bytes[1] & 0x80 == 0 { 0 } else { 4 };
            self.more(&mut bytes, mask + len).await;
            frames(&bytes).remove(0)
        };
        soon(read).await
    }

    /// Passes over frames up to the close frame, and gives its code and reason.
    pub(super) async fn close_frame(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.next().await;
            if first == FIN | CLOSE {
                let (code, reason) = payload.split_at(2);
                return (u16::from_be_bytes([code[0], code[1]]), String::from_utf8(reason.to_vec()).unwrap());
            }
        }
    }

    /// All that comes until the end.
    pub(super) async fn rest(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut bytes = Vec::new();
        soon(self.io.read_to_end(&mut bytes)).await.unwrap();
        frames(&bytes)
    }

    async fn more(&mut self, bytes: &mut Vec<u8>, len: usize) {
        let from = bytes.len();
        bytes.resize(from + len, 0);
        self.io.read_exact(&mut bytes[from..]).await.unwrap();
    }
}

pub(super) fn encode(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    frame(first, payload, masked)
}

/// Waits for a future for far longer than it should take.
pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(120), future).await.expect("it comes")
}
