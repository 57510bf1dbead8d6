//! `Part`: a file that is being written. It has another name until all of it has come and its checksum is right.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::{sync::OwnedMutexGuard, task::spawn_blocking};

use crate::contract::{Entry, FileError};

/// The number of bytes of one block. A block and its overhead fit a frame.
pub(crate) const BLOCK: usize = 60 * 1024;

/// A file that is being written. If the part is dropped unfinished, it stays for a later attempt or is removed, as the
/// last call of [`Part::keep`] said. Clones are the same part.
///
/// Writes run on threads that outlive a dropped task. They hold a clone of the part, so the next writer's turn comes
/// only when the last write has ended.
#[derive(Clone)]
pub(crate) struct Part {
    inner: Arc<Inner>,
}

struct Inner {
    file: Mutex<(File, Sha256)>,
    path: PathBuf,
    target: PathBuf,
    finished: AtomicBool,
    keep: AtomicBool,
    /// The turn to write this name.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Part {
    /// The number of bytes that are kept of `target`.
    pub(crate) fn kept(target: &Path) -> Result<u64, FileError> {
        match fs::metadata(beside(target)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the part of `target`, if there is one.
    pub(crate) fn discard(target: &Path) -> Result<(), FileError> {
        match fs::remove_file(beside(target)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Opens the part of `target`, of which `offset` bytes must be there.
    pub(crate) async fn open(
        target: PathBuf,
        offset: u64,
        keep: bool,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Result<Self, FileError> {
        blocking(move || Self::open_here(target, offset, keep, turn)).await
    }

    /// Opens the part of `target`, and returns the number of bytes that are kept of it. If dropped unfinished, the part
    /// is removed.
    pub(crate) async fn resume(target: PathBuf) -> Result<(Self, u64), FileError> {
        blocking(move || {
            let kept = Self::kept(&target)?;
            Ok((Self::open_here(target, kept, false, None)?, kept))
        })
        .await
    }

    fn open_here(
        target: PathBuf,
        offset: u64,
        keep: bool,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Result<Self, FileError> {
        let path = beside(&target);
        let there = Self::kept(&target)?;
        if there < offset {
            return Err(FileError::BadOffset { asked: offset, there });
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.set_len(offset)?;
        let mut sum = Sha256::new();
        copy_into(&mut file, &mut sum)?;
        file.seek(SeekFrom::Start(offset))?;
        let (file, finished, keep) = (Mutex::new((file, sum)), AtomicBool::new(false), AtomicBool::new(keep));
        Ok(Self { inner: Arc::new(Inner { file, path, target, finished, keep, _turn: turn }) })
    }

    /// Begins the part anew.
    pub(crate) async fn restart(&self) -> Result<(), FileError> {
        let inner = self.inner.clone();
        blocking(move || {
            let mut file = inner.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.0.set_len(0)?;
            file.0.rewind()?;
            file.1 = Sha256::new();
            Ok(())
        })
        .await
    }

    /// Sets whether the part stays if it is dropped unfinished.
    pub(crate) fn keep(&self, keep: bool) {
        self.inner.keep.store(keep, Ordering::Release);
    }

    /// Appends a block.
    pub(crate) async fn write(&self, block: Bytes) -> Result<(), FileError> {
        let inner = self.inner.clone();
        blocking(move || {
            let mut file = inner.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.1.update(&block);
            file.0.write_all(&block)?;
            Ok(())
        })
        .await
    }

    /// Ends the part: if length and checksum are the announced ones, the file gets its name.
    pub(crate) async fn finish(&self, entry: &Entry) -> Result<(), FileError> {
        let (inner, entry) = (self.inner.clone(), entry.clone());
        blocking(move || {
            let mut file = inner.file.lock().unwrap_or_else(PoisonError::into_inner);
            let length = file.0.stream_position()?;
            if length != entry.length {
                return Err(FileError::Length { expected: entry.length, came: length });
            }
            let came = hex(file.1.clone());
            if came != entry.sha256 {
                return Err(FileError::Checksum { expected: entry.sha256, came });
            }
            file.0.sync_all()?;
            fs::rename(&inner.path, &inner.target)?;
            inner.finished.store(true, Ordering::Release);
            Ok(())
        })
        .await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.finished.load(Ordering::Acquire) && !self.keep.load(Ordering::Acquire) {
            // If the part cannot be removed, the next attempt finds it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The path of a file's part.
fn beside(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    target.with_file_name(name)
}

/// The length and the SHA-256 of a file, in hex.
pub(crate) async fn sum(path: PathBuf) -> Result<(u64, String), FileError> {
    blocking(move || {
        let mut sum = Sha256::new();
        let length = copy_into(&mut File::open(path)?, &mut sum)?;
        Ok((length, hex(sum)))
    })
    .await
}

/// Runs work that blocks its thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    spawn_blocking(work).await.map_err(|error| FileError::Io(error.to_string()))?
}

fn copy_into(file: &mut File, sum: &mut Sha256) -> std::io::Result<u64> {
    let (mut buffer, mut length) = (vec![0; BLOCK], 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(length);
        }
        sum.update(&buffer[..count]);
        length += count as u64;
    }
}

fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
