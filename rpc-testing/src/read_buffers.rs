//! `ReadBuffers`: what a transport reads packets into, counted while a packet's part of it is kept.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

/// Read buffers, which live as long as a slice of them is kept. Clones count the same buffers.
#[derive(Clone, Debug, Default)]
pub struct ReadBuffers(Arc<AtomicUsize>);

impl ReadBuffers {
    /// A packet that has been read into a buffer of its own, which has at least this many bytes.
    pub fn read(&self, packet: &Bytes, least: usize) -> Bytes {
        self.0.fetch_add(1, Ordering::SeqCst);
        let (len, mut bytes) = (packet.len(), packet.to_vec());
        bytes.resize(least.max(len), 0);
        Bytes::from_owner(Buffer { bytes, kept: Arc::clone(&self.0) }).slice(..len)
    }

    /// How many buffers are kept.
    pub fn kept(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Buffer {
    bytes: Vec<u8>,
    kept: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.kept.fetch_sub(1, Ordering::SeqCst);
    }
}
