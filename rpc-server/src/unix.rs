//! `bind`: makes a listening Unix socket. `SocketFile`: its file, which goes when the socket does.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{self, Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use crate::error::ListenError;

/// Listens at a path. A socket file that an earlier process has left there is removed, if nothing answers at it.
pub(crate) async fn bind(path: &Path) -> Result<(UnixListener, SocketFile), ListenError> {
    let failed = |source| ListenError::Path { path: path.to_owned(), source };
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            clear(path).await?;
            UnixListener::bind(path).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => ListenError::PathInUse(path.to_owned()),
                _ => failed(error),
            })?
        }
        bound => bound.map_err(failed)?,
    };
    let file = SocketFile::of(path).map_err(failed)?;
    Ok((listener, file))
}

/// Removes the socket file of a process that is no more.
async fn clear(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Path { path: path.to_owned(), source };
    let old = fs::symlink_metadata(path).map_err(failed)?;
    if !old.file_type().is_socket() {
        return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "there is another file, which is no socket")));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        // A socket whose queue of connections is full listens as well.
        Ok(_) => return Err(ListenError::PathInUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(ListenError::PathInUse(path.to_owned()));
        }
        Err(error) => return Err(failed(error)),
    }
    // Another process that starts now may have put its own file there meanwhile.
    if is_same(path, id(&old)) {
        fs::remove_file(path).map_err(failed)?;
    }
    Ok(())
}

/// The file of a listening socket. Dropping it removes the file, unless another one has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// The program may change its working directory.
    path: PathBuf,
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let path = path::absolute(path)?;
        let id = id(&fs::symlink_metadata(&path)?);
        Ok(Self { path, id })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if is_same(&self.path, self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device and inode.
fn id(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn is_same(path: &Path, known: (u64, u64)) -> bool {
    fs::symlink_metadata(path).is_ok_and(|now| id(&now) == known)
}
