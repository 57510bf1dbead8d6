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
    /// A name that is no plain file name.
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
    /// What has come is not what was sent.
    #[error("the checksum of what has come is {came}, and should be {expected}")]
    Checksum {
        /// What was announced.
        expected: String,
        /// What it is.
        came: String,
    },
    /// More or less has come than was announced.
    #[error("{came} bytes have come, and {expected} were announced")]
    Length {
        /// What was announced.
        expected: u64,
        /// How many there are.
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
    /// All files, in the order of their names. Takes as long as it takes to read all of them, for their checksums.
    #[rpc(timeout = "1h")]
    async fn list(&self) -> Result<Vec<Entry>, FileError>;
    /// What there is to know of a file. Takes as long as it takes to read it, for its checksum.
    #[rpc(timeout = "1h")]
    async fn stat(&self, name: &str) -> Result<Entry, FileError>;
    /// A file from an offset on, in blocks.
    async fn download(&self, name: &str, offset: u64) -> Result<Streaming<Bytes, FileError>, FileError>;
    /// How many bytes of an upload that was cut off are kept; 0 if none are. Waits until nobody writes them any more.
    async fn kept(&self, name: &str) -> Result<u64, FileError>;
    /// Throws away what is kept of an upload. Waits until nobody writes it any more.
    async fn discard(&self, name: &str) -> Result<(), FileError>;
    /// Puts a file: its blocks from an offset on, which must be what is kept of it. Its length and checksum are checked
    /// when all has come, and only then is it there.
    async fn upload(&self, entry: &Entry, offset: u64, blocks: Streaming<Bytes, FileError>) -> Result<(), FileError>;
}
