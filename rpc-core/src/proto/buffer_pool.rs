//! `BufferPool`: the memory of large payloads that have been used, for those that come next.

use std::collections::VecDeque;

use bytes::BytesMut;

/// What is smaller costs no more to allocate than to keep.
const WORTH_KEEPING: usize = 128 * 1024;
/// So many payloads are remembered …
const BLOCKS: usize = 4;
/// … of so many bytes together.
const BYTES: usize = 16 * 1024 * 1024;

/// Memory that payloads have been put together in. Fresh memory of that size comes page by page from the kernel,
/// zeroed, which costs more than filling it.
///
/// A block is free when whoever got its payload has dropped that. What is not used again is forgotten within two
/// periods.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    blocks: VecDeque<Block>,
}

#[derive(Debug)]
struct Block {
    memory: BytesMut,
    /// The longest payload it was made for.
    size: usize,
    /// In this period or the one before.
    recent: bool,
}

impl BufferPool {
    /// An empty buffer and its size: with room for `len` bytes if a block is free that has so many. None that has half
    /// as many again: who keeps a payload keeps its block.
    pub(crate) fn take(&mut self, len: usize) -> (BytesMut, usize) {
        let fits = |block: &mut Block| (len..=len / 2 * 3).contains(&block.size) && block.memory.try_reclaim(len);
        let at = if len < WORTH_KEEPING { None } else { self.blocks.iter_mut().position(fits) };
        let block = at.and_then(|at| self.blocks.remove(at));
        block.map_or_else(|| (BytesMut::new(), len), |block| (block.memory, block.size))
    }

    /// What is left of a buffer of this size after a payload has been split off.
    pub(crate) fn keep(&mut self, memory: BytesMut, size: usize) {
        if !(WORTH_KEEPING..=BYTES).contains(&size) {
            return;
        }
        self.blocks.push_back(Block { memory, size, recent: true });
        while self.blocks.len() > BLOCKS || self.blocks.iter().map(|block| block.size).sum::<usize>() > BYTES {
            self.blocks.pop_front();
        }
    }

    /// A period is over.
    pub(crate) fn age(&mut self) {
        self.blocks.retain_mut(|block| std::mem::take(&mut block.recent));
    }

    /// Bytes of all blocks.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.size).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 256 * 1024;

    fn fill(buffer_pool: &mut BufferPool, len: usize) -> bytes::Bytes {
        let (mut memory, size) = buffer_pool.take(len);
        memory.resize(len, 7);
        let payload = memory.split().freeze();
        buffer_pool.keep(memory, size);
        payload
    }

    #[test]
    fn memory_is_used_again_once_its_payload_is_gone() {
        let mut buffer_pool = BufferPool::default();
        let first = fill(&mut buffer_pool, LEN);
        let second = fill(&mut buffer_pool, LEN);
        let (at, other) = (first.as_ptr(), second.as_ptr());
        assert_ne!(at, other, "the first is still there");
        let part = first.slice(100..200);
        drop(first);
        assert_ne!(fill(&mut buffer_pool, LEN).as_ptr(), at, "a part of the first is still there");
        drop(part);
        assert_eq!(fill(&mut buffer_pool, LEN - 5).as_ptr(), at);
        assert_eq!(&second[..], &[7; LEN][..]);
    }

    #[test]
    fn a_payload_keeps_no_more_than_twice_its_length() {
        let mut buffer_pool = BufferPool::default();
        let (large, other) = (fill(&mut buffer_pool, 4 * LEN), fill(&mut buffer_pool, 2 * LEN));
        let at = large.as_ptr();
        drop((large, other));
        assert_ne!(fill(&mut buffer_pool, 2 * LEN - 1).as_ptr(), at);
        assert_eq!(fill(&mut buffer_pool, 3 * LEN).as_ptr(), at);
        assert_ne!(fill(&mut buffer_pool, LEN).as_ptr(), at);
        assert_eq!(fill(&mut buffer_pool, 4 * LEN).as_ptr(), at, "its size is what it was");
    }

    #[test]
    fn not_much_is_kept_and_not_for_long() {
        let mut buffer_pool = BufferPool::default();
        drop(fill(&mut buffer_pool, WORTH_KEEPING - 1));
        drop(fill(&mut buffer_pool, BYTES + 1));
        assert!(buffer_pool.is_empty());
        let held: Vec<_> = (0..10).map(|_| fill(&mut buffer_pool, LEN)).collect();
        assert_eq!(buffer_pool.blocks.len(), BLOCKS);
        drop(fill(&mut buffer_pool, BYTES));
        assert_eq!(buffer_pool.blocks.len(), 1, "the others were in the way");
        buffer_pool.age();
        assert!(!buffer_pool.is_empty(), "it was used in the period that is over");
        buffer_pool.age();
        assert!(buffer_pool.is_empty());
        drop(held);
    }
}
