//! A server: its `Cargo.toml` has the contract crate and `rpc-server` alone of our crates.

use one_contract::{Greeter, VisitorClient};
use rpc_server::{
    Context, ListenError, Server, ServerHandle, Session, SessionHooks, Status, StreamSender, Streaming, async_trait,
};

/// Asks visitors for their names.
#[derive(Debug)]
pub struct Doorman;

impl Greeter for Doorman {
    async fn greet(&self, cx: &Context<VisitorClient>, greeting: &str) -> Result<String, Status> {
        Ok(format!("{greeting}, {}!", cx.peer().name().await?))
    }

    async fn count(&self, end: u32) -> Streaming<u32> {
        // Room for all numbers and the end, so that nothing here waits for the reader.
        let (sender, numbers): (StreamSender<u32>, _) = Streaming::channel(end as usize + 1);
        for number in 0..end {
            let _ = sender.send(number).await;
        }
        let _ = sender.finish().await;
        numbers
    }
}

/// A contract of the server's own.
#[rpc_server::service]
pub trait Clock {
    /// How late it is.
    async fn hour(&self) -> u8;
}

impl Clock for Doorman {
    async fn hour(&self) -> u8 {
        12
    }
}

struct Open;

#[async_trait]
impl SessionHooks for Open {
    async fn opened(&self, _: &Session) -> Result<(), Status> {
        Ok(())
    }
}

/// Serves both contracts at a free port of this machine.
pub async fn start() -> Result<ServerHandle, ListenError> {
    Server::builder()
        .service(Greeter::serve(Doorman))
        .service(Clock::serve(Doorman))
        .hooks(Open)
        .listen("127.0.0.1:0")
        .await
}
