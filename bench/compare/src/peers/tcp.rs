//! Bare TCP: bytes without messages.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use common::Outcome;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use super::echo::size_of_call;
use crate::{
    host::Host,
    meter::Meter,
    peer::{Ability, Call, Link, Peer},
    server::Door,
};

/// Bytes of a read or a write at most.
const BUFFER: usize = 64 * 1024;

pub(crate) struct Tcp;

impl Peer for Tcp {
    const NAME: &'static str = "tcp";
    const ABOUT: &'static str = "bare TCP: what has come goes back";
    const CAN: &'static [Ability] = &[Ability::Calls, Ability::Order];
    type Link = TcpLink;

    async fn serve(door: Door) -> Outcome<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        door.open(listener.local_addr()?)?;
        loop {
            let (mut socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::spawn(async move {
                // A connection that does nothing needs no buffer.
                while socket.readable().await.is_ok() {
                    let mut buffer = vec![0; BUFFER];
                    loop {
                        match socket.try_read(&mut buffer) {
                            Ok(0) => return,
                            Ok(count) => {
                                if socket.write_all(&buffer[..count]).await.is_err() {
                                    return;
                                }
                            }
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                            Err(_) => return,
                        }
                    }
                }
            });
        }
    }

    async fn connect(addr: SocketAddr, _: Arc<Host>) -> Outcome<TcpLink> {
        let socket = TcpStream::connect(addr).await?;
        socket.set_nodelay(true)?;
        Ok(TcpLink { socket: Arc::new(Mutex::new(socket)) })
    }
}

/// The client's end. One task at a time uses the socket.
#[derive(Clone)]
pub(crate) struct TcpLink {
    socket: Arc<Mutex<TcpStream>>,
}

impl Link for TcpLink {
    type Payload = Arc<[u8]>;

    fn payload(bytes: usize) -> Arc<[u8]> {
        vec![7; bytes].into()
    }

    async fn add_one(&self, number: u64) -> Outcome<u64> {
        let mut socket = self.socket.lock().await;
        let mut buffer = [7; 20];
        socket.write_all(&buffer).await?;
        socket.read_exact(&mut buffer).await?;
        Ok(number + 1)
    }

    async fn keep_in_flight(&self, call: Call, in_flight: usize, meter: &Arc<Meter>) -> Outcome<()> {
        let mut socket = self.socket.lock().await;
        let mut tally = meter.tally();
        let mut exchange = Exchange { size: size_of_call(call), unsent: 0, partial: 0, buffer: vec![7; BUFFER] };
        let mut begun = VecDeque::with_capacity(in_flight);
        for _ in 0..in_flight {
            begun.push_back(tally.begin());
            exchange.unsent += exchange.size;
        }
        while !begun.is_empty() {
            let answers = std::future::poll_fn(|cx| exchange.poll(&mut socket, cx)).await?;
            for _ in 0..answers {
                tally.end(begun.pop_front().flatten());
                if !meter.is_stopped() {
                    begun.push_back(tally.begin());
                    exchange.unsent += exchange.size;
                }
            }
        }
        Ok(())
    }
}

/// The bytes of messages that are under way.
struct Exchange {
    size: usize,
    unsent: usize,
    /// Bytes that have come of the next answer.
    partial: usize,
    buffer: Vec<u8>,
}

impl Exchange {
    /// Writes what can be written, and reads what is there; gives the number of answers, which is never 0.
    fn poll(&mut self, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Outcome<usize>> {
        let mut socket = Pin::new(socket);
        loop {
            let mut moved = false;
            while self.unsent > 0 {
                let length = self.unsent.min(BUFFER);
                let Poll::Ready(written) = socket.as_mut().poll_write(cx, &self.buffer[..length])? else { break };
                self.unsent -= written;
                moved = true;
            }
            let mut read = ReadBuf::new(&mut self.buffer);
            if socket.as_mut().poll_read(cx, &mut read)?.is_ready() {
                if read.filled().is_empty() {
                    return Poll::Ready(Err("the server has closed the connection".into()));
                }
                self.partial += read.filled().len();
                moved = true;
            }
            let answers = self.partial / self.size;
            if answers > 0 {
                self.partial %= self.size;
                return Poll::Ready(Ok(answers));
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }
}
