//! How often each byte is copied on its way, both ends together. Run with
//! `cargo run --release --manifest-path bench/Cargo.toml --bin copies`; needs valgrind.
//!
//! Counts what `memcpy` and its kind copy in a process that has both ends and a socket between them. What the kernel
//! copies is not in it. Each row is run with some payloads and with twice as many: the difference is theirs alone.

use std::process::{Command, Stdio};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use common::Outcome;
use futures::{SinkExt, StreamExt, TryStreamExt, stream};
use rpc_client::Connect;
use rpc_core::{Status, Streaming};
use rpc_server::Server;
use tokio::net::TcpListener;
use tokio_tungstenite::{accept_async, connect_async, tungstenite::Message};

/// What carries the bytes, from client to server or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Carrier {
    /// Messages of a bare tokio-tungstenite, from client to server: what the WebSocket layer itself needs.
    Message,
    /// An argument of type Bytes.
    Argument,
    /// A result of type Bytes.
    Result,
    /// Items of a stream that is a result.
    Items,
    /// An argument of type Vec<u8>, which the server gets for its own.
    Vec,
}

#[derive(Debug, Parser)]
struct Options {
    /// Used by the program itself: carry payloads this way.
    #[arg(long, hide = true)]
    carry: Option<Carrier>,
    /// Used by the program itself: the length of a payload.
    #[arg(long, hide = true, default_value_t = 0)]
    size: usize,
    /// Used by the program itself: how many payloads.
    #[arg(long, hide = true, default_value_t = 0)]
    count: usize,
}

#[rpc_core::service]
trait Sink {
    async fn bytes(&self, payload: Bytes) -> u64;
    async fn vec(&self, payload: Vec<u8>) -> u64;
    async fn give(&self, size: u64) -> Bytes;
    async fn items(&self, size: u64, count: u64) -> Streaming<Bytes>;
}

struct Plain(Bytes);

impl Sink for Plain {
    async fn bytes(&self, payload: Bytes) -> u64 {
        payload.len() as u64
    }

    async fn vec(&self, payload: Vec<u8>) -> u64 {
        payload.len() as u64
    }

    async fn give(&self, size: u64) -> Bytes {
        self.0.slice(..size as usize)
    }

    async fn items(&self, size: u64, count: u64) -> Streaming<Bytes> {
        let item = self.0.slice(..size as usize);
        Streaming::new(stream::iter((0..count).map(move |_| item.clone())))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let options = Options::parse();
    match options.carry {
        Some(Carrier::Message) => carry_bare(options.size, options.count).await,
        Some(carrier) => carry(carrier, options.size, options.count).await,
        None => table(),
    }
}

fn table() -> Outcome<()> {
    println!("{:>10} {:>10} {:>8}", "carrier", "bytes", "copies");
    for carrier in Carrier::value_variants() {
        for (size, count) in [(1000, 2000), (16_000, 200), (60_000, 100), (4_000_000, 4)] {
            let name = carrier.to_possible_value().ok_or("a carrier without a name")?.get_name().to_owned();
            let copied = [count, 2 * count].map(|count| copied(&name, size, count));
            let [once, twice] = copied;
            println!("{name:>10} {size:>10} {:>8.2}", (twice? - once?) / (size * count) as f64);
        }
    }
    Ok(())
}

/// The number of bytes that a process copies while it carries `count` payloads.
fn copied(carrier: &str, size: usize, count: usize) -> Outcome<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=dhat", "--mode=copy", "--dhat-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--carry", carrier, "--size", &size.to_string(), "--count", &count.to_string()])
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("valgrind does not start ({error}): install it, as with `apt install valgrind`"))?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let total = report.lines().find_map(|line| line.split_once("Total:")).map(|(_, total)| total.trim_start());
    let digits = total.and_then(|total| total.split_whitespace().next()).map(|digits| digits.replace(',', ""));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| report.into())
}

async fn carry(carrier: Carrier, size: usize, count: usize) -> Outcome<()> {
    let payload = Bytes::from(vec![7; size]);
    let server = Server::builder().service(Plain(payload.clone()).serve()).listen("127.0.0.1:0").await?;
    let sink = SinkClient::connect(format!("ws://{}/", server.local_addr())).await?;
    match carrier {
        Carrier::Argument => {
            for _ in 0..count {
                assert_eq!(sink.bytes(payload.clone()).await?, size as u64);
            }
        }
        Carrier::Result => {
            for _ in 0..count {
                assert_eq!(sink.give(size as u64).await?.len(), size);
            }
        }
        Carrier::Items => {
            let items = sink.items(size as u64, count as u64).await?.map_err(Status::from);
            let bytes = items.try_fold(0, async |bytes, item| Ok(bytes + item.len())).await?;
            assert_eq!(bytes, size * count);
        }
        Carrier::Vec => {
            // The vectors are made without copying anything.
            for _ in 0..count {
                assert_eq!(sink.vec(vec![0; size]).await?, size as u64);
            }
        }
        Carrier::Message => return Err("carried elsewhere".into()),
    }
    Ok(())
}

async fn carry_bare(size: usize, count: usize) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let accept =
        async { Ok::<_, Box<dyn std::error::Error + Send + Sync>>(accept_async(listener.accept().await?.0).await?) };
    let connect = async { Ok(connect_async(&url).await?.0) };
    let (mut server, mut client) = tokio::try_join!(accept, connect)?;
    let payload = Bytes::from(vec![7; size]);
    for _ in 0..count {
        let received = async { server.next().await.ok_or("no message came") };
        let (sent, received) = tokio::join!(client.send(Message::Binary(payload.clone())), received);
        sent?;
        assert_eq!(received??.len(), size);
    }
    Ok(())
}
