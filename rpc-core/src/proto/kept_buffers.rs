//! `KeptBuffers`: an account of the buffers that waiting payloads are small parts of, and keep alive.

use bytes::Bytes;

use crate::config::Config;

/// How much memory waiting payloads keep alive, because each is a small part of the buffer that it was read into.
///
/// Most calls end, and most results are taken, before anything else is read. Such payloads are never copied. The shell
/// counts the others here, from when they begin to wait until they have ended, and copies them once the account is full
/// (`Config::session_memory` / 32).
#[derive(Debug)]
pub struct KeptBuffers {
    limit: usize,
    held: usize,
}

impl KeptBuffers {
    /// An empty account.
    pub fn new(config: &Config) -> Self {
        Self { limit: config.kept_memory(), held: 0 }
    }

    /// Prepares a payload that keeps a buffer of this length alive for a wait: copies the payload if the account has no
    /// room. Gives the payload, and the length of the buffer that it keeps from now on.
    #[inline]
    pub fn prepare(&self, payload: Bytes, buffer: usize) -> (Bytes, usize) {
        let has_room = self.held.saturating_add(buffer) <= self.limit;
        if buffer == 0 || has_room { (payload, buffer) } else { (Bytes::copy_from_slice(&payload), 0) }
    }

    /// Counts the buffer of a payload that waits, until [`Self::release`].
    #[inline]
    pub fn hold(&mut self, buffer: usize) {
        self.held = self.held.saturating_add(buffer);
    }

    /// Counts the buffer no more.
    #[inline]
    pub fn release(&mut self, buffer: usize) {
        self.held = self.held.saturating_sub(buffer);
    }

    /// Counts no buffer any more.
    pub(super) fn clear(&mut self) {
        self.held = 0;
    }

    /// Whether more is held than may wait.
    #[inline]
    pub(super) fn is_exceeded(&self) -> bool {
        self.held > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_copied_once_the_account_is_full() {
        let config = Config::default();
        let (mut account, limit) = (KeptBuffers::new(&config), config.session_memory() / 32);
        let payload = Bytes::from(vec![7; 10]);
        let is_copy = |(prepared, buffer): (Bytes, usize)| {
            assert_eq!(prepared, payload);
            assert_eq!(buffer == 0, prepared.as_ptr() != payload.as_ptr());
            buffer == 0
        };
        assert!(
            !is_copy(account.prepare(payload.clone(), limit)) && is_copy(account.prepare(payload.clone(), limit + 1))
        );
        account.hold(limit - 1);
        assert!(!is_copy(account.prepare(payload.clone(), 1)) && is_copy(account.prepare(payload.clone(), 2)));
        account.hold(2);
        assert!(account.is_exceeded());
        let (prepared, buffer) = account.prepare(payload.clone(), 0);
        assert_eq!((prepared.as_ptr(), buffer), (payload.as_ptr(), 0), "it keeps nothing but itself");
        account.release(limit + 1);
        assert!(!account.is_exceeded() && !is_copy(account.prepare(payload.clone(), limit)));
    }
}
