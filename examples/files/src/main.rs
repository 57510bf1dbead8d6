//! Files over streams. Run with `cargo run -p files -- demo`, or `… -- server kept/` and, elsewhere,
//! `… -- put photo.raw`.

#![allow(clippy::print_stdout, reason = "a program prints")]

use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};
use files::{FilesClient, Store, demo, get, give_up, put};
use indicatif::{ProgressBar, ProgressStyle};
use rpc_client::{Connect, Stub};
use rpc_server::Server;

/// A server that keeps files, and a client that puts and gets them.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server and clients in this process, and prints what happens.
    Demo {
        /// The length of a file in MiB.
        #[arg(long, default_value_t = 16)]
        mib: u64,
    },
    /// Keeps files for its clients.
    Server {
        /// The directory for the files.
        directory: PathBuf,
        /// The address to listen at.
        #[arg(long, default_value = "127.0.0.1:9002")]
        listen: SocketAddr,
    },
    /// Puts a file, also over several links, and resumes where an earlier attempt was cut off. Ctrl-C gives up.
    Put {
        /// The file.
        path: PathBuf,
        /// The URL of the server.
        #[arg(long, default_value = "ws://127.0.0.1:9002/")]
        url: String,
    },
    /// Gets a file, also over several links, and resumes where an earlier attempt was cut off. Ctrl-C gives up.
    Get {
        /// The name of the file, at the server and here.
        name: String,
        /// The URL of the server.
        #[arg(long, default_value = "ws://127.0.0.1:9002/")]
        url: String,
    },
    /// Lists the files of a server.
    List {
        /// The URL of the server.
        #[arg(long, default_value = "ws://127.0.0.1:9002/")]
        url: String,
    },
}

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Options::parse().command {
        Command::Demo { mib } => demo(tempfile::tempdir()?.path(), mib << 20, &mut std::io::stdout()).await,
        Command::Server { directory, listen } => server(directory, listen).await,
        Command::Put { path, url } => {
            let files = connect(url).await?;
            end(&files, put_or_give_up(&files, &path).await).await
        }
        Command::Get { name, url } => {
            let files = connect(url).await?;
            end(&files, get_or_give_up(&files, &name).await).await
        }
        Command::List { url } => {
            let files = connect(url).await?;
            end(&files, list(&files).await).await
        }
    }
}

/// Transfers go on by themselves when the link is lost and found again.
async fn connect(url: String) -> Outcome<FilesClient> {
    Ok(FilesClient::connect(url).await?)
}

/// Ends a client's program. Without this the program may end before its goodbye has been written.
async fn end(files: &FilesClient, outcome: Outcome) -> Outcome {
    files.session().close().await;
    outcome
}

async fn put_or_give_up(files: &FilesClient, path: &Path) -> Outcome {
    let bar = bar();
    tokio::select! {
        done = put(files, path, &bar) => return done.map(|_| ()).map_err(Into::into),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    tokio::select! {
        done = give_up(files, path) => done?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            return Err("interrupted again: the server may keep a part".into());
        }
    }
    given_up(&bar);
    Ok(())
}

async fn get_or_give_up(files: &FilesClient, name: &str) -> Outcome {
    let bar = bar();
    tokio::select! {
        done = get(files, name, Path::new(name), &bar) => drop(done?),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            given_up(&bar);
        }
    }
    Ok(())
}

async fn list(files: &FilesClient) -> Outcome {
    for entry in files.list().await? {
        println!("{} {:>12} {}", entry.sha256, entry.length, entry.name);
    }
    Ok(())
}

async fn server(directory: PathBuf, listen: SocketAddr) -> Outcome {
    std::fs::create_dir_all(&directory)?;
    let server = Server::builder().service(Store::new(directory).serve()).resume_anonymous(true).listen(listen).await?;
    println!("Files are kept at ws://{}/ until Ctrl-C.", server.local_addr());
    server.shutdown_on_signal().await;
    Ok(())
}

fn given_up(bar: &ProgressBar) {
    bar.abandon();
    println!("given up: no part of it is left");
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
