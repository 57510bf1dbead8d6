//! A chat. Run with `cargo run -p chat -- demo`, or `… -- server` and, elsewhere, `… -- client --name Ada`.

#![allow(clippy::print_stdout, reason = "a program prints")]

use std::{error::Error, net::SocketAddr};

use chat::{Answers, ChatHouse, demo};
use chat_contract::{Chat, ChatClient, ChatEvents, Post};
use clap::{Parser, Subcommand};
use rpc_client::{Connect, Stub};
use rpc_server::Server;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// A chat whose server calls its members back.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server and three members in this process, and prints what they say.
    Demo,
    /// Opens the house.
    Server {
        /// The address to listen at.
        #[arg(long, default_value = "127.0.0.1:9000")]
        listen: SocketAddr,
    },
    /// Joins a room. The program posts each line that you type; `/who` and `/vote QUESTION` ask the house.
    Client {
        /// The URL of the house.
        #[arg(long, default_value = "ws://127.0.0.1:9000/")]
        url: String,
        /// Your name in the room.
        #[arg(long)]
        name: String,
        /// The room.
        #[arg(long, default_value = "lobby")]
        room: String,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Options::parse().command {
        Command::Demo => demo(Answers::default(), &mut std::io::stdout()).await,
        Command::Server { listen } => server(listen).await,
        Command::Client { url, name, room } => client(&url, &name, &room).await,
    }
}

async fn server(listen: SocketAddr) -> Result<(), Box<dyn Error + Send + Sync>> {
    let server = Server::builder().service(ChatHouse::default().serve()).listen(listen).await?;
    println!("The house is open at ws://{}/ and closes with Ctrl-C.", server.local_addr());
    server.shutdown_on_signal().await;
    Ok(())
}

/// Prints what the member hears, and answers every question with yes.
struct Screen;

impl ChatEvents for Screen {
    async fn posted(&self, _room: &str, post: &Post) {
        println!("{}: {}", post.author, post.text);
    }

    async fn left(&self, _room: &str, name: &str) {
        println!("({name} is gone)");
    }

    async fn confirm(&self, question: &str) -> bool {
        println!("The house asks: {question} - yes.");
        true
    }
}

async fn client(url: &str, name: &str, room: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let chat = ChatClient::connect(url).callback(Screen.serve()).await?;
    let outcome = talk(&chat, name, room).await;
    // Without this the program may end before its goodbye has been written.
    chat.session().close().await;
    outcome
}

/// Posts the lines that the user types, and runs the commands.
async fn talk(chat: &ChatClient, name: &str, room: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let joined = chat.join(room, name).await?;
    for post in &joined.history {
        println!("{}: {}", post.author, post.text);
    }
    println!("(you are in, with {} others; Ctrl-D ends)", joined.others.len());
    let session = chat.session();
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            reason = session.closed() => return Err(reason.into()),
        };
        let Some(line) = line else { return Ok(()) };
        if line == "/who" {
            println!("({})", chat.who(room).await?.join(", "));
        } else if let Some(question) = line.strip_prefix("/vote ") {
            let tally = chat.vote(room, question).await?;
            println!("({} yes, {} no, {} silent)", tally.yes, tally.no, tally.silent);
        } else if !line.is_empty() {
            chat.post(room, &line).await?;
        }
    }
}
