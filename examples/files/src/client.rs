//! The client's side: putting and getting files, going on where something was cut off.

use std::path::Path;

use futures::StreamExt;
use indicatif::ProgressBar;
use rpc_client::{CallError, Code, Streaming};

use crate::{
    contract::{Entry, FileError, FilesClient},
    part::{Part, sum},
    store::blocks,
};

/// Puts a file, going on where an earlier attempt was cut off. Returns the offset at which it began. Dropping the
/// future gives up, and the server keeps nothing; [`give_up`] waits for that.
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

/// Gets a file to `path`, going on where an earlier attempt was cut off. Returns the offset at which it began. Dropping
/// the future gives up, and leaves nothing.
pub async fn get(files: &FilesClient, name: &str, path: &Path, bar: &ProgressBar) -> Result<u64, FileError> {
    // The part is opened before anything is asked. So if this attempt is given up at any moment, the rest of an earlier
    // one goes too.
    let (part, kept) = Part::resume(path.to_owned()).await?;
    let got = get_rest(files, name, &part, kept, bar).await;
    if let Err(FileError::Call(status)) = &got {
        // A lost link is no reason to begin again, whichever call it has cut off.
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
