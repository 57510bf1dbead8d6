//! The client's side: puts and gets files. A transfer goes on by itself when the link was lost and its session lives;
//! after the end of a session, the next attempt resumes the transfer.

use std::path::Path;

use futures::StreamExt;
use indicatif::ProgressBar;
use rpc_client::{CallError, Code, Streaming};

use crate::{
    contract::{Entry, FileError, FilesClient},
    part::{Part, sum},
    store::blocks,
};

/// Puts a file, and resumes where an earlier attempt was cut off. Returns the offset at which this attempt began.
/// Dropping the future gives up, and the server then keeps nothing; [`give_up`] waits until the server has removed the
/// part.
pub async fn put(files: &FilesClient, path: &Path, bar: &ProgressBar) -> Result<u64, FileError> {
    let name = name_of(path);
    let (length, sha256) = sum(path.to_owned()).await?;
    let kept = files.kept(&name).await.map_err(CallError::collapse)?;
    let offset = if kept <= length { kept } else { 0 };
    bar.set_length(length);
    bar.set_position(offset);
    let progress = bar.clone();
    let blocks = blocks(path, offset).await?.inspect(move |block| {
        if let Ok(block) = block {
            progress.inc(block.len() as u64);
        }
    });
    let entry = Entry { name, length, sha256 };
    files.upload(&entry, offset, Streaming::from_results(blocks)).await.map_err(CallError::collapse)?;
    bar.finish();
    Ok(offset)
}

/// Makes sure that the server keeps no part of a file whose [`put`] was dropped.
pub async fn give_up(files: &FilesClient, path: &Path) -> Result<(), FileError> {
    files.discard(&name_of(path)).await.map_err(CallError::collapse)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Gets a file to `path`, and resumes where an earlier attempt was cut off. Returns the offset at which this attempt
/// began. Dropping the future gives up, and leaves nothing.
pub async fn get(files: &FilesClient, name: &str, path: &Path, bar: &ProgressBar) -> Result<u64, FileError> {
    // This opens the part before the first call. So if this attempt is given up, the part of an earlier attempt is
    // removed too.
    let (part, kept) = Part::resume(path.to_owned()).await?;
    let got = get_rest(files, name, &part, kept, bar).await;
    if let Err(FileError::Call(status)) = &got {
        // After a lost session the next attempt resumes. The loss may have cut off any call.
        part.keep(status.code() == Code::Unavailable);
    }
    got
}

async fn get_rest(
    files: &FilesClient,
    name: &str,
    part: &Part,
    kept: u64,
    bar: &ProgressBar,
) -> Result<u64, FileError> {
    let entry = files.stat(name).await.map_err(CallError::collapse)?;
    let offset = if kept <= entry.length { kept } else { 0 };
    if offset < kept {
        part.restart().await?;
    }
    bar.set_length(entry.length);
    bar.set_position(offset);
    let mut blocks = files.download(name, offset).await.map_err(CallError::collapse)?;
    while let Some(block) = blocks.next().await {
        let block = block.map_err(CallError::collapse)?;
        let length = block.len() as u64;
        part.write(block).await?;
        bar.inc(length);
    }
    part.finish(&entry).await?;
    bar.finish();
    Ok(offset)
}
