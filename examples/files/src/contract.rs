//! The contract of the file server.

use bytes::Bytes;
use rpc_server::{Status, Streaming};
use serde::{Deserialize, Serialize};

/// A file that the server keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name of the file, without a path.
    pub name: String,
    /// The length of the file in bytes.
    pub length: u64,
    /// The SHA-256 of the file, in hex.
    pub sha256: String,
}

/// Why a file was not put or got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FileError {
    /// The name is not a plain file name.
    #[error("`{0}` is not the name of a file: letters, digits, `-`, `_` and `.` in the middle, at most 100")]
    BadName(String),
    /// There is no such file.
    #[error("there is no file `{0}`")]
    NotFound(String),
    /// A transfer cannot resume at that offset.
    #[error("the transfer cannot go on at byte {asked}: {there} are there")]
    BadOffset {
        /// The offset at which the transfer should resume.
        asked: u64,
        /// The number of bytes that are there.
        there: u64,
    },
    /// The received bytes differ from the sent bytes.
    #[error("the checksum of what has come is {came}, and should be {expected}")]
    Checksum {
        /// The announced checksum.
        expected: String,
        /// The checksum of the received bytes.
        came: String,
    },
    /// The number of received bytes is not the announced one.
    #[error("{came} bytes have come, and {expected} were announced")]
    Length {
        /// The announced length.
        expected: u64,
        /// The number of received bytes.
        came: u64,
    },
    /// The file system has failed.
    #[error("{0}")]
    Io(String),
    /// The call has failed.
    #[error(transparent)]
    Call(#[from] Status),
}

impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Keeps files.
#[rpc_server::service]
pub trait Files {
    /// All files, in the order of their names. The server reads all files to compute their checksums.
    #[rpc(timeout = "1h")]
    async fn list(&self) -> Result<Vec<Entry>, FileError>;
    /// One file. The server reads the whole file to compute its checksum.
    #[rpc(timeout = "1h")]
    async fn stat(&self, name: &str) -> Result<Entry, FileError>;
    /// A file from an offset on, in blocks.
    async fn download(&self, name: &str, offset: u64) -> Result<Streaming<Bytes, FileError>, FileError>;
    /// The number of bytes that are kept of an upload that was cut off; 0 if none are. Waits until no upload writes
    /// them, also one whose client has vanished and may come back.
    #[rpc(timeout = "2m")]
    async fn kept(&self, name: &str) -> Result<u64, FileError>;
    /// Removes what is kept of an upload. Waits until no upload writes it.
    #[rpc(timeout = "2m")]
    async fn discard(&self, name: &str) -> Result<(), FileError>;
    /// Puts a file: its blocks from an offset on. The offset must be the number of bytes that are kept of the file.
    /// Length and checksum are checked when all blocks have come, and only then does the file appear.
    async fn upload(&self, entry: &Entry, offset: u64, blocks: Streaming<Bytes, FileError>) -> Result<(), FileError>;
}
