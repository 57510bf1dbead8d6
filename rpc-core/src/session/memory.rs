//! An in-memory transport: both ends in one process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{Progress, Transport, TransportError};
use crate::error::CloseCode;

/// Bytes on their way before the sender has to wait.
const CAPACITY: usize = 64 * 1024;
/// An empty pipe keeps room for this many packets.
const ROOM: usize = 16;

/// One end of an in-memory transport.
#[derive(Debug)]
pub struct Memory {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
    progress: Progress,
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    packets: VecDeque<Bytes>,
    bytes: usize,
    /// The goodbye, after all packets.
    closed: Option<TransportError>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Two ends of an in-memory transport.
pub fn memory() -> (Memory, Memory) {
    let (a, b) = (Arc::new(Mutex::new(Pipe::default())), Arc::new(Mutex::new(Pipe::default())));
    let end = |incoming: &Arc<Mutex<Pipe>>, outgoing: &Arc<Mutex<Pipe>>| Memory {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        progress: Progress::default(),
    };
    (end(&a, &b), end(&b, &a))
}

impl Memory {
    fn end(&self, error: TransportError) {
        let wakers = with(&self.outgoing, |way| {
            way.closed.get_or_insert(error);
            [way.reader.take(), way.writer.take()]
        });
        wake(wakers);
    }
}

impl Transport for Memory {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        let (polled, writer) = with(&self.incoming, |way| match (way.packets.pop_front(), &way.closed) {
            (Some(packet), _) => {
                way.bytes -= packet.len();
                (Poll::Ready(Ok(packet)), way.writer.take())
            }
            (None, Some(error)) => (Poll::Ready(Err(error.clone())), None),
            (None, None) => {
                if way.packets.capacity() > ROOM {
                    way.packets = VecDeque::new();
                }
                way.reader = Some(cx.waker().clone());
                (Poll::Pending, None)
            }
        });
        wake([writer, None]);
        if let Poll::Ready(Ok(packet)) = &polled {
            self.progress.received += packet.len() as u64;
        }
        polled
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        with(&self.outgoing, |way| {
            if way.bytes < CAPACITY || way.closed.is_some() {
                return Poll::Ready(Ok(()));
            }
            way.writer = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn start_send(&mut self, packet: Bytes) -> Result<(), TransportError> {
        self.progress.sent += packet.len() as u64;
        self.progress.writes += 1;
        let reader = with(&self.outgoing, |way| {
            way.bytes += packet.len();
            way.packets.push_back(packet);
            way.reader.take()
        });
        wake([reader, None]);
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, code: CloseCode, reason: &str) -> Poll<()> {
        self.end(TransportError::Closed { code, reason: reason.to_owned() });
        Poll::Ready(())
    }

    fn progress(&self) -> Progress {
        self.progress
    }

    /// Packets have no limit of their own here, before the handshake or after it.
    fn handshake_done(&mut self) {}
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.end(TransportError::Lost("the other end is gone".to_owned()));
        // What the other end still sends is dropped, so that the other end does not wait for a reader.
        let wakers = with(&self.incoming, |way| {
            way.packets.clear();
            way.bytes = 0;
            [way.writer.take(), None]
        });
        wake(wakers);
    }
}

fn with<R>(way: &Mutex<Pipe>, f: impl FnOnce(&mut Pipe) -> R) -> R {
    f(&mut way.lock().unwrap_or_else(PoisonError::into_inner))
}

fn wake(wakers: [Option<Waker>; 2]) {
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}
