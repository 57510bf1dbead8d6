//! A server that asks its caller a question before it answers. Run with `cargo run -p hello`.

#![allow(clippy::print_stdout, reason = "a program prints")]

use rpc_client::Connect;
use rpc_server::{Context, Server, Status};

/// Hosted by the client, called by the server.
#[rpc_server::callback]
trait Visitor {
    async fn name(&self, question: &str) -> String;
}

/// Hosted by the server, called by the client.
#[rpc_server::service(callback = Visitor)]
trait Greeter {
    async fn greet(&self, cx: &Context<VisitorClient>, greeting: &str) -> Result<String, Status>;
}

struct Doorman;

impl Greeter for Doorman {
    async fn greet(&self, cx: &Context<VisitorClient>, greeting: &str) -> Result<String, Status> {
        let name = cx.peer().name("Who is there?").await?; // a call back to our caller
        Ok(format!("{greeting}, {name}!"))
    }
}

struct Ada;

impl Visitor for Ada {
    async fn name(&self, question: &str) -> String {
        println!("the server asks: {question}");
        "Ada".to_owned()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().service(Doorman.serve()).listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/", server.local_addr());

    let greeter = GreeterClient::connect(url).callback(Ada.serve()).await?;
    println!("the server says: {}", greeter.greet("Hello").await?);

    server.shutdown().await;
    Ok(())
}
