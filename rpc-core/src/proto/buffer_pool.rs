//! `BufferPool`: buffers of large payloads, for the payloads that come next.

use std::collections::VecDeque;

use bytes::BytesMut;

/// A smaller buffer costs no more to allocate than to keep.
const MIN_SIZE: usize = 128 * 1024;
/// The most buffers that are kept.
const MAX_BLOCKS: usize = 4;
/// The most bytes that the kept buffers have together.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Buffers in which payloads have been assembled. Fresh memory of that size comes zeroed and page by page from the
/// kernel, which costs more than filling it.
///
/// A block is free once its payload has been dropped. A block that is not used again is freed within two periods.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    blocks: VecDeque<Block>,
}

#[derive(Debug)]
struct Block {
    memory: BytesMut,
    /// The longest payload that the block was made for.
    size: usize,
    /// Whether the block has been used since the last call of [`BufferPool::age`].
    recent: bool,
}

impl BufferPool {
    /// An empty buffer and its size. The buffer has room for `len` bytes if a block of that size is free, which is no
    /// larger than half as much again, because a payload that is kept keeps its block.
    pub(crate) fn take(&mut self, len: usize) -> (BytesMut, usize) {
        let fits = |block: &mut Block| (len..=len / 2 * 3).contains(&block.size) && block.memory.try_reclaim(len);
        let at = if len < MIN_SIZE { None } else { self.blocks.iter_mut().position(fits) };
        let block = at.and_then(|at| self.blocks.remove(at));
        block.map_or_else(|| (BytesMut::new(), len), |block| (block.memory, block.size))
    }

    /// Keeps a buffer of this size from which a payload has been split off.
    pub(crate) fn keep(&mut self, memory: BytesMut, size: usize) {
        if !(MIN_SIZE..=MAX_BYTES).contains(&size) {
            return;
        }
        self.blocks.push_back(Block { memory, size, recent: true });
        while self.blocks.len() > MAX_BLOCKS || self.blocks.iter().map(|block| block.size).sum::<usize>() > MAX_BYTES {
            self.blocks.pop_front();
        }
    }

    /// A period is over: frees blocks that have not been used in it.
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
    fn few_blocks_are_kept_and_not_for_long() {
        let mut buffer_pool = BufferPool::default();
        drop(fill(&mut buffer_pool, MIN_SIZE - 1));
        drop(fill(&mut buffer_pool, MAX_BYTES + 1));
        assert!(buffer_pool.is_empty());
        let held: Vec<_> = (0..10).map(|_| fill(&mut buffer_pool, LEN)).collect();
        assert_eq!(buffer_pool.blocks.len(), MAX_BLOCKS);
        drop(fill(&mut buffer_pool, MAX_BYTES));
        assert_eq!(buffer_pool.blocks.len(), 1, "the others were in the way");
        buffer_pool.age();
        assert!(!buffer_pool.is_empty(), "it was used in the period that is over");
        buffer_pool.age();
        assert!(buffer_pool.is_empty());
        drop(held);
    }
}
