//! What programs and the page say to the server, and hear from it.

use rpc_server::{Context, Status};
use serde::{Deserialize, Serialize};

/// A note on the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The number of the note; the board counts from 1.
    pub number: u64,
    /// The user who wrote the note.
    pub author: String,
    /// The text of the note.
    pub text: String,
}

/// Why the board refuses a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// The text is empty or too long.
    #[error("a note has between 1 and {0} bytes")]
    Length(usize),
    /// The framework refused something.
    #[error(transparent)]
    Status(#[from] Status),
}

/// Hosted by a program, called by the server.
#[rpc_server::callback]
pub trait BoardEvents {
    /// There is a new note. Programs that do not keep up miss it.
    #[rpc(oneway, timeout = "2s")]
    async fn posted(&self, note: &Note);

    /// A note is gone. Programs that do not keep up miss it.
    #[rpc(oneway, timeout = "2s")]
    async fn removed(&self, number: u64);
}

/// Hosted by the server, for every user.
#[rpc_server::service(callback = BoardEvents)]
pub trait Board {
    /// Posts a text in the name of the user who is logged in. Returns the number of the note.
    async fn post(&self, cx: &Context<BoardEventsClient>, text: &str) -> Result<u64, BoardError>;

    /// The notes of the board. From now on the caller's [`BoardEvents`] hear of each change.
    async fn watch(&self, cx: &Context<BoardEventsClient>) -> Vec<Note>;
}

/// Hosted by the server, for administrators.
#[rpc_server::service]
pub trait Admin {
    /// Removes a note. Returns false if there is none of that number.
    #[rpc(allow = "admin")]
    async fn remove(&self, number: u64) -> bool;
}

/// What the page in the browser hears, as JSON text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LiveEvent {
    /// The first message: who is logged in.
    Welcome {
        /// The name of the user.
        name: String,
    },
    /// There is a note.
    Posted {
        /// The note.
        note: Note,
    },
    /// A note is gone.
    Removed {
        /// The number of the note.
        number: u64,
    },
    /// What the page has posted was refused.
    Refused {
        /// The reason, for people.
        why: String,
        /// What the page has posted, for its field.
        text: String,
    },
}
