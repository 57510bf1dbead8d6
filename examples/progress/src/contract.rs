//! The contracts of server and client.

use rpc_server::Context;
use serde::{Deserialize, Serialize};

/// Hosted by the client, called by the server while a job of this client runs. By convention every call says which job
/// it is about.
#[rpc_server::callback]
pub trait Watcher {
    /// How far the job has come.
    ///
    /// This is one-way, so the job does not wait for the client's answer. The job cannot flood a slow client either,
    /// because one-way calls take permits, and the sender waits when the permits are used up.
    #[rpc(oneway)]
    async fn progress(&self, job: u32, done: u64, total: u64);

    /// Asks whether to replace a file that exists already. The job waits for the answer.
    async fn overwrite(&self, job: u32, name: &str, bytes: u64) -> bool;
}

/// Hosted by the server.
#[rpc_server::service(callback = Watcher)]
pub trait Exporter {
    /// Writes records to a file of this name, and tells the caller's [`Watcher`] how far the job has come. `job` is
    /// a number of the caller's choice.
    ///
    /// Dropping the call stops the job and leaves no part of a file.
    #[rpc(timeout = "1h")]
    async fn export(
        &self,
        cx: &Context<WatcherClient>,
        job: u32,
        name: &str,
        records: u64,
    ) -> Result<Exported, ExportError>;

    /// The names of all files, unfinished ones too.
    async fn files(&self) -> Vec<String>;

    /// Waits until no job runs.
    async fn idle(&self);
}

/// A file that has been written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The length of the file in bytes.
    pub bytes: u64,
}

/// Why a file was not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ExportError {
    /// The caller's answer was no.
    #[error("{0} is there already and stays as it is")]
    Kept(String),
    /// The name could lead out of the directory.
    #[error("{0:?} is no name for a file: use letters, digits, '-', '_' and '.', and begin with a letter or digit")]
    Name(String),
    /// The caller could not be asked or told.
    #[error("the caller could not be reached: {0}")]
    Caller(String),
    /// The file system has failed.
    #[error("{0}")]
    Disk(String),
}
