//! What targets share that speak bytes over a pipe in memory: a contract, a clock, and a peer that writes.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use rpc_core::{
    __internals::wire::{
        Frame, Hello, HostedContract, MAX_TOKEN, PacketHeader, PeerLimits, Resume, put_frame, put_header,
    },
    Context, Status, Streaming,
    contract::method_id,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

use crate::source::Source;

/// The virtual time in which a pipe takes what is written, or never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// Hosted by the client.
#[rpc_core::callback]
pub(crate) trait Guest {
    async fn name(&self) -> String;
}

/// Hosted by the server.
#[rpc_core::service(callback = Guest)]
pub(crate) trait Desk {
    async fn echo(&self, text: String, numbers: Vec<Option<u32>>) -> String;
    async fn keep(&self, blob: Bytes) -> Result<Bytes, Status>;
    async fn ask(&self, cx: &Context<GuestClient>) -> Result<String, Status>;
    #[rpc(oneway)]
    async fn tell(&self, text: String);
    async fn sum(&self, numbers: Streaming<u64>) -> u64;
    async fn count(&self, to: u64) -> Streaming<u64>;
    async fn sleep(&self, ms: u64);
}

/// The methods of [`Desk`], for requests.
const METHODS: [&str; 7] = ["echo", "keep", "ask", "tell", "sum", "count", "sleep"];

/// Serves [`Desk`].
pub(crate) struct Clerk;

impl Desk for Clerk {
    async fn echo(&self, text: String, numbers: Vec<Option<u32>>) -> String {
        format!("{text}{numbers:?}")
    }

    async fn keep(&self, blob: Bytes) -> Result<Bytes, Status> {
        if blob.is_empty() { Err(Status::not_found("nothing")) } else { Ok(blob) }
    }

    async fn ask(&self, cx: &Context<GuestClient>) -> Result<String, Status> {
        cx.peer().name().await
    }

    async fn tell(&self, _text: String) {}

    async fn sum(&self, mut numbers: Streaming<u64>) -> u64 {
        let mut sum = 0_u64;
        while let Some(Ok(number)) = numbers.next().await {
            sum = sum.wrapping_add(number);
        }
        sum
    }

    async fn count(&self, to: u64) -> Streaming<u64> {
        Streaming::new(stream::iter(0..to))
    }

    async fn sleep(&self, ms: u64) {
        sleep(Duration::from_millis(ms)).await;
    }
}

/// A runtime whose clock jumps to the next timer when every task waits.
pub(crate) fn runtime() -> Runtime {
    match Builder::new_current_thread().enable_time().start_paused(true).build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("a runtime without IO needs nothing: {error}"),
    }
}

/// The client's end of a pipe.
pub(crate) struct Client {
    pipe: DuplexStream,
    /// The number of the last packet.
    sent: u64,
}

impl Client {
    pub(crate) fn new(pipe: DuplexStream) -> Self {
        Self { pipe, sent: 0 }
    }

    /// Writes what may be written, and reads what has come meanwhile. False if the server takes nothing more.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.pipe.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Takes what has come, for a millisecond. False when the server has closed the pipe.
    pub(crate) async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match timeout(Duration::from_millis(1), self.pipe.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => return false,
                Ok(Ok(_)) => {}
                Err(_) => return true,
            }
        }
    }

    /// Reads until the server closes the pipe.
    ///
    /// # Panics
    ///
    /// If that takes longer than all limits of time together.
    pub(crate) async fn end(mut self) {
        let end = async {
            if self.pipe.shutdown().await.is_ok() {
                while self.read().await {}
            }
        };
        assert!(timeout(Duration::from_secs(600), end).await.is_ok(), "the server does not close");
    }

    /// One step of a client that speaks the protocol over a WebSocket. False if the server takes nothing more.
    pub(crate) async fn step(&mut self, source: &mut Source<'_>) -> bool {
        match source.below(10) {
            0..5 => {
                let packet = self.packet(source);
                self.write(&message(2, &packet)).await
            }
            5 => {
                let opcode = source.byte();
                self.write(&message(opcode, source.bytes(usize::from(opcode) / 2))).await
            }
            6 => {
                let len = source.byte();
                self.write(source.bytes(len.into())).await
            }
            7 => self.read().await,
            8 => {
                sleep(Duration::from_millis(u64::from(source.byte()) * 20)).await;
                true
            }
            _ => {
                let packet = source.len();
                self.write(&message(2, source.bytes(packet))).await
            }
        }
    }

    /// A packet with a call of a method, or with any bytes behind its header.
    fn packet(&mut self, source: &mut Source<'_>) -> BytesMut {
        let choice = source.below(16);
        let mut packet = BytesMut::new();
        let seq = if choice == 15 { 0 } else { self.sent + 1 };
        self.sent = self.sent.max(seq);
        put_header(&mut packet, PacketHeader { seq, ack: 0 });
        let len = source.byte();
        match METHODS.get(choice) {
            Some(method) => {
                let arguments = source.bytes(len.into());
                let method = method_id("Desk", method).to_be_bytes();
                packet.put_slice(&[0x98, 3, seq.to_be_bytes()[7] & 0x7f, 0xce]);
                packet.put_slice(&method);
                packet.put_slice(&[0xc0, 0, 0xc0, 0xc0, 0xc4, len.min(arguments.len().to_be_bytes()[7])]);
                packet.put_slice(arguments);
            }
            None => packet.put_slice(source.bytes(len.into())),
        }
        packet
    }
}

/// The first packet of a client.
pub(crate) fn greeting(source: &mut Source<'_>) -> BytesMut {
    let choices = source.byte();
    let is = |bit: u8| choices & (1 << bit) != 0;
    let hosted = HostedContract { name: "Guest".to_owned(), fingerprint: 7, windows: Vec::new() };
    let limits = PeerLimits { packet: 128 << 10, chunk: 64 << 10, ..PeerLimits::all(64, 1 << 20) };
    let mut hello = Hello::new(limits, if is(0) { vec![hosted] } else { Vec::new() });
    if is(1) {
        hello.resume_window_ms = source.number();
    }
    if is(2) {
        let token = Bytes::copy_from_slice(source.bytes(MAX_TOKEN));
        hello.resume = Some(Resume { token, epoch: source.number(), received: source.number() });
    }
    let mut packet = BytesMut::new();
    put_header(&mut packet, PacketHeader { seq: 0, ack: 0 });
    put_frame(&mut packet, &Frame::Hello(Box::new(hello)));
    packet
}

/// A message of a client in one frame, whose mask is 0 (RFC 6455 §5.2). Of `first` the opcode counts, and bit 7 says
/// that more fragments follow.
pub(crate) fn message(first: u8, content: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_u8((first & 0x0f) | (!first & 0x80));
    match content.len() {
        len @ 0..126 => frame.put_u8(0x80 | len.to_be_bytes()[7]),
        len => {
            frame.put_u8(0x80 | 127);
            frame.put_u64(len as u64);
        }
    }
    frame.put_u32(0);
    frame.put_slice(content);
    frame
}
