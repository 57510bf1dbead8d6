//! A chat. Run with `cargo run -p chat -- demo`, or `… -- server` and, elsewhere, `… -- client --name Ada`.

#![allow(clippy::print_stdout, reason = "a program prints")]

use std::{
    error::Error,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use chat::{Answers, ChatHouse, demo};
use chat_contract::{ChatClient, ChatError, ChatEvents, Post};
use clap::{Parser, Subcommand};
use futures::StreamExt;
use rpc_client::{CallError, Client, ClientEvent, Session, SetupError, Status, connect};
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
    // A member whose link is lost for less than a minute keeps the place, and misses nothing.
    let server = ChatHouse::server().resume_anonymous(true).listen(listen).await?;
    println!("The house is open at ws://{}/ and closes with Ctrl-C.", server.local_addr());
    server.shutdown_on_signal().await;
    Ok(())
}

/// Prints what the member hears, and answers every question with yes.
#[derive(Clone, Default)]
struct Screen {
    /// The number of the last post that was printed.
    last: Arc<AtomicU64>,
}

impl Screen {
    /// Prints a post, unless it has been printed before.
    fn print(&self, post: &Post) {
        if self.last.fetch_max(post.number, Ordering::Relaxed) < post.number {
            println!("{}: {}", post.author, post.text);
        }
    }
}

impl ChatEvents for Screen {
    async fn posted(&self, _room: &str, post: &Post) {
        self.print(post);
    }

    async fn left(&self, _room: &str, name: &str) {
        println!("({name} is gone)");
    }

    async fn confirm(&self, question: &str) -> bool {
        println!("The house asks: {question} - yes.");
        true
    }
}

/// Enters the room in a new session, and prints what was said meanwhile.
async fn enter(session: Session, screen: Screen, name: String, room: String, again: bool) -> Result<(), SetupError> {
    let joined = match session.client::<ChatClient>().join(&room, &name).await {
        // The house has not noticed yet that the last session is over.
        Err(CallError::Fault(ChatError::NameTaken(_))) if again => {
            return Err(Status::unavailable("the name is still taken").into());
        }
        joined => joined?,
    };
    let newest = joined.history.last().map_or(0, |post| post.number);
    if newest < screen.last.load(Ordering::Relaxed) {
        // It is another house, which counts from 1.
        screen.last.store(0, Ordering::Relaxed);
    }
    joined.history.iter().for_each(|post| screen.print(post));
    println!("(you are in, with {} others; Ctrl-D ends)", joined.others.len());
    Ok(())
}

async fn client(url: &str, name: &str, room: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (screen, name, room) = (Screen::default(), name.to_owned(), room.to_owned());
    let (again, shown, whole) = (AtomicBool::new(false), screen.clone(), room.clone());
    let client = connect(url)
        .callback(ChatEvents::serve(screen))
        .on_session(move |session| {
            enter(session, shown.clone(), name.clone(), whole.clone(), again.swap(true, Ordering::Relaxed))
        })
        .await?;
    let outcome = talk(&client, &room).await;
    // Without this the program may end before its goodbye has been written.
    client.close().await;
    outcome
}

/// Posts the lines that the user types, and runs the commands.
async fn talk(client: &Client, room: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let chat: ChatClient = client.client();
    let (mut lines, mut events) = (BufReader::new(stdin()).lines(), client.events());
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            Some(event) = events.next() => {
                match event {
                    ClientEvent::LinkLost { reason } => println!("({reason}; what you type waits)"),
                    ClientEvent::Resumed { .. } => println!("(you are back)"),
                    ClientEvent::SessionLost { reason, .. } => println!("({reason}; what you type waits)"),
                    ClientEvent::Closed(error) => return Err(error.into()),
                    _ => {}
                }
                continue;
            }
        };
        let Some(line) = line else { return Ok(()) };
        if let Err(error) = obey(&chat, room, &line).await {
            println!("({error})");
        }
    }
}

/// Runs a command, or posts a line.
async fn obey(chat: &ChatClient, room: &str, line: &str) -> Result<(), CallError<ChatError>> {
    if line == "/who" {
        println!("({})", chat.who(room).await?.join(", "));
    } else if let Some(question) = line.strip_prefix("/vote ") {
        let tally = chat.vote(room, question).await?;
        println!("({} yes, {} no, {} silent)", tally.yes, tally.no, tally.silent);
    } else if !line.is_empty() {
        chat.post(room, line).await?;
    }
    Ok(())
}
