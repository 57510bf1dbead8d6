//! The demo: uploads and downloads over a real WebSocket. One goes on over another link, one is cut off with its
//! session and resumes in the next, and one is given up.

use std::{
    error::Error,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use cable::Cable;
use indicatif::{ProgressBar, ProgressStyle};
use rpc_client::{Connect, Reconnect, Stub};
use rpc_server::{Server, ServerHandle};
use tokio::select;

use crate::{
    client::{get, put},
    contract::FilesClient,
    part::sum,
    store::Store,
};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The server, and the client's directory.
struct Places {
    server: ServerHandle,
    here: PathBuf,
}

/// Runs the demo with files of this length, which the server and the client keep below `directory`.
pub async fn demo(directory: &Path, length: u64, out: &mut (impl Write + Send)) -> Outcome {
    let (there, here) = (directory.join("server"), directory.join("client"));
    std::fs::create_dir_all(&there)?;
    std::fs::create_dir_all(&here)?;
    let server =
        Server::builder().service(Store::new(&there).serve()).resume_anonymous(true).listen("127.0.0.1:0").await?;
    let places = Places { server, here };
    let photo = places.here.join("photo.raw");
    tokio::fs::write(&photo, noise(length)).await?;
    let (_, expected) = sum(photo.clone()).await?;
    writeln!(out, "photo.raw has {length} bytes, SHA-256 {}…", &expected[..12])?;

    let files = connect(places.server.local_addr()).await?;
    put(&files, &photo, &bar("up")).await?;
    writeln!(out, "Put, and the server has:")?;
    for entry in files.list().await? {
        writeln!(out, "  {} {} bytes, SHA-256 {}…", entry.name, entry.length, &entry.sha256[..12])?;
    }
    let copy = places.here.join("copy.raw");
    get(&files, "photo.raw", &copy, &bar("down")).await?;
    writeln!(out, "Got again: {}", same(&copy, &expected).await?)?;

    let second = places.here.join("second.raw");
    tokio::fs::copy(&photo, &second).await?;
    places.put_over_two_links(&second, length, out).await?;
    places.get_in_two_sessions(&files, length, &expected, out).await?;
    places.give_up(&files, &photo, length, out).await?;

    drop(files);
    places.server.shutdown().await;
    let mut left: Vec<_> = std::fs::read_dir(&there)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    left.sort();
    writeln!(out, "The server's directory holds: {}", left.join(", "))?;
    Ok(())
}

async fn connect(server: SocketAddr) -> Outcome<FilesClient> {
    let quickly = Reconnect::default().initial_delay(Duration::from_millis(50));
    Ok(FilesClient::connect(format!("ws://{server}/")).reconnect(quickly).await?)
}

impl Places {
    /// The cable is pulled while a file goes up, and plugged in again.
    async fn put_over_two_links(&self, path: &Path, length: u64, out: &mut (impl Write + Send)) -> Outcome {
        let cable = Cable::new(self.server.local_addr()).await?;
        let (files, progress) = (connect(cable.addr()).await?, bar("up"));
        let before = files.session().id();
        let pull = async {
            reach(&progress, length / 2).await;
            cable.pull();
            tokio::time::sleep(Duration::from_millis(100)).await;
            cable.plug_in();
        };
        let (offset, ()) = tokio::join!(put(&files, path, &progress), pull);
        let session = if files.session().id() == before { "the same session" } else { "ANOTHER SESSION" };
        writeln!(
            out,
            "The cable was pulled while second.raw went up from byte {}. It is there, by {session}.",
            offset?
        )?;
        // The goodbye goes by the same cable.
        files.session().close().await;
        Ok(())
    }

    /// The session is lost while a file comes down, as it is when the server is restarted.
    async fn get_in_two_sessions(
        &self,
        files: &FilesClient,
        length: u64,
        expected: &str,
        out: &mut (impl Write + Send),
    ) -> Outcome {
        let (path, progress) = (self.here.join("third.raw"), bar("down"));
        let lose = async {
            reach(&progress, length / 2).await;
            self.server.sessions().iter().for_each(|session| drop(session.abort()));
        };
        let got = tokio::join!(get(files, "photo.raw", &path, &progress), lose).0;
        let why = got.err().map_or_else(|| "it was faster".to_owned(), |error| error.to_string());
        writeln!(out, "third.raw was cut off on its way down: {why}")?;
        let offset = get(files, "photo.raw", &path, &bar("down")).await?;
        writeln!(out, "It goes on {}, in the next session: {}", place(offset, length), same(&path, expected).await?)?;
        Ok(())
    }

    /// A client gives up: nothing is left at either end.
    async fn give_up(&self, files: &FilesClient, path: &Path, length: u64, out: &mut (impl Write + Send)) -> Outcome {
        let fourth = self.here.join("fourth.raw");
        tokio::fs::copy(path, &fourth).await?;
        let progress = bar("up");
        select! {
            put = put(files, &fourth, &progress) => drop(put?),
            () = reach(&progress, length / 2) => {}
        }
        writeln!(
            out,
            "fourth.raw was given up half way up; the server keeps {} bytes.",
            files.kept("fourth.raw").await?
        )?;
        let (progress, fifth) = (bar("down"), self.here.join("fifth.raw"));
        select! {
            get = get(files, "photo.raw", &fifth, &progress) => drop(get?),
            () = reach(&progress, length / 2) => {}
        }
        let gone = async {
            while std::fs::read_dir(&self.here)?.any(|entry| entry.is_ok_and(|entry| is_fifth(&entry.file_name()))) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, std::io::Error>(())
        };
        gone.await?;
        writeln!(out, "fifth.raw was given up half way down; nothing of it is here.")?;
        Ok(())
    }
}

fn is_fifth(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("fifth.raw")
}

async fn reach(bar: &ProgressBar, bytes: u64) {
    while bar.position() < bytes {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}

fn place(offset: u64, length: u64) -> String {
    if offset == 0 || offset == length { format!("at byte {offset}") } else { "where it was cut off".to_owned() }
}

async fn same(path: &Path, expected: &str) -> Outcome<String> {
    let (_, came) = sum(path.to_owned()).await?;
    Ok(if came == expected { "the same checksum.".to_owned() } else { format!("ANOTHER CHECKSUM: {came}") })
}

/// A progress bar. Without a terminal, indicatif hides it.
fn bar(direction: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>4} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style).with_prefix(direction)
}

/// Bytes without a pattern (xorshift).
fn noise(length: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}
