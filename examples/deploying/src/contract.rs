//! What server and client offer to each other.

use rpc_server::{Context, Status};

/// Hosted by the client, called by the server.
#[rpc_server::callback]
pub(crate) trait Visitor {
    async fn name(&self, question: &str) -> String;
}

/// Tells its clients how it sees them.
#[rpc_server::service(callback = Visitor)]
pub(crate) trait Desk {
    /// The address of the client, and the name that it says when it is asked.
    async fn address(&self, cx: &Context<VisitorClient>) -> Result<String, Status>;

    /// A call that ends when the server drains: its answer is the last of the session.
    async fn last_word(&self, cx: &Context<VisitorClient>) -> String;
}
