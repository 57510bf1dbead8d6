//! The two contracts of a chat: what members ask of the house, and what the house asks of members.

use rpc_core::{Context, Status};
use serde::{Deserialize, Serialize};

/// A message in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// The number of the post; each room counts from 1.
    pub number: u64,
    /// The name of the author.
    pub author: String,
    /// The text of the post.
    pub text: String,
}

/// What the house tells a member who has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The names of the other members.
    pub others: Vec<String>,
    /// The earlier posts.
    pub history: Vec<Post>,
}

/// The result of a vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The number of members who agreed.
    pub yes: u32,
    /// The number of members who did not agree.
    pub no: u32,
    /// The number of members who did not answer in time.
    pub silent: u32,
}

/// Why the house refuses a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The house rules were not accepted.
    #[error("the house rules were not accepted")]
    Declined,
    /// The name is taken in this room.
    #[error("{0} is in the room already; choose another name")]
    NameTaken(String),
    /// Only members may do this.
    #[error("join the room {0} first")]
    NotAMember(String),
    /// A call back to the member failed.
    #[error(transparent)]
    Status(#[from] Status),
}

/// Hosted by a member's program, called by the house.
#[rpc_core::callback(group)]
pub trait ChatEvents {
    /// A member said something. A member who does not keep up loses its session, and finds in the history of its next
    /// session what it has missed.
    #[rpc(oneway)]
    async fn posted(&self, room: &str, post: &Post);

    /// A member is gone.
    #[rpc(oneway)]
    async fn left(&self, room: &str, name: &str);

    /// A question to the member, who answers yes or no.
    async fn confirm(&self, question: &str) -> bool;
}

/// Hosted by the house, called by members.
#[rpc_core::service(callback = ChatEvents)]
pub trait Chat {
    /// Enters a room under a name. The house first asks whether its rules are accepted.
    async fn join(&self, cx: &Context<ChatEventsClient>, room: &str, name: &str) -> Result<Joined, ChatError>;

    /// Posts a text to everybody in the room, the caller included. Returns the post's number.
    async fn post(&self, cx: &Context<ChatEventsClient>, room: &str, text: &str) -> Result<u64, ChatError>;

    /// Asks everybody in the room, and waits for the answers.
    async fn vote(&self, cx: &Context<ChatEventsClient>, room: &str, question: &str) -> Result<Tally, ChatError>;

    /// The names of the members of a room.
    #[rpc(idempotent, timeout = "5s")]
    async fn who(&self, room: &str) -> Vec<String>;

    /// The posts of a room.
    #[rpc(idempotent)]
    async fn history(&self, room: &str) -> Vec<Post>;
}
