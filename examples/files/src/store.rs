//! The server's side: keeps files in one directory.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use rpc_server::{CloseCode, ConnectionError, Service, Session, SessionState, Streaming};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    runtime::Handle,
    sync::OwnedMutexGuard,
};

use crate::{
    contract::{Entry, FileError, Files},
    part::{BLOCK, Part, blocking, sum},
};

const LONGEST_NAME: usize = 100;

/// A directory of files.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
    /// The names that are being written. A name has one writer at a time.
    turns: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

/// Serves one client. Each session has its own desk, which knows how the session ended.
struct Desk {
    store: Store,
    session: Session,
}

/// An upload under way. If the session is lost, the part stays; if the client gives up, the part is removed.
struct Upload {
    part: Part,
    session: Session,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.session.state() == SessionState::Open {
            // The session is open, so only the call has ended: the client gave it up.
            return self.part.keep(false);
        }
        let (part, session) = (self.part.clone(), self.session.clone());
        let judge = async move {
            // A client that gives up and leaves at once says goodbye. A session that is lost ends without a goodbye.
            part.keep(!matches!(session.closed().await, ConnectionError::ClosedByPeer { code: CloseCode::NORMAL, .. }));
        };
        // If there is no runtime any more, the server stops, and the part stays.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(judge);
        }
    }
}

impl Store {
    /// A store that keeps files in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), turns: Arc::default() }
    }

    /// Hosts the store.
    pub fn serve(self) -> Service {
        Desk::per_session(move |session| Desk { store: self.clone(), session: session.clone() })
    }

    fn path(&self, name: &str) -> Result<PathBuf, FileError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fine = name.len() <= LONGEST_NAME
            && name.chars().all(allowed)
            && !name.starts_with('.')
            && !name.ends_with('.')
            && !name.ends_with(".part")
            && !name.is_empty();
        if fine { Ok(self.directory.join(name)) } else { Err(FileError::BadName(name.to_owned())) }
    }

    /// Waits until no upload writes this name.
    async fn turn(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(name.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }

    async fn entry(&self, name: &str) -> Result<Entry, FileError> {
        let path = self.path(name)?;
        if !tokio::fs::metadata(&path).await.is_ok_and(|metadata| metadata.is_file()) {
            return Err(FileError::NotFound(name.to_owned()));
        }
        let (length, sha256) = sum(path).await?;
        Ok(Entry { name: name.to_owned(), length, sha256 })
    }
}

impl Files for Desk {
    async fn list(&self) -> Result<Vec<Entry>, FileError> {
        let directory = self.store.directory.clone();
        let mut names = blocking(move || {
            let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            Ok(names.collect::<std::io::Result<Vec<_>>>()?)
        })
        .await?;
        names.sort();
        let mut entries = Vec::new();
        for name in names.iter().filter(|name| self.store.path(name).is_ok()) {
            entries.push(self.store.entry(name).await?);
        }
        Ok(entries)
    }

    async fn stat(&self, name: &str) -> Result<Entry, FileError> {
        self.store.entry(name).await
    }

    async fn download(&self, name: &str, offset: u64) -> Result<Streaming<Bytes, FileError>, FileError> {
        let path = self.store.path(name)?;
        let there = tokio::fs::metadata(&path).await.map_err(|_| FileError::NotFound(name.to_owned()))?.len();
        if offset > there {
            return Err(FileError::BadOffset { asked: offset, there });
        }
        Ok(Streaming::from_results(blocks(&path, offset).await?))
    }

    async fn kept(&self, name: &str) -> Result<u64, FileError> {
        let path = self.store.path(name)?;
        let _turn = self.store.turn(name).await;
        blocking(move || Part::kept(&path)).await
    }

    async fn discard(&self, name: &str) -> Result<(), FileError> {
        let path = self.store.path(name)?;
        let _turn = self.store.turn(name).await;
        blocking(move || Part::discard(&path)).await
    }

    async fn upload(
        &self,
        entry: &Entry,
        offset: u64,
        mut blocks: Streaming<Bytes, FileError>,
    ) -> Result<(), FileError> {
        let path = self.store.path(&entry.name)?;
        let turn = self.store.turn(&entry.name).await;
        let part = Part::open(path, offset, true, Some(turn)).await?;
        let upload = Upload { part, session: self.session.clone() };
        while let Some(block) = blocks.next().await {
            upload.part.write(block.map_err(rpc_server::CallError::collapse)?).await?;
        }
        upload.part.finish(entry).await
    }
}

/// A file from an offset on, block by block.
pub(crate) async fn blocks(
    path: &Path,
    offset: u64,
) -> Result<impl Stream<Item = Result<Bytes, FileError>> + Send + use<>, FileError> {
    let mut file = File::open(path).await?;
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    Ok(stream::try_unfold(file, async |mut file| {
        let mut block = BytesMut::with_capacity(BLOCK);
        while block.len() < BLOCK && file.read_buf(&mut block).await? > 0 {}
        Ok(if block.is_empty() { None } else { Some((block.freeze(), file)) })
    }))
}
