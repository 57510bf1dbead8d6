//! The server's side: jobs that write files.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rpc_server::{Context, SessionId, Status};
use tokio::{
    fs::{self, File},
    io::{AsyncWriteExt, BufWriter},
    sync::watch,
    time::sleep,
};

use crate::contract::{ExportError, Exported, Exporter, WatcherClient};

/// Writes files into a directory.
#[derive(Debug)]
pub struct Archive {
    directory: PathBuf,
    /// The least time for a hundredth of a job, because this example's jobs would be too fast to watch.
    pace: Duration,
    running: watch::Sender<usize>,
}

impl Archive {
    /// An exporter that writes files into this directory.
    pub fn new(directory: impl Into<PathBuf>, pace: Duration) -> Self {
        Self { directory: directory.into(), pace, running: watch::Sender::new(0) }
    }

    async fn write(
        &self,
        watcher: &WatcherClient,
        job: u32,
        part: &Unfinished<'_>,
        records: u64,
    ) -> Result<(), ExportError> {
        let mut file = BufWriter::new(File::create(&part.path).await?);
        let mut reported = 0;
        for record in 1..=records {
            file.write_all(format!("{record},{}\n", record * record).as_bytes()).await?;
            let percent = record * 100 / records;
            if percent > reported {
                reported = percent;
                watcher.progress(job, record, records).await?;
                // If the client gives up here, this future is dropped, and `part` with it.
                sleep(self.pace).await;
            }
        }
        file.flush().await?;
        Ok(file.into_inner().sync_all().await?)
    }
}

impl Exporter for Archive {
    async fn export(
        &self,
        cx: &Context<WatcherClient>,
        job: u32,
        name: &str,
        records: u64,
    ) -> Result<Exported, ExportError> {
        if !is_plain(name) {
            return Err(ExportError::Name(name.to_owned()));
        }
        let path = self.directory.join(name);
        if let Ok(there) = fs::metadata(&path).await {
            // The client's user may think: the server waits for the answer as long as the job may take.
            if !cx.peer().overwrite(job, name, there.len()).await? {
                return Err(ExportError::Kept(name.to_owned()));
            }
        }
        let part = Unfinished::new(self, cx.session_id(), job, name);
        self.write(cx.peer(), job, &part, records).await?;
        // Readers see the old file or the new one, never half of one.
        fs::rename(&part.path, &path).await?;
        Ok(Exported { bytes: fs::metadata(&path).await?.len() })
    }

    async fn files(&self) -> Vec<String> {
        list(&self.directory).unwrap_or_default()
    }

    async fn idle(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }
}

/// A file that is being written. It does not stay behind, however its job ends: if the caller gives up, loses its link
/// or runs out of time, the handler's future is dropped, which removes the file.
struct Unfinished<'a> {
    path: PathBuf,
    running: &'a watch::Sender<usize>,
}

impl<'a> Unfinished<'a> {
    fn new(archive: &'a Archive, session: SessionId, job: u32, name: &str) -> Self {
        archive.running.send_modify(|running| *running += 1);
        let path = archive.directory.join(format!(".{name}.{session}.{job}.part"));
        Self { path, running: &archive.running }
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // A finished file has been renamed, so this removes unfinished ones only.
        let _ = std::fs::remove_file(&self.path);
        self.running.send_modify(|running| *running -= 1);
    }
}

fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 200 && name.chars().all(allowed) && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn list(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

impl From<Status> for ExportError {
    fn from(status: Status) -> Self {
        Self::Caller(status.to_string())
    }
}
