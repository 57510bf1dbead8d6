//! Our crates under other names, given by this crate's `Cargo.toml` and by the workspace's.

use renamed_client::Connect;
use rpc::{Context, ListenError, Server, ServerHandle, Status};

/// Hosted by the client, through the name that the workspace gives to rpc-client.
#[renamed_client::callback(group)]
pub trait Visitor {
    /// What the visitor is called.
    async fn name(&self) -> String;
}

/// Hosted by the server, through the name that this crate gives to rpc-server.
#[rpc::service(callback = Visitor)]
pub trait Greeter {
    /// Greets the visitor by the name that the visitor gives.
    async fn greet(&self, cx: &Context<VisitorClient>, greeting: &str) -> Result<String, Status>;
}

/// Both ends.
#[derive(Debug)]
pub struct Ada;

impl Visitor for Ada {
    async fn name(&self) -> String {
        "Ada".to_owned()
    }
}

impl Greeter for Ada {
    async fn greet(&self, cx: &Context<VisitorClient>, greeting: &str) -> Result<String, Status> {
        Ok(format!("{greeting}, {}!", cx.peer().name().await?))
    }
}

/// Serves at a free port of this machine.
pub async fn start() -> Result<ServerHandle, ListenError> {
    Server::builder().service(Greeter::serve(Ada)).listen("127.0.0.1:0").await
}

/// What the server at `url` says to Ada.
pub async fn greeted(url: &str) -> Result<String, Box<dyn std::error::Error>> {
    Ok(GreeterClient::connect(url).callback(Visitor::serve(Ada)).await?.greet("Hello").await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn renamed_crates_are_found() {
        let server = start().await.unwrap();
        let url = format!("ws://{}/", server.local_addr());
        assert_eq!(greeted(&url).await.unwrap(), "Hello, Ada!");
        server.shutdown().await;
    }
}
