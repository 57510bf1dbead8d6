//! The contract.

use bytes::Bytes;
use rpc_server::{Status, Streaming};
use serde::{Deserialize, Serialize};

/// A file that the server keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, without any path.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// The SHA-256 of all of it, in hex.
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
    /// A transfer cannot go on at that place.
    #[error("the transfer cannot go on at byte {asked}: {there} are there")]
    BadOffset {
        /// Where it should have gone on.
        asked: u64,
        /// How many bytes there are.
        there: u64,
    },
    /// The bytes that came are not those that were sent.
    #[error("the checksum of what has come is {came}, and should be {expected}")]
    Checksum {
        /// The announced checksum.
        expected: String,
        /// The checksum of what has come.
        came: String,
    },
    /// More or less has come than was announced.
    #[error("{came} bytes have come, and {expected} were announced")]
    Length {
        /// The announced length.
        expected: u64,
        /// The length of what has come.
        came: u64,
    },
    /// The disk.
    #[error("{0}")]
    Io(String),
    /// The call itself.
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
    /// All files, in the order of their names. Reads all of them, for their checksums.
    #[rpc(timeout = "1h")]
    async fn list(&self) -> Result<Vec<Entry>, FileError>;
    /// One file. Reads all of it, for its checksum.
    #[rpc(timeout = "1h")]
    async fn stat(&self, name: &str) -> Result<Entry, FileError>;
    /// A file from an offset on, in blocks.
    async fn download(&self, name: &str, offset: u64) -> Result<Streaming<Bytes, FileError>, FileError>;
    /// The number of bytes that are kept of an upload that was cut off; 0 if none are. Waits until no upload writes
    /// them.
    async fn kept(&self, name: &str) -> Result<u64, FileError>;
    /// Throws away what is kept of an upload. Waits until no upload writes it.
    async fn discard(&self, name: &str) -> Result<(), FileError>;
    /// Puts a file: its blocks from an offset on. The offset must be the number of bytes that are kept of the file.
    /// Length and checksum are checked when all blocks have come, and only then does the file appear.
    async fn upload(&self, entry: &Entry, offset: u64, blocks: Streaming<Bytes, FileError>) -> Result<(), FileError>;
}
