//! Streams of numbered blocks of bytes, which show whether one is lost or comes twice.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use rpc_core::{Status, Streaming};

/// The length of a block in bytes.
const BLOCK: usize = 60_000;

/// This number of blocks, each of which begins with its number.
pub fn blocks(count: u64) -> impl Stream<Item = Bytes> + Send {
    stream::iter(0..count).map(|n| {
        let mut block = vec![b'x'; BLOCK];
        block[..8].copy_from_slice(&n.to_be_bytes());
        block.into()
    })
}

/// Counts the blocks of a stream.
///
/// # Errors
///
/// The status that the stream ends with.
///
/// # Panics
///
/// If a block is not the next one of [`blocks`].
pub async fn count_blocks(mut blocks: Streaming<Bytes>) -> Result<u64, Status> {
    let mut count = 0;
    while let Some(block) = blocks.next().await {
        let block = block.map_err(Status::from)?;
        assert_eq!((block.len(), &block[..8]), (BLOCK, &u64::to_be_bytes(count)[..]));
        count += 1;
    }
    Ok(count)
}
